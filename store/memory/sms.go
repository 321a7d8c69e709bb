package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/store/internal/rule"
)

// affordable says why talk and counts of a change cannot be written, and sets the totals.
func (t *turn) affordable(c *delivery.Change) error {
	if c.Talk != nil && t.talks[pairOf(c.Talk)].Rev != c.Talk.Rev {
		return sms.ErrTaken
	}
	return rule.Sum(c.Counts, func(key string) (rule.Counter, error) { return t.counters[key], nil })
}

func pairOf(t *sms.Talk) pair { return pair{t.Own, t.Peer} }

// spoke reports whether a talk was written before as it is.
func (t *turn) spoke(k *sms.Talk) bool {
	stored := t.talks[pairOf(k)]
	return stored.Rev != 0 && stored.prev == k.Rev && rule.SameTalk(&stored.Talk, k)
}

// recall sets what talk and counts got when they were written, as far as that is still what is there.
func (t *turn) recall(c *delivery.Change) {
	if c.Talk != nil && t.spoke(c.Talk) {
		c.Talk.Rev = t.talks[pairOf(c.Talk)].Rev
	}
	for i := range c.Counts {
		c.Counts[i].Total = t.counters[c.Counts[i].Key].Total
	}
}

// say writes the talk of a change and adds its counts.
func (t *turn) say(c *delivery.Change) {
	if k := c.Talk; k != nil {
		prev := k.Rev
		k.Rev = uint64(t.next())
		p, kept := pairOf(k), talk{*k, prev}
		kept.At, kept.Heard = k.At.Truncate(time.Microsecond), k.Heard.Truncate(time.Microsecond)
		t.stage(func(s *state) { s.talks[p] = kept })
	}
	for i := range c.Counts {
		key := c.Counts[i].Key
		if kept, changed := rule.Counted(t.counters[key], &c.Counts[i]); changed {
			t.stage(func(s *state) { s.counters[key] = kept })
		}
	}
}

// meet joins what the sides know of gateways' message ids.
func (t *turn) meet(meetings []sms.Meeting) {
	for i := range meetings {
		n := &meetings[i]
		key := string(rule.AppendLedgerKey(nil, n, n.Side))
		n.Other = slices.Clone(t.meets[string(rule.AppendLedgerKey(nil, n, rule.Across(n.Side)))].mine)
		kept, changed := rule.JoinLedger(t.meets[key].mine, n.Mine)
		if changed {
			m := meeting{append([]byte{}, kept...), t.now}
			t.stage(func(s *state) { s.meets[key] = m })
		}
	}
}

// Talks implements delivery.Store.
func (s *Store) Talks(_ context.Context, peer contacts.Number) (found []sms.Talk, err error) {
	err = s.read(func(t *state) error {
		for p, k := range t.talks {
			if p.peer == peer {
				found = append(found, k.Talk)
			}
		}
		return nil
	})
	slices.SortFunc(found, func(a, b sms.Talk) int { return cmp.Compare(a.Own, b.Own) })
	return found, err
}

// Totals implements delivery.Store.
func (s *Store) Totals(_ context.Context, keys ...string) ([]int64, error) {
	totals := make([]int64, len(keys))
	err := s.read(func(t *state) error {
		for i, key := range keys {
			totals[i] = t.counters[key].Total
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return totals, nil
}
