package badger

import (
	"bytes"
	"context"
	"math"

	bdg "github.com/dgraph-io/badger/v4"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/store/internal/rule"
)

// List implements delivery.Store.
func (s *Store) List(ctx context.Context, q delivery.Query) (page []*delivery.Message, next delivery.ID, err error) {
	err = s.view(func(txn *bdg.Txn) error {
		page, next, err = listFrom(ctx, txn, q)
		return err
	})
	return page, next, err
}

func listFrom(ctx context.Context, txn *bdg.Txn, q delivery.Query) (page []*delivery.Message, next delivery.ID, err error) {
	it := newIterator(txn, []byte{prefixIndex}, true)
	defer it.Close()
	before := delivery.Position(math.MaxUint64)
	if !q.Before.IsZero() {
		before = q.Before.Position()
	}
	picks := picker(&q)
	for it.Seek(append(appendPosition([]byte{prefixIndex}, before), 0xff, 0xff, 0xff)); it.Valid(); it.Next() {
		if err := ctx.Err(); err != nil {
			return nil, next, err
		}
		found, err := listings(it.Item())
		if err != nil {
			return nil, next, err
		}
		for i := len(found) - 1; i >= 0; i-- {
			l := found[i]
			if !q.Before.IsZero() && bytes.Compare(l.id[:], q.Before[:]) >= 0 || !picks(l) {
				continue
			}
			m, _, err := message(txn, l.id)
			if err == delivery.ErrNotFound || err == nil && !rule.Matches(&q, m) {
				continue
			}
			if err != nil {
				return nil, next, err
			}
			if len(page) == rule.Page(&q) {
				return page, page[len(page)-1].ID, nil
			}
			page = append(page, m)
		}
	}
	return page, delivery.ID{}, nil
}

func listings(item *bdg.Item) (found []listing, err error) {
	err = item.Value(func(val []byte) error {
		_, found, err = parseIndex(item.Key(), val)
		return err
	})
	return found, err
}

// picker returns a function that tells from a listing whether its message may match q.
func picker(q *delivery.Query) func(listing) bool {
	bucket := func(a contacts.Address) func(uint64) bool {
		if a == "" {
			return func(uint64) bool { return true }
		}
		want := delivery.Bucket(a)
		return func(b uint64) bool { return b == want }
	}
	from, to, user, peer := bucket(q.From), bucket(q.To), bucket(q.User), bucket(q.Peer)
	return func(l listing) bool {
		t := l.id.Bucket()
		return from(l.from) && to(t) && (user(l.from) && peer(t) || user(t) && peer(l.from))
	}
}
