package clienttest

import (
	"io"
	"net"
	"sync"
	"time"
)

// A link is a connection that can be made dead: open, and nothing passes.
type link struct {
	net.Conn       // not *net.TCPConn, whose further methods would pass by Write
	frozen, closed chan struct{}
	freezing       sync.Once
	closing        sync.Once
}

func newLink(conn net.Conn) *link {
	return &link{Conn: conn, frozen: make(chan struct{}), closed: make(chan struct{})}
}

func (l *link) freeze() { l.freezing.Do(func() { close(l.frozen) }) }

func (l *link) dead() bool {
	select {
	case <-l.frozen:
		return true
	default:
		return false
	}
}

// Read of a dead link waits for its end.
func (l *link) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if l.dead() {
		<-l.closed
		return 0, net.ErrClosed
	}
	return n, err
}

// Write to a dead link goes nowhere.
func (l *link) Write(b []byte) (int, error) {
	if l.dead() {
		return len(b), nil
	}
	return l.Conn.Write(b)
}

// Close closes the connection. That of a living link returns when the broker has closed its side, too, and so knows of the end.
func (l *link) Close() (err error) {
	const enough = 5 * time.Second
	l.closing.Do(func() {
		close(l.closed)
		if tcp, ok := l.Conn.(*net.TCPConn); ok && !l.dead() && tcp.CloseWrite() == nil && l.SetReadDeadline(time.Now().Add(enough)) == nil {
			_, _ = io.Copy(io.Discard, l.Conn) // an error is an end as well
		}
		err = l.Conn.Close()
	})
	return err
}
