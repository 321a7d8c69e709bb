package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	tlsHandshake = 0x16                 // the first octet of a TLS hello (RFC 8446 §5.1)
	closeNotify  = 5 * time.Millisecond // for it to leave; a client that does not read gets none
)

// An entrance is what a connection passes before what it says is read: the PROXY header, then TLS. It is passed on the connection's goroutine,
// under the deadlines that are set.
type entrance struct {
	proxy bool        // a PROXY header must come first
	tls   *tls.Config // nil: plain
	plain bool        // plain as well as TLS: the first octet says which
}

// none reports whether connections are taken as they come.
func (e entrance) none() bool { return !e.proxy && e.tls == nil }

// open reads what comes before TLS. What it returns may be *secured, which has not shaken hands yet.
func (e entrance) open(n net.Conn) (net.Conn, error) {
	if e.none() {
		return n, nil
	}
	w := &wire{early: early{Conn: n}}
	if e.proxy {
		if err := w.readProxy(); err != nil {
			return nil, err
		}
	}
	if e.tls == nil {
		return w, nil
	}
	if e.plain {
		first, err := w.peek()
		if err != nil {
			return nil, err
		}
		if first != tlsHandshake {
			return w, nil
		}
	}
	return &secured{Conn: tls.Server(w, e.tls), wire: w}, nil
}

// early is a connection of which a little was read already.
type early struct {
	net.Conn
	head []byte
}

func (e *early) Read(p []byte) (int, error) {
	if len(e.head) == 0 {
		return e.Conn.Read(p)
	}
	n := copy(p, e.head)
	if e.head = e.head[n:]; len(e.head) == 0 {
		e.head = nil
	}
	return n, nil
}

// A wire is a TCP connection below TLS, or behind a PROXY header. A write gives up after tcpWriteTimeout when no deadline is set: TLS writes by
// itself while it reads, to answer a KeyUpdate.
type wire struct {
	early
	remote  net.Addr    // as the PROXY header says; nil: Conn's
	limited atomic.Bool // a write deadline is set
	leaving atomic.Bool // nothing is worth waiting for
}

// peek reads the first octet without taking it.
func (w *wire) peek() (byte, error) {
	if len(w.head) == 0 {
		first := make([]byte, 1)
		if _, err := w.Conn.Read(first); err != nil {
			return 0, err
		}
		w.head = first
	}
	return w.head[0], nil
}

func (w *wire) Write(b []byte) (int, error) {
	wait := tcpWriteTimeout
	if w.leaving.Load() {
		wait = closeNotify
	} else if w.limited.Load() {
		return w.Conn.Write(b)
	}
	if err := w.Conn.SetWriteDeadline(time.Now().Add(wait)); err != nil {
		return 0, err
	}
	return w.Conn.Write(b)
}

func (w *wire) SetWriteDeadline(t time.Time) error {
	w.limited.Store(!t.IsZero())
	return w.Conn.SetWriteDeadline(t)
}

func (w *wire) SetDeadline(t time.Time) error {
	return errors.Join(w.SetReadDeadline(t), w.SetWriteDeadline(t))
}

func (w *wire) RemoteAddr() net.Addr {
	if w.remote != nil {
		return w.remote
	}
	return w.Conn.RemoteAddr()
}

// CloseWrite is there for net/http.
func (w *wire) CloseWrite() error { return closeWrite(w.Conn) }

// closeWrite is how net/http ends a connection whose last answer must still arrive.
func closeWrite(c net.Conn) error {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// SyscallConn implements syscall.Conn, for writes.
func (w *wire) SyscallConn() (syscall.RawConn, error) { return syscallConn(w.Conn) }

func syscallConn(c net.Conn) (syscall.RawConn, error) {
	if s, ok := c.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// A secured connection speaks TLS.
type secured struct {
	*tls.Conn
	wire *wire
	leaf *x509.Certificate
}

// shake shakes hands. A wrong certificate of the client is reported by the first result. It has a goroutine of its own, whose stack grows large and
// goes with it; the reader's, which would keep it, is there as long as the connection.
func (s *secured) shake() (wrong bool, err error) {
	shaken := make(chan error, 1)
	go func() { shaken <- s.guarded() }()
	if err := <-shaken; err != nil {
		return badCertificate(s.Conn, err), err
	}
	if chains := s.ConnectionState().VerifiedChains; len(chains) > 0 {
		s.leaf = chains[0][0]
	}
	return false, nil
}

// guarded keeps a panic to the connection that caused it.
func (s *secured) guarded() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("a panic ended the handshake: %T", r)
		}
	}()
	return s.Handshake()
}

// Certificate returns the client's certificate, which has been verified; nil: it has shown none.
func (s *secured) Certificate() *x509.Certificate { return s.leaf }

// Close does not wait for a client that does not read; crypto/tls would, for 5 s.
func (s *secured) Close() error {
	s.wire.leaving.Store(true)
	return s.Conn.Close()
}
