package broker_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/config"
)

func TestProbes(t *testing.T) {
	h := start(t, testConfig(t))
	var alive map[string]string
	if status := h.get("/healthz", "", "", &alive); status != 200 || alive["status"] != "ok" {
		t.Errorf("healthz: %d %v", status, alive)
	}
	var health api.Health
	for status := h.get("/readyz", "", "", &health); health.Recovery != "done"; status = h.get("/readyz", "", "", &health) {
		if status != 200 || !health.Ready { // while messages are still read, too
			t.Fatalf("readyz: %d %+v", status, health)
		}
	}
	if want := (api.Health{Ready: true, Store: "ok", Disk: "ok", Recovery: "done"}); health != want {
		t.Errorf("readyz: %+v", health)
	}
}

func TestNotReadyBelowTheDiskWatermark(t *testing.T) {
	cfg := testConfig(t)
	cfg.Limits.DiskFree = 1 << 49
	h := start(t, cfg)
	var health api.Health
	if status := h.get("/readyz", "", "", &health); status != 503 || health.Ready || health.Disk != "low" || health.Store != "ok" {
		t.Errorf("%d %+v", status, health)
	}
}

// A web page must not reach a broker on loopback: neither by a name that its author points at us, nor from its own origin.
func TestHostAndOrigin(t *testing.T) {
	cfg := testConfig(t)
	cfg.Listen.PublicURL = "https://push.example.org"
	h := start(t, cfg)
	for _, c := range []struct {
		host, origin string
		status       int
	}{
		{"", "", 200}, {"localhost", "", 200}, {"localhost:8080", "", 200}, {"[::1]:8080", "", 200}, {"192.0.2.7", "", 200}, {"push.example.org", "", 200},
		{"push.example.org", "https://push.example.org", 200}, {"localhost:8080", "http://localhost:8080", 200},
		{"evil.example", "", 421}, {"evil.example:8080", "", 421}, {"localhost.evil.example", "", 421}, {"push.example.org.evil.example", "", 421},
		{"localhost", "https://evil.example", 403}, {"localhost", "null", 403}, {"push.example.org", "http://localhost", 403}, {"localhost:8080", "http://localhost:9090", 403},
	} {
		for _, path := range []string{"/healthz", "/metrics", "/no/such/route"} {
			want := c.status
			if path == "/no/such/route" && want == 200 {
				want = 404
			}
			if got := h.get(path, c.host, c.origin, nil); got != want {
				t.Errorf("%s, host %q, origin %q: %d, want %d", path, c.host, c.origin, got, want)
			}
		}
	}
}

func TestAdminOnTheHTTPPort(t *testing.T) {
	h := start(t, testConfig(t))
	var p api.Problem
	if status := h.get("/v1/admin/users", "", "", &p); status != 404 || p.Code != api.CodeNotFound || p.Type != "http://"+h.where.HTTP+"/docs/errors#not_found" {
		t.Errorf("without a token configured: %d %+v", status, p)
	}
	cfg := testConfig(t)
	cfg.Admin.Token = "secret"
	h = start(t, cfg)
	for token, want := range map[string]int{"": 401, "Bearer secre": 401, "Bearer secret": 200, "Basic secret": 401} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+h.where.HTTP+"/v1/admin/stats", nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", token)
		}
		if status := do(t, http.DefaultClient, req, nil); status != want {
			t.Errorf("%q: %d, want %d", token, status, want)
		}
	}
}

// A page leads to the next, and an error to its section.
func TestPages(t *testing.T) {
	h := start(t, testConfig(t))
	var page string
	for path, want := range map[string]string{
		"/": `href="/docs/"`, "/docs/": `href="/docs/errors"`, "/docs/errors": `id="bad_request"`, "/docs/readme": "<h1", "/docs/http": `href="/docs/operating#backup"`,
		"/docs/style.css": "prefers-color-scheme: dark", "/openapi.json": `"openapi":"3.1.0"`,
	} {
		if status := h.get(path, "", "", &page); status != 200 || !strings.Contains(page, want) {
			t.Errorf("%s: %d, without %s", path, status, want)
		}
	}
}

func TestStats(t *testing.T) {
	cfg := testConfig(t)
	cfg.SMS.Price = map[string]config.Money{"*": {Micros: 50_000, Currency: "EUR"}}
	h := start(t, cfg)
	ann, anns := h.phone("4917604069001")
	_, bos := h.phone("4917604069002")
	receipt(t, anns, send(t, ann, "to/4917604069002", "hello"), "delivered")
	next(t, bos, "/in/")
	receipt(t, anns, send(t, ann, "to/nobody", "hello"), "failed")
	var s api.Stats
	if status := h.ask("GET", "/v1/admin/stats", "", &s); status != 200 {
		t.Fatal(status)
	}
	if s.Devices != (api.DeviceStats{Connected: 2, Ready: 2}) || s.Messages.Accepted.To != 2 || s.Messages.Settled.Push != 1 || s.Messages.Settled.Failed != 1 || s.Messages.Open != 0 {
		t.Errorf("%+v %+v", s.Devices, s.Messages)
	}
	if !s.Health.Ready || s.Version == "" || s.Started == "" || len(s.Gateways) != 1 || s.Money.Day == "" || s.SMS.Storm {
		t.Errorf("%+v", s)
	}
}

// The names are those of the documentation, and every label value that is known in advance exists before anything has happened.
func TestMetrics(t *testing.T) {
	cfg := testConfig(t)
	cfg.SMS.Price = map[string]config.Money{"*": {Micros: 50_000, Currency: "EUR"}}
	h := start(t, cfg)
	var text string
	if status := h.get("/metrics", "", "", &text); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	for _, want := range []string{
		"godwit_devices_connected 0", "godwit_devices_ready 0", `godwit_messages_accepted_total{root="app"} 0`, `godwit_messages_accepted_total{root="sms"} 0`,
		`godwit_messages_accepted_total{root="to"} 0`, `godwit_messages_settled_total{state="delivered",via="push"} 0`, `godwit_messages_settled_total{state="delivered",via="sms"} 0`,
		`godwit_messages_settled_total{state="failed",via="none"} 0`, `godwit_messages_settled_total{state="expired",via="none"} 0`, "godwit_messages_open 0",
		"godwit_push_ack_seconds_count 0", "godwit_commit_seconds_count ", "godwit_commit_messages_count ", `godwit_sms_submitted_total{gateway="console",result="taken"} 0`,
		`godwit_sms_submitted_total{gateway="console",result="unknown"} 0`, `godwit_sms_segments_total{gateway="console"} 0`, "godwit_sms_queue 0",
		`godwit_dlr_total{gateway="console",state="delivered"} 0`, `godwit_mo_total{gateway="console",result="conversation"} 0`, `godwit_mo_total{gateway="console",result="unmatched"} 0`,
		`godwit_mo_total{gateway="console",result="contact"} 0`, `godwit_mo_total{gateway="console",result="stop"} 0`,
		`godwit_mo_total{gateway="console",result="repeated"} 0`, `godwit_sms_spend_total{currency="EUR"} 0`, `godwit_refused_total{reason="callback"} 0`, "godwit_fallback_held 0", "godwit_duplicates_total 0", `godwit_refused_total{reason="topic"} 0`, `godwit_refused_total{reason="http_login"} 0`, `godwit_refused_total{reason="http_address"} 0`,
		`godwit_refused_total{reason="http_insecure"} 0`, `godwit_refused_total{reason="host"} 0`, `godwit_refused_total{reason="origin"} 0`,
		`godwit_refused_total{reason="connections"} 0`, `godwit_refused_total{reason="address"} 0`, `godwit_http_requests_total{code="5xx",route="none"} 0`,
		`godwit_http_requests_total{code="2xx",route="GET /v1/admin/messages/{id}"} 0`, `godwit_http_requests_total{code="4xx",route="GET /gateway/{name}/dlr"} 0`,
		"godwit_panics_recovered_total 0",
		"go_goroutines ", "process_open_fds ",
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("%s is missing", want)
		}
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestMetricsCountAndNameNobody(t *testing.T) {
	h := start(t, testConfig(t))
	ann, anns := h.phone("4917604069001")
	_, bos := h.phone("4917604069002")
	id := send(t, ann, "to/4917604069002", "hello")
	next(t, bos, "/in/")
	receipt(t, anns, id, "delivered")
	receipt(t, anns, send(t, ann, "to/nobody", "hello"), "failed")
	receipt(t, anns, send(t, ann, "sms/4917604069003", "hello"), "submitted") // for good: the console gateway reports nothing
	var text string
	h.get("/metrics", "", "", &text)
	for _, want := range []string{
		"godwit_devices_connected 2", "godwit_devices_ready 2", `godwit_messages_accepted_total{root="to"} 2`, `godwit_messages_settled_total{state="delivered",via="push"} 1`,
		`godwit_messages_settled_total{state="submitted",via="sms"} 1`, `godwit_messages_settled_total{state="failed",via="none"} 1`, "godwit_messages_open 0",
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
	labels := regexp.MustCompile(`"([^"]*)"`).FindAllString(text, -1)
	if slices.ContainsFunc(labels, func(l string) bool { return strings.Contains(l, "49176") || l == `"nobody"` }) {
		t.Errorf("a label has an address: %v", labels)
	}
}
