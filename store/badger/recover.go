package badger

import (
	"context"
	"encoding/binary"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	bdg "github.com/dgraph-io/badger/v4"

	"github.com/seed-7a41469f/godwit/delivery"
)

const (
	recoverParts = 64  // of the key space; a recipient is within one
	recoverBatch = 128 // messages handed over at once
)

// Recover implements delivery.Store. Several goroutines read and decode, fn is called from one at a time.
func (s *Store) Recover(ctx context.Context, since time.Time, fn func(*delivery.Message) error) error {
	version, counts, err := s.beginRecover(ctx)
	if err != nil {
		return err
	}
	counted := map[uint64]int{}
	err = s.scanOpen(ctx, version, since, func(m *delivery.Message) error {
		if !m.Settled() {
			counted[userHash(m.To)]++
		}
		return fn(m)
	})
	s.reads.end(version)
	if !counts {
		return err
	}
	<-s.turn
	defer s.unlock()
	if err == nil {
		s.opened.recovered(counted)
	}
	s.opened.moves = nil
	return err
}

// beginRecover takes a snapshot, and has the changes of open counts noted from there on; one Recover at a time counts.
func (s *Store) beginRecover(ctx context.Context) (version uint64, counts bool, err error) {
	if err := s.lock(ctx); err != nil {
		return 0, false, err
	}
	defer s.unlock()
	if version, err = s.reads.begin(); err != nil {
		return 0, false, err
	}
	if counts = s.opened.moves == nil; counts {
		s.opened.moves = map[uint64]int{}
	}
	return version, counts, nil
}

func (s *Store) scanOpen(ctx context.Context, version uint64, since time.Time, fn func(*delivery.Message) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts := make(chan int, recoverParts)
	for i := range recoverParts {
		parts <- i
	}
	close(parts)
	batches := make(chan []*delivery.Message, 4)
	var wait sync.WaitGroup
	var failed error
	var once sync.Once
	for range min(runtime.GOMAXPROCS(0), 8) {
		wait.Go(func() {
			for part := range parts {
				if err := s.scanPart(ctx, version, part, since, batches); err != nil {
					once.Do(func() { failed = err; cancel() })
					return
				}
			}
		})
	}
	go func() { wait.Wait(); close(batches) }() // ends with the workers, whom cancel stops
	var err error
	for batch := range batches {
		for _, m := range batch {
			if err != nil {
				break
			}
			if err = ctx.Err(); err == nil {
				err = fn(m)
			}
			if err != nil {
				cancel()
			}
		}
	}
	if failed != nil && (err == nil || err == context.Canceled) {
		err = failed
	}
	return err
}

// scanPart sends what is to be recovered of a part of the key space.
func (s *Store) scanPart(ctx context.Context, version uint64, part int, since time.Time, out chan<- []*delivery.Message) error {
	txn := s.db.NewTransactionAt(version, false)
	defer txn.Discard()
	first, end := part*256/recoverParts, (part+1)*256/recoverParts
	it := newIterator(txn, []byte{prefixMessage}, false)
	defer it.Close()
	var batch []*delivery.Message
	send := func() error {
		if len(batch) == 0 {
			return ctx.Err()
		}
		select {
		case out <- batch:
			batch = make([]*delivery.Message, 0, recoverBatch)
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for it.Seek([]byte{prefixMessage, byte(first)}); it.Valid() && int(it.Item().Key()[1]) < end; it.Next() {
		if !wanted(it.Item(), since) {
			continue
		}
		err := it.Item().Value(func(val []byte) error {
			m, _, err := parseMessage(messageID(it.Item().Key()), val)
			batch = append(batch, m)
			return err
		})
		if err != nil {
			return err
		}
		if len(batch) == recoverBatch {
			if err := send(); err != nil {
				return err
			}
		}
	}
	return send()
}

// wanted tells from key and flags whether a message is to be recovered.
func wanted(item *bdg.Item, since time.Time) bool {
	flags := item.UserMeta()
	return flags&flagOpen != 0 || flags&flagOrigin != 0 && !keyPosition(item.Key()).Time().Before(since)
}

// lastPosition returns the last position that any group has used.
func (s *Store) lastPosition() (last delivery.Position, err error) {
	last, err = s.position([]byte{prefixTick})
	if err != nil {
		return 0, err
	}
	err = s.view(func(txn *bdg.Txn) error {
		it := newIterator(txn, []byte{prefixIndex}, true)
		defer it.Close()
		for it.Seek([]byte{prefixIndex, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}); it.Valid(); it.Next() {
			key := it.Item().Key()
			err := it.Item().Value(func(val []byte) error {
				if len(val) < 8 {
					return errRecord(key)
				}
				last = max(last, delivery.Position(binary.BigEndian.Uint64(val)))
				return nil
			})
			if err != nil || len(key) == indexLen {
				return err
			}
		}
		return nil
	})
	return last, err
}

// check compares what is there with what the sequence file remembers. The versions of groups are a gapless sequence; those that were not in
// tables when the file was written stood in the log, where damage drops what follows it without a word.
func (s *Store) check() (alarm, err error) {
	last := s.reads.last
	if alarm := s.sequence.behind(last); alarm != nil || !s.sequence.known {
		return alarm, nil
	}
	var found []uint64
	txn := s.db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	ticks := txn.NewKeyIterator([]byte{prefixTick}, bdg.IteratorOptions{SinceTs: s.sequence.tabled})
	for ticks.Rewind(); ticks.Valid(); ticks.Next() {
		found = append(found, ticks.Item().Version())
	}
	ticks.Close()
	index := txn.NewIterator(bdg.IteratorOptions{Prefix: []byte{prefixIndex}, Reverse: true, AllVersions: true, SinceTs: s.sequence.tabled})
	defer index.Close()
	for index.Seek([]byte{prefixIndex, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}); index.Valid(); index.Next() {
		if len(index.Item().Key()) == indexLen && index.Item().Version() <= s.sequence.tabled {
			break
		}
		found = append(found, index.Item().Version())
	}
	slices.Sort(found)
	return s.sequence.gap(slices.Compact(found), last), nil
}
