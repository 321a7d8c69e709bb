package hooks

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-7a41469f/godwit/delivery"
)

// MQTT 3.1.1 has no way to say that a message was not stored. Such a publish is not acknowledged while the trouble lasts and its connection
// stays; once storing works again the connection is closed, so that the client connects and sends it again.

// probeEvery is how often one stalled message is tried when no other publish tells whether storing works.
const probeEvery = time.Second

// stalled are the connections with publishes that could not be stored.
type stalled struct {
	any     atomic.Bool
	mu      sync.Mutex
	conns   map[*conn]*delivery.Message // with one message to try
	probing bool
}

func (s *stalled) add(c *conn, m *delivery.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		s.conns = map[*conn]*delivery.Message{}
	}
	if _, ok := s.conns[c]; !ok {
		s.conns[c] = m
	}
	s.any.Store(true)
}

func (s *stalled) remove(c *conn) {
	if !s.any.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.any.Store(len(s.conns) > 0)
}

// storing tells that something was stored: who waits may send again.
func (s *stalled) storing() {
	if !s.any.Load() {
		return
	}
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	s.any.Store(false)
	s.mu.Unlock()
	for c := range conns {
		c.mu.Lock()
		c.shut()
		c.mu.Unlock()
	}
}

// probe returns a message to try, and the device that sent it, when there is one and none is being tried.
func (s *stalled) probe() (*delivery.Message, *delivery.Device) {
	if !s.any.Load() {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.probing {
		return nil, nil
	}
	for c, m := range s.conns {
		s.probing = true
		return asked(m), c.device
	}
	return nil, nil
}

func (s *stalled) probed() {
	s.mu.Lock()
	s.probing = false
	s.mu.Unlock()
}

// asked returns what was asked of a message that was not stored, to be tried anew. Its Origin makes the client's own second attempt the same one.
func asked(m *delivery.Message) *delivery.Message {
	return &delivery.Message{
		From: m.From, To: m.To, Root: m.Root, SMSPolicy: m.SMSPolicy, Key: m.Key, Reply: m.Reply, Wait: m.Wait, Receipts: m.Receipts,
		Payload: m.Payload, Expires: m.Expires, Origin: m.Origin,
	}
}

// withhold leaves a publish without an acknowledgement, and with it all later ones of the connection.
func (c *conn) withhold(m *delivery.Message, err error) {
	if errors.Is(err, delivery.ErrStopped) {
		return // the connection is about to be closed
	}
	c.hook.notKept(err)
	c.hook.stalled.add(c, m)
}

// A probeAcceptor learns whether storing works again.
type probeAcceptor struct{ h *Hook }

var _ delivery.Acceptor = probeAcceptor{}

// Accepted implements delivery.Acceptor.
func (p probeAcceptor) Accepted(m *delivery.Message, err error) {
	p.h.stalled.probed()
	if _, _, kept := outcome(m, err); kept {
		p.h.stalled.storing()
	}
}

// notKept counts what the store did not take.
func (h *Hook) notKept(err error) {
	switch {
	case errors.Is(err, delivery.ErrStopped):
	case errors.Is(err, delivery.ErrDisk):
		h.stats.refuse(RefusedDisk)
	default:
		h.stats.refuse(RefusedStore)
	}
}
