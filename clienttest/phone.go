package clienttest

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// A Version of MQTT, as its CONNECT has it.
type Version byte

// The versions.
const (
	V311 Version = 4
	V5   Version = 5
)

// String returns the version as people write it.
func (v Version) String() string {
	if v == V311 {
		return "3.1.1"
	}
	return "5"
}

// A Login is how a phone connects; only User is needed.
type Login struct {
	User       contacts.Address
	Version    Version     // V5
	Token      string      // the user's own; with a certificate none
	TLS        *tls.Config // not nil: to the port for MQTT over TLS, and its certificate, where it has one, is the login
	Device     string      // the client id: "phone"
	Persistent bool        // the session outlives the connection
	Silent     bool        // as after Silence, from the first message on
	Will       *Will
}

// A Will is what a phone wants said when it is lost.
type Will struct{ Topic, Payload string }

// A Phone is a connected MQTT client that acknowledges what comes, and keeps it until the test asks for it.
type Phone struct {
	User           contacts.Address
	SessionPresent bool // as CONNACK had it

	t      testing.TB
	on     *Broker
	client client
	link   *link

	mu     sync.Mutex
	news   chan struct{} // closed at each change, and made anew
	inbox  []Arrival
	silent bool
	held   []func() error // acknowledgements
	gone   bool
	code   byte
}

// A client is one of the two MQTT libraries.
type client interface {
	// connect returns what CONNACK says; an error is one of the connection.
	connect(l Login) (present bool, code byte, err error)
	subscribe(filter string) (code byte, err error)
	// publish returns when the PUBACK has come.
	publish(topic, payload string, properties []string) (Ack, error)
	// disconnect sends a DISCONNECT, if it still can, and returns when nothing more comes.
	disconnect()
}

// An Ack is what a PUBACK says: on MQTT 3.1.1 nothing.
type Ack struct {
	Code byte
	ID   string // the broker's message id
}

// Connect logs a phone in, which must be accepted, and subscribes it to its whole inbox unless its session has been resumed.
// It disconnects when the test ends.
func (b *Broker) Connect(l Login) *Phone {
	b.t.Helper()
	p, code := b.dial(l)
	if code != 0 {
		b.t.Fatalf("%s was refused with %#x", l.User, code)
	}
	b.t.Cleanup(p.Disconnect)
	if !p.SessionPresent {
		if code := p.Subscribe(delivery.Topic(l.User, "#")); code != 1 {
			b.t.Fatalf("the inbox of %s: SUBACK %#x", l.User, code)
		}
	}
	return p
}

// Refused returns the code in the CONNACK of a login that must be refused.
func (b *Broker) Refused(l Login) (code byte) {
	b.t.Helper()
	p, code := b.dial(l)
	p.Drop()
	if code == 0 {
		b.t.Fatalf("%s was not refused", l.User)
	}
	return code
}

func (l Login) open(at broker.Addresses) (net.Conn, error) {
	if l.TLS != nil {
		return tls.Dial("tcp", at.MQTTS, l.TLS)
	}
	return net.Dial("tcp", at.MQTT)
}

func (b *Broker) dial(l Login) (*Phone, byte) {
	b.t.Helper()
	if l.Version == 0 {
		l.Version = V5
	}
	if l.Device == "" {
		l.Device = "phone"
	}
	if l.Token == "" && (l.TLS == nil || len(l.TLS.Certificates) == 0) {
		l.Token = b.Token(l.User)
	}
	conn, err := l.open(b.Addresses())
	if err != nil {
		b.t.Fatal(err)
	}
	p := &Phone{User: l.User, t: b.t, on: b, link: newLink(conn), news: make(chan struct{}), silent: l.Silent}
	if l.Will != nil {
		b.carried(l.Will.Payload)
	}
	if l.Version == V311 {
		p.client = newClient311(p, l)
	} else {
		p.client = newClient5(p, l)
	}
	var code byte
	if p.SessionPresent, code, err = p.client.connect(l); err != nil {
		b.t.Fatalf("%s: %v", l.User, err)
	}
	return p, code
}

// Subscribe returns the code of the SUBACK.
func (p *Phone) Subscribe(filter string) byte {
	p.t.Helper()
	code, err := p.client.subscribe(filter)
	if err != nil {
		p.t.Fatalf("subscribe %s: %v", p.User, err)
	}
	return code
}

// Publish publishes at QoS 1 and returns when the PUBACK has come. The properties are names and values of user properties, which only MQTT 5 has.
func (p *Phone) Publish(topic, payload string, properties ...string) Ack {
	p.t.Helper()
	p.on.carried(payload)
	ack, err := p.client.publish(topic, payload, properties)
	if err != nil {
		p.t.Fatalf("publish to %s: %v", topic, err)
	}
	return ack
}

// Silence has the phone acknowledge nothing any more, though it is connected and still takes what comes.
func (p *Phone) Silence() {
	p.change(func() { p.silent = true })
}

// Answer acknowledges what came in the silence, and ends it.
func (p *Phone) Answer() {
	p.t.Helper()
	p.change(func() {
		p.silent = false
		for _, ack := range p.held {
			if err := ack(); err != nil {
				p.t.Errorf("acknowledge: %v", err)
			}
		}
		p.held = nil
	})
}

// Freeze makes the link dead, as when a radio link breaks: it stands, and nothing passes any more.
func (p *Phone) Freeze() { p.link.freeze() }

// Drop closes the link without a DISCONNECT.
func (p *Phone) Drop() {
	_ = p.link.Close() // it may be closed already
	p.lost(0)
	p.client.disconnect()
}

// Disconnect sends a DISCONNECT and closes the link.
func (p *Phone) Disconnect() {
	p.client.disconnect()
	p.lost(0)
	_ = p.link.Close() // it may be closed already
}

// Gone waits until the broker has ended the connection, and returns the code of its DISCONNECT, which only MQTT 5 has.
func (p *Phone) Gone() (code byte) {
	p.t.Helper()
	p.wait("the end of the connection", func() bool { code = p.code; return p.gone })
	return code
}

// change does something under the lock, and tells those that wait.
func (p *Phone) change(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
	close(p.news)
	p.news = make(chan struct{})
}

// received takes what came. It is acknowledged unless the phone is silent.
func (p *Phone) received(a Arrival, ack func() error) {
	p.on.carried(a.Payload)
	p.change(func() {
		p.inbox = append(p.inbox, a)
		if p.silent {
			p.held = append(p.held, ack)
			return
		}
		_ = ack() // the connection may have ended
	})
}

// lost notes the end of the connection, the first one.
func (p *Phone) lost(code byte) {
	p.change(func() {
		if !p.gone {
			p.gone, p.code = true, code
		}
	})
}

// wait waits until something is so, which it looks at under the lock. No more comes once the connection has ended.
func (p *Phone) wait(what string, so func() bool) {
	p.t.Helper()
	end := time.After(Patience)
	for {
		p.mu.Lock()
		yes, gone, news, left := so(), p.gone, p.news, p.leftovers()
		p.mu.Unlock()
		switch {
		case yes:
			return
		case gone:
			p.t.Fatalf("%s did not get %s before its connection ended; there are %s", p.User, what, left)
		}
		select {
		case <-news:
		case <-end:
			p.t.Fatalf("%s did not get %s within %v; there are %s", p.User, what, Patience, left)
		}
	}
}

// leftovers tells what nobody has asked for, the latest of it.
func (p *Phone) leftovers() string {
	const most = 20
	var b strings.Builder
	for _, a := range p.inbox[max(0, len(p.inbox)-most):] {
		fmt.Fprintf(&b, "\n   %s  %s", a.Topic, a.Payload)
	}
	return fmt.Sprintf("%d other messages%s", len(p.inbox), b.String())
}
