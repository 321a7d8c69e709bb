package api

import (
	"sync"

	"github.com/nyaruka/phonenumbers"

	"github.com/seed-7a41469f/godwit/contacts"
)

// A book remembers what addresses mean to senders, since the numbering plans take long to ask. The region of a number is its own; of a name, sms.region.
type book struct {
	mu    sync.RWMutex
	known map[written]contacts.Address
}

// written is an address as a sender writes it.
type written struct {
	from contacts.Address
	to   string
}

// How many a book remembers before it begins anew, and of how many octets at most.
const (
	mostWritten    = 10_000
	longestWritten = 32
)

// address reads an address as people write it; an error is a *Problem.
func (b *book) address(from contacts.Address, to, region string) (contacts.Address, error) {
	w := written{from, to}
	b.mu.RLock()
	a, ok := b.known[w]
	b.mu.RUnlock()
	if ok {
		return a, nil
	}
	a, err := ParseAddress("to", to, regionOf(from, region))
	if err != nil || len(to) > longestWritten {
		return a, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known == nil || len(b.known) >= mostWritten {
		b.known = map[written]contacts.Address{}
	}
	b.known[w] = a
	return a, nil
}

// regionOf is where a user is at home, as far as the number says (ISO 3166-1 alpha-2); else the region given.
func regionOf(user contacts.Address, region string) string {
	n, number := user.Number()
	if !number {
		return region
	}
	p, err := phonenumbers.Parse("+"+string(n), "")
	if err != nil {
		return region
	}
	if own := phonenumbers.GetRegionCodeForNumber(p); own != "" && own != "001" && own != "ZZ" {
		return own
	}
	return region
}
