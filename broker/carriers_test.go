package broker_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/clienttest/gammu"
	"github.com/seed-7a41469f/godwit/clienttest/kannel"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

const peerNumber = "4917604069003"

// soon bounds what a test waits for.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// A message goes out through SMPP, its receipt comes back, and so does the answer; the wire log tells of it and of nobody.
func TestConversationOverSMPP(t *testing.T) {
	before := goleak.IgnoreCurrent()
	smsc := smstest.NewSMPP(smstest.SMPPOptions{})
	defer smsc.Close()
	h := start(t, withGateways(t, fmt.Sprintf(`{name: carrier, kind: smpp, addr: %q, system_id: godwit, password: s3cr3t}`, smsc.Addr)))
	eventually(t, func() bool { return h.gateway().Linked })
	h.order("wire", `{"on":true}`)
	ann, anns := h.phone("ann")
	receipt(t, anns, send(t, ann, "to/"+peerNumber, "are you there?"), "delivered")
	got, err := smsc.Wait(soon(t), 1)
	if err != nil || len(got) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := smsc.MO(soon(t), smstest.MO{From: smstest.Phone(peerNumber), To: smstest.Phone(ownNumber), Text: "yes, here"}); err != nil {
		t.Fatal(err)
	}
	if m := next(t, anns, "u/ann/sms/"+peerNumber+"/"); string(m.Payload) != "yes, here" {
		t.Errorf("got %q", m.Payload)
	}
	log := h.log.String()
	for _, secret := range []string{"s3cr3t", peerNumber, "there?", "yes, here"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has %q: %s", secret, log)
		}
	}
	if !strings.Contains(log, `"part":"wire","gateway":"carrier"`) {
		t.Errorf("nothing of the wire is in the log: %s", log)
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	if v := smsc.Violations(); len(v) > 0 {
		t.Errorf("violations: %v", v)
	}
	if s := smsc.Sessions(); len(s) != 1 || !s[0].Unbound {
		t.Errorf("sessions: %+v", s)
	}
	smsc.Close()
	<-ann.Done()
	goleak.VerifyNone(t, before)
}

// The SMSC is down at the start; the list says so, and what waits goes out once it is there.
func TestSMPPDownAtTheStart(t *testing.T) {
	smsc := smstest.NewSMPP(smstest.SMPPOptions{})
	defer smsc.Close()
	smsc.Stop()
	h := start(t, withGateways(t, fmt.Sprintf(`{name: carrier, kind: smpp, addr: %q, system_id: godwit, password: s3cr3t}`, smsc.Addr)))
	ann, anns := h.phone("ann")
	id := send(t, ann, "to/"+peerNumber, "are you there?")
	eventually(t, func() bool { g := h.gateway(); return !g.Linked && g.Cause != "" })
	if err := smsc.Start(); err != nil {
		t.Fatal(err)
	}
	receipt(t, anns, id, "delivered")
	if g := h.gateway(); !g.Linked {
		t.Errorf("%+v", g)
	}
}

// The SMSC is believed by its certificate only, and the connection is encrypted.
func TestSMPPOverTLS(t *testing.T) {
	authority := httptest.NewTLSServer(nil) // for its certificate, which is one for 127.0.0.1
	defer authority.Close()
	smsc := smstest.NewSMPP(smstest.SMPPOptions{TLS: &tls.Config{Certificates: authority.TLS.Certificates}})
	defer smsc.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	const line = `{name: %s, kind: smpp, addr: %q, system_id: godwit, password: s3cr3t, tls: true%s}`
	h := start(t, withGateways(t, fmt.Sprintf(line, "believed", smsc.Addr, fmt.Sprintf(", tls_ca_file: %q", ca)), fmt.Sprintf(line, "doubted", smsc.Addr, "")))
	ann, anns := h.phone("ann")
	receipt(t, anns, send(t, ann, "to/"+peerNumber, "are you there?"), "delivered")
	var list api.Gateways
	h.ask("GET", "/v1/admin/gateways", "", &list)
	if g := list.Gateways; len(g) != 2 || !g[0].Linked || g[1].Linked {
		t.Errorf("%+v", list)
	}
}

// A wrong password: the operator is told, messages wait, and they go out once it is mended.
func TestWrongPasswordAtTheSMSC(t *testing.T) {
	smsc := smstest.NewSMPP(smstest.SMPPOptions{})
	defer smsc.Close()
	smsc.NextBind(-1, smstest.BindFault{Status: 0x0e})
	h := start(t, withGateways(t, fmt.Sprintf(`{name: carrier, kind: smpp, addr: %q, system_id: godwit, password: wr0ng}`, smsc.Addr)))
	ann, anns := h.phone("ann")
	id := send(t, ann, "to/"+peerNumber, "are you there?")
	eventually(t, func() bool { g := h.gateway(); return !g.Linked && strings.HasPrefix(g.Cause, "configuration: ") })
	if text := h.log.String(); !strings.Contains(text, `"level":"error"`) || strings.Contains(text, "wr0ng") {
		t.Errorf("the log: %s", text)
	}
	var done api.Test
	if status := h.ask("POST", "/v1/admin/gateways/carrier/test", `{"number":"`+peerNumber+`"}`, &done); status != 200 || done.Taken || !strings.HasPrefix(done.Segments[0].Error, "configuration: ") {
		t.Errorf("test: %d %+v", status, done)
	}
	if status := h.ask("POST", "/v1/admin/messages/"+id+"/cancel", "", nil); status != 200 {
		t.Errorf("cancel: %d", status)
	}
	receipt(t, anns, id, "failed")
}

// The same conversation through a real Kannel, which calls the HTTP port.
func TestConversationOverKannel(t *testing.T) {
	port := kannel.FreePort(t)
	const secret = "s3cr3t-of-kannel"
	mo := fmt.Sprintf("http://127.0.0.1:%d/gateway/kannel/mo?key=%s&from=%%p&to=%%P&text=%%b&coding=%%c&udh=%%u&time=%%t&smsc=%%i&id=%%I", port, secret)
	k := kannel.Start(t, kannel.Config{MOURL: mo})
	cfg := withGateways(t, fmt.Sprintf(`{name: kannel, kind: kannel, url: %q, username: %q, password: %q, callback_secret: %s}`, k.SendURL, k.Username, k.Password, secret))
	cfg.Listen.HTTP = fmt.Sprintf("127.0.0.1:%d", port)
	h := start(t, cfg)
	ann, anns := h.phone("ann")
	receipt(t, anns, send(t, ann, "to/"+peerNumber, "grüß dich, 10 €"), "delivered")
	if got, err := k.Wait(soon(t), 1); err != nil || got[0].Text(false) != "ann: grüß dich, 10 €" || got[0].From != "+"+ownNumber {
		t.Errorf("%+v, %v", got, err)
	}
	k.MO(peerNumber, ownNumber, "selber")
	if m := next(t, anns, "u/ann/sms/"+peerNumber+"/"); string(m.Payload) != "selber" {
		t.Errorf("got %q", m.Payload)
	}
	forged := strings.Replace(fmt.Sprintf("http://127.0.0.1:%d/gateway/kannel/mo?key=%s&from=1&to=2&text=x", port, secret), secret, "forged", 1)
	req, err := http.NewRequestWithContext(t.Context(), "GET", forged, nil)
	if err != nil {
		t.Fatal(err)
	}
	if status := do(t, http.DefaultClient, req, nil); status != 403 {
		t.Errorf("forged: %d", status)
	}
	var text string
	h.ask("GET", "/metrics", "", &text)
	for _, want := range []string{
		`godwit_dlr_total{gateway="kannel",state="delivered"} 1`, `godwit_mo_total{gateway="kannel",result="conversation"} 1`, `godwit_refused_total{reason="callback"} 1`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
	if log := h.log.String(); strings.Contains(log, secret) || strings.Contains(log, peerNumber) {
		t.Errorf("the log has the key or a number: %s", log)
	}
}

// The same through a real gammu-smsd and its dummy modem, which reports nothing.
func TestConversationOverGammu(t *testing.T) {
	dir := t.TempDir()
	modem := gammu.Start(t, dir)
	h := start(t, withGateways(t, fmt.Sprintf(`{name: stick, kind: gammu, dir: %q, number: %q}`, dir, ownNumber)))
	ann, anns := h.phone("ann")
	receipt(t, anns, send(t, ann, "to/"+peerNumber, "are you there?"), "submitted")
	if sent := modem.Sent(); len(sent) != 1 {
		t.Errorf("sent: %+v", sent)
	}
	modem.Receive("+"+peerNumber, "yes, here")
	if m := next(t, anns, "u/ann/sms/"+peerNumber+"/"); string(m.Payload) != "yes, here" {
		t.Errorf("got %q", m.Payload)
	}
	var list api.Unmatched
	if h.ask("GET", "/v1/admin/unmatched", "", &list); len(list.Unmatched) != 0 {
		t.Errorf("unmatched: %+v", list)
	}
}

// The same through any HTTP API that the configuration describes.
func TestConversationOverAWebhook(t *testing.T) {
	asked := make(chan map[string]string, 1)
	carrier := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body map[string]string
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.Header.Get("Authorization") != "Bearer t0ken" || r.Header.Get("X-Account") != "acc0unt" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		asked <- body
		fmt.Fprint(w, `{"message":{"id":"m-7"}}`)
	}))
	defer carrier.Close()
	h := start(t, withGateways(t, fmt.Sprintf(`{name: hook, kind: webhook, url: %q, allow_private: true, token: t0ken, headers: {X-Account: acc0unt},`+
		` body: '{"to":{{.To|json}},"text":{{.Text|json}}}', id: "$.message.id", callback_secret: s3cr3t,`+
		` dlr: {id: "$.id", state: "$.status", map: {ok: delivered}}, mo: {from: "$.from", text: "$.msg", id: "$.id"}}`, carrier.URL)))
	calls := func(path, body string) int {
		req, err := http.NewRequestWithContext(soon(t), "POST", "http://"+h.where.HTTP+"/gateway/hook/"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		return do(t, http.DefaultClient, req, nil)
	}
	ann, anns := h.phone("ann")
	id := send(t, ann, "to/"+peerNumber, "are you there?")
	if body := <-asked; body["to"] != peerNumber || body["text"] != "ann: are you there?" {
		t.Errorf("%v", body)
	}
	receipt(t, anns, id, "submitted")
	if status := calls("dlr?key=s3cr3t", `{"id":"m-7","status":"ok"}`); status >= 300 {
		t.Errorf("report: %d", status)
	}
	receipt(t, anns, id, "delivered")
	for range 2 { // the carrier did not hear our answer
		if status := calls("mo?key=s3cr3t", `{"id":"in-1","from":"+`+peerNumber+`","msg":"yes, here"}`); status >= 300 {
			t.Errorf("answer: %d", status)
		}
	}
	if m := next(t, anns, "u/ann/sms/"+peerNumber+"/"); string(m.Payload) != "yes, here" {
		t.Errorf("got %q", m.Payload)
	}
	for body, want := range map[string]int{`{"id":`: 400, `[]`: 400, `{"id":"in-2","from":"who","msg":"x"}`: 0, "": 400} {
		if status := calls("mo?key=s3cr3t", body); status >= 500 || want != 0 && status != want {
			t.Errorf("%q: %d, want %d", body, status, want)
		}
	}
	var text string
	h.ask("GET", "/metrics", "", &text)
	for _, want := range []string{`godwit_mo_total{gateway="hook",result="conversation"} 1`, `godwit_mo_total{gateway="hook",result="repeated"} 1`} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
	if log := h.log.String(); strings.Contains(log, "s3cr3t") || strings.Contains(log, "t0ken") || strings.Contains(log, "acc0unt") || strings.Contains(log, peerNumber) {
		t.Errorf("the log has a secret or a number: %s", log)
	}
}

// A body that never ends is cut off, by size.
func TestAnEndlessCallback(t *testing.T) {
	h := start(t, withGateways(t, `{name: hook, kind: webhook, url: "https://sms.example.org/", body: '{"to":{{.To|json}},"text":{{.Text|json}}}', id: "$.id", callback_secret: s3cr3t, dlr: {id: "$.id", state: "$.status"}}`))
	req, err := http.NewRequestWithContext(soon(t), "POST", "http://"+h.where.HTTP+"/gateway/hook/dlr?key=s3cr3t", endless{})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return // the connection was closed while we still wrote
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%s", resp.Status)
	}
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
