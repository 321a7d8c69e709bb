package badger

import (
	"context"
	"errors"
	"fmt"

	bdg "github.com/dgraph-io/badger/v4"

	"github.com/seed-7a41469f/godwit/contacts"
)

// Table returns the store's contacts.Table.
func (s *Store) Table() contacts.Table { return &table{s} }

type table struct{ *Store }

// Scan implements contacts.Table.
func (t *table) Scan(ctx context.Context, prefix string, fn func(key string, val []byte, rev uint64) error) error {
	return t.view(func(txn *bdg.Txn) error {
		it := newIterator(txn, append([]byte{prefixTable}, prefix...), false)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			val, err := it.Item().ValueCopy(nil)
			if err != nil {
				return err
			}
			if err := fn(string(it.Item().Key()[1:]), val, it.Item().Version()); err != nil {
				return err
			}
		}
		return nil
	})
}

// Write implements contacts.Table. A row's revision is the version of its record.
func (t *table) Write(ctx context.Context, writes []contacts.Write) (revs []uint64, errs []error, err error) {
	revs, errs = make([]uint64, len(writes)), make([]error, len(writes))
	err = t.update(ctx, func(g *group) error {
		written := make(map[string]bool, len(writes))
		for i, w := range writes {
			if len(w.Val) > maxValue || len(w.Key) > maxKey {
				return fmt.Errorf("row %d of %d is too large: a key has at most %d octets, a value %d", i+1, len(writes), maxKey, maxValue)
			}
			key := append([]byte{prefixTable}, w.Key...)
			rev, err := version(g.txn, key)
			if err != nil {
				return err
			}
			if rev != w.Rev || written[w.Key] {
				errs[i] = contacts.ErrConflict
				continue
			}
			written[w.Key] = true
			if w.Val == nil {
				err = g.delete(key)
			} else {
				revs[i] = t.reads.last + 1
				err = g.setValue(key, w.Val)
			}
			if err != nil {
				return fmt.Errorf("write row %d of %d: %w", i+1, len(writes), err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return revs, errs, nil
}

// version returns the version of a record, 0 when there is none.
func version(txn *bdg.Txn, key []byte) (uint64, error) {
	item, err := txn.Get(key)
	if errors.Is(err, bdg.ErrKeyNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return item.Version(), nil
}
