package delivery

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
)

// The deliverer owns every line, open message and timer. One goroutine runs it; it never blocks, reads the store or writes to a socket: reads run on
// the engine's readers and come back as events, changes are proposed to the lane, pushes are appended to the devices' buffers.
type deliverer struct {
	e     *Engine
	rules Rules
	brake Brake
	clock clock
	lines map[contacts.Address]*line
	open  map[ID]*ref
	due   dueHeap

	mu      sync.Mutex
	events  []event
	ended   bool // nobody looks at events any more
	wake    chan struct{}
	pending atomic.Int64 // events, and results in them, that are not handled yet

	flush      []Link
	dirty      []*line
	held       map[*ref]struct{}
	tickAt     time.Time
	recovering bool
	anew       bool            // the limits were changed before all was recovered
	settled    map[ID]struct{} // while recovering: closed before they were recovered
	orphans    map[ID]struct{} // whose claim died with the process before: nobody will answer it any more
	trimmed    []*line
}

// An event is something that happened outside.
type event struct {
	kind    eventKind
	ok      bool
	loss    Loss
	slot    uint16
	held    time.Duration
	dev     *Device
	filters []contacts.Filter
	results []result
	fn      func(now time.Time)
}

// weight is how much there is to do.
func (ev *event) weight() int64 { return 1 + int64(len(ev.results)) }

type eventKind uint8

const (
	evConnect eventKind = iota
	evSubscribe
	evAck
	evHeld
	evGone
	evResults
	evCall
)

// An intent is what an advance was for: when somebody else advanced the message first, it is done again on what is there now.
type intent struct {
	kind   intentKind
	device string
	pushed time.Time
	at     time.Time
}

type intentKind uint8

const (
	intentNone intentKind = iota
	intentLook            // whatever Decide says
	intentAck
)

func newDeliverer(e *Engine) *deliverer {
	s := e.now()
	d := &deliverer{
		e: e, rules: s.rules, lines: map[contacts.Address]*line{}, open: map[ID]*ref{}, wake: make(chan struct{}, 1), held: map[*ref]struct{}{}, clock: newClock(time.Now()),
		brake: Brake{RestartGrace: s.RestartGrace, StormHold: s.StormHold}, recovering: true, settled: map[ID]struct{}{}, orphans: map[ID]struct{}{},
	}
	return d
}

// post hands over an event; it never blocks.
func (d *deliverer) post(ev event) {
	d.pending.Add(ev.weight())
	d.mu.Lock()
	d.events = append(d.events, ev)
	first := len(d.events) == 1
	d.mu.Unlock()
	if first {
		signal(d.wake)
	}
}

// behind reports whether more waits than a lane should add to.
func (d *deliverer) behind() bool {
	if d.pending.Load() <= maxBehind {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.ended
}

// maxBehind is how many events and results may wait before senders are held back: each may keep a whole message in memory.
const maxBehind = 8192

// call runs fn in the deliverer's goroutine, soon.
func (d *deliverer) call(fn func(now time.Time)) { d.post(event{kind: evCall, fn: fn}) }

// run works until stop is closed and what came before it is done.
func (d *deliverer) run(stop <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var batch []event
	for {
		d.mu.Lock()
		batch, d.events = d.events, batch[:0]
		d.mu.Unlock()
		now := time.Now()
		for i := range batch {
			d.handle(&batch[i], now)
			d.pending.Add(-batch[i].weight())
			batch[i] = event{}
		}
		d.fire(now)
		d.tick(now)
		d.finish()
		if len(batch) > 0 {
			continue
		}
		timer.Reset(d.sleep(time.Now()))
		select {
		case <-d.wake:
		case <-timer.C:
		case <-stop:
			d.mu.Lock()
			empty := len(d.events) == 0
			d.mu.Unlock()
			if empty {
				d.mu.Lock()
				d.ended = true
				d.mu.Unlock()
				d.keepPlaces(time.Now(), true)
				return
			}
		}
	}
}

func (d *deliverer) sleep(now time.Time) time.Duration {
	wait := time.Hour
	if len(d.due) > 0 {
		wait = time.Duration(d.due[0].at - d.clock.moment(now))
	}
	if !d.tickAt.IsZero() {
		wait = min(wait, d.tickAt.Sub(now))
	}
	return max(wait, 0)
}

// finish writes what was pushed in this round.
func (d *deliverer) finish() {
	for i, l := range d.flush {
		l.Flush()
		d.flush[i] = nil
	}
	d.flush = d.flush[:0]
}

func (d *deliverer) handle(ev *event, now time.Time) {
	switch ev.kind {
	case evResults:
		for i := range ev.results {
			d.result(ev.results[i].p, ev.results[i].err, now)
		}
		for i, l := range d.trimmed {
			l.trim()
			d.trimmed[i] = nil
		}
		d.trimmed = d.trimmed[:0]
	case evAck:
		d.acknowledged(ev.dev, ev.slot, ev.ok, now)
	case evConnect:
		d.connect(ev.dev, now)
	case evSubscribe:
		d.subscribe(ev.dev, ev.filters, now)
	case evHeld:
		d.notRead(ev.dev, ev.held)
	case evGone:
		d.disconnected(ev.dev, ev.loss, now)
	case evCall:
		ev.fn(now)
	}
}

// result takes what became of a proposal.
func (d *deliverer) result(p *proposal, err error, now time.Time) {
	m := p.change.Message
	switch {
	case err == nil:
		if m != nil {
			d.e.stats.count(m, p.fresh, p.enters)
		}
		if m != nil && p.fresh {
			d.accepted(m, now)
		} else if m != nil {
			d.advanced(m, now)
			d.failover(m, p.failed, now)
			if p.intent.kind == intentAck {
				d.acknowledgementStored(m.To, m.ID)
			}
		}
		for i := range p.change.Entries {
			d.entry(&p.change.Entries[i], m, now)
		}
	case m == nil || m.Rev == 0 || errors.Is(err, ErrStopped):
	default:
		if r := d.open[m.ID]; r != nil {
			r.busy, r.m = false, nil
		}
		if p.intent.kind != intentNone {
			d.again(m.ID, p.intent)
		}
	}
}

// acknowledgementStored lets the places of a user's devices pass a message.
func (d *deliverer) acknowledgementStored(user contacts.Address, id ID) {
	if l := d.lines[user]; l != nil {
		for _, s := range l.sessions {
			s.stored(id)
		}
	}
}

// failover wants the message at once by another gateway than the one whose attempt came to nothing.
func (d *deliverer) failover(m *Message, gateway string, now time.Time) {
	r := d.open[m.ID]
	if r == nil || gateway == "" {
		return
	}
	to, _ := m.To.Number()
	for i, g := range d.e.gateways {
		if g.Name() == gateway {
			r.tried |= 1 << i
		}
	}
	if !d.e.dispatch.Another(to, d.e.names(r.tried)) {
		r.tried = 0 // all were; the next round is when the message is due
		return
	}
	r.due = d.clock.moment(now)
	d.consider(r, now)
}

// again does what a lost race was for on the message as it is now.
func (d *deliverer) again(id ID, in intent) {
	d.e.load(id, func(m *Message, now time.Time) {
		if in.kind == intentAck {
			if next, fx := m.Acknowledged(in.device, in.pushed, in.at); next != nil {
				d.propose(next, fx, in, now)
				return
			}
			d.acknowledgementStored(m.To, id)
		}
		d.advanced(m, now)
	})
}

// propose hands a next state to the lane, with everything that is to be told.
func (d *deliverer) propose(next *Message, fx Effects, in intent, now time.Time) {
	if r := d.open[next.ID]; r != nil {
		r.busy = true
	}
	p := &proposal{change: d.e.change(next, fx, now), intent: in, enters: fx.Enters, failed: fx.Failed}
	p.patient = in.kind == intentAck && len(p.change.Entries) == 0
	d.e.lane.propose(p)
}

// accepted takes a new message.
func (d *deliverer) accepted(m *Message, now time.Time) {
	l := d.line(m.To)
	e := &Entry{Position: m.Stands, User: m.To, Kind: In, ID: m.ID, Peer: m.From, At: m.Accepted, Message: m}
	r := d.openRef(l, m)
	if r != nil {
		r.m = m
		r.entry, e.open = e, r
	}
	if m.Reason != NoSuchName && m.Reason != InboxFull {
		d.route(l, e, now)
	} else {
		e.leave()
	}
	if r == nil {
		d.retireSoon(l, now)
		return
	}
	if r.pushed == 0 || m.Expires.Before(now.Add(d.wait(r))) {
		d.consider(r, now)
	}
}

// openRef makes m known as open; nil when it is settled.
func (d *deliverer) openRef(l *line, m *Message) *ref {
	if m.Settled() {
		return nil
	}
	r := &ref{id: m.ID, from: m.From, line: l, size: uint32(len(m.Payload) + len(m.From) + len(m.To))}
	d.open[m.ID] = r
	l.link(r)
	d.e.stats.Open.Add(1)
	d.update(r, m)
	return r
}

// update takes what a message has become.
func (d *deliverer) update(r *ref, m *Message) {
	q := m.Question()
	r.mode, r.number, r.state, r.reason, r.wait = q.Mode, q.Number, q.State, reasonCode(q.Reason), q.Wait
	r.accepted, r.expires, r.due = d.clock.moment(q.Accepted), d.clock.moment(q.Expires), d.clock.moment(m.Due)
	r.queue(m.State == Accepted && m.SMS != nil && m.SMS.Claims > 0, r.behind)
}

// queue notes whether an SMS that is due must wait, for its next attempt or behind another.
func (r *ref) queue(released, behind bool) {
	was, is := r.released || r.behind, released || behind
	r.released, r.behind = released, behind
	switch {
	case is && !was:
		r.line.queued++
	case was && !is:
		r.line.queued--
	}
}

// ahead returns an earlier message of the same sender whose SMS must wait: what comes later must not overtake it.
func (r *ref) ahead() *ref {
	if r.line.queued == 0 {
		return nil
	}
	for p := r.prev; p != nil; p = p.prev {
		if (p.released || p.behind) && !p.wanted && p.from == r.from {
			return p
		}
	}
	return nil
}

// advanced takes a message that is now as m says.
func (d *deliverer) advanced(m *Message, now time.Time) {
	if m.SMS != nil {
		d.e.unknowns.update(m)
		delete(d.orphans, m.ID)
	}
	r := d.open[m.ID]
	if m.Settled() {
		if r != nil {
			d.close(r, m, now)
		} else if d.recovering {
			d.settled[m.ID] = struct{}{}
		}
		return
	}
	if r == nil { // opened again
		if r = d.openRef(d.line(m.To), m); r == nil {
			return
		}
	}
	r.busy = false
	d.update(r, m)
	r.m = m
	if r.entry != nil {
		r.entry.Message = m
	}
	if m.State == Submitting || m.State == Submitted || m.State == OutcomeUnknown {
		d.withdraw(r.line, m.ID)
		r.wanted = false
	}
	if m.State != Accepted {
		r.m = nil
	}
	d.consider(r, now)
}

// close forgets a message that is settled.
func (d *deliverer) close(r *ref, m *Message, now time.Time) {
	if r.wanted {
		d.e.drop(r.id)
	}
	d.release(r)
	delete(d.open, r.id)
	r.gone = true
	d.e.stats.Open.Add(-1)
	if d.recovering {
		d.settled[r.id] = struct{}{}
	}
	if r.entry != nil {
		r.entry.Message = m
	}
	r.queue(false, false)
	l := r.line
	if len(l.sessions) > 1 && m.State == Delivered {
		for _, s := range l.sessions {
			for i := range s.out {
				s.out[i].settled = s.out[i].settled || s.out[i].id == m.ID
			}
		}
	}
	l.unlink(r)
	d.retireSoon(l, now)
}

// withdraw marks the pushes of a message that was claimed: they are not sent again.
func (d *deliverer) withdraw(l *line, id ID) {
	for _, s := range l.sessions {
		for i := range s.out {
			if s.out[i].id == id && s.out[i].kind == In {
				s.out[i].withdrawn = true
			}
		}
		delete(s.resend, id.Position())
	}
}

// line returns the line of a user, a new one when there is none.
func (d *deliverer) line(user contacts.Address) *line {
	l := d.lines[user]
	if l == nil {
		user = contacts.Address(strings.Clone(string(user))) // it may be a part of a whole packet, which must not be kept for it
		l = &line{user: user}
		d.lines[user] = l
	}
	return l
}

// lineKept is how long a line outlives its last device: that is how long a resumed session finds its packet identifiers, and a loss its moment.
const lineKept = time.Hour

func (d *deliverer) retireSoon(l *line, now time.Time) {
	if l.oldest != nil {
		return
	}
	if len(l.sessions) == 0 && l.lost == 0 && !l.left && !l.dirty {
		d.forget(l)
		return
	}
	for _, s := range l.sessions {
		if s.dev != nil {
			return
		}
	}
	d.scheduleLine(l, now.Add(lineKept))
}

// retire forgets a line that nothing needs.
func (d *deliverer) retire(l *line, now time.Time) {
	if l.oldest != nil || l.dirty {
		return // whoever closes the last message schedules it again
	}
	for _, s := range l.sessions {
		if s.dev != nil {
			return
		}
	}
	d.forget(l)
}

func (d *deliverer) forget(l *line) {
	l.gone = true
	delete(d.lines, l.user)
}

// tick runs about once a second while something needs it: the brake, and places that moved.
func (d *deliverer) tick(now time.Time) {
	if d.tickAt.IsZero() || now.Before(d.tickAt) {
		return
	}
	d.tickAt = time.Time{}
	if d.brake.Tick(now) {
		d.e.log.Warn().Int("held", len(d.held)).Msg("storm brake released: held fallbacks are decided anew")
		for r := range d.held {
			d.consider(r, now)
		}
	}
	d.keepPlaces(now, false)
	on, missing := d.brake.Storm(now)
	d.e.stats.Storm.Store(on)
	if on || missing > 0 {
		d.tickSoon(now)
	}
}

func (d *deliverer) tickSoon(now time.Time) {
	if d.tickAt.IsZero() {
		d.tickAt = now.Add(time.Second)
	}
}
