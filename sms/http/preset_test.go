package smshttp_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	smshttp "github.com/seed-7a41469f/godwit/sms/http"

	"github.com/seed-7a41469f/godwit/sms"
)

// A presetFake is a service that takes only what its documentation says.
type presetFake struct {
	*httptest.Server
	mu    sync.Mutex
	texts []string
	bad   []string // what was wrong with requests
}

// newPresetFake serves with answer, which returns an error for a request that the service would refuse.
func newPresetFake(t *testing.T, answer func(f *presetFake, w http.ResponseWriter, r *http.Request, body []byte) error) *presetFake {
	f := &presetFake{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := answer(f, w, r, body); err != nil {
			f.mu.Lock()
			f.bad = append(f.bad, err.Error())
			f.mu.Unlock()
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(func() {
		f.Close()
		for _, b := range f.bad {
			t.Error(b)
		}
	})
	return f
}

func (f *presetFake) took(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.texts = append(f.texts, text)
}

// preset is a kind completed for a test.
func preset(t *testing.T, kind, address string, own smshttp.WebhookConfig) *smshttp.Webhook {
	t.Helper()
	p, ok := smshttp.Preset(kind)
	if !ok {
		t.Fatalf("there is no preset %s", kind)
	}
	own.Name, own.URL, own.AllowPrivate, own.CallbackURL, own.Number = "phone", address, true, "https://godwit.example/gateway/phone", hookOwn
	return newHook(t, own.Over(p))
}

// presetTexts are submitted through each fake.
var presetTexts = []string{"hello", "Grüße \"{€}\" & \\ @\nend", "你好 😀 " + strings.Repeat("长", 80), strings.Repeat("a", 161)}

func submitPreset(t *testing.T, g *smshttp.Webhook, f *presetFake, id string) {
	t.Helper()
	for _, text := range presetTexts {
		for i, o := range g.Submit(t.Context(), hookMT(t, text)) {
			if o.Err != nil || id != "" && o.ID != id || o.Segment != i+1 {
				t.Errorf("outcome %+v, want id %q", o, id)
			}
		}
	}
	if !slices.Equal(f.texts, presetTexts) {
		t.Errorf("got %q", f.texts)
	}
}

func strictJSON(body []byte, into any) error {
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func TestPresetKinds(t *testing.T) {
	if got := smshttp.PresetKinds(); !slices.Equal(got, []string{"httpsms", "jasmin", "smsforwarder", "smsgate"}) {
		t.Error(got)
	}
	if _, ok := smshttp.Preset("webhook"); ok {
		t.Error("webhook is no preset")
	}
	a, _ := smshttp.Preset("jasmin")
	a.DLR.Map["ESME_ROK"] = "delivered"
	if b, _ := smshttp.Preset("jasmin"); b.DLR.Map["ESME_ROK"] != "enroute" {
		t.Error("a preset was changed from outside")
	}
	for _, kind := range smshttp.PresetKinds() {
		p, _ := smshttp.Preset(kind)
		c := smshttp.WebhookConfig{
			Name: "x", URL: "https://sms.example/", Body: "to={{.To}}&text={{.Text|urlquery}}", HMAC: "h", Number: hookOwn,
			ContentType: "application/x-www-form-urlencoded",
		}.Over(p)
		if _, err := smshttp.NewWebhook(c); err != nil || !strings.HasPrefix(c.Body, "to=") {
			t.Errorf("%s with a body of our own: %v", kind, err)
		}
	}
}

func TestJasmin(t *testing.T) {
	const id = "07033084-5cfd-4812-90a4-e4d24ffb6e3d"
	known := strings.Fields("to from coding username password priority sdt validity-period dlr dlr-url dlr-level dlr-method tags content hex-content")
	f := newPresetFake(t, func(f *presetFake, w http.ResponseWriter, r *http.Request, body []byte) error {
		v, err := url.ParseQuery(string(body))
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/send" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
			return fmt.Errorf("%s %s %v %v", r.Method, r.URL, r.Header, err)
		}
		for name := range v {
			if !slices.Contains(known, name) {
				return fmt.Errorf("argument %s is unknown", name)
			}
		}
		if v.Get("password") != "p&w" {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `Error "Authentication failure for username:%s"`, v.Get("username"))
			return nil
		}
		if v.Get("username") != "jas" || v.Get("to") != string(hookPeer) || v.Get("from") != "Godwit" || v.Get("dlr") != "yes" || v.Get("dlr-level") != "3" ||
			v.Get("dlr-method") != "POST" || v.Get("validity-period") != "60" || v.Has("content") || r.Header.Get("Authorization") != "" {
			return fmt.Errorf("%v", v)
		}
		if want := "https://godwit.example/gateway/phone/dlr?key=s%26t&ref=" + hookRef; v.Get("dlr-url") != want {
			return fmt.Errorf("dlr-url %s, want %s", v.Get("dlr-url"), want)
		}
		octets, err := hex.DecodeString(v.Get("hex-content"))
		if err != nil {
			return err
		}
		f.took(sms.Decode(octets, map[string]sms.Coding{"0": sms.GSM7, "8": sms.UCS2}[v.Get("coding")]))
		fmt.Fprintf(w, `Success "%s"`, id)
		return nil
	})
	g := preset(t, "jasmin", f.URL+"/send", smshttp.WebhookConfig{Username: "jas", Password: "p&w", Secret: "s&t"})
	submitPreset(t, g, f, id)
	wrong := preset(t, "jasmin", f.URL+"/send", smshttp.WebhookConfig{Username: "jas", Password: "x", Secret: "s&t"})
	if o := wrong.Submit(t.Context(), hookMT(t, "x"))[0]; sms.ClassOf(o.Err) != sms.Configuration {
		t.Errorf("wrong password: %+v", o)
	}

	sink := &hookSink{}
	dlr, mo := g.Callbacks(sink)
	form := func(v url.Values) hookCall {
		return hookCall{query: "key=s%26t&ref=" + hookRef, contentType: "application/x-www-form-urlencoded", body: v.Encode()}
	}
	for word, want := range map[string]sms.DLRState{
		"ESME_ROK": sms.Enroute, "ESME_RINVDSTADR": sms.Undelivered, "DELIVRD": sms.DeliveredSMS, "UNDELIV": sms.Undelivered, "ACCEPTD": sms.Enroute,
	} {
		w := form(url.Values{"id": {id}, "message_status": {word}, "level": {"2"}, "id_smsc": {"2567"}, "err": {"000"}}).to(dlr)
		dlrs, _ := sink.taken()
		if w.Code != 200 || w.Body.String() != "ACK/Jasmin" || len(dlrs) != 1 || dlrs[0].ID != id || dlrs[0].State != want || dlrs[0].Ref == nil {
			t.Errorf("%s: status %d %q, %+v", word, w.Code, w.Body, dlrs)
		}
	}
	// An MO may come by GET, with the octets as the SMSC sent them.
	text := "Ja, 好的 😀"
	octets, _ := sms.Encode(text, sms.UCS2)
	v := url.Values{
		"id": {"16fd2706"}, "from": {"+4915112345678"}, "to": {"4915100000000"}, "origin-connector": {"c"}, "coding": {"8"}, "content": {string(octets)},
		"binary": {hex.EncodeToString(octets)}, "key": {"s&t"},
	}
	w := hookCall{method: "GET", query: v.Encode()}.to(mo)
	if _, mos := sink.taken(); w.Code != 200 || w.Body.String() != "ACK/Jasmin" || len(mos) != 1 || mos[0].Text != text || mos[0].ID != "16fd2706" ||
		mos[0].From != hookPeer || mos[0].To != hookOwn {
		t.Errorf("status %d %q, %+v", w.Code, w.Body, mos)
	}
	v.Set("key", "s")
	if w := (hookCall{method: "GET", query: v.Encode()}).to(mo); w.Code != 403 || strings.Contains(w.Body.String(), "ACK") {
		t.Errorf("forged: %d %q", w.Code, w.Body)
	}
}

func TestSMSGate(t *testing.T) {
	f := newPresetFake(t, func(f *presetFake, w http.ResponseWriter, r *http.Request, body []byte) error {
		var m struct {
			ID          string `json:"id"`
			TextMessage struct {
				Text string `json:"text"`
			} `json:"textMessage"`
			PhoneNumbers       []string `json:"phoneNumbers"`
			TTL                int      `json:"ttl"`
			WithDeliveryReport bool     `json:"withDeliveryReport"`
		}
		u, p, _ := r.BasicAuth()
		if u != "user" || p != "pass" {
			w.WriteHeader(http.StatusUnauthorized)
			return nil
		}
		if err := strictJSON(body, &m); err != nil || r.Method != http.MethodPost || r.URL.Path != "/3rdparty/v1/messages" ||
			r.Header.Get("Content-Type") != "application/json" {
			return fmt.Errorf("%s %s %v: %v", r.Method, r.URL, r.Header, err)
		}
		if len(m.ID) > 36 || m.ID != hookRef+"-2" || !slices.Equal(m.PhoneNumbers, []string{"+4915112345678"}) || m.TTL != 3600 || !m.WithDeliveryReport {
			return fmt.Errorf("%+v", m)
		}
		f.took(m.TextMessage.Text)
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, `{"id":%q,"deviceId":"d","state":"Pending","isHashed":false,"recipients":[{"phoneNumber":"+4915112345678","state":"Pending"}]}`, m.ID)
		return nil
	})
	g := preset(t, "smsgate", f.URL+"/3rdparty/v1/messages", smshttp.WebhookConfig{Username: "user", Password: "pass", HMAC: "key"})
	submitPreset(t, g, f, hookRef+"-2")
	wrong := preset(t, "smsgate", f.URL+"/3rdparty/v1/messages", smshttp.WebhookConfig{Username: "user", Password: "x", HMAC: "key"})
	if o := wrong.Submit(t.Context(), hookMT(t, "x"))[0]; sms.ClassOf(o.Err) != sms.Configuration {
		t.Errorf("wrong password: %+v", o)
	}

	sink := &hookSink{}
	dlr, mo := g.Callbacks(sink)
	event := func(name, payload string) hookCall {
		body := fmt.Sprintf(`{"deviceId":"ffffffffceb0b1db0000018e937c815b","event":%q,"id":"Ey6ECgOkVVFjz3CL48B8C","payload":%s,"webhookId":"w"}`, name, payload)
		at := strconv.FormatInt(time.Now().Unix(), 10)
		return hookCall{contentType: "application/json; charset=UTF-8", body: body, header: map[string]string{"X-Timestamp": at, "X-Signature": hookHMAC("key", body, at)}}
	}
	for name, want := range map[string]sms.DLRState{"sms:sent": sms.Enroute, "sms:delivered": sms.DeliveredSMS, "sms:failed": sms.Undelivered} {
		call := event(name, fmt.Sprintf(`{"messageId":"%s-2","sender":null,"recipient":"+4915112345678","phoneNumber":"+4915112345678","simNumber":1,`+
			`"reason":"RESULT_ERROR_NO_SERVICE"}`, hookRef))
		for range 2 { // the second time for a lost answer
			if w := call.to(dlr); w.Code != 204 {
				t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
		}
		dlrs, _ := sink.taken()
		if len(dlrs) != 1 || dlrs[0].State != want || dlrs[0].ID != hookRef+"-2" || dlrs[0].Ref == nil || dlrs[0].To != hookPeer || dlrs[0].Detail != "RESULT_ERROR_NO_SERVICE" {
			t.Errorf("%s: %+v", name, dlrs)
		}
	}
	at := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	for _, numbers := range []string{`"phoneNumber":"+4915112345678"`, `"sender":"+4915112345678","recipient":null,"phoneNumber":"x"`} {
		call := event("sms:received", fmt.Sprintf(`{"messageId":"abc123","message":"Android is \"sweet\" 😀",%s,"simNumber":null,"receivedAt":%q}`,
			numbers, at.Format("2006-01-02T15:04:05.000-07:00")))
		if w := call.to(mo); w.Code != 204 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		_, mos := sink.taken()
		if len(mos) != 1 || mos[0].ID != "Ey6ECgOkVVFjz3CL48B8C" || mos[0].From != hookPeer || mos[0].To != hookOwn ||
			mos[0].Text != `Android is "sweet" 😀` || !mos[0].At.Equal(at) {
			t.Errorf("%+v", mos)
		}
	}
	if w := event("system:ping", `{"health":{}}`).to(mo); w.Code != 204 {
		t.Errorf("ping: %d", w.Code)
	}
	forged := event("sms:received", `{"message":"x","phoneNumber":"+4915112345678"}`)
	forged.body = strings.Replace(forged.body, `"x"`, `"y"`, 1)
	if w := forged.to(mo); w.Code != 403 {
		t.Errorf("forged: %d", w.Code)
	}
}

func TestHTTPSMS(t *testing.T) {
	const id = "32343a19-da5e-4b1b-a767-3298a73703cb"
	f := newPresetFake(t, func(f *presetFake, w http.ResponseWriter, r *http.Request, body []byte) error {
		var m struct {
			From      string `json:"from"`
			To        string `json:"to"`
			Content   string `json:"content"`
			RequestID string `json:"request_id"`
		}
		if err := strictJSON(body, &m); err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/messages/send" ||
			r.Header.Get("x-api-key") != "api" || r.Header.Get("Authorization") != "" {
			return fmt.Errorf("%s %s %v: %v", r.Method, r.URL, r.Header, err)
		}
		if m.From != "+4915100000000" || m.To != "+4915112345678" || m.RequestID != hookRef+"-2" {
			return fmt.Errorf("%+v", m)
		}
		f.took(m.Content)
		fmt.Fprintf(w, `{"status":"success","message":"message added to queue","data":{"id":%q,"owner":"+4915100000000","status":"pending"}}`, id)
		return nil
	})
	g := preset(t, "httpsms", f.URL+"/v1/messages/send", smshttp.WebhookConfig{Token: "api", HMAC: "key"})
	submitPreset(t, g, f, id)

	sink := &hookSink{}
	dlr, _ := g.Callbacks(sink) // one webhook for all events
	event := func(name, data string) hookCall {
		body := fmt.Sprintf(`{"specversion":"1.0","id":"e1","source":"/v1","type":%q,"datacontenttype":"application/json","data":%s}`, name, data)
		token := hookJWT("key", "HS256", time.Now().Add(10*time.Minute))
		return hookCall{body: body, header: map[string]string{"Authorization": token, "X-Event-Type": name}}
	}
	for name, want := range map[string]sms.DLRState{
		"message.phone.sent": sms.Enroute, "message.phone.delivered": sms.DeliveredSMS, "message.send.failed": sms.Undelivered,
	} {
		w := event(name, fmt.Sprintf(`{"id":%q,"owner":"+4915100000000","contact":"+4915112345678","request_id":"%s-2","user_id":"u","timestamp":%q,`+
			`"content":"x","sim":"SIM1"}`, id, hookRef, time.Now().Format(time.RFC3339Nano))).to(dlr)
		dlrs, _ := sink.taken()
		if w.Code != 204 || len(dlrs) != 1 || dlrs[0].ID != id || dlrs[0].State != want || dlrs[0].Ref == nil || dlrs[0].To != hookPeer {
			t.Errorf("%s: %d, %+v", name, w.Code, dlrs)
		}
	}
	if w := event("message.send.expired", fmt.Sprintf(`{"message_id":%q,"contact":"+4915112345678"}`, id)).to(dlr); w.Code != 204 {
		t.Errorf("expired: %d", w.Code)
	}
	if dlrs, _ := sink.taken(); len(dlrs) != 1 || dlrs[0].ID != id || dlrs[0].State != sms.Undelivered {
		t.Errorf("expired: %+v", dlrs)
	}
	received := event("message.phone.received", `{"message_id":"m1","user_id":"u","owner":"+4915100000000","contact":"+4915112345678",`+
		`"timestamp":"2026-11-24T10:02:26Z","content":"Gladly! 😀","sim":"SIM1"}`)
	for range 2 {
		if w := received.to(dlr); w.Code != 204 {
			t.Errorf("received: %d %s", w.Code, w.Body)
		}
	}
	if _, mos := sink.taken(); len(mos) != 1 || mos[0].ID != "m1" || mos[0].From != hookPeer || mos[0].To != hookOwn || mos[0].Text != "Gladly! 😀" {
		t.Errorf("received: %+v", mos)
	}
	if w := event("phone.heartbeat.offline", `{}`).to(dlr); w.Code != 204 {
		t.Errorf("heartbeat: %d", w.Code)
	}
	received.header["Authorization"] = hookJWT("other", "HS256", time.Now().Add(time.Minute))
	if w := received.to(dlr); w.Code != 403 {
		t.Errorf("forged: %d", w.Code)
	}
}

func TestSMSForwarder(t *testing.T) {
	noSIM := false
	f := newPresetFake(t, func(f *presetFake, w http.ResponseWriter, r *http.Request, body []byte) error {
		var m struct {
			Data struct {
				SIMSlot      int    `json:"sim_slot"`
				PhoneNumbers string `json:"phone_numbers"`
				MsgContent   string `json:"msg_content"`
			} `json:"data"`
			Timestamp int64  `json:"timestamp"`
			Sign      string `json:"sign"`
		}
		if err := strictJSON(body, &m); err != nil || r.Method != http.MethodPost || r.URL.Path != "/sms/send" || r.Header.Get("Content-Type") != "application/json" {
			return fmt.Errorf("%s %s %v: %v", r.Method, r.URL, r.Header, err)
		}
		octets, _ := unhex(hookHMAC("key", strconv.FormatInt(m.Timestamp, 10), "\n", "key"))
		if want := url.QueryEscape(base64.StdEncoding.EncodeToString(octets)); m.Sign != want || time.Since(time.UnixMilli(m.Timestamp)).Abs() > time.Minute {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, `{"code":500,"msg":"签名校验失败"}`)
			return nil
		}
		if m.Data.SIMSlot != 1 || m.Data.PhoneNumbers != "+4915112345678" {
			return fmt.Errorf("%+v", m)
		}
		if noSIM {
			fmt.Fprint(w, `{"timestamp":1,"code":500,"msg":"no permission"}`)
			return nil
		}
		f.took(m.Data.MsgContent)
		fmt.Fprint(w, `{"timestamp":1,"code":200,"msg":"success","data":"success","sign":"x"}`)
		return nil
	})
	g := preset(t, "smsforwarder", f.URL+"/sms/send", smshttp.WebhookConfig{HMAC: "key"})
	if a := g.Abilities(); a.DLR || !a.Whole || a.Number != hookOwn || a.Window != 1 {
		t.Errorf("%+v", a)
	}
	submitPreset(t, g, f, "")
	noSIM = true
	if o := g.Submit(t.Context(), hookMT(t, "x"))[0]; sms.ClassOf(o.Err) != sms.Unknown {
		t.Errorf("no permission: %+v", o)
	}
	wrong := preset(t, "smsforwarder", f.URL+"/sms/send", smshttp.WebhookConfig{HMAC: "other"})
	if o := wrong.Submit(t.Context(), hookMT(t, "x"))[0]; sms.ClassOf(o.Err) != sms.Unknown {
		t.Errorf("wrong key: %+v", o)
	}

	sink := &hookSink{}
	_, mo := g.Callbacks(sink)
	ts, sign := hookSign("key", time.Now())
	whole := fmt.Sprintf(`{"from":"+4915112345678","text":"Gladly!","timestamp":%q,"sign":%q}`, ts, url.QueryEscape(sign))
	usual := url.Values{"from": {"+4915112345678"}, "content": {"Gladly!"}, "timestamp": {ts}, "sign": {url.QueryEscape(sign)}}.Encode()
	for _, body := range []string{whole, usual} {
		for range 2 { // a repeated call is the same
			if w := (hookCall{body: body}).to(mo); w.Code != 204 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
		if _, mos := sink.taken(); len(mos) != 1 || mos[0].From != hookPeer || mos[0].To != hookOwn || mos[0].Text != "Gladly!" {
			t.Errorf("%+v", mos)
		}
	}
	ts, sign = hookSign("other", time.Now())
	if w := (hookCall{body: url.Values{"from": {"+4915112345678"}, "content": {"x"}, "timestamp": {ts}, "sign": {sign}}.Encode()}).to(mo); w.Code != 403 {
		t.Errorf("forged: %d", w.Code)
	}
}

// TestJasminUnheard: without a secret nothing can call back, so no reports are asked for.
func TestJasminUnheard(t *testing.T) {
	f := newPresetFake(t, func(_ *presetFake, w http.ResponseWriter, _ *http.Request, body []byte) error {
		if v, err := url.ParseQuery(string(body)); err != nil || v.Has("dlr") || v.Has("dlr-url") {
			return fmt.Errorf("%v %v", v, err)
		}
		fmt.Fprint(w, `Success "1"`)
		return nil
	})
	p, _ := smshttp.Preset("jasmin")
	p.DLR, p.MO = smshttp.WebhookDLR{}, smshttp.WebhookMO{}
	p.Name, p.URL, p.AllowPrivate, p.Username, p.Password = "jasmin", f.URL+"/send", true, "u", "p"
	g := newHook(t, p)
	if o := g.Submit(t.Context(), hookMT(t, "x"))[0]; o.Err != nil || o.ID != "1" || g.Abilities().DLR {
		t.Errorf("%+v, %+v", o, g.Abilities())
	}
	dlr, _ := g.Callbacks(&hookSink{})
	if w := (hookCall{query: "key="}).to(dlr); w.Code != 403 {
		t.Errorf("status %d", w.Code)
	}
}

// TestWebhookWire: the log of the wire names no number in full, no text and no secret.
func TestWebhookWire(t *testing.T) {
	var mu sync.Mutex
	var lines []string
	wire := sms.NewWire(func(line string) { mu.Lock(); lines = append(lines, line); mu.Unlock() })
	wire.Set(true)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"id":"a-1"}`) }))
	defer server.Close()
	config := hook(server.URL + "/send/{{.To}}")
	config.Wire, config.Token = wire, "t0ken"
	g := newHook(t, config)
	g.Submit(t.Context(), hookMT(t, "the text"))
	sink := &hookSink{}
	dlr, mo := g.Callbacks(sink)
	hookSigned(`{"id":"a-1","status":"ok"}`).to(dlr)
	hookSigned(`{"from":"+4915112345678","msg":"the text"}`).to(mo)
	all := strings.Join(lines, "\n")
	long := regexp.MustCompile(`\d{9}`).MatchString(strings.ReplaceAll(all, hookRef, ""))
	if len(lines) != 4 || long || strings.Contains(all, "the text") || strings.Contains(all, "t0ken") {
		t.Errorf("%d lines:\n%s", len(lines), all)
	}
}
