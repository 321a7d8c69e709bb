package broker

import (
	"cmp"
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
	sweepEvery      = time.Minute
	stormSize       = 1000 // connections
	tidyAfter       = 500 * time.Millisecond
	connectTimeout  = 10 * time.Second
)

// A Listener accepts MQTT connections over TCP for a mochi server. A client has ConnectTimeout to send its CONNECT; a panic while its packets
// are read ends it alone; an Accept that fails, for want of descriptors for instance, is tried again.
type Listener struct {
	Name   string       // mochi's id of it; "tcp"
	Listen string       // the address to listen on, host:port
	Net    net.Listener // open already; nil: Listen is opened

	ConnectTimeout time.Duration  // 10 s
	Connections    int            // at most; 100,000
	PerAddress     int            // from one network address that have not logged in, at most; 1,000
	FailedLogins   int            // a second from one network address, above which its connections are refused; 100
	Died           func(net.Conn) // is told of a connection that a panic has ended; hooks.Hook.Died
	Goodbye        func()         // disconnects all clients, also those about to come, before a stop; hooks.Hook.Goodbye

	log   *slog.Logger
	stats ListenerStats
	done  chan struct{}
	stop  sync.Once
	work  sync.WaitGroup

	mu    sync.Mutex
	conns map[*accepted]struct{}
	from  addresses
	swept time.Time
	storm int         // connections since the memory was tidied up
	tidy  *time.Timer // does it, once the storm is over
}

var _ listeners.Listener = (*Listener)(nil)

// ListenerStats counts what a Listener did; its fields are read at any time.
type ListenerStats struct {
	Panics         atomic.Uint64 // recovered
	AcceptErrors   atomic.Uint64
	RefusedFull    atomic.Uint64 // because of Connections
	RefusedAddress atomic.Uint64 // because of PerAddress or FailedLogins
}

// Stats returns the counters.
func (l *Listener) Stats() *ListenerStats { return &l.stats }

// Init implements listeners.Listener: it opens the address.
func (l *Listener) Init(log *slog.Logger) error {
	l.log, l.done = log, make(chan struct{})
	l.conns, l.from = map[*accepted]struct{}{}, addresses{}
	l.tidy = time.AfterFunc(time.Hour, l.tidied)
	l.tidy.Stop()
	l.ConnectTimeout = cmp.Or(l.ConnectTimeout, connectTimeout)
	l.Connections = cmp.Or(l.Connections, 100_000)
	l.PerAddress = cmp.Or(l.PerAddress, 1000)
	l.FailedLogins = cmp.Or(l.FailedLogins, 100)
	if l.Net != nil {
		return nil
	}
	n, err := net.Listen("tcp", l.Listen)
	if err != nil {
		return fmt.Errorf("listen.mqtt: %w", err)
	}
	l.Net = n
	return nil
}

// ID implements listeners.Listener.
func (l *Listener) ID() string { return cmp.Or(l.Name, "tcp") }

// Address implements listeners.Listener: where it listens.
func (l *Listener) Address() string {
	if l.Net != nil {
		return l.Net.Addr().String()
	}
	return l.Listen
}

// Protocol implements listeners.Listener.
func (l *Listener) Protocol() string { return "tcp" }

// Serve implements listeners.Listener: it accepts until Close.
func (l *Listener) Serve(establish listeners.EstablishFn) {
	var retry time.Duration
	for {
		n, err := l.Net.Accept()
		switch {
		case err == nil:
			retry = 0
			l.take(n, establish)
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

// take serves a connection on a goroutine of its own, or closes it when there are too many.
func (l *Listener) take(n net.Conn, establish listeners.EstablishFn) {
	c := &accepted{Conn: n, l: l, from: origin(n.RemoteAddr())}
	if !l.admit(c) {
		_ = n.Close()
		return
	}
	_ = n.SetReadDeadline(time.Now().Add(l.ConnectTimeout)) // mochi sets the keepalive's once the CONNECT is there
	go l.serve(c, establish)
}

func (l *Listener) admit(c *accepted) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Sub(l.swept) >= sweepEvery {
		l.from.sweep(now)
		l.swept = now
	}
	switch {
	case l.closing():
		return false
	case len(l.conns) >= l.Connections:
		l.stats.RefusedFull.Add(1)
		return false
	case !l.from.admit(c.from, l.PerAddress, l.FailedLogins, now):
		l.stats.RefusedAddress.Add(1)
		return false
	}
	l.conns[c] = struct{}{}
	l.work.Add(1)
	l.tidyUp()
	return true
}

// tidyUp gives back, a moment after many clients have connected at once, the memory that only their coming took: large stacks and garbage.
// Called with mu held.
func (l *Listener) tidyUp() {
	if l.storm++; l.storm < stormSize {
		return
	}
	l.storm = stormSize
	l.tidy.Reset(tidyAfter)
}

func (l *Listener) tidied() {
	l.mu.Lock()
	l.storm = 0
	l.mu.Unlock()
	if !l.closing() {
		debug.FreeOSMemory()
	}
}

func (l *Listener) serve(c *accepted, establish listeners.EstablishFn) {
	defer l.work.Done()
	defer l.release(c)
	defer l.recovered(c)
	if err := establish(l.ID(), c); err != nil {
		l.log.Debug("connection ended", "error", err)
	}
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
		l.tidy.Stop()
		_ = l.Net.Close()
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
	from string
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
func (c *accepted) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// LoggedIn implements hooks.Gate.
func (c *accepted) LoggedIn() {
	if c.in.Swap(true) {
		return
	}
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.l.from.leave(c.from, time.Now())
}

// LoginFailed implements hooks.Gate.
func (c *accepted) LoginFailed() {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.l.from.fail(c.from, time.Now())
}
