package badger_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/store/badger"
	"github.com/seed-7a41469f/godwit/store/memory"
	"github.com/seed-7a41469f/godwit/store/storetest"
)

// TestModel does the same random things to both engines, crashes included, and compares all that can be read.
func TestModel(t *testing.T) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		checks.Value.Set("8") // each opens several databases; more with -rapid.checks
		defer checks.Value.Set(checks.DefValue)
	}
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		m := &model{t: t, dir: dir, real: open(t, dir, badger.Options{}), fake: memory.New(), now: time.Now()}
		defer func() { m.real.Close() }()
		r.Repeat(map[string]func(*rapid.T){
			"post": m.post, "advance": m.advance, "tell": m.tell, "see": m.see, "forget": m.forget, "prune": m.prune, "restart": m.restart, "": m.check,
		})
	})
}

type model struct {
	t     *testing.T
	dir   string
	real  *badger.Store
	fake  *memory.Store
	pairs [][2]*delivery.Message // of the same message, in both
	posts int
	now   time.Time
}

var users = []contacts.Address{ann, bob, "4915101419868", "4915101831200"} // the last two share a bucket

func (m *model) stores() [2]storetest.Store { return [2]storetest.Store{m.real, m.fake} }

// commit commits a group to both and compares the answers. change makes the changes for one of them.
func (m *model) commit(r *rapid.T, change func(i int) []delivery.Change) {
	var answers [2]string
	for i, s := range m.stores() {
		group := change(i)
		for j, err := range s.Commit(m.t.Context(), group) {
			var known *delivery.Known
			if errors.As(err, &known) {
				err = errors.New("known")
			}
			answers[i] += fmt.Sprintf("%d: %v; ", j, err)
			if group[j].Message != nil && err != nil && group[j].Message.Rev == 0 {
				group[j].Message.ID = delivery.ID{}
			}
		}
	}
	if (answers[0] != "" || answers[1] != "") && answers[0] != answers[1] {
		r.Fatalf("badger answers %q, memory %q", answers[0], answers[1])
	}
}

func (m *model) post(r *rapid.T) {
	n := rapid.IntRange(1, 4).Draw(r, "n")
	var group [2][]delivery.Change
	var fresh [][2]*delivery.Message
	for range n {
		from, to := rapid.SampledFrom(users).Draw(r, "from"), rapid.SampledFrom(users).Draw(r, "to")
		key := rapid.SampledFrom([]string{"", "", "k1", "k2"}).Draw(r, "key")
		origin, limit := rapid.Bool().Draw(r, "origin"), rapid.SampledFrom([]int{0, 2, 5}).Draw(r, "limit")
		m.posts++
		var pair [2]*delivery.Message
		for i := range pair {
			l := letter(fmt.Sprint(m.posts))
			l.From, l.To, l.Key.Text = from, to, key
			l.Accepted, l.At = m.now, m.now
			if origin {
				l.Origin = delivery.Origin{Device: "d", PacketID: 1}
			}
			pair[i] = l
			group[i] = append(group[i], delivery.Change{Message: l, Limit: limit, Entries: []delivery.Entry{{User: from, Kind: delivery.Sent, Peer: to}}})
		}
		fresh = append(fresh, pair)
	}
	m.commit(r, func(i int) []delivery.Change { return group[i] })
	for _, pair := range fresh {
		if pair[0].Rev != 0 {
			m.pairs = append(m.pairs, pair)
		}
	}
}

// advance moves a message, now and then from an old revision.
func (m *model) advance(r *rapid.T) {
	if len(m.pairs) == 0 {
		r.Skip("nothing there")
	}
	pair := rapid.SampledFrom(m.pairs).Draw(r, "message")
	state := rapid.SampledFrom([]delivery.State{delivery.Waiting, delivery.Delivered, delivery.Failed}).Draw(r, "state")
	stand := rapid.SampledFrom([]delivery.Kind{0, 0, delivery.In, delivery.SeenSMS}).Draw(r, "stand")
	stale := rapid.IntRange(0, 9).Draw(r, "stale") == 0
	m.commit(r, func(i int) []delivery.Change {
		l := *pair[i]
		l.State, l.Due = state, time.Time{}
		l.Trail = append(l.Trail[:len(l.Trail):len(l.Trail)], delivery.Step{At: m.now, Evidence: fmt.Sprint(len(l.Trail))})
		if state == delivery.Waiting {
			l.Due = m.now
		}
		if stale {
			l.Rev--
		}
		c := delivery.Change{Message: &l}
		if stand != 0 {
			c.Entries = []delivery.Entry{{User: l.To, Kind: stand, Peer: l.From}}
		}
		if !stale {
			*pair[i] = l
			c.Message = pair[i]
		}
		return []delivery.Change{c}
	})
}

func (m *model) tell(r *rapid.T) {
	user, n := rapid.SampledFrom(users).Draw(r, "user"), rapid.IntRange(1, 3).Draw(r, "n")
	m.commit(r, func(int) []delivery.Change {
		var entries []delivery.Entry
		for i := range n {
			entries = append(entries, delivery.Entry{User: user, Kind: delivery.Receipt, Body: fmt.Append(nil, m.posts, ".", i)})
		}
		return []delivery.Change{{Entries: entries}}
	})
}

// at returns where the n-th entry of a user's inbox is, in one of the stores.
func (m *model) at(s delivery.Store, user contacts.Address, n int) delivery.Position {
	entries, _, err := s.Inbox(m.t.Context(), user, 0, 0, n)
	if err != nil {
		m.t.Fatal(err)
	}
	if len(entries) == 0 {
		return 0
	}
	return entries[len(entries)-1].Position
}

func (m *model) see(r *rapid.T) {
	user, device, n := rapid.SampledFrom(users).Draw(r, "user"), rapid.SampledFrom([]string{"", "phone", "tablet"}).Draw(r, "device"), rapid.IntRange(1, 9).Draw(r, "n")
	gone := rapid.IntRange(0, 5).Draw(r, "gone") == 0
	m.commit(r, func(i int) []delivery.Change {
		return []delivery.Change{{Seen: []delivery.Seen{{User: user, Device: device, Upto: m.at(m.stores()[i], user, n), Forget: gone}}}}
	})
}

func (m *model) forget(r *rapid.T) {
	user, n := rapid.SampledFrom(users).Draw(r, "user"), rapid.IntRange(1, 3).Draw(r, "n")
	for _, s := range m.stores() {
		if err := s.Forget(m.t.Context(), user, m.at(s, user, n)); err != nil {
			r.Fatal(err)
		}
	}
}

func (m *model) prune(r *rapid.T) {
	later := rapid.SampledFrom([]time.Duration{0, 0, 25, 24 * 8, 24 * 40}).Draw(r, "hours later") * time.Hour
	keep := delivery.Retention{
		History: rapid.SampledFrom([]time.Duration{0, 24 * 30}).Draw(r, "history") * time.Hour, Keys: 24 * time.Hour,
		InboxAge: 24 * 20 * time.Hour, Notices: rapid.SampledFrom([]int{3, 1000}).Draw(r, "notices"), NoticeAge: 24 * 7 * time.Hour,
	}
	for _, s := range m.stores() {
		if err := s.Prune(m.t.Context(), m.now.Add(later), keep); err != nil {
			r.Fatal(err)
		}
	}
	for i := 0; i < len(m.pairs); i++ { // what is gone cannot be advanced
		if _, err := m.fake.Message(m.t.Context(), m.pairs[i][1].ID); err != nil {
			m.pairs = append(m.pairs[:i], m.pairs[i+1:]...)
			i--
		}
	}
}

func (m *model) restart(r *rapid.T) {
	crash := rapid.Bool().Draw(r, "crash")
	if crash {
		m.dir = copyDir(m.t, m.dir)
		m.fake = m.fake.Crash()
	} else {
		m.fake = m.fake.Reopen()
	}
	if err := m.real.Close(); err != nil {
		r.Fatal(err)
	}
	m.real = open(m.t, m.dir, badger.Options{})
	if err := m.real.Alarm(); err != nil {
		r.Fatal(err)
	}
}

func (m *model) check(r *rapid.T) {
	var seen [2][]string
	for i, s := range m.stores() {
		seen[i] = m.everything(r, s)
	}
	if !reflect.DeepEqual(seen[0], seen[1]) {
		r.Fatalf("badger has\n%q\nmemory has\n%q", seen[0], seen[1])
	}
}

// everything reads all that a store shows, in words that both engines share.
func (m *model) everything(r *rapid.T, s storetest.Store) (all []string) {
	say := func(what string, v *delivery.Message) {
		all = append(all, fmt.Sprintf("%s %s %s>%s %d %d", what, v.Payload, v.From, v.To, v.State, len(v.Trail)))
	}
	for _, user := range users {
		entries, _, err := s.Inbox(m.t.Context(), user, 0, 0, 1000)
		if err != nil {
			r.Fatal(err)
		}
		for _, e := range entries {
			if e.Message == nil {
				all = append(all, fmt.Sprintf("%s receipt %s", user, e.Body))
			} else {
				say(fmt.Sprint(user, " kind ", e.Kind), e.Message)
			}
		}
		devices, err := s.Seen(m.t.Context(), user)
		all = append(all, fmt.Sprint(user, " has ", len(devices), err))
	}
	page, _, err := s.List(m.t.Context(), delivery.Query{})
	if err != nil {
		r.Fatal(err)
	}
	for _, v := range page {
		say("listed", v)
	}
	open := 0
	err = s.Recover(m.t.Context(), m.now.Add(-time.Minute), func(v *delivery.Message) error {
		open++
		return nil
	})
	return append(all, fmt.Sprint(open, err))
}
