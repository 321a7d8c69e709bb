package hooks

import (
	"errors"
	"time"

	"github.com/seed-7a41469f/godwit/delivery"
)

// A ring holds the publishes of a connection that are not acknowledged yet, oldest first. It is the receive window: acknowledgements leave from
// its head, so they leave in the order of the publishes (MQTT 5 §4.6), refusals included.
type ring struct {
	slots []*slot // a power of two, so that head and tail may run over
	head  uint32
	tail  uint32
}

// A slot is one publish. Slots are used again: a publish costs no allocation here.
type slot struct {
	c        *conn
	id       delivery.ID
	packetID uint16
	code     byte
	qos2     bool
	answered bool
}

var _ delivery.Acceptor = (*slot)(nil)

func (r *ring) len() int { return int(r.tail - r.head) }

func (r *ring) at(i uint32) *slot { return r.slots[i&uint32(len(r.slots)-1)] }

func (r *ring) push(c *conn) *slot {
	if r.len() == len(r.slots) {
		r.grow(c)
	}
	s := r.at(r.tail)
	r.tail++
	*s = slot{c: c}
	return s
}

func (r *ring) grow(c *conn) {
	size := max(8, 2*len(r.slots))
	slots := make([]*slot, 0, size)
	for i := r.head; i != r.tail; i++ {
		slots = append(slots, r.at(i))
	}
	block := make([]slot, size-len(slots))
	r.head, r.tail = 0, uint32(len(slots))
	for i := range block {
		slots = append(slots, &block[i])
	}
	r.slots = slots
}

// claim takes the next place in the receive window for a publish of QoS 1 or 2. On MQTT 5 a client that has no place left broke the rules, and
// ok is false (§3.3.4: 0x93); on 3.1.1 it cannot know them and waits. ok is false as well when the connection ends.
func (c *conn) claim(packetID uint16, qos2 bool) (s *slot, held time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	open := func() int { return c.ring.len() }
	if c.version >= 5 {
		open = func() int { return c.ring.len() + c.released }
		if open() >= c.hook.window {
			return nil, 0, false
		}
	}
	held = c.await(func() bool { return open() < c.hook.window })
	if c.closing {
		return nil, held, false
	}
	s = c.ring.push(c)
	s.packetID, s.qos2 = packetID, qos2
	if qos2 {
		if c.exactly == nil {
			c.exactly = map[uint16]bool{}
		}
		c.exactly[packetID] = false
	}
	return s, held, true
}

// claim0 does the same for QoS 0, of which the engine holds no more than a window either.
func (c *conn) claim0() (held time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	held = c.await(func() bool { return c.atMost0 < c.hook.window })
	if c.closing {
		return held, false
	}
	c.atMost0++
	return held, true
}

// drained waits until everything published is acknowledged: what mochi acknowledges itself may not overtake it.
func (c *conn) drained() (held time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	held = c.await(func() bool { return c.ring.len() == 0 })
	return held, !c.closing
}

// await waits for room, or for the end of the connection, and returns how long. Called with mu held, by the reading goroutine.
func (c *conn) await(room func() bool) time.Duration {
	if room() || c.closing {
		return 0
	}
	began := time.Now()
	for c.waiting = true; !room() && !c.closing; {
		c.space.Wait()
	}
	c.waiting = false
	return time.Since(began)
}

// Accepted implements delivery.Acceptor.
func (s *slot) Accepted(m *delivery.Message, err error) {
	c := s.c
	code, id, kept := outcome(m, err)
	if !kept && (c.version < 5 || errors.Is(err, delivery.ErrStopped)) {
		c.withhold(m, err)
		return
	}
	if !kept {
		c.hook.notKept(err)
	}
	c.settle(s, code, id)
	if kept {
		c.hook.stalled.storing()
	}
}

// outcome is how the engine's answer looks to an MQTT 5 client; kept false: the store did not take it.
func outcome(m *delivery.Message, err error) (code byte, id delivery.ID, kept bool) {
	var known *delivery.Known
	switch {
	case err == nil:
		return 0, m.ID, true
	case errors.As(err, &known):
		return 0, known.ID, true
	case errors.Is(err, delivery.ErrDisk):
		return codeQuota, id, false
	}
	return codeUnspecified, id, false
}

// settle answers a publish and lets go every acknowledgement that no older publish holds back.
func (c *conn) settle(s *slot, code byte, id delivery.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.answered, s.code, s.id = true, code, id
	if s != c.ring.at(c.ring.head) {
		return
	}
	if c.finished {
		return
	}
	out := c.buffer()
	for c.ring.len() > 0 {
		s := c.ring.at(c.ring.head)
		if !s.answered {
			break
		}
		c.ring.head++
		out = c.acknowledge(out, s)
	}
	c.out = out
	if c.waiting {
		c.space.Broadcast()
	}
	c.wake()
}

func (c *conn) acknowledge(out []byte, s *slot) []byte {
	if !s.qos2 {
		return c.appendAck(out, typePuback, s.packetID, s.code, s.id)
	}
	if s.code >= codeUnspecified && c.version >= 5 {
		delete(c.exactly, s.packetID) // the flow ends here (MQTT 5 §4.3.3)
	} else if sent, open := c.exactly[s.packetID]; open && !sent {
		c.exactly[s.packetID] = true
		c.released++
	}
	return c.appendAck(out, typePubrec, s.packetID, s.code, s.id)
}

// repeated reports whether a QoS 2 publish is one whose PUBREL has not come: it is not a second message (MQTT 5 §4.3.3). Its PUBREC, if it was
// sent already, is sent again, in its turn.
func (c *conn) repeated(packetID uint16) bool {
	c.mu.Lock()
	sent, open := c.exactly[packetID]
	c.mu.Unlock()
	if !open || !sent {
		return open
	}
	if s, _, ok := c.reclaim(packetID); ok {
		c.settle(s, 0, delivery.ID{})
	}
	return true
}

// reclaim is claim for a PUBREC that is sent again: the publish counts in the window already.
func (c *conn) reclaim(packetID uint16) (s *slot, held time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	held = c.await(func() bool { return c.ring.len() < c.hook.window })
	if c.closing {
		return nil, held, false
	}
	s = c.ring.push(c)
	s.packetID, s.qos2 = packetID, true
	return s, held, true
}

// complete ends a QoS 2 flow at its PUBREL; false: it is none of ours.
func (c *conn) complete(packetID uint16) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	sent, ok := c.exactly[packetID]
	if !ok || !sent {
		return false
	}
	delete(c.exactly, packetID)
	c.released--
	if c.waiting {
		c.space.Broadcast()
	}
	return true
}

// A zeroAcceptor answers for a connection's QoS 0 publishes, to which nobody is told what became of them.
type zeroAcceptor struct{ c *conn }

var _ delivery.Acceptor = (*zeroAcceptor)(nil)

// Accepted implements delivery.Acceptor.
func (z *zeroAcceptor) Accepted(_ *delivery.Message, err error) {
	if _, _, kept := outcome(&delivery.Message{}, err); !kept {
		z.c.hook.notKept(err)
	}
	c := z.c
	c.mu.Lock()
	c.atMost0--
	if c.waiting {
		c.space.Broadcast()
	}
	c.mu.Unlock()
}
