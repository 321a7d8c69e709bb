// Package standin is a small MQTT broker with a journal that survives kill -9, and with faults on demand: it exists to check the checkers.
// A load generator or a kill loop that finds nothing wrong with an honest stand-in, and finds each fault that it is told to have, can be
// believed about a real broker. It knows Godwit's topics to/<address>[/<key>] and plain ones, QoS 1, one subscription and one device a user.
package standin

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest/raw"
)

// Faults are what the broker does wrong; a number n means every n-th time, 0 never.
type Faults struct {
	Lose         int // acknowledged, stored, never delivered
	Duplicate    int // delivered twice
	Swap         int // delivered after the message that follows it
	Damage       int // delivered with one byte changed
	Misroute     int // delivered to the user whose subscription is the oldest
	Refuse       int // answered with 0x97
	StallAt      int // this publish holds everything up for StallFor
	StallFor     time.Duration
	AckLate      time.Duration // no fault, but it widens the moment between storing and acknowledging
	AckEarly     bool          // acknowledged before it is stored
	CreateTwice  bool          // neither keys nor DUP are looked at
	LoseSessions bool          // after a restart nobody's session is present
}

// A Broker is a stand-in for one. Its fields are set before Serve.
type Broker struct {
	Journal string // file; "": nothing survives
	Faults  Faults

	mu      sync.Mutex
	wg      sync.WaitGroup
	conns   map[net.Conn]bool
	closed  bool
	file    io.WriteCloser
	early   *bufio.Writer // what AckEarly has not written yet
	users   map[string]*user
	oldest  *user
	created map[string]bool // what keys and DUP are compared with
	nextID  uint64

	publishes int
}

// A user has one session.
type user struct {
	name   string
	filter string // "": no subscription
	conn   *raw.Conn
	queue  []*entry // not acknowledged yet, in order
	last   uint16   // packet identifier
	held   *entry   // by Faults.Swap
}

type entry struct {
	id     uint64
	packet uint16 // 0: not sent on this connection
	again  bool   // sent on an earlier one
	topic  string
	body   []byte
}

// Serve reads the journal and serves connections until the listener is closed; then it waits for them.
func (b *Broker) Serve(ln net.Listener) error {
	b.conns, b.users, b.created = map[net.Conn]bool{}, map[string]*user{}, map[string]bool{}
	if err := b.open(); err != nil {
		return err
	}
	for {
		nc, err := ln.Accept()
		if err != nil {
			return errors.Join(b.stop(), ignoreClosed(err))
		}
		b.mu.Lock()
		b.conns[nc] = true
		b.mu.Unlock()
		b.wg.Go(func() { b.serve(nc) })
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (b *Broker) stop() error {
	b.mu.Lock()
	b.closed = true
	for nc := range b.conns {
		nc.Close()
	}
	b.mu.Unlock()
	b.wg.Wait()
	if b.file == nil {
		return nil
	}
	return b.file.Close()
}

// serve speaks with one client; whatever goes wrong ends its connection, as a broker's rule is.
func (b *Broker) serve(nc net.Conn) {
	defer b.forget(nc)
	conn := &raw.Conn{Conn: nc, Reader: raw.NewReader(nc, 4<<10, 1<<20)}
	f, err := conn.Next()
	if err != nil || f.Type != raw.CONNECT {
		return
	}
	c, err := f.Connect()
	if err != nil {
		return
	}
	conn.Version = c.Version
	u, err := b.connect(conn, c)
	for err == nil {
		if f, err = conn.Next(); err == nil {
			err = b.handle(u, conn, f)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if u != nil && u.conn == conn {
		u.conn = nil
	}
}

func (b *Broker) forget(nc net.Conn) {
	nc.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.conns, nc)
}

func (b *Broker) connect(conn *raw.Conn, c raw.Connect) (*user, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, net.ErrClosed
	}
	u := b.user(c.Username)
	if u.conn != nil {
		u.conn.Drop()
	}
	if c.Clean {
		u.filter, u.queue, u.held = "", nil, nil
	}
	u.conn = conn
	if _, err := conn.Write(raw.AppendConnack(nil, c.Version, u.filter != "", 0)); err != nil {
		return u, err
	}
	for _, e := range u.queue {
		e.again, e.packet = e.again || e.packet != 0, 0
		if err := u.push(e); err != nil {
			return u, err
		}
	}
	return u, nil
}

func (b *Broker) user(name string) *user {
	if b.users[name] == nil {
		b.users[name] = &user{name: name}
	}
	return b.users[name]
}

func (b *Broker) handle(u *user, conn *raw.Conn, f raw.Frame) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch f.Type {
	case raw.PUBLISH:
		return b.publish(u, conn, f)
	case raw.PUBACK:
		return b.acknowledge(u, f)
	case raw.SUBSCRIBE:
		return b.subscribe(u, conn, f)
	case raw.PINGREQ:
		_, err := conn.Write(raw.AppendPingresp(nil))
		return err
	case raw.DISCONNECT:
		return io.EOF
	}
	return fmt.Errorf("packet type %d", f.Type)
}

func (b *Broker) subscribe(u *user, conn *raw.Conn, f raw.Frame) error {
	id, filter, err := f.Subscribe(conn.Version)
	if err != nil {
		return err
	}
	b.subscribed(u, filter)
	if err := b.write(record{Op: opSubscribe, To: u.name, Topic: filter}); err != nil {
		return err
	}
	_, err = conn.Write(raw.AppendSuback(nil, conn.Version, id, 1))
	return err
}

func (b *Broker) subscribed(u *user, filter string) {
	u.filter = filter
	if b.oldest == nil {
		b.oldest = u
	}
}

func (b *Broker) acknowledge(u *user, f raw.Frame) error {
	id, _, err := f.Puback()
	if err != nil {
		return err
	}
	for i, e := range u.queue {
		if e.packet == id {
			u.queue = append(u.queue[:i:i], u.queue[i+1:]...)
			return b.write(record{Op: opAck, To: u.name, ID: e.id})
		}
	}
	return nil
}
