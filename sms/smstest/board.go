package smstest

import (
	"context"
	"sync"
)

// A board is what a server knows: its lock, and a bell for those that wait until something is so.
type board struct {
	mu      sync.Mutex
	changed chan struct{} // closed at each change, and made anew
}

func newBoard() board { return board{changed: make(chan struct{})} }

// change does something under the lock, and tells those that wait.
func (b *board) change(do func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	do()
	close(b.changed)
	b.changed = make(chan struct{})
}

// look does something under the lock that changes nothing.
func (b *board) look(do func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	do()
}

// await waits until something is so, which it looks at under the lock.
func (b *board) await(ctx context.Context, so func() bool) error {
	for {
		b.mu.Lock()
		yes, changed := so(), b.changed
		b.mu.Unlock()
		if yes {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
