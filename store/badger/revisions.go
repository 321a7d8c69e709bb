package badger

import (
	bdg "github.com/dgraph-io/badger/v4"

	"github.com/cespare/xxhash/v2"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// revisions remembers the revisions of open messages that were written lately, so that advancing one needs no read. It is never wrong, since the
// store is the only writer, but may have forgotten. Two generations of half the size bound it.
type revisions struct {
	young, old map[delivery.ID]uint64
}

const revisionsKept = 128 << 10

func (r *revisions) init() {
	r.young, r.old = map[delivery.ID]uint64{}, map[delivery.ID]uint64{}
}

func (r *revisions) get(id delivery.ID) (rev uint64, ok bool) {
	if rev, ok = r.young[id]; !ok {
		rev, ok = r.old[id]
	}
	return rev, ok
}

func (r *revisions) put(id delivery.ID, rev uint64) {
	if len(r.young) >= revisionsKept/2 {
		r.old, r.young = r.young, r.old
		clear(r.young)
	}
	r.young[id] = rev
}

func (r *revisions) drop(id delivery.ID) {
	delete(r.young, id)
	delete(r.old, id)
}

func (r *revisions) clear() {
	clear(r.young)
	clear(r.old)
}

// userHash is the whole hash of which a bucket is the upper part: users who share a bucket differ in it.
func userHash(user contacts.Address) uint64 { return xxhash.Sum64String(string(user)) }

// counts knows how many open messages users have: those asked for since the store was opened, and all once Recover has gone through them.
type counts struct {
	open  map[uint64]int // by userHash; while not all are known, only users whose number is
	all   bool
	moves map[uint64]int // what changed while Recover runs; nil: it does not
}

func (c *counts) add(user uint64, n int) {
	if c.moves != nil {
		c.moves[user] += n
	}
	if had, ok := c.open[user]; ok || c.all {
		c.set(user, had+n)
	}
}

func (c *counts) set(user uint64, n int) {
	if c.open == nil {
		c.open = map[uint64]int{}
	}
	if n <= 0 && c.all {
		delete(c.open, user)
		return
	}
	c.open[user] = n
}

// clear forgets all numbers, after a commit that failed when some were changed.
func (c *counts) clear() { c.open, c.all, c.moves = nil, false, nil }

// of returns a user's number, counted when it is not known.
func (c *counts) of(txn *bdg.Txn, hash uint64, user contacts.Address) (int, error) {
	if n, ok := c.open[hash]; ok || c.all {
		return n, nil
	}
	n, err := countOpen(txn, user)
	if err == nil {
		c.set(hash, n)
	}
	return n, err
}

// recovered takes over what Recover counted.
func (c *counts) recovered(found map[uint64]int) {
	if c.moves == nil {
		return // cleared meanwhile
	}
	for user, n := range c.moves {
		found[user] += n
	}
	for user, n := range found {
		if n <= 0 {
			delete(found, user)
		}
	}
	c.open, c.all, c.moves = found, true, nil
}

// countOpen counts the open messages of a user, staged ones too.
func countOpen(txn *bdg.Txn, user contacts.Address) (n int, err error) {
	it := newIterator(txn, appendBucket(nil, prefixMessage, delivery.Bucket(user)), false)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if it.Item().UserMeta()&flagOpen == 0 {
			continue
		}
		err := it.Item().Value(func(val []byte) error {
			m, _, err := parseMessage(messageID(it.Item().Key()), val)
			if err == nil && m.To == user {
				n++
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return n, nil
}
