// Package memory keeps messages in memory, for tests: it is a delivery.Store that crashes on request.
//
// It knows what was written and what was synced, and Crash keeps only the latter. Faults befall commits in the order they were injected: a delay, a
// failure before, after or in the middle of the write. Nothing in it does I/O or starts a goroutine, and whoever waits, waits on a channel of the
// store or in time.Sleep, so that it lives in a testing/synctest bubble (make the store inside of it).
package memory

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

var (
	_ delivery.Store = (*Store)(nil)
	_ contacts.Table = (*table)(nil)
)

// ErrCrashed is what a store answers after Crash, and a torn commit.
var ErrCrashed = errors.New("the memory store has crashed")

// ErrFault is the error of a Fault that names none.
var ErrFault = errors.New("injected fault")

// A Store is a delivery.Store and, by Table, a contacts.Table.
type Store struct {
	turn chan struct{} // holds a token while nobody commits

	mu      sync.RWMutex
	written *state // what readers see
	synced  *state // what survives a crash
	pending []write
	crashed bool
	full    bool
	faults  []Fault
}

// New returns an empty Store.
func New() *Store { return open(newState()) }

func open(s *state) *Store {
	st := &Store{turn: make(chan struct{}, 1), written: s, synced: s.clone()}
	st.turn <- struct{}{}
	return st
}

// A Fault is what befalls one commit.
type Fault struct {
	Delay time.Duration // before anything is written
	Wrote Extent
	Keep  int   // Torn: how many changes reach the disk
	Err   error // nil: ErrFault; a Fault with Wrote All and no Err succeeds
}

// An Extent says how much of a commit is written.
type Extent uint8

// The extents.
const (
	All      Extent = iota // written and synced; with an Err the caller does not learn it
	Nothing                // not even written
	Unsynced               // readers see it, a crash loses it
	Torn                   // the first Keep changes are synced, then the store crashes
)

// Inject adds faults for the commits to come, one each.
func (s *Store) Inject(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, faults...)
}

// SetFull makes new messages meet ErrDisk, or ends that.
func (s *Store) SetFull(full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = full
}

// Crash ends the store: whatever is called on it from now on, or is under way, fails with ErrCrashed. It returns the store as a new process finds it.
func (s *Store) Crash() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crashed = true
	return open(s.synced.clone())
}

// Reopen ends the store as a clean stop does, and returns it as a new process finds it.
func (s *Store) Reopen() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crashed = true
	return open(s.written.clone())
}

// commit runs judge, which stages changes, and makes what it staged durable.
func (s *Store) commit(ctx context.Context, judge func(t *turn)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	f := s.fault()
	if f.Delay > 0 {
		time.Sleep(f.Delay)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.crashed {
		return ErrCrashed
	}
	if f.Wrote == Nothing {
		return f.Err
	}
	t := &turn{state: s.written, now: time.Now(), full: s.full}
	judge(t)
	s.pending = append(s.pending, t.flat()...)
	switch f.Wrote {
	case Torn:
		s.pending = s.pending[:len(s.pending)-len(t.flat())]
		s.pending = append(s.pending, t.first(f.Keep)...)
		s.sync()
		s.crashed = true
	case All:
		s.sync()
	}
	return f.Err
}

func (s *Store) fault() Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) == 0 {
		return Fault{}
	}
	f := s.faults[0]
	s.faults = s.faults[1:]
	if f.Err == nil && f.Wrote == Torn {
		f.Err = ErrCrashed
	}
	if f.Err == nil && f.Wrote != All {
		f.Err = ErrFault
	}
	return f
}

func (s *Store) sync() {
	for _, w := range s.pending {
		w(s.synced)
	}
	s.pending = nil
}

// read runs fn on what was written.
func (s *Store) read(fn func(*state) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.crashed {
		return ErrCrashed
	}
	return fn(s.written)
}
