package badger

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	bdg "github.com/dgraph-io/badger/v4"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/store/internal/rule"
)

// update runs fn in a transaction of its own.
func (s *Store) update(ctx context.Context, fn func(g *group) error) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	return s.transact(func() error { return fn(&s.group) })
}

// setValue stages a record.
func (g *group) setValue(key, val []byte) error {
	start := len(g.arena)
	g.arena = append(append(g.arena, key...), val...)
	return g.set(start, len(key), 0)
}

// A meeting is what both sides know under a gateway's message id: the time, then for each side a mark that it was there and its value.
type meeting struct {
	at    time.Time
	sides [2][]byte // Submitter, Reporter; nil: was not there
}

func (m *meeting) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(m.at.UnixMicro()))
	for _, side := range m.sides {
		if side == nil {
			b = append(b, 0)
			continue
		}
		b = appendString(append(b, 1), side)
	}
	return b
}

func parseMeeting(val []byte) (m meeting, err error) {
	r := reader{b: val}
	m.at = time.UnixMicro(int64(r.uint64()))
	for i := range m.sides {
		if r.byte() == 1 {
			m.sides[i] = append([]byte{}, r.octets()...)
		}
	}
	if r.bad {
		err = errRecord([]byte{prefixMeet})
	}
	return m, err
}

// Meet implements sms.Ledger.
func (s *Store) Meet(ctx context.Context, gateway, id string, side sms.Side, mine []byte) (other []byte, err error) {
	if side != sms.Submitter && side != sms.Reporter {
		return nil, fmt.Errorf("meet %s: unknown side %d", gateway, side)
	}
	key := append([]byte{prefixMeet}, rule.LedgerKey(gateway, id)...)
	err = s.update(ctx, func(g *group) error {
		m := meeting{at: g.now}
		err := get(g.txn, key, func(_ *bdg.Item, val []byte) (err error) {
			m, err = parseMeeting(val)
			return err
		})
		if err != nil {
			return err
		}
		other = m.sides[2-side]
		kept, changed := rule.JoinLedger(m.sides[side-1], mine)
		if !changed {
			return nil
		}
		m.sides[side-1] = kept
		return g.setValue(key, m.append(nil))
	})
	if err != nil {
		return nil, fmt.Errorf("meet %s: %w", gateway, err)
	}
	return other, nil
}

func talkKey(own, peer contacts.Number) []byte {
	return []byte(string(rune(prefixTalk)) + string(own) + "\x00" + string(peer))
}

// talk reads a conversation; its revision is the version of its record.
func talk(txn *bdg.Txn, own, peer contacts.Number) (t sms.Talk, err error) {
	err = get(txn, talkKey(own, peer), func(item *bdg.Item, val []byte) error {
		r := reader{b: val}
		t = sms.Talk{Own: own, Peer: peer, Rev: item.Version()}
		copy(t.Ref[:], r.take(uint64(len(t.Ref))))
		t.At = time.UnixMicro(int64(r.uint64()))
		t.User = contacts.Address(r.octets())
		if r.bad {
			return errRecord([]byte{prefixTalk})
		}
		return nil
	})
	return t, err
}

// Talk implements sms.Ledger.
func (s *Store) Talk(_ context.Context, own, peer contacts.Number) (t sms.Talk, err error) {
	err = s.view(func(txn *bdg.Txn) error {
		t, err = talk(txn, own, peer)
		return err
	})
	return t, err
}

// Bind implements sms.Ledger.
func (s *Store) Bind(ctx context.Context, t sms.Talk) error {
	return s.update(ctx, func(g *group) error {
		had, err := talk(g.txn, t.Own, t.Peer)
		if err != nil {
			return err
		}
		if had.Rev != t.Rev {
			return sms.ErrTaken
		}
		val := binary.BigEndian.AppendUint64(append([]byte{}, t.Ref[:]...), uint64(t.At.UnixMicro()))
		return g.setValue(talkKey(t.Own, t.Peer), appendString(val, string(t.User)))
	})
}
