package smshttp_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
	smshttp "github.com/seed-7a41469f/godwit/sms/http"
)

// TestTwilioSignatureVectors: as Twilio documents them.
func TestTwilioSignatureVectors(t *testing.T) {
	call := func(from string) url.Values {
		return url.Values{"CallSid": {"CA1234567890ABCDE"}, "Caller": {from}, "Digits": {"1234"}, "From": {from}, "To": {"+18005551212"}}
	}
	for name, tc := range map[string]struct {
		url, want string
		form      url.Values
	}{
		"documentation":  {"https://mycompany.com/myapp.php?foo=1&bar=2", "0/KCTR6DLpKmkAf8muzZqo1nDgQ=", call("+12349013030")},
		"libraries":      {"https://mycompany.com/myapp.php?foo=1&bar=2", "RSOYDt4T1cUTdK1PDd93/VVr8B8=", call("+14158675309")},
		"same parameter": {"https://example.com/a", sign("12345", "https://example.com/a", "MediaUrlhttp://aMediaUrlhttp://b"), url.Values{"MediaUrl": {"http://b", "http://a", "http://b"}}},
	} {
		if got := smshttp.TwilioSignature("12345", tc.url, tc.form); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
	voice := url.Values{ // from the tests of Twilio's own library, with parameters that are empty
		"ToState": {"California"}, "CalledState": {"California"}, "Direction": {"inbound"}, "FromState": {"CA"},
		"AccountSid": {"ACba8bc05eacf94afdae398e642c9cc32d"}, "Caller": {"+14153595711"}, "CallerZip": {"94108"}, "CallerCountry": {"US"},
		"From": {"+14153595711"}, "FromCity": {"SAN FRANCISCO"}, "CallerCity": {"SAN FRANCISCO"}, "To": {"+14157669926"}, "FromZip": {"94108"},
		"FromCountry": {"US"}, "ToCity": {""}, "CallStatus": {"ringing"}, "CalledCity": {""}, "CallerState": {"CA"}, "CalledZip": {""}, "ToZip": {""},
		"ToCountry": {"US"}, "CallSid": {"CA136d09cd59a3c0ec8dbff44da5c03f31"}, "CalledCountry": {"US"}, "Called": {"+14157669926"},
		"ApiVersion": {"2010-04-01"}, "ApplicationSid": {"AP44efecad51364e80b133bb7c07eb8204"},
	}
	if got := smshttp.TwilioSignature("2bd9e9638872de601313dc77410d3b23", "http://twiliotests.heroku.com/validate/voice", voice); got != "oVb2kXoVy8GEfwBDjR8bk/ZZ6eA=" {
		t.Errorf("voice: %s", got)
	}
}

// sign signs what is put together by hand.
func sign(token string, parts ...string) string {
	mac := hmac.New(sha1.New, []byte(token))
	_, _ = io.WriteString(mac, strings.Join(parts, ""))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

const (
	account = "AC00000000000000000000000000000001"
	token   = "a secret token"
)

// A fakeTwilio takes messages as strictly as Twilio does, and calls back signed.
type fakeTwilio struct {
	t   testing.TB
	url string

	mu       sync.Mutex
	messages []url.Values
	refuse   func(form url.Values) (status int, code int)
	during   func(sid string, form url.Values) // before the answer
}

func newFakeTwilio(t testing.TB) *fakeTwilio {
	f := &fakeTwilio{t: t}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2010-04-01/Accounts/{account}/Messages.json", f.create)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	f.url = srv.URL
	return f
}

// create is the Messages resource.
func (f *fakeTwilio) create(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, body map[string]any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
	fail := func(status, code int) {
		answer(status, map[string]any{"code": code, "message": "no", "more_info": fmt.Sprintf("https://www.twilio.com/docs/errors/%d", code), "status": status})
	}
	if user, password, ok := r.BasicAuth(); !ok || user != account || password != token || r.PathValue("account") != account {
		fail(401, 20003)
		return
	}
	if err := r.ParseForm(); err != nil || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		fail(400, 21602)
		return
	}
	form := r.PostForm
	if status, code := f.check(form); status != 0 {
		fail(status, code)
		return
	}
	f.mu.Lock()
	f.messages = append(f.messages, form)
	sid := fmt.Sprintf("SM%032d", len(f.messages))
	refuse, during := f.refuse, f.during
	f.mu.Unlock()
	if refuse != nil {
		if status, code := refuse(form); status/100 == 2 {
			answer(status, map[string]any{"sid": sid, "status": "failed", "error_code": code, "error_message": "no"})
			return
		} else if status != 0 {
			fail(status, code)
			return
		}
	}
	if during != nil {
		during(sid, form)
	}
	answer(201, map[string]any{"sid": sid, "status": "queued", "error_code": nil, "body": form.Get("Body"), "num_segments": "1"})
}

func (f *fakeTwilio) check(form url.Values) (status, code int) {
	validity, err := strconv.Atoi(form.Get("ValidityPeriod"))
	callback, urlErr := url.Parse(form.Get("StatusCallback"))
	switch {
	case !strings.HasPrefix(form.Get("To"), "+"):
		return 400, 21211
	case form.Get("From") == "":
		return 400, 21603
	case form.Get("Body") == "":
		return 400, 21602
	case err != nil || validity < 1 || validity > 36000:
		return 400, 20001
	case urlErr != nil || callback.Scheme != "http" || callback.Fragment != "rc=5&rp=5xx,ct,rt":
		return 400, 21609
	}
	for name := range form {
		if !strings.Contains(" To From Body StatusCallback ValidityPeriod ", " "+name+" ") {
			return 400, 20001
		}
	}
	return 0, 0
}

// call calls a webhook as Twilio does, and returns the status and body of the answer.
func (f *fakeTwilio) call(address string, form url.Values, key string) (int, string) {
	f.t.Helper()
	address, _, _ = strings.Cut(address, "#")
	signed := address
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		signed += name + form.Get(name)
	}
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
	req.Header.Set("X-Twilio-Signature", sign(key, signed))
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

// twilio is a gateway to f, whose callbacks arrive at sink under the URL that is returned.
func twilio(t testing.TB, f *fakeTwilio, sink sms.Sink, change func(*smshttp.TwilioConfig)) (g *smshttp.Twilio, callbacks string) {
	t.Helper()
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	config := smshttp.TwilioConfig{URL: f.url, Account: account, Token: token, CallbackURL: srv.URL + "/gateway/twilio"}
	if change != nil {
		change(&config)
	}
	g, err := smshttp.NewTwilio(config)
	if err != nil {
		t.Fatal(err)
	}
	run(t, g)
	dlr, mo := g.Callbacks(sink)
	mux.Handle("/gateway/twilio/dlr", dlr)
	mux.Handle("/gateway/twilio/mo", mo)
	return g, config.CallbackURL
}

// TestTwilioConversation: a message goes out whole, is reported, and is answered.
func TestTwilioConversation(t *testing.T) {
	f, sink := newFakeTwilio(t), newInbox(0)
	g, callbacks := twilio(t, f, sink, nil)
	if a := g.Abilities(); !a.Whole || !a.DLR || a.Window != 10 {
		t.Errorf("%+v", a)
	}
	long := text(t, 7, strings.Repeat("Grüße 😀 ", 40))
	outcomes := g.Submit(t.Context(), long)
	if len(outcomes) != long.Count || long.Count < 2 {
		t.Fatalf("%d outcomes of %d segments", len(outcomes), long.Count)
	}
	for i, o := range outcomes {
		if o.Err != nil || o.ID != outcomes[0].ID || o.ID == "" || o.Segment != i+1 {
			t.Errorf("%+v", o)
		}
	}
	form := f.messages[0]
	if form.Get("To") != "+"+string(peer) || form.Get("From") != "+"+string(ours) || form.Get("Body") != long.Text || form.Get("ValidityPeriod") != "3600" {
		t.Errorf("%v", form)
	}
	for i, status := range []string{"queued", "sent", "delivered", "delivered"} {
		if code, body := f.call(form.Get("StatusCallback"), url.Values{"MessageSid": {outcomes[0].ID}, "MessageStatus": {status}, "To": {"+4917604069003"}}, token); code/100 != 2 || body != "" {
			t.Errorf("%s: %d %s", status, code, body)
		}
		r := sink.dlrs[i]
		want := map[string]sms.DLRState{"queued": sms.Enroute, "sent": sms.Enroute, "delivered": sms.DeliveredSMS}[status]
		if r.State != want || r.Ref == nil || *r.Ref != long.Ref || r.Segment != 0 || r.ID != outcomes[0].ID || r.Gateway != "twilio" || r.At.IsZero() {
			t.Errorf("%s: %+v", status, r)
		}
	}
	code, body := f.call(callbacks+"/mo", url.Values{"MessageSid": {"SM9"}, "From": {"+4917604069003"}, "To": {"+4917604069000"}, "Body": {"Gerne ☺\n€"}, "NumMedia": {"0"}}, token)
	if code != 200 || body != `<?xml version="1.0" encoding="UTF-8"?><Response/>` {
		t.Errorf("%d %s", code, body)
	}
	if m := sink.mos[0]; m.ID != "SM9" || m.From != peer || m.To != ours || m.Text != "Gerne ☺\n€" || m.Gateway != "twilio" {
		t.Errorf("%+v", m)
	}
}

// TestTwilioDLRBeforeTheAnswer: the report names the message by our reference, so it may come first.
func TestTwilioDLRBeforeTheAnswer(t *testing.T) {
	f, sink := newFakeTwilio(t), newInbox(0)
	f.during = func(sid string, form url.Values) {
		f.call(form.Get("StatusCallback"), url.Values{"MessageSid": {sid}, "MessageStatus": {"delivered"}}, token)
	}
	g, _ := twilio(t, f, sink, nil)
	mt := text(t, 9, "Tea?")
	if o := one(t, g, mt); o.Err != nil || len(sink.dlrs) != 1 || *sink.dlrs[0].Ref != mt.Ref || sink.dlrs[0].ID != o.ID {
		t.Errorf("%+v %+v", o, sink.dlrs)
	}
}

// TestTwilioErrors: the table of Twilio's codes.
func TestTwilioErrors(t *testing.T) {
	for _, tc := range []struct {
		status, code int
		class        sms.Class
		optedOut     bool
	}{
		{400, 21610, sms.Permanent, true},
		{400, 21211, sms.Permanent, false},
		{400, 21614, sms.Permanent, false},
		{400, 21617, sms.Permanent, false},
		{400, 21606, sms.Configuration, false},
		{400, 21611, sms.Throttled, false},
		{400, 14107, sms.Throttled, false},
		{429, 20429, sms.Throttled, false},
		{401, 20003, sms.Configuration, false},
		{404, 20404, sms.Configuration, false},
		{400, 99999, sms.Permanent, false},
		{403, 99999, sms.Configuration, false},
		{429, 99999, sms.Throttled, false},
		{500, 20500, sms.Unknown, false},
		{503, 21610, sms.Unknown, false},   // a proxy may have answered
		{201, 21610, sms.Permanent, true},  // taken and given up at once
		{201, 30001, sms.Throttled, false}, //
		{200, 0, sms.Permanent, false},
	} {
		t.Run(fmt.Sprintf("%d %d", tc.status, tc.code), func(t *testing.T) {
			f := newFakeTwilio(t)
			f.refuse = func(url.Values) (int, int) { return tc.status, tc.code }
			g, _ := twilio(t, f, newInbox(0), nil)
			o := one(t, g, text(t, 1, "Tea?"))
			wantClass(t, o, tc.class)
			if e := (*sms.Error)(nil); !errors.As(o.Err, &e) || e.OptedOut != tc.optedOut {
				t.Errorf("%+v", o.Err)
			}
		})
	}
}

// TestTwilioWrongToken: 401, and the operator must act.
func TestTwilioWrongToken(t *testing.T) {
	g, _ := twilio(t, newFakeTwilio(t), newInbox(0), func(c *smshttp.TwilioConfig) { c.Token = "wrong" })
	wantClass(t, one(t, g, text(t, 1, "Tea?")), sms.Configuration)
}

// TestTwilioPart: what is left of a message is not sent, since Twilio would send all of it.
func TestTwilioPart(t *testing.T) {
	f := newFakeTwilio(t)
	g, _ := twilio(t, f, newInbox(0), nil)
	mt := text(t, 1, strings.Repeat("a", 200))
	mt.Segments = mt.Segments[1:]
	o := g.Submit(t.Context(), mt)
	if len(o) != 1 || o[0].Segment != 2 || sms.ClassOf(o[0].Err) != sms.NotSent || len(f.messages) != 0 {
		t.Errorf("%+v", o)
	}
}

// TestTwilioForm: originators and validity as Twilio takes them.
func TestTwilioForm(t *testing.T) {
	for name, tc := range map[string]struct {
		from     string
		validity time.Duration
		want     string
		seconds  string
	}{
		"name":       {"Godwit", time.Hour, "Godwit", "3600"},
		"short code": {"12345", 24 * time.Hour, "12345", "36000"},
		"number":     {string(ours), time.Millisecond, "+" + string(ours), "1"},
	} {
		f := newFakeTwilio(t)
		g, _ := twilio(t, f, newInbox(0), nil)
		mt := text(t, 1, "Tea?")
		mt.From, mt.Validity = tc.from, tc.validity
		if o := one(t, g, mt); o.Err != nil || f.messages[0].Get("From") != tc.want || f.messages[0].Get("ValidityPeriod") != tc.seconds {
			t.Errorf("%s: %v %v", name, o.Err, f.messages)
		}
	}
}

// TestTwilioForgedSignature: what Twilio did not sign is refused and reaches nobody.
func TestTwilioForgedSignature(t *testing.T) {
	f, sink := newFakeTwilio(t), newInbox(0)
	_, callbacks := twilio(t, f, sink, nil)
	form := url.Values{"MessageSid": {"SM9"}, "From": {"+4917604069003"}, "To": {"+4917604069000"}, "Body": {"STOP"}, "MessageStatus": {"delivered"}}
	for _, path := range []string{"/mo", "/dlr"} {
		for _, key := range []string{"", "wrong", account} {
			if code, _ := f.call(callbacks+path, form, key); code != http.StatusForbidden {
				t.Errorf("%s signed with %q: %d", path, key, code)
			}
		}
		good := sign(token, callbacks, path, "BodySTOPFrom+4917604069003MessageSidSM9MessageStatusdeliveredTo+4917604069000")
		for name, change := range map[string]func(*http.Request, url.Values){
			"none":        func(r *http.Request, _ url.Values) { r.Header.Del("X-Twilio-Signature") },
			"other body":  func(_ *http.Request, f url.Values) { f.Set("Body", "START") },
			"one more":    func(_ *http.Request, f url.Values) { f.Set("Z", "1") },
			"other query": func(r *http.Request, _ url.Values) { r.URL.RawQuery = "ref=00" },
			"GET":         func(r *http.Request, _ url.Values) { r.Method = http.MethodGet },
			"lower case":  func(r *http.Request, _ url.Values) { r.Header.Set("X-Twilio-Signature", strings.ToLower(good)) },
			"not a form":  func(_ *http.Request, f url.Values) { f.Set("%", "%zz") },
			"several":     func(r *http.Request, _ url.Values) { r.Header["X-Twilio-Signature"] = []string{"no", good} },
			"wrong account": func(r *http.Request, _ url.Values) {
				r.Header.Set("X-Twilio-Signature", sign(account, callbacks, path))
			},
		} {
			form := url.Values{"MessageSid": {"SM9"}, "From": {"+4917604069003"}, "To": {"+4917604069000"}, "Body": {"STOP"}, "MessageStatus": {"delivered"}}
			req, err := http.NewRequest(http.MethodPost, callbacks+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Twilio-Signature", good)
			change(req, form)
			req.Body = io.NopCloser(strings.NewReader(form.Encode()))
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s %s: %d", path, name, resp.StatusCode)
			}
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if sink.calls != 0 {
		t.Errorf("the sink was called %d times", sink.calls)
	}
}

// TestTwilioSpellings: Twilio signs the URL with or without the standard port, and with the overrides or without.
func TestTwilioSpellings(t *testing.T) {
	for configured, signed := range map[string][]string{
		"https://sms.example.org/gateway/twilio":      {"https://sms.example.org/gateway/twilio/mo", "https://sms.example.org:443/gateway/twilio/mo", "https://sms.example.org/gateway/twilio/mo#rc=5&rp=5xx,ct,rt"},
		"https://sms.example.org:443/gateway/twilio/": {"https://sms.example.org/gateway/twilio/mo", "https://sms.example.org:443/gateway/twilio/mo"},
		"http://sms.example.org:8080/gateway/twilio":  {"http://sms.example.org:8080/gateway/twilio/mo"},
	} {
		g, err := smshttp.NewTwilio(smshttp.TwilioConfig{Account: account, Token: token, CallbackURL: configured})
		if err != nil {
			t.Fatal(err)
		}
		sink := newInbox(0)
		_, mo := g.Callbacks(sink)
		for _, as := range append(signed, "https://evil.example.org/gateway/twilio/mo") {
			body := "Body=x&From=%2B4917604069003&MessageSid=" + hex.EncodeToString([]byte(as)) + "&To=%2B4917604069000"
			req := httptest.NewRequest(http.MethodPost, "/gateway/twilio/mo", strings.NewReader(body))
			req.Header.Set("X-Twilio-Signature", sign(token, as, "BodyxFrom+4917604069003MessageSid"+hex.EncodeToString([]byte(as))+"To+4917604069000"))
			w := httptest.NewRecorder()
			mo.ServeHTTP(w, req)
			if want := map[bool]int{true: 403, false: 200}[strings.Contains(as, "evil")]; w.Code != want {
				t.Errorf("configured as %s, signed as %s: %d", configured, as, w.Code)
			}
		}
	}
}

// TestTwilioCallbacks: what is signed and cannot be used has an answer too.
func TestTwilioCallbacks(t *testing.T) {
	f := newFakeTwilio(t)
	sink := newInbox(0)
	_, callbacks := twilio(t, f, sink, nil)
	mo := func(change map[string]string) url.Values {
		form := url.Values{"MessageSid": {"SM9"}, "From": {"+4917604069003"}, "To": {"+4917604069000"}, "Body": {"x"}}
		for k, v := range change {
			form.Set(k, v)
		}
		return form
	}
	for name, tc := range map[string]struct {
		path string
		form url.Values
		want int
	}{
		"mo without id":         {"/mo", mo(map[string]string{"MessageSid": ""}), 400},
		"mo without sender":     {"/mo", mo(map[string]string{"From": ""}), 400},
		"mo from blanks":        {"/mo", mo(map[string]string{"From": " "}), 400},
		"mo to a short code":    {"/mo", mo(map[string]string{"To": "12345"}), 400},
		"dlr without id":        {"/dlr", url.Values{"MessageStatus": {"sent"}}, 400},
		"dlr without status":    {"/dlr", url.Values{"MessageSid": {"SM1"}}, 400},
		"dlr with a bad ref":    {"/dlr?ref=0g", url.Values{"MessageSid": {"SM1"}, "MessageStatus": {"sent"}}, 400},
		"dlr with a new status": {"/dlr", url.Values{"MessageSid": {"SM1"}, "MessageStatus": {"teleported"}}, 204},
	} {
		if code, body := f.call(callbacks+tc.path, tc.form, token); code != tc.want || strings.Contains(body, "4917604069003") {
			t.Errorf("%s: %d %s, want %d", name, code, body, tc.want)
		}
	}
	if len(sink.mos)+len(sink.dlrs) != 0 {
		t.Errorf("%+v %+v", sink.mos, sink.dlrs)
	}
	if code, _ := f.call(callbacks+"/dlr", url.Values{"MessageSid": {"SM1"}, "MessageStatus": {"undelivered"}, "ErrorCode": {"30003"}}, token); code != 204 {
		t.Errorf("%d", code)
	}
	if r := sink.dlrs[0]; r.Ref != nil || r.ID != "SM1" || r.State != sms.Undelivered || r.Detail != "30003" {
		t.Errorf("%+v", r)
	}
}

func TestTwilioSenders(t *testing.T) {
	f := newFakeTwilio(t)
	sink := newInbox(0)
	_, callbacks := twilio(t, f, sink, nil)
	for from, want := range senders {
		form := url.Values{"MessageSid": {fmt.Sprintf("SM%x", from)}, "From": {from}, "To": {"+4917604069000"}, "Body": {"x"}}
		if code, body := f.call(callbacks+"/mo", form, token); code != 200 {
			t.Errorf("%q: %d %s", from, code, body)
		} else if m := sink.mos[len(sink.mos)-1]; m.From != want {
			t.Errorf("%q: from %q, want %q", from, m.From, want)
		}
	}
}

// TestTwilioStorageFails: what the sink did not take is answered so that Twilio calls again, and then stored once.
func TestTwilioStorageFails(t *testing.T) {
	f := newFakeTwilio(t)
	sink := newInbox(2)
	_, callbacks := twilio(t, f, sink, nil)
	form := url.Values{"MessageSid": {"SM9"}, "From": {"+4917604069003"}, "To": {"+4917604069000"}, "Body": {"x"}}
	for i, want := range []int{503, 503, 200, 200} {
		if code, _ := f.call(callbacks+"/mo", form, token); code != want {
			t.Errorf("call %d: %d, want %d", i+1, code, want)
		}
	}
	if len(sink.mos) != 1 {
		t.Errorf("%+v", sink.mos)
	}
}

// TestTwilioConfig: what is wrong is named.
func TestTwilioConfig(t *testing.T) {
	good := smshttp.TwilioConfig{Name: "tw", Account: account, Token: token}
	for want, change := range map[string]func(*smshttp.TwilioConfig){
		"account":          func(c *smshttp.TwilioConfig) { c.Account = "" },
		"token":            func(c *smshttp.TwilioConfig) { c.Token = "" },
		"url":              func(c *smshttp.TwilioConfig) { c.URL = "ftp://x" },
		"the callback URL": func(c *smshttp.TwilioConfig) { c.CallbackURL = "sms.example.org/gateway" },
	} {
		c := good
		change(&c)
		if _, err := smshttp.NewTwilio(c); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "tw") || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v", want, err)
		}
	}
	g, err := smshttp.NewTwilio(good)
	if err != nil {
		t.Fatal(err)
	}
	if g.Abilities().DLR {
		t.Error("without a callback URL there are no DLRs")
	}
	dlr, _ := g.Callbacks(newInbox(0))
	req := httptest.NewRequest(http.MethodPost, "/dlr", strings.NewReader("MessageSid=SM1&MessageStatus=sent"))
	req.Header.Set("X-Twilio-Signature", sign(token, "/dlr", "MessageSidSM1MessageStatussent"))
	w := httptest.NewRecorder()
	dlr.ServeHTTP(w, req)
	if w.Code != http.StatusForbidden {
		t.Errorf("without a callback URL: %d", w.Code)
	}
}

// FuzzTwilioCallbacks: no signed bytes do harm.
func FuzzTwilioCallbacks(f *testing.F) {
	f.Add("ref=00", "MessageSid=SM1&MessageStatus=sent")
	f.Add("", "MessageSid=SM1&From=%2B4917604069003&To=%2B4917604069000&Body=%ff%00")
	f.Add("ref=c0000000000000000000000000000001", "MessageSid=SM1&MessageStatus=delivered&ErrorCode=%0a")
	g, err := smshttp.NewTwilio(smshttp.TwilioConfig{Account: account, Token: token, CallbackURL: "https://sms.example.org"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, query, body string) {
		sink := newInbox(0)
		dlr, mo := g.Callbacks(sink)
		form, err := url.ParseQuery(body)
		for i, handler := range []http.Handler{dlr, mo} {
			path := []string{"/dlr", "/mo"}[i]
			req := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
			req.URL.RawQuery = query
			address := "https://sms.example.org" + path
			if query != "" {
				address += "?" + query
			}
			req.Header.Set("X-Twilio-Signature", smshttp.TwilioSignature(token, address, form))
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, req)
			if err != nil && w.Code != 403 {
				t.Errorf("%d for what is no form", w.Code)
			}
		}
		for _, m := range sink.mos {
			checkMO(t, m)
		}
		for _, r := range sink.dlrs {
			if r.State < sms.Enroute || r.State > sms.DeliveredSMS || r.ID == "" {
				t.Errorf("%+v", r)
			}
		}
	})
}

// checkMO checks what every MO must be.
func checkMO(t *testing.T, m sms.MO) {
	if _, err := contacts.ParseNumber(string(m.To)); err != nil {
		t.Errorf("%+v: %v", m, err)
	}
	if _, err := contacts.ParseNumber(string(m.From)); err != nil && (m.From == "" || sms.Sender(string(m.From)) != m.From) {
		t.Errorf("%+v: it is from %q", m, m.From)
	}
	if strings.ToValidUTF8(m.Text, "") != m.Text || m.At.IsZero() {
		t.Errorf("%+v", m)
	}
}
