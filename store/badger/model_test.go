package badger_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
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
			"post": m.post, "advance": m.advance, "spend": m.spend, "tell": m.tell, "see": m.see, "forget": m.forget, "prune": m.prune, "restart": m.restart, "": m.check,
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

var (
	peers    = []contacts.Number{"8613800138000", "861380013800"} // one begins like the other
	counters = []string{"day", "month", "ann"}
)

// spend commits a group of changes with all that an SMS brings along, some of them with an advance and some made again as they were.
func (m *model) spend(r *rapid.T) {
	var group [2][]delivery.Change
	var advanced [2][]*delivery.Message
	for range rapid.IntRange(1, 4).Draw(r, "n") {
		c := delivery.Change{Meetings: m.meetings(r), Counts: m.counts(r)}
		talk := m.talk(r)
		with := -1
		if len(m.pairs) > 0 && rapid.Bool().Draw(r, "with a message") {
			with = rapid.IntRange(0, len(m.pairs)-1).Draw(r, "message")
		}
		for i, s := range m.stores() {
			mine := c
			mine.Meetings, mine.Counts = slices.Clone(c.Meetings), slices.Clone(c.Counts)
			if with >= 0 {
				l := m.pairs[with][i]
				l.Trail = append(l.Trail[:len(l.Trail):len(l.Trail)], delivery.Step{At: m.now, Evidence: fmt.Sprint(m.posts)})
				mine.Message = l
				advanced[i] = append(advanced[i], l)
			}
			if talk != nil {
				k := *talk
				had, _ := s.Talks(m.t.Context(), k.Peer)
				for _, h := range had {
					if h.Own == k.Own {
						k.Rev = h.Rev // stale for the second one of a group
					}
				}
				mine.Talk = &k
			}
			group[i] = append(group[i], mine)
		}
		m.posts++
	}
	m.commit(r, func(i int) []delivery.Change { return group[i] })
	for j := range group[0] {
		if a, b := group[0][j], group[1][j]; !reflect.DeepEqual(a.Meetings, b.Meetings) {
			r.Fatalf("badger learns %q, memory %q", a.Meetings, b.Meetings)
		}
	}
	for i := range advanced { // what was refused is read again, with the trail that is stored
		for _, l := range advanced[i] {
			if stored, err := m.stores()[i].Message(m.t.Context(), l.ID); err == nil {
				*l = *stored
			}
		}
	}
}

func (m *model) meetings(r *rapid.T) (met []sms.Meeting) {
	for range rapid.IntRange(0, 2).Draw(r, "meetings") {
		side := rapid.SampledFrom([]sms.Side{sms.Submitter, sms.Reporter}).Draw(r, "side")
		met = append(met, sms.Meeting{Gateway: "g", ID: rapid.SampledFrom([]string{"1", "2"}).Draw(r, "id"), Side: side, Mine: []byte(rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(r, "mine"))})
	}
	return met
}

func (m *model) counts(r *rapid.T) (counts []sms.Count) {
	for range rapid.IntRange(0, 3).Draw(r, "counts") {
		counts = append(counts, sms.Count{
			Key: rapid.SampledFrom(counters).Draw(r, "key"), Add: rapid.Int64Range(-3, 5).Draw(r, "add"), Most: rapid.SampledFrom([]int64{0, 8, 20}).Draw(r, "most"),
			Until: m.now.Add(rapid.SampledFrom([]time.Duration{1, 24 * 7, 24 * 50}).Draw(r, "hours") * time.Hour),
		})
	}
	return counts
}

func (m *model) talk(r *rapid.T) *sms.Talk {
	if rapid.Bool().Draw(r, "no talk") {
		return nil
	}
	t := sms.Talk{Own: rapid.SampledFrom([]contacts.Number{"4915100000000", "4915100000001"}).Draw(r, "own"), Peer: rapid.SampledFrom(peers).Draw(r, "peer")}
	t.User, t.At, t.Digest = rapid.SampledFrom(users).Draw(r, "user"), m.now, rapid.Uint64().Draw(r, "digest")
	return &t
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
		Talks: rapid.SampledFrom([]time.Duration{0, 24 * 30}).Draw(r, "talks") * time.Hour,
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
	for _, peer := range peers {
		talks, err := s.Talks(m.t.Context(), peer)
		for _, k := range talks {
			all = append(all, fmt.Sprint(k.Own, k.Peer, k.User, k.At.UnixMicro(), k.Heard.IsZero(), k.Digest, err))
		}
	}
	totals, err := s.Totals(m.t.Context(), counters...)
	if err != nil {
		r.Fatal(err)
	}
	all = append(all, fmt.Sprint(totals))
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
