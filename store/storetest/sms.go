package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
)

const own2 contacts.Number = "4915100000001"

// outcomes commits a group and names what became of each change.
func outcomes(t testing.TB, s delivery.Store, changes ...delivery.Change) []string {
	t.Helper()
	errs := s.Commit(ctx, changes)
	words := make([]string, len(changes))
	for i := range words {
		var over *sms.OverLimit
		var known *delivery.Known
		switch {
		case errs == nil || errs[i] == nil:
			words[i] = "ok"
		case errors.As(errs[i], &over):
			words[i] = "over " + over.Key
		case errors.As(errs[i], &known):
			words[i] = "known"
		default:
			words[i] = errs[i].Error()
		}
	}
	return words
}

func meeting(id string, side sms.Side, mine string) sms.Meeting {
	return sms.Meeting{Gateway: "carrier", ID: id, Side: side, Mine: []byte(mine)}
}

// learned names what the meetings of a change got to know.
func learned(meetings []sms.Meeting) (words []string) {
	for _, m := range meetings {
		if m.Other == nil {
			words = append(words, "nobody")
		} else {
			words = append(words, string(m.Other))
		}
	}
	return words
}

func chat(own, peer contacts.Number, user contacts.Address) *sms.Talk {
	return &sms.Talk{Own: own, Peer: peer, User: user, Ref: sms.Ref{1, 2}, At: accepted, Heard: accepted.Add(-time.Hour), Digest: 1<<63 + 7}
}

// count adds to a counter that is kept for a day.
func count(key string, add, most int64) sms.Count {
	return sms.Count{Key: key, Add: add, Most: most, Until: accepted.Add(day)}
}

func totals(t testing.TB, s delivery.Store, keys ...string) string {
	t.Helper()
	found, err := s.Totals(ctx, keys...)
	if err != nil || len(found) != len(keys) {
		t.Fatalf("%v, %v", found, err)
	}
	return strings.Trim(fmt.Sprint(found), "[]")
}

func stands(t testing.TB, s delivery.Store, want string, keys ...string) {
	t.Helper()
	if got := totals(t, s, keys...); got != want {
		t.Fatalf("%q stand at %s, want %s", keys, got, want)
	}
}

// spoken reads the conversations of a peer and names them.
func spoken(t testing.TB, s delivery.Store, peer contacts.Number) (words []string) {
	t.Helper()
	found, err := s.Talks(ctx, peer)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range found {
		if k.Peer != peer || k.Rev == 0 {
			t.Fatalf("%+v", k)
		}
		words = append(words, fmt.Sprintf("%s %s", k.Own, k.User))
	}
	return words
}

func meetInGroups(t *testing.T, h Harness) {
	m := post(t, h, letter(ann, bob, "x"))
	submitted := delivery.Change{Message: copyOf(t, m), Meetings: []sms.Meeting{meeting("1", sms.Submitter, "m1"), meeting("2", sms.Submitter, "m2")}}
	early := delivery.Change{Meetings: []sms.Meeting{meeting("2", sms.Reporter, "1 enroute")}}
	better := delivery.Change{Meetings: []sms.Meeting{meeting("2", sms.Reporter, "3 delivered"), meeting("1", sms.Reporter, "1 enroute")}}
	commit(t, h, early, submitted, better)
	same(t, learned(early.Meetings), []string{"nobody"})
	same(t, learned(submitted.Meetings), []string{"nobody", "1 enroute"})
	same(t, learned(better.Meetings), []string{"m2", "m1"})

	worse := delivery.Change{Meetings: []sms.Meeting{meeting("2", sms.Reporter, "2 undelivered"), meeting("2", sms.Submitter, "m2")}}
	empty := delivery.Change{Meetings: []sms.Meeting{{Gateway: "carrier", ID: "3", Side: sms.Reporter}, meeting("3", sms.Submitter, "m3"), {Gateway: "carrie", ID: "r3", Side: sms.Submitter}}}
	commit(t, h, worse, empty)
	same(t, learned(worse.Meetings), []string{"m2", "3 delivered"}) // the greatest stays
	same(t, learned(empty.Meetings), []string{"nobody", "", "nobody"})

	endless := strings.Repeat("7", 80_000) // what a carrier sends must not make the store fail
	commit(t, h, delivery.Change{Meetings: []sms.Meeting{meeting(endless+"a", sms.Submitter, "long")}})
	long := delivery.Change{Meetings: []sms.Meeting{meeting(endless+"a", sms.Reporter, "x"), meeting(endless+"b", sms.Reporter, "x")}}
	commit(t, h, long)
	same(t, learned(long.Meetings), []string{"long", "nobody"})
}

func talkInGroups(t *testing.T, h Harness) {
	first, second, elsewhere := chat(own, peer, ann), chat(own, peer, cleo), chat(own2, peer, cleo)
	same(t, outcomes(t, h, delivery.Change{Talk: first}, delivery.Change{Talk: second}, delivery.Change{Talk: elsewhere}), []string{"ok", sms.ErrTaken.Error(), "ok"})
	if first.Rev == 0 || second.Rev != 0 || elsewhere.Rev == first.Rev {
		t.Fatalf("revisions %d, %d, %d", first.Rev, second.Rev, elsewhere.Rev)
	}
	same(t, spoken(t, h, peer), []string{"4915100000000 4915112345678", "4915100000001 boiler-7"})
	same(t, spoken(t, h, peer[:len(peer)-1]), nil) // another number, though it begins like this one
	got, err := h.Talks(ctx, peer)
	if err != nil {
		t.Fatal(err)
	}
	k := got[0]
	if k.User != ann || k.Ref != first.Ref || k.Digest != first.Digest || k.Rev != first.Rev || !k.At.Equal(first.At) || !k.Heard.Equal(first.Heard) {
		t.Fatalf("got %+v\nwant %+v", k, *first)
	}
	k.User, k.Heard, k.Digest = bob, time.Time{}, 0
	next := k
	next.User = cleo
	same(t, outcomes(t, h, delivery.Change{Talk: &k}, delivery.Change{Talk: &next}), []string{"ok", sms.ErrTaken.Error()})
	next.Rev = k.Rev
	again := next
	commit(t, h, delivery.Change{Talk: &next}, delivery.Change{Talk: &again}) // the same again is no conflict
	older := next
	older.Rev = first.Rev
	wants(t, refused(t, h, delivery.Change{Talk: &older}), sms.ErrTaken) // what it says is there, but was made from another one
	s := h.Reopen(t)
	if got, err := s.Talks(ctx, peer); err != nil || len(got) != 2 || got[0].User != cleo || !got[0].Heard.IsZero() || got[0].Digest != 0 || got[0].Rev != next.Rev || again.Rev != next.Rev {
		t.Fatalf("%+v, %v", got, err)
	}
	stale := *first
	wants(t, refused(t, s, delivery.Change{Talk: &stale}), sms.ErrTaken)
	if stale.Rev != first.Rev {
		t.Error("a refused talk moved its revision")
	}
}

func countInGroups(t *testing.T, h Harness) {
	stands(t, h, "0 0", "day", "nobody")
	a := delivery.Change{Counts: []sms.Count{count("day", 40, 100), count("ann", 1, 2)}}
	b := delivery.Change{Counts: []sms.Count{count("ann", 1, 2), count("day", 40, 100)}}
	over := delivery.Change{Counts: []sms.Count{count("bob", 1, 0), count("day", 21, 100), count("ann", 1, 0)}}
	fits := delivery.Change{Counts: []sms.Count{count("bob", 1, 1), count("day", 20, 100)}}
	unlimited := delivery.Change{Counts: []sms.Count{count("day", 5, 0)}}
	full := delivery.Change{Counts: []sms.Count{count("day", 1, 100)}}
	asked := delivery.Change{Counts: []sms.Count{{Key: "day", Most: 1}, {Key: "new"}}} // adds nothing: never refused
	same(t, outcomes(t, h, a, b, over, fits, unlimited, full, asked), []string{"ok", "ok", "over day", "ok", "ok", "over day", "ok"})
	if a.Counts[0].Total != 40 || b.Counts[1].Total != 80 || b.Counts[0].Total != 2 || fits.Counts[1].Total != 100 || asked.Counts[0].Total != 105 {
		t.Fatalf("%v %v %v %v", a.Counts, b.Counts, fits.Counts, asked.Counts)
	}
	stands(t, h, "105 2 1 0", "day", "ann", "bob", "new")

	back := delivery.Change{Counts: []sms.Count{{Key: "day", Add: -10, Most: 1}, {Key: "ann", Add: -5}, {Key: "nobody", Add: -1}}}
	commit(t, h, back)
	stands(t, h, "95 0 0", "day", "ann", "nobody") // never below 0
	commit(t, h, delivery.Change{Counts: []sms.Count{count("day", 5, 100)}})
	twice := delivery.Change{Counts: []sms.Count{count("pair", 2, 4), count("pair", 2, 4)}}
	thrice := delivery.Change{Counts: []sms.Count{count("pair", -4, 4), count("pair", 3, 4), count("pair", 3, 4)}}
	same(t, outcomes(t, h, twice, thrice), []string{"ok", "over pair"})
	if twice.Counts[1].Total != 4 {
		t.Fatalf("%v", twice.Counts)
	}
	huge := delivery.Change{Counts: []sms.Count{count("huge", 1<<62, 0), count("huge", 1<<62, 0)}}
	commit(t, h, huge, delivery.Change{Counts: []sms.Count{{Key: "huge", Add: -1 << 62}}})
	stands(t, h.Reopen(t), "100 4 4611686018427387903", "day", "pair", "huge")
}

// smsParts is a change with all that can be refused or written beside a message.
func smsParts(m *delivery.Message, k *sms.Talk, counts ...sms.Count) delivery.Change {
	return delivery.Change{
		Message: m, Entries: []delivery.Entry{receipt(cleo, delivery.ID{}, "r")}, Seen: []delivery.Seen{{User: cleo, Device: "d", Upto: 9}},
		Meetings: []sms.Meeting{meeting("whole", sms.Submitter, "m")}, Talk: k, Counts: counts,
	}
}

// untouched checks that nothing of smsParts was written.
func untouched(t testing.TB, s Store) {
	t.Helper()
	stands(t, s, "0", "mine")
	same(t, spoken(t, s, peer), nil)
	same(t, inbox(t, s, cleo, 0), nil)
	if seen, err := s.Seen(ctx, cleo); err != nil || len(seen) != 0 {
		t.Fatalf("%v, %v", seen, err)
	}
	met := []sms.Meeting{meeting("whole", sms.Reporter, "r")}
	commit(t, s, delivery.Change{Meetings: met})
	same(t, learned(met), []string{"nobody"})
}

func refusedWhole(t *testing.T, h Harness) {
	stale := post(t, h, keyed(ann, bob, delivery.Key{Text: "k"}, "x"))
	commit(t, h, delivery.Change{Message: settled(t, stale)}, delivery.Change{Message: letter(ann, bob, "open")})
	advanced := copyOf(t, stale)
	advanced.State = delivery.Failed
	limited := smsParts(letter(ann, bob, "one too many"), chat(own, peer, ann), count("mine", 1, 0))
	limited.Limit = 1
	same(t, outcomes(t, h,
		smsParts(advanced, chat(own, peer, ann), count("mine", 1, 0)),
		smsParts(keyed(ann, bob, delivery.Key{Text: "k"}, "again"), chat(own, peer, ann), count("mine", 1, 0)),
		limited,
	), []string{delivery.ErrConflict.Error(), "known", delivery.ErrFull.Error()})
	if h.Full != nil {
		h.Full(true)
		wants(t, refused(t, h, smsParts(letter(ann, bob, "x"), chat(own, peer, ann), count("mine", 1, 0))), delivery.ErrDisk)
		h.Full(false)
	}
	untouched(t, h)
}

// What was refused by its talk or its counts takes its message with it, and the key and the place of a new one.
func refusedMessage(t *testing.T, h Harness) {
	taken := chat(own, "8613800138001", ann)
	commit(t, h, delivery.Change{Talk: taken}, delivery.Change{Counts: []sms.Count{count("day", 10, 10)}})
	m := post(t, h, letter(ann, bob, "x"))
	lost := chat(own, "8613800138001", cleo)
	fresh, advanced := keyed(ann, bob, delivery.Key{Text: "k"}, "new"), settled(t, m)
	for _, c := range []struct {
		m    *delivery.Message
		talk *sms.Talk
		day  int64
		want string
	}{
		{fresh, lost, 0, sms.ErrTaken.Error()},
		{advanced, lost, 1, sms.ErrTaken.Error()},
		{nil, lost, 0, sms.ErrTaken.Error()},
		{fresh, chat(own, peer, ann), 1, "over day"},
		{advanced, chat(own, peer, ann), 1, "over day"},
	} {
		change := smsParts(c.m, c.talk, count("mine", 1, 0), count("day", c.day, 10))
		change.Limit = 2
		if c.m == nil {
			change.Entries[0].ID = m.ID
		}
		same(t, outcomes(t, h, change), []string{c.want})
	}
	if !fresh.ID.IsZero() || fresh.Rev != 0 || advanced.Rev != m.Rev || lost.Rev != 0 {
		t.Fatalf("refused changes moved: id %s, revisions %d, %d, %d", fresh.ID, fresh.Rev, advanced.Rev, lost.Rev)
	}
	equal(t, read(t, h, m.ID), m)
	untouched(t, h)
	same(t, outcomes(t, h, delivery.Change{Message: keyed(ann, bob, delivery.Key{Text: "k"}, "key and place are free"), Limit: 2}, delivery.Change{Message: advanced}), []string{"ok", "ok"})
	stands(t, h, "10", "day")
}

// A change that was written and is committed again counts once, and learns what it would have learned.
func smsAgain(t *testing.T, h Harness) {
	m := post(t, h, letter(ann, bob, "x"))
	for name, change := range map[string]func() delivery.Change{
		"a new message": func() delivery.Change {
			return smsParts(letter(ann, bob, "new"), chat(own, peer, ann), count("a new message", 2, 3))
		},
		"an advanced message": func() delivery.Change {
			return smsParts(settled(t, m), chat(own, peer, bob), count("an advanced message", 2, 3))
		},
		"entries alone": func() delivery.Change { return smsParts(nil, chat(own, peer, cleo), count("entries alone", 2, 3)) },
		"a talk without entries": func() delivery.Change {
			return delivery.Change{Talk: chat(own, peer, "ed"), Counts: []sms.Count{count("a talk without entries", 2, 3)}}
		},
	} {
		once, again := change(), change()
		if once.Message == nil && once.Entries != nil {
			once.Entries[0].ID, again.Entries[0].ID = m.ID, m.ID
		}
		before := talkOf(t, h, own, peer).Rev
		once.Talk.Rev, again.Talk.Rev = before, before
		commit(t, h, once)
		if again.Message != nil && again.Message.Rev == 0 {
			again.Message.ID = once.Message.ID
		}
		if again.Message == nil && again.Entries != nil {
			again.Entries[0].Position = once.Entries[0].Position
		}
		commit(t, h, again)
		stands(t, h, "2", name)
		if again.Counts[0].Total != 2 || again.Talk.Rev != once.Talk.Rev || again.Talk.Rev == before {
			t.Fatalf("%s: total %d, revision %d, want 2 and %d", name, again.Counts[0].Total, again.Talk.Rev, once.Talk.Rev)
		}
	}
}

// A message advanced three times in one group, as when a claim is released and made again, with money each time.
func oneMessageSpends(t *testing.T, h Harness) {
	m := post(t, h, letter(ann, bob, "x"))
	claim := delivery.Change{Message: m, Talk: chat(own, peer, ann), Counts: []sms.Count{count("day", 7, 10)}}
	release := delivery.Change{Message: m, Counts: []sms.Count{{Key: "day", Add: -7}}}
	retry := delivery.Change{Message: m, Talk: claim.Talk, Counts: []sms.Count{count("day", 9, 10)}}
	commit(t, h, claim, release, retry)
	stands(t, h, "9", "day")
	equal(t, read(t, h, m.ID), m)
}

func pruneSMS(t *testing.T, h Harness) {
	now := accepted
	long := keep
	long.Talks = 40 * day
	quiet, busy := chat(own, peer, ann), chat(own2, peer, bob)
	busy.At = now.Add(10 * day)
	weekly := sms.Count{Key: "week", Add: 1, Until: now.Add(7 * day)}
	commit(t, h, delivery.Change{Talk: quiet, Counts: []sms.Count{count("day", 1, 0), weekly}}, delivery.Change{Talk: busy, Counts: []sms.Count{count("week", 1, 0)}})
	commit(t, h, delivery.Change{Counts: []sms.Count{{Key: "week", Add: 0, Until: now.Add(9 * day)}, {Key: "week", Add: 1, Until: now.Add(time.Hour)}}}) // never less

	prune(t, h, now.Add(day), long)
	stands(t, h, "1 3", "day", "week")
	prune(t, h, now.Add(day+time.Second), long)
	stands(t, h, "0 3", "day", "week")
	prune(t, h, now.Add(9*day), long)
	stands(t, h, "3", "week")
	prune(t, h, now.Add(40*day), long)
	same(t, spoken(t, h, peer), []string{"4915100000000 4915112345678", "4915100000001 8613800138000"})
	prune(t, h, now.Add(90*day), keep) // for ever
	prune(t, h, now.Add(41*day), long)
	same(t, spoken(t, h, peer), []string{"4915100000001 8613800138000"})
	s := h.Reopen(t)
	stands(t, s, "0 0", "day", "week")
	prune(t, s, now.Add(51*day), long)
	same(t, spoken(t, s, peer), nil)
	commit(t, s, delivery.Change{Talk: chat(own, peer, cleo), Counts: []sms.Count{count("day", 2, 2)}})
	stands(t, s, "2", "day")
}

func pruneManyCounters(t *testing.T, h Harness) {
	var group []delivery.Change
	for i := range 700 {
		group = append(group, delivery.Change{Counts: []sms.Count{count(fmt.Sprint("recipient ", i), 1, 0), {Key: fmt.Sprint("month ", i), Add: 1, Until: accepted.Add(30 * day)}}})
	}
	commit(t, h, group...)
	prune(t, h, accepted.Add(2*day), keep)
	for i := range 700 {
		stands(t, h, "0 1", fmt.Sprint("recipient ", i), fmt.Sprint("month ", i))
	}
}

// spendMost makes a group of the greatest size, larger than one transaction, with a limit that it passes.
func spendMost(t *testing.T, h Harness) {
	most := int64(delivery.MaxGroup - 100)
	group := make([]delivery.Change, delivery.MaxGroup)
	for i := range group {
		text := strings.Repeat("x", 900)
		group[i] = delivery.Change{
			Message: letter(ann, bob, text), Talk: chat(own, contacts.Number(fmt.Sprintf("86138%08d", i)), ann), Meetings: []sms.Meeting{meeting(fmt.Sprint(i), sms.Submitter, "m")},
			Counts: []sms.Count{count("day", 1, most), count("month", 1, 0), count(fmt.Sprint("recipient ", i), 1, 1)},
		}
	}
	for i, word := range outcomes(t, h, group...) {
		if want := map[bool]string{true: "ok", false: "over day"}[int64(i) < most]; word != want {
			t.Fatalf("change %d: %s, want %s", i, word, want)
		}
	}
	stands(t, h.Reopen(t), fmt.Sprint(most, most, " 1 0"), "day", "month", "recipient 7", fmt.Sprint("recipient ", most))
}

// spendAtOnce lets several lanes spend one budget.
func spendAtOnce(t *testing.T, h Harness) {
	var wait sync.WaitGroup
	var mu sync.Mutex
	spent := 0
	for lane := range 4 {
		wait.Go(func() {
			for i := range 30 {
				m := letter(ann, bob, fmt.Sprint(lane, i))
				for _, word := range outcomes(t, h, delivery.Change{Message: m, Counts: []sms.Count{count("day", 3, 100)}}, delivery.Change{Counts: []sms.Count{count("day", 3, 100)}}) {
					mu.Lock()
					if word == "ok" {
						spent += 3
					} else if word != "over day" {
						t.Error(word)
					}
					mu.Unlock()
				}
			}
		})
	}
	wait.Wait()
	if spent != 99 {
		t.Errorf("%d were spent", spent)
	}
	stands(t, h, "99", "day")
}

func malformedSMS(t *testing.T, h Harness) {
	long := strings.Repeat("x", 100_000)
	for name, c := range map[string]delivery.Change{
		"a meeting without a side":  {Meetings: []sms.Meeting{{Gateway: "g", ID: "1"}}},
		"a meeting with a book":     {Meetings: []sms.Meeting{meeting("1", sms.Reporter, long)}},
		"a talk without a peer":     {Talk: chat(own, "", ann)},
		"a talk of one long number": {Talk: chat(own, contacts.Number(long), ann)},
		"a talk with a separator":   {Talk: chat(own, "123\x00456", ann)},
		"a counter without a name":  {Counts: []sms.Count{count("", 1, 0)}},
		"a counter with a long one": {Counts: []sms.Count{count(long, 1, 0)}},
		"a counter without an end":  {Counts: []sms.Count{{Key: "x", Add: 1}}},
	} {
		c.Message = letter(ann, bob, name)
		good := letter(bob, cleo, "beside "+name)
		if errs := h.Commit(ctx, []delivery.Change{c, {Message: good}}); len(errs) != 2 || errs[0] == nil || errs[1] != nil {
			t.Errorf("%s: %v", name, errs)
		}
	}
	same(t, inbox(t, h, bob, 0), nil)
}
