package contacts

import (
	"math"
	"slices"
	"sync"
)

// An Event is what watchers of a Directory are told, after it has come true.
type Event struct {
	Kind   EventKind
	User   Address
	Token  string // TokenRevoked: its id
	Device string // DeviceForgotten: its client id
}

// An EventKind is what an Event tells.
type EventKind uint8

// The kinds of events.
const (
	TokenRevoked    EventKind = iota + 1 // who is connected with it must go
	UserRemoved                          // with all tokens; a DeviceForgotten for each remembered device follows
	DeviceForgotten                      // the session of a remembered device has ended
	UserChanged                          // added, registered (again), or subscribed to an inbox for the first time
	KeysChanged                          // of nobody in particular: logins by JWT may hold no more, see SetVerifier
)

func (k EventKind) String() string {
	names := [...]string{"none", "token revoked", "user removed", "device forgotten", "user changed", "keys changed"}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

// An announcer calls watchers from a goroutine of its own, so that they may call the Directory.
type announcer struct {
	queue *queue[numbered]
	done  chan struct{}

	mu       sync.Mutex
	last     uint64 // number of the latest event
	watchers []*watcher
}

type numbered struct {
	Event
	n uint64
}

type watcher struct {
	fn    func(Event)
	after uint64 // the number of the last event before Watch
}

func newAnnouncer() *announcer {
	return &announcer{queue: newQueue[numbered](), done: make(chan struct{})}
}

// tell takes events in the order in which they came true. After Close nobody is there to be told.
func (n *announcer) tell(events ...Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range events {
		n.last++
		_ = n.queue.put(numbered{e, n.last})
	}
}

func (n *announcer) run() {
	defer close(n.done)
	for {
		events, closed := n.queue.take(math.MaxInt)
		for _, e := range events {
			n.call(e)
		}
		if closed && len(events) == 0 {
			return
		}
		<-n.queue.wake
	}
}

func (n *announcer) call(e numbered) {
	n.mu.Lock()
	watchers := n.watchers
	n.mu.Unlock()
	for _, w := range watchers {
		if e.n > w.after {
			w.fn(e.Event)
		}
	}
}

// Watch has fn called with every event from now on, one after the other and in order, from a goroutine of the Directory that holds no lock.
// A call under way when stop is called is not waited for.
func (d *Directory) Watch(fn func(Event)) (stop func()) {
	n := d.events
	n.mu.Lock()
	defer n.mu.Unlock()
	w := &watcher{fn: fn, after: n.last}
	n.watchers = append(slices.Clip(n.watchers), w) // a new list: call may be using the old one
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.watchers = slices.DeleteFunc(slices.Clone(n.watchers), func(other *watcher) bool { return other == w })
	}
}
