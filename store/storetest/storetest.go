// Package storetest is the one suite that every engine of delivery.Store passes, with contacts.Table, and its benchmarks.
//
// Each case is a sentence of the contract in delivery/store.go. An engine's test calls Run with a function that opens a fresh store.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// A Store is all that an engine of the store offers.
type Store interface {
	delivery.Store
	Table() contacts.Table
}

// A Harness is a fresh, empty store and what can be done to it from outside.
type Harness struct {
	Store
	Reopen func(t testing.TB) Store // stops it cleanly and opens it again
	Crash  func(t testing.TB) Store // ends it as kill -9 does and opens it again; nil: not possible
	Full   func(full bool)          // too little free disk space, or enough again
}

// Run runs the suite.
func Run(t *testing.T, open func(t testing.TB) Harness) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, h Harness)
	}{
		{"a new message gets id, revision and place", newMessage},
		{"an advanced message", advance},
		{"conflict", conflict},
		{"the same change again is done already", sameAgain},
		{"a new message retried after an ambiguous error", retryNew},
		{"known keys", known},
		{"keys are released after a day", keysReleased},
		{"a group is judged in order", groupInOrder},
		{"a change fails alone", failsAlone},
		{"a full inbox", full},
		{"a full inbox counts what it holds after a restart", fullAfterRestart},
		{"a full disk", disk},
		{"positions grow in the order of the changes", positions},
		{"a group of many large messages", large},
		{"a group of the greatest size", greatest},
		{"too many changes", tooMany},
		{"malformed changes", malformed},
		{"a done context commits nothing", doneContext},
		{"inbox pages", inboxPages},
		{"an inbox leaves out what no longer stands", inboxStands},
		{"notices of an inbox", inboxNotices},
		{"two users of one bucket never meet", sharedBucket},
		{"devices see forward only", seenForward},
		{"forget", forget},
		{"recover", recoverOpen},
		{"recover stops when told", recoverStops},
		{"prune history", pruneHistory},
		{"prune what was seen", pruneSeen},
		{"prune notices", pruneNotices},
		{"prune inbox age", pruneInboxAge},
		{"list", list},
		{"list pages", listPages},
		{"readers see whole commits", readers},
		{"lanes commit at once", lanes},
		{"ledger: submit and report meet", meet},
		{"ledger: talks", talks},
		{"meetings in a group: both sides, the greatest, ids of any length", meetInGroups},
		{"talks in a group: the first one has it", talkInGroups},
		{"counts in a group: limits, giving back, twice in one change", countInGroups},
		{"a refused message takes meetings, talk and counts with it", refusedWhole},
		{"a refused talk or count takes the message with it", refusedMessage},
		{"the same change again counts once", smsAgain},
		{"one message spends more than once in a group", oneMessageSpends},
		{"a group of the greatest size passes a limit", spendMost},
		{"lanes spend one budget", spendAtOnce},
		{"malformed meetings, talks and counts", malformedSMS},
		{"prune talks and counters", pruneSMS},
		{"prune many counters", pruneManyCounters},
		{"table", table},
		{"everything outlives a clean stop", outlivesStop},
		{"what was committed outlives a crash", outlivesCrash},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

var ctx = context.Background()

const (
	ann  contacts.Address = "4915112345678"
	bob  contacts.Address = "8613800138000"
	cleo contacts.Address = "boiler-7"
)

var accepted = time.Now().Truncate(time.Microsecond)

// letter returns a new message that looks like a real one.
func letter(from, to contacts.Address, text string) *delivery.Message {
	return &delivery.Message{
		From: from, To: to, Root: delivery.RootTo, Payload: []byte(text), State: delivery.Accepted,
		Accepted: accepted, Expires: accepted.Add(30 * 24 * time.Hour), At: accepted, Due: accepted.Add(15 * time.Second),
	}
}

// copyOf returns an independent copy of a message, as another reader has it.
func copyOf(t testing.TB, m *delivery.Message) *delivery.Message {
	t.Helper()
	b, err := m.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := new(delivery.Message)
	if err := c.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	return c
}

// settled returns a copy of m that is delivered.
func settled(t testing.TB, m *delivery.Message) *delivery.Message {
	c := copyOf(t, m)
	c.State, c.Via, c.Due = delivery.Delivered, delivery.ViaPush, time.Time{}
	return c
}

// commit commits a group that must succeed.
func commit(t testing.TB, s delivery.Store, changes ...delivery.Change) {
	t.Helper()
	for i, err := range s.Commit(ctx, changes) {
		if err != nil {
			t.Fatalf("change %d: %v", i, err)
		}
	}
}

// refused commits one change and returns its error.
func refused(t testing.TB, s delivery.Store, c delivery.Change) error {
	t.Helper()
	errs := s.Commit(ctx, []delivery.Change{c})
	if errs == nil {
		return nil
	}
	return errs[0]
}

// post commits a new message.
func post(t testing.TB, s delivery.Store, m *delivery.Message) *delivery.Message {
	t.Helper()
	commit(t, s, delivery.Change{Message: m})
	return m
}

func read(t testing.TB, s delivery.Store, id delivery.ID) *delivery.Message {
	t.Helper()
	m, err := s.Message(ctx, id)
	if err != nil {
		t.Fatalf("message %s: %v", id, err)
	}
	return m
}

func equal(t testing.TB, got, want *delivery.Message) {
	t.Helper()
	a, _ := got.AppendBinary(nil)
	b, _ := want.AppendBinary(nil)
	if !bytes.Equal(a, b) {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
}

func wants(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

// inbox reads a user's whole inbox in pages of three and names what it finds: the payload for a message, the body for a receipt.
func inbox(t testing.TB, s delivery.Store, user contacts.Address, after delivery.Position) (names []string) {
	t.Helper()
	last := after
	for {
		entries, next, err := s.Inbox(ctx, user, after, 0, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Position <= last {
				t.Fatalf("position %d follows %d", e.Position, last)
			}
			last = e.Position
			names = append(names, name(e))
		}
		if next == after {
			return names
		}
		if next < last {
			t.Fatalf("next is %d, but the page goes up to %d", next, last)
		}
		after = next
	}
}

func name(e delivery.Entry) string {
	switch e.Kind {
	case delivery.In:
		return "in " + string(e.Message.Payload)
	case delivery.SeenSMS:
		return "seen " + string(e.Message.Payload)
	case delivery.Sent:
		return "sent " + string(e.Message.Payload)
	case delivery.Receipt:
		return "receipt " + string(e.Body)
	}
	return fmt.Sprintf("kind %d", e.Kind)
}

func receipt(to contacts.Address, id delivery.ID, body string) delivery.Entry {
	return delivery.Entry{User: to, Kind: delivery.Receipt, ID: id, Topic: "u/" + string(to) + "/receipt/k", Body: []byte(body), At: accepted}
}

func same(t testing.TB, got, want []string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}
