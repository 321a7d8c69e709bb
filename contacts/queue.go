package contacts

import (
	"context"
	"sync"
)

// An op is one change that its caller waits for.
type op struct {
	ctx    context.Context
	user   Address
	edit   func(*draft) error // sees what earlier ops of the group have made of the user; with an error it leaves the user alone
	err    error
	events []Event
	done   chan struct{}
}

func newOp(ctx context.Context, a Address, edit func(*draft) error) *op {
	return &op{ctx: ctx, user: a, edit: edit, done: make(chan struct{})}
}

// wait returns what became of the op. When its context ends first, that stays open.
func (o *op) wait() error {
	select {
	case <-o.done:
		return o.err
	case <-o.ctx.Done():
		return o.ctx.Err()
	}
}

// A draft is a user as an edit finds and leaves it.
type draft struct {
	User
	exists bool
	online []string // client ids of the connected devices
	revoke []Token
	events []Event
}

func (dr *draft) tell(k EventKind, token, device string) {
	dr.events = append(dr.events, Event{Kind: k, User: dr.Address, Token: token, Device: device})
}

// A queue is what waits for a goroutine that takes several at once.
type queue[T any] struct {
	mu     sync.Mutex
	wait   []T
	closed bool
	wake   chan struct{} // a bell
}

func newQueue[T any]() *queue[T] { return &queue[T]{wake: make(chan struct{}, 1)} }

func (q *queue[T]) put(all ...T) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	q.wait = append(q.wait, all...)
	ring(q.wake)
	return nil
}

// take returns up to n of what waits, and whether no more will come.
func (q *queue[T]) take(n int) (some []T, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n = min(n, len(q.wait)); n == len(q.wait) {
		some, q.wait = q.wait, nil
	} else {
		some, q.wait = q.wait[:n:n], q.wait[n:]
	}
	if len(q.wait) > 0 || q.closed {
		ring(q.wake)
	}
	return some, q.closed
}

func (q *queue[T]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	ring(q.wake)
}

// ring tells who waits at a bell, a channel of capacity 1, to look again.
func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}
