package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/config"
)

func TestWarnings(t *testing.T) {
	const day = 24 * time.Hour
	const pair = "cert_file: cert.pem, key_file: key.pem"
	const smpp = "gateways: [{name: a, kind: smpp, addr: 'h:1', system_id: s}, {name: b, kind: console}]"
	for _, c := range []struct {
		name, text string
		left       time.Duration // of the certificate
		want       []string      // how each begins
	}{
		{"nothing", "", 0, nil},
		{"all is well", `listen: {mqtt: "", mqtts: ":8883", http: ":443", public_url: "https://push.example.org", tls: {` + pair + `}}`, 90 * day, nil},
		{"all has a price", `sms: {budget: {day: 5 EUR}, price: {"*": 0.1 EUR}}`, 0, nil},
		{"no budget", `sms: {price: {"49": 0.1 EUR}}`, 0, nil},
		{"only what has a price is allowed", `sms: {budget: {day: 5 EUR}, price: {"49": 0.1 EUR}, allow: ["4915", "49"]}`, 0, nil},
		{"no price for the rest", `sms: {budget: {day: 5 EUR}, price: {"49": 0.1 EUR}}`, 0, []string{"default: sms.allow[0]: all numbers that no other price is for"}},
		{"no price for a route", `sms: {budget: {day: 5 EUR}, price: {"49": 0.1 EUR}, allow: ["49", "8", "4"], deny: ["86"], routes: [{prefix: "86", use: [a]}, {prefix: "81", use: [b]}, {prefix: "491", use: [b]}], ` + smpp + `}`,
			0, []string{"1: sms.allow[1]: numbers that begin with 8 ", "1: sms.allow[2]: numbers that begin with 4 ", "1: sms.routes[1].prefix: numbers that begin with 81 "}},
		{"a certificate soon to expire", `listen: {tls: {` + pair + `}}`, 5*day + time.Hour, []string{"1: listen.tls.cert_file: expires on "}},
		{"an expired certificate", `listen: {tls: {` + pair + `}}`, -time.Minute, []string{"1: listen.tls.cert_file: has expired on "}},
		{"a certificate of another", `listen: {public_url: "https://sms.example.org", tls: {` + pair + `}}`, 90 * day,
			[]string{"1: listen.tls.cert_file: is not for sms.example.org, the host of listen.public_url, but for push.example.org"}},
		{"that of the proxy is its own", `listen: {behind_proxy: true, public_url: "https://sms.example.org", tls: {` + pair + `}}`, 90 * day, nil},
		{"ACME for another", `listen: {public_url: "https://sms.example.org", tls: {auto: push.example.org}}`, 0, []string{"1: listen.tls.auto: gets a certificate for push.example.org"}},
		{"plain MQTT", `listen: {mqtt: ":1883"}`, 0, []string{"1: listen.mqtt: :1883 can be reached from other machines"}},
		{"plain MQTT behind a proxy", `listen: {mqtt: ":1883", proxy_protocol: true}`, 0, nil},
		{"plain HTTP", `listen: {http: ":8080"}`, 0, []string{"1: listen.http: :8080 can be reached from other machines without TLS"}},
		{"plain HTTP behind a proxy", `listen: {http: ":8080", behind_proxy: true}`, 0, nil},
		{"what does nothing", "contacts: {presence: off, changes_per_day: 5}\nregistration: {code_ttl: 5m, decay: 80d}\ncluster: {replicas: 1}", 0,
			[]string{"1: contacts.presence: does nothing", "2: registration.code_ttl: does nothing", "3: cluster.replicas: does nothing"}},
		{"a secret that others read", `{admin: {token_file: open}, listen: {tls: {cert_file: cert.pem, key_file: open.pem}}}`, 90 * day,
			[]string{"1: admin.token_file: ", "1: listen.tls.key_file: "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := pki(t, "push.example.org", c.left)
			write(t, dir, map[string]string{"godwit.yaml": c.text, "open": "hunter2"})
			if key, err := os.ReadFile(filepath.Join(dir, "key.pem")); err != nil || os.WriteFile(filepath.Join(dir, "open.pem"), key, 0o644) != nil || os.Chmod(filepath.Join(dir, "open"), 0o640) != nil {
				t.Fatal(err)
			}
			s, err := config.Read(filepath.Join(dir, "godwit.yaml"), nil)
			if err != nil {
				t.Fatal(err)
			}
			warned(t, s, c.want)
		})
	}
}

// warned compares warnings with how each is to begin: its line, or default, its key, its text.
func warned(t *testing.T, s *config.Source, want []string) {
	t.Helper()
	var got []string
	for _, p := range s.Warnings(time.Now()) {
		place := "default"
		if _, line, ok := strings.Cut(s.Origin(p.Key), ".yaml:"); ok {
			place = line
		}
		got = append(got, place+": "+p.Key+": "+p.Message)
	}
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWarnsOfSecretsInAnOpenFile(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"the token", "admin: {token: hunter2}", "1: admin.token: is a secret in a file that others can read (mode 0644)"},
		{"a header", "sms: {gateways: [{name: a, kind: webhook, url: 'https://h/', headers: {X-Key: hunter2}}]}", "1: sms.gateways[0].headers.X-Key: is a secret"},
		{"none", `admin: {token: ""}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "godwit.yaml")
			write(t, filepath.Dir(file), map[string]string{"godwit.yaml": c.text})
			s, err := config.Read(file, nil)
			if err != nil {
				t.Fatal(err)
			}
			warned(t, s, nil)
			if err := os.Chmod(file, 0o644); err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				warned(t, s, nil)
				return
			}
			warned(t, s, []string{c.want})
		})
	}
}
