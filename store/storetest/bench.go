package storetest

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
)

// Bench runs the benchmarks. An operation is a message; "cpu-us/msg" is what it costs on all cores, which unlike the time does not depend on the disk.
func Bench(b *testing.B, open func(t testing.TB) Harness) {
	for _, size := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("accept/group=%d", size), func(b *testing.B) { accept(b, open(b), size) })
	}
	for _, size := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("accept+settle/group=%d", size), func(b *testing.B) { pairs(b, open(b), size, false) })
	}
	b.Run("accept+settle+receipt/group=256", func(b *testing.B) { pairs(b, open(b), 256, true) })
	b.Run("accept with key/group=256", func(b *testing.B) { acceptKeyed(b, open(b), 256) })
	for _, size := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("advance/group=%d", size), func(b *testing.B) { advanceAll(b, open(b), size, func(*delivery.Change, int) {}) })
		b.Run(fmt.Sprintf("sms claim/group=%d", size), func(b *testing.B) { advanceAll(b, open(b), size, claim) })
		b.Run(fmt.Sprintf("sms outcome/group=%d", size), func(b *testing.B) { advanceAll(b, open(b), size, outcome) })
	}
	b.Run("inbox/page=256", func(b *testing.B) { drain(b, open(b), 256) })
	b.Run("message", func(b *testing.B) { messages(b, open(b)) })
	b.Run("recover", func(b *testing.B) { recoverAll(b, open(b)) })
}

func measure(b *testing.B, run func()) {
	b.Helper()
	b.ReportAllocs()
	before := cpu()
	b.ResetTimer()
	run()
	b.StopTimer()
	b.ReportMetric(float64(cpu()-before)/float64(time.Microsecond)/float64(b.N), "cpu-us/msg")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchLetter is a message of 128 octets to one of fifty users.
func benchLetter(i int) *delivery.Message {
	m := letter(sender[i%len(sender)], recipient[i%len(recipient)], payload)
	return m
}

var (
	payload           = strings.Repeat("The quick brown fox, 7f3a. ", 5)[:128]
	sender, recipient = fifty("491511"), fifty("861380")
)

func fifty(prefix string) (users []contacts.Address) {
	for i := range 50 {
		users = append(users, contacts.Address(fmt.Sprintf("%s%06d", prefix, i)))
	}
	return users
}

func accept(b *testing.B, s delivery.Store, size int) {
	measure(b, func() {
		for i := 0; i < b.N; i += size {
			group := make([]delivery.Change, 0, size)
			for j := i; j < min(i+size, b.N); j++ {
				group = append(group, delivery.Change{Message: benchLetter(j), Limit: 1 << 30})
			}
			commit(b, s, group...)
		}
	})
}

func acceptKeyed(b *testing.B, s delivery.Store, size int) {
	measure(b, func() {
		for i := 0; i < b.N; i += size {
			group := make([]delivery.Change, 0, size)
			for j := i; j < min(i+size, b.N); j++ {
				m := benchLetter(j)
				m.Key.Text = fmt.Sprint("k", j)
				group = append(group, delivery.Change{Message: m, Limit: 1 << 30})
			}
			commit(b, s, group...)
		}
	})
}

// pairs accepts messages and settles them one group later, in commits that do both as an engine's do.
func pairs(b *testing.B, s delivery.Store, size int, receipts bool) {
	var earlier []*delivery.Message
	measure(b, func() {
		for i := 0; i < b.N || len(earlier) > 0; i += size {
			group := make([]delivery.Change, 0, 2*size)
			for _, m := range earlier {
				m.State, m.Via, m.Due = delivery.Delivered, delivery.ViaPush, time.Time{}
				c := delivery.Change{Message: m}
				if receipts {
					c.Entries = []delivery.Entry{{User: m.From, Kind: delivery.Receipt, At: m.At, Topic: "u/491511000000/receipt/k", Body: []byte(payload)}}
				}
				group = append(group, c)
			}
			earlier = earlier[:0]
			for j := i; j < min(i+size, b.N); j++ {
				m := benchLetter(j)
				earlier = append(earlier, m)
				group = append(group, delivery.Change{Message: m, Limit: 1 << 30})
			}
			commit(b, s, group...)
		}
	})
}

// advanceAll advances messages once each; with adds what an SMS brings along.
func advanceAll(b *testing.B, s delivery.Store, size int, with func(c *delivery.Change, i int)) {
	var all []*delivery.Message
	for i := 0; i < b.N; i += 256 {
		group := make([]delivery.Change, 0, 256)
		for j := i; j < min(i+256, b.N); j++ {
			all = append(all, benchLetter(j))
			group = append(group, delivery.Change{Message: all[j]})
		}
		commit(b, s, group...)
	}
	measure(b, func() {
		for i := 0; i < b.N; i += size {
			group := make([]delivery.Change, 0, size)
			for j := i; j < min(i+size, b.N); j++ {
				all[j].State, all[j].Due = delivery.Submitting, time.Time{}
				c := delivery.Change{Message: all[j]}
				with(&c, j)
				group = append(group, c)
			}
			commit(b, s, group...)
		}
	})
}

// claim is what one submit costs beside its message: whose conversation it is, the budget of day and month, and the caps of sender, recipient and prefix.
func claim(c *delivery.Change, i int) {
	until := accepted.Add(day)
	c.Talk = &sms.Talk{Own: own, Peer: contacts.Number(fmt.Sprintf("86138%08d", i)), User: c.Message.From, Ref: sms.Ref(c.Message.ID), At: accepted}
	c.Counts = []sms.Count{
		{Key: "budget day 2026-11-24", Add: 75_000, Most: 1 << 50, Until: until},
		{Key: "budget month 2026-11", Add: 75_000, Most: 1 << 50, Until: until},
		{Key: "sender 2026-11-24 " + string(c.Message.From), Add: 1, Most: 1 << 50, Until: until},
		{Key: "recipient 2026-11-24 " + string(c.Talk.Peer), Add: 1, Most: 1 << 50, Until: until},
		{Key: fmt.Sprintf("loop %s %s %d", c.Message.From, c.Talk.Peer, i), Add: 1, Most: 1 << 50, Until: until},
	}
}

// outcome is what its answer costs.
func outcome(c *delivery.Change, i int) {
	c.Meetings = []sms.Meeting{{Gateway: "carrier", ID: fmt.Sprintf("%08x", i*7919), Side: sms.Submitter, Mine: append(slices.Clone(c.Message.ID[:]), 1)}}
}

func fill(b *testing.B, s delivery.Store, n int) (ids []delivery.ID) {
	b.Helper()
	for i := 0; i < n; i += 256 {
		group := make([]delivery.Change, 0, 256)
		for j := i; j < min(i+256, n); j++ {
			group = append(group, delivery.Change{Message: benchLetter(j)})
		}
		commit(b, s, group...)
		for i := range group {
			ids = append(ids, group[i].Message.ID)
		}
	}
	return ids
}

func drain(b *testing.B, s delivery.Store, page int) {
	fill(b, s, b.N)
	measure(b, func() {
		read := 0
		for _, user := range recipient {
			for after := delivery.Position(0); ; {
				entries, next, err := s.Inbox(ctx, user, after, 0, page)
				if err != nil {
					b.Fatal(err)
				}
				read += len(entries)
				if next == after {
					break
				}
				after = next
			}
		}
		if read != b.N {
			b.Fatalf("read %d of %d", read, b.N)
		}
	})
}

func messages(b *testing.B, s delivery.Store) {
	ids := fill(b, s, 50_000)
	measure(b, func() {
		for i := range b.N {
			if _, err := s.Message(ctx, ids[i*7919%len(ids)]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func recoverAll(b *testing.B, s delivery.Store) {
	fill(b, s, b.N)
	measure(b, func() {
		n := 0
		if err := s.Recover(ctx, accepted, func(*delivery.Message) error { n++; return nil }); err != nil || n != b.N {
			b.Fatalf("%d of %d, %v", n, b.N, err)
		}
	})
}
