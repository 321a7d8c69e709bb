package broker

import (
	"container/list"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
)

// maxHTTP is how many connections one HTTP port has at a time; each costs about 20 KiB. WebSockets do not count: they are MQTT's.
const maxHTTP = 4096

// httpConns are the connections of an HTTP port. When there are as many as there may be, the one that has waited longest for its client gives way
// to a new one: idle ones, those that send a header or a body octet by octet, and those that do not read their answer, never keep a client out. One
// whose request is being worked on never gives way. Those not answered yet count as not logged in.
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
	answer  bool          // it waits for its client to read the answer
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

// stop closes what waits for a whole request, and what comes from now on.
func (l *httpConns) stop() {
	l.mu.Lock()
	l.stopped = true
	var all []*httpConn
	for e := l.waiting.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*httpConn); !c.answer {
			all = append(all, c)
		}
	}
	l.mu.Unlock()
	for _, c := range all {
		_ = c.Close()
	}
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
		c.answer = false
		c.move(false) // to the end, also if its body was not read
		c.move(true)
	}
}

// answering marks connections whose request has come whole.
func (l *httpConns) answering(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := r.Context().Value(httpConnKey{}).(*httpConn)
		if r.Body == http.NoBody {
			c.whole()
		} else {
			coming := *r // net/http looks at the body of its own
			coming.Body = &comingBody{r.Body, c}
			r = &coming
		}
		h.ServeHTTP(&leavingAnswer{ResponseWriter: w, c: c}, r)
	})
}

// whole notes that nothing of the request is missing.
func (c *httpConn) whole() {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.move(false)
}

// A comingBody tells its connection when it has come to its end.
type comingBody struct {
	io.ReadCloser
	c *httpConn
}

func (b *comingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.c.whole()
	}
	return n, err
}

// A leavingAnswer makes its connection wait again once the answer is known: the client may be slow to read it.
type leavingAnswer struct {
	http.ResponseWriter
	c     *httpConn
	begun bool
}

// WriteHeader implements http.ResponseWriter.
func (a *leavingAnswer) WriteHeader(code int) {
	a.begin()
	a.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (a *leavingAnswer) Write(b []byte) (int, error) {
	a.begin()
	return a.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController find the connection.
func (a *leavingAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *leavingAnswer) begin() {
	if a.begun {
		return
	}
	a.begun = true
	a.c.of.mu.Lock()
	defer a.c.of.mu.Unlock()
	if a.c.place == nil {
		a.c.answer = true
		a.c.move(true)
	}
}

type httpConnKey struct{}

// known is http.Server.ConnContext.
func (l *httpConns) known(ctx context.Context, n net.Conn) context.Context {
	return webContext(context.WithValue(ctx, httpConnKey{}, n), n)
}
