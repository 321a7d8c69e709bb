package loadgen

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed-7a41469f/godwit/clienttest/raw"
)

// pairs are senders and receivers, i to i, that share a run and a clock.
type pairs struct {
	target    Target
	clock     clock
	run       uint32
	receivers []*receiver
	senders   []*sender
	group     *errgroup.Group
	ctx       context.Context // of the group: done when one of its connections broke
}

// newPairs returns pairs without connections. What it starts ends when close is called or ctx is done.
func newPairs(ctx context.Context, t Target) *pairs {
	p := &pairs{target: t, clock: clock{base: time.Now()}, run: rand.Uint32()}
	p.group, p.ctx = errgroup.WithContext(ctx)
	return p
}

const (
	receiverBuffer = 64 << 10
	senderBuffer   = 16 << 10
)

// addReceiver books what comes to conn for the i-th receiver.
func (p *pairs) addReceiver(conn *raw.Conn, i, payload int, since int64) {
	r := &receiver{
		conn: conn, run: p.run, index: uint32(i), clock: p.clock, since: since,
		size: payload, pad: newPayload(payload)[StampSize:],
		full: make(chan struct{}), pong: make(chan struct{}, 1),
	}
	p.receivers = append(p.receivers, r)
	p.start(r.loop, conn)
}

// addSender lets the i-th sender publish through conn once it is allowed to.
func (p *pairs) addSender(conn *raw.Conn, i, payload, window int) *sender {
	s := p.newSender(conn, i, payload, window)
	p.start(s.run, conn)
	return s
}

func (p *pairs) newSender(conn *raw.Conn, i, payload, window int) *sender {
	s := &sender{
		conn: conn, topic: p.target.template(i), stamp: Stamp{Run: p.run, Sender: uint32(i)}, clock: p.clock,
		window: uint64(min(window, int(conn.Connack.ReceiveMaximum))), payload: newPayload(payload), done: make(chan struct{}),
	}
	p.senders = append(p.senders, s)
	return s
}

func (p *pairs) start(loop func() error, conn *raw.Conn) {
	p.group.Go(func() error {
		defer context.AfterFunc(p.ctx, func() { conn.Drop() })()
		return loop()
	})
}

func (p *pairs) received() (n uint64) {
	for _, r := range p.receivers {
		n += r.received()
	}
	return n
}

func (p *pairs) answers() (n uint64) {
	for _, s := range p.senders {
		n += s.answers()
	}
	return n
}

// waitAnswered waits until every sender has got its answers, or no more came for settle.
func (p *pairs) waitAnswered(settle time.Duration) error {
	for _, s := range p.senders {
		if err := p.waitFor(s.done, p.answers, settle); err != nil {
			return err
		}
	}
	return nil
}

// waitReceived waits until every receiver has what its sender's PUBACKs promised, or nothing came for settle; then until each has
// answered a ping, so that duplicates which were already on their way are booked too.
func (p *pairs) waitReceived(settle time.Duration) error {
	for i, r := range p.receivers {
		s := p.senders[i]
		s.mu.Lock()
		promised := s.acked.n
		s.mu.Unlock()
		r.expect(promised)
	}
	for _, r := range p.receivers {
		if err := p.waitFor(r.full, p.received, settle); err != nil {
			return err
		}
	}
	return p.barrier(settle)
}

func (p *pairs) barrier(settle time.Duration) error {
	for _, r := range p.receivers {
		if err := r.ping(); err != nil {
			return fmt.Errorf("receiver %d: %w", r.index, err)
		}
	}
	for _, r := range p.receivers {
		select {
		case <-r.pong:
		case <-time.After(settle):
			return fmt.Errorf("receiver %d: no PINGRESP within %s", r.index, settle)
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		}
	}
	return nil
}

// waitFor waits for done, and gives up without an error when progress stood still for settle: what is missing will be counted.
func (p *pairs) waitFor(done <-chan struct{}, progress func() uint64, settle time.Duration) error {
	tick := time.NewTicker(settle)
	defer tick.Stop()
	for before := progress(); ; {
		select {
		case <-done:
			return nil
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		case <-tick.C:
			now := progress()
			if now == before {
				return nil
			}
			before = now
		}
	}
}

// close ends all connections and waits for their goroutines; the error is the first that a connection had by itself.
func (p *pairs) close() error {
	for _, s := range p.senders {
		s.close()
	}
	for _, r := range p.receivers {
		r.close()
	}
	return p.group.Wait()
}

// finish closes, and joins the error of the work with that of the connections, which is its cause when both are there.
func (p *pairs) finish(err error) error {
	if cerr := p.close(); cerr != nil && !errors.Is(err, cerr) {
		return errors.Join(cerr, err)
	}
	return err
}

func (p *pairs) tally() (t Tally) {
	for i, s := range p.senders {
		t.Add(tally(s, p.receivers[i]))
	}
	return t
}

func (p *pairs) latency() Quantiles {
	var h Histogram
	for _, r := range p.receivers {
		r.mu.Lock()
		h.Merge(&r.latency)
		r.mu.Unlock()
	}
	return h.Quantiles()
}

// endless is a limit that a sender never reaches.
const endless = math.MaxUint64
