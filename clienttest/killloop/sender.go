package killloop

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/seed-7a41469f/godwit/clienttest/raw"
)

// A sender publishes in turn to all receivers, over as many connections as it takes, and resends what is not acknowledged.
type sender struct {
	c      Config
	addr   string
	index  int
	ledger *Ledger
	slots  chan struct{} // one a message in flight

	mu       sync.Mutex
	conn     *raw.Conn
	seq      uint64
	packet   uint16
	open     []*message // in the order of their sequences
	finished bool
	over     bool
	resent   int
	connects int
	done     chan struct{} // closed when finished and nothing is open
}

// A way is how a message is recognised when it comes again; a sender uses them in turn.
type way uint64

const (
	dupWithoutKey way = iota // the same packet identifier, with DUP (MQTT 3.1.1 §4.4)
	dupWithKey
	keyOnly // a new packet identifier and no DUP, as a device does that has booted
	ways
)

type message struct {
	seq     uint64
	to      int
	packet  uint16
	written bool
	topic   raw.Template
}

func newSender(c Config, addr string, i int, l *Ledger) *sender {
	return &sender{c: c, addr: addr, index: i, ledger: l, slots: make(chan struct{}, c.Window), done: make(chan struct{})}
}

func (s *sender) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.connections(ctx) })
	g.Go(func() error { return s.produce(ctx) })
	return g.Wait()
}

// produce makes messages, at the rate and within the window, connected or not.
func (s *sender) produce(ctx context.Context) error {
	limit := rate.NewLimiter(rate.Limit(s.c.Rate), s.c.Window)
	for {
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		if limit.Wait(ctx) != nil {
			return nil
		}
		if !s.publish() {
			return nil
		}
	}
}

// publish reports whether there is more to publish. A write that fails is not its matter: the next connection resends.
func (s *sender) publish() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished {
		return false
	}
	m := &message{seq: s.seq, to: int(s.seq) % s.c.Receivers, packet: s.nextPacket()}
	m.topic = raw.NewTemplate(s.c.Version, s.topic(m), 1)
	s.seq++
	s.open = append(s.open, m)
	if s.conn != nil {
		_ = s.write(m)
	}
	return true
}

// nextPacket steps over identifiers that are in use.
func (s *sender) nextPacket() uint16 {
	for {
		s.packet = s.packet%65535 + 1
		if s.find(s.packet) < 0 {
			return s.packet
		}
	}
}

func (s *sender) find(packet uint16) int {
	for i, m := range s.open {
		if m.packet == packet {
			return i
		}
	}
	return -1
}

func (s *sender) way(m *message) way { return way(m.seq/uint64(s.c.Receivers)) % ways }

func (s *sender) topic(m *message) string {
	topic := "to/" + s.c.user('r', m.to)
	if s.way(m) == dupWithoutKey {
		return topic
	}
	return fmt.Sprintf("%s/k-%d-%d", topic, s.index, m.seq)
}

func (s *sender) write(m *message) error {
	dup := m.written && s.way(m) != keyOnly
	m.written = true
	_, err := s.conn.Write(m.topic.Append(nil, m.packet, dup, payload(s.index, m.to, m.seq)))
	return err
}

// connections connects again and again until ctx ends.
func (s *sender) connections(ctx context.Context) error {
	user := s.c.user('s', s.index)
	login := raw.Connect{Version: s.c.Version, ClientID: user, Username: user, Password: s.c.Password, SessionExpiry: sessionExpiry}
	for ctx.Err() == nil {
		conn, err := raw.Dialer{}.Dial(ctx, s.addr, login)
		if err != nil {
			pause(ctx, retry)
			continue
		}
		stop := context.AfterFunc(ctx, func() { conn.Drop() })
		if err := s.resend(conn); err == nil {
			_ = conn.Loop(s.take) // whatever ended it: the next connection resends
		}
		stop()
		s.gone()
		conn.Drop()
	}
	return nil
}

const sessionExpiry = 24 * 60 * 60 // seconds

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// resend writes everything open in its order, and lets publish use the connection afterwards.
func (s *sender) resend(conn *raw.Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = conn
	s.connects++
	for _, m := range s.open {
		if m.written {
			s.resent++
		}
		if m.written && s.way(m) == keyOnly {
			m.packet = s.nextPacket()
		}
		if err := s.write(m); err != nil {
			return err
		}
	}
	return nil
}

func (s *sender) gone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = nil
}

func (s *sender) take(f raw.Frame) error {
	if f.Type != raw.PUBACK {
		return fmt.Errorf("packet type %d came to a sender", f.Type)
	}
	id, reason, err := f.Puback()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(id)
	if i < 0 {
		s.ledger.Strange(s.index, id)
		return nil
	}
	m := s.open[i]
	s.open = append(s.open[:i], s.open[i+1:]...)
	<-s.slots
	if p := (Pair{s.index, m.to}); reason < 0x80 {
		s.ledger.Acknowledged(p, m.seq)
	} else {
		s.ledger.Refused(p, m.seq, reason)
	}
	s.check()
	return nil
}

// finish makes what is open all there is.
func (s *sender) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished = true
	s.check()
}

// String tells how far it is, for errors.
func (s *sender) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("sender %d (%d messages without PUBACK, connected: %t)", s.index, len(s.open), s.conn != nil)
}

func (s *sender) check() {
	if s.finished && len(s.open) == 0 && !s.over {
		s.over = true
		close(s.done)
	}
}
