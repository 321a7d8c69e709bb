package smshttp_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	smshttp "github.com/seed-7a41469f/godwit/sms/http"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

const (
	hookPeer = contacts.Number("4915112345678")
	hookOwn  = contacts.Number("4915100000000")
)

// hookMT is a fresh message.
func hookMT(t testing.TB, text string) sms.MT {
	t.Helper()
	segments, err := sms.Split(text)
	if err != nil {
		t.Fatal(err)
	}
	ref := sms.Ref{0xab, 0xcd, 15: 0x01}
	return sms.MT{Ref: ref, Attempt: 2, From: "Godwit", To: hookPeer, Text: text, Segments: segments, Count: len(segments), Validity: time.Hour}
}

// hookRef is how the Ref of hookMT is written.
const hookRef = "abcd0000000000000000000000000001"

// A hookSink takes what comes unless it fails.
type hookSink struct {
	mu   sync.Mutex
	fail error
	dlrs []sms.DLR
	mos  []sms.MO
}

func (s *hookSink) DLR(_ context.Context, r sms.DLR) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == nil {
		s.dlrs = append(s.dlrs, r)
	}
	return s.fail
}

func (s *hookSink) MO(_ context.Context, m sms.MO) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == nil {
		s.mos = append(s.mos, m)
	}
	return s.fail
}

func (s *hookSink) taken() (dlrs []sms.DLR, mos []sms.MO) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dlrs, mos, s.dlrs, s.mos = s.dlrs, s.mos, nil, nil
	return dlrs, mos
}

func hookHMAC(key string, parts ...string) string {
	m := hmac.New(sha256.New, []byte(key))
	for _, p := range parts {
		m.Write([]byte(p))
	}
	return hex.EncodeToString(m.Sum(nil))
}

// hook is the webhook of DESIGN section 9, to a server on loopback.
func hook(address string) smshttp.WebhookConfig {
	return smshttp.WebhookConfig{
		Name: "hook", URL: address, Body: `{"to":{{.To|json}},"text":{{.Text|json}}}`, ID: "$.id", HMAC: "h", AllowPrivate: true, Number: hookOwn,
		CallbackURL: "https://godwit.example/gateway/hook", Response: 5 * time.Second,
		DLR: smshttp.WebhookDLR{ID: "$.id", State: "$.status", Map: map[string]string{"ok": "delivered"}},
		MO:  smshttp.WebhookMO{From: "$.from", Text: "$.msg"},
	}
}

func newHook(t testing.TB, c smshttp.WebhookConfig) *smshttp.Webhook {
	t.Helper()
	g, err := smshttp.NewWebhook(c)
	if err != nil {
		t.Fatal(err)
	}
	run(t, g)
	return g
}

func TestWebhookSubmit(t *testing.T) {
	text := "He said \"ü\\\" & left;\n{😀}" + strings.Repeat("x", 80)
	for _, c := range []struct {
		name  string
		edit  func(*smshttp.WebhookConfig)
		check func(t *testing.T, r *http.Request, body string)
	}{
		{"JSON, signed", func(*smshttp.WebhookConfig) {}, func(t *testing.T, r *http.Request, body string) {
			var got struct{ To, Text string }
			if err := json.Unmarshal([]byte(body), &got); err != nil || got.To != string(hookPeer) || got.Text != text {
				t.Errorf("%v: %s", err, body)
			}
			if r.Header.Get("X-Signature") != "sha256="+hookHMAC("h", body) || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s %v", r.Method, r.Header)
			}
		}},
		{"a form, basic authentication", func(c *smshttp.WebhookConfig) {
			c.Body = `to={{.To|plus|urlquery}}&from={{.From|urlquery}}&text={{.Text|urlquery}}&n={{.Segments}}&ttl={{.Validity}}&key={{.Ref}}-{{.Attempt}}`
			c.Username, c.Password = "u", "p"
		}, func(t *testing.T, r *http.Request, body string) {
			v, err := url.ParseQuery(body)
			if err != nil || v.Get("to") != "+4915112345678" || v.Get("from") != "Godwit" || v.Get("text") != text || v.Get("n") != "2" ||
				v.Get("ttl") != "3600" || v.Get("key") != hookRef+"-2" {
				t.Errorf("%v: %v", err, v)
			}
			if u, p, ok := r.BasicAuth(); !ok || u != "u" || p != "p" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
				t.Error(r.Header)
			}
		}},
		{"in the URL, with a token and headers", func(c *smshttp.WebhookConfig) {
			c.URL += "/send/{{.To}}/a b?text={{.Text}}&from={{.From|urlquery}}"
			c.Body, c.Token, c.Headers = "", "t0ken", map[string]string{"X-Account": "7"}
		}, func(t *testing.T, r *http.Request, _ string) {
			if r.URL.Path != "/send/4915112345678/a b" || r.URL.Query().Get("text") != text || r.URL.Query().Get("from") != "Godwit" || r.Method != http.MethodGet {
				t.Error(r.Method, r.URL)
			}
			if r.Header.Get("Authorization") != "Bearer t0ken" || r.Header.Get("X-Account") != "7" || r.Header.Get("Content-Type") != "" {
				t.Error(r.Header)
			}
		}},
		{"with a timestamp", func(c *smshttp.WebhookConfig) { c.Signature = smshttp.SignedBodyTime }, func(t *testing.T, r *http.Request, body string) {
			if r.Header.Get("X-Signature") != "sha256="+hookHMAC("h", body, r.Header.Get("X-Timestamp")) {
				t.Error(r.Header)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var calls atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				body, _ := io.ReadAll(r.Body)
				c.check(t, r, string(body))
				io.WriteString(w, `{"id": 18446744073709551615}`)
			}))
			defer server.Close()
			config := hook(server.URL)
			c.edit(&config)
			mt := hookMT(t, text)
			outcomes := newHook(t, config).Submit(t.Context(), mt)
			if calls.Load() != 1 || len(outcomes) != 2 {
				t.Fatalf("%d calls, outcomes %v", calls.Load(), outcomes)
			}
			for i, o := range outcomes {
				if o.Err != nil || o.ID != "18446744073709551615" || o.Segment != i+1 {
					t.Errorf("outcome %+v", o)
				}
			}
		})
	}
}

func TestWebhookAnswers(t *testing.T) {
	answer := func(status int, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	for _, c := range []struct {
		name   string
		edit   func(*smshttp.WebhookConfig)
		answer http.HandlerFunc
		class  sms.Class
		code   string
		id     string
	}{
		{name: "200 with an id", answer: answer(200, `{"id":"a-1"}`), id: "a-1"},
		{name: "202 with a numeric id", answer: answer(202, `{"id":0042e0}`), class: sms.Unknown, code: "202"}, // that is no JSON
		{name: "201, id by a regular expression", edit: func(c *smshttp.WebhookConfig) { c.ID = "/^OK: (\\d+)/" }, answer: answer(201, "OK: 0042\n"), id: "0042"},
		{name: "200 without the id", answer: answer(200, `{"status":"fine"}`), class: sms.Unknown, code: "200"},
		{name: "200 with an id that is an object", answer: answer(200, `{"id":{}}`), class: sms.Unknown, code: "200"},
		{name: "200 with an endless id", answer: answer(200, `{"id":"`+strings.Repeat("x", 300)+`"}`), class: sms.Unknown, code: "200"},
		{name: "200, no id configured", edit: func(c *smshttp.WebhookConfig) { c.ID = "" }, answer: answer(200, "")},
		{name: "200 with an error body", edit: refusing, answer: answer(200, `{"code":"bad_number"}`), class: sms.Permanent, code: "bad_number"},
		{name: "200 with an error body that nobody knows", edit: refusing, answer: answer(200, `{"code":13}`), class: sms.Unknown, code: "13"},
		{name: "200 with the word for taken", edit: refusing, answer: answer(200, `{"code":0,"id":"7"}`), id: "7"},
		{name: "400", answer: answer(400, ""), class: sms.Permanent, code: "400"},
		{name: "401", answer: answer(401, ""), class: sms.Configuration, code: "401"},
		{name: "412, which means something else here", edit: refusing, answer: answer(412, ""), class: sms.Temporary, code: "412"},
		{name: "429 Retry-After", answer: answer(429, "", "Retry-After", "7"), class: sms.Throttled, code: "429"},
		{name: "500", answer: answer(500, ""), class: sms.Unknown, code: "500"},
		{name: "a redirect", answer: answer(307, "", "Location", "/elsewhere"), class: sms.Configuration, code: "307"},
		{name: "time-out before the answer", answer: func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}, edit: hasty, class: sms.Unknown},
		{name: "time-out within the answer", answer: func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"id":`)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, edit: hasty, class: sms.Unknown, code: "200"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var calls atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				c.answer(w, r)
			}))
			defer server.Close()
			config := hook(server.URL)
			if c.edit != nil {
				c.edit(&config)
			}
			o := newHook(t, config).Submit(t.Context(), hookMT(t, "hello"))[0]
			if sms.ClassOf(o.Err) != c.class || o.ID != c.id || calls.Load() != 1 {
				t.Fatalf("outcome %+v, want class %v and id %q; %d calls", o, c.class, c.id, calls.Load())
			}
			var e *sms.Error
			if errors.As(o.Err, &e) {
				if e.Code != c.code || strings.Contains(e.Error(), string(hookPeer)) {
					t.Errorf("error %v, want code %q and no number", e, c.code)
				}
				if c.class == sms.Throttled && e.After != 7*time.Second {
					t.Errorf("pause %v", e.After)
				}
			}
		})
	}
}

func refusing(c *smshttp.WebhookConfig) {
	c.Code, c.OK, c.Classes = "$.code", "0", map[string]sms.Class{"bad_number": sms.Permanent, "412": sms.Temporary}
}

func hasty(c *smshttp.WebhookConfig) { c.Response = 100 * time.Millisecond }

func TestWebhookNotSent(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	defer server.Close()
	late := hookMT(t, "x")
	late.Until = time.Now().Add(-time.Second)
	rest := hookMT(t, strings.Repeat("x", 200))
	rest.Segments = rest.Segments[1:]
	for _, c := range []struct {
		name, url string
		mt        sms.MT
		class     sms.Class
	}{
		{"a refused connection", "http://" + gone.Addr().String(), hookMT(t, "x"), sms.NotSent},
		{"after its time", server.URL, late, sms.NotSent},
		{"a part of a message", server.URL, rest, sms.NotSent},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, o := range newHook(t, hook(c.url)).Submit(t.Context(), c.mt) {
				if sms.ClassOf(o.Err) != c.class {
					t.Errorf("outcome %+v, want %v", o, c.class)
				}
			}
		})
	}
	if calls.Load() != 0 {
		t.Errorf("%d calls", calls.Load())
	}
}

// TestWebhookPrivate has a name and addresses that lead to loopback: nothing is written there, neither directly nor by a proxy.
func TestWebhookPrivate(t *testing.T) {
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		io.WriteString(w, `{"id":"1"}`)
	}))
	defer server.Close()
	t.Setenv("HTTP_PROXY", server.URL)
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())

	named := hook("http://localhost:" + port)
	named.AllowPrivate = false
	o := newHook(t, named).Submit(t.Context(), hookMT(t, "x"))[0]
	if sms.ClassOf(o.Err) != sms.Configuration || !strings.Contains(o.Err.Error(), "allow_private") {
		t.Errorf("outcome %+v", o)
	}
	for _, address := range []string{"http://127.0.0.1:" + port, "http://[::1]/", "http://[::ffff:10.0.0.1]/", "http://169.254.169.254/latest"} {
		c := hook(address)
		c.AllowPrivate = false
		if _, err := smshttp.NewWebhook(c); err == nil || !strings.Contains(err.Error(), "allow_private") {
			t.Errorf("%s: %v", address, err)
		}
	}
	if calls.Load() != 0 {
		t.Fatalf("%d calls", calls.Load())
	}
	named.AllowPrivate = true
	if o := newHook(t, named).Submit(t.Context(), hookMT(t, "x"))[0]; o.Err != nil || o.ID != "1" || calls.Load() != 1 {
		t.Errorf("allowed: %+v, %d calls", o, calls.Load())
	}
}

func TestForbidden(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1": true, "127.255.255.254": true, "0.0.0.0": true, "0.1.2.3": true, "10.1.2.3": true, "172.15.255.255": false, "172.16.0.1": true,
		"172.31.255.255": true, "172.32.0.1": false, "192.168.1.1": true, "169.254.169.254": true, "100.63.255.255": false, "100.64.0.1": true,
		"100.127.255.255": true, "100.128.0.1": false, "224.0.0.1": true, "239.1.1.1": true, "255.255.255.255": true, "198.18.0.1": true, "8.8.8.8": false,
		"1.1.1.1": false, "203.0.113.5": true, "::": true, "::1": true, "::ffff:127.0.0.1": true, "::ffff:8.8.8.8": false, "::127.0.0.1": true,
		"fe80::1": true, "fe80::1%eth0": true, "fc00::1": true, "fd12:3456::1": true, "ff02::1": true, "fec0::1": true, "64:ff9b::7f00:1": true,
		"2002:7f00:1::": true, "2001::1": true, "2001:db8::1": true, "2606:4700:4700::1111": false, "2a00:1450:4001:810::200e": false,
	} {
		if got := smshttp.Forbidden(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: forbidden %v, want %v", address, got, want)
		}
	}
	if !smshttp.Forbidden(netip.Addr{}) {
		t.Error("no address at all is allowed")
	}
}

func TestWebhookConfigErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*smshttp.WebhookConfig)
		want string
	}{
		{"no url", func(c *smshttp.WebhookConfig) { c.URL = "" }, "url:"},
		{"a url without a host", func(c *smshttp.WebhookConfig) { c.URL = "https:///send" }, "url:"},
		{"another scheme", func(c *smshttp.WebhookConfig) { c.URL = "ftp://example.org/" }, "url:"},
		{"a template that is none", func(c *smshttp.WebhookConfig) { c.Body = `{"to":{{.To}` }, "body:"},
		{"a field that is none", func(c *smshttp.WebhookConfig) { c.Body = `{"to":{{.Recipient|json}}}` }, "Recipient"},
		{"quotes around json", func(c *smshttp.WebhookConfig) { c.Body = `{"to":"{{.To|json}}","text":{{.Text|json}}}` }, "no JSON"},
		{"a text that is not escaped", func(c *smshttp.WebhookConfig) { c.Body = `{"to":{{.To|json}},"text":"{{.Text}}"}` }, "no JSON"},
		{"a text that is not escaped in a form", func(c *smshttp.WebhookConfig) { c.Body = `to={{.To}}&text={{.Text}}` }, "form"},
		{"a text escaped twice", func(c *smshttp.WebhookConfig) { c.Body = `to={{.To}}&text={{.Text|urlquery|urlquery}}` }, "as it is"},
		{"no recipient", func(c *smshttp.WebhookConfig) { c.Body = `{"text":{{.Text|json}}}` }, "recipient"},
		{"no text", func(c *smshttp.WebhookConfig) { c.Body = `{"to":{{.To|json}}}` }, "text is missing"},
		{"no number", func(c *smshttp.WebhookConfig) {
			c.Number, c.MO.To, c.Body = "", "$.to", `{"to":{{.To|json}},"text":{{.Text|json}},"from":{{.Number|json}}}`
		}, "number is missing"},
		{"no public URL", func(c *smshttp.WebhookConfig) {
			c.CallbackURL, c.Body = "", `{"to":{{.To|json}},"text":{{.Text|json}},"dlr":{{.DLRURL|json}}}`
		}, "public_url"},
		{"a path that is none", func(c *smshttp.WebhookConfig) { c.ID = "id" }, "$.name"},
		{"a path with a wild card", func(c *smshttp.WebhookConfig) { c.DLR.State = "$.*" }, "dlr.state"},
		{"a regular expression without a group", func(c *smshttp.WebhookConfig) { c.ID = "/ok/" }, "groups"},
		{"a regular expression in a callback", func(c *smshttp.WebhookConfig) { c.MO.Text = "/(a)/" }, "for id only"},
		{"a state that is none", func(c *smshttp.WebhookConfig) { c.DLR.Map = map[string]string{"ok": "fine"} }, "dlr.map"},
		{"a report without an id", func(c *smshttp.WebhookConfig) { c.DLR.ID = "" }, "dlr: id"},
		{"an MO without a text", func(c *smshttp.WebhookConfig) { c.MO.Text = "" }, "mo: text"},
		{"an MO to nobody", func(c *smshttp.WebhookConfig) { c.Number = "" }, "mo: to"},
		{"neither secret nor signature", func(c *smshttp.WebhookConfig) { c.HMAC = "" }, "callback_secret"},
		{"a code without ok", func(c *smshttp.WebhookConfig) { c.Code = "$.code" }, "ok is missing"},
		{"an unknown signature", func(c *smshttp.WebhookConfig) { c.Signature = "md5" }, "signature"},
		{"a header that is none", func(c *smshttp.WebhookConfig) { c.Headers = map[string]string{"X A": "1"} }, "headers"},
		{"a header with a line feed", func(c *smshttp.WebhookConfig) { c.Headers = map[string]string{"X-A": "1\n2"} }, "headers"},
		{"a method that is none", func(c *smshttp.WebhookConfig) { c.Method = "SEND" }, "method"},
		{"events without the word for an MO", func(c *smshttp.WebhookConfig) { c.Event = "$.event" }, "mo: event"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := hook("https://sms.example/send")
			config.AllowPrivate = false
			c.edit(&config)
			_, err := smshttp.NewWebhook(config)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "gateway hook") {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
	if _, err := smshttp.NewWebhook(hook("https://sms.example/send")); err != nil {
		t.Error(err)
	}
}

func TestWebhookPath(t *testing.T) {
	const doc = `{"a":{"b":[{"c":"x"},{"c":7}],"d-e":true,"f.g":"y"},"n":null,"o":{},"":"z"}`
	for path, want := range map[string]string{
		"$.a.b[0].c": "x", "$.a.b[1].c": "7", "$['a']['b'][1]['c']": "7", "$.a.d-e": "true", "$.a['f.g']": "y", "$.n": "", "$.o": "", "$.a.b": "", "$": "",
		"$.a.b[2].c": "", "$.a[0]": "", "$.a.b.c": "", "$.x|$.a.b[0].c": "x", "$.n | $.a.d-e": "true",
	} {
		if got, err := smshttp.FieldIn(path, doc); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", path, got, err, want)
		}
	}
	for _, path := range []string{"a", ".a", "$a", "$.", "$..a", "$.a[", "$.a[-1]", "$.a[x]", "$.a[99999]", "$['a", "$['']", "$.a|", "|", "/(/"} {
		if got, err := smshttp.FieldIn(path, doc); err == nil {
			t.Errorf("%s: %q, want an error", path, got)
		}
	}
}

func FuzzWebhookPath(f *testing.F) {
	f.Add("$.a.b[0]['c']|$.d", `{"a":{"b":[{"c":1}]}}`)
	f.Add("/id=(.*)/", "id=4")
	f.Fuzz(func(_ *testing.T, path, doc string) { _, _ = smshttp.FieldIn(path, doc) })
}
