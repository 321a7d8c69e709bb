package sms

import (
	"math/bits"
	"slices"

	"github.com/seed-7a41469f/godwit/contacts"
)

// backlog is what is wanted and under way, in the order in which it may be taken. It is not safe for concurrent use.
//
// To one number only one MT is under way, or messages of one conversation could overtake each other. Whatever comes up for a number
// meanwhile waits in the number's line, and takes the place at the front that it had when it came up.
type backlog struct {
	byRef  map[Ref]*wanted
	queues [priorities][]*queue // those that tried most first: they have waited longest
	lines  map[uint64]*line     // by number: only those with an MT under way, or with a turn
}

// A wanted message costs 48 bytes and its place in byRef: there may be a great many.
type wanted struct {
	ref        Ref
	to         uint64
	prev, next *wanted
	home       *queue
}

// A queue is first in, first out, of messages with the same priority that have the same gateways left.
type queue struct {
	list
	path  int
	tried uint64 // bit set of gateways
}

// A line is who waits for a number.
type line struct {
	turn *wanted // is at the front of its queue and goes next; nil: an MT is under way
	list
}

func newBacklog() *backlog {
	return &backlog{byRef: make(map[Ref]*wanted), lines: make(map[uint64]*line)}
}

// add puts a message at the end of its queue. One that waits already stays where it is, unless its priority or its gateways have changed.
func (b *backlog) add(ref Ref, to contacts.Number, prio Priority, path int, tried uint64) {
	home := b.queue(min(prio, Retry), path, tried)
	if w := b.byRef[ref]; w != nil {
		if w.home == home {
			return
		}
		b.drop(ref)
	}
	w := &wanted{ref: ref, to: digits(to), home: home}
	b.byRef[ref] = w
	home.pushBack(w)
}

func (b *backlog) queue(prio Priority, path int, tried uint64) *queue {
	for _, q := range b.queues[prio] {
		if q.path == path && q.tried == tried {
			return q
		}
	}
	q := &queue{path: path, tried: tried}
	q.init()
	b.queues[prio] = append(b.queues[prio], q)
	slices.SortStableFunc(b.queues[prio], func(a, b *queue) int { return bits.OnesCount64(b.tried) - bits.OnesCount64(a.tried) })
	return q
}

// drop forgets a message that waits.
func (b *backlog) drop(ref Ref) {
	w := b.byRef[ref]
	if w == nil {
		return
	}
	delete(b.byRef, ref)
	w.unlink()
	if l := b.lines[w.to]; l != nil && l.turn == w {
		b.free(w.to)
	}
}

// take returns the next message of the queues that are mine, and keeps others off its number until free or putBack; nil: there is none.
func (b *backlog) take(mine func(path int, tried uint64) bool) *wanted {
	for _, queues := range b.queues {
		for _, q := range queues {
			if !mine(q.path, q.tried) {
				continue
			}
			for w := q.popFront(); w != nil; w = q.popFront() {
				if b.enter(w) {
					delete(b.byRef, w.ref)
					return w
				}
			}
		}
	}
	return nil
}

// enter takes hold of the number of w, or puts w in the number's line.
func (b *backlog) enter(w *wanted) bool {
	l := b.lines[w.to]
	switch {
	case l == nil:
		l = new(line)
		l.init()
		b.lines[w.to] = l
	case l.turn == w:
		l.turn = nil
	default:
		l.pushBack(w)
		return false
	}
	return true
}

// free gives the number to the next in its line.
func (b *backlog) free(to uint64) {
	l := b.lines[to]
	w := l.popFront()
	if w == nil {
		delete(b.lines, to)
		return
	}
	l.turn = w
	w.home.pushFront(w)
}

// putBack returns what take gave to where it was, unless it was wanted again meanwhile.
func (b *backlog) putBack(w *wanted) {
	if b.byRef[w.ref] != nil {
		b.free(w.to)
		return
	}
	b.byRef[w.ref] = w
	b.lines[w.to].turn = w
	w.home.pushFront(w)
}

// digits returns the digits of a number as one: at most 15 (ITU-T E.164 §6), so no two numbers share one.
func digits(n contacts.Number) (d uint64) {
	for i := range len(n) {
		d = d*10 + uint64(n[i]-'0')
	}
	return d
}

// A list is a ring of wanted messages around its root, so that one that is in it can leave it by itself.
type list struct{ root wanted }

func (l *list) init() { l.root.prev, l.root.next = &l.root, &l.root }

func (l *list) pushBack(w *wanted)  { w.insert(l.root.prev) }
func (l *list) pushFront(w *wanted) { w.insert(&l.root) }

func (l *list) popFront() *wanted {
	w := l.root.next
	if w == &l.root {
		return nil
	}
	w.unlink()
	return w
}

func (w *wanted) insert(after *wanted) {
	w.prev, w.next = after, after.next
	after.next.prev = w
	after.next = w
}

func (w *wanted) unlink() {
	w.prev.next, w.next.prev = w.next, w.prev
	w.prev, w.next = nil, nil
}
