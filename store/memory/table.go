package memory

import (
	"context"
	"slices"
	"strings"

	"github.com/seed-7a41469f/godwit/contacts"
)

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
