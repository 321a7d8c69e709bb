package badger

import (
	"bytes"
	"context"
	"slices"
	"time"

	bdg "github.com/dgraph-io/badger/v4"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/store/internal/rule"
)

const (
	pruneBatch = 256  // records that one commit changes
	pruneScan  = 4096 // records that one snapshot looks at
)

// Prune implements delivery.Store.
func (s *Store) Prune(ctx context.Context, now time.Time, keep delivery.Retention) error {
	if err := s.pruneMessages(ctx, now, keep); err != nil {
		return err
	}
	if err := s.raiseAgeFloor(ctx, rule.Before(now, keep.InboxAge)); err != nil {
		return err
	}
	if err := s.pruneNotices(ctx, now, keep); err != nil {
		return err
	}
	if err := s.sweep(ctx, prefixKey, func(val []byte) bool {
		var id delivery.ID
		return copy(id[:], val) == len(id) && !rule.Fresh(id, now, keep.Keys)
	}); err != nil {
		return err
	}
	return s.pruneSMS(ctx, now, keep)
}

func (s *Store) raiseAgeFloor(ctx context.Context, floor delivery.Position) error {
	if delivery.Position(s.ageFloor.Load()) >= floor {
		return nil
	}
	err := s.update(ctx, func(g *group) error { return g.setPosition([]byte{prefixAgeFloor}, floor) })
	if err == nil {
		s.ageFloor.Store(uint64(floor))
	}
	return err
}

// walk shows fn the records of a key space from one key on, a snapshot for some of them at a time, until fn has enough. It returns where to go on,
// nil at the end.
func (s *Store) walk(ctx context.Context, prefix byte, from []byte, reverse bool, fn func(txn *bdg.Txn, item *bdg.Item, val []byte) (enough bool, err error)) (next []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err = s.view(func(txn *bdg.Txn) error {
		it := newIterator(txn, []byte{prefix}, reverse)
		defer it.Close()
		seen, enough := 0, false
		for it.Seek(from); it.Valid(); it.Next() {
			if enough || seen == pruneScan {
				next = it.Item().KeyCopy(nil)
				return nil
			}
			seen++
			err := it.Item().Value(func(val []byte) (err error) {
				enough, err = fn(txn, it.Item(), val)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return next, err
}

// sweep deletes the records of a key space that are old.
func (s *Store) sweep(ctx context.Context, prefix byte, old func(val []byte) bool) error {
	for from := []byte{prefix}; from != nil; {
		var doomed [][]byte
		next, err := s.walk(ctx, prefix, from, false, func(_ *bdg.Txn, item *bdg.Item, val []byte) (bool, error) {
			if old(val) {
				doomed = append(doomed, item.KeyCopy(nil))
			}
			return len(doomed) >= pruneBatch, nil
		})
		if err != nil {
			return err
		}
		if err := s.deleteOld(ctx, doomed, old); err != nil {
			return err
		}
		from = next
	}
	return nil
}

// deleteOld deletes those records that are still old: a key may name a new message meanwhile.
func (s *Store) deleteOld(ctx context.Context, keys [][]byte, old func(val []byte) bool) error {
	if len(keys) == 0 {
		return nil
	}
	return s.update(ctx, func(g *group) error {
		for _, key := range keys {
			doomed := false
			err := get(g.txn, key, func(_ *bdg.Item, val []byte) error {
				doomed = old(val)
				return nil
			})
			if err == nil && doomed {
				err = g.delete(key)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// pruneMessages goes through the index, which is in the order of acceptance, as far as anything can be too old.
func (s *Store) pruneMessages(ctx context.Context, now time.Time, keep delivery.Retention) error {
	end := []byte{prefixIndex + 1}
	if keep.History > 0 {
		end = appendPosition([]byte{prefixIndex}, rule.Before(now, keep.History)+1)
	}
	for from := []byte{prefixIndex}; from != nil && bytes.Compare(from, end) < 0; {
		var doomed [][]byte
		messages := 0
		next, err := s.walk(ctx, prefixIndex, from, false, func(txn *bdg.Txn, item *bdg.Item, val []byte) (bool, error) {
			if bytes.Compare(item.Key(), end) >= 0 {
				return true, nil
			}
			kept, found, err := keptListings(txn, item.Key(), val, now, keep)
			if err == nil && len(kept) < len(found) {
				doomed = append(doomed, item.KeyCopy(nil))
				messages += len(found) - len(kept)
			}
			return messages >= pruneBatch, err
		})
		if err != nil {
			return err
		}
		if err := s.dropMessages(ctx, doomed, now, keep); err != nil {
			return err
		}
		from = next
	}
	return nil
}

// keptListings returns which messages of an index record stay, and all.
func keptListings(txn *bdg.Txn, key, val []byte, now time.Time, keep delivery.Retention) (kept, found []listing, err error) {
	if _, found, err = parseIndex(key, val); err != nil {
		return nil, nil, err
	}
	for _, l := range found {
		m, _, err := message(txn, l.id)
		if err == delivery.ErrNotFound {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		seen := false
		if keep.History <= 0 && m.Settled() {
			if seen, err = seenByAll(txn, m.To, m.Stands); err != nil {
				return nil, nil, err
			}
		}
		if !rule.Dropped(m, now, keep, seen) {
			kept = append(kept, l)
		}
	}
	return kept, found, nil
}

// seenByAll reports whether every remembered device of a user is past a position.
func seenByAll(txn *bdg.Txn, user contacts.Address, at delivery.Position) (bool, error) {
	floor, err := position(txn, appendFloorKey(nil, user))
	if err != nil || floor >= at {
		return true, err
	}
	seen, err := seenBy(txn, user)
	for device, upTo := range seen {
		if device != "" && upTo < at {
			return false, err
		}
	}
	return true, err
}

// dropMessages deletes what is still too old of the messages in some index records, and takes them off those.
func (s *Store) dropMessages(ctx context.Context, keys [][]byte, now time.Time, keep delivery.Retention) error {
	for part := range slices.Chunk(keys, pruneBatch) {
		err := s.update(ctx, func(g *group) error {
			for _, key := range part {
				err := get(g.txn, key, func(_ *bdg.Item, val []byte) error {
					kept, found, err := keptListings(g.txn, key, val, now, keep)
					if err != nil {
						return err
					}
					return g.drop(key, val, found, kept)
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (g *group) drop(key, val []byte, found, kept []listing) error {
	for _, l := range found {
		if slices.Contains(kept, l) {
			continue
		}
		if err := g.delete(appendMessageKey(nil, l.id)); err != nil {
			return err
		}
	}
	if len(kept) == 0 {
		return g.delete(key)
	}
	rest := append([]byte(nil), val[:8]...)
	previous := indexPosition(key)
	for _, l := range kept {
		rest = appendListing(rest, l, previous)
		previous = l.id.Position()
	}
	return g.setValue(key, rest)
}

// pruneNotices leaves each user the newest ones, going backwards so that they come first.
func (s *Store) pruneNotices(ctx context.Context, now time.Time, keep delivery.Retention) error {
	p := noticePruner{tooOld: max(rule.Before(now, keep.NoticeAge), delivery.Position(s.ageFloor.Load())), most: keep.Notices}
	for from := []byte{prefixNotice, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}; from != nil; {
		p.edits, p.size = p.edits[:0], 0
		next, err := s.walk(ctx, prefixNotice, from, true, func(txn *bdg.Txn, item *bdg.Item, val []byte) (bool, error) {
			err := p.record(txn, item, val)
			return len(p.edits) >= pruneBatch || p.size > maxValue, err
		})
		if err != nil {
			return err
		}
		if len(p.edits) > 0 {
			if err := s.update(ctx, p.apply); err != nil {
				return err
			}
		}
		from = next
	}
	return nil
}

type noticePruner struct {
	tooOld delivery.Position
	most   int
	bucket []byte
	counts map[contacts.Address]int // notices kept, of the users of the bucket
	edits  []noticeEdit
	size   int // of the records that are edited
}

type noticeEdit struct {
	key  []byte
	kept []delivery.Entry // oldest first; none: the record goes
}

func (p *noticePruner) record(txn *bdg.Txn, item *bdg.Item, val []byte) error {
	if bucket := item.Key()[1 : 1+bucketLen]; !bytes.Equal(bucket, p.bucket) {
		p.bucket, p.counts = bytes.Clone(bucket), map[contacts.Address]int{}
	}
	entries, err := parseNotices(val)
	if err != nil {
		return err
	}
	var kept []delivery.Entry
	for _, e := range slices.Backward(entries) {
		keep, err := p.keeps(txn, &e)
		if err != nil {
			return err
		}
		if keep {
			kept = append(kept, e)
		}
	}
	if len(kept) < len(entries) {
		slices.Reverse(kept)
		p.edits = append(p.edits, noticeEdit{item.KeyCopy(nil), kept})
		p.size += len(val)
	}
	return nil
}

func (p *noticePruner) keeps(txn *bdg.Txn, e *delivery.Entry) (bool, error) {
	if e.Kind == delivery.In {
		m, _, err := message(txn, e.ID)
		if err == delivery.ErrNotFound {
			return false, nil
		}
		return err == nil && m.Stands == e.Position, err
	}
	if e.Position <= p.tooOld || p.counts[e.User] >= p.most {
		return false, nil
	}
	p.counts[e.User]++
	return true, nil
}

// apply stages the edits. No one else changes a notice record; at most it was forgotten meanwhile, and then nobody sees what is left of it.
func (p *noticePruner) apply(g *group) error {
	for _, edit := range p.edits {
		if len(edit.kept) == 0 {
			if err := g.delete(edit.key); err != nil {
				return err
			}
			continue
		}
		first := edit.kept[0].Position
		val := appendNoticeHead(nil, edit.kept[0].User, first)
		for i := range edit.kept {
			val = appendNotice(val, &edit.kept[i], edit.kept[i].ID, first)
		}
		if err := g.setValue(edit.key, val); err != nil {
			return err
		}
	}
	return nil
}

// Forget implements delivery.Store: a floor hides everything up to it at once, then the notices go.
func (s *Store) Forget(ctx context.Context, user contacts.Address, upTo delivery.Position) error {
	err := s.update(ctx, func(g *group) error {
		key := appendFloorKey(nil, user)
		floor, err := position(g.txn, key)
		if err != nil || floor >= upTo {
			return err
		}
		return g.setPosition(key, upTo)
	})
	prefix := appendBucket(nil, prefixNotice, delivery.Bucket(user))
	end := appendPosition(bytes.Clone(prefix), upTo)
	for from, past := prefix, false; err == nil && from != nil && !past; {
		var doomed [][]byte
		from, err = s.walk(ctx, prefixNotice, from, false, func(_ *bdg.Txn, item *bdg.Item, val []byte) (bool, error) {
			if past = bytes.Compare(item.Key(), end) > 0; !past && noticeUser(val) == user {
				doomed = append(doomed, item.KeyCopy(nil))
			}
			return past || len(doomed) >= pruneBatch, nil
		})
		if err == nil {
			err = s.deleteOld(ctx, doomed, func([]byte) bool { return true })
		}
	}
	return err
}
