package config_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/config"
)

// pki is a directory with cert.pem and key.pem for a host, another key, the public key of tokens, and a file that is none of that.
func pki(t *testing.T, host string, left time.Duration) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) {
		text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"key.pem", "other.pem"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		write(name, "PRIVATE KEY", der)
		if name != "key.pem" {
			continue
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(left),
		}
		cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		write("cert.pem", "CERTIFICATE", cert)
	}
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	write("jwt.pem", "PUBLIC KEY", der)
	if err := os.WriteFile(filepath.Join(dir, "none.pem"), []byte("nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestDoors(t *testing.T) {
	dir := pki(t, "push.example.org", 90*24*time.Hour)
	const pair = "cert_file: cert.pem, key_file: key.pem"
	for _, c := range []struct{ name, text, want string }{ // want is the start of the only problem; empty: none
		{"TLS beside plain", `listen: {mqtts: ":8883", tls: {` + pair + `}}`, ""},
		{"TLS only", `listen: {mqtt: "", mqtts: ":8883", http: "", tls: {` + pair + `, client_ca_file: cert.pem}}`, ""},
		{"HTTP only", `listen: {mqtt: ""}`, ""},
		{"HTTP with TLS", `listen: {tls: {` + pair + `}}`, ""},
		{"ACME", `listen: {http: ":80", mqtts: ":443", tls: {auto: push.example.org}}`, ""},
		{"ACME of one's own", `listen: {tls: {auto: localhost, acme: "https://127.0.0.1:14000/dir", acme_ca_file: cert.pem}}`, ""},
		{"behind a proxy", `listen: {behind_proxy: true, proxy_protocol: true, public_url: "https://push.example.org"}`, ""},
		{"tokens of others", `auth: {mode: jwt, jwt: {key_file: jwt.pem, audience: godwit}}`, ""},
		{"open topics", `topics: {open: [t/#, home/+/state, toaster, t/]}`, ""},

		{"nothing is on", `listen: {mqtt: "", http: ""}`, "listen.mqtt: is off, and so are listen.mqtts and listen.http"},
		{"TLS without a certificate", `listen: {mqtts: ":8883"}`, "listen.mqtts: is TLS and needs a certificate"},
		{"a certificate without a key", `listen: {mqtts: ":8883", tls: {cert_file: cert.pem}}`, "listen.tls.key_file: is missing"},
		{"a key without a certificate", `listen: {mqtts: ":8883", tls: {key_file: key.pem}}`, "listen.tls.cert_file: is missing"},
		{"no such certificate", `listen: {tls: {cert_file: no.pem, key_file: key.pem}}`, "listen.tls.cert_file: open "},
		{"no such key", `listen: {tls: {cert_file: cert.pem, key_file: no.pem}}`, "listen.tls.key_file: open "},
		{"the key of another", `listen: {tls: {cert_file: cert.pem, key_file: other.pem}}`, "listen.tls.cert_file: does not go with listen.tls.key_file: "},
		{"certificates for nobody", `listen: {http: "", tls: {` + pair + `}}`, "listen.tls.cert_file: is not used"},
		{"two certificates", `listen: {mqtts: ":443", tls: {auto: push.example.org, ` + pair + `}}`, "listen.tls.auto: gets certificates by ACME, and listen.tls.cert_file"},
		{"ACME for an address", `listen: {tls: {auto: 192.0.2.1}}`, `listen.tls.auto: "192.0.2.1" is not the name of a host`},
		{"ACME for anybody", `listen: {tls: {auto: "*.example.org"}}`, `listen.tls.auto: "*.example.org" is not the name of a host`},
		{"ACME with a port", `listen: {tls: {auto: "push.example.org:443"}}`, `listen.tls.auto: "push.example.org:443" is not the name of a host`},
		{"ACME that reaches nothing", `listen: {http: "", tls: {auto: push.example.org}}`, "listen.tls.auto: needs a port"},
		{"ACME in the clear", `listen: {tls: {auto: push.example.org, acme: "http://127.0.0.1/dir"}}`, `listen.tls.acme: "http://127.0.0.1/dir" is not the https URL`},
		{"ACME without a CA", `listen: {tls: {auto: push.example.org, acme_ca_file: none.pem}}`, "listen.tls.acme_ca_file: "},
		{"client certificates without TLS", `listen: {tls: {client_ca_file: cert.pem}}`, "listen.tls.client_ca_file: is not used"},
		{"client certificates of nobody", `listen: {tls: {` + pair + `, client_ca_file: none.pem}}`, "listen.tls.client_ca_file: "},
		{"open behind a proxy", `{auth: {mode: open}, listen: {behind_proxy: true}}`, "auth.mode: open lets anybody in without a password, and listen.behind_proxy"},
		{"open behind a load balancer", `{auth: {mode: open}, listen: {proxy_protocol: true}}`, "auth.mode: open lets anybody in without a password, and listen.proxy_protocol"},
		{"open over TLS", `{auth: {mode: open}, listen: {mqtts: ":8883", tls: {` + pair + `}}}`, "auth.mode: open lets anybody in without a password, and listen.mqtts (:8883)"},
		{"one port twice", `listen: {mqtt: ":8883", mqtts: "0.0.0.0:8883", tls: {` + pair + `}}`, `listen.mqtts: "0.0.0.0:8883" is the address of listen.mqtt too`},
		{"a proxy before nothing", `listen: {http: "", behind_proxy: true}`, "listen.behind_proxy: is about the HTTP port"},
		{"the operator's port without a token", `listen: {admin: ":9000"}`, "listen.admin: an address needs a token"},
		{"and on loopback", `listen: {admin: "127.0.0.1:9000"}`, "listen.admin: an address needs a token"},

		{"tokens of others without a key", `auth: {mode: jwt}`, "auth.jwt.key_file: is missing"},
		{"an audience without a key", `auth: {jwt: {audience: godwit}}`, "auth.jwt.audience: is not used without auth.jwt.key_file"},
		{"no such key of tokens", `auth: {jwt: {key_file: no.pem}}`, "auth.jwt.key_file: open "},
		{"a private key of tokens", `auth: {jwt: {key_file: key.pem}}`, "auth.jwt.key_file: " + dir + "/key.pem holds a private key"},
		{"no key of tokens", `auth: {jwt: {key_file: none.pem}}`, "auth.jwt.key_file: " + dir + "/none.pem holds no key"},

		{"a cluster", `cluster: {nats: "nats://127.0.0.1:4222"}`, "cluster.nats: names a cluster, which this version does not have"},
		{"our own topics", `topics: {open: [t/#, "u/#"]}`, `topics.open[1]: "u/#" opens u/`},
		{"our own root", `topics: {open: [to]}`, `topics.open[0]: "to" opens to/`},
		{"all topics", `topics: {open: ["#"]}`, `topics.open[0]: "#" would open more`},
		{"any name", `topics: {open: ["+/x"]}`, `topics.open[0]: "+/x" would open more`},
		{"shared", `topics: {open: ["$share/g/t"]}`, `topics.open[0]: "$share/g/t" would open more`},
		{"a wildcard within a level", `topics: {open: [t/a+]}`, `topics.open[0]: "t/a+" has a wildcard in the wrong place`},
		{"a wildcard before the end", `topics: {open: [t/#/a]}`, `topics.open[0]: "t/#/a" has a wildcard in the wrong place`},
		{"a filter that is too long", `topics: {open: [t/` + strings.Repeat("x", 511) + `]}`, `topics.open[0]: "t/` + strings.Repeat("x", 511) + `" has 513 octets`},
		{"a filter with a character that is none", "topics: {open: [\"t/\ufdd0\"]}", `topics.open[0]: "t/`},
		{"no filter", `topics: {open: [""]}`, `topics.open[0]: "" is not a topic filter`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := config.Parse(filepath.Join(dir, "godwit.yaml"), []byte(c.text), nil)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var problems config.Problems
			if !errors.As(err, &problems) || len(problems) != 1 {
				t.Fatalf("got %v, want one problem: %s", err, c.want)
			}
			if got := problems[0].Key + ": " + problems[0].Message; !strings.HasPrefix(got, c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
