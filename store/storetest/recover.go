package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// recovered runs Recover and returns what it found, by payload, for each recipient in the order found.
func recovered(t testing.TB, s delivery.Store) map[contacts.Address][]string {
	t.Helper()
	found := map[contacts.Address][]string{}
	err := s.Recover(ctx, accepted.Add(-time.Hour), func(m *delivery.Message) error {
		found[m.To] = append(found[m.To], string(m.Payload))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func recoverOpen(t *testing.T, h Harness) {
	var want [3][]string
	users := []contacts.Address{ann, bob, cleo}
	for i := range 30 {
		to := i % 3
		m := post(t, h, letter(ann, users[to], fmt.Sprint(i)))
		if i%5 == 0 {
			commit(t, h, delivery.Change{Message: settled(t, m)})
			continue
		}
		want[to] = append(want[to], string(m.Payload))
	}
	origin := letter(bob, ann, "settled, of an origin")
	origin.Origin = delivery.Origin{Device: "phone", PacketID: 1, Digest: 7}
	post(t, h, origin)
	commit(t, h, delivery.Change{Message: settled(t, origin)})
	want[0] = append(want[0], "settled, of an origin")

	s := h.Reopen(t)
	found := recovered(t, s)
	for i, user := range users {
		same(t, found[user], want[i])
	}
	err := s.Recover(ctx, origin.ID.Time().Add(time.Second), func(m *delivery.Message) error {
		if m.Settled() {
			t.Errorf("%q was accepted before", m.Payload)
		}
		return nil
	})
	wants(t, err, nil)
	err = s.Recover(ctx, accepted.Add(-time.Hour), func(m *delivery.Message) error {
		equal(t, m, read(t, s, m.ID))
		commit(t, s, delivery.Change{Message: settled(t, m)}) // what was recovered can be advanced, while it runs too
		return nil
	})
	wants(t, err, nil)
	same(t, recovered(t, s)[cleo], nil)
}

func recoverStops(t *testing.T, h Harness) {
	for i := range 10 {
		post(t, h, letter(ann, bob, fmt.Sprint(i)))
	}
	enough, calls := errors.New("enough"), 0
	err := h.Recover(ctx, accepted, func(*delivery.Message) error { calls++; return enough })
	wants(t, err, enough)
	if calls != 1 {
		t.Fatalf("%d calls", calls)
	}
}

func list(t *testing.T, h Harness) {
	var all []*delivery.Message
	add := func(from, to contacts.Address, text string) { all = append(all, post(t, h, letter(from, to, text))) }
	add(ann, bob, "ann bob 1")
	add(bob, ann, "bob ann 2")
	add(ann, cleo, "ann cleo 3")
	add(cleo, bob, "cleo bob 4")
	add(bob, bob, "bob bob 5")
	commit(t, h, delivery.Change{Message: settled(t, all[0])}, delivery.Change{Message: settled(t, all[3])})
	for _, c := range []struct {
		q    delivery.Query
		want []string
	}{
		{delivery.Query{}, []string{"bob bob 5", "cleo bob 4", "ann cleo 3", "bob ann 2", "ann bob 1"}},
		{delivery.Query{User: ann}, []string{"ann cleo 3", "bob ann 2", "ann bob 1"}},
		{delivery.Query{User: ann, Peer: bob}, []string{"bob ann 2", "ann bob 1"}},
		{delivery.Query{User: bob, Peer: bob}, []string{"bob bob 5"}},
		{delivery.Query{Peer: cleo}, []string{"cleo bob 4", "ann cleo 3"}},
		{delivery.Query{From: ann}, []string{"ann cleo 3", "ann bob 1"}},
		{delivery.Query{To: bob}, []string{"bob bob 5", "cleo bob 4", "ann bob 1"}},
		{delivery.Query{From: ann, To: bob}, []string{"ann bob 1"}},
		{delivery.Query{State: delivery.Delivered}, []string{"cleo bob 4", "ann bob 1"}},
		{delivery.Query{User: bob, State: delivery.Accepted}, []string{"bob bob 5", "bob ann 2"}},
		{delivery.Query{Before: all[2].ID}, []string{"bob ann 2", "ann bob 1"}},
		{delivery.Query{From: "nobody"}, nil},
	} {
		page, next, err := h.List(ctx, c.q)
		if err != nil || !next.IsZero() {
			t.Errorf("%+v: next %s, %v", c.q, next, err)
		}
		var got []string
		for _, m := range page {
			equal(t, m, read(t, h, m.ID))
			got = append(got, string(m.Payload))
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%+v: %q, want %q", c.q, got, c.want)
		}
	}
}

func listPages(t *testing.T, h Harness) {
	var group []delivery.Change
	for i := range 25 {
		group = append(group, delivery.Change{Message: letter(ann, []contacts.Address{bob, cleo}[i%2], fmt.Sprint(i))})
	}
	commit(t, h, group[:20]...)
	commit(t, h, group[20:]...)
	for _, limit := range []int{1, 4, 5, 25, 26} {
		var got []string
		for q, more := (delivery.Query{User: ann, Limit: limit}), true; more; {
			page, next, err := h.List(ctx, q)
			if err != nil || len(page) > limit {
				t.Fatalf("%d messages, %v", len(page), err)
			}
			for _, m := range page {
				got = append(got, string(m.Payload))
			}
			q.Before, more = next, !next.IsZero()
		}
		if len(got) != 25 || got[0] != "24" || got[24] != "0" {
			t.Errorf("pages of %d: %q", limit, got)
		}
	}
}

func outlivesStop(t *testing.T, h Harness) {
	w := write(t, h)
	w.check(t, h.Reopen(t))
}

func outlivesCrash(t *testing.T, h Harness) {
	if h.Crash == nil {
		t.Skip("this engine's crash is tested with a process")
	}
	w := write(t, h)
	w.check(t, h.Crash(t))
}

// A world is a little of everything, to be found again.
type world struct {
	open, done *delivery.Message
	last       delivery.Position
}

func write(t testing.TB, s Store) (w world) {
	w.open = post(t, s, keyed(ann, bob, delivery.Key{Text: "k"}, "open"))
	w.done = settled(t, post(t, s, letter(ann, bob, "done")))
	c := delivery.Change{Message: w.done, Entries: []delivery.Entry{receipt(ann, delivery.ID{}, "delivered")}, Seen: []delivery.Seen{{User: bob, Device: "d", Upto: w.done.Stands}}}
	commit(t, s, c)
	w.last = c.Entries[0].Position
	writeLedger(t, s)
	return w
}

func (w world) check(t testing.TB, s Store) {
	t.Helper()
	equal(t, read(t, s, w.open.ID), w.open)
	equal(t, read(t, s, w.done.ID), w.done)
	same(t, inbox(t, s, bob, 0), []string{"in open", "in done"})
	same(t, inbox(t, s, ann, 0), []string{"receipt delivered"})
	isKnown(t, refused(t, s, delivery.Change{Message: keyed(ann, bob, delivery.Key{Text: "k"}, "")}), w.open.ID)
	if seen, err := s.Seen(ctx, bob); err != nil || seen["d"] != w.done.Stands {
		t.Fatalf("%v, %v", seen, err)
	}
	same(t, recovered(t, s)[bob], []string{"open"})
	checkLedger(t, s)
	if m := post(t, s, letter(ann, cleo, "next")); m.Stands <= w.last {
		t.Fatalf("position %d follows %d", m.Stands, w.last)
	}
	commit(t, s, delivery.Change{Message: settled(t, w.open)})
}
