package clienttest_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// browser is how a user's MQTT.js connects to a broker's HTTP port.
func browser(b *clienttest.Broker, user contacts.Address, v clienttest.Version) jsLogin {
	return jsLogin{URL: "ws://" + b.Addresses().HTTP + "/mqtt", User: string(user), Password: b.Token(user), Version: v}
}

// TestMQTTJS plays the method with MQTT.js over WebSocket, and with phones on TCP.
func TestMQTTJS(t *testing.T) {
	both(t, func(t *testing.T, v clienttest.Version) {
		j := startNode(t)
		s := clienttest.NewServer(t, push(nil))
		for _, text := range []string{"From the browser", "From the phone", "Nobody there?", "Gladly, at one!", "While you were away"} {
			s.Hide(text)
		}
		login := browser(s.Broker, ann, v)
		login.Persistent, login.Reconnect = true, true
		a := j.connect(ann, login)
		b := s.Connect(clienttest.Login{User: bo, Version: v})

		code, id := a.publish("to/"+string(bo)+"/k1", "From the browser", nil)
		got := b.Next("in")
		want(t, got, ann, "From the browser")
		if code != 0 || v == clienttest.V5 && id != got.ID {
			t.Errorf("PUBACK %#x, id %q; the message has %s", code, id, got.ID)
		}
		ended(t, a.final("k1"), "delivered", "push", "")

		send(b, ann, "k2", "From the phone")
		in := a.next("in")
		want(t, in, bo, "From the phone")
		if v == clienttest.V5 && (in.Properties["id"] != in.ID || in.Properties["via"] != "push" || in.Properties["at"] == "") {
			t.Errorf("user properties %v", in.Properties)
		}
		ended(t, b.Final("k2"), "delivered", "push", "") // MQTT.js has acknowledged it

		a.publish("to/"+string(cleo)+"/k3", "Nobody there?", nil) // who has no app
		if got := sms(t, s.Broker, 1, cleo); got.Text != "+"+string(ann)+": Nobody there?" {
			t.Errorf("SMS %q", got.Text)
		}
		ended(t, a.final("k3"), "delivered", "sms", delivery.NotRegistered)
		s.SMS.MO(contacts.Number(cleo), clienttest.OurNumber, "Gladly, at one!")
		want(t, a.next("sms"), cleo, "Gladly, at one!")

		a.drop() // the session outlives the connection, and MQTT.js comes back by itself
		b.Publish("app/"+string(ann)+"/k4", "While you were away")
		if !a.connected() {
			t.Error("no session present")
		}
		want(t, a.next("in"), bo, "While you were away")
		ended(t, b.Final("k4"), "delivered", "push", "")
	})
}

// What MQTT.js is told when it may not: in the CONNACK (MQTT 5 §3.2.2.2, MQTT 3.1.1 §3.2.2.3), in the PUBACK, and when its token is revoked.
func TestMQTTJSRefused(t *testing.T) {
	t.Parallel()
	j := startNode(t)
	s := clienttest.NewServer(t, push(nil))
	for _, v := range []clienttest.Version{clienttest.V311, clienttest.V5} {
		wrong, revoked, topic := 4, 5, 0
		if v == clienttest.V5 {
			wrong, revoked, topic = 0x86, 0x87, 0x90
		}
		login := browser(s.Broker, ann, v)
		login.Password = "wrong"
		if a := j.dial("thief", login); a.Code != wrong {
			t.Errorf("%s: a wrong token: %#x %s", v, a.Code, a.Error)
		}
		victim := contacts.Address("fox-" + map[clienttest.Version]string{clienttest.V311: "311", clienttest.V5: "5"}[v])
		login = browser(s.Broker, victim, v)
		p := j.connect(victim, login)
		if code, _ := p.publish("to/0049176", "refused", nil); code != topic {
			t.Errorf("%s: a malformed address: PUBACK %#x", v, code)
		}
		s.Revoke(victim)
		if v == clienttest.V5 {
			if l := j.event(p.Name, "disconnect", whichever); l.Code != 0x87 {
				t.Errorf("DISCONNECT %#x", l.Code)
			}
		}
		j.event(p.Name, "close", whichever)
		if a := j.dial("revoked", login); a.Code != revoked {
			t.Errorf("%s: a revoked token: %#x %s", v, a.Code, a.Error)
		}
	}
}

// secure is a configuration with a certificate on mqtts and on the HTTP port. The files are cert.pem, key.pem and ca.pem, the authority's, in the
// directory that it returns.
func secure(t *testing.T, change func(*config.Config)) (*clienttest.Authority, string, func(*config.Config)) {
	t.Helper()
	ca, dir := clienttest.NewAuthority(t), t.TempDir()
	cert, key := ca.Issue("localhost", time.Now().Add(24*time.Hour)).Write(t, dir)
	caFile := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(caFile, ca.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	return ca, dir, func(c *config.Config) {
		push(nil)(c)
		c.Listen.MQTTS = "127.0.0.1:0"
		c.Listen.TLS.CertFile, c.Listen.TLS.KeyFile = config.Path(cert), config.Path(key)
		if change != nil {
			change(c)
		}
	}
}

// MQTT.js over wss:// and mqtts://, with a certificate that an authority of one's own has signed: it is checked.
func TestMQTTJSOverTLS(t *testing.T) {
	t.Parallel()
	_, dir, configure := secure(t, nil)
	stranger := startNode(t)
	s := clienttest.NewServer(t, configure)
	j := startNode(t, "NODE_EXTRA_CA_CERTS="+filepath.Join(dir, "ca.pem")) // a browser takes it from the system
	b := s.Connect(clienttest.Login{User: bo})
	for _, url := range []string{"wss://" + s.Addresses().HTTP + "/mqtt", "mqtts://" + s.Addresses().MQTTS} {
		login := browser(s.Broker, ann, clienttest.V5)
		login.URL = url
		a := j.connect(ann, login)
		a.publish("to/"+string(bo)+"/over-tls", "over TLS", nil)
		a.publish("to/"+string(bo), "and again", nil)
		a.end()
		if a := stranger.dial("stranger", login); a.Error == "" {
			t.Errorf("%s: the certificate was not checked", url)
		}
	}
	want(t, b.Next("in"), ann, "over TLS")
	want(t, b.Next("in"), ann, "and again")
	want(t, b.Next("in"), ann, "and again") // the first of the second client has the key of the first
}
