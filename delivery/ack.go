package delivery

import "time"

// acknowledged takes a PUBACK.
func (d *deliverer) acknowledged(dev *Device, slot uint16, ok bool, now time.Time) {
	s := dev.s
	if s == nil || s.dev != dev {
		return
	}
	f, found := s.take(slot)
	if !found {
		return
	}
	s.answered = d.brake.Answer(s.answered, false, now)
	d.e.stats.PushAck.observe(now.Sub(f.at).Seconds())
	l := s.line
	d.moved(l, now)
	switch {
	case f.kind != In:
		l.notices++
	case !ok:
		if r := d.open[f.id]; r != nil {
			d.scheduleRef(r, f.at.Add(f.wait))
		}
	case !f.settled:
		d.deliver(s, f, now)
	}
	if s.deaf {
		s.deaf = false
		d.brake.Back(s.name, now)
		d.readiness(s, now)
	}
	d.pump(s, now)
}

// deliver is a message that a device has acknowledged.
func (d *deliverer) deliver(s *session, f flight, now time.Time) {
	m := f.m
	if r := d.open[f.id]; r != nil {
		r.acked = true
		if r.m != nil {
			m = r.m
		}
	}
	in := intent{kind: intentAck, device: s.clientID, pushed: f.at, at: now}
	s.acked = append(s.acked, acked{f.id, f.pos})
	next, fx := m.Acknowledged(in.device, in.pushed, now)
	if next == nil {
		s.stored(f.id)
		return
	}
	if next.State == Delivered && next.Via == ViaSMS {
		d.e.stats.Duplicates.Add(1)
	}
	d.propose(next, fx, in, now)
}

// overdue looks at a session whose oldest push may have waited long enough, or that had its time to subscribe.
func (d *deliverer) overdue(s *session, now time.Time) {
	if s.dev == nil {
		return
	}
	if !s.settling.IsZero() {
		if now.Before(s.settling) {
			d.scheduleSession(s, s.settling)
		} else {
			s.settling = time.Time{}
			d.reconsider(s.line, now)
		}
	}
	at := s.deadline()
	if at.IsZero() {
		return
	}
	if now.Before(at) {
		d.scheduleSession(s, at)
		return
	}
	if s.deaf {
		return
	}
	s.deaf = true
	s.answered = d.brake.Answer(s.answered, true, now)
	d.unready(s, true, now)
	s.line.lost, s.line.left = d.clock.moment(now), false
	d.reconsider(s.line, now)
}

// notRead gives a device's pushes the time back in which the broker did not read from it.
func (d *deliverer) notRead(dev *Device, t time.Duration) {
	s := dev.s
	if s == nil || s.dev != dev {
		return
	}
	for i := range s.out {
		f := &s.out[i]
		f.at = f.at.Add(t)
		if r := d.open[f.id]; r != nil && f.kind == In && r.pushed != 0 {
			r.pushed += moment(t)
		}
	}
}

// moved notes that a place in the user's inbox moved; it is stored within a second.
func (d *deliverer) moved(l *line, now time.Time) {
	if !l.dirty {
		l.dirty = true
		d.dirty = append(d.dirty, l)
		d.tickSoon(now)
	}
}

// keepPlaces stores the places that moved, in few changes.
func (d *deliverer) keepPlaces(now time.Time, last bool) {
	var seen []Seen
	for i, l := range d.dirty {
		d.dirty[i] = nil
		l.dirty = false
		seen = l.places(seen)
		if l.notices >= forgetAfter && now.Sub(d.clock.time(l.forgot)) > forgetEvery && !last {
			l.notices, l.forgot = 0, d.clock.moment(now)
			d.e.forgetSeen(l.user)
		}
		if !last {
			d.retireSoon(l, now)
		}
		if len(seen) >= MaxGroup/2 {
			d.e.lane.propose(&proposal{change: Change{Seen: seen}, patient: true})
			seen = nil
		}
	}
	d.dirty = d.dirty[:0]
	if len(seen) > 0 {
		d.e.lane.propose(&proposal{change: Change{Seen: seen}, patient: true})
	}
}

// How often what all devices have seen is dropped from the store.
const (
	forgetAfter = 64 // acknowledged notices
	forgetEvery = 10 * time.Second
)

// places appends the places of a line that are not in the store yet.
func (l *line) places(seen []Seen) []Seen {
	for _, s := range l.sessions {
		if !s.started {
			continue
		}
		place := s.place()
		if s.counts {
			l.seen = max(l.seen, place)
		}
		if s.remembered && (place > s.kept || s.unkept) {
			s.kept, s.unkept = place, false
			seen = append(seen, Seen{User: l.user, Device: s.clientID, Upto: place})
		}
	}
	if l.seen > l.seenKept {
		l.seenKept = l.seen
		seen = append(seen, Seen{User: l.user, Upto: l.seen})
	}
	return seen
}
