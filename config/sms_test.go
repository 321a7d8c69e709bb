package config_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/sms"
)

// The file has every documented kind of gateway but those that are presets like smsgate, and every key of sms that has no default.
func TestEveryPartOfSMS(t *testing.T) {
	cfg, err := config.Load("testdata/whole/godwit.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := cfg.SMS
	by := map[string]config.Gateway{}
	for _, g := range s.Gateways {
		by[g.Name] = g
	}
	for _, c := range []struct{ what, got, want any }{
		{"caps", s.Caps, config.Caps{SenderDay: 500, RecipientDay: 200, PrefixHour: 2000, LoopHour: 5}},
		{"budget", s.Budget, config.Budget{Day: config.Money{50e6, "EUR"}, Month: config.Money{800e6, "EUR"}}},
		{"price", s.Price, map[string]config.Money{"49": {75_000, "EUR"}, "*": {120_000, "EUR"}}},
		{"allow", s.Allow, []string{"*"}},
		{"deny", s.Deny, []string{"979", "870", "881", "882", "883"}},
		{"reply window", s.ReplyWindow.Std(), 72 * time.Hour},
		{"reply quiet", s.ReplyQuiet.Std(), time.Hour},
		{"stop words", s.StopWords, []string{"STOP", "UNSUBSCRIBE", "TD", "退订"}},
		{"routes", s.Routes, []config.Route{{Prefix: "86", Use: []string{"carrier", "kannel"}}, {Prefix: "*", Use: []string{"twilio"}}}},
		{"gateways", len(s.Gateways), 7},
		{"smpp", by["carrier"], config.Gateway{
			Name: "carrier", Kind: "smpp", Addr: "127.0.0.1:2775", Bind: "transceiver", SystemID: "godwit", Password: "not-a-p", Window: 10, Rate: 50,
			Enquire: config.Duration(30 * time.Second), Sessions: 1, Concat: "udh8", ResponseID: "text", ReceiptID: "text",
		}},
		{"kannel", by["kannel"], config.Gateway{
			Name: "kannel", Kind: "kannel", URL: "http://127.0.0.1:13013/cgi-bin/sendsms", Username: "u", Password: "not-a-f", CallbackSecret: "not-a-g", Window: 10,
		}},
		{"twilio", by["twilio"], config.Gateway{Name: "twilio", Kind: "twilio", URL: "https://…", Account: "AC…", Token: "not-a-t", Window: 10}},
		{"smsgate", by["phone"], config.Gateway{Name: "phone", Kind: "smsgate", URL: "https://…", Username: "u", Password: "not-a-f", Window: 1}},
		{"webhook", by["hook"], config.Gateway{
			Name: "hook", Kind: "webhook", URL: "https://…", Body: `{"to":{{.To|json}},"text":{{.Text|json}}}`, ID: "$.id",
			HMAC: "not-a-h", Window: 10, DLR: config.CallbackDLR{ID: "$.id", State: "$.status", Map: map[string]string{"ok": "delivered"}},
			MO: config.CallbackMO{From: "$.from", Text: "$.msg"},
		}},
		{"gammu", by["stick"], config.Gateway{Name: "stick", Kind: "gammu", Dir: "/var/spool/gammu"}},
		{"console", by["screen"], config.Gateway{Name: "screen", Kind: "console"}},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%v: got\n%#v, want\n%#v", c.what, c.got, c.want)
		}
	}
	readAgain(t, cfg)
}

// readAgain writes a configuration and reads it; secrets are stars then.
func readAgain(t *testing.T, cfg config.Config) {
	t.Helper()
	text, err := cfg.YAML()
	if err != nil {
		t.Fatal(err)
	}
	again, err := config.Parse("godwit.yaml", text, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	second, err := again.YAML()
	if err != nil || string(second) != string(text) {
		t.Errorf("%v; written, read and written it is\n%s\nand was\n%s", err, second, text)
	}
	if _, err := json.Marshal(cfg); err != nil {
		t.Error(err)
	}
}

func TestGatewayIsShownWithTheKeysOfItsKind(t *testing.T) {
	for _, k := range config.Kinds() {
		text, err := config.Config{SMS: config.SMS{Gateways: []config.Gateway{filled(t, k)}}}.YAML()
		if err != nil {
			t.Fatal(err)
		}
		var shown struct {
			SMS struct{ Gateways []map[string]any }
		}
		if err := yaml.Unmarshal(text, &shown); err != nil {
			t.Fatal(err)
		}
		got := slices.Sorted(maps.Keys(shown.SMS.Gateways[0]))
		want := slices.Sorted(slices.Values(slices.Concat([]string{"name", "kind"}, k.Required, k.Optional)))
		if !slices.Equal(got, want) {
			t.Errorf("%s: shown are %v, want %v", k.Name, got, want)
		}
	}
}

// filled is a gateway that has every key of its kind, with a value that is not zero.
func filled(t *testing.T, k config.Kind) config.Gateway {
	t.Helper()
	g := config.DefaultGateway(k.Name, "a")
	v := reflect.ValueOf(&g).Elem()
	for _, key := range slices.Concat(k.Required, k.Optional) {
		field := fieldOf(v, key)
		switch {
		case !field.IsValid():
			t.Errorf("%s has %s, which is no key of a gateway", k.Name, key)
		case !field.IsZero():
		case field.Kind() == reflect.String:
			field.SetString("a")
		case field.Kind() == reflect.Bool:
			field.SetBool(true)
		case field.CanInt():
			field.SetInt(1)
		case field.CanFloat():
			field.SetFloat(1)
		case field.Kind() == reflect.Map:
			table := reflect.MakeMap(field.Type())
			table.SetMapIndex(reflect.ValueOf("X-Key"), reflect.ValueOf("a").Convert(field.Type().Elem()))
			field.Set(table)
		default:
			field.Field(0).SetString("a")
		}
	}
	return g
}

func fieldOf(v reflect.Value, key string) reflect.Value {
	for i := range v.NumField() {
		if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ","); name == key {
			return v.Field(i)
		}
	}
	return reflect.Value{}
}

// The least that each kind needs is accepted, and each key that it needs is missed.
func TestGatewayNeedsTheKeysOfItsKind(t *testing.T) {
	values := map[string]string{
		"addr": "smsc.example.org:2775", "system_id": "godwit", "url": "https://sms.example.org", "username": "u", "password": "p", "callback_secret": "s",
		"account": "AC0", "token": "t", "number": "4915112345678", "dir": "gammu",
	}
	for _, k := range config.Kinds() {
		g := config.DefaultGateway(k.Name, "a")
		v := reflect.ValueOf(&g).Elem()
		for _, key := range k.Required {
			fieldOf(v, key).SetString(values[key])
		}
		switch k.Name {
		case config.KindTest:
			g.URL = "http://127.0.0.1:1"
		case config.KindGammu:
			g.Number = "4915112345678" // or one of sms.numbers
		}
		if err := checkGateway(g); err != nil {
			t.Errorf("%s with %v: %v", k.Name, k.Required, err)
		}
		for _, key := range k.Required {
			without := g
			fieldOf(reflect.ValueOf(&without).Elem(), key).SetZero()
			if err := checkGateway(without); err == nil || !strings.Contains(err.Error(), "sms.gateways[0]."+key) {
				t.Errorf("%s without %s: %v", k.Name, key, err)
			}
		}
	}
}

func checkGateway(g config.Gateway) error {
	cfg := config.Default()
	cfg.SMS.Gateways = []config.Gateway{g}
	return cfg.Check()
}

// A key of another kind is refused in a Config that a program made, too.
func TestGatewayHasNoKeysOfOtherKinds(t *testing.T) {
	for _, k := range config.Kinds() {
		for _, other := range config.Kinds() {
			for _, key := range slices.Concat(other.Required, other.Optional) {
				if slices.Contains(k.Required, key) || slices.Contains(k.Optional, key) {
					continue
				}
				g := config.DefaultGateway(k.Name, "a")
				fieldOf(reflect.ValueOf(&g).Elem(), key).Set(fieldOf(reflect.ValueOf(filled(t, other)), key))
				if err := checkGateway(g); err == nil || !strings.Contains(err.Error(), "sms.gateways[0]."+key+": is not a key of kind "+k.Name) {
					t.Errorf("%s of %s in a gateway of kind %s: %v", key, other.Name, k.Name, err)
				}
			}
		}
	}
}

// Callbacks are open to the world: without something that tells the carrier from others there are none.
func TestCallbacksFailClosed(t *testing.T) {
	hook := config.DefaultGateway(config.KindWebhook, "hook")
	hook.URL, hook.Body = "https://sms.example.org", "{{.Text}}"
	if err := checkGateway(hook); err != nil {
		t.Errorf("without callbacks: %v", err)
	}
	hook.MO = config.CallbackMO{From: "$.from", To: "$.to", Text: "$.text"}
	var problems config.Problems
	if err := checkGateway(hook); !errors.As(err, &problems) || problems[0].Key != "sms.gateways[0].callback_secret" {
		t.Errorf("with callbacks and no secret: %v", err)
	}
	secret, signed := hook, hook
	secret.CallbackSecret, signed.HMAC = "s", "h"
	for _, g := range []config.Gateway{secret, signed} {
		if err := checkGateway(g); err != nil {
			t.Error(err)
		}
	}
}

// An MO that does not tell our number comes to the gateway's, or to the only one that there is.
func TestWhereAnswersCome(t *testing.T) {
	hook := config.Gateway{Name: "hook", Kind: config.KindWebhook, URL: "https://sms.example.org", Window: 1, CallbackSecret: "s", MO: config.CallbackMO{From: "$.from", Text: "$.text"}}
	phone := config.Gateway{Name: "phone", Kind: config.KindSMSGate, Username: "u", Password: "p", Window: 1, HMAC: "h"}
	stick := config.Gateway{Name: "stick", Kind: config.KindGammu, Dir: "gammu"}
	for _, g := range []config.Gateway{hook, phone, stick} {
		with, told := g, g
		with.Number, told.MO.To = "4915112345678", "$.to"
		sends := g
		if sends.MO, sends.HMAC = (config.CallbackMO{}), ""; g.Kind == config.KindGammu { // it has no callbacks that could be closed
			sends, told = with, with
		}
		for _, c := range []struct {
			what    string
			g       config.Gateway
			numbers []string
			good    bool
		}{
			{"no number", g, nil, false},
			{"one own number", g, []string{"4915112345678"}, true},
			{"two own numbers", g, []string{"4915112345678", "4915112345679"}, false},
			{"the gateway's", with, nil, true},
			{"told", told, nil, true},
			{"it only sends", sends, nil, true},
		} {
			cfg := config.Default()
			cfg.SMS.Gateways, cfg.SMS.Numbers = []config.Gateway{c.g}, c.numbers
			var problems config.Problems
			if err := cfg.Check(); (err == nil) != c.good || err != nil && (!errors.As(err, &problems) || problems[0].Key != "sms.gateways[0].number") {
				t.Errorf("%s, %s: %v", g.Kind, c.what, err)
			}
		}
	}
}

func TestPrivateAddressesAreMeant(t *testing.T) {
	for url, private := range map[string]bool{
		"http://127.0.0.1:8080": true, "http://localhost/": true, "http://phone.localhost": true, "http://[::1]:80": true, "http://10.1.2.3": true, "http://192.168.0.7": true,
		"http://172.16.0.1": true, "http://169.254.169.254/latest": true, "http://100.64.0.1": true, "http://0.0.0.0": true, "http://[fe80::1]": true, "http://[fd00::1]": true,
		"http://[::ffff:127.0.0.1]": true, "http://224.0.0.1": true, "https://sms.example.org": false, "https://9.9.9.9": false, "https://172.32.0.1": false, "https://[2606:4700::1]": false,
	} {
		g := config.DefaultGateway(config.KindWebhook, "hook")
		g.URL, g.Body = url, "{{.Text}}"
		if err := checkGateway(g); (err != nil) != private {
			t.Errorf("%s: %v", url, err)
		}
		if g.AllowPrivate = true; checkGateway(g) != nil {
			t.Errorf("%s with allow_private: %v", url, checkGateway(g))
		}
	}
}

func TestTemplatesOfWebhooks(t *testing.T) {
	for _, c := range []struct {
		url, body string
		good      bool
	}{
		{`https://sms.example.org/{{.To}}?text={{.Text|urlquery}}&f={{printf "%s/%d" .Ref 7}}`, "{{.Text}}", true},
		{`https://sms.example.org`, `{{range .Segments}}{{.}}{{end}}`, true},
		{`https://sms.example.org`, `{{unknown .Text}}`, true}, // functions belong to the gateway, which executes it before the start
		{`https://sms.example.org`, `{{range .Segments}}`, false},
		{`https://sms.example.org/{{if}}`, `{{.Text}}`, false},
		{`https://{{.To}}/`, `{{.Text}}`, false},
		{`https://a{{.To}}:80/`, `{{.Text}}`, false},
		{`{{.To}}`, `{{.Text}}`, false},
	} {
		g := config.DefaultGateway(config.KindWebhook, "hook")
		g.URL, g.Body = c.url, c.body
		if err := checkGateway(g); (err == nil) != c.good {
			t.Errorf("%s, %s: %v", c.url, c.body, err)
		}
	}
}

func TestCertificatesOfAnSMSC(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte(certificate), 0o600); err != nil {
		t.Fatal(err)
	}
	g := config.DefaultGateway(config.KindSMPP, "carrier")
	g.Addr, g.SystemID, g.TLS, g.TLSCAFile = "smsc.example.org:3550", "godwit", true, config.Path(file)
	if err := checkGateway(g); err != nil {
		t.Error(err)
	}
	text := "sms: {gateways: [{name: a, kind: smpp, addr: 'smsc.example.org:3550', system_id: godwit, tls: true, tls_ca_file: ca.pem}]}"
	cfg, err := config.Parse(filepath.Join(filepath.Dir(file), "godwit.yaml"), []byte(text), nil)
	if err != nil || string(cfg.SMS.Gateways[0].TLSCAFile) != file || !cfg.SMS.Gateways[0].TLS {
		t.Errorf("a path counts from the file: %v %v", cfg.SMS.Gateways, err)
	}
}

// certificate is self-signed, for nobody; only its form is looked at.
const certificate = `-----BEGIN CERTIFICATE-----
MIIBjDCCATOgAwIBAgIUUnNYaJqg5652cj8k9W86uLIeWwkwCgYIKoZIzj0EAwIw
GzEZMBcGA1UEAwwQc21zYy5leGFtcGxlLm9yZzAgFw0yNjExMjQxMTMzMjRaGA8y
MTI2MTAzMTExMzMyNFowGzEZMBcGA1UEAwwQc21zYy5leGFtcGxlLm9yZzBZMBMG
ByqGSM49AgEGCCqGSM49AwEHA0IABCOa9tpfgdPD1jtxfBkYHVDah7d7zrwyGtma
HOeqTypTfG9nvNTx8KlTZNVdBM5bqIhBySFcGNgw93sHvQZZbPujUzBRMB0GA1Ud
DgQWBBTPLmGUZiU3NuRsm07gYBihT0R6ozAfBgNVHSMEGDAWgBTPLmGUZiU3NuRs
m07gYBihT0R6ozAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIHIb
y3GJGAk9sOOknRsVj1oH/xAoIRJZM1TlX3dg7Dc+AiA/LYMR70kTw9O0gtB+iL5F
fLuxzBmA9pLr9Ihn5Da7uA==
-----END CERTIFICATE-----
`

func TestGatewaySecretsAreNeverShown(t *testing.T) {
	for _, text := range []string{
		`{name: a, kind: smpp, addr: "h:1", system_id: s, password: hunter2, windw: 1}`,
		`{name: a, kind: smpp, addr: "h:1", system_id: s, password: "hunter2\x01"}`,
		`{name: a, kind: console, password: 'hunter2, really', token: hunter2}`,
		`{name: a, kind: pigeon, hmac: hunter2}`,
		`{name: a, kind: smpp, pasword: hunter2}`,
		`{name: a, kind: webhook, url: "https://me:hunter2@sms.example.org"}`,
		`{name: a, kind: webhook, url: "https://me:hunter2@sms.example.org:port"}`,
		`{name: a, kind: webhook, headers: {X-Key: "hunter2\n"}}`,
		`{name: a, kind: webhook, headers: {X Key: hunter2}}`,
		`{name: a, kind: webhook, callback_secret: [hunter2]}`,
		`{name: a, kind: webhook, callback_secret: hunter2, callback_secret: hunter2}`,
		`{name: a, kind: webhook, callback_secret: hunter2`,
		`{name: a, kind: webhook, "callback_secret" : "hunter2}`,
	} {
		_, err := config.Parse("g.yaml", []byte("sms:\n  gateways:\n    - "+text), nil)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
	g := config.DefaultGateway(config.KindWebhook, "hook")
	g.URL, g.Body, g.Password, g.Username, g.HMAC, g.CallbackSecret = "https://sms.example.org", "{{.Text}}", "hunter2", "u", "hunter2", "hunter2"
	g.Headers = map[string]config.Secret{"X-Key": "hunter2"}
	cfg := config.Default()
	cfg.SMS.Gateways = []config.Gateway{g}
	if err := cfg.Check(); err != nil {
		t.Fatal(err)
	}
	text, err := cfg.YAML()
	if err != nil || strings.Contains(string(text), "hunter2") || strings.Count(string(text), "****") < 4 {
		t.Errorf("%s %v", text, err)
	}
	readAgain(t, cfg)
}

func TestEnvironmentOfSMS(t *testing.T) {
	file := []byte("sms: {price: {49: 0.05 EUR}, gateways: [{name: a, kind: smpp, addr: 'h:1', system_id: s, password: old, window: 5}]}")
	secret := filepath.Join(t.TempDir(), "p")
	if err := os.WriteFile(secret, []byte("new\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("godwit.yaml", file, []string{
		"GODWIT_SMS__BUDGET__DAY=5 EUR", `GODWIT_SMS__PRICE={"*": 0.1 EUR}`, "GODWIT_SMS__CAPS={loop_hour: 9}", "GODWIT_SMS__GATEWAYS__0__TLS=true",
		"GODWIT_SMS__GATEWAYS__0__WINDOW=7", "GODWIT_SMS__GATEWAYS__0__PASSWORD_FILE=" + secret, "GODWIT_SMS__DENY=[]", `GODWIT_SMS__ROUTES=[{prefix: "*", use: [a]}]`,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := cfg.SMS
	if s.Budget.Day != (config.Money{5e6, "EUR"}) || len(s.Price) != 1 || s.Price["*"].Micros != 100_000 || s.Caps.LoopHour != 9 || s.Caps.SenderDay != 500 || len(s.Deny) != 0 ||
		!s.Gateways[0].TLS || s.Gateways[0].Window != 7 || s.Gateways[0].Password != "new" || s.Gateways[0].Sessions != 1 || len(s.Routes) != 1 {
		t.Errorf("%+v", s)
	}
	list := "GODWIT_SMS__GATEWAYS=[{name: b, kind: smpp, addr: 'h:1', system_id: s, password_file: " + secret + "}]"
	if cfg, err = config.Parse("godwit.yaml", file, []string{list}); err != nil || cfg.SMS.Gateways[0].Password != "new" || cfg.SMS.Gateways[0].Window != 10 {
		t.Errorf("a list from the environment replaces that of the file: %+v, %v", cfg.SMS.Gateways, err)
	}
	for variable, want := range map[string]string{
		"GODWIT_SMS__GATEWAYS__0__KIND=kannel": "GODWIT_SMS__GATEWAYS__0__KIND: sms.gateways[0].kind: decides which keys there are; set it in the file, or set the whole list: GODWIT_SMS__GATEWAYS=[{name: a, kind: console}]",
		"GODWIT_SMS__GATEWAYS__0__URL=http://h": "GODWIT_SMS__GATEWAYS__0__URL: sms.gateways[0].url: is not a key of kind smpp; there are name, kind, addr, system_id, password, bind, " +
			"system_type, tls, tls_ca_file, sessions, window, rate, enquire, concat, response_id, receipt_id",
		"GODWIT_SMS__GATEWAYS__0__WINDOW=0": "GODWIT_SMS__GATEWAYS__0__WINDOW: sms.gateways[0].window: 0 is out of range; allowed is 1 to 1000",
		"GODWIT_SMS__PRICE__49=0.05 EUR":    "GODWIT_SMS__PRICE__49: sms.price.49: sms.price is set as a whole; write {key: value}",
		"GODWIT_SMS__PRICE=0.05 EUR":        "GODWIT_SMS__PRICE: sms.price: is a table; write for example {key: value}",
		"GODWIT_SMS__BUDGET__DAY=5":         `GODWIT_SMS__BUDGET__DAY: sms.budget.day: "5" is not an amount of money; write for example 50 EUR or 0.075 EUR, with the currency of ISO 4217 and at most 6 decimals`,
		"GODWIT_SMS__BUDGET__DAY=5 USD": "godwit.yaml:1:19: sms.price.49: 0.05 EUR is not in USD, as sms.budget.day is; prices and budgets are in one currency\n" +
			"    1 | sms: {price: {49: 0.05 EUR}, gateways: [{name: a, kind: smpp, addr: 'h:1', system_id: s, password: ***, window: 5}]}\n      |                   ^",
	} {
		if _, err := config.Parse("godwit.yaml", file, []string{variable}); err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", variable, err, want)
		}
	}
}

// config knows nothing of sms; what both call money is the same.
func TestMoneyIsThatOfSMS(t *testing.T) {
	for _, text := range []string{
		"50 EUR", "0.075 EUR", "0 CNY", "0.000001 USD", "1.5 EUR", "1.500 EUR", "123456789.25 EUR", "", "50", "EUR", "50EUR", "50  EUR", " 50 EUR", "50 EUR ", "-1 EUR", "+1 EUR", "1e3 EUR",
		"1. EUR", ".5 EUR", "0.0000001 EUR", "1,5 EUR", "50 eur", "50 EURO", "50 €", "1000000000000 EUR", "٥ EUR", "50 EUR\n",
	} {
		ours, err := config.ParseMoney(text)
		theirs, theirErr := sms.ParseMoney(text)
		if text == "" { // an empty text is no money in a file
			if err != nil || ours != (config.Money{}) || ours.String() != "" {
				t.Errorf("nothing is %v, %v", ours, err)
			}
			continue
		}
		if (err == nil) != (theirErr == nil) || sms.Money(ours) != theirs || ours.String() != theirs.String() {
			t.Errorf("%q: config has %v, %v; sms has %v, %v", text, ours, err, theirs, theirErr)
		}
	}
}

func FuzzMoney(f *testing.F) {
	for _, s := range []string{"50 EUR", "0.075 EUR", "999999999999.999999 EUR", "0 CNY"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := config.ParseMoney(s)
		if err != nil {
			return
		}
		if again, err := config.ParseMoney(m.String()); m.Micros < 0 || err != nil || again != m {
			t.Errorf("%q is written %s and read as %v, %v; want %v", s, m, again, err, m)
		}
	})
}
