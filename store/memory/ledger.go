package memory

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/store/internal/rule"
)

// Meet implements sms.Ledger.
func (s *Store) Meet(ctx context.Context, gateway, id string, side sms.Side, mine []byte) (other []byte, err error) {
	if side != sms.Submitter && side != sms.Reporter {
		return nil, fmt.Errorf("meet %s: unknown side %d", gateway, side)
	}
	key := rule.LedgerKey(gateway, id)
	err = s.commit(ctx, func(t *turn) {
		m, ok := t.meets[key]
		if !ok {
			m.at = t.now
		}
		other = slices.Clone(m.sides[2-side])
		m.sides[side-1], _ = rule.JoinLedger(m.sides[side-1], slices.Clone(mine))
		t.one(func(s *state) { s.meets[key] = m })
	})
	if err != nil {
		return nil, err
	}
	return other, nil
}

// Talk implements sms.Ledger.
func (s *Store) Talk(_ context.Context, own, peer contacts.Number) (talk sms.Talk, err error) {
	err = s.read(func(t *state) error {
		talk = t.talks[pair{own, peer}]
		return nil
	})
	return talk, err
}

// Bind implements sms.Ledger.
func (s *Store) Bind(ctx context.Context, talk sms.Talk) error {
	var taken error
	err := s.commit(ctx, func(t *turn) {
		p := pair{talk.Own, talk.Peer}
		if t.talks[p].Rev != talk.Rev {
			taken = sms.ErrTaken
			return
		}
		t.change()
		talk.Rev = uint64(t.next())
		t.stage(func(s *state) { s.talks[p] = talk })
	})
	if err != nil {
		return err
	}
	return taken
}

// Table returns the store's contacts.Table.
func (s *Store) Table() contacts.Table { return &table{s} }

type table struct{ *Store }

// Scan implements contacts.Table.
func (t *table) Scan(ctx context.Context, prefix string, fn func(key string, val []byte, rev uint64) error) error {
	type found struct {
		key string
		row
	}
	var rows []found
	err := t.read(func(s *state) error {
		for key, r := range s.table {
			if len(key) >= len(prefix) && key[:len(prefix)] == prefix {
				rows = append(rows, found{key, r})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(rows, func(a, b found) int { return strings.Compare(a.key, b.key) })
	for _, r := range rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(r.key, slices.Clone(r.val), r.rev); err != nil {
			return err
		}
	}
	return nil
}

// Write implements contacts.Table.
func (t *table) Write(ctx context.Context, writes []contacts.Write) (revs []uint64, errs []error, err error) {
	revs, errs = make([]uint64, len(writes)), make([]error, len(writes))
	err = t.commit(ctx, func(t *turn) {
		for i, w := range writes {
			t.change()
			if t.table[w.Key].rev != w.Rev {
				errs[i] = contacts.ErrConflict
				continue
			}
			if w.Val == nil {
				t.stage(func(s *state) { delete(s.table, w.Key) })
				continue
			}
			r := row{append([]byte{}, w.Val...), uint64(t.next())}
			revs[i] = r.rev
			t.stage(func(s *state) { s.table[w.Key] = r })
		}
	})
	if err != nil {
		return nil, nil, err
	}
	return revs, errs, nil
}
