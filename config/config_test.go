package config_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/seed-7a41469f/godwit/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestExampleIsTheDefaults(t *testing.T) {
	got, err := config.Load("example.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := config.Parse("example.yaml", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the example differs from the defaults:\n got %+v\nwant %+v", got, want)
	}
}

func TestExampleNamesEveryKey(t *testing.T) {
	example, err := os.ReadFile("example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, _ := config.Parse("example.yaml", nil, nil)
	full, err := cfg.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := keys(t, example), keys(t, full); !reflect.DeepEqual(got, want) {
		t.Errorf("the example has the keys\n%v\nthe structs have\n%v", got, want)
	}
}

func keys(t *testing.T, text []byte) map[string]bool {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	var walk func(v any, path string)
	walk = func(v any, path string) {
		switch v := v.(type) {
		case map[string]any:
			for k, item := range v {
				walk(item, path+"."+k)
			}
		case []any:
			for _, item := range v {
				walk(item, path+"[]")
			}
		}
		found[strings.TrimSuffix(path, "[]")] = true
	}
	walk(v, "")
	return found
}

func TestDefault(t *testing.T) {
	cfg, err := config.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(cfg, config.Default()) {
		t.Error("Load without a file is not Default")
	}
	if cfg.Auth.Mode != config.ModeOpen || cfg.Data != "godwit-data" || !config.IsLoopback(cfg.Listen.MQTT) || !config.IsLoopback(cfg.Listen.HTTP) {
		t.Errorf("without a file: open mode on loopback, got %+v", cfg)
	}
	if len(cfg.SMS.Gateways) != 1 || cfg.SMS.Gateways[0].Kind != config.KindConsole {
		t.Errorf("without a file: one console gateway, got %+v", cfg.SMS.Gateways)
	}
}

func TestParse(t *testing.T) {
	text := `
data: d
auth: {mode: open}
listen: {admin: "unix:/run/godwit.sock", public_url: "https://push.example.org/"}
limits: {history: 0, disk_free: 0, send_rate: 90/m, packet: 100_000}
push:
  ack_timeout: 1h0m
  after_max: 1h
  offline_grace: 0
sms: {region: NO, numbers: [4915112345678, "4915112345679"], originator: 007, retry: {factor: 1.5}}
`
	cfg, err := config.Parse("/etc/godwit/godwit.yaml", []byte(text), nil)
	if err == nil || !strings.Contains(err.Error(), "limits.packet") {
		t.Fatalf("100_000 is no size, got %v", err)
	}
	cfg, err = config.Parse("/etc/godwit/godwit.yaml", []byte(strings.Replace(text, "100_000", "100000", 1)), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, got, want any }{
		{"a relative path counts from the file", string(cfg.Data), "/etc/godwit/d"},
		{"mode", cfg.Auth.Mode, "open"},
		{"socket", cfg.Socket(), "/run/godwit.sock"},
		{"public URL", cfg.PublicURL(), "https://push.example.org"},
		{"a duration of 0 is zero", cfg.Limits.History, config.Duration(0)},
		{"grace of 0 is zero", cfg.Push.OfflineGrace, config.Duration(0)},
		{"absent is the default", cfg.Push.StormHold, config.Duration(2 * time.Minute)},
		{"rate a minute", cfg.Limits.SendRate, config.Rate(1.5)},
		{"plain bytes", cfg.Limits.Packet, config.Size(100000)},
		{"Norway is not false", cfg.SMS.Region, "NO"},
		{"a leading zero stays", cfg.SMS.Originator, "007"},
		{"factor", cfg.SMS.Retry.Factor, 1.5},
		{"the rest of the section stays", cfg.SMS.Retry.Tries, 6},
		{"unquoted numbers", strings.Join(cfg.SMS.Numbers, ","), "4915112345678,4915112345679"},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%v: got %v, want %v", c.what, c.got, c.want)
		}
	}
}

func TestSocket(t *testing.T) {
	cfg := config.Default()
	for admin, want := range map[string]string{"unix:": "godwit-data/admin.sock", "unix:a.sock": "a.sock", "127.0.0.1:9000": "", "": ""} {
		if cfg.Listen.Admin = admin; cfg.Socket() != want {
			t.Errorf("listen.admin %q: socket %q, want %q", admin, cfg.Socket(), want)
		}
	}
	if got := cfg.PublicURL(); got != "http://127.0.0.1:8080" {
		t.Errorf("public URL %q", got)
	}
}

// Each file of testdata/bad is a configuration; the golden file beside it is what the operator reads.
func TestErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			_, err := config.Load(file, nil)
			var problems config.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("want Problems, got %v", err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", err.Error()+"\n")
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestEveryBoundIsChecked(t *testing.T) {
	for _, c := range []struct{ key, value string }{
		{"limits.packet", "1023"}, {"limits.packet", "769KiB"}, {"limits.packet", "1MiB"}, {"limits.connections", "0"}, {"limits.keepalive_max", "9s"}, {"limits.keepalive_max", "19h"},
		{"limits.devices", "0"}, {"limits.send_rate", "0/s"}, {"limits.inbox", "0"}, {"limits.inbox_age", "59s"}, {"limits.notices", "0"}, {"limits.history", "4000d"},
		{"limits.connections_per_address", "-1"}, {"limits.connects_per_address", "0/h"}, {"limits.connects_per_address", "59/m"}, {"push.ack_timeout", "0"}, {"push.ack_timeout", "61m"}, {"push.after_max", "25h"},
		{"push.offline_grace", "2h"}, {"push.restart_grace", "2h"}, {"push.storm_hold", "2h"}, {"push.window", "0"}, {"push.window", "1001"}, {"registration.decay", "0"},
		{"sms.max_segments", "0"}, {"sms.max_segments", "256"}, {"sms.validity", "64d"}, {"sms.retry.tries", "0"}, {"sms.retry.first", "0"}, {"sms.retry.factor", "0.9"},
		{"sms.retry.factor", ".nan"}, {"sms.retry.factor", "NaN"}, {"sms.retry.factor", ".inf"}, {"sms.retry.max", "25h"}, {"sms.unknown.hold", "25h"}, {"sms.unknown.then", "pray"}, {"sms.response_timeout", "0"}, {"sms.dlr_timeout", "0"},
		{"sms.caps.sender_day", "0"}, {"sms.caps.recipient_day", "0"}, {"sms.caps.prefix_hour", "0"}, {"sms.caps.loop_hour", "1000000001"}, {"sms.reply_window", "0"},
		{"sms.reply_window", "366d"}, {"sms.reply_quiet", "31d"}, {"sms.reply_quiet", "73h"}, {"sms.budget.day", "-1 EUR"}, {"sms.budget.month", "1"},
		{"log.level", "loud"}, {"log.format", "xml"}, {"auth.mode", "none"}, {"sms.region", "China"}, {"sms.originator", ""}, {"sms.originator", "longer than eleven"},
		{"sms.originator", ""}, {"listen.mqtts", "localhost"}, {"listen.mqtt", "localhost"}, {"listen.http", "127.0.0.1:99999"}, {"listen.admin", "nowhere"}, {"listen.public_url", "push.example.org"},
		{"sms.template", "{{.Nope}}"}, {"sms.template", "{{"}, {"data", ""},
	} {
		name := "GODWIT_" + strings.ToUpper(strings.ReplaceAll(c.key, ".", "__"))
		_, err := config.Load("", []string{name + "=" + c.value})
		if err == nil || !strings.Contains(err.Error(), name+": "+c.key+": ") {
			t.Errorf("%s: %q: got %v", c.key, c.value, err)
		}
	}
}

func TestListenersNeedAddressesOfTheirOwn(t *testing.T) {
	for _, c := range []struct {
		name              string
		mqtt, http, admin string
		key, other        string // of the problem; empty: none
	}{
		{"MQTT and HTTP", "127.0.0.1:8080", "127.0.0.1:8080", "unix:", "listen.http", "listen.mqtt"},
		{"MQTT and admin", "127.0.0.1:1883", "127.0.0.1:8080", "127.0.0.1:1883", "listen.admin", "listen.mqtt"},
		{"HTTP and admin", "127.0.0.1:1883", "127.0.0.1:8080", "127.0.0.1:8080", "listen.admin", "listen.http"},
		{"all interfaces, spelt two ways", ":1883", "0.0.0.0:1883", "unix:", "listen.http", "listen.mqtt"},
		{"a name in capitals", "localhost:1883", "LOCALHOST:01883", "unix:", "listen.http", "listen.mqtt"},
		{"IPv6 spelt two ways", "[::1]:1883", "[0:0:0:0:0:0:0:1]:1883", "unix:", "listen.http", "listen.mqtt"},
		{"port 0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "", ""},
		{"other hosts", "127.0.0.1:1883", "127.0.0.2:1883", "unix:", "", ""},
		{"other ports", "127.0.0.1:1883", "127.0.0.1:1884", "127.0.0.1:1885", "", ""},
		{"no HTTP, a socket", "127.0.0.1:1883", "", "unix:/run/a.sock:1883", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config.Default()
			cfg.Auth.Mode, cfg.Admin.Token = config.ModeToken, "hunter2"
			cfg.Listen = config.Listen{MQTT: c.mqtt, HTTP: c.http, Admin: c.admin}
			err := cfg.Check()
			if c.key == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var problems config.Problems
			if !errors.As(err, &problems) || len(problems) != 1 || problems[0].Key != c.key || !strings.Contains(problems[0].Message, c.other) {
				t.Errorf("got %v, want one of %s that names %s", err, c.key, c.other)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("from the file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := []byte("push: {ack_timeout: 5s}\nadmin: {token: inline}\nsms: {gateways: [{name: a, kind: console}]}")
	cfg, err := config.Parse("godwit.yaml", file, []string{
		"HOME=/root", "GODWIT_TOKEN=not ours", "GODWIT_ADMIN=not ours either", "GODWIT_DATA=/var/lib/godwit",
		"GODWIT_PUSH__ACK_TIMEOUT=20s", "GODWIT_SMS__NUMBERS=[4915112345678]", "GODWIT_SMS__RETRY={tries: 2}",
		"GODWIT_SMS__GATEWAYS__0__NAME=screen", "GODWIT_ADMIN__TOKEN_FILE=" + secret,
	})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Data != "/var/lib/godwit" || cfg.Push.AckTimeout.Std() != 20*time.Second || len(cfg.SMS.Numbers) != 1 || cfg.SMS.Retry.Tries != 2 ||
		cfg.SMS.Retry.Max.Std() != 10*time.Minute || cfg.SMS.Gateways[0].Name != "screen" || string(cfg.Admin.Token) != "from the file" {
		t.Errorf("%+v", cfg)
	}
	for variable, want := range map[string]string{
		"GODWIT_PUSH__ACK_TIMOUT=1s":         "GODWIT_PUSH__ACK_TIMOUT: push.ack_timout: is not a key; did you mean ack_timeout?",
		"GODWIT_PSH__ACK_TIMEOUT=1s":         "GODWIT_PSH__ACK_TIMEOUT: psh: is not a key; did you mean push?",
		"GODWIT_PUSH__ACK_TIMEOUT=soon":      `GODWIT_PUSH__ACK_TIMEOUT: push.ack_timeout: "soon" is not a duration; write for example 15s, 10m, 1h30m or 30d`,
		"GODWIT_PUSH__ACK_TIMEOUT__X=1s":     "GODWIT_PUSH__ACK_TIMEOUT__X: push.ack_timeout.x: is not a key; push.ack_timeout is one value",
		"GODWIT_SMS__GATEWAYS__7__NAME=x":    `GODWIT_SMS__GATEWAYS__7__NAME: sms.gateways: "7" is not the number of an entry; there are 1, counted from 0`,
		"GODWIT_SMS__NUMBERS=4915112345678":  "GODWIT_SMS__NUMBERS: sms.numbers: is a list; write for example [a, b]",
		"GODWIT_SMS__NUMBERS=[":              "GODWIT_SMS__NUMBERS: sms.numbers: is not YAML; write for example [a, b]",
		"GODWIT_ADMIN__TOKEN_FILE=/no/where": "GODWIT_ADMIN__TOKEN_FILE: admin.token_file: open /no/where: no such file or directory",
	} {
		if _, err := config.Load("", []string{variable}); err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", variable, err, want)
		}
	}
}

// An environment has no order, so none may matter.
func TestEnvironmentHasNoOrder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write(t, filepath.Dir(file), map[string]string{"token": "hunter2"})
	for name, c := range map[string]struct{ a, b, want string }{
		"a list and a part of it": {"GODWIT_SMS__GATEWAYS=[{name: a, kind: smpp, addr: 'h:1', system_id: s}]", "GODWIT_SMS__GATEWAYS__0__PASSWORD=hunter2", ""},
		"a section and a key":     {"GODWIT_SMS__RETRY={tries: 2}", "GODWIT_SMS__RETRY__TRIES=3", ""},
		"a secret and its file":   {"GODWIT_ADMIN__TOKEN=hunter3", "GODWIT_ADMIN__TOKEN_FILE=" + file, "is given twice, as GODWIT_ADMIN__TOKEN and as GODWIT_ADMIN__TOKEN_FILE"},
	} {
		t.Run(name, func(t *testing.T) {
			one, err1 := config.Load("", []string{c.a, c.b})
			other, err2 := config.Load("", []string{c.b, c.a})
			if err1 == nil && !reflect.DeepEqual(one, other) || (err1 == nil) != (err2 == nil) {
				t.Errorf("%v, in the other order %v", err1, err2)
			}
			if err := fmt.Sprint(err1); (err1 == nil) != (c.want == "") || !strings.Contains(err, c.want) {
				t.Errorf("got %s, want %s", err, c.want)
			}
		})
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	_, err := config.Parse("g.yaml", []byte("admin: {token: hunter2, tokn: x}"), nil)
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error shows the secret: %v", err)
	}
	cfg, err := config.Parse("g.yaml", []byte("admin: {token: hunter2}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := cfg.YAML()
	if err != nil {
		t.Fatal(err)
	}
	object, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{string(text), string(object), cfg.Admin.Token.String()} {
		if strings.Contains(shown, "hunter2") || !strings.Contains(shown, "****") {
			t.Errorf("want stars: %s", shown)
		}
	}
}

func TestYAMLIsReadAgain(t *testing.T) {
	cfg := config.Default()
	cfg.Data = "/var/lib/godwit"
	text, err := cfg.YAML()
	if err != nil {
		t.Fatal(err)
	}
	again, err := config.Parse("godwit.yaml", text, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if !reflect.DeepEqual(again, cfg) {
		t.Errorf("got %+v\nwant %+v\n%s", again, cfg, text)
	}
}

func TestMissingFile(t *testing.T) {
	if _, err := config.Load("/no/such/godwit.yaml", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// FuzzParse looks for texts that panic, or that are accepted and then do not pass Check or cannot be written.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	for _, file := range append(files, "example.yaml") {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, "GODWIT_PUSH__WINDOW=3")
	}
	f.Add([]byte(`sms: {price: {49: 0.05 EUR, "*": 1 EUR}, gateways: [{name: a, kind: webhook, url: "https://h/{{.To}}", headers: {X: y}, hmac: h, dlr: {ref: $.r, state: $.s, map: {ok: enroute}}}]}`),
		"GODWIT_SMS__GATEWAYS__0__DLR__MAP={a: delivered}")
	f.Add([]byte("a: &a [*a]"), "GODWIT_SMS__GATEWAYS=[{name: x, kind: console}]")
	f.Fuzz(func(t *testing.T, text []byte, variable string) {
		if strings.Contains(string(text), "_file") || strings.Contains(strings.ToLower(variable), "_file") {
			return // it reads files
		}
		cfg, err := config.Parse("f.yaml", text, []string{variable})
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		if err := cfg.Check(); err != nil {
			t.Errorf("accepted, and Check says %v", err)
		}
		written, err := cfg.YAML()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := config.Parse("f.yaml", written, nil); err != nil {
			t.Errorf("accepted, and what is written is not: %v\n%s", err, written)
		} else if second, _ := again.YAML(); string(second) != string(written) {
			t.Errorf("written, read and written again it is\n%s\nand was\n%s", second, written)
		}
	})
}
