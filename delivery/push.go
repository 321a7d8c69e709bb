package delivery

import (
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
)

// settleTime is how long a device that has just connected may take to subscribe before it counts as not ready.
const settleTime = 2 * time.Second

// pageSize is how many entries of an inbox are read at once.
const pageSize = 64

// connect takes a new connection, in place of an older one of the same device.
func (d *deliverer) connect(dev *Device, now time.Time) {
	l := d.line(dev.c.User)
	s := l.session(dev.c.ClientID)
	switch {
	case s == nil:
		s = &session{line: l, clientID: dev.c.ClientID, name: string(dev.c.User) + "/" + dev.c.ClientID}
		l.sessions = append(l.sessions, s)
	case s.dev != nil:
		d.unready(s, false, now)
		s.disconnect()
		d.e.stats.Connected.Add(-1)
	}
	if !dev.c.Remembered || !dev.c.Resumed {
		*s = session{line: l, clientID: s.clientID, name: s.name, slot: s.slot, answered: s.answered, unkept: true}
	}
	s.dev, s.remembered, s.behind = dev, dev.c.Remembered, true
	s.settling = now.Add(settleTime)
	dev.s = s
	d.e.stats.Connected.Add(1)
	d.scheduleSession(s, s.settling)
	if !s.started {
		d.start(s, dev)
	}
}

// start reads the device's place in the inbox.
func (d *deliverer) start(s *session, dev *Device) {
	user := s.line.user
	d.e.read(func() func(time.Time) {
		places, err := d.e.cfg.Store.Seen(d.e.ctx, user)
		return func(now time.Time) {
			switch {
			case s.dev != dev:
			case err != nil:
				d.e.log.Error().Err(err).Msg("the place of a device cannot be read; tried again in a second")
				d.after(time.Second, now, func(now time.Time) { d.startAgain(s, dev) })
			default:
				d.started(s, places, now)
			}
		}
	})
}

func (d *deliverer) startAgain(s *session, dev *Device) {
	if s.dev == dev && !s.started {
		d.start(s, dev)
	}
}

// started puts the device at its place: its own when it is remembered, else after all that some device has acknowledged.
func (d *deliverer) started(s *session, places map[string]Position, now time.Time) {
	l := s.line
	l.seen = max(l.seen, places[""])
	l.seenKept = max(l.seenKept, places[""])
	place, known := places[s.clientID]
	if s.remembered && s.dev.c.Resumed && known {
		s.cursor, s.kept, s.unkept = place, place, false
	} else {
		s.cursor, s.from = l.seen, l.seen
		if l.oldest != nil { // open messages that were passed over are for this device all the same
			s.cursor = min(s.cursor, l.oldest.id.Position()-1)
		}
		if s.remembered {
			d.moved(l, now)
		}
	}
	s.started = true
	d.pump(s, now)
}

// subscribe puts filters in force.
func (d *deliverer) subscribe(dev *Device, list []contacts.Filter, now time.Time) {
	s := dev.s
	if s == nil || s.dev != dev {
		return
	}
	s.filters = newFilters(s.line.user, list)
	s.counts = s.counts || s.filters.ready
	if len(list) > 0 {
		s.settling = time.Time{}
		d.e.inboxes.add(s.line.user, s.clientID)
	}
	d.readiness(s, now)
	d.pump(s, now)
}

// readiness makes a session ready, or not, by its filters and its deafness.
func (d *deliverer) readiness(s *session, now time.Time) {
	ready := s.dev != nil && s.filters.ready && !s.deaf
	if ready == s.ready {
		return
	}
	if !ready {
		d.unready(s, false, now)
		d.reconsider(s.line, now)
		return
	}
	s.ready = true
	l := s.line
	l.had, l.left, l.lost = true, false, 0
	d.e.stats.Ready.Add(1)
	d.brake.Ready(s.name, now)
	d.reconsider(l, now)
}

// unready counts a session that is not ready any more.
func (d *deliverer) unready(s *session, vanished bool, now time.Time) {
	if !s.ready {
		return
	}
	s.ready = false
	d.e.stats.Ready.Add(-1)
	on, _ := d.brake.Storm(now)
	d.brake.Unready(s.name, vanished, now)
	if storm, missing := d.brake.Storm(now); storm && !on {
		d.e.stats.Storm.Store(true)
		d.e.log.Warn().Int("missing", missing).Msg("storm brake: many devices vanished at once, SMS to registered numbers are held")
	}
	if vanished {
		d.tickSoon(now)
	}
}

// reconsider decides every open message of a user anew.
func (d *deliverer) reconsider(l *line, now time.Time) {
	for r := l.oldest; r != nil; {
		next := r.next
		if r.state == Accepted || r.state == Waiting {
			d.consider(r, now)
		}
		r = next
	}
}

// disconnected takes the end of a connection.
func (d *deliverer) disconnected(dev *Device, loss Loss, now time.Time) {
	s := dev.s
	if s == nil || s.dev != dev {
		return
	}
	l := s.line
	if s.started && s.counts {
		l.seen = max(l.seen, s.place())
		d.moved(l, now)
	}
	d.unready(s, loss == Lost, now)
	s.disconnect()
	d.e.stats.Connected.Add(-1)
	connected := false
	for _, o := range l.sessions {
		connected = connected || o.dev != nil
	}
	switch {
	case loss == Lost:
		l.lost, l.left = d.clock.moment(now), false
	case loss == LeftClean && !connected:
		l.left = true
	case loss == Replaced:
		l.settling = d.clock.moment(now.Add(settleTime))
	}
	if !s.remembered {
		l.drop(s)
		d.e.inboxes.remove(l.user, s.clientID)
	}
	if !connected {
		for _, e := range l.tail {
			e.leave()
		}
		l.tailBase += len(l.tail)
		l.tail, l.tailBytes = nil, 0
	}
	d.reconsider(l, now)
	d.retireSoon(l, now)
}

// entry takes something new in a user's inbox.
func (d *deliverer) entry(e *Entry, m *Message, now time.Time) {
	if e.Message == nil {
		e.Message = m
	}
	if l := d.lines[e.User]; l != nil {
		c := *e
		d.route(l, &c, now)
	}
}

// route offers a committed entry to the user's devices.
func (d *deliverer) route(l *line, e *Entry, now time.Time) {
	if !l.keep(e) {
		e.leave()
		return
	}
	d.trimmed = append(d.trimmed, l)
	for _, s := range l.sessions {
		d.pump(s, now)
	}
}

// pump pushes what stands in the inbox after the device's place, as far as its window goes.
func (d *deliverer) pump(s *session, now time.Time) {
	for s.dev != nil && s.started && !s.deaf && len(s.filters.list) > 0 {
		e := d.next(s)
		if e == nil {
			return
		}
		if e.Position > s.cursor {
			if !d.offer(s, e, now) {
				return
			}
			s.cursor = e.Position
		}
		s.pass()
	}
}

// next returns the entry that the session looks at next; nil: none yet.
func (d *deliverer) next(s *session) *Entry {
	l := s.line
	for {
		switch {
		case len(s.page) > 0:
			return &s.page[0]
		case s.behind && s.pageLast:
			s.behind, s.pageLast, s.page = false, false, nil
			s.cursor = max(s.cursor, s.pageEnd)
			s.tailNext = s.tailMark
		case s.behind:
			s.cursor = max(s.cursor, s.pageEnd)
			d.readPage(s)
			return nil
		case s.tailNext < l.tailBase:
			s.behind = true
		case s.tailNext < l.tailBase+len(l.tail):
			return l.tail[s.tailNext-l.tailBase]
		default:
			return nil
		}
	}
}

// pass goes on to the entry after the one that next returned.
func (s *session) pass() {
	if len(s.page) > 0 {
		s.page[0] = Entry{}
		s.page = s.page[1:]
		return
	}
	s.tailNext++
}

// readPage reads the next entries from the store. What is committed from now on is kept in the tail.
func (d *deliverer) readPage(s *session) {
	if s.reading {
		return
	}
	s.reading = true
	l, dev, after, newest := s.line, s.dev, s.cursor, s.line.newest
	s.tailMark = l.tailBase + len(l.tail)
	d.e.read(func() func(time.Time) {
		page, next, err := d.e.cfg.Store.Inbox(d.e.ctx, l.user, after, newest, pageSize)
		return func(now time.Time) {
			if s.dev != dev {
				return
			}
			s.reading = false
			if err != nil {
				d.e.log.Error().Err(err).Msg("an inbox cannot be read; tried again in a second")
				d.after(time.Second, now, func(now time.Time) { d.pump(s, now) })
				return
			}
			s.page, s.pageEnd, s.pageLast = page, next, len(page) < pageSize
			d.pump(s, now)
			l.trim()
		}
	})
}

// offer pushes an entry to the device, or passes it over; false: there is no room now.
func (d *deliverer) offer(s *session, e *Entry, now time.Time) bool {
	slot, dup := uint16(0), false
	if e.Position <= s.upto {
		if slot, dup = s.resend[e.Position]; !dup {
			return true // acknowledged, or passed over, before the session was resumed
		}
	}
	r := d.open[e.ID]
	topic, payload := d.wording(s, e, r)
	if topic == "" {
		return true
	}
	qos, identifiers, match := s.filters.match(topic)
	if !match || !s.fits(uint32(len(topic)+len(payload))) {
		return true
	}
	if qos > 0 && len(s.out) >= s.dev.window {
		return false
	}
	p := &Push{Topic: topic, Payload: payload, ID: e.ID, At: e.At, Dup: dup, Identifiers: identifiers, Tag: e.Tag}
	if e.Kind == In || e.Kind == SeenSMS || e.Kind == Sent {
		e.Message.describe(p, e.Kind)
	}
	if qos > 0 {
		if p.Slot = slot; slot == 0 {
			p.Slot = s.nextSlot()
		}
	}
	if !s.dev.c.Link.Push(p) {
		if qos == 0 {
			return true // MQTT 5 §4.3.1: at most once
		}
		d.full(s, now)
		return false
	}
	d.pushed(s, e, r, p.Slot, now)
	return true
}

// full is a device whose buffer takes nothing: an acknowledgement will start it again, and without one outstanding it is looked at soon.
func (d *deliverer) full(s *session, now time.Time) {
	if len(s.out) == 0 {
		dev := s.dev
		d.after(time.Second, now, func(now time.Time) {
			if s.dev == dev {
				d.pump(s, now)
			}
		})
	}
}

// wording returns topic and payload of an entry; no topic: it is passed over.
func (d *deliverer) wording(s *session, e *Entry, r *ref) (topic string, payload []byte) {
	user := s.line.user
	m := e.Message
	if e.Kind != In && e.Position <= s.from {
		return "", nil // some device had it
	}
	switch e.Kind {
	case In:
		if m == nil || !s.wants(m, r) {
			return "", nil
		}
		kind := "in"
		if m.Root == RootMO {
			kind = "sms"
		}
		return Topic(user, kind, string(m.From), m.ID.String()), m.Payload
	case SeenSMS:
		if m != nil {
			return Topic(user, "seen", string(m.From), m.ID.String()), m.Payload
		}
	case Sent:
		if m != nil && e.Except != s.clientID {
			return Topic(user, "sent", string(m.To), m.ID.String()), m.Payload
		}
	case Receipt:
		return e.Topic, e.Body
	}
	return "", nil
}

// wants reports whether the device is to get the message as it now is.
func (s *session) wants(m *Message, r *ref) bool {
	state, mode := m.State, m.Mode()
	if r != nil {
		state, mode = r.state, r.mode
		if r.acked && !s.remembered {
			return false
		}
	}
	switch state {
	case Accepted:
		return mode != SMSOnlyMode
	case Waiting:
		return true
	case Delivered:
		return m.Via == ViaPush && s.remembered
	case Failed:
		return m.Reason != Cancelled && m.Reason != NoSuchName && m.Reason != InboxFull && time.Now().Before(m.Expires)
	}
	return false
}

// describe fills in what a push says about its message.
func (m *Message) describe(p *Push, kind Kind) {
	p.At = m.Accepted
	p.Via = "push"
	if kind == SeenSMS || m.Root == RootMO {
		p.Via = "sms"
	}
	if kind == Sent {
		p.Via = ""
	}
	if m.Root == RootMO {
		p.InReplyTo, _ = ParseID(m.Reply)
	}
	if kind == In {
		p.Expires = m.Expires
	}
}

// pushed notes a push that was appended to a device's buffer.
func (d *deliverer) pushed(s *session, e *Entry, r *ref, slot uint16, now time.Time) {
	if n := len(d.flush); n == 0 || d.flush[n-1] != s.dev.c.Link {
		d.flush = append(d.flush, s.dev.c.Link)
	}
	if slot == 0 {
		return
	}
	delete(s.resend, e.Position)
	f := flight{slot: slot, kind: e.Kind, pos: e.Position, id: e.ID, at: now, wait: d.rules.AckTimeout}
	if e.Kind == In {
		f.m = e.Message
		if f.m.Wait > 0 {
			f.wait = f.m.Wait
		}
		d.calling(r, now)
	}
	s.out = append(s.out, f)
	if at := now.Add(f.wait); s.fire.IsZero() || at.Before(s.fire) {
		d.scheduleSession(s, at)
	}
}

// calling notes the first push of a message, and tells the sender when it wants to know.
func (d *deliverer) calling(r *ref, now time.Time) {
	if r == nil || r.pushed != 0 {
		return
	}
	r.pushed = d.clock.moment(now)
	if m := r.m; m != nil && m.Receipts == ReceiptsAll && m.Root != RootMO && d.e.subscribed(m.From) {
		entries := m.receipts([]State{Pushing}, now)
		d.e.lane.propose(&proposal{change: Change{Entries: entries}})
	}
}
