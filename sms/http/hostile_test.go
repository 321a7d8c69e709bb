package smshttp_test

import (
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/seed-7a41469f/godwit/sms"
)

// TestSeeOther: 303, and 302 before it was thought of, are how a form answers that it was taken (RFC 9110 §15.4.3, 15.4.4). To try again would send it twice.
func TestSeeOther(t *testing.T) {
	each(t, func(t *testing.T, c carrier) {
		for status, class := range map[int]sms.Class{301: sms.Configuration, 302: sms.Unknown, 303: sms.Unknown, 307: sms.Configuration, 308: sms.Configuration} {
			var taken atomic.Int32
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.ReadAll(r.Body)
				taken.Add(1)
				w.Header().Set("Location", "/thanks")
				w.WriteHeader(status)
			})
			if o := one(t, c.start(t, srv.URL, 0), text(t, 1, "Tea?")); sms.ClassOf(o.Err) != class {
				t.Errorf("%d after it was taken is %v", status, o.Err)
			}
		}
	})
}

// TestEcho: a port that says what it is told, or a proxy that quotes it, has the request in what it answers. Neither the secret nor the number may be in the error.
func TestEcho(t *testing.T) {
	each(t, func(t *testing.T, c carrier) {
		for name, answer := range map[string]func(request string) string{
			"echo":        func(r string) string { return r },
			"in a status": func(r string) string { return "HTTP/1.1 " + strings.ReplaceAll(r, "\r\n", "_") + "\r\n\r\n" },
			"in a header": func(r string) string { return "HTTP/1.1 200 OK\r\n" + strings.ReplaceAll(r, "\r\n", "_") + "\r\n\r\n" },
			"as a length": func(r string) string {
				return "HTTP/1.1 200 OK\r\nContent-Length: " + strings.ReplaceAll(r, "\r\n", "_") + "\r\n\r\n"
			},
		} {
			t.Run(name, func(t *testing.T) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				go func() {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					defer conn.Close()
					b := make([]byte, 1<<16)
					n, _ := conn.Read(b)
					_, _ = io.WriteString(conn, answer(string(b[:n])))
				}()
				o := one(t, c.start(t, "http://"+l.Addr().String(), 0), text(t, 1, "Tea for two"))
				wantClass(t, o, sms.Unknown)
				for _, secret := range []string{string(peer)[2:], "password", "p%40ss", "Basic", "Bearer", "sendsms", "for two", "for+two"} {
					if strings.Contains(o.Err.Error(), secret) {
						t.Errorf("the error tells %q: %v", secret, o.Err)
					}
				}
			})
		}
	})
}

// TestWebhookQueryIsNotSigned: a signature over the body says nothing about the query, which anybody can write who has seen one signed call.
func TestWebhookQueryIsNotSigned(t *testing.T) {
	for _, body := range []string{"", "a=b"} {
		config, sink := hook("https://sms.example/"), &hookSink{}
		_, mo := newHook(t, config).Callbacks(sink)
		forged := url.Values{"from": {string(hookPeer)}, "msg": {"STOP"}}
		w := hookCall{query: forged.Encode(), body: body, header: map[string]string{"X-Signature": hookHMAC("h", body)}}.to(mo)
		if _, mos := sink.taken(); len(mos) > 0 {
			t.Errorf("body %q: %d, %+v was taken", body, w.Code, mos)
		}
	}
}

// TestWebhookURLEscapes: what stands in the URL is escaped by itself, whatever functions made it.
func TestWebhookURLEscapes(t *testing.T) {
	got := make(chan url.Values, 1)
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got <- r.URL.Query()
		_, _ = io.WriteString(w, `{"id":"1"}`)
	})
	c := hook(srv.URL + `/?to={{.To|plus}}&text={{.Text}}&quoted={{.Text|urlquery}}&json={{.Text|json}}&sign={{.Text|hmac .Key|base64}}`)
	c.Body = ""
	mt := hookMT(t, "a+b & ü")
	wantClass(t, one(t, newHook(t, c), mt), 0)
	q := <-got
	mac, _ := unhex(hookHMAC("h", mt.Text))
	for name, want := range map[string]string{"to": "+" + string(hookPeer), "text": mt.Text, "quoted": mt.Text, "json": `"a+b \u0026 ü"`, "sign": b64(mac)} {
		if q.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, q.Get(name), want)
		}
	}
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// TestKannelLongSegment: a segment has 140 octets. What is kept of those that wait for the others is bounded.
func TestKannelLongSegment(t *testing.T) {
	sink := newInbox(0)
	_, mo := callbacks(t, sink, nil)
	if w := get(t, mo, seg(1, 255, 1, "id", strings.Repeat("x", 50000))); w.Code != http.StatusBadRequest {
		t.Errorf("a segment of 50,000 octets is answered %d", w.Code)
	}
}
