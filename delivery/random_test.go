package delivery_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// Whatever links, phones and the broker do, what one sender wrote to one recipient arrives whole (I2), first in the order of acceptance (I3), and with
// nobody else (I7).
func TestRandomConversations(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(c *delivery.Config) { c.RestartGrace = time.Hour }, func(w *world) {
				newTalks(w, rand.New(rand.NewPCG(seed, 7))).run(120)
			})
		})
	}
}

// Talks are three users, each with a phone that comes and goes.
type talks struct {
	w      *world
	r      *rand.Rand
	users  []contacts.Address
	phones []*phone
	there  []bool
	sent   map[string]int // by sender and recipient
}

func newTalks(w *world, r *rand.Rand) *talks {
	t := &talks{w: w, r: r, users: []contacts.Address{ann, bob, "boiler"}, there: make([]bool, 3), sent: map[string]int{}}
	w.register("boiler")
	for range t.users {
		t.phones = append(t.phones, &phone{w: w})
	}
	for i := range t.users {
		t.connect(i)
	}
	return t
}

func (t *talks) connect(i int) {
	window := 0
	if t.r.IntN(3) == 0 {
		window = 1 + t.r.IntN(3)
	}
	t.w.connect(t.phones[i], t.users[i], delivery.Connection{Remembered: true, Resumed: true, Window: window})
	t.there[i] = true
}

func (t *talks) run(steps int) {
	for range steps {
		i := t.r.IntN(len(t.users))
		switch t.r.IntN(10) {
		case 0:
			if t.there[i] {
				t.phones[i].dev.Gone([]delivery.Loss{delivery.Lost, delivery.LeftClean}[t.r.IntN(2)])
				t.there[i] = false
			}
		case 1, 2:
			t.connect(i) // a takeover, when it is there
		case 3:
			t.phones[i].silence(t.r.IntN(2) == 0)
		case 4:
			t.w.pass([]time.Duration{time.Millisecond, time.Second, 20 * time.Second}[t.r.IntN(3)])
		case 5:
			if t.r.IntN(4) == 0 {
				t.w.crash()
				clear(t.there)
			}
		default:
			t.send(i, (i+1+t.r.IntN(len(t.users)-1))%len(t.users))
		}
	}
	for i := range t.users {
		t.phones[i].silence(false)
		t.connect(i)
	}
	t.w.pass(time.Minute)
	t.check()
}

func (t *talks) send(from, to int) {
	pair := fmt.Sprintf("%s>%s", t.users[from], t.users[to])
	t.sent[pair]++
	t.w.send(&delivery.Message{From: t.users[from], To: t.users[to], Root: delivery.RootApp, Payload: fmt.Appendf(nil, "%s %d", pair, t.sent[pair])})
}

func (t *talks) check() {
	for i, user := range t.users {
		next := map[string]int{}
		for _, p := range t.phones[i].got {
			parts := strings.Split(p.Topic, "/")
			if parts[1] != string(user) {
				t.w.t.Fatalf("I7: %s got %s", user, p.Topic)
			}
			if parts[2] != "in" {
				continue
			}
			var pair string
			var n int
			if _, err := fmt.Sscan(string(p.Payload), &pair, &n); err != nil || pair != parts[3]+">"+string(user) {
				t.w.t.Fatalf("I7: %s got %q on %s", user, p.Payload, p.Topic)
			}
			if n > next[pair]+1 {
				t.w.t.Fatalf("I3: message %d of %s came first after message %d", n, pair, next[pair])
			}
			next[pair] = max(next[pair], n)
		}
		for pair, n := range t.sent {
			if strings.HasSuffix(pair, ">"+string(user)) && next[pair] != n {
				t.w.t.Fatalf("I2: %d of %d messages of %s came", next[pair], n, pair)
			}
		}
	}
}
