package smshttp_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	smshttp "github.com/seed-7a41469f/godwit/sms/http"

	"github.com/seed-7a41469f/godwit/sms"
)

// A hookCall is a callback as a carrier makes it.
type hookCall struct {
	method, query, contentType, body string
	header                           map[string]string
}

func (c hookCall) to(h http.Handler) *httptest.ResponseRecorder {
	if c.method == "" {
		c.method = http.MethodPost
	}
	r := httptest.NewRequest(c.method, "/gateway/hook/x?"+c.query, strings.NewReader(c.body))
	if c.contentType != "" {
		r.Header.Set("Content-Type", c.contentType)
	}
	for name, value := range c.header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// hookSigned signs a body as the webhook of section 9 wants it.
func hookSigned(body string) hookCall {
	return hookCall{contentType: "application/json", body: body, header: map[string]string{"X-Signature": "sha256=" + hookHMAC("h", body)}}
}

func hookJWT(key, alg string, exp time.Time) string {
	enc := base64.RawURLEncoding.EncodeToString
	claims := fmt.Appendf(nil, `{"exp":%d,"nbf":%d,"iss":"api.httpsms.com"}`, exp.Unix(), exp.Add(-20*time.Minute).Unix())
	signed := enc(fmt.Appendf(nil, `{"alg":%q,"typ":"JWT"}`, alg)) + "." + enc(claims)
	m, _ := unhex(hookHMAC(key, signed))
	return "Bearer " + signed + "." + enc(m)
}

func unhex(s string) ([]byte, error) {
	out := make([]byte, len(s)/2)
	_, err := fmt.Sscanf(s, "%x", &out)
	return out, err
}

func hookSign(key string, at time.Time) (timestamp, sign string) {
	timestamp = strconv.FormatInt(at.UnixMilli(), 10)
	m, _ := unhex(hookHMAC(key, timestamp, "\n", key))
	return timestamp, base64.StdEncoding.EncodeToString(m)
}

func TestWebhookSignatures(t *testing.T) {
	const body = `{"id":"1","status":"ok"}`
	at := func(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).Unix(), 10) }
	timed := func(key, at, body string) map[string]string {
		return map[string]string{"X-Timestamp": at, "X-Signature": hookHMAC(key, body, at)}
	}
	form := func(key string, off time.Duration, escape bool) string {
		ts, sign := hookSign(key, time.Now().Add(off))
		if escape {
			sign = url.QueryEscape(sign)
		}
		return url.Values{"id": {"1"}, "status": {"ok"}, "timestamp": {ts}, "sign": {sign}}.Encode()
	}
	bearer := func(token string) map[string]string { return map[string]string{"Authorization": token} }
	soon := time.Now().Add(10 * time.Minute)
	for _, c := range []struct {
		name      string
		signature smshttp.Signature
		call      hookCall
		status    int
	}{
		{"body", smshttp.SignedBody, hookSigned(body), 204},
		{"body, bare digits", smshttp.SignedBody, hookCall{body: body, header: map[string]string{"X-Signature": hookHMAC("h", body)}}, 204},
		{"body, forged key", smshttp.SignedBody, hookCall{body: body, header: map[string]string{"X-Signature": hookHMAC("x", body)}}, 403},
		{"body, changed by a blank", smshttp.SignedBody, hookCall{body: body + " ", header: map[string]string{"X-Signature": hookHMAC("h", body)}}, 403},
		{"body, unsigned", smshttp.SignedBody, hookCall{body: body}, 403},
		{"body, a key does not help", smshttp.SignedBody, hookCall{body: body, query: "key=h"}, 403},
		{"time", smshttp.SignedBodyTime, hookCall{body: body, header: timed("h", at(-4*time.Minute), body)}, 204},
		{"time, forged key", smshttp.SignedBodyTime, hookCall{body: body, header: timed("x", at(0), body)}, 403},
		{"time, stale", smshttp.SignedBodyTime, hookCall{body: body, header: timed("h", at(-6*time.Minute), body)}, 403},
		{"time, from the future", smshttp.SignedBodyTime, hookCall{body: body, header: timed("h", at(6*time.Minute), body)}, 403},
		{"time, another's timestamp", smshttp.SignedBodyTime, hookCall{body: body,
			header: map[string]string{"X-Timestamp": at(0), "X-Signature": hookHMAC("h", body, at(-time.Minute))}}, 403},
		{"time, moved into the body", smshttp.SignedBodyTime, hookCall{body: body + at(0),
			header: map[string]string{"X-Signature": hookHMAC("h", body, at(0))}}, 403},
		{"time, no number", smshttp.SignedBodyTime, hookCall{body: body, header: timed("h", "now", body)}, 403},
		{"form", smshttp.SignedTime, hookCall{body: form("h", 0, false)}, 204},
		{"form, escaped twice", smshttp.SignedTime, hookCall{body: form("h", 0, true)}, 204},
		{"form, in the query", smshttp.SignedTime, hookCall{method: "GET", query: form("h", 0, false)}, 204},
		{"form, forged key", smshttp.SignedTime, hookCall{body: form("x", 0, false)}, 403},
		{"form, stale", smshttp.SignedTime, hookCall{body: form("h", -6*time.Minute, false)}, 403},
		{"form, unsigned", smshttp.SignedTime, hookCall{body: "id=1&status=ok"}, 403},
		{"token", smshttp.SignedJWT, hookCall{body: body, header: bearer(hookJWT("h", "HS256", soon))}, 204},
		{"token, forged key", smshttp.SignedJWT, hookCall{body: body, header: bearer(hookJWT("x", "HS256", soon))}, 403},
		{"token, another algorithm", smshttp.SignedJWT, hookCall{body: body, header: bearer(hookJWT("h", "none", soon))}, 403},
		{"token, stale", smshttp.SignedJWT, hookCall{body: body, header: bearer(hookJWT("h", "HS256", time.Now().Add(-time.Second)))}, 403},
		{"token, good for ever", smshttp.SignedJWT, hookCall{body: body, header: bearer(hookJWT("h", "HS256", time.Now().Add(48*time.Hour)))}, 403},
		{"token, none", smshttp.SignedJWT, hookCall{body: body, header: bearer("Bearer a.b")}, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			config, sink := hook("https://sms.example/"), &hookSink{}
			config.Signature = c.signature
			config.Secret = "h"
			dlr, _ := newHook(t, config).Callbacks(sink)
			w := c.call.to(dlr)
			dlrs, _ := sink.taken()
			if w.Code != c.status || len(dlrs) != map[bool]int{true: 1}[c.status == 204] {
				t.Errorf("status %d (%s), want %d; taken %v", w.Code, w.Body, c.status, dlrs)
			}
			if again := c.call.to(dlr); again.Code != c.status {
				t.Errorf("again: status %d", again.Code)
			}
			if dlrs, _ := sink.taken(); len(dlrs) > 0 && c.signature != smshttp.SignedBody {
				t.Errorf("a replayed callback was taken: %v", dlrs)
			}
		})
	}
}

// TestWebhookReplay: what the sink could not store may come again under its old signature.
func TestWebhookReplay(t *testing.T) {
	config, sink := hook("https://sms.example/"), &hookSink{fail: errors.New("disk")}
	config.Signature = smshttp.SignedBodyTime
	_, mo := newHook(t, config).Callbacks(sink)
	const body = `{"from":"+49 no","msg":"x"}`
	call := func(body string) hookCall {
		at := strconv.FormatInt(time.Now().Unix(), 10)
		return hookCall{body: body, header: map[string]string{"X-Timestamp": at, "X-Signature": hookHMAC("h", body, at)}}
	}
	first := call(`{"from":"+4915112345678","msg":"x"}`)
	if w := first.to(mo); w.Code != 503 {
		t.Errorf("status %d, want 503", w.Code)
	}
	sink.fail = nil
	for range 3 {
		if w := first.to(mo); w.Code != 204 {
			t.Errorf("status %d", w.Code)
		}
	}
	if _, mos := sink.taken(); len(mos) != 1 {
		t.Errorf("taken %v, want one", mos)
	}
	for i := range 5000 { // more than are remembered: none is refused
		if w := call(fmt.Sprintf(`{"from":"+4915112345678","msg":"%d"}`, i)).to(mo); w.Code != 204 {
			t.Fatalf("status %d", w.Code)
		}
	}
	if _, mos := sink.taken(); len(mos) != 5000 {
		t.Errorf("taken %d", len(mos))
	}
	if w := call(body).to(mo); w.Code != 204 {
		t.Errorf("a sender that is no number: %d, want it passed over", w.Code)
	}
}

func TestWebhookDLR(t *testing.T) {
	for _, c := range []struct {
		name   string
		call   hookCall
		status int
		want   sms.DLR
	}{
		{"mapped", hookSigned(`{"id":"a","status":"ok"}`), 204, sms.DLR{ID: "a", State: sms.DeliveredSMS, Detail: "ok"}},
		{"a usual word", hookSigned(`{"id":"a","status":"Undelivered"}`), 204, sms.DLR{ID: "a", State: sms.Undelivered, Detail: "Undelivered"}},
		{"by a pattern", hookSigned(`{"id":"a","status":"ERR_17"}`), 204, sms.DLR{ID: "a", State: sms.Undelivered, Detail: "ERR_17"}},
		{"the longer pattern", hookSigned(`{"id":"a","status":"ERR_LATER"}`), 204, sms.DLR{ID: "a", State: sms.Enroute, Detail: "ERR_LATER"}},
		{"an unknown word ends nothing", hookSigned(`{"id":"a","status":"seen"}`), 204, sms.DLR{ID: "a", State: sms.Enroute, Detail: "seen"}},
		{"a numeric id, with all there is", hookSigned(`{"id":17,"ref":"` + hookRef + `-2","status":"ok","to":"0049 151"}`), 204,
			sms.DLR{ID: "17", Ref: &sms.Ref{0xab, 0xcd, 15: 1}, State: sms.DeliveredSMS, Detail: "ok"}},
		{"by our reference alone", hookSigned(`{"ref":"` + hookRef + `","status":"ok","to":"004915112345678","why":"a\nb"}`), 204,
			sms.DLR{Ref: &sms.Ref{0xab, 0xcd, 15: 1}, To: hookPeer, State: sms.DeliveredSMS, Detail: "a b"}},
		{"a form", hookCall{body: "id=a&status=ok", header: map[string]string{"X-Signature": hookHMAC("h", "id=a&status=ok")}}, 204,
			sms.DLR{ID: "a", State: sms.DeliveredSMS, Detail: "ok"}},
		{"no id", hookSigned(`{"status":"ok"}`), 400, sms.DLR{}},
		{"an endless id", hookSigned(`{"id":"` + strings.Repeat("x", 300) + `","status":"ok"}`), 400, sms.DLR{}},
		{"no state", hookSigned(`{"id":"a"}`), 400, sms.DLR{}},
		{"a list", hookSigned(`[1]`), 400, sms.DLR{}},
		{"no JSON", hookSigned(`{"id":`), 400, sms.DLR{}},
		{"two JSON texts", hookSigned(`{"id":"a","status":"ok"}{}`), 400, sms.DLR{}},
		{"no form", hookCall{body: "%zz", header: map[string]string{"X-Signature": hookHMAC("h", "%zz")}}, 400, sms.DLR{}},
		{"nothing", hookSigned(""), 400, sms.DLR{}},
		{"another method", hookCall{method: "PUT", body: "{}"}, 405, sms.DLR{}},
		{"too much", hookSigned(strings.Repeat(" ", 70<<10)), 413, sms.DLR{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config, sink := hook("https://sms.example/"), &hookSink{}
			config.DLR.Ref, config.DLR.To, config.DLR.Detail = "$.ref", "$.to", "$.why"
			config.DLR.Map = map[string]string{"ok": "delivered", "ERR_*": "undelivered", "ERR_L*": "enroute"}
			dlr, _ := newHook(t, config).Callbacks(sink)
			if w := c.call.to(dlr); w.Code != c.status {
				t.Fatalf("status %d (%s), want %d", w.Code, w.Body, c.status)
			}
			dlrs, _ := sink.taken()
			if c.status != 204 {
				if len(dlrs) != 0 {
					t.Errorf("taken %+v", dlrs)
				}
				return
			}
			if len(dlrs) != 1 {
				t.Fatalf("taken %+v", dlrs)
			}
			got := dlrs[0]
			if (got.Ref == nil) != (c.want.Ref == nil) || got.Ref != nil && *got.Ref != *c.want.Ref {
				t.Errorf("ref %v, want %v", got.Ref, c.want.Ref)
			}
			c.want.Gateway, c.want.At, c.want.Ref = "hook", got.At, got.Ref
			if got != c.want || time.Since(got.At) > time.Minute {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestWebhookMO(t *testing.T) {
	stamp := time.Now().Add(-time.Hour).Truncate(time.Second)
	for _, c := range []struct {
		name, body string
		status     int
		want       []sms.MO
	}{
		{"plain", `{"from":"+4915112345678","msg":"hé\n😀"}`, 204, []sms.MO{{From: hookPeer, To: hookOwn, Text: "hé\n😀"}}},
		{"with all there is", fmt.Sprintf(`{"from":"004915112345678","to":"+4915199999999","msg":"x","id":9,"at":%q}`, stamp.Format(time.RFC3339)), 204,
			[]sms.MO{{From: hookPeer, To: "4915199999999", Text: "x", ID: "9", At: stamp}}},
		{"seconds", fmt.Sprintf(`{"from":"4915112345678","to":null,"msg":"x","at":%d}`, stamp.Unix()), 204,
			[]sms.MO{{From: hookPeer, To: hookOwn, Text: "x", At: stamp}}},
		{"milliseconds", fmt.Sprintf(`{"from":"4915112345678","msg":"x","at":"%d"}`, stamp.UnixMilli()), 204,
			[]sms.MO{{From: hookPeer, To: hookOwn, Text: "x", At: stamp}}},
		{"a time out of time", `{"from":"4915112345678","msg":"x","at":1}`, 204, []sms.MO{{From: hookPeer, To: hookOwn, Text: "x"}}},
		{"an empty text", `{"from":"4915112345678"}`, 204, []sms.MO{{From: hookPeer, To: hookOwn}}},
		{"GSM 7 in octets", `{"from":"4915112345678","hex":"001b65","coding":"0","msg":"?"}`, 204, []sms.MO{{From: hookPeer, To: hookOwn, Text: "@€"}}},
		{"UCS-2 in octets", `{"from":"4915112345678","hex":"4f60d83dde00","coding":8,"msg":"?"}`, 204, []sms.MO{{From: hookPeer, To: hookOwn, Text: "你😀"}}},
		{"Latin 1 in octets", `{"from":"4915112345678","hex":"e9","coding":3,"msg":"?"}`, 204, []sms.MO{{From: hookPeer, To: hookOwn, Text: "é"}}},
		{"octets that nobody can read", `{"from":"4915112345678","hex":"e9","coding":4,"msg":"text"}`, 204, []sms.MO{{From: hookPeer, To: hookOwn, Text: "text"}}},
		{"octets that are none", `{"from":"4915112345678","hex":"e","msg":"x"}`, 400, nil},
		{"from a name", `{"from":" My Bank","msg":"x"}`, 204, []sms.MO{{From: "My Bank", To: hookOwn, Text: "x"}}},
		{"from a short code", `{"from":22255,"msg":"x"}`, 204, []sms.MO{{From: "22255", To: hookOwn, Text: "x"}}},
		{"from a national number", `{"from":"015112345678","msg":"x"}`, 204, []sms.MO{{From: "015112345678", To: hookOwn, Text: "x"}}},
		{"from what cannot be printed", `{"from":"A\u0000\u202eB","msg":"x"}`, 204, []sms.MO{{From: "A\ufffd\ufffdB", To: hookOwn, Text: "x"}}},
		{"from nobody", `{"msg":"x"}`, 400, nil},
		{"from blanks", `{"from":"  ","msg":"x"}`, 400, nil},
		{"to a name", `{"from":"4915112345678","to":"us","msg":"x"}`, 400, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			config, sink := hook("https://sms.example/"), &hookSink{}
			config.MO.To, config.MO.ID, config.MO.Time, config.MO.Hex, config.MO.Coding = "$.to", "$.id", "$.at", "$.hex", "$.coding"
			_, mo := newHook(t, config).Callbacks(sink)
			if w := hookSigned(c.body).to(mo); w.Code != c.status {
				t.Fatalf("status %d (%s), want %d", w.Code, w.Body, c.status)
			}
			_, mos := sink.taken()
			if len(mos) != len(c.want) {
				t.Fatalf("taken %+v, want %+v", mos, c.want)
			}
			for i, got := range mos {
				want := c.want[i]
				want.Gateway = "hook"
				if want.At.IsZero() && time.Since(got.At) < time.Minute || want.At.Equal(got.At) {
					want.At = got.At
				}
				if got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
			}
		})
	}
}

// TestWebhookEvents: with the word for what a callback is about, both URLs take both.
func TestWebhookEvents(t *testing.T) {
	config, sink := hook("https://sms.example/"), &hookSink{}
	config.HMAC, config.Secret, config.Reply = "", "s3cret", "ACK"
	config.Event, config.MO.Event, config.DLR.State = "$.event", "received", "$.event"
	dlr, mo := newHook(t, config).Callbacks(sink)
	call := func(body string) hookCall { return hookCall{query: "key=s3cret", body: body} }
	for _, h := range []http.Handler{dlr, mo} {
		for body, want := range map[string][2]int{
			`{"event":"ok","id":"1"}`:                               {1, 0},
			`{"event":"received","from":"4915112345678","msg":"x"}`: {0, 1},
			`{"event":"ping"}`:                                      {},
			`{"event":"delivered","id":"1"}`:                        {}, // not in the map: events are not guessed
			`{}`:                                                    {},
		} {
			w := call(body).to(h)
			dlrs, mos := sink.taken()
			if w.Code != 200 || w.Body.String() != "ACK" || len(dlrs) != want[0] || len(mos) != want[1] {
				t.Errorf("%s: status %d %q, DLRs %v, MOs %v", body, w.Code, w.Body, dlrs, mos)
			}
		}
		for _, query := range []string{"", "key=", "key=s3cre", "key=S3CRET", "secret=s3cret"} {
			if w := (hookCall{query: query, body: `{"event":"ok","id":"1"}`}).to(h); w.Code != 403 {
				t.Errorf("%q: status %d", query, w.Code)
			}
		}
	}
	if dlrs, mos := sink.taken(); len(dlrs)+len(mos) != 0 {
		t.Errorf("taken %v %v", dlrs, mos)
	}
}

func FuzzWebhookCallback(f *testing.F) {
	f.Add("application/json", `{"id":"1","status":"ok","from":"4915112345678","msg":"x","at":1e9}`, "")
	f.Add("application/x-www-form-urlencoded", "id=1&status=ok&timestamp=1&sign=%2B", "from=1")
	f.Add("", "[[[[", "a=%zz")
	handlers := []http.Handler{}
	for _, s := range []smshttp.Signature{smshttp.SignedBody, smshttp.SignedBodyTime, smshttp.SignedTime, smshttp.SignedJWT} {
		config := hook("https://sms.example/")
		config.Signature = s
		config.MO.Hex, config.MO.Time, config.DLR.Time = "$.hex", "$.at", "$.at"
		g, err := smshttp.NewWebhook(config)
		if err != nil {
			f.Fatal(err)
		}
		dlr, mo := g.Callbacks(&hookSink{})
		handlers = append(handlers, dlr, mo)
	}
	f.Fuzz(func(t *testing.T, contentType, body, query string) {
		at := strconv.FormatInt(time.Now().Unix(), 10)
		for i, h := range handlers {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
			r.URL.RawQuery = query
			r.Header = http.Header{"Content-Type": {contentType}, "X-Signature": {hookHMAC("h", body)}, "Authorization": {"Bearer " + query}}
			if i/2 == 1 {
				r.Header = http.Header{"Content-Type": {contentType}, "X-Signature": {hookHMAC("h", body, at)}, "X-Timestamp": {at}}
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			switch w.Code {
			case 204, 400, 403, 413:
			default:
				t.Fatalf("status %d", w.Code)
			}
		}
	})
}
