package memory

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/store/internal/rule"
)

// Message implements delivery.Store.
func (s *Store) Message(_ context.Context, id delivery.ID) (m *delivery.Message, err error) {
	err = s.read(func(t *state) error {
		r, ok := t.messages[id]
		if !ok {
			return delivery.ErrNotFound
		}
		m, err = r.message()
		return err
	})
	return m, err
}

// Inbox implements delivery.Store.
func (s *Store) Inbox(_ context.Context, user contacts.Address, after, atLeast delivery.Position, n int) (entries []delivery.Entry, next delivery.Position, err error) {
	next = after
	err = s.read(func(t *state) error {
		for _, e := range t.inboxes[user] {
			if e.Position <= max(after, t.floors[user]) {
				continue
			}
			if len(entries) >= n {
				return nil
			}
			next = e.Position
			shown, err := t.show(&e)
			if err != nil {
				return err
			}
			if shown {
				entries = append(entries, e)
			}
		}
		next = max(next, atLeast)
		return nil
	})
	return entries, next, err
}

// show completes an entry for its reader; false when it is to be left out.
func (s *state) show(e *delivery.Entry) (bool, error) {
	e.Body, e.Tag = slices.Clone(e.Body), slices.Clone(e.Tag)
	if !rule.HasMessage(e.Kind) {
		return true, nil
	}
	r, ok := s.messages[e.ID]
	if !ok {
		return false, nil
	}
	if rule.Stands(e.Kind) && (r.stands != e.Position || r.settled && e.Position <= s.floor) {
		return false, nil
	}
	m, err := r.message()
	e.Message = m
	return err == nil, err
}

// Seen implements delivery.Store.
func (s *Store) Seen(_ context.Context, user contacts.Address) (seen map[string]delivery.Position, err error) {
	err = s.read(func(t *state) error {
		seen = maps.Clone(t.seen[user])
		return nil
	})
	if seen == nil {
		seen = map[string]delivery.Position{}
	}
	return seen, err
}

// Recover implements delivery.Store.
func (s *Store) Recover(ctx context.Context, since time.Time, fn func(*delivery.Message) error) error {
	var found []*delivery.Message
	err := s.read(func(t *state) error {
		for _, id := range t.all() {
			m, err := t.messages[id].message()
			if err != nil {
				return err
			}
			if !m.Settled() || m.Origin.Device != "" && !id.Time().Before(since) {
				found = append(found, m)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, m := range found {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(m); err != nil {
			return err
		}
	}
	return nil
}

// List implements delivery.Store.
func (s *Store) List(_ context.Context, q delivery.Query) (page []*delivery.Message, next delivery.ID, err error) {
	err = s.read(func(t *state) error {
		ids := t.all()
		slices.Reverse(ids)
		for _, id := range ids {
			if !q.Before.IsZero() && slices.Compare(id[:], q.Before[:]) >= 0 {
				continue
			}
			m, err := t.messages[id].message()
			if err != nil {
				return err
			}
			if !rule.Matches(&q, m) {
				continue
			}
			if len(page) == rule.Page(&q) {
				next = page[len(page)-1].ID
				return nil
			}
			page = append(page, m)
		}
		return nil
	})
	return page, next, err
}
