package clienttest_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// acceptCertificates lets the authority's certificates in, by the files of secure.
func acceptCertificates(c *config.Config) {
	c.Listen.TLS.ClientCAFile = config.Path(filepath.Join(filepath.Dir(string(c.Listen.TLS.CertFile)), "ca.pem"))
}

// A phone on mqtts whose certificate is its login has neither user nor password, and is who the certificate says. Paho's clients of both versions.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	ca, _, configure := secure(t, acceptCertificates)
	s := clienttest.NewServer(t, configure)
	for _, v := range []clienttest.Version{clienttest.V311, clienttest.V5} {
		identity := func(user contacts.Address) *tls.Config {
			return &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", Certificates: []tls.Certificate{ca.Issue(string(user), time.Now().Add(time.Hour)).TLS(t)}}
		}
		device := v.String()
		a := s.Connect(clienttest.Login{User: ann, Version: v, Device: device, TLS: identity(ann)})
		b := s.Connect(clienttest.Login{User: bo, Version: v, Device: device, TLS: identity(bo)})
		send(a, bo, "k"+device, "by certificate, "+device)
		want(t, b.Next("in"), ann, "by certificate, "+device)
		ended(t, a.Final("k"+device), "delivered", "push", "")
		send(b, cleo, "k"+device, "and as an SMS, "+device)
		ended(t, b.Final("k"+device), "delivered", "sms", delivery.NotRegistered)

		wrong := byte(0x86)
		if v == clienttest.V311 {
			wrong = 0x04
		}
		if code := s.Refused(clienttest.Login{User: bo, Version: v, TLS: identity(ann)}); code != wrong {
			t.Errorf("a user name that is not the certificate's: CONNACK %#x", code)
		}
		b.Disconnect()
		a.Disconnect()
	}
}

// The clients of Debian's mosquitto-clients over TLS, with a certificate and without one.
func TestMosquittoOverTLS(t *testing.T) {
	t.Parallel()
	needMosquitto(t)
	ca, dir, configure := secure(t, acceptCertificates)
	s := clienttest.NewServer(t, configure)
	host, port, err := net.SplitHostPort(s.Addresses().MQTTS)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(user contacts.Address) []string {
		own := filepath.Join(dir, string(user))
		if err := os.Mkdir(own, 0o700); err != nil {
			t.Fatal(err)
		}
		cert, key := ca.Issue(string(user), time.Now().Add(time.Hour)).Write(t, own)
		return []string{"--cert", cert, "--key", key}
	}
	run := func(program string, args ...string) *exec.Cmd {
		return exec.CommandContext(t.Context(), program, append([]string{"-h", host, "-p", port, "--cafile", filepath.Join(dir, "ca.pem"), "-q", "1"}, args...)...)
	}
	b := run("mosquitto_sub", append(issue(bo), "-V", "5", "-i", "phone", "-c", "-x", "3600", "-t", delivery.Topic(bo, "in/#"), "-C", "2", "-v")...)
	pub := func(text string, args ...string) {
		t.Helper()
		if out, err := run("mosquitto_pub", append(args, "-t", "app/"+string(bo), "-m", text)...).CombinedOutput(); err != nil {
			t.Fatalf("mosquitto_pub: %v: %s", err, out)
		}
	}
	s.Token(bo)                                             // a number that nobody registered gets nothing in the app
	pub("by certificate", append(issue(ann), "-V", "5")...) // no -u, no -P
	pub("by token, over TLS", "-V", "mqttv311", "-u", "alerts", "-P", s.Token(alerts))
	out, err := b.Output() // it was not there, and its first session begins with what is open
	if err != nil || !strings.Contains(string(out), "/in/"+string(ann)+"/") || !strings.Contains(string(out), " by certificate\n") ||
		!strings.Contains(string(out), "/in/alerts/") || !strings.Contains(string(out), " by token, over TLS\n") {
		t.Errorf("mosquitto_sub: %v: %s", err, out)
	}
	stranger := clienttest.NewAuthority(t).Issue(string(ann), time.Now().Add(time.Hour))
	cert, key := stranger.Write(t, t.TempDir())
	if out, err := run("mosquitto_pub", "--cert", cert, "--key", key, "-t", "to/"+string(bo), "-m", "forged").CombinedOutput(); err == nil {
		t.Errorf("a certificate of another authority: %s", out)
	}
}

// A JWT that somebody else's server has signed is a password for MQTT.js and a bearer for curl; it registers who it names.
func TestJWT(t *testing.T) {
	t.Parallel()
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(t.TempDir(), "jwt.pem")
	if err := os.WriteFile(keys, append(publicPEM(t, edKey.Public()), publicPEM(t, rsaKey.Public())...), 0o600); err != nil {
		t.Fatal(err)
	}
	j := startNode(t)
	s := clienttest.NewServer(t, func(c *config.Config) {
		push(nil)(c)
		c.Auth.JWT = config.JWT{KeyFile: config.Path(keys), Audience: "godwit"}
	})
	sign := func(method jwt.SigningMethod, key any, user contacts.Address, until time.Time) string {
		t.Helper()
		token, err := jwt.NewWithClaims(method, jwt.RegisteredClaims{Subject: string(user), Audience: jwt.ClaimStrings{"godwit"}, ExpiresAt: jwt.NewNumericDate(until)}).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		s.Hide(token)
		return token
	}
	soon := time.Now().Add(time.Hour)
	annsJWT, bosJWT := sign(jwt.SigningMethodEdDSA, edKey, ann, soon), sign(jwt.SigningMethodRS256, rsaKey, bo, soon)
	url := "ws://" + s.Addresses().HTTP + "/mqtt"
	b := j.connect(bo, jsLogin{URL: url, User: string(bo), Password: bosJWT, Version: clienttest.V5})
	a := j.connect(ann, jsLogin{URL: url, User: string(ann), Password: annsJWT, Version: clienttest.V311})
	a.publish("to/"+string(bo)+"/k", "by a token of another server", nil)
	want(t, b.next("in"), ann, "by a token of another server")
	ended(t, a.final("k"), "delivered", "push", "")

	c := newCurler(t, s.URL(), "-H", "Authorization: Bearer "+annsJWT)
	c.send("/to/"+string(bo), "-d", "and from a script")
	want(t, b.next("in"), ann, "and from a script")

	expired := sign(jwt.SigningMethodEdDSA, edKey, ann, time.Now().Add(-time.Hour))
	newCurler(t, s.URL(), "-H", "Authorization: Bearer "+expired).ask(401, "/to/"+string(bo), "-d", "too late")
	if a := j.dial("expired", jsLogin{URL: url, User: string(ann), Password: expired, Version: clienttest.V5}); a.Code != 0x86 {
		t.Errorf("an expired JWT: CONNACK %#x", a.Code)
	}
	if a := j.dial("another", jsLogin{URL: url, User: string(cleo), Password: annsJWT, Version: clienttest.V5}); a.Code != 0x86 {
		t.Errorf("another's JWT: CONNACK %#x", a.Code)
	}
}

func publicPEM(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}
