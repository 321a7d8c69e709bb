package loadgen

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/seed-7a41469f/godwit/clienttest/raw"
)

// A sender publishes at QoS 1 and keeps so many messages in flight. Its packet identifiers run through 1 to 65535 in turn, so that the
// identifier in a PUBACK tells the sequence.
type sender struct {
	conn   *raw.Conn
	topic  raw.Template
	stamp  Stamp
	window uint64
	clock  clock
	due    func(seq uint64) int64 // when a message was to be sent; nil: now

	to      func(seq uint64) raw.Template // nil: topic for all
	receipt func(raw.Publish) error       // takes what comes to the sender itself; nil: it is counted

	mu       sync.Mutex
	payload  []byte
	buf      []byte
	limit    uint64 // sequences below it may be sent
	last     bool   // limit will not grow any more
	sent     uint64
	acked    seqset // PUBACK with success
	answered seqset // any PUBACK
	strange  uint64 // PUBACKs for what was not in flight
	receipts uint64 // what came to the sender itself
	over     bool
	done     chan struct{} // closed when all that may be sent is answered

	closing atomic.Bool
}

const idSpace = 65535

func (s *sender) nextID() uint16 { return uint16(s.sent%idSpace) + 1 }

// sequence returns the sequence that was last sent under id.
func (s *sender) sequence(id uint16) (uint64, bool) {
	if id == 0 || s.sent == 0 {
		return 0, false
	}
	last := (s.sent - 1) % idSpace
	back := (last + idSpace - uint64(id-1)) % idSpace
	if back >= s.sent {
		return 0, false
	}
	return s.sent - 1 - back, true
}

// allow lets the sender send up to limit; last says that this is all.
func (s *sender) allow(limit uint64, last bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit, s.last = limit, last
	return s.pump()
}

// stop makes what is due by now all there is; without due times that is what has been sent.
func (s *sender) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = true
	if s.due == nil {
		s.limit = s.sent
	}
	s.finish()
}

// pump writes, in one write, what limit and window allow. The write is under the lock, so the order on the wire is that of the sequences;
// a window fits into the socket's buffers, so it does not wait for the broker for long.
func (s *sender) pump() error {
	s.buf = s.buf[:0]
	now := s.clock.now()
	for s.sent < s.limit && s.sent-s.answered.n < s.window && s.sent-s.answered.low < idSpace {
		st := s.stamp
		st.Seq, st.At = s.sent, now
		if s.due != nil {
			st.At = s.due(s.sent)
		}
		st.Put(s.payload)
		topic := s.topic
		if s.to != nil {
			topic = s.to(s.sent)
		}
		s.buf = topic.Append(s.buf, s.nextID(), false, s.payload)
		s.sent++
	}
	s.finish()
	if len(s.buf) == 0 {
		return nil
	}
	_, err := s.conn.Write(s.buf)
	return err
}

func (s *sender) finish() {
	if s.last && !s.over && s.sent == s.limit && s.answered.n == s.sent {
		s.over = true
		close(s.done)
	}
}

// run reads until the connection ends; that is an error unless close was called.
func (s *sender) run() error {
	err := s.conn.Loop(s.batch)
	if s.closing.Load() {
		return nil
	}
	return fmt.Errorf("sender %d: %w", s.stamp.Sender, err)
}

// batch takes f and what was read together with it, then sends what that has made room for.
func (s *sender) batch(f raw.Frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var acks []byte
	for {
		var err error
		if acks, err = s.take(f, acks); err != nil {
			return err
		}
		if !s.conn.Ready() {
			break
		}
		if f, err = s.conn.Next(); err != nil {
			return err
		}
	}
	if len(acks) > 0 {
		if _, err := s.conn.Write(acks); err != nil {
			return err
		}
	}
	return s.pump()
}

func (s *sender) take(f raw.Frame, acks []byte) ([]byte, error) {
	switch f.Type {
	case raw.PUBACK:
		id, reason, err := f.Puback()
		if err == nil {
			s.answer(id, reason)
		}
		return acks, err
	case raw.PUBLISH:
		p, err := f.Publish(s.conn.Version)
		s.receipts++
		if err == nil && s.receipt != nil {
			err = s.receipt(p)
		}
		if p.QoS == 1 {
			acks = raw.AppendPuback(acks, p.ID)
		}
		return acks, err
	}
	return acks, fmt.Errorf("packet type %d came to a sender", f.Type)
}

func (s *sender) answer(id uint16, reason byte) {
	seq, ok := s.sequence(id)
	if !ok || !s.answered.add(seq) {
		s.strange++
		return
	}
	if reason < 0x80 {
		s.acked.add(seq)
	}
}

func (s *sender) answers() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answered.n
}

func (s *sender) close() {
	s.closing.Store(true)
	s.conn.Close()
}
