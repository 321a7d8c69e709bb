package delivery

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// bind makes the pair (our number, peer) the sender's, so that an answer finds its conversation, and says so when it cannot: a pair goes over only after
// it was quiet, for nobody may get the answer that was meant for somebody else.
func (e *Engine) bind(ctx context.Context, m *Message) (evidence string, err error) {
	own, err := contacts.ParseNumber(e.cfg.Originator)
	if err != nil {
		return EventNoWayBack + ": the originator is a name", nil
	}
	to, _ := m.To.Number()
	for {
		t, err := e.cfg.Ledger.Talk(ctx, own, to)
		if err != nil {
			return "", err
		}
		now := time.Now()
		if t.User != "" && t.User != m.From && now.Sub(t.At) < e.cfg.ReplyQuiet {
			return EventNoWayBack + ": the number belongs to another conversation", nil
		}
		err = e.cfg.Ledger.Bind(ctx, sms.Talk{Own: own, Peer: to, User: m.From, Ref: sms.Ref(m.ID), At: now, Rev: t.Rev})
		if err == nil {
			e.mos.sent(own, to)
			return "", nil
		}
		if !errors.Is(err, sms.ErrTaken) {
			return "", err
		}
	}
}

// MO takes an SMS that came in; it is durable when MO returns nil (sms.Sink). It goes into the conversation that the pair of numbers belongs to; one that
// belongs to none is kept under our own number, for the operator.
func (e *Engine) MO(ctx context.Context, mo sms.MO) error {
	if !e.own(mo.To) {
		e.stats.MOs[MOUnmatched].Add(1)
		e.log.Warn().Str("gateway", mo.Gateway).Str("to", mo.To.Mask()).Msg("an SMS came in for a number that is not ours; it is dropped")
		return nil
	}
	talk, err := e.cfg.Ledger.Talk(ctx, mo.To, mo.From)
	if err != nil {
		return err
	}
	m := &Message{From: contacts.Address(mo.From), To: contacts.Address(mo.To), Root: RootMO, Payload: []byte(mo.Text), Key: Key{Correlation: e.mos.key(mo, time.Now())}}
	result := MOUnmatched
	if talk.User != "" && time.Since(talk.At) < e.cfg.ReplyWindow {
		m.To, m.Reply, result = talk.User, ID(talk.Ref).String(), MOConversation
	}
	_, err = e.Send(ctx, m)
	var known *Known
	if errors.As(err, &known) {
		e.stats.MOs[MORepeated].Add(1)
		return nil
	}
	if err != nil {
		return err
	}
	e.stats.MOs[result].Add(1)
	if result == MOConversation {
		talk.At = time.Now()
		if err := e.cfg.Ledger.Bind(ctx, talk); err != nil && !errors.Is(err, sms.ErrTaken) {
			e.log.Error().Err(err).Msg("a conversation's time could not be stored; its pair of numbers may go over early")
		}
	}
	return nil
}

func (e *Engine) own(n contacts.Number) bool {
	if string(n) == e.cfg.Originator {
		return true
	}
	for _, o := range e.cfg.Numbers {
		if o == n {
			return true
		}
	}
	return false
}

// recentMOs tells repeated MOs of gateways that give no ids: the same numbers and text within 10 s, forgotten when we send to that peer.
type recentMOs struct {
	mu   sync.Mutex
	last map[uint64]recentMO
}

type recentMO struct {
	text uint64
	at   time.Time
	key  []byte
}

const (
	moRepeat = 10 * time.Second
	moKept   = 4096
)

func newRecentMOs() *recentMOs { return &recentMOs{last: map[uint64]recentMO{}} }

func pair(own, peer contacts.Number) uint64 {
	return xxhash.Sum64String(string(own) + " " + string(peer))
}

func (r *recentMOs) sent(own, peer contacts.Number) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.last, pair(own, peer))
}

// key returns the key under which an MO is one message.
func (r *recentMOs) key(mo sms.MO, now time.Time) []byte {
	if mo.ID != "" {
		return sum("mo", mo.Gateway, mo.ID)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p, text := pair(mo.To, mo.From), xxhash.Sum64String(mo.Gateway+"\x00"+mo.Text)
	if old, ok := r.last[p]; ok && old.text == text && now.Sub(old.at) < moRepeat {
		return old.key
	}
	if len(r.last) >= moKept {
		for k, old := range r.last {
			if now.Sub(old.at) >= moRepeat {
				delete(r.last, k)
			}
		}
	}
	key := sum("mo", mo.Gateway, string(mo.From), mo.Text, now.String())
	r.last[p] = recentMO{text: text, at: now, key: key}
	return key
}

// sum is a key of fixed length: 16 octets of hash.
func sum(parts ...string) []byte {
	all := strings.Join(parts, "\x00")
	b := binary.BigEndian.AppendUint64(nil, xxhash.Sum64String(all))
	return binary.BigEndian.AppendUint64(b, xxhash.Sum64String("\x00"+all))
}
