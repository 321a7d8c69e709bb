package memory

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/store/internal/rule"
)

// Prune implements delivery.Store.
func (s *Store) Prune(ctx context.Context, now time.Time, keep delivery.Retention) error {
	return s.commit(ctx, func(t *turn) {
		t.one(func(s *state) {
			s.pruneMessages(now, keep)
			s.pruneKeys(now, keep)
			s.floor = max(s.floor, rule.Before(now, keep.InboxAge))
			for user := range s.inboxes {
				s.pruneInbox(user, now, keep)
			}
			s.pruneSMS(now, keep)
		})
	})
}

func (s *state) pruneSMS(now time.Time, keep delivery.Retention) {
	maps.DeleteFunc(s.meets, func(_ string, m meeting) bool { return now.Sub(m.at) > rule.LedgerAge })
	maps.DeleteFunc(s.talks, func(_ pair, k talk) bool { return rule.Quiet(k.At, now, keep) })
	maps.DeleteFunc(s.counters, func(_ string, c rule.Counter) bool { return now.After(c.Until) })
}

func (s *state) pruneMessages(now time.Time, keep delivery.Retention) {
	for id, r := range s.messages {
		m, err := r.message()
		if err == nil && rule.Dropped(m, now, keep, s.seenByAll(r.to, r.stands)) {
			delete(s.messages, id)
		}
	}
}

func (s *state) pruneKeys(now time.Time, keep delivery.Retention) {
	for key, id := range s.keys {
		if !rule.Fresh(id, now, keep.Keys) {
			delete(s.keys, key)
		}
	}
}

func (s *state) pruneInbox(user contacts.Address, now time.Time, keep delivery.Retention) {
	tooOld := max(rule.Before(now, keep.NoticeAge), s.floor)
	var kept []delivery.Entry
	notices := 0
	for _, e := range slices.Backward(s.inboxes[user]) {
		r, stored := s.messages[e.ID]
		switch {
		case e.Kind == delivery.In:
			if !stored || r.stands != e.Position {
				continue
			}
		case e.Position <= tooOld || notices >= keep.Notices:
			continue
		default:
			notices++
		}
		kept = append(kept, e)
	}
	slices.Reverse(kept)
	s.inboxes[user] = kept
}
