// Runs MQTT.js for a test. Each line on stdin is an order, a JSON object with `n`, `client` (a name) and `do`; each line on stdout is the answer to
// one, with its `n`, or an event of a client. It ends with stdin.
import { createInterface } from "node:readline";
import mqtt from "mqtt";

const clients = new Map();
const say = (o) => process.stdout.write(JSON.stringify(o) + "\n");

// failure is what became of an order: the reason code, where the broker gave one.
const failure = (err) => ({ code: Number.isInteger(err.code) ? err.code : -1, error: String(err.message ?? err) });

const orders = {
	// connect answers once the first CONNACK has come: with its code, 0 for success.
	connect: ({ client: name, url, options }) =>
		new Promise((done) => {
			const c = mqtt.connect(url, { reconnectPeriod: 0, connectTimeout: 20_000, ...options });
			clients.set(name, c);
			c.pubacks = new Map(); // by packet identifier: MQTT.js does not give them to who publishes
			c.on("packetreceive", (packet) => packet.cmd === "puback" && c.pubacks.set(packet.messageId, packet));
			c.on("connect", (connack) => {
				const present = connack.sessionPresent ?? false;
				say({ client: name, event: "connect", present });
				done({ code: 0, present });
			});
			c.on("error", (err) => done(failure(err)));
			c.on("close", () => say({ client: name, event: "close" }));
			c.on("disconnect", (packet) => say({ client: name, event: "disconnect", code: packet.reasonCode }));
			c.on("message", (topic, payload, packet) => {
				const user = { ...packet.properties?.userProperties };
				say({ client: name, event: "message", topic, payload: payload.toString("base64"), duplicate: packet.dup, properties: user });
			});
		}),
	subscribe: async (c, { topic }) => {
		const [granted] = await c.subscribeAsync(topic, { qos: 1 });
		return { code: granted.qos };
	},
	// publish answers once the PUBACK has come.
	publish: (c, { topic, payload, properties }) =>
		new Promise((done) => {
			c.publish(topic, Buffer.from(payload, "base64"), { qos: 1, properties: properties ?? {} }, (err, sent) => {
				const puback = c.pubacks.get(sent?.messageId);
				done(err ? failure(err) : { code: puback.reasonCode ?? 0, id: puback.properties?.userProperties?.id });
			});
		}),
	// drop breaks the connection without a DISCONNECT.
	drop: async (c) => void c.stream.destroy(),
	end: async (c) => c.endAsync(),
};

for await (const line of createInterface({ input: process.stdin })) {
	const order = JSON.parse(line);
	const run = orders[order.do];
	const answer = order.do === "connect" ? run(order) : run(clients.get(order.client), order);
	answer.then(
		(a) => say({ n: order.n, ...a }),
		(err) => say({ n: order.n, ...failure(err) }),
	);
}
await Promise.allSettled([...clients.values()].map((c) => c.endAsync(true)));
