package delivery

import (
	"slices"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/seed-7a41469f/godwit/contacts"
)

// Inboxes knows which devices of a user look into its inbox: connected with an inbox filter, or remembered with one. Senders ask it, so it is not the
// deliverer's alone.
type inboxes struct {
	shards [64]struct {
		sync.RWMutex
		users map[contacts.Address][]string
	}
}

func newInboxes() *inboxes {
	b := &inboxes{}
	for i := range b.shards {
		b.shards[i].users = map[contacts.Address][]string{}
	}
	return b
}

func (b *inboxes) add(user contacts.Address, device string) {
	s := &b.shards[xxhash.Sum64String(string(user))%64]
	s.Lock()
	defer s.Unlock()
	if !slices.Contains(s.users[user], device) {
		s.users[user] = append(s.users[user], device)
	}
}

func (b *inboxes) remove(user contacts.Address, device string) {
	s := &b.shards[xxhash.Sum64String(string(user))%64]
	s.Lock()
	defer s.Unlock()
	left := slices.DeleteFunc(s.users[user], func(d string) bool { return d == device })
	if len(left) == 0 {
		delete(s.users, user)
		return
	}
	s.users[user] = left
}

// others reports whether a device other than this one looks into the user's inbox.
func (b *inboxes) others(user contacts.Address, device string) bool {
	s := &b.shards[xxhash.Sum64String(string(user))%64]
	s.RLock()
	defer s.RUnlock()
	for _, d := range s.users[user] {
		if d != device {
			return true
		}
	}
	return false
}
