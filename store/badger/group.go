package badger

import (
	"encoding/binary"
	"fmt"
	"time"

	bdg "github.com/dgraph-io/badger/v4"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// A group is what one transaction will write. Its memory is used again by the next group: badger has copied all of it when a commit returns.
type group struct {
	txn *bdg.Txn
	now time.Time

	arena   []byte // keys and values
	entries []bdg.Entry
	count   int
	size    int64 // as badger counts it, to stay below its limit
	notices []notices
	pending int64                    // octets in them and in counters, part of no record yet
	of      map[contacts.Address]int // index in notices
	index   []byte                   // value of the group's index record
	first   delivery.Position        // of its new messages
	latest  delivery.Position        // position of the latest new message
	seen    map[seenKey]delivery.Position

	counters map[string]counter // those that the group has asked for
	spent    int                // and changed
}

// notices are those of one user in the group.
type notices struct {
	user  contacts.Address
	value []byte
	first delivery.Position
	last  delivery.Position
}

type seenKey struct {
	user   contacts.Address
	device string
}

const (
	entryOverhead = 32        // what badger adds to a key and a value, and a little more
	arenaKeep     = 4 << 20   // a larger arena is given back
	slab          = 4 * 1024  // entries allocated at once
	noticesKept   = 256 << 10 // octets after which a user's notices go on in another record
)

func (g *group) begin(txn *bdg.Txn, now time.Time) {
	if g.of == nil {
		g.of, g.seen, g.counters = map[contacts.Address]int{}, map[seenKey]delivery.Position{}, map[string]counter{}
	}
	if cap(g.arena) > arenaKeep {
		g.arena = nil
	}
	g.txn, g.now = txn, now
	g.arena, g.count, g.size = g.arena[:0], 0, 0
	g.notices, g.pending, g.index, g.first, g.latest = g.notices[:0], 0, g.index[:0], 0, 0
	clear(g.of)
	clear(g.seen)
	clear(g.counters)
	g.spent = 0
}

// set stages a record whose key and value are the last octets of the arena, the key keyLen of them.
func (g *group) set(start, keyLen int, meta byte) error {
	rec := g.arena[start:len(g.arena):len(g.arena)]
	return g.put(bdg.Entry{Key: rec[:keyLen:keyLen], Value: rec[keyLen:], UserMeta: meta})
}

func (g *group) put(e bdg.Entry) error {
	if g.count == len(g.entries) {
		g.entries, g.count = make([]bdg.Entry, min(max(64, 2*len(g.entries)), slab)), 0
	}
	at := &g.entries[g.count]
	g.count++
	*at = e
	g.size += int64(len(e.Key) + len(e.Value) + entryOverhead)
	if err := g.txn.SetEntry(at); err != nil {
		return fmt.Errorf("stage a record: %w", err)
	}
	return nil
}

// setPosition stages a record that is nothing but a position.
func (g *group) setPosition(key []byte, at delivery.Position) error {
	start := len(g.arena)
	g.arena = appendPosition(append(g.arena, key...), at)
	return g.set(start, len(key), 0)
}

func (g *group) delete(key []byte) error {
	start := len(g.arena)
	g.arena = append(g.arena, key...)
	g.size += int64(len(key) + entryOverhead)
	return g.txn.Delete(g.arena[start:len(g.arena):len(g.arena)])
}

// message stages the record of a message.
func (g *group) message(m *delivery.Message, prev uint64) error {
	var meta byte
	if !m.Settled() {
		meta |= flagOpen
	}
	if m.Origin.Device != "" {
		meta |= flagOrigin
	}
	start := len(g.arena)
	g.arena = appendMessageKey(g.arena, m.ID)
	g.arena = appendMessage(g.arena, m, prev)
	return g.set(start, messageLen, meta)
}

// notice adds an entry to the record of its user.
func (g *group) notice(e *delivery.Entry, id delivery.ID) {
	i, ok := g.of[e.User]
	if !ok || len(g.notices[i].value) > noticesKept {
		i = len(g.notices)
		g.of[e.User] = i
		if i < cap(g.notices) {
			g.notices = g.notices[:i+1]
		} else {
			g.notices = append(g.notices, notices{})
		}
		n := &g.notices[i]
		n.user, n.first = e.User, e.Position
		n.value = appendNoticeHead(n.value[:0], e.User, e.Position)
		g.pending += int64(len(n.value) + noticeLen + entryOverhead)
	}
	n := &g.notices[i]
	n.last = e.Position
	before := len(n.value)
	n.value = appendNotice(n.value, e, id, n.first)
	g.pending += int64(len(n.value) - before)
}

// total is what the group adds to a transaction, as far as it is known.
func (g *group) total() int64 { return g.size + g.pending + int64(len(g.index)) + entryOverhead }

// listed adds a new message to the index of the group.
func (g *group) listed(id delivery.ID, from contacts.Address) {
	if g.first == 0 {
		g.first, g.latest = id.Position(), id.Position()
		g.index = append(g.index, 0, 0, 0, 0, 0, 0, 0, 0) // room for the group's last position
	}
	g.index = appendListing(g.index, listing{id, delivery.Bucket(from)}, g.latest)
	g.latest = id.Position()
}

// finish stages what is written once a group: notices, counters, and the record that carries the last position.
func (g *group) finish(last delivery.Position) error {
	for i := range g.notices {
		n := &g.notices[i]
		start := len(g.arena)
		g.arena = appendBucket(g.arena, prefixNotice, delivery.Bucket(n.user))
		g.arena = appendPosition(g.arena, n.last)
		g.arena = append(g.arena, n.value...)
		if err := g.set(start, noticeLen, 0); err != nil {
			return err
		}
	}
	if err := g.setCounters(); err != nil {
		return err
	}
	if g.first == 0 {
		return g.setPosition([]byte{prefixTick}, last)
	}
	binary.BigEndian.PutUint64(g.index, uint64(last))
	start := len(g.arena)
	g.arena = appendPosition(append(g.arena, prefixIndex), g.first)
	keyLen := len(g.arena) - start
	g.arena = append(g.arena, g.index...)
	return g.set(start, keyLen, 0)
}

// bound is more than a change adds to a transaction.
func bound(c *delivery.Change) (n int64) {
	if m := c.Message; m != nil {
		n += 512 + int64(len(m.From)+len(m.To)+len(m.Key.Text)+len(m.Key.Correlation)+len(m.Reply)+len(m.Payload)+len(m.Origin.Device))
		if m.SMS != nil {
			n += 128 + int64(len(m.SMS.Gateway)+len(m.SMS.Node)+len(m.SMS.From))
			for i := range m.SMS.Segments {
				n += 16 + int64(len(m.SMS.Segments[i].ID))
			}
		}
		for i := range m.Trail {
			s := &m.Trail[i]
			n += 64 + int64(len(s.Step)+len(s.Event)+len(s.Device)+len(s.Reason)+len(s.Evidence))
		}
	}
	for i := range c.Entries {
		e := &c.Entries[i]
		n += 160 + int64(2*len(e.User)+len(e.Peer)+len(e.Topic)+len(e.Body)+len(e.Tag)+len(e.Except))
	}
	for i := range c.Seen {
		n += 96 + int64(len(c.Seen[i].User)+len(c.Seen[i].Device))
	}
	for i := range c.Meetings {
		m := &c.Meetings[i]
		n += 96 + int64(len(m.Gateway)+len(m.ID)+len(m.Mine))
	}
	if t := c.Talk; t != nil {
		n += 160 + int64(len(t.Own)+len(t.Peer)+len(t.User))
	}
	for i := range c.Counts {
		n += 64 + int64(len(c.Counts[i].Key))
	}
	return n
}

// setValue stages a record.
func (g *group) setValue(key, val []byte) error {
	start := len(g.arena)
	g.arena = append(append(g.arena, key...), val...)
	return g.set(start, len(key), 0)
}

// empty reports whether nothing is staged.
func (g *group) empty() bool {
	return g.count == 0 && g.size == 0 && len(g.notices) == 0 && g.spent == 0
}
