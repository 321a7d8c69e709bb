// Package clienttest runs brokers and phones for tests, shaped like net/http/httptest.
//
// NewServer runs a broker in the test's own process, StartProcess the built `godwit serve` as a child that can be killed. Either is a
// Broker with temporary data, free ports on loopback and an SMS network of its own (smstest, over HTTP), and is stopped when the test
// ends. Phones are real MQTT clients of both versions (paho) whose users are registered and logged in with tokens.
//
// Everything that waits waits for an event, for at most Patience, and then fails the test. A test fails, too, when its broker's log
// has an error in it, or the number of somebody who has a token, or who got an SMS.
package clienttest

import (
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

// Patience is how long what has to happen may take.
const Patience = 30 * time.Second

// OurNumber is the number that SMS come from and are answered to.
const OurNumber contacts.Number = "4917604069000"

// A Broker is one under test, in whichever process.
type Broker struct {
	SMS *smstest.Server // the network that it sends SMS to

	t        testing.TB
	cfg      config.Config
	operator *operator
	log      journal

	mu       sync.Mutex
	where    broker.Addresses
	tokens   map[contacts.Address]api.Credential
	expected []string // parts of errors that the log must have
	hidden   []string // that it must not have
}

// newBroker makes the configuration: that of a broker without a file, apart from what a test must have otherwise. Who looks after the process calls close.
func newBroker(t testing.TB, configure func(*config.Config)) *Broker {
	t.Helper()
	dir, err := os.MkdirTemp("", "gw") // t.TempDir is too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	b := &Broker{t: t, SMS: smstest.NewServer(), cfg: config.Default(), tokens: map[contacts.Address]api.Credential{}}
	t.Cleanup(func() {
		b.SMS.Close()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	b.cfg.Data = config.Path(dir)
	b.cfg.Auth.Mode = config.ModeToken
	b.cfg.Listen.MQTT, b.cfg.Listen.HTTP = "127.0.0.1:0", "127.0.0.1:0"
	b.cfg.Limits.DiskFree = 0
	b.cfg.Push.RestartGrace = 0
	b.cfg.SMS.Numbers = []string{string(OurNumber)}
	b.cfg.SMS.Gateways = []config.Gateway{{Name: "network", Kind: config.KindTest, URL: b.SMS.URL}}
	if configure != nil {
		configure(&b.cfg)
	}
	b.operator = newOperator(t, b.cfg.Socket())
	t.Cleanup(b.checkLog) // before the network is closed
	return b
}

// checkLog runs when the broker has stopped.
func (b *Broker) checkLog() {
	text := b.log.String()
	if b.t.Failed() {
		b.t.Logf("the broker's log:\n%s", text)
	}
	for line := range strings.Lines(text) {
		wanted := slices.ContainsFunc(b.expected, func(part string) bool { return strings.Contains(line, part) })
		if (strings.Contains(line, `"level":"error"`) && !wanted) || strings.Contains(line, `"level":"panic"`) {
			b.t.Errorf("the broker's log has an error: %s", line)
		}
	}
	for _, part := range b.expected {
		if !strings.Contains(text, part) {
			b.t.Errorf("the broker's log has no error with %q", part)
		}
	}
	for _, part := range b.hidden {
		if strings.Contains(text, part) {
			b.t.Errorf("the broker's log has %q in it", part)
		}
	}
	numbers := slices.Collect(maps.Keys(b.tokens))
	for _, r := range b.SMS.Received() {
		numbers = append(numbers, contacts.Address(r.To))
	}
	for _, n := range numbers {
		if _, ok := n.Number(); ok && strings.Contains(text, string(n)) {
			b.t.Errorf("the broker's log has the number %s in it", n)
		}
	}
}

// Expect says that the broker will log an error with a text in it, which is otherwise a failure; it is one now when there is none.
func (b *Broker) Expect(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = append(b.expected, text)
}

// Hide says that a text, a number or a secret, must not be in the broker's log.
func (b *Broker) Hide(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hidden = append(b.hidden, text)
}

// Addresses returns where the broker listens since its last start.
func (b *Broker) Addresses() broker.Addresses {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.where
}

func (b *Broker) listens(where broker.Addresses) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.where = where
}

// URL returns the base of the HTTP port, http://host:port.
func (b *Broker) URL() string { return "http://" + b.Addresses().HTTP }

// Reconfigure changes the configuration that the next Start starts with.
func (b *Broker) Reconfigure(change func(*config.Config)) { change(&b.cfg) }

// Config returns the configuration that the broker runs with.
func (b *Broker) Config() config.Config { return b.cfg }
