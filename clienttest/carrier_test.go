package clienttest_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/delivery"
)

// A carrierStage is a broker whose gateway is an HTTP API, behind a door that the API's server calls.
type carrierStage struct {
	*clienttest.Server
	t    *testing.T
	door *clienttest.Door
	asks chan ask // what the API was asked
}

type ask struct {
	request *http.Request
	body    string
}

// newCarrierStage starts a broker with a gateway, whose URL is that of an API that gives each request to the test and answers with answer.
func newCarrierStage(t *testing.T, g config.Gateway, answer string) *carrierStage {
	s := &carrierStage{t: t, door: clienttest.NewDoor(t), asks: make(chan ask, 10)}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.asks <- ask{r, string(body)}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(api.Close)
	g.URL = api.URL
	s.Server = clienttest.NewServer(t, func(c *config.Config) {
		s.door.Public(c)
		c.SMS.Gateways = []config.Gateway{g}
	})
	s.door.LeadTo(s.Broker)
	s.Hide(string(cleo))
	return s
}

// call posts to the door, and must be answered with a status.
func (s *carrierStage) call(status int, address, contentType, body, header, signature string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), "POST", address, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if signature != "" {
		req.Header.Set(header, signature)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	if resp.StatusCode/100 != status/100 || status/100 != 2 && resp.StatusCode != status {
		text, _ := io.ReadAll(resp.Body)
		s.t.Errorf("POST %s was answered %s, want %d: %s", address, resp.Status, status, text)
	}
}

// refused compares how many callbacks were refused.
func (s *carrierStage) refused(want string) {
	s.t.Helper()
	resp, err := http.Get(s.URL() + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if line := `godwit_refused_total{reason="callback"} ` + want; err != nil || !strings.Contains(string(text), "\n"+line+"\n") {
		s.t.Errorf("metrics without %s, %v", line, err)
	}
}

// TestTwilio is a conversation through Twilio's Messages API: out, signed callbacks, forged ones, and an answer.
func TestTwilio(t *testing.T) {
	t.Parallel()
	const account, token = "AC00000000000000000000000000000001", "a 5ecret token"
	g := config.DefaultGateway(config.KindTwilio, "twilio")
	g.Account, g.Token = account, token
	s := newCarrierStage(t, g, `{"sid":"SM1","status":"queued","error_code":null,"num_segments":"1"}`)
	s.Hide(token)
	a := s.Connect(clienttest.Login{User: ann})
	send(a, cleo, "k", "Lunch at one?")

	asked := <-s.asks
	form, err := url.ParseQuery(asked.body)
	user, password, _ := asked.request.BasicAuth()
	if err != nil || user != account || password != token || asked.request.URL.Path != "/2010-04-01/Accounts/"+account+"/Messages.json" ||
		form.Get("To") != "+"+string(cleo) || form.Get("From") != "+"+string(clienttest.OurNumber) || form.Get("Body") != "+"+string(ann)+": Lunch at one?" {
		t.Errorf("%s %v, %v", asked.request.URL, form, err)
	}
	a.Receipt("k", "submitted")
	call := func(status int, address string, form url.Values, token string) {
		t.Helper()
		address, _, _ = strings.Cut(address, "#")
		signed := address
		for _, name := range slices.Sorted(maps.Keys(form)) {
			signed += name + form.Get(name)
		}
		mac := hmac.New(sha1.New, []byte(token))
		_, _ = io.WriteString(mac, signed)
		s.call(status, address, "application/x-www-form-urlencoded", form.Encode(), "X-Twilio-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	report := url.Values{"MessageSid": {"SM1"}, "SmsSid": {"SM1"}, "MessageStatus": {"delivered"}, "To": {"+" + string(cleo)}, "From": {"+" + string(clienttest.OurNumber)}, "AccountSid": {account}}
	answer := url.Values{"MessageSid": {"SM2"}, "From": {"+" + string(cleo)}, "To": {"+" + string(clienttest.OurNumber)}, "Body": {"Gladly 🙂"}, "AccountSid": {account}, "NumMedia": {"0"}}
	mo := s.door.URL + "/gateway/twilio/mo"
	call(403, form.Get("StatusCallback"), report, "forged")
	call(403, mo, answer, "forged")
	s.call(403, mo, "application/x-www-form-urlencoded", answer.Encode(), "", "")
	s.refused("3")
	call(200, form.Get("StatusCallback"), report, token)
	ended(t, a.Final("k"), "delivered", "sms", delivery.NotRegistered)
	call(200, mo, answer, token)
	call(200, mo, answer, token) // again, as after a time-out
	want(t, a.Next("sms"), cleo, "Gladly 🙂")
	if all := s.Messages(); len(all) != 2 {
		t.Errorf("%d messages, want two: %+v", len(all), all)
	}
}

// TestWebhook is the same through an API that a configuration describes.
func TestWebhook(t *testing.T) {
	t.Parallel()
	const key = "the 5ecret key"
	g := config.DefaultGateway(config.KindWebhook, "hook")
	g.Body, g.ID, g.HMAC, g.AllowPrivate = `{"to":{{.To|json}},"text":{{.Text|json}}}`, "$.id", key, true
	g.DLR = config.CallbackDLR{ID: "$.id", State: "$.status", Map: map[string]string{"ok": "delivered"}}
	g.MO = config.CallbackMO{From: "$.from", Text: "$.msg", ID: "$.id"}
	s := newCarrierStage(t, g, `{"id":"m-1"}`)
	s.Hide(key)
	sign := func(body, key string) string {
		mac := hmac.New(sha256.New, []byte(key))
		_, _ = io.WriteString(mac, body)
		return "sha256=" + hex.EncodeToString(mac.Sum(nil))
	}
	a := s.Connect(clienttest.Login{User: ann})
	send(a, cleo, "k", `Lunch "at one"?`)

	asked := <-s.asks
	var body struct{ To, Text string }
	if err := json.Unmarshal([]byte(asked.body), &body); err != nil || body.To != string(cleo) || body.Text != "+"+string(ann)+`: Lunch "at one"?` {
		t.Errorf("%s, %v", asked.body, err)
	}
	if got := asked.request.Header.Get("X-Signature"); got != sign(asked.body, key) {
		t.Errorf("X-Signature: %s", got)
	}
	a.Receipt("k", "submitted")
	dlr, mo := s.door.URL+"/gateway/hook/dlr", s.door.URL+"/gateway/hook/mo"
	report, answer := `{"id":"m-1","status":"ok"}`, `{"id":"a-1","from":"+`+string(cleo)+`","msg":"Gladly 🙂"}`
	s.call(403, dlr, "application/json", report, "X-Signature", sign(report, "forged"))
	s.call(403, mo, "application/json", answer, "X-Signature", sign(report, key)) // of another call
	s.call(403, mo, "application/json", answer, "", "")
	s.refused("3")
	s.call(204, dlr, "application/json", report, "X-Signature", sign(report, key))
	ended(t, a.Final("k"), "delivered", "sms", delivery.NotRegistered)
	for range 2 {
		s.call(204, mo, "application/json", answer, "X-Signature", sign(answer, key))
	}
	want(t, a.Next("sms"), cleo, "Gladly 🙂")
	if all := s.Messages(); len(all) != 2 {
		t.Errorf("%d messages, want two: %+v", len(all), all)
	}
}
