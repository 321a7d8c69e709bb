package sms

import (
	"slices"

	"github.com/seed-7a41469f/godwit/contacts"
)

// backlog is what is wanted and under way, in the order in which it may be taken. It is not safe for concurrent use.
//
// To one number only one MT is under way, or messages of one conversation could overtake each other. Whatever comes up for a number
// meanwhile waits in the number's line, and takes the place at the front that it had when it came up. So each message is moved at most twice
// before it is taken, and nothing is looked at that cannot be: what a gateway may take now is at its stand.
type backlog struct {
	byRef  map[Ref]*wanted
	paths  []path
	byHome map[home]*queue
	queues []*queue         // the same, in the order of their making
	lines  map[uint64]*line // by number: only those with an MT under way, or with a turn
	stands []stand          // by gateway
	held   uint64           // bit set of the gateways that an operator paused
	paused uint64           // bit set of those that pause by themselves
	news   uint64           // bit set of the gateways that have something new to take; who reads it clears it
}

// A wanted message costs 48 bytes and its place in byRef: there may be a great many.
type wanted struct {
	ref        Ref
	to         uint64
	prev, next *wanted
	home       *queue
}

// A home is what messages have in common that wait in one queue.
type home struct {
	prio  Priority
	path  int
	tried uint64 // bit set of gateways to be passed over
}

// A queue is first in, first out, of messages with the same home.
type queue struct {
	list
	home
	size  int  // messages whose home it is and that wait, those in lines with them
	at    int  // the gateway that takes from it; none: all are paused, or no route takes it
	stood bool // it is at the stand of that gateway
}

// A stand is what one gateway may take from: queues with something in them, those of one priority in turn.
type stand struct {
	queues  [priorities][]*queue
	elapsed int // messages taken since the latest retry
}

// retryShare is of how many messages a gateway takes one is a retry, when one waits: retries come last, and would wait for ever behind fresh
// messages that never end.
const retryShare = 8

// A line is who waits for a number.
type line struct {
	turn *wanted // is at the front of its queue and goes next; nil: an MT is under way
	list
}

func newBacklog(gateways int, paths []path) *backlog {
	return &backlog{byRef: map[Ref]*wanted{}, paths: paths, byHome: map[home]*queue{}, lines: map[uint64]*line{}, stands: make([]stand, gateways)}
}

// add puts a message at the end of its queue. One that waits already stays where it is, unless it has another home now.
func (b *backlog) add(ref Ref, to contacts.Number, h home) {
	if b.paths[h.path].all&^h.tried == 0 {
		h.tried = 0
	}
	h.tried &= b.paths[h.path].all
	h.prio = min(h.prio, Retry)
	if w := b.byRef[ref]; w != nil {
		if w.home.home == h {
			return
		}
		b.drop(ref)
	}
	w := &wanted{ref: ref, to: digits(to), home: b.queue(h)}
	b.byRef[ref] = w
	w.home.size++
	w.home.pushBack(w)
	b.offer(w.home)
}

func (b *backlog) queue(h home) *queue {
	q := b.byHome[h]
	if q == nil {
		q = &queue{home: h, at: b.gateway(h)}
		q.init()
		b.byHome[h] = q
		b.queues = append(b.queues, q)
	}
	return q
}

func (b *backlog) gateway(h home) int { return b.paths[h.path].choose(h.tried, b.held, b.paused) }

// offer brings a queue with something in it to the stand of its gateway.
func (b *backlog) offer(q *queue) {
	if q.at == none || q.empty() {
		return
	}
	b.news |= 1 << q.at
	if !q.stood {
		q.stood = true
		s := &b.stands[q.at]
		s.queues[q.prio] = append(s.queues[q.prio], q)
	}
}

// pause says which gateways are paused, by an operator and by themselves: their queues go to others, as the paths say.
func (b *backlog) pause(held, paused uint64) {
	if held == b.held && paused == b.paused {
		return
	}
	b.held, b.paused = held, paused
	for i := range b.stands {
		b.stands[i].queues = [priorities][]*queue{}
	}
	b.queues = slices.DeleteFunc(b.queues, func(q *queue) bool {
		if q.size == 0 {
			delete(b.byHome, q.home)
		}
		return q.size == 0
	})
	for _, q := range b.queues {
		q.at, q.stood = b.gateway(q.home), false
		b.offer(q)
	}
}

// drop forgets a message that waits.
func (b *backlog) drop(ref Ref) {
	w := b.byRef[ref]
	if w == nil {
		return
	}
	delete(b.byRef, ref)
	w.home.size--
	w.unlink()
	if l := b.lines[w.to]; l != nil && l.turn == w {
		b.free(w.to)
	}
}

// take returns the next message for a gateway, and keeps others off its number until free or putBack; nil: there is none.
func (b *backlog) take(gateway int) *wanted {
	s := &b.stands[gateway]
	order := [priorities]Priority{Reply, Fresh, Retry}
	if s.elapsed >= retryShare-1 {
		order = [priorities]Priority{Retry, Reply, Fresh}
	}
	for _, prio := range order {
		for len(s.queues[prio]) > 0 {
			q := s.queues[prio][0]
			s.queues[prio] = slices.Delete(s.queues[prio], 0, 1)
			q.stood = false
			w := b.takeFrom(q)
			b.offer(q) // it comes up again after the others
			if w == nil {
				continue
			}
			if s.elapsed++; prio == Retry {
				s.elapsed = 0
			}
			return w
		}
	}
	return nil
}

// takeFrom returns the first message of a queue whose number is free; nil: there is none.
func (b *backlog) takeFrom(q *queue) *wanted {
	for w := q.popFront(); w != nil; w = q.popFront() {
		if b.enter(w) {
			delete(b.byRef, w.ref)
			q.size--
			return w
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
	b.giveTurn(l, w)
}

func (b *backlog) giveTurn(l *line, w *wanted) {
	l.turn = w
	w.home.pushFront(w)
	b.offer(w.home)
}

// putBack returns what take gave to where it was, unless it was wanted again meanwhile.
func (b *backlog) putBack(w *wanted) {
	if b.byRef[w.ref] != nil {
		b.free(w.to)
		return
	}
	b.byRef[w.ref] = w
	w.home = b.queue(w.home.home) // that one may have been empty, and be gone
	w.home.size++
	b.giveTurn(b.lines[w.to], w)
}

// firsts returns for how many waiting messages each gateway is the first choice, were none paused.
func (b *backlog) firsts() []int {
	n := make([]int, len(b.stands))
	for _, q := range b.queues {
		if g := b.paths[q.path].choose(q.tried, 0, 0); g != none {
			n[g] += q.size
		}
	}
	return n
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

func (l *list) empty() bool { return l.root.next == &l.root }

func (l *list) pushBack(w *wanted)  { w.insert(l.root.prev) }
func (l *list) pushFront(w *wanted) { w.insert(&l.root) }

func (l *list) popFront() *wanted {
	if l.empty() {
		return nil
	}
	w := l.root.next
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
