package broker

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/config"
)

const (
	subprotocol = "mqtt" // MQTT 5 §6.0.0-4
	frameReader = 128    // octets: idle connections are many, and what is longer goes past the buffer
	frameWriter = 256
	lastWords   = time.Second     // for the closing handshake, RFC 6455 §7.1.1
	closeAtMost = 2 * time.Second // after the last read, for what is still to be written; the hooks take less
)

// webSockets answers GET /mqtt: MQTT over WebSocket (RFC 6455, MQTT 5 §6). A client that asks properly becomes a connection of the Listener, with
// the same login, limits and stop as one over TCP.
type webSockets struct {
	listener    *Listener
	behindProxy bool // which ends TLS
}

// serve is a route. Host and Origin were looked at before.
func (s *webSockets) serve(w http.ResponseWriter, r *http.Request) error {
	if p := s.refusal(r); p != nil {
		return p
	}
	up := &upgrade{ResponseWriter: w}
	ws, err := websocket.Accept(up, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}, InsecureSkipVerify: true})
	if err != nil {
		return nil // it has been answered
	}
	ws.SetReadLimit(-1) // a message is read as a stream: the limit is that of the packets in it
	c := &webSocket{Conn: up.conn, ws: ws, from: address(r.RemoteAddr), status: websocket.StatusGoingAway, closed: make(chan struct{})}
	if !s.listener.Attach(c) {
		_ = ws.CloseNow()
	}
	return nil
}

// refusal says why a request does not become a connection; nil: it may.
func (s *webSockets) refusal(r *http.Request) *api.Problem {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(r.Header.Get("Sec-WebSocket-Key")))
	switch {
	case r.ProtoMajor != 1 || r.ProtoMinor != 1 || !lists(r.Header, "Connection", "upgrade") || !lists(r.Header, "Upgrade", "websocket"):
		return api.NewProblem(http.StatusUpgradeRequired, api.CodeBadRequest, "this is where MQTT over WebSocket begins (RFC 6455, over HTTP/1.1)").
			With("Connection", "Upgrade").With("Upgrade", "websocket") // RFC 9110 §15.5.22
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		return api.NewProblem(http.StatusUpgradeRequired, api.CodeBadRequest, "the WebSocket version is 13").With("Sec-WebSocket-Version", "13") // RFC 6455 §4.4
	case err != nil || len(key) != 16 || len(r.Header.Values("Sec-WebSocket-Key")) != 1:
		return api.NewProblem(http.StatusBadRequest, api.CodeBadRequest, "Sec-WebSocket-Key is not 16 octets in base64")
	case !lists(r.Header, "Sec-WebSocket-Protocol", subprotocol):
		return api.NewProblem(http.StatusBadRequest, api.CodeBadRequest, "Sec-WebSocket-Protocol does not name mqtt (MQTT 5 §6)")
	case !s.behindProxy && !api.Secure(r) && !config.IsLoopback(r.RemoteAddr):
		return api.NewProblem(http.StatusForbidden, api.CodeInsecure,
			"a token over plain HTTP can be read on the way; use wss://, or set listen.behind_proxy where a proxy ends TLS")
	case s.listener.Visitors.Refused(r.RemoteAddr):
		s.listener.refused(refusedAddress)
		return api.NewProblem(http.StatusTooManyRequests, api.CodeTooMany, "too many logins from this address failed; wait a second").With("Retry-After", "1")
	case s.listener.Visitors.full():
		s.listener.refused(refusedFull)
		return api.NewProblem(http.StatusServiceUnavailable, api.CodeUnavailable, "there are as many connections as limits.connections allows").With("Retry-After", "5")
	}
	return nil
}

// lists reports whether a header's list has a token, in any case (RFC 9110 §5.6.1).
func lists(h http.Header, name, token string) bool {
	for _, line := range h.Values(name) {
		for t := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// An upgrade keeps small buffers for a connection that stops being HTTP, instead of net/http's 8 KiB.
type upgrade struct {
	http.ResponseWriter
	conn *early
}

// Hijack implements http.Hijacker.
func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	b := make([]byte, rw.Reader.Buffered()) // a client may be faster than our answer is told to net/http
	if _, err := io.ReadFull(rw.Reader, b); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	u.conn = &early{conn, b}
	return u.conn, bufio.NewReadWriter(bufio.NewReaderSize(u.conn, frameReader), bufio.NewWriterSize(u.conn, frameWriter)), nil
}

// Unwrap lets http.ResponseController find the rest.
func (u *upgrade) Unwrap() http.ResponseWriter { return u.ResponseWriter }

// A webSocket is a connection whose stream travels in binary messages. Its deadlines are those of the connection below: coder/websocket's own
// NetConn costs four timers and contexts, and cannot write after a read has timed out.
type webSocket struct {
	net.Conn // below
	ws       *websocket.Conn
	from     address
	message  io.Reader // the one being read; the reading goroutine's
	status   websocket.StatusCode

	mu      sync.Mutex
	closing bool
	closed  chan struct{}
}

var _ finisher = (*webSocket)(nil)

// An address is that of a client, behind whatever proxy.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// RemoteAddr implements net.Conn.
func (c *webSocket) RemoteAddr() net.Addr { return c.from }

// Read reads what binary messages carry; where one ends says nothing about packets (MQTT 5 §6.0.0-2). A text message ends the connection (§6.0.0-1).
func (c *webSocket) Read(p []byte) (int, error) {
	for {
		if c.message == nil {
			kind, r, err := c.ws.Reader(context.Background())
			if err != nil {
				return 0, ended(err)
			}
			if kind != websocket.MessageBinary {
				c.status = websocket.StatusUnsupportedData
				return 0, errText
			}
			c.message = r
		}
		n, err := c.message.Read(p)
		if err == io.EOF {
			c.message, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

var errText = errors.New("a text message came: MQTT is sent in binary ones")

// ended makes a closing handshake the end of the stream.
func ended(err error) error {
	if websocket.CloseStatus(err) >= 0 {
		return io.EOF
	}
	return fmt.Errorf("websocket: %w", err)
}

// Write sends one message of one frame.
func (c *webSocket) Write(p []byte) (int, error) {
	if err := c.ws.Write(context.Background(), websocket.MessageBinary, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetReadDeadline implements net.Conn; once Close was called it does nothing.
func (c *webSocket) SetReadDeadline(t time.Time) error {
	return c.unlessClosing(func() error { return c.Conn.SetReadDeadline(t) })
}

// SetWriteDeadline implements net.Conn; once Close was called it does nothing.
func (c *webSocket) SetWriteDeadline(t time.Time) error {
	return c.unlessClosing(func() error { return c.Conn.SetWriteDeadline(t) })
}

// SetDeadline implements net.Conn; once Close was called it does nothing.
func (c *webSocket) SetDeadline(t time.Time) error {
	return c.unlessClosing(func() error { return c.Conn.SetDeadline(t) })
}

// unlessClosing keeps a deadline from taking back what Close has set.
func (c *webSocket) unlessClosing(set func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return net.ErrClosed
	}
	return set()
}

// Close ends reading and writing, and waits for nothing: it is called while locks are held. The rest is finish's.
func (c *webSocket) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return nil
	}
	c.closing = true
	close(c.closed)
	return c.Conn.SetDeadline(time.Now())
}

// finish implements finisher: it says why, waits a moment for the client's answer, and closes the connection below.
func (c *webSocket) finish() {
	late := time.NewTimer(closeAtMost)
	defer late.Stop()
	select {
	case <-c.closed: // by the hooks, who have written what was to be written
	case <-late.C:
		_ = c.Close()
	}
	_ = c.Conn.SetDeadline(time.Now().Add(lastWords))
	_ = c.ws.Close(c.status, "")
}
