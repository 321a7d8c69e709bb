package delivery

import "time"

// A timer is one entry of the due heap: an open message, a session's oldest push, a line that may be forgotten, or a call. It is a hint: whoever fires
// looks at the state, and one that is not the owner's latest fire is stale.
type timer struct {
	at moment
	r  *ref
	s  *session
	l  *line
	fn func(now time.Time)
}

// A dueHeap is a binary heap of timers by time.
type dueHeap []timer

func (h *dueHeap) push(t timer) {
	*h = append(*h, t)
	a := *h
	i := len(a) - 1
	for i > 0 {
		up := (i - 1) / 2
		if a[up].at <= a[i].at {
			break
		}
		a[up], a[i] = a[i], a[up]
		i = up
	}
}

func (h *dueHeap) pop() timer {
	a := *h
	top := a[0]
	last := len(a) - 1
	a[0] = a[last]
	a[last] = timer{}
	a = a[:last]
	*h = a
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			return top
		}
		if down+1 < last && a[down+1].at < a[down].at {
			down++
		}
		if a[i].at <= a[down].at {
			return top
		}
		a[i], a[down] = a[down], a[i]
		i = down
	}
}

func (d *deliverer) scheduleRef(r *ref, at time.Time) {
	if fire := d.clock.moment(at); fire != r.fire {
		r.fire = fire
		d.due.push(timer{at: fire, r: r})
	}
}

func (d *deliverer) scheduleSession(s *session, at time.Time) {
	if s.fire.IsZero() || at.Before(s.fire) {
		s.fire = at
		d.due.push(timer{at: d.clock.moment(at), s: s})
	}
}

func (d *deliverer) scheduleLine(l *line, at time.Time) {
	if fire := d.clock.moment(at); fire > l.fire {
		l.fire = fire
		d.due.push(timer{at: fire, l: l})
	}
}

func (d *deliverer) after(t time.Duration, now time.Time, fn func(now time.Time)) {
	d.due.push(timer{at: d.clock.moment(now.Add(t)), fn: fn})
}

// fire does everything that is due.
func (d *deliverer) fire(now time.Time) {
	for len(d.due) > 0 && d.due[0].at <= d.clock.moment(now) {
		t := d.due.pop()
		switch {
		case t.r != nil:
			if t.r.fire == t.at && !t.r.gone {
				t.r.fire = 0
				d.consider(t.r, now)
			}
		case t.s != nil:
			if d.clock.moment(t.s.fire) == t.at {
				t.s.fire = time.Time{}
				d.overdue(t.s, now)
			}
		case t.l != nil:
			if t.l.fire == t.at && !t.l.gone {
				t.l.fire = 0
				d.retire(t.l, now)
			}
		default:
			t.fn(now)
		}
	}
}
