package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/delivery"
)

const day = 24 * time.Hour

var keep = delivery.Retention{History: 30 * day, Keys: day, InboxAge: 30 * day, Notices: 1000, NoticeAge: 7 * day}

func prune(t testing.TB, s delivery.Store, now time.Time, r delivery.Retention) {
	t.Helper()
	if err := s.Prune(ctx, now, r); err != nil {
		t.Fatal(err)
	}
}

func there(t testing.TB, s delivery.Store, m *delivery.Message, want bool) {
	t.Helper()
	if _, err := s.Message(ctx, m.ID); want != (err == nil) || err != nil && !errors.Is(err, delivery.ErrNotFound) {
		t.Fatalf("%q: %v, want it kept: %v", m.Payload, err, want)
	}
}

func pruneHistory(t *testing.T, h Harness) {
	var open, done []*delivery.Message
	for i := range 300 {
		o, d := letter(ann, bob, fmt.Sprint("open ", i)), letter(ann, bob, fmt.Sprint("done ", i))
		commit(t, h, delivery.Change{Message: o}, delivery.Change{Message: d})
		open, done = append(open, o), append(done, settled(t, d))
		commit(t, h, delivery.Change{Message: done[i]})
	}
	late := settled(t, post(t, h, letter(ann, bob, "settled lately")))
	late.At = accepted.Add(5 * day)
	commit(t, h, delivery.Change{Message: late})

	prune(t, h, accepted.Add(30*day-time.Minute), keep)
	there(t, h, done[0], true)
	for range 2 {
		prune(t, h, accepted.Add(30*day+time.Hour), keep)
		for i := range done {
			there(t, h, done[i], false)
			there(t, h, open[i], true)
		}
		there(t, h, late, true)
	}
	if page, _, err := h.List(ctx, delivery.Query{}); err != nil || len(page) != 301 {
		t.Fatalf("%d messages listed, %v", len(page), err)
	}
	wants(t, refused(t, h, delivery.Change{Message: done[3]}), delivery.ErrConflict)
	commit(t, h, delivery.Change{Message: settled(t, open[0])})
	prune(t, h, accepted.Add(36*day), keep)
	there(t, h, open[0], false)
	there(t, h, late, false)
	if n := len(recovered(t, h.Reopen(t))[bob]); n != 299 {
		t.Fatalf("%d open messages", n)
	}
}

func pruneSeen(t *testing.T, h Harness) {
	brief := keep
	brief.History = 0
	a := settled(t, post(t, h, letter(ann, bob, "a")))
	b := settled(t, post(t, h, letter(ann, bob, "b")))
	dup := letter(ann, bob, "of an origin")
	dup.Origin = delivery.Origin{Device: "phone", PacketID: 1, Digest: 7}
	dup = settled(t, post(t, h, dup))
	open := post(t, h, letter(ann, bob, "open"))
	key := settled(t, post(t, h, keyed(ann, cleo, delivery.Key{Text: "k"}, "for someone without devices")))
	for _, m := range []*delivery.Message{a, b, dup, key} {
		commit(t, h, delivery.Change{Message: m})
	}
	commit(t, h, delivery.Change{Seen: []delivery.Seen{{User: bob, Upto: open.Stands}, {User: bob, Device: "phone", Upto: open.Stands}, {User: bob, Device: "tablet", Upto: a.Stands}}})

	now := a.ID.Time().Add(time.Minute)
	prune(t, h, now, brief)
	there(t, h, a, false)
	there(t, h, b, true) // the tablet has yet to see it
	there(t, h, dup, true)
	there(t, h, open, true)
	there(t, h, key, false)
	isKnown(t, refused(t, h, delivery.Change{Message: keyed(ann, cleo, delivery.Key{Text: "k"}, "")}), key.ID)
	commit(t, h, delivery.Change{Seen: []delivery.Seen{{User: bob, Device: "tablet", Forget: true}}})
	prune(t, h, now, brief)
	there(t, h, b, false)
	there(t, h, dup, true) // a DUP of it may come for a day
	prune(t, h, now.Add(day+time.Minute), brief)
	there(t, h, dup, false)
	there(t, h, open, true)
	same(t, inbox(t, h, bob, 0), []string{"in open"})
}

func pruneNotices(t *testing.T, h Harness) {
	m := post(t, h, letter(ann, bob, "m"))
	for i := range 10 {
		commit(t, h, delivery.Change{Entries: []delivery.Entry{receipt(bob, m.ID, fmt.Sprint(i, "a")), receipt(bob, m.ID, fmt.Sprint(i, "b"))}},
			delivery.Change{Entries: []delivery.Entry{receipt(ann, m.ID, "r")}})
	}
	few := keep
	few.Notices = 5
	prune(t, h, m.ID.Time(), few)
	want := []string{"receipt 7b", "receipt 8a", "receipt 8b", "receipt 9a", "receipt 9b"}
	same(t, inbox(t, h, bob, m.Stands), want)
	same(t, inbox(t, h, bob, 0), append([]string{"in m"}, want...))
	if n := len(inbox(t, h, ann, 0)); n != 5 {
		t.Fatalf("ann has %d notices", n)
	}
	again := copyOf(t, m)
	commit(t, h, delivery.Change{Message: again, Entries: []delivery.Entry{{User: bob, Kind: delivery.In, Peer: ann}, receipt(bob, m.ID, "10")}})
	prune(t, h, m.ID.Time(), few)
	same(t, inbox(t, h, bob, 0), []string{"receipt 8a", "receipt 8b", "receipt 9a", "receipt 9b", "in m", "receipt 10"}) // what stands is no notice
	prune(t, h, m.ID.Time().Add(7*day+time.Hour), keep)
	same(t, inbox(t, h, bob, 0), []string{"in m"})
	same(t, inbox(t, h.Reopen(t), ann, 0), nil)
}

func pruneInboxAge(t *testing.T, h Harness) {
	done := settled(t, post(t, h, letter(ann, bob, "done")))
	commit(t, h, delivery.Change{Message: done, Entries: []delivery.Entry{receipt(bob, delivery.ID{}, "r")}})
	post(t, h, letter(ann, bob, "open"))
	brief := keep
	brief.InboxAge = 2 * day
	prune(t, h, done.ID.Time().Add(day), brief)
	same(t, inbox(t, h, bob, 0), []string{"in done", "receipt r", "in open"})
	prune(t, h, done.ID.Time().Add(2*day+time.Hour), brief)
	same(t, inbox(t, h, bob, 0), []string{"in open"})
	there(t, h, done, true) // for people it is still in the history
	same(t, inbox(t, h.Reopen(t), bob, 0), []string{"in open"})
}
