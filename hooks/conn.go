package hooks

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/mochi-mqtt/server/v2"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

const (
	writeTimeout = 5 * time.Second
	lastWords    = time.Second // for what is still to be written to a connection that is being closed
	maxPending   = 256 << 10   // octets waiting for one connection before it counts as one that does not read
	maxSpare     = 16 << 10    // larger buffers are not kept
)

// past wakes up a read.
var past = time.Unix(1, 0)

// A conn is the connection of a client that has logged in. It takes the place of the net.Conn in mochi's client: what mochi writes and what we
// write goes through one bounded buffer, which the writers empty.
type conn struct {
	net.Conn // as the listener accepted it
	hook     *Hook
	cl       *mqtt.Client
	raw      syscall.RawConn // nil where the connection has none, such as TLS
	attempt  func(fd uintptr) bool

	login   // who it is
	dialect // how it talks
	session
	keepalive time.Duration
	will      *will // nil: none
	device    *delivery.Device
	rate      pace
	leftClean bool // DISCONNECT 0x00; the reading goroutine's
	inbox     bool // has inbox filters; the reading goroutine's

	mu       sync.Mutex
	space    sync.Cond // on mu: the ring moved, or the connection closes
	waiting  bool      // somebody waits for space
	out      []byte    // to be written
	writing  int       // octets that a writer has taken and not written yet
	queued   bool      // with the writers
	opened   bool      // OnDisconnect will come
	saidBye  bool      // a DISCONNECT was written
	closing  bool      // nothing is read any more
	finished bool      // nothing is added any more: the writer closes
	deadline time.Time // of reads
	done     chan struct{}
	until    *time.Timer // the login expires; nil: never

	// The receive window; see ring.go.
	ring     ring
	atMost0  int             // QoS 0 publishes that the engine has not answered
	zero     zeroAcceptor    // answers for them
	exactly  map[uint16]bool // QoS 2 publishes whose PUBREL has not come; true: the PUBREC was sent
	released int             // how many of exactly are true

	// The write under way; the writer's.
	chunk []byte
	wrote int
	wErr  error
}

// A login says who is connected.
type login struct {
	user     contacts.Address
	clientID string         // as the client gave it
	by       contacts.Login // what that rests on
}

// A session is what becomes of the device when the connection ends.
type session struct {
	expiry   uint32 // Session Expiry Interval in seconds
	persists bool   // it is remembered
	resumes  bool   // it was remembered, and the client wants it back
	resumed  bool   // and the CONNACK said so
}

// key is the client id that mochi knows the device by: nobody else's client id can be equal to it.
func (l login) key() string { return string(l.user) + "/" + l.clientID }

func newConn(h *Hook, cl *mqtt.Client, l login, d dialect) *conn {
	c := &conn{Conn: cl.Net.Conn, hook: h, cl: cl, login: l, dialect: d, done: make(chan struct{})}
	c.space.L = &c.mu
	c.zero.c = c
	if s, ok := cl.Net.Conn.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			c.raw = raw
			c.attempt = c.tryWrite
		}
	}
	return c
}

// Write adds a packet of mochi's to what is to be written. It does not block, so mochi's lock on the client is never held for long.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished {
		return 0, net.ErrClosed
	}
	if p[0] == typeDisconnect {
		if c.version < 5 { // a server does not send it on 3.1.1 (§3.14)
			return len(p), nil
		}
		c.saidBye = true
	}
	if !c.room(len(p)) {
		c.overflow()
		return 0, errSlow
	}
	c.out = append(c.buffer(), p...)
	c.wake()
	return len(p), nil
}

var errSlow = errors.New("the client does not read what is sent to it")

// room reports whether n more octets may wait; whatever its size, one packet may. Called with mu held.
func (c *conn) room(n int) bool {
	pending := len(c.out) + c.writing
	return pending == 0 || pending+n <= maxPending
}

// overflow gives up a connection that takes nothing. Called with mu held.
func (c *conn) overflow() {
	if !c.closing {
		c.hook.stats.Slow.Add(1)
		c.shut()
	}
}

func (c *conn) buffer() []byte {
	if c.out == nil {
		c.out = c.hook.writers.buffer()
	}
	return c.out
}

// wake hands the connection to the writers, once. Called with mu held.
func (c *conn) wake() {
	if !c.queued && (len(c.out) > 0 || c.finished) {
		c.queued = true
		c.hook.writers.add(c)
	}
}

// SetDeadline is mochi's keepalive. It is ours for reads only, computed from the keepalive itself: mochi's overflows above 43,690 s.
func (c *conn) SetDeadline(time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.keepalive == 0 && c.deadline.IsZero() && c.opened {
		return nil
	}
	var at time.Time
	if c.keepalive > 0 {
		at = time.Now().Add(c.keepalive + c.keepalive/2) // MQTT 5 §3.1.2.10
		if at.Sub(c.deadline) < c.keepalive/64 {
			return nil // under load this saves a timer's update a packet
		}
	}
	c.deadline = at
	return c.Conn.SetReadDeadline(at)
}

// Close ends the reading. What is to be written still is, by the writers, who then close the connection; OnDisconnect may add the last word.
func (c *conn) Close() error {
	c.mu.Lock()
	c.shut()
	abandoned := !c.opened && !c.finished
	if abandoned {
		c.finish(0)
	}
	c.mu.Unlock()
	if abandoned {
		c.hook.abandon(c)
	}
	return nil
}

// shut ends the reading. Called with mu held.
func (c *conn) shut() {
	if c.closing {
		return
	}
	c.closing = true
	close(c.done)
	c.space.Broadcast()
	c.Conn.SetReadDeadline(past)
}

// finish closes the connection once everything is written, after a DISCONNECT with a reason code if one is due. Called with mu held.
func (c *conn) finish(code byte) {
	if c.finished {
		return
	}
	if code != 0 && c.version >= 5 && !c.saidBye {
		c.out = appendDisconnect(c.buffer(), code)
	}
	c.finished = true
	c.Conn.SetWriteDeadline(time.Now().Add(lastWords))
	c.wake()
}

// Drop implements delivery.Link.
func (c *conn) Drop(cause error) {
	c.hook.drop(c, dropCode(cause))
}
