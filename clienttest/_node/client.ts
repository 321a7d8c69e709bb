// A client of the HTTP API as somebody else would write it: openapi-fetch on the types that openapi-typescript makes of /openapi.json. It must
// compile strictly, so every path, field and word in it is held to the description; what it prints is the test's to judge.
import createClient, { type Middleware } from "openapi-fetch";
import type { components, paths } from "./godwit.js";

declare const process: { env: Record<string, string> };
const { BASE: baseUrl, TOKEN, ADMIN_TOKEN, PUSHED_TO, SMS_TO } = process.env;

const bearer = (token: string): Middleware => ({
	onRequest: ({ request }) => request.headers.set("Authorization", `Bearer ${token}`),
});

// must returns the data of an answer, and throws what a problem says.
function must<T>({ data, error }: { data?: T; error?: components["schemas"]["Problem"] }): T {
	if (error !== undefined || data === undefined) throw new Error(`${error?.code}: ${error?.detail}`);
	return data;
}

const user = createClient<paths>({ baseUrl });
user.use(bearer(TOKEN));
const operator = createClient<paths>({ baseUrl });
operator.use(bearer(ADMIN_TOKEN));

const sent = must(await user.POST("/to/{address}/{key}", { params: { path: { address: PUSHED_TO, key: "ts-1" } }, body: { text: "typed and pushed", after: "5m" } }));
const quote = must(await user.POST("/v1/quote", { body: { to: SMS_TO, text: "typed" } }));
const page = must(await user.GET("/v1/messages", { params: { query: { with: PUSHED_TO, limit: 10 } } }));
const one = must(await user.GET("/v1/messages/{id}", { params: { path: { id: sent.id } } }));
const added = must(await operator.POST("/v1/admin/users", { body: { address: "typed-1" } }));
const all = must(await operator.GET("/v1/admin/messages", { params: { query: { to: PUSHED_TO } } }));
const stats = must(await operator.GET("/v1/admin/stats"));
const { error: problem, response } = await operator.GET("/v1/admin/users/{address}", { params: { path: { address: "nobody" } } });

// What the description does not have does not compile.
export const wrong = () => [
	// @ts-expect-error: no such path
	user.GET("/v1/nothing"),
	// @ts-expect-error: no such field
	user.POST("/v1/quote", { body: { to: SMS_TO, txt: "typed" } }),
	// @ts-expect-error: no such state
	sent.state === "gone",
	// @ts-expect-error: no such reason
	quote.reason === "because",
];

console.log(
	JSON.stringify({
		id: sent.id, state: sent.state, way: quote.way, segments: quote.segments, reason: quote.reason,
		mine: page.messages.map((m) => m.id), text: one.message.text, steps: one.trail.length,
		added: added.address, theirs: all.messages.map((m) => m.id), version: stats.version, code: problem?.code, status: response.status,
	}),
);
