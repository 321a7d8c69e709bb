package killloop

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest/raw"
)

// A receiver has one persistent session over as many connections as it takes; it books everything before it acknowledges it.
type receiver struct {
	c      Config
	addr   string
	index  int
	ledger *Ledger
	random *rand.Rand

	subscribed bool
	connects   int
	aways      int
	acks       []byte
	staying    chan struct{} // closed by stay

	mu   sync.Mutex
	conn *raw.Conn
	up   chan struct{} // closed while there is a connection in use
	pong chan struct{} // nil: nobody waits
}

func newReceiver(c Config, addr string, i int, l *Ledger) *receiver {
	return &receiver{
		c: c, addr: addr, index: i, ledger: l, random: rand.New(rand.NewPCG(c.Seed, uint64(i)+1)),
		staying: make(chan struct{}), up: make(chan struct{}),
	}
}

// stay ends the being away.
func (r *receiver) stay() { close(r.staying) }

// run connects again and again until ctx ends; first is closed when the first subscription stands.
func (r *receiver) run(ctx context.Context, first chan<- struct{}) error {
	user := r.c.user('r', r.index)
	login := raw.Connect{Version: r.c.Version, ClientID: user, Username: user, Password: r.c.Password, SessionExpiry: sessionExpiry}
	for ctx.Err() == nil {
		conn, err := raw.Dialer{}.Dial(ctx, r.addr, login)
		if err != nil {
			pause(ctx, retry)
			continue
		}
		r.connects++
		if r.serve(ctx, conn, first) {
			r.aways++
			r.pause(ctx)
		}
	}
	return nil
}

// serve takes what comes until the connection ends; true when we ended it ourselves.
func (r *receiver) serve(ctx context.Context, conn *raw.Conn, first chan<- struct{}) (left bool) {
	defer conn.Drop()
	defer context.AfterFunc(ctx, func() { conn.Drop() })()
	if err := r.subscribe(conn, first); err != nil {
		return false
	}
	r.use(conn)
	leave := time.AfterFunc(r.duration(), func() {
		select {
		case <-r.staying:
		default:
			conn.Drop()
		}
	})
	_ = conn.Loop(func(f raw.Frame) error { return r.batch(conn, f) }) // whatever ended it: the session goes on
	r.unuse()
	return !leave.Stop()
}

func (r *receiver) duration() time.Duration {
	return 1 + time.Duration(r.random.Int64N(int64(r.c.Away)))
}

// pause is being away.
func (r *receiver) pause(ctx context.Context) {
	select {
	case <-time.After(r.duration()):
	case <-r.staying:
	case <-ctx.Done():
	}
}

// subscribe does so when there is no subscription yet. From then on the server must remember it.
func (r *receiver) subscribe(conn *raw.Conn, first chan<- struct{}) error {
	if r.subscribed && conn.Connack.SessionPresent {
		return nil
	}
	if r.subscribed {
		r.ledger.SessionLost(r.index)
	}
	if err := conn.Subscribe("u/" + r.c.user('r', r.index) + "/#"); err != nil {
		return err
	}
	if !r.subscribed {
		r.subscribed = true
		close(first)
	}
	return nil
}

func (r *receiver) use(conn *raw.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conn = conn
	close(r.up)
}

func (r *receiver) unuse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conn = nil
	r.up = make(chan struct{})
}

// await waits until the receiver is connected.
func (r *receiver) await(ctx context.Context, within time.Duration) error {
	r.mu.Lock()
	up := r.up
	r.mu.Unlock()
	select {
	case <-up:
		return nil
	case <-time.After(within):
		return fmt.Errorf("receiver %d did not connect within %s of the last start of the server", r.index, within)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *receiver) batch(conn *raw.Conn, f raw.Frame) error {
	r.acks = r.acks[:0]
	for {
		if err := r.take(conn.Version, f); err != nil {
			return err
		}
		if !conn.Ready() {
			break
		}
		var err error
		if f, err = conn.Next(); err != nil {
			return err
		}
	}
	_, err := conn.Write(r.acks)
	return err
}

func (r *receiver) take(version byte, f raw.Frame) error {
	switch f.Type {
	case raw.PUBLISH:
		p, err := f.Publish(version)
		if err != nil {
			return err
		}
		r.book(string(p.Topic), string(p.Payload))
		if p.QoS == 1 {
			r.acks = raw.AppendPuback(r.acks, p.ID)
		}
		return nil
	case raw.PINGRESP:
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.pong != nil {
			close(r.pong)
			r.pong = nil
		}
		return nil
	}
	return fmt.Errorf("packet type %d came to a receiver", f.Type)
}

// book takes u/<me>/in/<from>/<id>; when the message went out as an SMS meanwhile, it is seen/ instead of in/.
func (r *receiver) book(topic, text string) {
	sender, to, seq, err := readPayload(text)
	parts := strings.Split(topic, "/")
	if err != nil || to != r.index || len(parts) != 5 || parts[1] != r.c.user('r', to) || parts[3] != r.c.user('s', sender) {
		r.ledger.Misrouted(r.index, topic)
		return
	}
	r.ledger.Arrived(Pair{sender, to}, seq, parts[4])
}

// barrier returns once the server has answered a ping: what it had written before is then booked.
func (r *receiver) barrier(ctx context.Context, within time.Duration) error {
	pong := make(chan struct{})
	r.mu.Lock()
	r.pong = pong
	conn := r.conn
	r.mu.Unlock()
	if conn == nil {
		return fmt.Errorf("receiver %d is not connected after the last start of the server", r.index)
	}
	if _, err := conn.Write(raw.AppendPingreq(nil)); err != nil {
		return fmt.Errorf("receiver %d: %w", r.index, err)
	}
	select {
	case <-pong:
		return nil
	case <-time.After(within):
		return fmt.Errorf("receiver %d got no PINGRESP within %s", r.index, within)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func payload(sender, receiver int, seq uint64) []byte {
	return fmt.Appendf(nil, "kill %d %d %d", sender, receiver, seq)
}

func readPayload(text string) (sender, receiver int, seq uint64, err error) {
	f := strings.Fields(text)
	if len(f) != 4 || f[0] != "kill" {
		return 0, 0, 0, errors.New("not a message of ours")
	}
	sender, err1 := strconv.Atoi(f[1])
	receiver, err2 := strconv.Atoi(f[2])
	seq, err3 := strconv.ParseUint(f[3], 10, 64)
	return sender, receiver, seq, errors.Join(err1, err2, err3)
}
