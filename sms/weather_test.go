package sms_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

func TestDispatcherIsCheap(t *testing.T) {
	const n = 100_000
	refs, to := make([]sms.Ref, n), make([]contacts.Number, n)
	for i := range n {
		refs[i], to[i] = ref(i), number(i)
	}
	d := sms.NewDispatcher([]sms.Gateway{&carrier{name: "a"}}, &desk{}, sms.Dispatch{})
	before := heap()
	for i := range n {
		d.Want(sms.Want{Ref: refs[i], To: to[i], Priority: sms.Fresh})
	}
	used := heap() - before
	if d.Waiting() != n {
		t.Errorf("%d waiting, want %d", d.Waiting(), n)
	}
	t.Logf("%d wanted messages cost %d bytes each", n, used/n)
	if used > 10<<20 {
		t.Errorf("%d wanted messages cost %d bytes", n, used)
	}
	for i := range n {
		d.Drop(refs[i])
	}
	runtime.KeepAlive(to)
	if d.Waiting() != 0 {
		t.Errorf("%d waiting after all were dropped", d.Waiting())
	}
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestDispatcherAnyWeather lets gateways and the store fail, and an operator pause, at random, and checks what must hold whatever happens.
func TestDispatcherAnyWeather(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		messages := rapid.IntRange(1, 60).Draw(rt, "messages")
		peers := rapid.IntRange(1, 20).Draw(rt, "peers")
		window := rapid.IntRange(1, 6).Draw(rt, "window")
		synctest.Test(t, func(t *testing.T) { weather(t, rt, seed, messages, peers, window) })
	})
}

func weather(t *testing.T, rt *rapid.T, seed uint64, messages, peers, window int) {
	var mu sync.Mutex
	dice := rand.New(rand.NewPCG(seed, 1))
	roll := func(n int) int { mu.Lock(); defer mu.Unlock(); return dice.IntN(n) }
	errorsOf := []error{nil, nil, nil, sms.Fail(sms.NotSent, "", ""), sms.Fail(sms.Throttled, "", ""), sms.Fail(sms.Temporary, "", ""),
		sms.Fail(sms.Configuration, "", ""), errors.New("unknown")}
	to := func(r sms.Ref) contacts.Number { return number(num(r) % peers) }

	claims, busy, ended := map[sms.Ref]int{}, map[contacts.Number]sms.Ref{}, map[sms.Ref]bool{}
	var d *sms.Dispatcher
	desk := &desk{mt: func(r sms.Ref) sms.MT { mt := text(r, "x"); mt.To = to(r); return mt }}
	desk.claim = func(r sms.Ref, _ string) (bool, error) {
		if roll(5) == 0 {
			return false, errors.New("disk")
		}
		mu.Lock()
		defer mu.Unlock()
		if other, taken := busy[to(r)]; taken {
			rt.Errorf("%d is claimed while %d to the same number is under way", num(r), num(other))
		}
		if ended[r] {
			return false, nil
		}
		busy[to(r)] = r
		claims[r]++
		return true, nil
	}
	desk.report = func(mt sms.MT, gateway string, outcomes []sms.Outcome) error {
		if roll(5) == 0 {
			return errors.New("disk")
		}
		mu.Lock()
		if busy[mt.To] != mt.Ref {
			rt.Errorf("%d is reported and was not claimed", num(mt.Ref))
		}
		delete(busy, mt.To)
		claims[mt.Ref]--
		e := (*sms.Error)(nil)
		again := errors.As(outcomes[0].Err, &e) && e.Temporary()
		ended[mt.Ref] = !again
		mu.Unlock()
		if again {
			w := sms.Want{Ref: mt.Ref, To: mt.To, Priority: sms.Retry, Tried: []string{gateway}}
			if roll(3) == 0 {
				w.Only = gateway
			}
			d.Want(w)
		}
		return nil
	}
	var gateways []sms.Gateway
	for _, name := range []string{"a", "b", "c"} {
		gateways = append(gateways, &carrier{name: name, can: sms.Abilities{Window: window, Rate: 100}, takes: 30 * time.Millisecond,
			answer: func(sms.MT) error { return errorsOf[roll(len(errorsOf))] }})
	}
	names := []string{"a", "b", "c"}
	routes := []sms.Route{{"*", names}, {string(number(1)), []string{"c", "a"}}, {string(number(2)), []string{"b"}}}
	d = sms.NewDispatcher(gateways, desk, sms.Dispatch{Routes: routes})
	stop := start(t, d)
	for i := range messages {
		d.Want(sms.Want{Ref: ref(i), To: to(ref(i)), Priority: sms.Fresh})
		if roll(4) == 0 {
			pass(10 * time.Millisecond)
			d.Want(sms.Want{Ref: ref(i / 2), To: to(ref(i / 2)), Priority: sms.Retry}) // a hint too many
		}
	}
	for range roll(20) {
		if err := []func(string) error{d.Pause, d.Resume}[roll(2)](names[roll(3)]); err != nil {
			rt.Fatal(err)
		}
		pass(time.Duration(roll(1000)) * time.Millisecond)
	}
	for _, name := range names {
		if err := d.Resume(name); err != nil {
			rt.Fatal(err)
		}
	}
	pass(24 * time.Hour)
	if got := d.Status(); d.Waiting() != 0 || slices.ContainsFunc(got, func(s sms.Status) bool { return s.Waiting != 0 || s.Under != 0 }) {
		rt.Errorf("%d wait at the end: %+v", d.Waiting(), got)
	}
	if err := stop(); err != nil {
		rt.Errorf("Run: %v", err)
	}
	for i := range messages {
		if r := ref(i); !ended[r] || claims[r] != 0 {
			rt.Errorf("message %d: ended %v, %d claims without a report", i, ended[r], claims[r])
		}
	}
	for _, g := range gateways {
		if c := g.(*carrier); c.most > window {
			rt.Errorf("gateway %s had %d under way, its window is %d", c.name, c.most, window)
		}
	}
}

// BenchmarkDispatcherWaiting measures what a waiting message costs.
func BenchmarkDispatcherWaiting(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 120_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				before := heap()
				d := sms.NewDispatcher([]sms.Gateway{&carrier{name: "a"}}, &desk{}, sms.Dispatch{})
				for i := range n {
					d.Want(sms.Want{Ref: ref(i), To: number(i), Priority: sms.Fresh})
				}
				b.ReportMetric(float64(heap()-before)/float64(n), "heap-B/message")
				runtime.KeepAlive(d)
			}
		})
	}
}

func BenchmarkDispatcherWantDrop(b *testing.B) {
	d := sms.NewDispatcher([]sms.Gateway{&carrier{name: "a"}}, &desk{}, sms.Dispatch{})
	i := 0
	for b.Loop() {
		d.Want(sms.Want{Ref: ref(i), To: "4915112345678", Priority: sms.Fresh})
		d.Drop(ref(i - 1000))
		i++
	}
}
