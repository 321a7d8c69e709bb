package broker_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/clienttest/gammu"
	"github.com/seed-7a41469f/godwit/config"
)

// gatewayLines are a gateway of each kind, as one writes it. %s is a directory of gammu-smsd.
var gatewayLines = []string{
	`{name: screen, kind: console}`,
	`{name: test, kind: smstest, url: "http://127.0.0.1:1"}`,
	`{name: carrier, kind: smpp, addr: "127.0.0.1:2775", system_id: godwit, password: p, window: 20, rate: 50, sessions: 2, bind: pair, concat: udh16, response_id: hex, receipt_id: decimal}`,
	`{name: safe, kind: smpp, addr: "127.0.0.1:3550", system_id: godwit, tls: true}`,
	`{name: kannel, kind: kannel, url: "http://127.0.0.1:13013/cgi-bin/sendsms", username: u, password: p, callback_secret: kannel-secret, rate: 10}`,
	`{name: twilio, kind: twilio, account: AC00000000000000000000000000000000, token: twilio-secret}`,
	`{name: hook, kind: webhook, url: "https://sms.example.org/send", body: '{"to":{{.To|json}},"text":{{.Text|json}}}', id: "$.id", hmac: hook-secret, dlr: {id: "$.id", state: "$.status", map: {ok: delivered}}, mo: {from: "$.from", text: "$.msg"}}`,
	`{name: mute, kind: webhook, url: "https://sms.example.org/send?to={{.To}}&text={{.Text}}", method: GET}`,
	`{name: jasmin, kind: jasmin, url: "https://jasmin.example.org/send", username: u, password: p, callback_secret: jasmin-secret}`,
	`{name: phone, kind: smsgate, username: u, password: p, hmac: phone-secret}`,
	`{name: other, kind: httpsms, token: t, hmac: other-secret, number: "4917604069001"}`,
	`{name: third, kind: smsforwarder, url: "https://phone.example.org/sms/send", hmac: third-secret, number: "4917604069002"}`,
	`{name: fourth, kind: smsforwarder, url: "https://phone.example.org/sms/send", number: "4917604069002"}`,
	`{name: stick, kind: gammu, dir: %q}`,
}

// withGateways is a configuration for tests with gateways as one writes them.
func withGateways(t *testing.T, lines ...string) config.Config {
	t.Helper()
	text := "sms:\n  numbers: [\"" + ownNumber + "\"]\n  gateways:\n"
	for _, line := range lines {
		text += "    - " + line + "\n"
	}
	read, err := config.Parse("godwit.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(t)
	cfg.SMS = read.SMS
	return cfg
}

func TestEveryKindOfGateway(t *testing.T) {
	dir := t.TempDir()
	gammu.Folders(t, dir)
	lines := append([]string{}, gatewayLines...)
	lines[len(lines)-1] = fmt.Sprintf(lines[len(lines)-1], dir)
	cfg := withGateways(t, lines...)
	cfg.Listen.PublicURL = "https://push.example.org/"
	kinds := map[string]bool{}
	for _, g := range cfg.SMS.Gateways {
		kinds[g.Kind] = true
	}
	for _, k := range config.Kinds() {
		if !kinds[k.Name] {
			t.Errorf("kind %s is not tried", k.Name)
		}
	}
	h := start(t, cfg)
	var list api.Gateways
	h.ask("GET", "/v1/admin/gateways", "", &list)
	if len(list.Gateways) != len(lines) {
		t.Fatalf("%+v", list)
	}
	byName := map[string]api.Gateway{}
	for _, g := range list.Gateways {
		byName[g.Name] = g
	}
	for name, want := range map[string]api.Gateway{
		"carrier": {Kind: "smpp", DLR: true, Window: 40, Rate: 50},
		"safe":    {Kind: "smpp", DLR: true, Window: 10},
		"kannel":  {Kind: "kannel", DLR: true, Linked: true, Window: 10, Rate: 10},
		"twilio":  {Kind: "twilio", DLR: true, Linked: true, Window: 10},
		"hook":    {Kind: "webhook", DLR: true, Linked: true, Window: 10, Number: ownNumber},
		"mute":    {Kind: "webhook", Linked: true, Window: 10},
		"other":   {Kind: "httpsms", DLR: true, Linked: true, Window: 1, Number: "4917604069001"},
		"fourth":  {Kind: "smsforwarder", Linked: true, Window: 1, Number: "4917604069002"},
		"stick":   {Kind: "gammu", Linked: true, Window: 1, Number: ownNumber},
	} {
		want.Name = name
		if byName[name] != want {
			t.Errorf("%s is %+v, want %+v", name, byName[name], want)
		}
	}
	log := h.log.String()
	for _, want := range []string{
		`"gateway":"carrier","kind":"smpp","message":"SMS gateway"`,
		`"gateway":"kannel","kind":"kannel","dlr":"https://push.example.org/gateway/kannel/dlr","mo":"https://push.example.org/gateway/kannel/mo","message":"SMS gateway"`,
		`"gateway":"twilio","kind":"twilio","dlr":"https://push.example.org/gateway/twilio/dlr","mo":"https://push.example.org/gateway/twilio/mo","message":"SMS gateway"`,
		`"gateway":"mute","kind":"webhook","message":"SMS gateway"`,
		`"gateway":"fourth","kind":"smsforwarder","message":"SMS gateway"`,
		`"gateway":"jasmin","kind":"jasmin","dlr":"https://push.example.org/gateway/jasmin/dlr"`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("%s is not in the log", want)
		}
	}
	if strings.Contains(log, "-secret") {
		t.Errorf("the log has a secret: %s", log)
	}
	for _, name := range []string{"carrier", "mute", "fourth", "stick", "screen"} {
		if status := h.get("/gateway/"+name+"/dlr?key=", "", "", nil); status != 404 {
			t.Errorf("%s is called: %d", name, status)
		}
	}
	for _, name := range []string{"kannel", "twilio", "hook", "jasmin", "phone", "other", "third"} {
		for _, key := range []string{"", "?key=", "?key=wrong"} {
			if status := h.get("/gateway/"+name+"/mo"+key, "", "", nil); status != 403 {
				t.Errorf("%s takes an SMS that nobody signed, %q: %d", name, key, status)
			}
		}
	}
}

func TestAGatewayThatCannotBeMade(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ line, want string }{
		"a template with an unknown field": {`{name: hook, kind: webhook, url: "https://sms.example.org/", body: '{"to":{{.Too|json}},"text":{{.Text|json}}}'}`, "Too"},
		"no JSON":                          {`{name: hook, kind: webhook, url: "https://sms.example.org/", body: '{"to":{{.To|json}},"text":{{.Text|json}}'}`, "JSON"},
		"no text":                          {`{name: hook, kind: webhook, url: "https://sms.example.org/", body: '{"to":{{.To|json}}}'}`, "text"},
		"no spool":                         {fmt.Sprintf(`{name: stick, kind: gammu, dir: %q}`, filepath.Join(dir, "nowhere")), "inbox"},
	} {
		gateway, _, _ := strings.Cut(strings.TrimPrefix(c.line, "{name: "), ",")
		_, err := broker.New(withGateways(t, c.line), broker.Options{Log: zerolog.Nop()})
		if err == nil || !strings.Contains(err.Error(), gateway) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Without an HTTP port nobody calls: what would be called only sends.
func TestGatewaysWithoutHTTP(t *testing.T) {
	for _, line := range gatewayLines[4 : len(gatewayLines)-1] {
		cfg := withGateways(t, line)
		cfg.Listen.HTTP = ""
		if _, err := broker.New(cfg, broker.Options{Log: zerolog.Nop()}); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// Who switches the wire log on wants to see it, whatever the level of the log.
func TestWireLogIsSeen(t *testing.T) {
	for _, level := range []zerolog.Level{zerolog.DebugLevel, zerolog.InfoLevel, zerolog.ErrorLevel, zerolog.Disabled} {
		var log bytes.Buffer
		wire := broker.WireOf(zerolog.New(&log).Level(level), "carrier")
		wire.Logf("before")
		wire.Set(true)
		wire.Logf("> submit_sm %d", 7)
		wire.Set(false)
		wire.Logf("after")
		want := `{"level":"info","part":"wire","gateway":"carrier","message":"> submit_sm 7"}` + "\n"
		if level == zerolog.Disabled {
			want = ""
		}
		if log.String() != want {
			t.Errorf("%s: got %q", level, log.String())
		}
	}
}
