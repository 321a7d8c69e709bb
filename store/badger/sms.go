package badger

import (
	"context"
	"encoding/binary"
	"time"

	bdg "github.com/dgraph-io/badger/v4"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/store/internal/rule"
)

// affordable says why talk and counts of a change cannot be written, and sets the totals.
func (s *Store) affordable(c *delivery.Change) error {
	if k := c.Talk; k != nil {
		stored, err := readTalk(s.group.txn, k.Own, k.Peer)
		if err != nil {
			return err
		}
		if stored.Rev != k.Rev {
			return sms.ErrTaken
		}
	}
	return rule.Sum(c.Counts, s.group.counter)
}

// spoke reports whether a talk was written before as it is, and sets its revision when it was.
func (s *Store) spoke(k *sms.Talk) (bool, error) {
	stored, err := readTalk(s.group.txn, k.Own, k.Peer)
	if err != nil || stored.Rev == 0 || stored.prev != k.Rev || !rule.SameTalk(&stored.Talk, k) {
		return false, err
	}
	k.Rev = stored.Rev
	return true, nil
}

// recall sets what talk and counts got when they were written, as far as that is still what is there.
func (s *Store) recall(c *delivery.Change) error {
	if c.Talk != nil {
		if _, err := s.spoke(c.Talk); err != nil {
			return err
		}
	}
	for i := range c.Counts {
		had, err := s.group.counter(c.Counts[i].Key)
		if err != nil {
			return err
		}
		c.Counts[i].Total = had.Total
	}
	return nil
}

// say stages the talk of a change and adds its counts.
func (s *Store) say(c *delivery.Change) error {
	g := &s.group
	if k := c.Talk; k != nil {
		prev := k.Rev
		k.Rev = uint64(s.next())
		start := len(g.arena)
		g.arena = appendTalkKey(g.arena, k.Own, k.Peer)
		keyLen := len(g.arena) - start
		g.arena = appendTalk(g.arena, k, prev)
		if err := g.set(start, keyLen, 0); err != nil {
			return err
		}
	}
	for i := range c.Counts {
		g.add(&c.Counts[i])
	}
	return nil
}

// A counter in a group is read once and staged once, however many changes add to it.
type counter struct {
	rule.Counter
	changed bool
}

// counter returns what a counter stands at, with what the group has made of it.
func (g *group) counter(key string) (rule.Counter, error) {
	if c, ok := g.counters[key]; ok {
		return c.Counter, nil
	}
	var c counter
	start := len(g.arena)
	g.arena = append(append(g.arena, prefixCounter), key...)
	err := get(g.txn, g.arena[start:], func(_ *bdg.Item, val []byte) (err error) {
		c.Counter, err = parseCounter(val)
		return err
	})
	g.arena = g.arena[:start]
	if err == nil {
		g.counters[key] = c
	}
	return c.Counter, err
}

// add takes over a count whose total rule.Sum has set, so that its counter has been read.
func (g *group) add(n *sms.Count) {
	c := g.counters[n.Key]
	kept, changed := rule.Counted(c.Counter, n)
	if !changed {
		return
	}
	if !c.changed {
		g.spent++
		g.pending += int64(1+len(n.Key)) + counterMost + entryOverhead
	}
	g.counters[n.Key] = counter{kept, true}
}

func (g *group) setCounters() error {
	for key, c := range g.counters {
		if !c.changed {
			continue
		}
		start := len(g.arena)
		g.arena = append(append(g.arena, prefixCounter), key...)
		g.arena = appendCounter(g.arena, c.Counter)
		if err := g.set(start, 1+len(key), 0); err != nil {
			return err
		}
	}
	return nil
}

// meet joins what the sides know of gateways' message ids.
func (g *group) meet(meetings []sms.Meeting) error {
	for i := range meetings {
		if err := g.meetOne(&meetings[i]); err != nil {
			return err
		}
	}
	return nil
}

func (g *group) meetOne(n *sms.Meeting) error {
	start := len(g.arena)
	g.arena = rule.AppendLedgerKey(append(g.arena, prefixMeet), n, rule.Across(n.Side))
	key := g.arena[start:]
	other, err := readMeeting(g.txn, key)
	if err != nil {
		return err
	}
	key[len(key)-1] = byte(n.Side)
	had, err := readMeeting(g.txn, key)
	if err != nil {
		return err
	}
	n.Other = other
	kept, changed := rule.JoinLedger(had, n.Mine)
	if !changed {
		g.arena = g.arena[:start]
		return nil
	}
	g.arena = appendMeeting(g.arena, g.now, kept)
	return g.set(start, len(key), 0)
}

// A meeting record is the time, and what the side knows.

func appendMeeting(b []byte, at time.Time, mine []byte) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(at.UnixMicro())), mine...)
}

func parseMeeting(val []byte) (at time.Time, mine []byte, err error) {
	r := reader{b: val}
	at = microsecond(r.uint64())
	if r.bad {
		return time.Time{}, nil, errRecord([]byte{prefixMeet})
	}
	return at, r.b, nil
}

// readMeeting returns a copy of what a side knows, nil when it was not there.
func readMeeting(txn *bdg.Txn, key []byte) (mine []byte, err error) {
	err = get(txn, key, func(_ *bdg.Item, val []byte) error {
		_, stored, err := parseMeeting(val)
		mine = append([]byte{}, stored...)
		return err
	})
	return mine, err
}

func appendTalkKey(b []byte, own, peer contacts.Number) []byte {
	b = append(append(b, prefixTalk), peer...)
	return append(append(b, 0), own...)
}

// A talk is a stored conversation: its revision, which is a position, the one that it was made from, and the rest; the numbers are in its key.
type talk struct {
	sms.Talk
	prev uint64
}

func appendTalk(b []byte, t *sms.Talk, prev uint64) []byte {
	for _, n := range []uint64{t.Rev, prev, uint64(t.At.UnixMicro()), uint64(t.Heard.UnixMicro()), t.Digest} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return appendString(append(b, t.Ref[:]...), string(t.User))
}

func parseTalk(val []byte) (t talk, err error) {
	r := reader{b: val}
	t.Rev, t.prev = r.uint64(), r.uint64()
	t.At, t.Heard = microsecond(r.uint64()), microsecond(r.uint64())
	t.Digest = r.uint64()
	copy(t.Ref[:], r.take(uint64(len(t.Ref))))
	t.User = contacts.Address(r.octets())
	if r.bad {
		return talk{}, errRecord([]byte{prefixTalk})
	}
	return t, nil
}

// microsecond returns a time that was written as UnixMicro, the zero time too.
func microsecond(n uint64) time.Time {
	t := time.UnixMicro(int64(n))
	if t.IsZero() {
		return time.Time{}
	}
	return t
}

// readTalk reads a conversation, zero when there is none.
func readTalk(txn *bdg.Txn, own, peer contacts.Number) (t talk, err error) {
	var buf [64]byte
	err = get(txn, appendTalkKey(buf[:0], own, peer), func(_ *bdg.Item, val []byte) error {
		t, err = parseTalk(val)
		t.Own, t.Peer = own, peer
		return err
	})
	return t, err
}

const counterMost = 8 + binary.MaxVarintLen64

// A counter record is until when it is kept, and the total.

func appendCounter(b []byte, c rule.Counter) []byte {
	return binary.AppendVarint(binary.BigEndian.AppendUint64(b, uint64(c.Until.UnixMicro())), c.Total)
}

func parseCounter(val []byte) (c rule.Counter, err error) {
	r := reader{b: val}
	c.Until, c.Total = microsecond(r.uint64()), r.varint()
	if r.bad || c.Total < 0 {
		return rule.Counter{}, errRecord([]byte{prefixCounter})
	}
	return c, nil
}

// Talks implements delivery.Store.
func (s *Store) Talks(_ context.Context, peer contacts.Number) (found []sms.Talk, err error) {
	prefix := appendTalkKey(nil, "", peer)
	err = s.view(func(txn *bdg.Txn) error {
		it := newIterator(txn, prefix, false)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			err := it.Item().Value(func(val []byte) error {
				t, err := parseTalk(val)
				t.Own, t.Peer = contacts.Number(it.Item().Key()[len(prefix):]), peer
				found = append(found, t.Talk)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Totals implements delivery.Store.
func (s *Store) Totals(_ context.Context, keys ...string) ([]int64, error) {
	totals := make([]int64, len(keys))
	err := s.view(func(txn *bdg.Txn) error {
		for i, key := range keys {
			err := get(txn, append([]byte{prefixCounter}, key...), func(_ *bdg.Item, val []byte) error {
				c, err := parseCounter(val)
				totals[i] = c.Total
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return totals, nil
}

// pruneSMS deletes meetings, talks and counters whose time is over.
func (s *Store) pruneSMS(ctx context.Context, now time.Time, keep delivery.Retention) error {
	for _, space := range []struct {
		prefix byte
		old    func(val []byte) bool
	}{
		{prefixMeet, func(val []byte) bool {
			at, _, err := parseMeeting(val)
			return err == nil && now.Sub(at) > rule.LedgerAge
		}},
		{prefixTalk, func(val []byte) bool {
			t, err := parseTalk(val)
			return err == nil && rule.Quiet(t.At, now, keep)
		}},
		{prefixCounter, func(val []byte) bool {
			c, err := parseCounter(val)
			return err == nil && now.After(c.Until)
		}},
	} {
		if err := s.sweep(ctx, space.prefix, space.old); err != nil {
			return err
		}
	}
	return nil
}
