package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/seed-7a41469f/godwit/config"
)

// write makes files in a directory, readable by their owner only.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

const severalOrigins = `# a comment
admin: {token_file: admin-token}
push:
  ack_timeout: 20s
sms:
  region: DE
  numbers: ["4917604069090",
            "4917604069091"]
  price: {"49": 0.075 EUR, "*": 0.12 EUR}
  gateways:
    - name: carrier
      kind: smpp
      addr: "smsc.example.org:2775"
      system_id: godwit
    - {name: hook, kind: webhook, url: "https://h/", headers: {X-Key: a}, body: "a\nb"}
`

func severalSources(t *testing.T) *config.Source {
	t.Helper()
	dir, credentials := t.TempDir(), t.TempDir()
	t.Chdir(dir)
	write(t, dir, map[string]string{"godwit.yaml": severalOrigins, "admin-token": "hunter2\n"})
	write(t, credentials, map[string]string{"sms.gateways.carrier.password": "hunter3\n", "admin.token": "not asked\n", "tls.key": "none of ours"})
	s, err := config.Read("godwit.yaml", []string{"CREDENTIALS_DIRECTORY=" + credentials, "GODWIT_PUSH__WINDOW=7", "GODWIT_SMS__RETRY={tries: 2}", "GODWIT_TOPICS__OPEN=[t/#]"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOrigins(t *testing.T) {
	s := severalSources(t)
	if got := s.Config.SMS.Gateways[0].Password; string(got) != "hunter3" {
		t.Errorf("the credential is %q", string(got))
	}
	if got := s.Config.Admin.Token; string(got) != "hunter2" {
		t.Errorf("the token is %q", string(got))
	}
	got, err := s.Origins()
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"data": "default", "admin.token": "godwit.yaml:2", "push.ack_timeout": "godwit.yaml:4", "push.window": "GODWIT_PUSH__WINDOW", "push.storm_hold": "default",
		"sms.retry.tries": "GODWIT_SMS__RETRY", "sms.retry.factor": "default", "topics.open[0]": "GODWIT_TOPICS__OPEN", "sms.numbers[0]": "godwit.yaml:7",
		"sms.numbers[1]": "godwit.yaml:8", "sms.price.49": "godwit.yaml:9", "sms.price.*": "godwit.yaml:9", "sms.gateways[0].name": "godwit.yaml:11",
		"sms.gateways[0].password": "credential sms.gateways.carrier.password", "sms.gateways[0].window": "default", "sms.gateways[1].headers.X-Key": "godwit.yaml:15",
		"sms.gateways[1].body": "godwit.yaml:15", "sms.deny[0]": "default", "sms.routes": "default",
	} {
		if got[key] != want {
			t.Errorf("%s comes from %q, want %q", key, got[key], want)
		}
	}
}

func TestOriginsStandBehindTheValues(t *testing.T) {
	s := severalSources(t)
	text, err := s.YAML()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := s.Config.YAML()
	if err != nil {
		t.Fatal(err)
	}
	again, err := config.Parse("again.yaml", text, nil)
	if err != nil {
		t.Fatalf("what is shown cannot be read: %v\n%s", err, text)
	}
	if second, _ := again.YAML(); string(second) != string(plain) {
		t.Errorf("read again it is\n%s\nand was\n%s", second, plain)
	}
	column := 0
	for _, line := range strings.Split(string(text), "\n") {
		if strings.Contains(line, "hunter") {
			t.Errorf("a secret is shown: %s", line)
		}
		if i := utf8.RuneCountInString(strings.Split(line+"\n", "  # ")[0]); strings.Contains(line, "  # ") && i <= 62 {
			if column == 0 {
				column = i
			}
			if i != column {
				t.Errorf("the comment stands in column %d, that of others in %d: %s", i, column, line)
			}
		}
	}
	for _, want := range []string{"  ack_timeout: 20s", "# godwit.yaml:4\n", "# credential sms.gateways.carrier.password\n", "# default\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

// The default without a file has no place, and says so.
func TestOriginsWithoutAFile(t *testing.T) {
	s, err := config.Read("", []string{"GODWIT_DATA=/var/lib/godwit"})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(s.Config.Auth, config.Default().Auth) || s.Origin("auth.mode") != "default" || s.Origin("data") != "GODWIT_DATA" {
		t.Errorf("auth.mode %s from %s, data from %s", s.Config.Auth.Mode, s.Origin("auth.mode"), s.Origin("data"))
	}
}

func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"admin.token": "hunter2\n", "sms.gateways.kannel.password": "a", "sms.gateways.kannel.callback_secret": "b"})
	const file = `{listen: {admin: "127.0.0.1:9000"}, sms: {gateways: [{name: kannel, kind: kannel, url: "http://h/", username: u}]}}`
	environ := []string{"CREDENTIALS_DIRECTORY=" + dir}
	cfg, err := config.Parse("godwit.yaml", []byte(file), environ)
	if err != nil {
		t.Fatal(err)
	}
	if g := cfg.SMS.Gateways[0]; string(cfg.Admin.Token) != "hunter2" || string(g.Password) != "a" || string(g.CallbackSecret) != "b" {
		t.Errorf("%#v", cfg)
	}
	if cfg, err = config.Parse("godwit.yaml", []byte(file), append(environ, "GODWIT_ADMIN__TOKEN=x")); err != nil || string(cfg.Admin.Token) != "x" {
		t.Errorf("the environment comes first: %v, %v", string(cfg.Admin.Token), err)
	}
	if cfg, err = config.Parse("godwit.yaml", []byte("admin: {token: \"\"}"), environ); err != nil || string(cfg.Admin.Token) != "hunter2" {
		t.Errorf("an empty text is no secret: %v, %v", string(cfg.Admin.Token), err)
	}
	write(t, dir, map[string]string{"sms.gateways.kannel.hmac": "c", "admin.token": "\n"})
	_, err = config.Parse("godwit.yaml", []byte(file), environ)
	var problems config.Problems
	if !errors.As(err, &problems) || len(problems) != 3 {
		t.Fatalf("got %v", err)
	}
	for i, want := range []string{
		"credential admin.token: admin.token: the file is empty", "credential sms.gateways.kannel.hmac: sms.gateways[0].hmac: is not a key of kind kannel",
		"godwit.yaml:1:18: listen.admin: an address needs a token",
	} {
		if !strings.HasPrefix(problems[i].String(), want) {
			t.Errorf("got %s, want %s", problems[i], want)
		}
	}
}

// Problems that are found when the parts are made have their line too.
func TestPlace(t *testing.T) {
	s, err := config.Read("testdata/whole/godwit.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Place(config.Problems{{Key: "sms.gateways[1].name", Message: "the carrier is closed"}, {Key: "sms.caps.loop_hour", Message: "is odd"}})
	var problems config.Problems
	if !errors.As(err, &problems) || len(problems) != 2 {
		t.Fatal(err)
	}
	for _, p := range problems {
		if p.Line == 0 || !strings.HasPrefix(p.String(), "testdata/whole/godwit.yaml:") || p.Excerpt == "" {
			t.Errorf("%s", p)
		}
	}
}
