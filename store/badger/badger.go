// Package badger keeps messages in an embedded badger database: the store of one machine.
//
// What Commit has answered survives kill -9 and power loss: one transaction, synced, a group. Each transaction has the next number of a gapless
// sequence as its version; Open finds a group that is missing and raises an Alarm. Nothing is ever deleted to make a damaged store open. Badger meets
// a full disk with SIGBUS, so new messages are refused while there is still room to deliver the old ones, and a ballast file is there to be given up.
package badger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	bdg "github.com/dgraph-io/badger/v4"
	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

var (
	_ delivery.Store = (*Store)(nil)
	_ contacts.Table = (*table)(nil)
)

var (
	// ErrLocked says that another process has the store open.
	ErrLocked = errors.New("the store is in use by another process")
	// ErrClosed is what a closed store answers.
	ErrClosed = errors.New("the store is closed")
)

// Options of a Store. The zero value is good.
type Options struct {
	Log      zerolog.Logger // also badger's own log
	DiskFree int64          // octets free on the volume below which new messages are refused; 0: 1 GiB or 15 %, whichever is less

	volume      volume        // tests say how much is free
	tabledEvery time.Duration // and how often to look which groups have left the log; 0: 10 s
}

// A Store is a delivery.Store and, by Table, a contacts.Table.
type Store struct {
	db       *bdg.DB
	log      zerolog.Logger
	alarm    error
	reads    snapshots
	ageFloor atomic.Uint64 // position up to which settled messages are in no inbox any more

	turn     chan struct{} // holds a token while nobody commits; what follows belongs to who has it
	failed   error         // no commit is possible any more
	last     delivery.Position
	revs     revisions
	opened   counts
	group    group
	space    *space
	sequence *sequence
}

// Open opens the store in a directory, or makes a new one. Without options it has the defaults.
func Open(dir string, options ...Options) (*Store, error) {
	var opt Options
	if len(options) > 0 {
		opt = options[0]
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s, err := open(dir, opt)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	return s, nil
}

func open(dir string, opt Options) (*Store, error) {
	space, err := openSpace(dir, opt)
	if err != nil {
		return nil, err
	}
	db, err := openDB(dir, opt.Log)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, log: opt.Log, space: space, turn: make(chan struct{}, 1)}
	s.revs.init()
	s.reads.init(db.MaxVersion())
	if err := s.load(dir, cmp.Or(opt.tabledEvery, tabledEvery)); err != nil {
		db.Close()
		return nil, err
	}
	if s.alarm != nil {
		s.log.Error().Err(s.alarm).Msg("store: messages were lost; accepting goes on")
	}
	s.turn <- struct{}{}
	return s, nil
}

// load reads what the store must know before it works, and checks that no group is missing.
func (s *Store) load(dir string, tabledEvery time.Duration) (err error) {
	if s.sequence, err = openSequence(dir, tabledEvery); err != nil {
		return err
	}
	if s.alarm, err = s.check(); err != nil {
		return err
	}
	if s.last, err = s.lastPosition(); err != nil {
		return err
	}
	floor, err := s.position([]byte{prefixAgeFloor})
	s.ageFloor.Store(uint64(floor))
	return err
}

// Alarm returns what the check at Open found missing; nil when everything was there.
func (s *Store) Alarm() error { return s.alarm }

// Close waits for what is under way and closes the store.
func (s *Store) Close() error {
	<-s.turn
	closed := s.failed == ErrClosed
	s.failed = ErrClosed
	s.unlock()
	if closed {
		return nil
	}
	s.reads.close() // without the turn, so that a reader who waits for it gets an answer
	if err := errors.Join(s.db.Close(), s.sequence.close()); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// lock waits for the turn to commit.
func (s *Store) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-s.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := s.failed; err != nil {
		s.unlock()
		return err
	}
	return nil
}

func (s *Store) unlock() { s.turn <- struct{}{} }

// snapshots counts who reads what, so that no version that somebody still reads is compacted away, and Close waits for readers.
type snapshots struct {
	mu     sync.Mutex
	last   uint64 // the latest synced version
	open   map[uint64]int
	closed bool
	idle   chan struct{} // closed once closed and nobody reads
}

func (r *snapshots) init(last uint64) {
	r.last, r.open, r.idle = last, map[uint64]int{}, make(chan struct{})
}

func (r *snapshots) begin() (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, ErrClosed
	}
	r.open[r.last]++
	return r.last, nil
}

func (r *snapshots) end(version uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[version]--; r.open[version] == 0 {
		delete(r.open, version)
	}
	if r.closed && len(r.open) == 0 {
		close(r.idle)
	}
}

func (r *snapshots) synced(version uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = version
}

// oldest returns the oldest version that is read.
func (r *snapshots) oldest() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	oldest := r.last
	for version := range r.open {
		oldest = min(oldest, version)
	}
	return oldest
}

func (r *snapshots) close() {
	r.mu.Lock()
	r.closed = true
	if len(r.open) == 0 {
		close(r.idle)
	}
	r.mu.Unlock()
	<-r.idle
}

// view runs fn on the latest synced state, all of it from one moment.
func (s *Store) view(fn func(*bdg.Txn) error) error {
	version, err := s.reads.begin()
	if err != nil {
		return err
	}
	defer s.reads.end(version)
	txn := s.db.NewTransactionAt(version, false)
	defer txn.Discard()
	return fn(txn)
}
