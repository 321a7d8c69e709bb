// Package rule holds what every engine of delivery.Store must judge alike: which changes are well-formed, what a key is, how long what is kept, and
// what a query matches.
package rule

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

const (
	// KeyAge is how long a sender's key names its message.
	KeyAge = 24 * time.Hour
	// LedgerAge is how long a submit and its reports are joined.
	LedgerAge = 7 * 24 * time.Hour
)

// Check returns what is wrong with a group that no engine can take.
func Check(changes []delivery.Change) error {
	if len(changes) > delivery.MaxGroup {
		return fmt.Errorf("a commit takes at most %d changes, this has %d: split it", delivery.MaxGroup, len(changes))
	}
	return nil
}

// CheckChange returns what is wrong with a change by itself.
func CheckChange(c *delivery.Change) error {
	m := c.Message
	if m != nil && m.Rev != 0 && m.ID.IsZero() {
		return fmt.Errorf("the message has a revision and no id: it was not read from the store")
	}
	if m != nil && !m.ID.IsZero() && m.ID.Bucket() != delivery.Bucket(m.To) {
		return fmt.Errorf("message %s: its id does not belong to its recipient", m.ID)
	}
	for i := range c.Entries {
		if err := checkEntry(m, &c.Entries[i]); err != nil {
			return err
		}
	}
	return checkSMS(c)
}

func checkEntry(m *delivery.Message, e *delivery.Entry) error {
	if e.User == "" {
		return fmt.Errorf("an entry (kind %d) names no user", e.Kind)
	}
	switch e.Kind {
	case delivery.In, delivery.SeenSMS:
		if m == nil || e.User != m.To || (!e.ID.IsZero() && e.ID != m.ID) {
			return fmt.Errorf("an entry that stands for a message must be of that message's change and recipient")
		}
	case delivery.Sent:
		if m == nil && e.ID.IsZero() {
			return fmt.Errorf("a copy for the sender's devices names no message")
		}
	case delivery.Receipt:
	default:
		return fmt.Errorf("an entry has the unknown kind %d", e.Kind)
	}
	return nil
}

// Stands reports whether entries of this kind stand for their message.
func Stands(k delivery.Kind) bool { return k == delivery.In || k == delivery.SeenSMS }

// HasMessage reports whether entries of this kind come with their message.
func HasMessage(k delivery.Kind) bool { return k != delivery.Receipt }

// A KeyID names what one sender calls a message to one recipient. Text and Correlation are different name spaces.
type KeyID [16]byte

// KeyOf returns the KeyID of a message, which must have a key. That of an SMS that came in is the gateway's, wherever it went: its pair of numbers may be
// somebody else's when the carrier repeats it.
func KeyOf(m *delivery.Message) (id KeyID) {
	var buf [256]byte
	to := m.To
	if m.Root == delivery.RootMO {
		to = ""
	}
	b := append(buf[:0], byte(len(m.From)))
	b = append(b, m.From...)
	b = append(b, byte(len(to)))
	b = append(b, to...)
	if m.Key.Text != "" {
		b = append(append(b, 't'), m.Key.Text...)
	} else {
		b = append(append(b, 'c'), m.Key.Correlation...)
	}
	sum := sha256.Sum256(b) // not a faster hash: senders choose keys, and a collision would swallow a message
	copy(id[:], sum[:])
	return id
}

// Fresh reports whether the key of a message accepted under id still counts.
func Fresh(id delivery.ID, now time.Time, age time.Duration) bool { return now.Sub(id.Time()) <= age }

// Before returns the last position that is older than age.
func Before(now time.Time, age time.Duration) delivery.Position {
	ms := now.Add(-age).UnixMilli()
	if ms <= 0 {
		return 0
	}
	return delivery.Position(ms)<<16 - 1
}

// Matches reports whether q selects m, whatever its page.
func Matches(q *delivery.Query, m *delivery.Message) bool {
	if q.State != 0 && m.State != q.State {
		return false
	}
	return MatchesSides(q, m.From, m.To)
}

// MatchesSides is the part of Matches that needs the addresses only.
func MatchesSides(q *delivery.Query, from, to contacts.Address) bool {
	is := func(want, a contacts.Address) bool { return want == "" || want == a }
	if !is(q.From, from) || !is(q.To, to) {
		return false
	}
	return is(q.User, from) && is(q.Peer, to) || is(q.User, to) && is(q.Peer, from)
}

// Page returns how many messages a page of q has.
func Page(q *delivery.Query) int {
	if q.Limit <= 0 || q.Limit > MaxPage {
		return MaxPage
	}
	return q.Limit
}

// MaxPage is the most messages that one List returns.
const MaxPage = 1000

// Dropped reports whether a settled message has had its time. seen: all remembered devices of its recipient are past it.
func Dropped(m *delivery.Message, now time.Time, keep delivery.Retention, seen bool) bool {
	switch {
	case !m.Settled():
		return false
	case m.Origin.Device != "" && now.Sub(m.ID.Time()) <= keep.Keys:
		return false // a DUP of it may still come
	case keep.History <= 0:
		return seen
	}
	return now.Sub(m.At) > keep.History
}

// Same reports whether m, about to be written, says what a stored record says; rev and standing, which only a store sets, aside.
func Same(stored, m *delivery.Message) bool {
	mine := *m
	mine.ID, mine.Rev, mine.Stands = stored.ID, stored.Rev, stored.Stands
	a, errA := stored.AppendBinary(nil)
	b, errB := mine.AppendBinary(nil)
	return errA == nil && errB == nil && string(a) == string(b)
}
