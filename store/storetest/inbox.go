package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

func inboxPages(t *testing.T, h Harness) {
	var posted []*delivery.Message
	var want []string
	for i := range 10 {
		posted = append(posted, post(t, h, letter(ann, bob, fmt.Sprint(i))))
		want = append(want, fmt.Sprint("in ", i))
		post(t, h, letter(ann, cleo, "not for bob"))
	}
	same(t, inbox(t, h, bob, 0), want)
	same(t, inbox(t, h, bob, posted[3].Stands), want[4:])

	entries, next, err := h.Inbox(ctx, bob, posted[3].Stands, posted[9].Stands, 2)
	if err != nil || len(entries) != 2 || next != posted[5].Stands {
		t.Fatalf("%d entries, next %d, %v", len(entries), next, err)
	}
	e := entries[0]
	if e.Kind != delivery.In || e.User != bob || e.Peer != ann || e.ID != posted[4].ID || e.Position != posted[4].Stands || !e.At.Equal(accepted) {
		t.Fatalf("%+v", e)
	}
	equal(t, e.Message, posted[4])

	entries, next, err = h.Inbox(ctx, bob, posted[9].Stands, posted[9].Stands, 5)
	if err != nil || len(entries) != 0 || next != posted[9].Stands {
		t.Fatalf("at the end: %d entries, next %d, %v", len(entries), next, err)
	}
	entries, next, err = h.Inbox(ctx, "nobody", 0, posted[9].Stands, 5)
	if err != nil || len(entries) != 0 || next != posted[9].Stands {
		t.Fatalf("nobody: %d entries, next %d, %v", len(entries), next, err)
	}
}

func inboxStands(t *testing.T, h Harness) {
	m := post(t, h, letter(ann, bob, "m"))
	post(t, h, letter(ann, bob, "n"))
	stand := func(k delivery.Kind, s delivery.State) {
		t.Helper()
		m = copyOf(t, m)
		m.State = s
		c := delivery.Change{Message: m, Entries: []delivery.Entry{{User: bob, Kind: k, Peer: ann, At: accepted}}}
		commit(t, h, c)
		if m.Stands != c.Entries[0].Position {
			t.Fatalf("stands at %d, entry at %d", m.Stands, c.Entries[0].Position)
		}
		equal(t, read(t, h, m.ID), m)
	}
	stand(delivery.SeenSMS, delivery.Submitted)
	same(t, inbox(t, h, bob, 0), []string{"in n", "seen m"})
	stand(delivery.In, delivery.Failed)
	same(t, inbox(t, h, bob, 0), []string{"in n", "in m"})
	entries, next, _ := h.Inbox(ctx, bob, 0, 0, 1)
	if len(entries) != 1 || entries[0].Message.ID == m.ID || next != entries[0].Position {
		t.Fatalf("%+v, next %d", entries, next)
	}

	straight := letter(ann, bob, "straight to SMS")
	commit(t, h, delivery.Change{Message: straight, Entries: []delivery.Entry{{User: bob, Kind: delivery.SeenSMS, Peer: ann}}})
	same(t, inbox(t, h, bob, m.Stands), []string{"seen straight to SMS"})
	m = settled(t, m)
	commit(t, h, delivery.Change{Message: m}) // settled stays in the inbox: other devices have yet to see it
	same(t, inbox(t, h, bob, 0), []string{"in n", "in m", "seen straight to SMS"})
}

func inboxNotices(t *testing.T, h Harness) {
	m := letter(ann, bob, "m")
	sent := delivery.Entry{User: ann, Kind: delivery.Sent, Peer: bob, Except: "phone", At: accepted}
	told := delivery.Entry{User: ann, Kind: delivery.Receipt, Peer: bob, At: accepted, Topic: "u/a/receipt/r", Body: []byte(`{"id":"x"}`), Tag: []byte{0, 1, 2}}
	commit(t, h, delivery.Change{Message: m, Entries: []delivery.Entry{sent, told}})
	commit(t, h, delivery.Change{Entries: []delivery.Entry{{User: ann, Kind: delivery.Sent, ID: delivery.NewID(9, bob)}}}) // of a message that is gone
	post(t, h, letter(bob, ann, "answer"))

	entries, next, err := h.Inbox(ctx, ann, 0, 0, 10)
	if err != nil || len(entries) != 3 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	if next != entries[2].Position {
		t.Fatalf("next %d, want %d", next, entries[2].Position)
	}
	copied, got := entries[0], entries[1]
	if copied.Kind != delivery.Sent || copied.Except != "phone" || copied.ID != m.ID || copied.Peer != bob || copied.User != ann || !copied.At.Equal(accepted) {
		t.Errorf("%+v", copied)
	}
	equal(t, copied.Message, m)
	if got.Kind != delivery.Receipt || got.Topic != told.Topic || string(got.Body) != string(told.Body) || string(got.Tag) != string(told.Tag) || got.ID != m.ID || got.Message != nil {
		t.Errorf("%+v", got)
	}
	entries, _, _ = h.Inbox(ctx, ann, copied.Position, 0, 1) // within the notices of one commit
	if len(entries) != 1 || entries[0].Position != got.Position {
		t.Fatalf("%+v", entries)
	}
}

// twins returns two numbers whose hashes agree in the 40 bits of a bucket.
func twins(t testing.TB) (a, b contacts.Address) {
	t.Helper()
	a, b = "4915101419868", "4915101831200"
	if delivery.Bucket(a) != delivery.Bucket(b) {
		t.Fatalf("%s and %s do not share a bucket any more: find two others", a, b)
	}
	return a, b
}

func sharedBucket(t *testing.T, h Harness) {
	a, b := twins(t)
	var mine, theirs []*delivery.Message
	for i := range 5 {
		m, n := letter(ann, a, fmt.Sprint("a", i)), letter(ann, b, fmt.Sprint("b", i))
		commit(t, h, delivery.Change{Message: m, Entries: []delivery.Entry{receipt(b, delivery.ID{}, fmt.Sprint("rb", i))}}, delivery.Change{Message: n, Entries: []delivery.Entry{receipt(a, delivery.ID{}, fmt.Sprint("ra", i))}})
		mine, theirs = append(mine, m), append(theirs, n)
	}
	same(t, inbox(t, h, a, 0), []string{"in a0", "receipt ra0", "in a1", "receipt ra1", "in a2", "receipt ra2", "in a3", "receipt ra3", "in a4", "receipt ra4"})
	same(t, inbox(t, h, b, theirs[3].Stands), []string{"receipt rb4", "in b4"})
	commit(t, h, delivery.Change{Seen: []delivery.Seen{{User: a, Device: "d", Upto: mine[4].Stands}}})
	if seen, _ := h.Seen(ctx, b); len(seen) != 0 {
		t.Fatalf("%v", seen)
	}
	wants(t, h.Forget(ctx, a, mine[4].Stands+100), nil)
	same(t, inbox(t, h, a, 0), nil)
	same(t, inbox(t, h, b, theirs[3].Stands), []string{"receipt rb4", "in b4"})
	s := h.Reopen(t)
	commit(t, s, delivery.Change{Message: letter(ann, a, "a5"), Limit: 6})
	wants(t, refused(t, s, delivery.Change{Message: letter(ann, a, "a6"), Limit: 6}), delivery.ErrFull)
}

func seenForward(t *testing.T, h Harness) {
	saw := func(n ...delivery.Seen) { t.Helper(); commit(t, h, delivery.Change{Seen: n}) }
	expect := func(s delivery.Store, want map[string]delivery.Position) {
		t.Helper()
		if got, err := s.Seen(ctx, bob); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%v, %v, want %v", got, err, want)
		}
	}
	expect(h, map[string]delivery.Position{})
	saw(delivery.Seen{User: bob, Device: "phone", Upto: 5}, delivery.Seen{User: bob, Upto: 7}, delivery.Seen{User: bob, Device: "phone", Upto: 4})
	saw(delivery.Seen{User: bob, Device: "phone", Upto: 3}, delivery.Seen{User: bob, Device: "tablet", Upto: 2}, delivery.Seen{User: ann, Device: "phone", Upto: 90})
	expect(h, map[string]delivery.Position{"": 7, "phone": 5, "tablet": 2})
	saw(delivery.Seen{User: bob, Device: "tablet", Upto: 6}, delivery.Seen{User: bob, Device: "phone", Forget: true})
	expect(h, map[string]delivery.Position{"": 7, "tablet": 6})
	saw(delivery.Seen{User: bob, Device: "phone", Upto: 1})
	expect(h, map[string]delivery.Position{"": 7, "phone": 1, "tablet": 6})
	expect(h.Reopen(t), map[string]delivery.Position{"": 7, "phone": 1, "tablet": 6})
}

func forget(t *testing.T, h Harness) {
	old := post(t, h, letter(ann, bob, "old"))
	notices := delivery.Change{Entries: []delivery.Entry{receipt(bob, old.ID, "1"), receipt(bob, old.ID, "2"), receipt(bob, old.ID, "3")}}
	commit(t, h, notices)
	post(t, h, letter(ann, bob, "new"))
	wants(t, h.Forget(ctx, bob, notices.Entries[1].Position), nil)
	same(t, inbox(t, h, bob, 0), []string{"receipt 3", "in new"})
	equal(t, read(t, h, old.ID), old) // the message itself stays
	wants(t, h.Forget(ctx, bob, 1), nil)
	same(t, inbox(t, h.Reopen(t), bob, 0), []string{"receipt 3", "in new"})
}

func readers(t *testing.T, h Harness) {
	m := post(t, h, letter(ann, bob, "m"))
	stop := make(chan struct{})
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				entries, _, err := h.Inbox(ctx, bob, 0, 0, 100)
				if err != nil || len(entries) != 1 || entries[0].Position != entries[0].Message.Stands {
					t.Errorf("the message stands %d times: %+v, %v", len(entries), entries, err)
					return
				}
				if _, err := h.Message(ctx, m.ID); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 100 {
		commit(t, h, delivery.Change{Message: m, Entries: []delivery.Entry{{User: bob, Kind: delivery.In, Peer: ann}}})
	}
	close(stop)
	wait.Wait()
}

func lanes(t *testing.T, h Harness) {
	var wait sync.WaitGroup
	for lane := range 4 {
		wait.Go(func() {
			to := contacts.Address(fmt.Sprintf("lane%d", lane))
			for i := range 25 {
				m := letter(ann, to, fmt.Sprint(i))
				if errs := h.Commit(ctx, []delivery.Change{{Message: m, Limit: 1}}); errs != nil {
					t.Errorf("lane %d, message %d: %v", lane, i, errs)
					return
				}
				m.State, m.Due = delivery.Delivered, time.Time{}
				if errs := h.Commit(ctx, []delivery.Change{{Message: m}}); errs != nil {
					t.Errorf("lane %d, message %d: %v", lane, i, errs)
					return
				}
			}
		})
	}
	wait.Wait()
	for lane := range 4 {
		if n := len(inbox(t, h, contacts.Address(fmt.Sprintf("lane%d", lane)), 0)); n != 25 {
			t.Errorf("lane %d has %d messages", lane, n)
		}
	}
}
