package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

func newMessage(t *testing.T, h Harness) {
	m := post(t, h, letter(ann, bob, "hello"))
	if m.ID.IsZero() || m.Rev == 0 {
		t.Fatalf("id %s, revision %d", m.ID, m.Rev)
	}
	if m.ID.Bucket() != delivery.Bucket(bob) || m.Stands != m.ID.Position() {
		t.Fatalf("the id does not name recipient and place: %s stands at %d", m.ID, m.Stands)
	}
	equal(t, read(t, h, m.ID), m)
	_, err := h.Message(ctx, delivery.NewID(1, bob))
	wants(t, err, delivery.ErrNotFound)
}

func advance(t *testing.T, h Harness) {
	m := post(t, h, letter(ann, bob, "hello"))
	next := settled(t, m)
	commit(t, h, delivery.Change{Message: next, Entries: []delivery.Entry{receipt(ann, delivery.ID{}, "delivered")}})
	if next.Rev == m.Rev {
		t.Fatal("the revision stayed")
	}
	equal(t, read(t, h, m.ID), next)
	late := copyOf(t, next)
	late.Trail = append(late.Trail, delivery.Step{At: accepted, Event: "again"})
	commit(t, h, delivery.Change{Message: late}) // a settled message still takes what comes late
	equal(t, read(t, h, m.ID), late)
}

func conflict(t *testing.T, h Harness) {
	m := post(t, h, letter(ann, bob, "hello"))
	first, second := settled(t, m), copyOf(t, m)
	second.State = delivery.Submitting
	commit(t, h, delivery.Change{Message: first})
	err := refused(t, h, delivery.Change{Message: second, Entries: []delivery.Entry{receipt(ann, m.ID, "submitting")}})
	wants(t, err, delivery.ErrConflict)
	if second.Rev != m.Rev {
		t.Error("a refused change moved its revision")
	}
	equal(t, read(t, h, m.ID), first)
	same(t, inbox(t, h, ann, 0), nil) // the refused change told nobody
	gone := copyOf(t, m)
	gone.ID = delivery.NewID(7, bob)
	wants(t, refused(t, h, delivery.Change{Message: gone}), delivery.ErrConflict)
}

func sameAgain(t *testing.T, h Harness) {
	m := post(t, h, letter(ann, bob, "hello"))
	change := func() delivery.Change {
		return delivery.Change{Message: settled(t, m), Entries: []delivery.Entry{receipt(ann, delivery.ID{}, "delivered"), receipt(cleo, delivery.ID{}, "copy")}}
	}
	once, again := change(), change()
	commit(t, h, once)
	commit(t, h, again)
	if again.Message.Rev != once.Message.Rev || again.Entries[1].Position != once.Entries[1].Position {
		t.Fatalf("again: revision %d, entry at %d; once: %d, %d", again.Message.Rev, again.Entries[1].Position, once.Message.Rev, once.Entries[1].Position)
	}
	same(t, inbox(t, h, ann, 0), []string{"receipt delivered"})
	commit(t, h, delivery.Change{Message: again.Message}) // and it has the right revision to go on with
}

func retryNew(t *testing.T, h Harness) {
	first := post(t, h, letter(ann, bob, "written"))
	retry := copyOf(t, first)
	retry.Rev = 0
	commit(t, h, delivery.Change{Message: retry})
	if retry.Rev != first.Rev {
		t.Fatalf("revision %d, want %d", retry.Rev, first.Rev)
	}
	lost := letter(ann, bob, "not written")
	lost.ID = delivery.NewID(first.ID.Position()-1, bob) // given by a commit that failed before it wrote; others came since
	post(t, h, lost)
	if lost.Stands <= first.Stands {
		t.Fatal("readers that are past the place of the first try would never see the message")
	}
	equal(t, read(t, h, lost.ID), lost)
	same(t, inbox(t, h, bob, 0), []string{"in written", "in not written"})
	commit(t, h, delivery.Change{Message: settled(t, lost)})
	notices := delivery.Change{Entries: []delivery.Entry{receipt(ann, first.ID, "once")}}
	commit(t, h, notices)
	commit(t, h, notices)
	same(t, inbox(t, h, ann, 0), []string{"receipt once"})
	other := copyOf(t, first)
	other.Rev, other.Payload = 0, []byte("something else under the same id")
	wants(t, refused(t, h, delivery.Change{Message: other}), delivery.ErrConflict)
}

func keyed(from, to contacts.Address, k delivery.Key, text string) *delivery.Message {
	m := letter(from, to, text)
	m.Key = k
	return m
}

func isKnown(t testing.TB, err error, id delivery.ID) {
	t.Helper()
	var known *delivery.Known
	if !errors.As(err, &known) || known.ID != id {
		t.Fatalf("error %v, want that the key names %s", err, id)
	}
}

func known(t *testing.T, h Harness) {
	text, octets := delivery.Key{Text: "k1"}, delivery.Key{Correlation: []byte("k1")}
	m := post(t, h, keyed(ann, bob, text, "first"))
	again := keyed(ann, bob, text, "another payload")
	again.Root = delivery.RootSMS
	isKnown(t, refused(t, h, delivery.Change{Message: again}), m.ID)
	if !again.ID.IsZero() || again.Rev != 0 {
		t.Error("a refused message was given an id")
	}
	post(t, h, keyed(ann, cleo, text, "another recipient"))
	post(t, h, keyed(bob, bob, text, "another sender"))
	c := post(t, h, keyed(ann, bob, octets, "Correlation Data is another name space"))
	isKnown(t, refused(t, h, delivery.Change{Message: keyed(ann, bob, octets, "")}), c.ID)
	commit(t, h, delivery.Change{Message: settled(t, m)})
	isKnown(t, refused(t, h, delivery.Change{Message: keyed(ann, bob, text, "")}), m.ID) // settled is known too
	same(t, inbox(t, h, bob, 0), []string{"in first", "in another sender", "in Correlation Data is another name space"})
}

func keysReleased(t *testing.T, h Harness) {
	k := delivery.Key{Text: "k1"}
	m := post(t, h, keyed(ann, bob, k, "today"))
	keep := delivery.Retention{History: 30 * day, Keys: day, InboxAge: 30 * day, Notices: 1000, NoticeAge: 7 * day}
	prune(t, h, m.ID.Time().Add(day-time.Minute), keep)
	isKnown(t, refused(t, h, delivery.Change{Message: keyed(ann, bob, k, "the same day")}), m.ID)
	prune(t, h, m.ID.Time().Add(day+time.Minute), keep)
	post(t, h, keyed(ann, bob, k, "tomorrow"))
	equal(t, read(t, h, m.ID), m)
}

func groupInOrder(t *testing.T, h Harness) {
	k := delivery.Key{Text: "k1"}
	first, second := keyed(ann, bob, k, "first"), keyed(ann, bob, k, "second")
	errs := h.Commit(ctx, []delivery.Change{{Message: first}, {Message: second}})
	if len(errs) != 2 || errs[0] != nil {
		t.Fatalf("%v", errs)
	}
	isKnown(t, errs[1], first.ID)

	push, claim := settled(t, first), copyOf(t, first)
	claim.State = delivery.Submitting
	errs = h.Commit(ctx, []delivery.Change{{Message: push}, {Message: claim}})
	if len(errs) != 2 || errs[0] != nil {
		t.Fatalf("%v", errs)
	}
	wants(t, errs[1], delivery.ErrConflict)
	equal(t, read(t, h, first.ID), push)

	both := letter(ann, bob, "accepted and advanced in one group")
	commit(t, h, delivery.Change{Message: both}, delivery.Change{Message: both, Entries: []delivery.Entry{receipt(ann, delivery.ID{}, "accepted")}})
	equal(t, read(t, h, both.ID), both)
}

func failsAlone(t *testing.T, h Harness) {
	m := post(t, h, keyed(ann, bob, delivery.Key{Text: "k"}, "one"))
	stale := copyOf(t, m)
	commit(t, h, delivery.Change{Message: settled(t, m)})
	stale.State = delivery.Waiting
	good := letter(bob, ann, "good")
	errs := h.Commit(ctx, []delivery.Change{
		{Message: stale, Entries: []delivery.Entry{receipt(ann, delivery.ID{}, "waiting")}, Seen: []delivery.Seen{{User: ann, Device: "d", Upto: 9}}},
		{Message: good},
		{Message: keyed(ann, bob, delivery.Key{Text: "k"}, "two"), Entries: []delivery.Entry{receipt(ann, delivery.ID{}, "two")}},
	})
	wants(t, errs[0], delivery.ErrConflict)
	wants(t, errs[1], nil)
	isKnown(t, errs[2], m.ID)
	same(t, inbox(t, h, ann, 0), []string{"in good"})
	if seen, _ := h.Seen(ctx, ann); len(seen) != 0 {
		t.Fatalf("a refused change told what a device has seen: %v", seen)
	}
}

func full(t *testing.T, h Harness) {
	limited := func(m *delivery.Message) delivery.Change { return delivery.Change{Message: m, Limit: 2} }
	a, b := letter(ann, bob, "1"), letter(cleo, bob, "2")
	errs := h.Commit(ctx, []delivery.Change{limited(a), limited(b), limited(letter(ann, bob, "3")), limited(letter(ann, cleo, "elsewhere"))})
	wants(t, errs[2], delivery.ErrFull)
	if errs[0] != nil || errs[1] != nil || errs[3] != nil {
		t.Fatalf("%v", errs)
	}
	post(t, h, letter(ann, bob, "without a limit"))
	wants(t, refused(t, h, limited(letter(ann, bob, "4"))), delivery.ErrFull)
	commit(t, h, delivery.Change{Message: settled(t, a)}, delivery.Change{Message: settled(t, b)}, limited(letter(ann, bob, "5")))
	wants(t, refused(t, h, limited(letter(ann, bob, "6"))), delivery.ErrFull)
	failed := letter(ann, bob, "settled from the start")
	failed.State, failed.Due = delivery.Failed, time.Time{}
	commit(t, h, limited(failed)) // takes no place
	recovered(t, h)
	wants(t, refused(t, h, limited(letter(ann, bob, "7"))), delivery.ErrFull)
}

func fullAfterRestart(t *testing.T, h Harness) {
	a := post(t, h, letter(ann, bob, "1"))
	post(t, h, letter(ann, bob, "2"))
	s := h.Reopen(t)
	wants(t, refused(t, s, delivery.Change{Message: letter(ann, bob, "3"), Limit: 2}), delivery.ErrFull)
	var b *delivery.Message
	err := s.Recover(ctx, accepted, func(m *delivery.Message) error {
		if b == nil { // while it runs, one goes and one comes
			b = letter(ann, bob, "4")
			commit(t, s, delivery.Change{Message: settled(t, a)}, delivery.Change{Message: b, Limit: 2})
		}
		return nil
	})
	wants(t, err, nil)
	wants(t, refused(t, s, delivery.Change{Message: letter(ann, bob, "5"), Limit: 2}), delivery.ErrFull)
	commit(t, s, delivery.Change{Message: settled(t, b)}, delivery.Change{Message: letter(ann, bob, "6"), Limit: 2})
}

func disk(t *testing.T, h Harness) {
	if h.Full == nil {
		t.Skip("the disk cannot be filled")
	}
	m := post(t, h, keyed(ann, bob, delivery.Key{Text: "k"}, "early"))
	h.Full(true)
	wants(t, refused(t, h, delivery.Change{Message: letter(ann, bob, "late")}), delivery.ErrDisk)
	isKnown(t, refused(t, h, delivery.Change{Message: keyed(ann, bob, delivery.Key{Text: "k"}, "")}), m.ID)
	commit(t, h, delivery.Change{Message: settled(t, m), Entries: []delivery.Entry{receipt(ann, delivery.ID{}, "delivered")}}) // delivery goes on
	h.Full(false)
	post(t, h, letter(ann, bob, "later"))
	same(t, inbox(t, h, bob, 0), []string{"in early", "in later"})
}

func positions(t *testing.T, h Harness) {
	var last delivery.Position
	grows := func(what string, at delivery.Position) {
		t.Helper()
		if at <= last {
			t.Fatalf("%s at %d follows %d", what, at, last)
		}
		last = at
	}
	for range 20 {
		var group []delivery.Change
		for i := range 10 {
			group = append(group, delivery.Change{Message: letter(ann, bob, "x"), Entries: []delivery.Entry{receipt(ann, delivery.ID{}, "a"), receipt(bob, delivery.ID{}, "b")}})
			if i%3 == 0 {
				group = append(group, delivery.Change{Entries: []delivery.Entry{receipt(cleo, delivery.NewID(1, bob), "c")}})
			}
		}
		commit(t, h, group...)
		for _, c := range group {
			if c.Message != nil {
				grows("message", c.Message.ID.Position())
			}
			for _, e := range c.Entries {
				grows("entry", e.Position)
			}
		}
	}
	s := h.Reopen(t)
	grows("after a restart", post(t, s, letter(ann, bob, "x")).ID.Position())
}

func large(t *testing.T, h Harness) {
	var group []delivery.Change
	text := strings.Repeat("0123456789abcdef", 4<<10)
	for range delivery.MaxGroupBytes / len(text) {
		group = append(group, delivery.Change{Message: letter(ann, bob, text), Entries: []delivery.Entry{receipt(ann, delivery.ID{}, "r")}})
	}
	commit(t, h, group...)
	for _, c := range group {
		equal(t, read(t, h, c.Message.ID), c.Message)
	}
	if n := len(inbox(t, h, bob, 0)); n != len(group) {
		t.Fatalf("%d messages, want %d", n, len(group))
	}
	if n := len(inbox(t, h, ann, 0)); n != len(group) {
		t.Fatalf("%d receipts, want %d", n, len(group))
	}
}

func greatest(t *testing.T, h Harness) {
	group := make([]delivery.Change, delivery.MaxGroup)
	for i := range group {
		group[i] = delivery.Change{Message: keyed(ann, bob, delivery.Key{Text: fmt.Sprint(i)}, "x"), Entries: []delivery.Entry{receipt(ann, delivery.ID{}, "r")}}
	}
	commit(t, h, group...)
	isKnown(t, refused(t, h, delivery.Change{Message: keyed(ann, bob, delivery.Key{Text: "1000"}, "")}), group[1000].Message.ID)
	if n := len(inbox(t, h, bob, 0)); n != len(group) {
		t.Fatalf("%d messages, want %d", n, len(group))
	}
}

func tooMany(t *testing.T, h Harness) {
	errs := h.Commit(ctx, make([]delivery.Change, delivery.MaxGroup+1))
	if len(errs) != delivery.MaxGroup+1 || errs[0] == nil {
		t.Fatal("a group above the limit was taken")
	}
}

func malformed(t *testing.T, h Harness) {
	stranger := letter(ann, bob, "x")
	stranger.ID = delivery.NewID(5, cleo)
	unread := letter(ann, bob, "x")
	unread.Rev = 3
	for name, c := range map[string]delivery.Change{
		"the id of another recipient":            {Message: stranger},
		"a revision without an id":               {Message: unread},
		"an entry without a user":                {Message: letter(ann, bob, "x"), Entries: []delivery.Entry{{Kind: delivery.Receipt}}},
		"an entry without a kind":                {Message: letter(ann, bob, "x"), Entries: []delivery.Entry{{User: ann}}},
		"an entry that stands for another":       {Message: letter(ann, bob, "x"), Entries: []delivery.Entry{{User: bob, Kind: delivery.In, ID: delivery.NewID(3, bob)}}},
		"an entry that stands with someone else": {Message: letter(ann, bob, "x"), Entries: []delivery.Entry{{User: ann, Kind: delivery.SeenSMS}}},
		"a copy of nothing":                      {Entries: []delivery.Entry{{User: ann, Kind: delivery.Sent}}},
	} {
		if refused(t, h, c) == nil {
			t.Errorf("%s was written", name)
		}
	}
	same(t, append(inbox(t, h, ann, 0), inbox(t, h, bob, 0)...), nil)
}

func doneContext(t *testing.T, h Harness) {
	done, cancel := context.WithCancel(ctx)
	cancel()
	errs := h.Commit(done, []delivery.Change{{Message: letter(ann, bob, "x")}})
	if len(errs) != 1 || errs[0] == nil {
		t.Fatal("a commit without time to wait was taken")
	}
}
