package memory

import (
	"maps"
	"slices"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/store/internal/rule"
)

// A state is everything stored. Values are never changed in place, so that a shallow copy is a copy.
type state struct {
	last     delivery.Position
	messages map[delivery.ID]record
	opened   map[contacts.Address]int // open messages
	keys     map[rule.KeyID]delivery.ID
	inboxes  map[contacts.Address][]delivery.Entry // by position; a new message is one of its own
	seen     map[contacts.Address]map[string]delivery.Position
	floors   map[contacts.Address]delivery.Position
	floor    delivery.Position // settled messages up to it are in no inbox any more
	meets    map[string]meeting
	talks    map[pair]talk
	counters map[string]rule.Counter
	table    map[string]row
}

// A record is a message as it was encoded, since no test may change a stored message through a pointer.
type record struct {
	from, to  contacts.Address
	rev, prev uint64 // revision, and the one it was made from
	stands    delivery.Position
	settled   bool
	octets    []byte
}

// A meeting is what one side knows of a gateway's message id.
type meeting struct {
	mine []byte
	at   time.Time
}

type pair struct{ own, peer contacts.Number }

type talk struct {
	sms.Talk
	prev uint64 // the revision it was made from
}

type row struct {
	val []byte
	rev uint64
}

func newState() *state {
	return &state{
		messages: map[delivery.ID]record{},
		opened:   map[contacts.Address]int{},
		keys:     map[rule.KeyID]delivery.ID{},
		inboxes:  map[contacts.Address][]delivery.Entry{},
		seen:     map[contacts.Address]map[string]delivery.Position{},
		floors:   map[contacts.Address]delivery.Position{},
		meets:    map[string]meeting{},
		talks:    map[pair]talk{},
		counters: map[string]rule.Counter{},
		table:    map[string]row{},
	}
}

func (s *state) clone() *state {
	c := &state{
		last: s.last, floor: s.floor,
		messages: maps.Clone(s.messages), opened: maps.Clone(s.opened), keys: maps.Clone(s.keys), inboxes: maps.Clone(s.inboxes), seen: maps.Clone(s.seen),
		floors: maps.Clone(s.floors), meets: maps.Clone(s.meets), talks: maps.Clone(s.talks), counters: maps.Clone(s.counters), table: maps.Clone(s.table),
	}
	for user, entries := range c.inboxes {
		c.inboxes[user] = slices.Clip(entries)
	}
	for user, devices := range c.seen {
		c.seen[user] = maps.Clone(devices)
	}
	return c
}

// A write changes a state. It is applied to what is written, and again to what is synced.
type write func(*state)

func (r record) message() (*delivery.Message, error) {
	m := new(delivery.Message)
	if err := m.UnmarshalBinary(r.octets); err != nil {
		return nil, err
	}
	return m, nil
}

// put writes a message and counts the open ones.
func (s *state) put(id delivery.ID, r record) {
	if old, ok := s.messages[id]; ok && !old.settled {
		s.opened[old.to]--
	}
	if !r.settled {
		s.opened[r.to]++
	}
	s.messages[id] = r
}

// all returns the ids of all messages in the order of acceptance.
func (s *state) all() []delivery.ID {
	return slices.SortedFunc(maps.Keys(s.messages), func(a, b delivery.ID) int { return slices.Compare(a[:], b[:]) })
}

// seenByAll reports whether every remembered device of a user is past a position.
func (s *state) seenByAll(user contacts.Address, at delivery.Position) bool {
	if s.floors[user] >= at {
		return true
	}
	for device, upTo := range s.seen[user] {
		if device != "" && upTo < at {
			return false
		}
	}
	return true
}
