package api_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/store/memory"
)

func TestSend(t *testing.T) {
	d := openDesk(t)
	d.add("boiler")
	alert, err := os.ReadFile("testdata/alertmanager-firing.json")
	if err != nil {
		t.Fatal(err)
	}
	in := func(after time.Duration) func(*delivery.Message) bool {
		return func(m *delivery.Message) bool {
			return m.Expires.Sub(m.Accepted).Round(time.Minute) == after
		}
	}
	for _, c := range []struct {
		name, path, contentType, body string
		to                            contacts.Address
		root                          delivery.Root
		text                          string
		has                           func(m *delivery.Message) bool
	}{
		{"text", "/to/" + bob, "text/plain", "hello", bob, delivery.RootTo, "hello", nil},
		{"curl -d", "/to/" + bob, form, "hello", bob, delivery.RootTo, "hello", nil},
		{"for the app", "/app/" + bob, "", "hello", bob, delivery.RootApp, "hello", nil},
		{"as an SMS", "/sms/" + eve, "", "hello", eve, delivery.RootSMS, "hello", nil},
		{"to a name", "/to/boiler", "", "on", "boiler", delivery.RootTo, "on", nil},
		{"as people write a number", "/to/+49%20176%2F040-69%20002", "", "hello", bob, delivery.RootTo, "hello", nil},
		{"as one dials it at home", "/to/0176%2004069002", "", "hello", bob, delivery.RootTo, "hello", nil},
		{"with a key", "/to/" + bob + "/order-7", "", "hello", bob, delivery.RootTo, "hello", func(m *delivery.Message) bool { return m.Key.Text == "order-7" }},
		{"with the key in the path and the body", "/to/" + bob + "/order-8", "application/json", `{"text":"hello","key":"order-8"}`, bob, delivery.RootTo, "hello",
			func(m *delivery.Message) bool { return m.Key.Text == "order-8" }},
		{"JSON with options", "/to/" + bob, "application/json", `{"text":"hello","after":"30s","sms":"never","receipts":"all","expires":"2h","key":"k1"}`, bob, delivery.RootTo, "hello",
			func(m *delivery.Message) bool {
				return m.Wait == 30*time.Second && m.SMSPolicy == delivery.SMSNever && m.Receipts == delivery.ReceiptsAll && m.Key.Text == "k1" && in(2*time.Hour)(m)
			}},
		{"a form with options", "/to/" + bob, form, "text=hello&after=30s&receipts=final", bob, delivery.RootTo, "hello",
			func(m *delivery.Message) bool {
				return m.Wait == 30*time.Second && m.Receipts == delivery.ReceiptsFinal
			}},
		{"options in the query", "/to/" + bob + "?after=30s&receipts=none&key=k2", "", "hello", bob, delivery.RootTo, "hello",
			func(m *delivery.Message) bool {
				return m.Wait == 30*time.Second && m.Receipts == delivery.ReceiptsNone && m.Key.Text == "k2"
			}},
		{"a wait that is too long", "/to/" + bob + "?after=24h", "", "hello", bob, delivery.RootTo, "hello", func(m *delivery.Message) bool { return m.Wait == 10*time.Minute }},
		{"a wait that is too short", "/to/" + bob + "?after=1ms", "", "hello", bob, delivery.RootTo, "hello", func(m *delivery.Message) bool { return m.Wait == time.Second }},
		{"an expiry in days", "/to/" + bob + "?expires=7d", "", "hello", bob, delivery.RootTo, "hello", in(7 * 24 * time.Hour)},
		{"an expiry beyond the inbox", "/to/" + bob + "?expires=90d", "", "hello", bob, delivery.RootTo, "hello", in(30 * 24 * time.Hour)},
		{"an expiry at a moment", "/to/" + bob + "?expires=" + time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "", "hello", bob, delivery.RootTo, "hello", in(time.Hour)},
		{"octets", "/to/" + bob, "application/octet-stream", "\x00\xff", bob, delivery.RootTo, "\x00\xff", nil},
		{"ntfy", "/to", "", `{"topic":"` + bob + `","title":"Title","message":"hello","priority":5,"tags":["x"]}`, bob, delivery.RootTo, "Title\nhello", nil},
		{"ntfy, said to be a form", "/to", form, `{"topic":"+49 176 04069002","message":"hello"}`, bob, delivery.RootTo, "hello", nil},
		{"an alert, to the path", "/to/" + bob + "?template=alertmanager", "application/json", string(alert), bob, delivery.RootTo,
			"2 FIRING: HighRequestLatency\nHigh request latency\ndb1.example.org:9100, db2.example.org:9100", func(m *delivery.Message) bool { return len(m.Key.Text) == 32 }},
		{"an alert, to the query", "/to?template=grafana&to=boiler&sms=auto", "application/json", string(alert), "boiler", delivery.RootTo,
			"2 FIRING: HighRequestLatency\nHigh request latency\ndb1.example.org:9100, db2.example.org:9100", nil},
		{"an alert with a key", "/to/boiler/k3?template=alertmanager", "application/json", string(alert), "boiler", delivery.RootTo,
			"2 FIRING: HighRequestLatency\nHigh request latency\ndb1.example.org:9100, db2.example.org:9100", func(m *delivery.Message) bool { return m.Key.Text == "k3" }},
	} {
		a := d.ask(ann, "POST", c.path, c.contentType, c.body)
		var s api.Sent
		if a.status != http.StatusAccepted || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", c.name, a.status, a.body)
			continue
		}
		a.into(t, &s)
		m := d.message(s.ID)
		if s.State != "accepted" || s.Reason != "" || m.From != ann || m.To != c.to || m.Root != c.root || string(m.Payload) != c.text || c.has != nil && !c.has(m) {
			t.Errorf("%s: %s, stored %+v", c.name, a.body, m)
		}
	}
}

// What is no message is a 400 that says why, and nothing is stored.
func TestSendRefuses(t *testing.T) {
	d := openDesk(t, func(_ *delivery.Config, c *api.Config) { c.Packet = 1024 })
	for _, c := range []struct {
		name, path, contentType, body string
		status                        int
		says                          string
	}{
		{"no text", "/to/" + bob, "", "", 400, "no text"},
		{"too large", "/to/" + bob, "", strings.Repeat("x", 1025), 413, "1024"},
		{"no address", "/to/hallo!", "", "hello", 400, "to: "},
		{"an address in other digits", "/to/%EF%BC%94%EF%BC%99", "", "hello", 400, "to: "},
		{"a key that is none", "/to/" + bob + "/a%2Fb", "", "hello", 400, "a key is"},
		{"an empty key", "/to/" + bob + "?key=", "", "hello", 400, "a key is"},
		{"an SMS to a name", "/sms/boiler", "", "hello", 400, "is a name"},
		{"an SMS only to a name", "/to/boiler?sms=only", "", "hello", 400, "never gets an SMS"},
		{"an unknown value", "/to/" + bob + "?sms=maybe", "", "hello", 400, "auto, never or only"},
		{"an unknown wait", "/to/" + bob + "?after=soon", "", "hello", 400, "after"},
		{"an unknown expiry", "/to/" + bob + "?expires=soon", "", "hello", 400, "expires"},
		{"an expiry in the past", "/to/" + bob + "?expires=2020-01-01T00:00:00Z", "", "hello", 400, "in the past"},
		{"no time at all", "/to/" + bob + "?expires=0", "", "hello", 400, "no time"},
		{"an unknown parameter", "/to/" + bob + "?afer=30s", "", "hello", 400, `"afer"`},
		{"a parameter twice", "/to/" + bob + "?sms=auto&sms=never", "", "hello", 400, "given twice"},
		{"query and body differ", "/to/" + bob + "?sms=auto", "application/json", `{"text":"hello","sms":"never"}`, 400, "given twice"},
		{"path and body differ", "/to/" + bob + "/k1", "application/json", `{"text":"hello","key":"k2"}`, 400, "given twice"},
		{"two addresses", "/to/" + bob + "?to=boiler", "", "hello", 400, "given twice"},
		{"a query that is none", "/to/" + bob + "?a=%zz", "", "hello", 400, "query"},
		{"an unknown field", "/to/" + bob, "application/json", `{"text":"hello","afer":"30s"}`, 400, `"afer"`},
		{"ntfy without a topic", "/to", "", `{"message":"hello"}`, 400, "to whom"},
		{"no template", "/to/" + bob + "?template=nagios", "", "{}", 400, "alertmanager and grafana"},
		{"Latin-1", "/to/" + bob, "text/plain; charset=iso-8859-1", "gr\xfc\xdfe", 415, "UTF-8"},
	} {
		a := d.ask(ann, "POST", c.path, c.contentType, c.body)
		if p := a.problem(t); a.status != c.status || !strings.Contains(p.Detail, c.says) || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", c.name, a.status, a.body)
		}
	}
	if a := d.ask("", "POST", "/to/"+bob, "", "hello"); a.status != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") == "" {
		t.Errorf("nobody: %d %s", a.status, a.body)
	}
	d.tokens["boiler"] = d.tokens[ann]
	if a := d.ask("boiler", "POST", "/to/"+bob, "", "hello"); a.status != http.StatusUnauthorized {
		t.Errorf("somebody else's token: %d %s", a.status, a.body)
	}
	if all, _, err := d.store.List(t.Context(), delivery.Query{Limit: 10}); err != nil || len(all) != 0 {
		t.Errorf("%d messages are stored, %v", len(all), err)
	}
}

// The answer tells at once what will not be; a retry with the same key tells how the first one is by now.
func TestSendTellsWhatIsKnown(t *testing.T) {
	d := openDesk(t, func(c *delivery.Config, _ *api.Config) { c.Inbox = 2 })
	if s := d.post("/to/nobody", "", "hello"); s.State != "failed" || s.Reason != delivery.NoSuchName {
		t.Errorf("to nobody: %+v", s)
	}
	for range 2 {
		d.post("/app/"+bob, "", "hello")
	}
	if s := d.post("/app/"+bob, "", "hello"); s.State != "failed" || s.Reason != delivery.InboxFull {
		t.Errorf("to a full inbox: %+v", s)
	}
	first := d.post("/sms/"+eve+"/k1", "", "hello")
	d.becomes(first.ID, delivery.Submitted)
	again := d.post("/to/"+eve+"/k1", "application/json", `{"text":"another text"}`)
	if again.ID != first.ID || again.State != "submitted" {
		t.Errorf("first %+v, again %+v", first, again)
	}
	if m := d.message(first.ID); string(m.Payload) != "hello" {
		t.Errorf("%q", m.Payload)
	}
}

func TestSendThatCannotBeStored(t *testing.T) {
	d := openDesk(t)
	d.store.SetFull(true)
	if a := d.ask(ann, "POST", "/to/"+bob, "", "hello"); a.status != http.StatusInsufficientStorage || a.problem(t).Code != api.CodeStorage || a.header.Get("Retry-After") == "" {
		t.Errorf("disk low: %d %s", a.status, a.body)
	}
	d.store.SetFull(false)
	d.store.Inject(memory.Fault{Wrote: memory.Nothing, Err: errors.New("the disk is gone")})
	if a := d.ask(ann, "POST", "/to/"+bob, "", "hello"); a.status != http.StatusInsufficientStorage || strings.Contains(string(a.body), "disk is gone") {
		t.Errorf("the store fails: %d %s", a.status, a.body)
	}
	if disk, store := d.api.Refused(api.RefusedDisk), d.api.Refused(api.RefusedStore); disk != 1 || store != 1 {
		t.Errorf("counted: disk %d, store %d", disk, store)
	}
	d.post("/to/"+bob, "", "hello")
	d.stop()
	for end := time.Now().Add(10 * time.Second); ; {
		a := d.ask(ann, "POST", "/to/"+bob, "", "hello")
		if a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != "" {
			break
		}
		if a.status != http.StatusAccepted || time.Now().After(end) {
			t.Fatalf("stopping: %d %s", a.status, a.body)
		}
	}
}

// A sender who is too fast is slowed down, then refused for a while; others are not.
func TestSendRate(t *testing.T) {
	d := openDesk(t, func(_ *delivery.Config, c *api.Config) { c.SendRate = 5 })
	began := time.Now()
	var answers [30]answer
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = d.ask(ann, "POST", "/app/"+bob, "", "hello") })
	}
	all.Wait()
	took := time.Since(began)
	taken, refused := 0, 0
	for _, a := range answers {
		switch a.status {
		case http.StatusAccepted:
			taken++
		case http.StatusTooManyRequests:
			refused++
			if p := a.problem(t); p.Code != api.CodeTooMany || a.header.Get("Retry-After") == "" {
				t.Errorf("%v %s", a.header, a.body)
			}
		default:
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if taken < 18 || taken > 24 || refused != len(answers)-taken || took < 2*time.Second || took > 6*time.Second { // a burst of 5, and 3 s at 5/s
		t.Errorf("%d were taken and %d refused in %v", taken, refused, took)
	}
	began = time.Now()
	if a := d.ask(bob, "POST", "/app/"+ann, "", "hello"); a.status != http.StatusAccepted || time.Since(began) > time.Second {
		t.Errorf("another user: %d after %v", a.status, time.Since(began))
	}
}

// Nobody is remembered for longer than it matters, however many send.
func TestPacesAreBounded(t *testing.T) {
	now := time.Now()
	p := api.NewPaces(20)
	for i := range 100_000 {
		now = now.Add(time.Millisecond)
		if wait, ok := p.Take(contacts.Address(fmt.Sprintf("user-%d", i)), now); wait != 0 || !ok {
			t.Fatalf("user %d waits %v", i, wait)
		}
	}
	if n := p.Len(); n > 4096 {
		t.Errorf("%d users are remembered", n)
	}
	slow := api.NewPaces(1.0 / 3600)
	if wait, ok := slow.Take(ann, now); wait != 0 || !ok {
		t.Errorf("the first of an hour waits %v", wait)
	}
	if wait, ok := slow.Take(ann, now); ok || wait < 59*time.Minute {
		t.Errorf("the second of an hour: %v %v", wait, ok)
	}
	fast := api.NewPaces(1)
	for i := range 2000 {
		user := contacts.Address(fmt.Sprintf("user-%d", i))
		fast.Take(user, now)
		if _, ok := fast.Take(user, now); ok != (i < 1024) {
			t.Fatalf("user %d may wait: %v", i, ok)
		}
	}
}

// A body that never ends costs its own connection only.
func TestABodyThatNeverEnds(t *testing.T) {
	d := openDesk(t)
	c, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := http.NewRequest("POST", d.url+"/to/"+bob, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(ann, d.tokens[ann])
	fmt.Fprintf(c, "POST /to/%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: %s\r\nTransfer-Encoding: chunked\r\n\r\n", bob, r.Header.Get("Authorization"))
	chunk := "1000\r\n" + strings.Repeat("x", 0x1000) + "\r\n"
	go func() {
		for {
			if _, err := c.Write([]byte(chunk)); err != nil {
				return
			}
		}
	}()
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%v, %v", response, err)
	}
	d.post("/to/"+bob, "", "hello")
}
