package broker

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
)

// maxHTTP is how many connections one HTTP port has at a time; each costs about 20 KiB. WebSockets do not count: they are MQTT's.
const maxHTTP = 4096

// httpConns are the connections of an HTTP port. When there are as many as there may be, the one that has waited longest for a whole request gives
// way to a new one: idle ones, and those that send a header octet by octet, never keep a client out. One whose request is being answered never
// gives way. Those not answered yet count as not logged in.
type httpConns struct {
	net.Listener
	max      int
	visitors *Visitors // nil: connections are not counted per network address, as behind a proxy, which all come from

	refused func(refusal) // told of each that is closed because there are too many; nil: nobody is

	mu      sync.Mutex
	open    int
	stopped bool
	waiting list.List // of *httpConn, the longest waiting first
}

// An httpConn is one of them, until it is closed or no longer HTTP.
type httpConn struct {
	net.Conn
	of      *httpConns
	from    string
	counted bool          // as not logged in
	place   *list.Element // in waiting; nil: its request is being answered
	gone    bool
}

// Accept implements net.Listener.
func (l *httpConns) Accept() (net.Conn, error) {
	for {
		n, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &httpConn{Conn: n, of: l, from: origin(n.RemoteAddr().String())}
		if l.visitors != nil {
			if !l.visitors.wait(c.from) {
				l.refuse(refusedAddress)
				_ = n.Close()
				continue
			}
			c.counted = true
		}
		l.enter(c)
		return c, nil
	}
}

func (l *httpConns) refuse(why refusal) {
	if l.refused != nil {
		l.refused(why)
	}
}

// enter gives a connection a place, that of the longest waiting one when there is no other.
func (l *httpConns) enter(c *httpConn) {
	l.mu.Lock()
	longest := l.waiting.Front()
	full, stopped := l.open >= l.max, l.stopped
	l.open++
	c.place = l.waiting.PushBack(c)
	l.mu.Unlock()
	if stopped {
		_ = c.Close()
		return
	}
	if !full {
		return
	}
	if longest == nil { // all are being answered
		l.refuse(refusedFull)
		_ = c.Close()
		return
	}
	_ = longest.Value.(*httpConn).Close()
}

// Close closes the listener, and the connections without a whole request: http.Server.Shutdown would wait for those that have not said anything yet.
func (l *httpConns) Close() error {
	err := l.Listener.Close()
	l.mu.Lock()
	l.stopped = true
	var waiting []*httpConn
	for e := l.waiting.Front(); e != nil; e = e.Next() {
		waiting = append(waiting, e.Value.(*httpConn))
	}
	l.mu.Unlock()
	for _, c := range waiting {
		_ = c.Close()
	}
	return err
}

// Close frees the place.
func (c *httpConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// NetConn returns the connection below.
func (c *httpConn) NetConn() net.Conn { return c.Conn }

// CloseWrite is there for net/http.
func (c *httpConn) CloseWrite() error { return closeWrite(c.Conn) }

func (c *httpConn) leave() {
	l := c.of
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.gone {
		return
	}
	c.gone = true
	l.open--
	c.move(false)
	c.count(false)
}

// move puts the connection at the end of those that wait, or takes it away from them. Called with the lock held.
func (c *httpConn) move(waits bool) {
	switch {
	case waits && c.place == nil && !c.gone:
		c.place = c.of.waiting.PushBack(c)
	case !waits && c.place != nil:
		c.of.waiting.Remove(c.place)
		c.place = nil
	}
}

// count has its network address count it, or no longer. Called with the lock held.
func (c *httpConn) count(yes bool) {
	v := c.of.visitors
	if v == nil || c.counted == yes || yes && c.gone {
		return
	}
	c.counted = yes
	if yes {
		v.waitAgain(c.from)
	} else {
		v.loggedIn(c.from)
	}
}

// state follows http.Server.ConnState.
func (l *httpConns) state(n net.Conn, s http.ConnState) {
	c := n.(*httpConn)
	switch s {
	case http.StateHijacked:
		c.leave()
	case http.StateActive: // the first octet of a request
		l.mu.Lock()
		defer l.mu.Unlock()
		c.count(true)
	case http.StateIdle: // answered
		l.mu.Lock()
		defer l.mu.Unlock()
		c.count(false)
		c.move(true)
	}
}

// answering marks connections whose request has come as far as its handler.
func (l *httpConns) answering(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := r.Context().Value(httpConnKey{}).(*httpConn)
		l.mu.Lock()
		c.move(false)
		l.mu.Unlock()
		h.ServeHTTP(w, r)
	})
}

type httpConnKey struct{}

// known is http.Server.ConnContext.
func (l *httpConns) known(ctx context.Context, n net.Conn) context.Context {
	return webContext(context.WithValue(ctx, httpConnKey{}, n), n)
}
