package broker

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-7a41469f/godwit/api"
)

// webDoor makes of the HTTP port's listener and handler one whose connections may begin with a PROXY header, and speak TLS as well as plain HTTP.
func (r *running) webDoor(l net.Listener, h http.Handler) (net.Listener, http.Handler) {
	if r.cfg.Listen.BehindProxy {
		h = api.Forwarded(h)
	}
	door := entrance{proxy: r.cfg.Listen.ProxyProtocol, plain: true}
	if r.identity != nil {
		door.tls = r.identity.forHTTP()
		if r.identity.auto != nil {
			h = r.identity.auto.challenges(h)
		}
	}
	if door.none() {
		return l, h
	}
	return webListener{l, door}, webClient(h)
}

// A webListener does not wait for a connection's first octets: the connection reads them when net/http first reads from it, on its own goroutine
// and under the deadline of a request's header.
type webListener struct {
	net.Listener
	door entrance
}

func (l webListener) Accept() (net.Conn, error) {
	n, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &webConn{tcp: n, door: l.door}, nil
}

// A webConn passes its entrance at the first Read.
type webConn struct {
	tcp  net.Conn
	door entrance
	once sync.Once
	err  error
	in   atomic.Pointer[inside]
}

// inside is the connection behind the entrance.
type inside struct {
	net.Conn
	tls *tls.ConnectionState // nil: plain
}

func (c *webConn) enter() error {
	c.once.Do(func() {
		n, err := c.door.open(c.tcp)
		if err != nil {
			c.err = err
			return
		}
		c.in.Store(&inside{Conn: n}) // for Close, which does not wait
		s, ok := n.(*secured)
		if !ok {
			return
		}
		if _, c.err = s.shake(); c.err == nil {
			state := s.ConnectionState()
			c.in.Store(&inside{Conn: n, tls: &state})
		}
	})
	return c.err
}

// conn is what there is so far.
func (c *webConn) conn() net.Conn {
	if in := c.in.Load(); in != nil {
		return in.Conn
	}
	return c.tcp
}

func (c *webConn) Read(b []byte) (int, error) {
	if err := c.enter(); err != nil {
		return 0, err
	}
	return c.conn().Read(b)
}

func (c *webConn) Write(b []byte) (int, error) {
	if err := c.enter(); err != nil {
		return 0, err
	}
	return c.conn().Write(b)
}

// CloseWrite is there for net/http.
func (c *webConn) CloseWrite() error { return closeWrite(c.conn()) }

func (c *webConn) Close() error                       { return c.conn().Close() }
func (c *webConn) LocalAddr() net.Addr                { return c.tcp.LocalAddr() }
func (c *webConn) SetDeadline(t time.Time) error      { return c.conn().SetDeadline(t) }
func (c *webConn) SetReadDeadline(t time.Time) error  { return c.conn().SetReadDeadline(t) }
func (c *webConn) SetWriteDeadline(t time.Time) error { return c.conn().SetWriteDeadline(t) }

// RemoteAddr is the PROXY header's once that has been read.
func (c *webConn) RemoteAddr() net.Addr { return c.conn().RemoteAddr() }

// NetConn returns the connection below, as it was accepted.
func (c *webConn) NetConn() net.Conn { return c.tcp }

type webConnKey struct{}

// webContext lets a request know its connection; it is an http.Server's ConnContext.
func webContext(ctx context.Context, c net.Conn) context.Context {
	for {
		switch n := c.(type) {
		case *webConn:
			return context.WithValue(ctx, webConnKey{}, n)
		case interface{ NetConn() net.Conn }:
			c = n.NetConn()
		default:
			return ctx
		}
	}
}

// webClient tells the handlers what the entrance has learned: net/http looked at the connection before it was passed.
func webClient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := r.Context().Value(webConnKey{}).(*webConn)
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		known := *r
		known.RemoteAddr = c.RemoteAddr().String()
		if in := c.in.Load(); in != nil {
			known.TLS = in.tls
		}
		next.ServeHTTP(w, &known)
	})
}
