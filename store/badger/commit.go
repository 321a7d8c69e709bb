package badger

import (
	"context"
	"fmt"
	"slices"
	"time"

	bdg "github.com/dgraph-io/badger/v4"

	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/store/internal/rule"
)

// Commit implements delivery.Store.
func (s *Store) Commit(ctx context.Context, changes []delivery.Change) []error {
	if err := rule.Check(changes); err != nil {
		return repeat(err, len(changes))
	}
	if err := s.lock(ctx); err != nil {
		return repeat(err, len(changes))
	}
	defer s.unlock()
	g := committing{Store: s, changes: changes}
	for g.end < len(changes) {
		g.part()
	}
	return g.errs
}

func repeat(err error, n int) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// committing is a Commit under way. A group that badger would not take as one transaction is written in parts.
type committing struct {
	*Store
	changes []delivery.Change
	errs    []error // nil while all is well
	start   int     // the part under way is changes[start:end]
	end     int
	before  []rule.Revs // what the changes of the part started from
}

func (c *committing) fail(i int, err error) {
	if c.errs == nil {
		c.errs = make([]error, len(c.changes))
	}
	c.errs[i] = err
}

// largest is how many octets a change may have: a new message leaves room for the trail that it will get.
func largest(c *delivery.Change) int64 {
	if c.Message != nil && c.Message.Rev == 0 {
		return maxValue - trailRoom
	}
	return maxValue
}

// trailRoom is more than a whole trail takes.
const trailRoom = 128 << 10

// part writes as many of the changes as fit into one transaction.
func (c *committing) part() {
	c.start, c.before = c.end, c.before[:0]
	err := c.transact(func() error {
		limit := c.db.MaxBatchSize() - 8<<10
		for ; c.end < len(c.changes); c.end++ {
			change := &c.changes[c.end]
			need := bound(change)
			if c.end > c.start && c.group.total()+need > limit {
				return nil
			}
			c.before = append(c.before, rule.RevsOf(change))
			if most := largest(change); need > most {
				c.fail(c.end, fmt.Errorf("a change of %d octets is larger than what the store takes, %d", need, most))
				continue
			}
			if err := c.judge(change); err != nil {
				if isFatal(err) {
					return err
				}
				c.fail(c.end, err)
			}
		}
		return nil
	})
	if err == nil {
		return
	}
	c.revs.clear() // they know of changes that were not written
	c.opened.clear()
	for i := len(c.changes) - 1; i >= c.start; i-- { // backwards: a message may be in the group twice
		c.fail(i, err)
		if i-c.start < len(c.before) {
			c.before[i-c.start].Restore(&c.changes[i])
		}
	}
	c.end = len(c.changes)
}

// fatal marks an error after which it is not known what the group holds.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

func isFatal(err error) bool {
	_, ok := err.(fatal)
	return ok
}

// update runs fn in a transaction of its own.
func (s *Store) update(ctx context.Context, fn func(g *group) error) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	return s.transact(func() error { return fn(&s.group) })
}

// transact stages with fn and commits what it staged. The caller has the turn.
func (s *Store) transact(fn func() error) error {
	if s.failed != nil {
		return s.failed
	}
	g := &s.group
	txn := s.db.NewTransactionAt(s.reads.last, true)
	defer txn.Discard()
	g.begin(txn, time.Now())
	if err := s.space.check(g.now, s.log); err != nil {
		return err
	}
	err := fn()
	if err == nil && !g.empty() {
		err = s.write()
	}
	return err
}

// write makes a group durable. When badger cannot, nobody knows what it kept, in memory or on disk: nothing may be built on that, so the store
// takes no commit any more until it is opened again.
func (s *Store) write() error {
	g := &s.group
	if err := g.finish(s.last); err != nil {
		return err
	}
	version := s.reads.last + 1
	if err := g.txn.CommitAt(version, nil); err != nil {
		s.failed = fmt.Errorf("the store could not write; it must be opened again: %w", err)
		return s.failed
	}
	s.reads.synced(version)
	s.space.wrote(g.size)
	return s.sequence.committed(version, g.now, s)
}

// next returns the next position.
func (s *Store) next() delivery.Position {
	s.last = s.last.After(s.group.now)
	return s.last
}

// judge stages a change, or says why it cannot be.
func (s *Store) judge(c *delivery.Change) error {
	if err := rule.CheckChange(c); err != nil {
		return err
	}
	var written bool
	var err error
	switch m := c.Message; {
	case m == nil:
		written, err = s.tell(c)
	case m.Rev != 0:
		written, err = s.advance(c)
	default:
		written, err = s.accept(c)
	}
	switch {
	case err != nil:
		return err
	case written:
		err = s.recall(c)
	default:
		err = s.say(c)
	}
	if err == nil {
		err = s.group.meet(c.Meetings) // what was there already stays as it is
	}
	if err == nil {
		err = s.see(c.Seen)
	}
	if err != nil {
		return fatal{err}
	}
	return nil
}

// accept stages a new message, unless it was written before. Its revision is the position at which the change begins; the entries follow.
func (s *Store) accept(c *delivery.Change) (written bool, err error) {
	m, g := c.Message, &s.group
	retried := !m.ID.IsZero()
	if retried {
		stored, prev, err := message(g.txn, m.ID)
		if err == nil {
			return again(c, stored, prev)
		}
		if err != delivery.ErrNotFound {
			return false, err
		}
	}
	var key [1 + len(rule.KeyID{})]byte
	if !m.Key.IsZero() {
		appendKeyKey(key[:0], rule.KeyOf(m))
		if err := s.known(key[:]); err != nil {
			return false, err
		}
	}
	if s.space.low {
		return false, delivery.ErrDisk
	}
	user := userHash(m.To)
	if c.Limit > 0 && !m.Settled() {
		n, err := s.opened.of(g.txn, user, m.To)
		if err != nil {
			return false, err
		}
		if n >= c.Limit {
			return false, delivery.ErrFull
		}
	}
	if err := s.affordable(c); err != nil {
		return false, err
	}
	at := s.next()
	if !retried {
		c.Identify(delivery.NewID(at, m.To))
	}
	m.Rev, m.Stands = uint64(at), at
	if err := s.acceptAt(c, at, retried); err != nil {
		return false, fatal{err}
	}
	if !m.Key.IsZero() {
		start := len(g.arena)
		g.arena = append(append(g.arena, key[:]...), m.ID[:]...)
		if err := g.set(start, len(key), 0); err != nil {
			return false, fatal{err}
		}
	}
	if !m.Settled() {
		s.revs.put(m.ID, m.Rev)
		s.opened.add(user, 1)
	}
	return false, nil
}

// acceptAt stages the record of a new message and what lists it. One that was tried before has an id with a position that readers may have passed:
// a notice stands for it at its new place.
func (s *Store) acceptAt(c *delivery.Change, at delivery.Position, retried bool) error {
	m, g := c.Message, &s.group
	if retried {
		g.notice(&delivery.Entry{Position: at, User: m.To, Kind: delivery.In, Peer: m.From, At: m.Accepted}, m.ID)
		start := len(g.arena)
		g.arena = append(g.arena, prefixIndex)
		g.arena = append(g.arena, m.ID[:8]...)
		g.arena = append(g.arena, m.ID[13:]...) // apart from the record of a group
		keyLen := len(g.arena) - start
		g.arena = appendPosition(g.arena, at)
		g.arena = appendListing(g.arena, listing{m.ID, delivery.Bucket(m.From)}, m.ID.Position())
		if err := g.set(start, keyLen, 0); err != nil {
			return err
		}
	} else {
		g.listed(m.ID, m.From)
	}
	s.notices(c)
	return g.message(m, 0)
}

// known returns *Known when the key names a message.
func (s *Store) known(key []byte) (err error) {
	var known *delivery.Known
	err = get(s.group.txn, key, func(_ *bdg.Item, val []byte) error {
		var id delivery.ID
		if copy(id[:], val) < len(id) {
			return errRecord(key)
		}
		if rule.Fresh(id, s.group.now, rule.KeyAge) {
			known = &delivery.Known{ID: id}
		}
		return nil
	})
	if err == nil && known != nil {
		err = known
	}
	return err
}

// advance stages a message that was stored before, unless it was advanced by this very change.
func (s *Store) advance(c *delivery.Change) (written bool, err error) {
	m := c.Message
	rev, open := s.revs.get(m.ID)
	if !open || rev != m.Rev {
		stored, prev, err := message(s.group.txn, m.ID)
		switch {
		case err == delivery.ErrNotFound:
			return false, delivery.ErrConflict
		case err != nil:
			return false, err
		case stored.Rev != m.Rev:
			return again(c, stored, prev)
		}
		open = !stored.Settled()
	}
	if err := s.affordable(c); err != nil {
		return false, err
	}
	prev := m.Rev
	m.Rev = uint64(s.next())
	s.notices(c)
	if err := s.group.message(m, prev); err != nil {
		return false, fatal{err}
	}
	s.moved(m, open)
	return false, nil
}

// moved keeps revisions and counts in step with a staged message.
func (s *Store) moved(m *delivery.Message, wasOpen bool) {
	if m.Settled() {
		s.revs.drop(m.ID)
	} else {
		s.revs.put(m.ID, m.Rev)
	}
	switch {
	case wasOpen && m.Settled():
		s.opened.add(userHash(m.To), -1)
	case !wasOpen && !m.Settled():
		s.opened.add(userHash(m.To), 1)
	}
}

// again sets what a change got when it was written before; ErrConflict when what is stored is another one.
func again(c *delivery.Change, stored *delivery.Message, prev uint64) (written bool, err error) {
	m := c.Message
	if prev != m.Rev || !rule.Same(stored, m) {
		return false, delivery.ErrConflict
	}
	m.Rev, m.Stands = stored.Rev, stored.Stands
	for i := range c.Entries {
		c.Entries[i].Position = delivery.Position(stored.Rev) + delivery.Position(i) + 1
	}
	return true, nil
}

// tell stages entries without a message, unless a commit whose outcome stayed open has written the change.
func (s *Store) tell(c *delivery.Change) (written bool, err error) {
	switch {
	case len(c.Entries) > 0 && c.Entries[0].Position != 0:
		written, err = hasNotice(s.group.txn, &c.Entries[0])
	case len(c.Entries) == 0 && c.Talk != nil:
		written, err = s.spoke(c.Talk)
	}
	if !written && err == nil {
		err = s.affordable(c)
	}
	if !written && err == nil {
		s.notices(c)
	}
	return written, err
}

func (s *Store) notices(c *delivery.Change) {
	for i := range c.Entries {
		e := &c.Entries[i]
		e.Position = s.next()
		id := e.ID
		if c.Message != nil {
			if id.IsZero() {
				id = c.Message.ID
			}
			if rule.Stands(e.Kind) {
				c.Message.Stands = e.Position
			}
		}
		s.group.notice(e, id)
	}
}

// hasNotice reports whether an entry is stored under the position that it carries.
func hasNotice(txn *bdg.Txn, e *delivery.Entry) (bool, error) {
	it := newNotices(txn, e.User, e.Position-1)
	defer it.close()
	entries, err := it.peek()
	return slices.ContainsFunc(entries, func(n delivery.Entry) bool { return n.Position == e.Position }), err
}

// see stages how far devices have seen; never backwards.
func (s *Store) see(seen []delivery.Seen) error {
	g := &s.group
	for i := range seen {
		n := &seen[i]
		k := seenKey{n.User, n.Device}
		key := appendSeenKey(nil, n.User, n.Device)
		if n.Forget {
			delete(g.seen, k)
			if err := g.delete(key); err != nil {
				return err
			}
			continue
		}
		had, ok := g.seen[k]
		if !ok {
			err := get(g.txn, key, func(_ *bdg.Item, val []byte) error {
				r := reader{b: val}
				had, ok = delivery.Position(r.uint64()), true
				return nil
			})
			if err != nil {
				return err
			}
		}
		if ok && had >= n.Upto {
			continue // but one that is new is remembered, even when it has seen nothing
		}
		g.seen[k] = n.Upto
		start := len(g.arena)
		g.arena = append(g.arena, key...)
		g.arena = append(appendPosition(g.arena, n.Upto), n.Device...)
		if err := g.set(start, len(key), 0); err != nil {
			return err
		}
	}
	return nil
}
