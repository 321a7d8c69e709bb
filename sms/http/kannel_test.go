package smshttp_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
	smshttp "github.com/seed-7a41469f/godwit/sms/http"
)

// kannelOf returns a gateway to a fake smsbox.
func kannelOf(t testing.TB, smsbox http.HandlerFunc, change func(*smshttp.KannelConfig)) *smshttp.Kannel {
	t.Helper()
	srv := httptest.NewServer(smsbox)
	t.Cleanup(srv.Close)
	config := smshttp.KannelConfig{URL: srv.URL + "/cgi-bin/sendsms", Username: "u", Password: "p", Secret: secret, CallbackURL: "http://127.0.0.1:8080/gateway/kannel"}
	if change != nil {
		change(&config)
	}
	g, err := smshttp.NewKannel(config)
	if err != nil {
		t.Fatal(err)
	}
	run(t, g)
	return g
}

// TestKannelAnswers: what smsbox says, of which the status is only half.
func TestKannelAnswers(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		class  sms.Class
	}{
		{202, "0: Accepted for delivery", 0},
		{202, "3: Queued for later delivery", 0},
		{200, "0: Accepted for delivery\n", 0},
		{202, "Sent.", 0},
		{403, "Authorization failed for sendsms", sms.Configuration},
		{403, "Not routable. Do not try again.", sms.Permanent},
		{503, "Temporal failure, try again later.", sms.Throttled},
		{400, "Number(s) has/have been denied by white- and/or black-lists.", sms.Permanent},
		{400, "UDH field misformed, rejected", sms.Permanent},
		{400, "DLR-URL field misformed, rejected", sms.Configuration},
		{400, "Sender missing and no global set, rejected", sms.Configuration},
		{500, "Sending failed.", sms.Unknown},
		{500, "0: Accepted for delivery", sms.Unknown},
		{202, "", sms.Unknown},
		{404, "Unknown request.", sms.Configuration},
		// 200 with an error body
		{200, "Authorization failed for sendsms", sms.Configuration},
		{200, "Not routable. Do not try again.", sms.Permanent},
		{200, "Temporal failure, try again later.", sms.Throttled},
		{200, "<html>captive portal</html>", sms.Unknown},
	} {
		g := kannelOf(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tc.status)
			_, _ = io.WriteString(w, tc.body)
		}, nil)
		o := one(t, g, text(t, 1, "Tea?"))
		if got := sms.ClassOf(o.Err); got != tc.class {
			t.Errorf("%d %q is %s (%v), want %s", tc.status, tc.body, got, o.Err, tc.class)
		}
	}
}

// TestKannelQuery: what sendsms is asked.
func TestKannelQuery(t *testing.T) {
	var got []url.Values
	smsbox := func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.URL.Query())
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "0: Accepted for delivery")
	}
	g := kannelOf(t, smsbox, func(c *smshttp.KannelConfig) { c.SMSC, c.Number, c.Window, c.Rate = "cheap", ours, 3, 20 })
	if a := g.Abilities(); !a.DLR || a.Window != 3 || a.Rate != 20 || a.Number != ours || a.Whole {
		t.Errorf("%+v", a)
	}
	mt := text(t, 5, strings.Repeat("茶", 100))
	mt.From, mt.Validity = "Godwit", 61*time.Second
	outcomes := g.Submit(t.Context(), mt)
	if len(got) != 2 || outcomes[0].Err != nil || outcomes[1].Err != nil || outcomes[0].ID == outcomes[1].ID {
		t.Fatalf("%+v, %v", outcomes, got)
	}
	q := got[1]
	for name, want := range map[string]string{
		"username": "u", "password": "p", "from": "Godwit", "to": "+4917604069003", "coding": "2", "charset": "UTF-16BE", "smsc": "cheap", "validity": "2",
		"dlr-mask": "31", "udh": string([]byte{5, 0, 3, byte(mt.Ref.Reference(0)), 2, 2}),
	} {
		if q.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, q.Get(name), want)
		}
	}
	if octets, _ := sms.Encode(mt.Segments[1].Text, sms.UCS2); q.Get("text") != string(octets) {
		t.Errorf("text % x", q.Get("text"))
	}
	dlr := strings.NewReplacer("%%", "%", "%d", "1", "%A", "", "%t", "").Replace(q.Get("dlr-url")) // as Kannel does
	u, err := url.Parse(dlr)
	if err != nil || u.Path != "/gateway/kannel/dlr" || u.Query().Get("key") != secret || u.Query().Get("segment") != "2" || u.Query().Get("ref") != "c0000000000000000000000000000005" {
		t.Errorf("%s %v", dlr, err)
	}

	got = nil
	plain := kannelOf(t, smsbox, func(c *smshttp.KannelConfig) { c.Secret = "" })
	short := text(t, 6, "5 €")
	short.Validity = 0
	if o := one(t, plain, short); o.Err != nil {
		t.Error(o.Err)
	}
	for _, name := range []string{"udh", "validity", "dlr-url", "dlr-mask", "smsc"} {
		if got[0].Has(name) {
			t.Errorf("%s=%q", name, got[0].Get(name))
		}
	}
	if got[0].Get("coding") != "0" || got[0].Get("charset") != "UTF-8" || got[0].Get("text") != "5 €" {
		t.Errorf("%v", got[0])
	}
}

// TestKannelSegments: after what says something of the whole message or the gateway, the other segments are left out.
func TestKannelSegments(t *testing.T) {
	for body, want := range map[string][3]sms.Class{
		"0: Accepted for delivery":  {0, 0, 0},
		"Not routable.":             {0, sms.Permanent, sms.NotSent},
		"Temporal failure":          {0, sms.Throttled, sms.NotSent},
		"Something else altogether": {0, sms.Unknown, sms.NotSent},
	} {
		var calls atomic.Int32
		g := kannelOf(t, func(w http.ResponseWriter, _ *http.Request) {
			if calls.Add(1) == 2 {
				_, _ = io.WriteString(w, body)
				return
			}
			_, _ = io.WriteString(w, "0: Accepted for delivery")
		}, nil)
		for i, o := range g.Submit(t.Context(), text(t, 1, strings.Repeat("a", 400))) {
			if got := sms.ClassOf(o.Err); got != want[i] || o.Segment != i+1 {
				t.Errorf("%s: segment %d is %s, want %s", body, i+1, got, want[i])
			}
		}
	}
}

// TestKannelResponseTime: all segments share the response time-out.
func TestKannelResponseTime(t *testing.T) {
	hung := make(chan struct{})
	g := kannelOf(t, func(http.ResponseWriter, *http.Request) { <-hung }, func(c *smshttp.KannelConfig) { c.Response = 200 * time.Millisecond })
	defer close(hung)
	began := time.Now()
	o := g.Submit(t.Context(), text(t, 1, strings.Repeat("a", 400)))
	if sms.ClassOf(o[0].Err) != sms.Unknown || sms.ClassOf(o[1].Err) != sms.NotSent || sms.ClassOf(o[2].Err) != sms.NotSent {
		t.Errorf("%+v", o)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestKannelDLRBeforeTheAnswer: a DLR that outruns the answer has the id that the answer will have.
func TestKannelDLRBeforeTheAnswer(t *testing.T) {
	sink := newInbox(0)
	var g *smshttp.Kannel
	g = kannelOf(t, func(w http.ResponseWriter, r *http.Request) {
		dlr, _ := g.Callbacks(sink)
		address := strings.NewReplacer("%%", "%", "%d", "1", "%A", "", "%t", "2026-11-24+11:26:13").Replace(r.URL.Query().Get("dlr-url"))
		rec := httptest.NewRecorder()
		dlr.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, address, nil))
		if rec.Code != http.StatusOK {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
		_, _ = io.WriteString(w, "0: Accepted for delivery")
	}, nil)
	mt := text(t, 1, "Tea?")
	o := one(t, g, mt)
	if r := sink.dlrs[0]; o.Err != nil || r.ID != o.ID || *r.Ref != mt.Ref || r.Segment != 1 || r.State != sms.DeliveredSMS || !r.At.Equal(time.Date(2026, 11, 24, 11, 26, 13, 0, time.UTC)) {
		t.Errorf("%+v %+v", o, r)
	}
}

// get calls a callback and returns the status.
func get(t testing.TB, handler http.Handler, query url.Values) *httptest.ResponseRecorder {
	t.Helper()
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/gateway/kannel/x?"+query.Encode(), nil))
	return rec
}

func values(base map[string]string, pairs ...string) url.Values {
	q := url.Values{}
	for name, value := range base {
		q.Set(name, value)
	}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return q
}

var (
	dlrCall = map[string]string{"key": secret, "ref": "c0000000000000000000000000000001", "segment": "1", "type": "1", "answer": ""}
	moCall  = map[string]string{"key": secret, "from": "4917604069003", "to": "4917604069000", "text": "ok", "coding": "0", "id": "i1", "time": "2026-11-24 11:26:13"}
)

func callbacks(t testing.TB, sink sms.Sink, change func(*smshttp.KannelConfig)) (dlr, mo http.Handler) {
	t.Helper()
	config := smshttp.KannelConfig{URL: "http://127.0.0.1:1/", Username: "u", Password: "p", Secret: secret}
	if change != nil {
		change(&config)
	}
	g, err := smshttp.NewKannel(config)
	if err != nil {
		t.Fatal(err)
	}
	return g.Callbacks(sink)
}

// TestKannelDLR: types and details.
func TestKannelDLR(t *testing.T) {
	for _, tc := range []struct {
		kind, answer, detail string
		state                sms.DLRState
	}{
		{"1", "", "", sms.DeliveredSMS},
		{"1", "id:0123456789 sub:001 dlvrd:001 submit date:2611241126 done date:2611241127 stat:DELIVRD err:000 text:Tea at four?", "DELIVRD 000", sms.DeliveredSMS},
		{"2", "id:0123456789 stat:UNDELIV err:0x1F Text:stat:DELIVRD", "UNDELIV 0x1F", sms.Undelivered},
		{"2", "id:1 stat:EXPIRED", "EXPIRED", sms.Undelivered},
		{"4", "", "", sms.Enroute},
		{"8", "ACK/", "", sms.Enroute},
		{"16", "NACK/0x0000000b/Invalid Destination\nAddress", "0x0000000b/Invalid Destination Address", sms.Undelivered},
		{"16", "NACK/" + strings.Repeat("é", 100), strings.Repeat("é", 30), sms.Undelivered},
		{"32", "what the phone said", "", sms.Enroute},
	} {
		sink := newInbox(0)
		dlr, _ := callbacks(t, sink, nil)
		if rec := get(t, dlr, values(dlrCall, "type", tc.kind, "answer", tc.answer)); rec.Code != 200 || rec.Body.Len() != 0 {
			t.Fatalf("%s: %d %s", tc.kind, rec.Code, rec.Body)
		}
		if r := sink.dlrs[0]; r.State != tc.state || r.Detail != tc.detail || r.ID != "c0000000000000000000000000000001-1" || r.Segment != 1 {
			t.Errorf("%s %q: %+v", tc.kind, tc.answer, r)
		}
	}
}

// TestKannelCallbacksRefuse: each call that is not as it must be has its answer, and reaches nobody.
func TestKannelCallbacksRefuse(t *testing.T) {
	sink := newInbox(0)
	var log bytes.Buffer
	dlr, mo := callbacks(t, sink, func(c *smshttp.KannelConfig) { c.Log = zerolog.New(&log) })
	closedDLR, closedMO := callbacks(t, sink, func(c *smshttp.KannelConfig) { c.Secret = "" })
	for name, tc := range map[string]struct {
		handler http.Handler
		query   url.Values
		want    int
	}{
		"forged callback secret of a DLR":  {dlr, values(dlrCall, "key", "guessed"), 403},
		"forged callback secret of an MO":  {mo, values(moCall, "key", "guessed"), 403},
		"empty secret":                     {mo, values(moCall, "key", ""), 403},
		"secret and more":                  {mo, values(moCall, "key", secret+"x"), 403},
		"no secret configured, DLR":        {closedDLR, values(dlrCall, "key", ""), 403},
		"no secret configured, MO":         {closedMO, values(moCall), 403},
		"DLR without ref":                  {dlr, values(dlrCall, "ref", ""), 400},
		"DLR with a short ref":             {dlr, values(dlrCall, "ref", "c0"), 400},
		"DLR with a ref that is no number": {dlr, values(dlrCall, "ref", "zz000000000000000000000000000001"), 400},
		"DLR of segment 0":                 {dlr, values(dlrCall, "segment", "0"), 400},
		"DLR of segment 256":               {dlr, values(dlrCall, "segment", "256"), 400},
		"DLR of segment x":                 {dlr, values(dlrCall, "segment", "x"), 400},
		"DLR of no type":                   {dlr, values(dlrCall, "type", ""), 400},
		"DLR of type 3":                    {dlr, values(dlrCall, "type", "3"), 400},
		"DLR whose type was not filled in": {dlr, values(dlrCall, "type", "%d"), 400},
		"MO without sender":                {mo, values(moCall, "from", ""), 400},
		"MO to a short code":               {mo, values(moCall, "to", "12345"), 400},
		"MO of coding 3":                   {mo, values(moCall, "coding", "3"), 400},
		"segment without id":               {mo, values(moCall, "id", "", "udh", "\x05\x00\x03\x01\x02\x01"), 400},
		"MO from blanks":                   {mo, values(moCall, "from", " "), 400},
		"MO of 8-bit data":                 {mo, values(moCall, "coding", "1"), 200},
	} {
		rec := get(t, tc.handler, tc.query)
		if rec.Code != tc.want {
			t.Errorf("%s: %d %s, want %d", name, rec.Code, rec.Body, tc.want)
		}
		if strings.Contains(rec.Body.String(), "4917604069003") {
			t.Errorf("%s: the answer tells the number: %s", name, rec.Body)
		}
	}
	for _, private := range []string{secret, url.QueryEscape(secret), "guessed", "4917604069003", "c000000000000000"} {
		if strings.Contains(log.String(), private) {
			t.Errorf("the log tells %q:\n%s", private, log.String())
		}
	}
	if log.Len() == 0 {
		t.Error("nothing was logged")
	}
	if sink.calls != 0 {
		t.Errorf("the sink was called %d times: %+v %+v", sink.calls, sink.dlrs, sink.mos)
	}
}

// senders are what MOs come from over HTTP, and what becomes of that: a name, a short code and a national number stay what they are.
var senders = map[string]contacts.Number{
	"+4917604069003": "4917604069003", "004917604069003": "4917604069003", " 4917604069003": "4917604069003",
	"Bank": "Bank", " My Bank ": "My Bank", "12345": "12345", "+12345": "+12345", "017604069003": "017604069003", "+49 176 04069003": "+49 176 04069003",
	"A\x00\nB\xff": "A\ufffd\ufffdB\ufffd", "a name of far more than 20 characters": "a name of far more t", "4917604069003       x": "04917604069003",
}

// TestKannelSenders also has segments of long ones joined.
func TestKannelSenders(t *testing.T) {
	for from, want := range senders {
		sink := newInbox(0)
		_, mo := callbacks(t, sink, nil)
		one, two := seg(7, 2, 1, "a1", "Hello "), seg(7, 2, 2, "a2", "world")
		one.Set("from", from)
		two.Set("from", from)
		if a, b, c := get(t, mo, values(moCall, "from", from)).Code, get(t, mo, two).Code, get(t, mo, one).Code; a != 200 || b != 503 || c != 200 {
			t.Errorf("%q: %d %d %d", from, a, b, c)
		}
		if len(sink.mos) != 2 || sink.mos[0].From != want || sink.mos[1].From != want || sink.mos[1].Text != "Hello world" {
			t.Errorf("%q: %+v, want %q", from, sink.mos, want)
		}
	}
}

// TestCallbackMethodAndSize: other methods and large bodies.
func TestCallbackMethodAndSize(t *testing.T) {
	sink := newInbox(0)
	dlr, _ := callbacks(t, sink, nil)
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodHead, http.MethodOptions, "BREW"} {
		rec := httptest.NewRecorder()
		dlr.ServeHTTP(rec, httptest.NewRequest(method, "/?"+values(dlrCall).Encode(), nil))
		if rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != "GET, POST" {
			t.Errorf("%s: %d", method, rec.Code)
		}
	}
	for size, want := range map[int]int{64 << 10: 200, 64<<10 + 1: 413} {
		rec := httptest.NewRecorder()
		dlr.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/?"+values(dlrCall).Encode(), strings.NewReader(strings.Repeat("x", size))))
		if rec.Code != want {
			t.Errorf("%d octets: %d", size, rec.Code)
		}
	}
	if len(sink.dlrs) != 1 {
		t.Errorf("%+v", sink.dlrs)
	}
}

// TestKannelStorageFails: 503 until the sink has it.
func TestKannelStorageFails(t *testing.T) {
	sink := newInbox(2)
	dlr, mo := callbacks(t, sink, nil)
	for i, want := range []int{503, 503, 200, 200} {
		if rec := get(t, mo, values(moCall)); rec.Code != want || strings.Contains(rec.Body.String(), "disk") {
			t.Errorf("call %d: %d %s, want %d", i+1, rec.Code, rec.Body, want)
		}
	}
	sink.fail = 1
	for i, want := range []int{503, 200} {
		if rec := get(t, dlr, values(dlrCall)); rec.Code != want {
			t.Errorf("DLR, call %d: %d, want %d", i+1, rec.Code, want)
		}
	}
	if len(sink.mos) != 1 || len(sink.dlrs) != 1 {
		t.Errorf("%+v %+v", sink.mos, sink.dlrs)
	}
}

// TestKannelMOText: texts in the charsets that Kannel may give.
func TestKannelMOText(t *testing.T) {
	for name, tc := range map[string]struct{ text, coding, charset, want string }{
		"UTF-8":                {"Grüße €", "0", "UTF-8", "Grüße €"},
		"no charset":           {"Grüße €", "", "", "Grüße €"},
		"Latin-1":              {"Gr\xfc\xdfe", "0", "", "Grüße"},
		"Latin-1 as UTF-8":     {"\xc3\xbc", "0", "ISO-8859-1", "Ã¼"},
		"UTF-16BE":             {"\x83\x36\xd8\x3d\xde\x00", "2", "UTF-16BE", "茶😀"},
		"half a character":     {"\x83\x36\xd8\x3d", "2", "UTF-16BE", "茶\ufffd"},
		"an odd octet":         {"\x83\x36\x00", "2", "UTF-16BE", "茶\ufffd"},
		"recoded (mo-recode)":  {"茶", "0", "UTF-8", "茶"},
		"undefined coding":     {"a", "-1", "", "a"},
		"nothing":              {"", "0", "", ""},
		"blanks at both ends ": {" a ", "0", "", " a "},
	} {
		sink := newInbox(0)
		_, mo := callbacks(t, sink, nil)
		if rec := get(t, mo, values(moCall, "text", tc.text, "coding", tc.coding, "charset", tc.charset)); rec.Code != 200 {
			t.Fatalf("%s: %d %s", name, rec.Code, rec.Body)
		}
		if m := sink.mos[0]; m.Text != tc.want || m.ID != "i1" || !m.At.Equal(time.Date(2026, 11, 24, 11, 26, 13, 0, time.UTC)) {
			t.Errorf("%s: %+v, want %q", name, m, tc.want)
		}
		checkMO(t, sink.mos[0])
	}
	// Our own short code is the number that is configured.
	sink := newInbox(0)
	_, mo := callbacks(t, sink, func(c *smshttp.KannelConfig) { c.Number = ours })
	if rec := get(t, mo, values(moCall, "to", "12345")); rec.Code != 200 || sink.mos[0].To != ours {
		t.Errorf("%d %+v", rec.Code, sink.mos)
	}
}

// TestKannelConfig: what is wrong is named.
func TestKannelConfig(t *testing.T) {
	good := smshttp.KannelConfig{Name: "kan", URL: "http://127.0.0.1:13013/cgi-bin/sendsms", Username: "u", Password: "hush", Secret: "s", CallbackURL: "http://127.0.0.1:8080/gateway/kan"}
	for name, tc := range map[string]struct {
		change func(*smshttp.KannelConfig)
		want   string
	}{
		"no url":            {func(c *smshttp.KannelConfig) { c.URL = "" }, "url"},
		"no scheme":         {func(c *smshttp.KannelConfig) { c.URL = "127.0.0.1:13013" }, "url"},
		"a query":           {func(c *smshttp.KannelConfig) { c.URL += "?username=u" }, "url"},
		"a password in it":  {func(c *smshttp.KannelConfig) { c.URL = "http://u:hush@127.0.0.1/" }, "url"},
		"no username":       {func(c *smshttp.KannelConfig) { c.Username = "" }, "username"},
		"no password":       {func(c *smshttp.KannelConfig) { c.Password = "" }, "password"},
		"a callback path":   {func(c *smshttp.KannelConfig) { c.CallbackURL = "/gateway/kan" }, "callback URL"},
		"a callback script": {func(c *smshttp.KannelConfig) { c.CallbackURL = "javascript:alert(1)" }, "callback URL"},
	} {
		c := good
		tc.change(&c)
		if _, err := smshttp.NewKannel(c); err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "kan") || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if g, err := smshttp.NewKannel(good); err != nil || g.Name() != "kan" || !g.Abilities().DLR || g.Abilities().Window != 10 {
		t.Errorf("%v", err)
	}
}

// TestKannelWireLog: the operator sees what goes over the wire, without secrets, numbers and texts.
func TestKannelWireLog(t *testing.T) {
	var lines []string
	wire := sms.NewWire(func(line string) { lines = append(lines, line) })
	wire.Set(true)
	sink := newInbox(0)
	g := kannelOf(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "0: Accepted for delivery") },
		func(c *smshttp.KannelConfig) { c.Wire, c.Password = wire, "hush" })
	one(t, g, text(t, 1, "a private text"))
	dlr, mo := g.Callbacks(sink)
	get(t, dlr, values(dlrCall))
	get(t, mo, values(moCall, "text", "a private text"))
	all := strings.Join(lines, "\n")
	for _, private := range []string{"hush", secret, "private", string(peer), string(ours)} {
		if strings.Contains(all, private) {
			t.Errorf("it tells %q:\n%s", private, all)
		}
	}
	if len(lines) != 4 || !strings.Contains(all, peer.Mask()) {
		t.Errorf("%s", all)
	}
	wire.Set(false)
	one(t, g, text(t, 2, "x"))
	if len(lines) != 4 {
		t.Error("it is off")
	}
}

// TestKannelClosesConnections: a gateway that ends leaves no connection.
func TestKannelClosesConnections(t *testing.T) {
	var open atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "0: Accepted") }))
	closed := make(chan struct{}, 100)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			open.Add(-1)
			closed <- struct{}{}
		}
	}
	srv.Start()
	defer srv.Close()
	for range 50 {
		g, err := smshttp.NewKannel(smshttp.KannelConfig{URL: srv.URL, Username: "u", Password: "p"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- g.Run(ctx, newInbox(0)) }()
		one(t, g, text(t, 1, "x"))
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		<-closed
	}
	if open.Load() != 0 {
		t.Errorf("%d connections are open", open.Load())
	}
}

// TestErrorsAreErrors: the outcome of what was taken has a nil error, not a nil *sms.Error.
func TestErrorsAreErrors(t *testing.T) {
	each(t, func(t *testing.T, c carrier) {
		srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, c.taken) })
		if o := one(t, c.start(t, srv.URL, 0), text(t, 1, "x")); o.Err != nil || errors.As(o.Err, new(*sms.Error)) {
			t.Errorf("%v", o.Err)
		}
	})
}

// FuzzKannelCallbacks: no call does harm, and none without the secret reaches the sink.
func FuzzKannelCallbacks(f *testing.F) {
	for _, q := range []url.Values{values(dlrCall), values(moCall), seg(1, 2, 1, "a", "x"), values(moCall, "coding", "2", "text", "\xd8\x3d"), values(moCall, "key", "")} {
		f.Add(q.Encode())
	}
	f.Add("key=%zz&from=;&udh=%05%00")
	config := smshttp.KannelConfig{URL: "http://127.0.0.1:1/", Username: "u", Password: "p", Secret: secret}
	f.Fuzz(func(t *testing.T, query string) {
		g, err := smshttp.NewKannel(config)
		if err != nil {
			t.Fatal(err)
		}
		sink := newInbox(0)
		dlr, mo := g.Callbacks(sink)
		for _, handler := range []http.Handler{dlr, mo} {
			req := httptest.NewRequest(http.MethodGet, "/", nil)
			req.URL.RawQuery = query
			handler.ServeHTTP(httptest.NewRecorder(), req)
		}
		if q, _ := url.ParseQuery(query); q.Get("key") != secret && sink.calls > 0 {
			t.Errorf("%q reached the sink", query)
		}
		for _, m := range sink.mos {
			checkMO(t, m)
		}
		for _, r := range sink.dlrs {
			if r.State < sms.Enroute || r.State > sms.DeliveredSMS || r.Ref == nil || r.Segment < 1 {
				t.Errorf("%+v", r)
			}
		}
	})
}
