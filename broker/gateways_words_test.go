package broker_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A carrier that answers 200 whatever happened, calls one URL for everything, signs with a time, and wants to hear "heard".
func TestAWebhookOfManyWords(t *testing.T) {
	var tries atomic.Int32
	carrier := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Key") != "t0ken" || r.Header.Get("Authorization") != "" || r.Header.Get("X-Timestamp") == "" {
			fmt.Fprint(w, `{"result":"denied"}`)
			return
		}
		if tries.Add(1) == 1 {
			fmt.Fprint(w, `{"result":"busy"}`)
			return
		}
		fmt.Fprint(w, `{"result":"accepted","message":"m-7"}`)
	}))
	defer carrier.Close()
	cfg := withGateways(t, fmt.Sprintf(`{name: odd, kind: webhook, url: %q, allow_private: true, token: t0ken, auth: X-Key, body: '{"to":{{.To|json}},"text":{{.Text|json}}}',`+
		` code: $.result, ok: accepted, classes: {busy: temporary, denied: permanent}, id: $.message, hmac: s3cr3t, signature: body+timestamp, event: $.type,`+
		` dlr: {id: $.message, state: $.type, map: {sms.delivered: delivered}, detail: $.error}, mo: {event: sms.received, from: $.sender, text: $.text}, reply: heard}`, carrier.URL))
	cfg.SMS.Retry.First = 10_000_000
	h := start(t, cfg)
	calls := func(body string) (int, string) {
		at := strconv.FormatInt(time.Now().Unix(), 10)
		mac := hmac.New(sha256.New, []byte("s3cr3t"))
		mac.Write([]byte(body + at))
		req, err := http.NewRequestWithContext(soon(t), "POST", "http://"+h.where.HTTP+"/gateway/odd/mo", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Timestamp", at)
		req.Header.Set("X-Signature", hex.EncodeToString(mac.Sum(nil)))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	ann, anns := h.phone("ann")
	id := send(t, ann, "to/"+peerNumber, "are you there?")
	receipt(t, anns, id, "submitted")
	if n := tries.Load(); n != 2 {
		t.Errorf("%d tries", n)
	}
	for _, body := range []string{`{"type":"device.battery","level":7}`, `{"type":"sms.delivered","message":"m-7"}`, `{"type":"sms.received","sender":"+` + peerNumber + `","text":"yes"}`} {
		if status, text := calls(body); status != 200 || text != "heard" {
			t.Errorf("%s: %d %q", body, status, text)
		}
	}
	receipt(t, anns, id, "delivered")
	if m := next(t, anns, "u/ann/sms/"+peerNumber+"/"); string(m.Payload) != "yes" {
		t.Errorf("got %q", m.Payload)
	}
}
