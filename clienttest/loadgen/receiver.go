package loadgen

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest/raw"
)

// A receiver acknowledges everything and books every message.
type receiver struct {
	conn  *raw.Conn
	run   uint32
	index uint32 // its sender has the same
	size  int
	pad   []byte
	clock clock
	acks  []byte // of the batch at hand

	since int64 // latency is booked for what was due from here on

	mu      sync.Mutex
	seen    seqset
	highest uint64 // one above the highest sequence seen
	tally   Tally
	latency Histogram
	want    uint64
	wanted  bool
	full    chan struct{} // closed when want messages were seen

	pong    chan struct{}
	closing atomic.Bool
}

// loop reads until the connection ends; that is an error unless close was called.
func (r *receiver) loop() error {
	err := r.conn.Loop(r.batch)
	if r.closing.Load() {
		return nil
	}
	return fmt.Errorf("receiver %d: %w", r.index, err)
}

// batch books f and what was read together with it, and acknowledges all that in one write.
func (r *receiver) batch(f raw.Frame) error {
	if err := r.bookAll(f); err != nil {
		return err
	}
	if len(r.acks) == 0 {
		return nil
	}
	_, err := r.conn.Write(r.acks)
	return err
}

func (r *receiver) bookAll(f raw.Frame) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.now()
	r.acks = r.acks[:0]
	for {
		if err := r.take(f, now); err != nil {
			return err
		}
		if !r.conn.Ready() {
			break
		}
		var err error
		if f, err = r.conn.Next(); err != nil {
			return err
		}
	}
	r.check()
	return nil
}

func (r *receiver) take(f raw.Frame, now int64) error {
	switch f.Type {
	case raw.PUBLISH:
		p, err := f.Publish(r.conn.Version)
		if err != nil {
			return err
		}
		r.book(p.Payload, now)
		if p.QoS == 1 {
			r.acks = raw.AppendPuback(r.acks, p.ID)
		}
		return nil
	case raw.PINGRESP:
		r.pong <- struct{}{}
		return nil
	}
	return fmt.Errorf("packet type %d came to a receiver", f.Type)
}

// maxSeq bounds what a damaged sequence can make us allocate; 2^32 messages of one sender are more than a run has.
const maxSeq = 1 << 32

func (r *receiver) book(payload []byte, now int64) {
	s, ok := ReadStamp(payload)
	switch {
	case !ok || s.Run != r.run || s.Seq >= maxSeq:
		r.tally.Foreign++
	case s.Sender != r.index:
		r.tally.Misrouted++
	case len(payload) != r.size || !bytes.Equal(payload[StampSize:], r.pad):
		r.tally.Damaged++
	default:
		r.deliver(s, now)
	}
}

func (r *receiver) deliver(s Stamp, now int64) {
	if !r.seen.add(s.Seq) {
		r.tally.Duplicates++
		return
	}
	if s.Seq+1 < r.highest {
		r.tally.OutOfOrder++
	}
	r.highest = max(r.highest, s.Seq+1)
	if s.At >= r.since {
		r.latency.Record(time.Duration(now - s.At))
	}
}

// expect closes full as soon as n messages were seen.
func (r *receiver) expect(n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.want, r.wanted = n, true
	r.check()
}

func (r *receiver) check() {
	if r.wanted && r.seen.n >= r.want {
		r.wanted = false
		close(r.full)
	}
}

func (r *receiver) received() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen.n
}

// ping asks for a PINGRESP on pong: what the broker had written before it has then been booked.
func (r *receiver) ping() error {
	_, err := r.conn.Write(raw.AppendPingreq(nil))
	return err
}

func (r *receiver) close() {
	r.closing.Store(true)
	r.conn.Close()
}
