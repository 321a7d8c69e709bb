package broker

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"

	"github.com/seed-7a41469f/godwit/hooks"
)

const (
	tcpWriteTimeout = 5 * time.Second
	acceptRetryMin  = 5 * time.Millisecond // of an Accept that failed
	acceptRetryMax  = time.Second
	stopAtLatest    = 10 * time.Second
	connectTimeout  = 10 * time.Second
)

// A Listener accepts MQTT connections over TCP, or TLS, for a mochi server. A client has ConnectTimeout for the PROXY header, the TLS handshake
// and its CONNECT; a panic while its packets are read ends it alone; an Accept that fails, for want of descriptors for instance, is tried again.
type Listener struct {
	Name   string       // mochi's id of it; "tcp", with TLS "tls"
	Listen string       // the address to listen on, host:port; empty, without Net: none, and connections come by Attach only
	Net    net.Listener // open already; nil: Listen is opened

	TLS           *tls.Config // nil: plain TCP. Whom a client certificate that it verified names is asked for by Certificate, a method of the connections
	ProxyProtocol bool        // connections must begin with a PROXY header, version 1 or 2, whose address counts. Whoever reaches the port can write one

	ConnectTimeout time.Duration  // 10 s
	Visitors       *Visitors      // shared by all doors of a broker; nil: its own
	Died           func(net.Conn) // is told of a connection that a panic has ended; hooks.Hook.Died
	Goodbye        func()         // disconnects all clients, also those about to come, before a stop; hooks.Hook.Goodbye

	log       *slog.Logger
	stats     ListenerStats
	establish listeners.EstablishFn
	serving   chan struct{} // closed once establish is there
	done      chan struct{}
	stop      sync.Once
	work      sync.WaitGroup

	mu    sync.Mutex
	conns map[*accepted]struct{}
}

var _ listeners.Listener = (*Listener)(nil)

// ListenerStats counts what a Listener did; its fields are read at any time.
type ListenerStats struct {
	Panics         atomic.Uint64 // recovered
	AcceptErrors   atomic.Uint64
	RefusedFull    atomic.Uint64 // because of Visitors.Connections
	RefusedAddress atomic.Uint64 // because of Visitors.PerAddress or FailedLogins
	RefusedHello   atomic.Uint64 // for want of a right PROXY header or TLS handshake
}

// Stats returns the counters.
func (l *Listener) Stats() *ListenerStats { return &l.stats }

// Init implements listeners.Listener: it opens the address.
func (l *Listener) Init(log *slog.Logger) error {
	l.log, l.serving, l.done = log, make(chan struct{}), make(chan struct{})
	l.conns = map[*accepted]struct{}{}
	l.ConnectTimeout = cmp.Or(l.ConnectTimeout, connectTimeout)
	if l.Visitors == nil {
		l.Visitors = &Visitors{}
	}
	if l.Net != nil || l.Listen == "" {
		return nil
	}
	n, err := net.Listen("tcp", l.Listen)
	if err != nil {
		return fmt.Errorf("listen.%s: %w", map[bool]string{false: "mqtt", true: "mqtts"}[l.TLS != nil], err)
	}
	l.Net = n
	return nil
}

// ID implements listeners.Listener.
func (l *Listener) ID() string { return cmp.Or(l.Name, l.Protocol()) }

// Address implements listeners.Listener: where it listens.
func (l *Listener) Address() string {
	if l.Net != nil {
		return l.Net.Addr().String()
	}
	return l.Listen
}

// Protocol implements listeners.Listener: tcp or tls.
func (l *Listener) Protocol() string {
	if l.TLS != nil {
		return "tls"
	}
	return "tcp"
}

// Serve implements listeners.Listener: it accepts until Close.
func (l *Listener) Serve(establish listeners.EstablishFn) {
	l.establish = establish
	close(l.serving)
	if l.Net == nil {
		<-l.done
		return
	}
	var retry time.Duration
	for {
		n, err := l.Net.Accept()
		switch {
		case err == nil:
			retry = 0
			if !l.Attach(n) {
				_ = n.Close()
			}
			continue
		case errors.Is(err, net.ErrClosed):
			return
		}
		l.stats.AcceptErrors.Add(1)
		retry = min(max(2*retry, acceptRetryMin), acceptRetryMax)
		l.log.Warn("accept a connection", "error", err, "again_in", retry)
		select {
		case <-time.After(retry):
		case <-l.done:
			return
		}
	}
}

// Attach serves a connection on a goroutine of its own, once the Listener serves; false: there are too many, or it has stopped, and the caller has
// to close the connection.
func (l *Listener) Attach(n net.Conn) bool {
	select {
	case <-l.serving:
	case <-l.done:
		return false
	}
	c := &accepted{Conn: n, l: l}
	if !l.ProxyProtocol {
		c.from = origin(n.RemoteAddr().String())
	}
	if !l.admit(c) {
		return false
	}
	_ = n.SetReadDeadline(time.Now().Add(l.ConnectTimeout)) // mochi sets the keepalive's once the CONNECT is there
	go l.serve(c)
	return true
}

func (l *Listener) admit(c *accepted) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing() {
		return false
	}
	if why := l.Visitors.admit(c.from); why != 0 {
		l.refused(why)
		return false
	}
	l.conns[c] = struct{}{}
	l.work.Add(1)
	return true
}

func (l *Listener) refused(why refusal) {
	if why == refusedFull {
		l.stats.RefusedFull.Add(1)
		return
	}
	l.stats.RefusedAddress.Add(1)
}

func (l *Listener) serve(c *accepted) {
	defer l.work.Done()
	defer l.release(c)
	defer c.finish()
	defer l.recovered(c)
	if err := l.enter(c); err != nil {
		l.log.Debug("connection refused", "error", err)
		_ = c.Close()
		return
	}
	if err := l.establish(l.ID(), c); err != nil {
		l.log.Debug("connection ended", "error", err)
	}
}

// enter takes a connection through what comes before MQTT.
func (l *Listener) enter(c *accepted) error {
	door := entrance{proxy: l.ProxyProtocol, tls: l.TLS}
	if door.none() {
		return nil
	}
	n, err := door.open(c.Conn)
	if err != nil {
		l.stats.RefusedHello.Add(1)
		return err
	}
	l.mu.Lock() // closeThose may close it at any time
	c.Conn = n
	l.mu.Unlock()
	if l.ProxyProtocol {
		from := origin(n.RemoteAddr().String())
		if why := l.Visitors.enter(from); why != 0 {
			l.refused(why)
			return errors.New("too many connections or failed logins of its network")
		}
		c.from = from
	}
	s, ok := n.(*secured)
	if !ok {
		return nil
	}
	wrong, err := s.shake()
	if wrong {
		c.LoginFailed()
	}
	if err != nil {
		l.stats.RefusedHello.Add(1)
	}
	return err
}

// recovered keeps a panic to the connection that caused it.
func (l *Listener) recovered(c *accepted) {
	r := recover()
	if r == nil {
		return
	}
	l.stats.Panics.Add(1)
	l.log.Error("a panic ended a connection", "panic", fmt.Sprintf("%T", r), "stack", string(debug.Stack()))
	if l.Died != nil {
		l.Died(c)
	}
	_ = c.Close()
}

func (l *Listener) release(c *accepted) {
	c.LoggedIn() // or gone: it waits for no login
	l.Visitors.leave()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

func (l *Listener) closing() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// Close implements listeners.Listener: it accepts no more, says goodbye to the clients, and waits until all are gone. Mochi's closeClients is
// for want of a Goodbye only: v2.7.9 may hang in it for ever when a client leaves at that moment (Clients.GetByListener locks twice).
func (l *Listener) Close(closeClients listeners.CloseFn) {
	l.stop.Do(func() {
		l.mu.Lock()
		close(l.done) // under mu: who is admitted is waited for
		l.mu.Unlock()
		if l.Net != nil {
			_ = l.Net.Close()
		}
		l.closeThose(func(c *accepted) bool { return !c.in.Load() })
		if l.Goodbye != nil {
			l.Goodbye()
		} else {
			closeClients(l.ID())
		}
		late := time.AfterFunc(stopAtLatest, func() { l.closeThose(func(*accepted) bool { return true }) })
		defer late.Stop()
		l.work.Wait()
	})
}

func (l *Listener) closeThose(match func(*accepted) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		if match(c) {
			_ = c.Close()
		}
	}
}

// An accepted connection knows whether its client has logged in.
type accepted struct {
	net.Conn
	l    *Listener
	from string // its network; empty: not known yet
	in   atomic.Bool
	last byte // octet read; the reading goroutine's
}

var _ hooks.Gate = (*accepted)(nil)

// Read keeps the last octet, see LastOctet.
func (c *accepted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.last = b[n-1]
	}
	return n, err
}

// LastOctet returns the last octet that came: the hooks ask for it while a DISCONNECT is looked at, which mochi does not read to its end.
func (c *accepted) LastOctet() byte { return c.last }

// Write gives up after tcpWriteTimeout. The hooks write without waiting, past it.
func (c *accepted) Write(b []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(tcpWriteTimeout)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(b)
	if err == nil {
		err = c.Conn.SetWriteDeadline(time.Time{})
	}
	return n, err
}

// SyscallConn implements syscall.Conn.
func (c *accepted) SyscallConn() (syscall.RawConn, error) { return syscallConn(c.Conn) }

// LoggedIn implements hooks.Gate.
func (c *accepted) LoggedIn() {
	if c.in.Swap(true) || c.from == "" {
		return
	}
	c.l.Visitors.loggedIn(c.from)
}

// LoginFailed implements hooks.Gate.
func (c *accepted) LoginFailed() { c.l.Visitors.Failed(c.from) }

// Certificate returns the client's certificate, which has been verified; nil: it has shown none.
func (c *accepted) Certificate() *x509.Certificate {
	if s, ok := c.Conn.(*secured); ok {
		return s.Certificate()
	}
	return nil
}

// A finisher is a connection that has something to say after the last packet, such as a WebSocket.
type finisher interface {
	finish() // is called once nothing is read any more, and returns when it is closed
}

func (c *accepted) finish() {
	if f, ok := c.Conn.(finisher); ok {
		f.finish()
	}
}
