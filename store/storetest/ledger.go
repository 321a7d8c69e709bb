package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
)

func meets(t testing.TB, s Store, gateway, id string, side sms.Side, mine, want string) {
	t.Helper()
	met := []sms.Meeting{{Gateway: gateway, ID: id, Side: side, Mine: []byte(mine)}}
	err := errors.Join(s.Commit(ctx, []delivery.Change{{Meetings: met}})...)
	other := met[0].Other
	if err != nil || string(other) != want || (other == nil) != (want == "") {
		t.Fatalf("%s/%s: the other side has %q (%v), want %q", gateway, id, other, err, want)
	}
}

func meet(t *testing.T, h Harness) {
	meets(t, h, "carrier", "7f3a", sms.Submitter, "message 1", "")
	meets(t, h, "carrier", "7f3a", sms.Reporter, "delivered", "message 1")
	meets(t, h, "carrier", "7f3a", sms.Submitter, "message 1", "delivered")
	meets(t, h, "carrier", "early", sms.Reporter, "1 enroute", "")
	meets(t, h, "carrier", "early", sms.Reporter, "3 delivered", "")
	meets(t, h, "carrier", "early", sms.Reporter, "2 undelivered", "")
	meets(t, h, "carrier", "early", sms.Submitter, "message 2", "3 delivered")
	meets(t, h, "carrie", "r7f3a", sms.Reporter, "x", "") // names are not run together
	s := h.Reopen(t)
	meets(t, s, "carrier", "7f3a", sms.Reporter, "delivered", "message 1")
	prune(t, s, time.Now().Add(6*day), keep)
	meets(t, s, "carrier", "early", sms.Reporter, "3 delivered", "message 2")
	prune(t, s, time.Now().Add(7*day+time.Hour), keep)
	meets(t, s, "carrier", "7f3a", sms.Reporter, "delivered", "")
	if errs := s.Commit(ctx, []delivery.Change{{Meetings: []sms.Meeting{{Gateway: "carrier", ID: "x"}}}}); errs == nil {
		t.Error("a side of nobody was taken")
	}
}

// talkOf returns the conversation of a pair of numbers.
func talkOf(t testing.TB, s Store, own, peer contacts.Number) sms.Talk {
	t.Helper()
	all, err := s.Talks(ctx, peer)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range all {
		if k.Own == own {
			return k
		}
	}
	return sms.Talk{}
}

func bind(s Store, t sms.Talk) error {
	return errors.Join(s.Commit(ctx, []delivery.Change{{Talk: &t}})...)
}

const (
	own  contacts.Number = "4915100000000"
	peer contacts.Number = "8613800138000"
)

func talks(t *testing.T, h Harness) {
	if talk := talkOf(t, h, own, peer); talk != (sms.Talk{}) {
		t.Fatalf("%+v", talk)
	}
	first := sms.Talk{Own: own, Peer: peer, User: ann, Ref: sms.Ref{1, 2}, At: accepted}
	wants(t, bind(h, first), nil)
	other := first
	other.User = cleo
	wants(t, bind(h, other), sms.ErrTaken)
	got := talkOf(t, h, own, peer)
	if got.Rev == 0 || got.User != ann || got.Ref != first.Ref || !got.At.Equal(first.At) || got.Own != own || got.Peer != peer {
		t.Fatalf("%+v", got)
	}
	stale := got
	got.User = cleo
	wants(t, bind(h, got), nil)
	wants(t, bind(h, stale), sms.ErrTaken)
	if other := talkOf(t, h, own, "8613800138001"); other.User != "" {
		t.Fatalf("%+v", other)
	}
	if again := talkOf(t, h.Reopen(t), own, peer); again.User != cleo || again.Rev == stale.Rev {
		t.Fatalf("%+v", again)
	}
}

func rows(t testing.TB, tab contacts.Table, prefix string) (found []string, revs map[string]uint64) {
	t.Helper()
	revs = map[string]uint64{}
	err := tab.Scan(ctx, prefix, func(key string, val []byte, rev uint64) error {
		found = append(found, fmt.Sprintf("%s=%s", key, val))
		revs[key] = rev
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found, revs
}

func table(t *testing.T, h Harness) {
	tab := h.Table()
	put := func(w ...contacts.Write) ([]uint64, []error) {
		t.Helper()
		revs, errs, err := tab.Write(ctx, w)
		if err != nil || len(revs) != len(w) || len(errs) != len(w) {
			t.Fatalf("%v, %v, %v", revs, errs, err)
		}
		return revs, errs
	}
	revs, errs := put(contacts.Write{Key: "user/a", Val: []byte("1")}, contacts.Write{Key: "user/b", Val: []byte("2")}, contacts.Write{Key: "token/x", Val: []byte{}},
		contacts.Write{Key: "user/a", Val: []byte("twice in one write")})
	if errs[0] != nil || errs[1] != nil || errs[2] != nil {
		t.Fatalf("%v", errs)
	}
	wants(t, errs[3], contacts.ErrConflict)
	found, stored := rows(t, tab, "user/")
	same(t, found, []string{"user/a=1", "user/b=2"})
	if stored["user/a"] != revs[0] || revs[0] == 0 {
		t.Fatalf("revisions %v, scanned %v", revs, stored)
	}
	next, errs := put(contacts.Write{Key: "user/a", Val: []byte("3"), Rev: revs[0]}, contacts.Write{Key: "user/b", Val: []byte("4"), Rev: revs[1] + 1000}, contacts.Write{Key: "user/c", Val: []byte("5"), Rev: 7})
	wants(t, errs[0], nil)
	wants(t, errs[1], contacts.ErrConflict)
	wants(t, errs[2], contacts.ErrConflict)
	if next[0] == revs[0] {
		t.Fatal("the revision stayed")
	}
	_, errs = put(contacts.Write{Key: "user/b", Rev: revs[1]}, contacts.Write{Key: "user/a", Rev: revs[0]})
	wants(t, errs[0], nil)
	wants(t, errs[1], contacts.ErrConflict)
	tab = h.Reopen(t).Table()
	found, stored = rows(t, tab, "")
	same(t, found, []string{"token/x=", "user/a=3"})
	if stored["user/a"] != next[0] {
		t.Fatalf("revision %d after a restart, want %d", stored["user/a"], next[0])
	}
	if _, errs := put(contacts.Write{Key: "user/b", Val: []byte("new")}); errs[0] != nil {
		t.Fatal(errs[0])
	}
}

func writeLedger(t testing.TB, s Store) {
	t.Helper()
	meets(t, s, "carrier", "kept", sms.Submitter, "m", "")
	m := letter(ann, cleo, "with all of SMS")
	commit(t, s, delivery.Change{
		Message: m, Meetings: []sms.Meeting{meeting("group", sms.Submitter, "m")}, Talk: chat(own, peer, ann), Counts: []sms.Count{count("day", 3, 5), count("ann", 1, 1)},
	}, delivery.Change{Counts: []sms.Count{count("day", 2, 5)}})
	commit(t, s, delivery.Change{Message: settled(t, m), Counts: []sms.Count{count("ann", -1, 1)}})
	if _, _, err := s.Table().Write(ctx, []contacts.Write{{Key: "user/a", Val: []byte("1")}}); err != nil {
		t.Fatal(err)
	}
}

func checkLedger(t testing.TB, s Store) {
	t.Helper()
	meets(t, s, "carrier", "kept", sms.Reporter, "d", "m")
	same(t, spoken(t, s, peer), []string{"4915100000000 4915112345678"})
	stands(t, s, "5 0", "day", "ann")
	same(t, outcomes(t, s, delivery.Change{Counts: []sms.Count{count("day", 1, 5)}}, delivery.Change{Talk: chat(own, peer, cleo)}), []string{"over day", sms.ErrTaken.Error()})
	met := []sms.Meeting{meeting("group", sms.Reporter, "d")}
	commit(t, s, delivery.Change{Meetings: met})
	same(t, learned(met), []string{"m"})
	found, _ := rows(t, s.Table(), "user/")
	same(t, found, []string{"user/a=1"})
}
