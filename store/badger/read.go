package badger

import (
	"context"
	"math"

	bdg "github.com/dgraph-io/badger/v4"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/store/internal/rule"
)

func newIterator(txn *bdg.Txn, prefix []byte, reverse bool) *bdg.Iterator {
	return txn.NewIterator(bdg.IteratorOptions{Prefix: prefix, Reverse: reverse}) // values stand beside the keys: nothing to prefetch
}

// Message implements delivery.Store.
func (s *Store) Message(_ context.Context, id delivery.ID) (m *delivery.Message, err error) {
	err = s.view(func(txn *bdg.Txn) error {
		m, _, err = message(txn, id)
		return err
	})
	return m, err
}

// Inbox implements delivery.Store.
func (s *Store) Inbox(_ context.Context, user contacts.Address, after, atLeast delivery.Position, n int) (entries []delivery.Entry, next delivery.Position, err error) {
	next = after
	err = s.view(func(txn *bdg.Txn) error {
		floor, err := position(txn, appendFloorKey(nil, user))
		if err != nil {
			return err
		}
		from := max(after, floor)
		if from == math.MaxUint64 {
			return nil
		}
		b := newInbox(txn, user, from, delivery.Position(s.ageFloor.Load()))
		defer b.close()
		for {
			at, err := b.peek()
			if err != nil {
				return err
			}
			if at == 0 {
				next = max(next, atLeast)
				return nil
			}
			if len(entries) >= n {
				return nil
			}
			next = at
			e, shown, err := b.take()
			if err != nil {
				return err
			}
			if shown {
				entries = append(entries, e)
			}
		}
	})
	return entries, next, err
}

// An inbox merges a user's messages and notices by position.
type inbox struct {
	txn      *bdg.Txn
	user     contacts.Address
	ageFloor delivery.Position
	messages *bdg.Iterator
	notices  *noticeCursor
}

func newInbox(txn *bdg.Txn, user contacts.Address, after, ageFloor delivery.Position) *inbox {
	prefix := appendBucket(nil, prefixMessage, delivery.Bucket(user))
	b := &inbox{txn: txn, user: user, ageFloor: ageFloor, messages: newIterator(txn, prefix, false), notices: newNotices(txn, user, after)}
	b.messages.Seek(appendPosition(prefix, after+1))
	return b
}

func (b *inbox) close() {
	b.messages.Close()
	b.notices.close()
}

// peek returns the position of the next entry, 0 when there is none.
func (b *inbox) peek() (at delivery.Position, err error) {
	if b.messages.Valid() {
		at = keyPosition(b.messages.Item().Key())
	}
	notices, err := b.notices.peek()
	if err == nil && len(notices) > 0 && (at == 0 || notices[0].Position < at) {
		at = notices[0].Position
	}
	return at, err
}

// take returns the entry that peek told of; false when it is to be left out.
func (b *inbox) take() (e delivery.Entry, shown bool, err error) {
	notices, err := b.notices.peek()
	if err != nil {
		return e, false, err
	}
	if len(notices) > 0 && (!b.messages.Valid() || notices[0].Position < keyPosition(b.messages.Item().Key())) {
		e = notices[0]
		b.notices.skip()
		return b.complete(e)
	}
	defer b.messages.Next()
	item := b.messages.Item()
	at := keyPosition(item.Key())
	if item.UserMeta()&flagOpen == 0 && at <= b.ageFloor {
		return e, false, nil
	}
	err = item.Value(func(val []byte) error {
		m, _, err := parseMessage(messageID(item.Key()), val)
		if err == nil && m.To == b.user && m.Stands == at {
			e = delivery.Entry{Position: at, User: b.user, Kind: delivery.In, ID: m.ID, Peer: m.From, At: m.Accepted, Message: m}
			shown = true
		}
		return err
	})
	return e, shown, err
}

// complete adds its message to a notice.
func (b *inbox) complete(e delivery.Entry) (delivery.Entry, bool, error) {
	if !rule.HasMessage(e.Kind) {
		return e, true, nil
	}
	m, _, err := message(b.txn, e.ID)
	if err == delivery.ErrNotFound {
		return e, false, nil
	}
	if err != nil {
		return e, false, err
	}
	e.Message = m
	stands := !rule.Stands(e.Kind) || m.Stands == e.Position && !(m.Settled() && e.Position <= b.ageFloor)
	return e, stands, nil
}

// A noticeCursor goes through a user's notices after a position.
type noticeCursor struct {
	user  contacts.Address
	after delivery.Position
	it    *bdg.Iterator
	queue []delivery.Entry // of the record before it
}

func newNotices(txn *bdg.Txn, user contacts.Address, after delivery.Position) *noticeCursor {
	prefix := appendBucket(nil, prefixNotice, delivery.Bucket(user))
	c := &noticeCursor{user: user, after: after, it: newIterator(txn, prefix, false)}
	c.it.Seek(appendPosition(prefix, after+1))
	return c
}

// peek returns the next notices, at least one unless there are no more.
func (c *noticeCursor) peek() ([]delivery.Entry, error) {
	for len(c.queue) == 0 && c.it.Valid() {
		err := c.it.Item().Value(func(val []byte) (err error) {
			if noticeUser(val) == c.user {
				c.queue, err = parseNotices(val)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		for len(c.queue) > 0 && c.queue[0].Position <= c.after {
			c.queue = c.queue[1:]
		}
		c.it.Next()
	}
	return c.queue, nil
}

func (c *noticeCursor) skip() { c.queue = c.queue[1:] }

func (c *noticeCursor) close() { c.it.Close() }

// Seen implements delivery.Store.
func (s *Store) Seen(_ context.Context, user contacts.Address) (seen map[string]delivery.Position, err error) {
	err = s.view(func(txn *bdg.Txn) error {
		seen, err = seenBy(txn, user)
		return err
	})
	return seen, err
}

func seenBy(txn *bdg.Txn, user contacts.Address) (map[string]delivery.Position, error) {
	seen := map[string]delivery.Position{}
	it := newIterator(txn, appendSeenPrefix(nil, user), false)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		err := it.Item().Value(func(val []byte) error {
			r := reader{b: val}
			at := delivery.Position(r.uint64())
			seen[string(r.b)] = at
			if r.bad {
				return errRecord([]byte{prefixSeen})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return seen, nil
}
