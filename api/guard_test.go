package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/store/memory"
)

const secret = "an-admin-token-that-nobody-guesses"

func problemOf(t *testing.T, w *httptest.ResponseRecorder) (p api.Problem) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if ct := w.Header().Get("Content-Type"); ct != "application/problem+json" || p.Status != w.Code || p.Title == "" || p.Detail == "" ||
		p.Type != "https://push.example.org/docs/errors#"+p.Code {
		t.Errorf("%d %s %s", w.Code, ct, w.Body)
	}
	return p
}

// empty answers 204 to whatever passes the guards.
func empty(w http.ResponseWriter, _ *http.Request) error {
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// What is refused before any route is looked at, on every route.
func TestGuards(t *testing.T) {
	a := newAPI(t, api.Config{AdminToken: secret, MQTT: empty, DLR: empty})
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	fetch := func(site, mode, dest string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", site)
			r.Header.Set("Sec-Fetch-Mode", mode)
			r.Header.Set("Sec-Fetch-Dest", dest)
		}
	}
	far := func(auth string) func(*http.Request) {
		return func(r *http.Request) {
			r.RemoteAddr = "192.0.2.7:4711"
			r.Header.Set("Authorization", auth)
		}
	}
	for _, c := range []struct {
		name, method, path string
		edit               func(*http.Request)
		status             int
		code               string
	}{
		{"another name", "GET", "/mqtt", func(r *http.Request) { r.Host = "evil.example" }, 421, api.CodeForbidden},
		{"our name only as X-Forwarded-Host", "GET", "/mqtt", func(r *http.Request) {
			r.Host = "evil.example"
			r.Header.Set("X-Forwarded-Host", "push.example.org")
		}, 421, api.CodeForbidden},
		{"another name forwarded", "GET", "/mqtt", set("X-Forwarded-Host", "evil.example"), 204, ""},
		{"another origin", "POST", "/gateway/x/dlr", set("Origin", "https://evil.example"), 403, api.CodeForbidden},
		{"another origin, WebSocket", "GET", "/mqtt", set("Origin", "https://evil.example"), 403, api.CodeForbidden},
		{"no origin at all", "GET", "/mqtt", set("Origin", "null"), 403, api.CodeForbidden},
		{"two origins", "GET", "/mqtt", func(r *http.Request) {
			r.Header["Origin"] = []string{"https://push.example.org", "https://evil.example"}
		}, 403, api.CodeForbidden},
		{"our origin", "GET", "/mqtt", set("Origin", "https://push.example.org"), 204, ""},
		{"a form of another site", "POST", "/gateway/x/dlr", fetch("cross-site", "navigate", "document"), 403, api.CodeForbidden},
		{"a picture of another site", "GET", "/gateway/x/dlr", fetch("cross-site", "no-cors", "image"), 403, api.CodeForbidden},
		{"a frame of another site", "GET", "/docs/", fetch("cross-site", "navigate", "iframe"), 403, api.CodeForbidden},
		{"a sibling of our name", "GET", "/mqtt", fetch("same-site", "websocket", "websocket"), 403, api.CodeForbidden},
		{"a link that somebody follows", "GET", "/docs/", fetch("cross-site", "navigate", "document"), 200, ""},
		{"our own page", "GET", "/mqtt", fetch("same-origin", "websocket", "websocket"), 204, ""},
		{"Bearer over plain HTTP", "GET", "/healthz", far("Bearer gw_x"), 403, api.CodeInsecure},
		{"Basic over plain HTTP", "GET", "/healthz", far("Basic eDp5"), 403, api.CodeInsecure},
		{"the right admin token over plain HTTP", "GET", "/v1/admin/users", far("Bearer " + secret), 403, api.CodeInsecure},
		{"X-Forwarded-Proto of nobody we trust", "GET", "/healthz", func(r *http.Request) {
			far("Bearer gw_x")(r)
			r.Header.Set("X-Forwarded-Proto", "https")
		}, 403, api.CodeInsecure},
		{"a token in the URL", "GET", "/healthz?token=gw_x", nil, 403, api.CodeInsecure},
		{"an access token in the URL", "GET", "/healthz?access_token=x", nil, 403, api.CodeInsecure},
		{"ntfy's auth in the URL", "POST", "/to/x?auth=x", nil, 403, api.CodeInsecure},
		{"a token as another parameter", "GET", "/healthz?x=gw_x", nil, 403, api.CodeInsecure},
		{"the key of a carrier", "GET", "/gateway/x/dlr?key=k&text=gw_x", nil, 204, ""},
		{"no admin token", "GET", "/v1/admin/users", nil, 401, api.CodeUnauthorized},
		{"a wrong admin token", "GET", "/v1/admin/users", set("Authorization", "Bearer "+secret+"x"), 401, api.CodeUnauthorized},
		{"an empty admin token", "GET", "/v1/admin/users", set("Authorization", "Bearer "), 401, api.CodeUnauthorized},
		{"the admin token as Basic", "GET", "/v1/admin/users", set("Authorization", "Basic "+secret), 401, api.CodeUnauthorized},
		{"no such route of the operator", "GET", "/v1/admin/nothing", nil, 401, api.CodeUnauthorized},
		{"no such route", "GET", "/nothing", nil, 404, api.CodeNotFound},
		{"another method", "DELETE", "/healthz", nil, 405, api.CodeMethod},
	} {
		w := get(a.Public(), c.method, c.path, c.edit)
		if w.Code != c.status {
			t.Errorf("%s: %d, want %d: %s", c.name, w.Code, c.status, w.Body)
			continue
		}
		if c.code != "" && problemOf(t, w).Code != c.code {
			t.Errorf("%s: %s, want %s", c.name, w.Body, c.code)
		}
		if strings.Contains(w.Body.String(), secret) || w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v %s", c.name, w.Header(), w.Body)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Security-Policy": "default-src 'none'"} {
			if got := w.Header().Get(name); !strings.HasPrefix(got, want) {
				t.Errorf("%s: %s is %q", c.name, name, got)
			}
		}
	}
	if w := get(a.Public(), "DELETE", "/healthz", nil); w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("Allow: %v", w.Header())
	}
	for reason, want := range map[api.Refusal]uint64{api.RefusedHost: 2, api.RefusedOrigin: 8, api.RefusedInsecure: 8, api.RefusedHTTPLogin: 5} {
		if got := a.Refused(reason); got != want {
			t.Errorf("%s: %d, want %d", api.Refusals[reason], got, want)
		}
	}
}

func TestTokensBehindAProxy(t *testing.T) {
	a := newAPI(t, api.Config{BehindProxy: true, AdminToken: secret, Metrics: http.NotFoundHandler()})
	h := api.Forwarded(a.Public())
	ask := func(path, auth string) int {
		return get(h, "GET", path, func(r *http.Request) {
			r.Header.Set("X-Forwarded-For", "192.0.2.7")
			if auth != "" {
				r.Header.Set("Authorization", auth)
			}
		}).Code
	}
	if got := ask("/healthz", "Bearer gw_x"); got != 200 {
		t.Errorf("a token: %d", got)
	}
	if got := ask("/metrics", ""); got != 401 { // the proxy is on this machine, who asks is not
		t.Errorf("metrics: %d", got)
	}
}

func TestMetricsFromElsewhereNeedTheToken(t *testing.T) {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	for _, c := range []struct {
		name, remote, header, token string
		status                      int
	}{
		{"loopback", "127.0.0.1:4000", "", "", 204},
		{"loopback, IPv6", "[::1]:4000", "", secret, 204},
		{"elsewhere, no token configured", "192.0.2.1:4000", "", "", 401},
		{"elsewhere, no token configured, an empty one given", "192.0.2.1:4000", "Bearer ", "", 401},
		{"elsewhere, none given", "192.0.2.1:4000", "", secret, 401},
		{"elsewhere, wrong", "192.0.2.1:4000", "Bearer " + secret + "s", secret, 401},
		{"elsewhere, wrong scheme", "192.0.2.1:4000", secret, secret, 401},
		{"elsewhere, right", "192.0.2.1:4000", "Bearer " + secret, secret, 204},
	} {
		a := newAPI(t, api.Config{AdminToken: c.token, Metrics: metrics, BehindProxy: true})
		w := get(a.Public(), "GET", "/metrics", func(r *http.Request) {
			r.RemoteAddr = c.remote
			if c.header != "" {
				r.Header.Set("Authorization", c.header)
			}
		})
		if w.Code != c.status {
			t.Errorf("%s: %d, want %d", c.name, w.Code, c.status)
		}
	}
}

func TestLogin(t *testing.T) {
	db := memory.New()
	people, err := contacts.Open(t.Context(), db.Table(), contacts.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := people.Close(); err != nil {
			t.Error(err)
		}
	}()
	const ann = contacts.Address("4917604069001")
	if _, err := people.Add(t.Context(), ann); err != nil {
		t.Fatal(err)
	}
	token, _, err := people.IssueToken(t.Context(), ann, "")
	if err != nil {
		t.Fatal(err)
	}
	gone, id, err := people.IssueToken(t.Context(), ann, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := people.RevokeToken(t.Context(), ann, id); err != nil {
		t.Fatal(err)
	}
	failed, blocked := 0, false
	a := newAPI(t, api.Config{
		People: people, Log: zerolog.Nop(), LoginFailed: func(*http.Request) { failed++ }, Blocked: func(*http.Request) bool { return blocked },
	})
	login := func(edit func(*http.Request)) (contacts.Login, *api.Problem) {
		r := httptest.NewRequest("POST", "/to/x", nil)
		edit(r)
		l, err := a.Login(r)
		p, _ := err.(*api.Problem)
		return l, p
	}
	for _, c := range []struct {
		name   string
		edit   func(*http.Request)
		status int // 0: it is ann
		guess  int
	}{
		{"Basic", func(r *http.Request) { r.SetBasicAuth(string(ann), token) }, 0, 0},
		{"Basic with a plus", func(r *http.Request) { r.SetBasicAuth("+"+string(ann), token) }, 0, 0},
		{"Basic, the token alone", func(r *http.Request) { r.SetBasicAuth("", token) }, 0, 0},
		{"Bearer", func(r *http.Request) { r.Header.Set("Authorization", "bearer "+token) }, 0, 0},
		{"nothing", func(*http.Request) {}, 401, 0},
		{"another user's name", func(r *http.Request) { r.SetBasicAuth("4917604069002", token) }, 401, 1},
		{"a guess", func(r *http.Request) { r.Header.Set("Authorization", "Bearer gw_"+strings.Repeat("A", 43)) }, 401, 1},
		{"revoked", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+gone) }, 401, 1},
		{"another scheme", func(r *http.Request) { r.Header.Set("Authorization", "Digest "+token) }, 401, 0},
		{"twice", func(r *http.Request) { r.Header["Authorization"] = []string{"Bearer " + token, "Bearer " + token} }, 401, 0},
	} {
		before := failed
		l, p := login(c.edit)
		switch {
		case c.status == 0 && (p != nil || l.Address != ann):
			t.Errorf("%s: %v %v", c.name, l, p)
		case c.status != 0 && (p == nil || p.Status != c.status || len(p.GetHeaders().Values("WWW-Authenticate")) != 2 || strings.Contains(p.Error(), token)):
			t.Errorf("%s: %v", c.name, p)
		}
		if failed-before != c.guess {
			t.Errorf("%s: counted as %d guesses, want %d", c.name, failed-before, c.guess)
		}
	}
	blocked = true
	if _, p := login(func(r *http.Request) { r.SetBasicAuth(string(ann), token) }); p == nil || p.Status != 429 || p.GetHeaders().Get("Retry-After") == "" || a.Refused(api.RefusedHTTPAddress) != 1 {
		t.Errorf("blocked: %v", p)
	}
}

// A panic of ours ends one request, is counted, and nothing of what it was about is told or logged.
func TestPanic(t *testing.T) {
	var log strings.Builder
	a := newAPI(t, api.Config{Log: zerolog.New(&log), DLR: func(http.ResponseWriter, *http.Request) error { panic("the text of 4917604069001") }})
	w := get(a.Public(), "GET", "/gateway/x/dlr?key=k", nil)
	if w.Code != 500 || problemOf(t, w).Code != api.CodeInternal || a.Panics() != 1 {
		t.Errorf("%d %s, %d panics", w.Code, w.Body, a.Panics())
	}
	if text := log.String(); !strings.Contains(text, "GET /gateway/{name}/dlr") || strings.Contains(text, "4917604069001") || strings.Contains(text, "key=") {
		t.Errorf("the log: %s", text)
	}
}

// What a client gets wrong in several places is told at once, by place, and never with the value.
func TestWhatIsWrongIsTold(t *testing.T) {
	a := newAPI(t, api.Config{})
	w := get(a.Operator(true), "GET", "/v1/admin/messages?limit=gw_secret&sate=x&state=gw_secret", nil)
	p := problemOf(t, w)
	if w.Code != 400 || p.Code != api.CodeBadRequest || len(p.Errors) == 0 || strings.Contains(w.Body.String(), "gw_secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for contentType, status := range map[string]int{
		"application/x-www-form-urlencoded": 415, "text/plain": 415, "multipart/form-data; boundary=x": 415, "text/plain;+application/json": 415, "/": 415,
		"application/json": 400, "application/json; charset=utf-8": 400, "": 400,
	} {
		w := get(a.Operator(true), "POST", "/v1/admin/users", func(r *http.Request) {
			if contentType != "" {
				r.Header.Set("Content-Type", contentType)
			}
		})
		if w.Code != status {
			t.Errorf("%q: %d, want %d: %s", contentType, w.Code, status, w.Body)
		}
	}
}

func TestRequestsAreCounted(t *testing.T) {
	a := newAPI(t, api.Config{})
	for _, path := range []string{"/healthz", "/healthz", "/nothing", "/v1/admin/messages/x"} {
		get(a.Operator(true), "GET", path, nil)
	}
	got := map[string]uint64{}
	a.Requests(func(route string, class int, n uint64) {
		if n > 0 {
			got[route+" "+string(rune('0'+class))] = n
		}
	})
	want := map[string]uint64{"GET /healthz 2": 2, api.NoRoute + " 4": 1, "GET /v1/admin/messages/{id} 4": 1}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
	for k, n := range want {
		if got[k] != n {
			t.Errorf("%s: %d, want %d", k, got[k], n)
		}
	}
}
