package memory

import (
	"context"
	"slices"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/store/internal/rule"
)

// A turn is one commit while it is judged: what it stages shows in state at once, so that later changes see earlier ones.
type turn struct {
	*state
	now    time.Time
	full   bool
	staged [][]write // of each change
}

// change begins the writes of the next change.
func (t *turn) change() { t.staged = append(t.staged, nil) }

func (t *turn) stage(w write) {
	w(t.state)
	last := len(t.staged) - 1
	t.staged[last] = append(t.staged[last], w)
}

func (t *turn) flat() []write       { return slices.Concat(t.staged...) }
func (t *turn) first(n int) []write { return slices.Concat(t.staged[:min(n, len(t.staged))]...) }
func (t *turn) one(w func(*state))  { t.change(); t.stage(w) }
func (t *turn) next() (at delivery.Position) {
	at = t.last.After(t.now)
	t.stage(func(s *state) { s.last = at })
	return at
}

// Commit implements delivery.Store.
func (s *Store) Commit(ctx context.Context, changes []delivery.Change) []error {
	if err := rule.Check(changes); err != nil {
		return repeat(err, len(changes))
	}
	errs := make([]error, len(changes))
	before := make([]rule.Revs, len(changes))
	for i := range changes {
		before[i] = rule.RevsOf(&changes[i])
	}
	err := s.commit(ctx, func(t *turn) {
		for i := range changes {
			t.change()
			errs[i] = t.judge(&changes[i])
		}
	})
	if err != nil {
		for i := len(changes) - 1; i >= 0; i-- { // backwards: a message may be in the group twice
			before[i].Restore(&changes[i])
		}
		return repeat(err, len(changes))
	}
	if slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
		return errs
	}
	return nil
}

func repeat(err error, n int) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

func (t *turn) judge(c *delivery.Change) error {
	if err := rule.CheckChange(c); err != nil {
		return err
	}
	switch m := c.Message; {
	case m == nil && t.wrote(c):
		t.recall(c)
	case m != nil && t.same(m):
		t.repeated(c)
		t.recall(c)
	default:
		if err := t.admit(c); err != nil {
			return err
		}
		if err := t.affordable(c); err != nil {
			return err
		}
		if m != nil {
			t.message(c)
		} else {
			t.entries(c, nil)
		}
		t.say(c)
	}
	t.meet(c.Meetings) // what was there already stays as it is
	t.seenBy(c.Seen)
	return nil
}

// wrote reports whether a change without a message is there already, from a commit whose outcome stayed open.
func (t *turn) wrote(c *delivery.Change) bool {
	entries := c.Entries
	if len(entries) == 0 {
		return c.Talk != nil && t.spoke(c.Talk)
	}
	return entries[0].Position != 0 && slices.ContainsFunc(t.inboxes[entries[0].User], func(e delivery.Entry) bool { return e.Position == entries[0].Position })
}

// same reports whether m was written before as it is.
func (t *turn) same(m *delivery.Message) bool {
	r, ok := t.messages[m.ID]
	if !ok || r.prev != m.Rev {
		return false
	}
	stored, err := r.message()
	return err == nil && rule.Same(stored, m)
}

// repeated sets what the change got when it was written.
func (t *turn) repeated(c *delivery.Change) {
	r := t.messages[c.Message.ID]
	c.Message.Rev, c.Message.Stands = r.rev, r.stands
	for i := range c.Entries {
		c.Entries[i].Position = delivery.Position(r.rev) + delivery.Position(i) + 1
	}
}

// admit says why a change cannot be written.
func (t *turn) admit(c *delivery.Change) error {
	m := c.Message
	if m == nil {
		return nil
	}
	if r, ok := t.messages[m.ID]; ok || m.Rev != 0 {
		if r.rev != m.Rev {
			return delivery.ErrConflict
		}
		return nil
	}
	if !m.Key.IsZero() {
		if id, ok := t.keys[rule.KeyOf(m)]; ok && rule.Fresh(id, t.now, rule.KeyAge) {
			return &delivery.Known{ID: id}
		}
	}
	if t.full {
		return delivery.ErrDisk
	}
	if c.Limit > 0 && !m.Settled() && t.opened[m.To] >= c.Limit {
		return delivery.ErrFull
	}
	return nil
}

// message writes the change of a message: its revision is the position that the change begins at, the entries follow.
func (t *turn) message(c *delivery.Change) {
	m := c.Message
	at, prev := t.next(), m.Rev
	if prev == 0 {
		if m.ID.IsZero() {
			c.Identify(delivery.NewID(at, m.To))
		}
		id := m.ID
		if !m.Key.IsZero() {
			key := rule.KeyOf(m)
			t.stage(func(s *state) { s.keys[key] = id })
		}
		m.Stands = at
		t.entry(delivery.Entry{Position: at, User: m.To, Kind: delivery.In, ID: id, Peer: m.From, At: m.Accepted})
	}
	m.Rev = uint64(at)
	t.entries(c, m)
	octets, _ := m.AppendBinary(nil)
	id, r := m.ID, record{from: m.From, to: m.To, rev: m.Rev, prev: prev, stands: m.Stands, settled: m.Settled(), octets: octets}
	t.stage(func(s *state) { s.put(id, r) })
}

func (t *turn) entries(c *delivery.Change, m *delivery.Message) {
	for i := range c.Entries {
		e := &c.Entries[i]
		e.Position = t.next()
		if m != nil && rule.Stands(e.Kind) {
			m.Stands = e.Position
		}
		kept := *e
		kept.Message, kept.Body, kept.Tag = nil, slices.Clone(e.Body), slices.Clone(e.Tag)
		if kept.ID.IsZero() && m != nil {
			kept.ID = m.ID
		}
		t.entry(kept)
	}
}

func (t *turn) entry(e delivery.Entry) {
	t.stage(func(s *state) { s.inboxes[e.User] = append(s.inboxes[e.User], e) })
}

func (t *turn) seenBy(seen []delivery.Seen) {
	for _, n := range seen {
		t.stage(func(s *state) { s.see(n) })
	}
}

func (s *state) see(n delivery.Seen) {
	devices := s.seen[n.User]
	if devices == nil {
		devices = map[string]delivery.Position{}
		s.seen[n.User] = devices
	}
	if n.Forget {
		delete(devices, n.Device)
		return
	}
	devices[n.Device] = max(devices[n.Device], n.Upto)
}

// Forget implements delivery.Store.
func (s *Store) Forget(ctx context.Context, user contacts.Address, upTo delivery.Position) error {
	return s.commit(ctx, func(t *turn) {
		t.one(func(s *state) {
			s.floors[user] = max(s.floors[user], upTo)
			s.inboxes[user] = slices.DeleteFunc(slices.Clone(s.inboxes[user]), func(e delivery.Entry) bool { return e.Position <= upTo })
		})
	})
}
