package clienttest_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/delivery"
)

// TestHangup is an operator who changes the file while the broker runs.
func TestHangup(t *testing.T) {
	t.Parallel()
	ca := clienttest.NewAuthority(t)
	dir := t.TempDir()
	for name, pair := range map[string]clienttest.Pair{"old": ca.Issue("old", time.Now().Add(20*time.Hour)), "new": ca.Issue("new", time.Now().Add(20*time.Hour))} {
		for suffix, text := range map[string][]byte{".pem": pair.Cert, ".key": pair.Key} {
			if err := os.WriteFile(filepath.Join(dir, name+suffix), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	certificate := func(c *config.Config, name string) {
		c.Listen.TLS.CertFile, c.Listen.TLS.KeyFile = config.Path(filepath.Join(dir, name+".pem")), config.Path(filepath.Join(dir, name+".key"))
	}
	p := clienttest.StartProcess(t, func(c *config.Config) {
		c.SMS.Price = map[string]config.Money{"*": {Micros: 50_000, Currency: "EUR"}}
		c.SMS.Budget.Day = config.Money{Micros: 60_000, Currency: "EUR"}
		c.Listen.MQTTS = "127.0.0.1:0"
		certificate(c, "old")
	})
	a := p.Connect(clienttest.Login{User: ann, Persistent: true})
	p.Token(bo) // registered, and without a device

	send(a, bo, "1", "Lunch at one?")
	if r := a.Final("1"); r.Price != "0.05 EUR" {
		t.Errorf("%+v", r)
	}
	a.Publish("to/"+string(bo)+"/2", "Tea at four?", "receipts", "all")
	second := a.Receipt("2", "waiting").ID
	if shows(t, p, ca) != "old" {
		t.Error("not the certificate of the start")
	}

	if line := p.Reload(func(c *config.Config) { certificate(c, "new"); c.Limits.Devices, c.Limits.Packet = 5, 4096 }); !strings.Contains(line, `"changed":["listen.tls.cert_file","listen.tls.key_file"]`) {
		t.Errorf("the log says %s", line)
	}
	p.AwaitLog(0, `"keys":["limits.packet","limits.devices"]`)
	if shows(t, p, ca) != "new" {
		t.Error("not the new certificate")
	}
	good := p.Config()

	p.Expect("the configuration cannot be used")
	if err := os.WriteFile(p.File(), []byte("sms: {budget: {day: 9 EUR}}\npush: {ack_timout: 1s}\nlog: {level: loud}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	line := p.Hangup()
	for _, want := range []string{":2: push.ack_timout: is not a key; did you mean ack_timeout?", ":3: log.level: ", ":1: sms.budget: needs prices"} {
		if !strings.Contains(line, want) {
			t.Errorf("the log does not tell of %q: %s", want, line)
		}
	}
	if m := p.Explain(second).Message; m.State != "waiting" || m.Reason != delivery.BudgetDay || len(p.SMS.Received()) != 1 {
		t.Errorf("a wrong file changed something: %+v, %d SMS", m, len(p.SMS.Received()))
	}

	p.Reload(func(c *config.Config) {
		*c = good
		c.SMS.Price = map[string]config.Money{"*": {Micros: 70_000, Currency: "EUR"}}
		c.SMS.Budget.Day = config.Money{Micros: 120_000, Currency: "EUR"}
		c.Log.Level = "debug"
	})
	if r := a.Final("2"); r.Price != "0.07 EUR" || r.Via != "sms" {
		t.Errorf("%+v", r)
	}
	p.Connect(clienttest.Login{User: cleo}).Disconnect()
	p.AwaitLog(0, `"level":"debug"`)
}

// shows returns the common name of the certificate that the TLS door shows.
func shows(t *testing.T, p *clienttest.Process, ca *clienttest.Authority) string {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM)
	c, err := tls.Dial("tcp", p.Addresses().MQTTS, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}
