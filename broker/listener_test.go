package broker_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2"
	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/hooks"
	"github.com/seed-7a41469f/godwit/store/memory"
)

const alice = contacts.Address("4915112345601")

// A node is a server with our listener and hooks, and one user.
type node struct {
	*broker.Listener
	hook  *hooks.Hook
	token string
	log   *lockedBuffer
	mqtt  *mqtt.Server
}

func serve(t *testing.T, l *broker.Listener) *node {
	t.Helper()
	if l.Net == nil {
		l.Listen = "127.0.0.1:0"
	}
	return serveWithout(t, l)
}

// serveWithout leaves the Listener without an address when it has none.
func serveWithout(t *testing.T, l *broker.Listener) *node {
	t.Helper()
	m := memory.New()
	people, err := contacts.Open(t.Context(), m.Table(), contacts.Config{})
	must(t, err)
	_, err = people.Add(t.Context(), alice)
	must(t, err)
	token, _, err := people.IssueToken(t.Context(), alice, "test")
	must(t, err)
	log := &lockedBuffer{}
	server := mqtt.New(broker.Settings(0, 0, broker.NewLog(zerolog.New(log))))
	hook := hooks.New(server, delivery.New(delivery.Config{Store: m, Directory: people}))
	must(t, server.AddHook(hook, nil))
	l.Died, l.Goodbye = hook.Died, hook.Goodbye
	must(t, server.AddListener(l))
	must(t, server.Serve())
	t.Cleanup(func() {
		must(t, server.Close())
		must(t, people.Close())
	})
	return &node{Listener: l, hook: hook, token: token, log: log, mqtt: server}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (n *node) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", n.Address())
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	return c
}

// hello is the CONNECT of MQTT 5 with a clean session.
func (n *node) hello(clientID, password string) []byte {
	field := func(s string) []byte { return append([]byte{byte(len(s) >> 8), byte(len(s))}, s...) }
	body := append(field("MQTT"), 5, 0xC2, 0, 60, 0)
	body = append(body, field(clientID)...)
	body = append(body, field(string(alice))...)
	body = append(body, field(password)...)
	return append([]byte{0x10, byte(len(body))}, body...)
}

// tryConnect reports whether a login got an answer at all.
func (n *node) tryConnect(c net.Conn, clientID, password string) bool {
	if _, err := c.Write(n.hello(clientID, password)); err != nil {
		return false
	}
	_, err := io.ReadFull(c, make([]byte, 4))
	return err == nil
}

// connect logs in and returns the reason code of the CONNACK.
func (n *node) connect(t *testing.T, c net.Conn, clientID, password string) byte {
	t.Helper()
	_, err := c.Write(n.hello(clientID, password))
	must(t, err)
	head := make([]byte, 2)
	_, err = io.ReadFull(c, head)
	must(t, err)
	body := make([]byte, head[1])
	_, err = io.ReadFull(c, body)
	must(t, err)
	return body[1]
}

func closed(c net.Conn) bool {
	_, err := io.Copy(io.Discard, c)
	var timeout net.Error
	return !errors.As(err, &timeout) || !timeout.Timeout()
}

func ping(t *testing.T, c net.Conn) {
	t.Helper()
	_, err := c.Write([]byte{0xC0, 0})
	must(t, err)
	got := make([]byte, 2)
	_, err = io.ReadFull(c, got)
	must(t, err)
	if got[0] != 0xD0 {
		t.Fatalf("got %x", got)
	}
}

// mochi v2.7.9 panics on it (issue 501), and with it the process.
func TestTruncatedSubscribe(t *testing.T) {
	n := serve(t, &broker.Listener{})
	other := n.dial(t)
	n.connect(t, other, "other", n.token)
	for range 3 {
		c := n.dial(t)
		if code := n.connect(t, c, "victim", n.token); code != 0 {
			t.Fatalf("CONNACK %#x", code)
		}
		_, err := c.Write([]byte{0x82, 0x08, 0, 1, 0, 0, 3, 'a', '/', 'b'})
		must(t, err)
		if !closed(c) {
			t.Fatal("the connection is still open")
		}
	}
	ping(t, other)
	if got := n.Stats().Panics.Load(); got != 3 {
		t.Errorf("%d panics counted", got)
	}
	for _, gone := range []func() bool{
		func() bool { _, there := n.mqtt.Clients.Get(string(alice) + "/victim"); return !there },
		func() bool { return n.hook.Stats().Connected.Load() == 1 },
	} {
		eventually(t, gone)
	}
	if strings.Contains(n.log.String(), string(alice)) {
		t.Error("a number is in the log")
	}
}

// In mochi a socket that says nothing stays open for ever.
func TestSilentSocketIsClosedAtTheConnectDeadline(t *testing.T) {
	n := serve(t, &broker.Listener{ConnectTimeout: 200 * time.Millisecond})
	silent, slow, good := n.dial(t), n.dial(t), n.dial(t)
	n.connect(t, good, "good", n.token)
	began := time.Now()
	_, err := slow.Write(n.hello("slow", n.token)[:9])
	must(t, err)
	if !closed(silent) || !closed(slow) {
		t.Error("still open")
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("closed after %v", took)
	}
	ping(t, good)
}

// faulty fails a few times before it accepts.
type faulty struct {
	net.Listener
	mu   sync.Mutex
	errs []error
}

func (f *faulty) Accept() (net.Conn, error) {
	f.mu.Lock()
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		f.mu.Unlock()
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: err}
	}
	f.mu.Unlock()
	return f.Listener.Accept()
}

// mochi's own listener ends for good.
func TestAcceptIsTriedAgain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	n := serve(t, &broker.Listener{Net: &faulty{Listener: l, errs: []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS}}})
	if code := n.connect(t, n.dial(t), "a", n.token); code != 0 {
		t.Errorf("CONNACK %#x", code)
	}
	if got := n.Stats().AcceptErrors.Load(); got != 4 {
		t.Errorf("%d errors counted", got)
	}
}

func TestConnectionCap(t *testing.T) {
	n := serve(t, &broker.Listener{Visitors: &broker.Visitors{Connections: 3}})
	var open []net.Conn
	for range 3 {
		c := n.dial(t)
		n.connect(t, c, string(rune('a'+len(open))), n.token)
		open = append(open, c)
	}
	if !closed(n.dial(t)) {
		t.Error("the fourth is open")
	}
	if n.Stats().RefusedFull.Load() != 1 {
		t.Error("not counted")
	}
	open[0].Close()
	eventually(t, func() bool { return n.hook.Stats().Connected.Load() == 2 })
	eventually(t, func() bool {
		c, err := net.Dial("tcp", n.Address())
		must(t, err)
		defer c.Close()
		must(t, c.SetDeadline(time.Now().Add(10*time.Second)))
		_, err = c.Write(n.hello("d", n.token))
		k, _ := c.Read(make([]byte, 4))
		return err == nil && k > 0
	})
}

// Thousands of phones share one address behind a carrier's NAT: who has logged in does not count.
func TestAddressCapCountsOnlyWhoHasNotLoggedIn(t *testing.T) {
	n := serve(t, &broker.Listener{Visitors: &broker.Visitors{PerAddress: 3}})
	for i := range 10 {
		if code := n.connect(t, n.dial(t), string(rune('a'+i)), n.token); code != 0 {
			t.Fatalf("client %d: CONNACK %#x", i, code)
		}
	}
	waiting := []net.Conn{n.dial(t), n.dial(t), n.dial(t)}
	if !closed(n.dial(t)) {
		t.Error("a fourth that has not logged in is open")
	}
	if n.Stats().RefusedAddress.Load() != 1 {
		t.Error("not counted")
	}
	if code := n.connect(t, waiting[0], "z", n.token); code != 0 {
		t.Errorf("CONNACK %#x", code)
	}
	n.connect(t, n.dial(t), "y", n.token)
}

func TestFailedLoginsCloseTheDoor(t *testing.T) {
	n := serve(t, &broker.Listener{Visitors: &broker.Visitors{FailedLogins: 5}})
	refused := false
	for i := 0; i < 50 && !refused; i++ {
		c := n.dial(t)
		_, err := c.Write(n.hello("a", "guess"))
		k, _ := c.Read(make([]byte, 64))
		refused = err != nil || k == 0
	}
	if !refused || n.Stats().RefusedAddress.Load() == 0 {
		t.Error("guessing is not slowed down")
	}
	eventually(t, func() bool { // for a second
		c, err := net.Dial("tcp", n.Address())
		must(t, err)
		defer c.Close()
		_, _ = c.Write(n.hello("b", n.token))
		k, _ := c.Read(make([]byte, 4))
		return k > 0
	})
}

func TestStopWaitsForNobody(t *testing.T) {
	n := serve(t, &broker.Listener{})
	n.dial(t) // has not said anything
	c := n.dial(t)
	n.connect(t, c, "a", n.token)
	began := time.Now()
	n.Close(nil)
	got, err := io.ReadAll(c)
	if err != nil || !bytes.HasPrefix(got, []byte{0xE0}) || got[2] != 0x8B {
		t.Errorf("goodbye was %x, %v", got, err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
}

// In mochi, Clients.GetByListener locks twice: a client that leaves while the server says goodbye makes both wait for ever.
func TestClientsLeaveWhileTheServerStops(t *testing.T) {
	for range 5 {
		n := serve(t, &broker.Listener{})
		var left sync.WaitGroup
		for i := range 30 {
			c := n.dial(t)
			n.connect(t, c, string(rune('a'+i)), n.token)
			left.Go(func() { c.Close() })
		}
		done := make(chan struct{})
		go func() { n.Close(nil); close(done) }()
		select {
		case <-done:
		case <-time.After(8 * time.Second):
			t.Fatal("the stop hangs")
		}
		left.Wait()
	}
}

func TestListenerSaysWhereItCannotListen(t *testing.T) {
	l := &broker.Listener{Listen: "256.0.0.1:1"}
	if err := l.Init(slog.Default()); err == nil || !strings.Contains(err.Error(), "listen.mqtt") {
		t.Errorf("got %v", err)
	}
}
