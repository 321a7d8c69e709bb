package sms_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// carriers returns gateways of these names, with a window of 10.
func carriers(names ...string) (all []sms.Gateway, byName map[string]*carrier) {
	byName = map[string]*carrier{}
	for _, name := range names {
		c := &carrier{name: name, can: sms.Abilities{Window: 10}}
		all, byName[name] = append(all, c), c
	}
	return all, byName
}

func TestRoutes(t *testing.T) {
	gateways, _ := carriers("carrier", "kannel", "twilio")
	china := []sms.Route{{"86", []string{"carrier", "kannel"}}, {"861", []string{"kannel"}}, {"8613800138000", []string{"twilio"}}}
	for _, c := range []struct {
		name   string
		routes []sms.Route
		to     contacts.Number
		want   []string
	}{
		{"no routes: all gateways in their order", nil, "4915112345678", []string{"carrier", "kannel", "twilio"}},
		{"the prefix", china, "8620123456789", []string{"carrier", "kannel"}},
		{"the longest prefix", china, "8615012345678", []string{"kannel"}},
		{"the whole number", china, "8613800138000", []string{"twilio"}},
		{"one digit more than the whole number", china, "86138001380001", []string{"twilio"}},
		{"none matches", china, "4915112345678", nil},
		{"the others", append(china, sms.Route{Prefix: "*", Use: []string{"twilio", "carrier"}}), "4915112345678", []string{"twilio", "carrier"}},
		{"a prefix that is longer than the number", []sms.Route{{Prefix: "491511234567", Use: []string{"kannel"}}}, "4915112", nil},
	} {
		d := sms.NewDispatcher(gateways, &desk{}, sms.Dispatch{Routes: c.routes})
		if got := d.Gateways(c.to); !slices.Equal(got, c.want) || d.Routed(c.to) != (len(c.want) > 0) {
			t.Errorf("%s: %s goes to %q (routed: %v), want %q", c.name, c.to, got, d.Routed(c.to), c.want)
		}
	}
}

func TestRoutesRefused(t *testing.T) {
	a := []string{"a"}
	for _, c := range []struct {
		name   string
		routes []sms.Route
		want   string
	}{
		{"a gateway that is not there", []sms.Route{{"*", []string{"a", "c"}}}, `there is no gateway "c"; there are ["a" "b"]`},
		{"a prefix twice", []sms.Route{{"49", a}, {"86", a}, {"49", a}}, `route 3, to prefix "49"`},
		{"all others twice", []sms.Route{{"*", a}, {"*", a}}, "another route has the same prefix"},
		{"no gateway", []sms.Route{{"49", nil}}, "names no gateway"},
		{"a gateway twice", []sms.Route{{"49", []string{"a", "a"}}}, "twice"},
		{"a plus", []sms.Route{{"+49", a}}, "without +"},
		{"two zeros", []sms.Route{{"0049", a}}, "not beginning with 0"},
		{"no prefix", []sms.Route{{"", a}}, `"*" for all others`},
		{"a prefix of 16 digits", []sms.Route{{"4915112345678901", a}}, "1 to 15 digits"},
		{"a pattern", []sms.Route{{"49*", a}}, "1 to 15 digits"},
	} {
		gateways, _ := carriers("a", "b")
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // a Run that takes the routes ends at once
		d := sms.NewDispatcher(gateways, &desk{}, sms.Dispatch{Routes: c.routes})
		for _, err := range []error{d.Check(), d.Run(ctx, nil)} {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %q in it", c.name, err, c.want)
			}
		}
	}
}

func TestDispatcherFollowsRoutes(t *testing.T) {
	routes := []sms.Route{{"49", []string{"b", "c"}}, {"86", []string{"a"}}, {"33", []string{"c", "a"}}}
	const german, chinese, french, other contacts.Number = "4915112345678", "8613800138000", "33612345678", "15005550006"

	bubble(t, "each to the first gateway of its route", func(t *testing.T) {
		gateways, by := carriers("a", "b", "c")
		d := sms.NewDispatcher(gateways, &desk{}, sms.Dispatch{Routes: routes})
		defer start(t, d)()
		for i, to := range []contacts.Number{german, chinese, french, other} {
			d.Want(sms.Want{Ref: ref(i), To: to})
		}
		pass(time.Second)
		for name, want := range map[string]int{"a": 1, "b": 0, "c": 2} {
			if got := nums(by[name].submits()); !slices.Equal(got, []int{want}) {
				t.Errorf("%s took %v, want %d", name, got, want)
			}
		}
		if d.Waiting() != 1 {
			t.Errorf("%d waiting, want the one that no route takes", d.Waiting())
		}
		d.Drop(ref(3))
		if d.Waiting() != 0 {
			t.Error("what no route takes could not be dropped")
		}
	})

	bubble(t, "to the second after the first, and to none outside of the route", func(t *testing.T) {
		gateways, by := carriers("a", "b", "c")
		d := sms.NewDispatcher(gateways, &desk{}, sms.Dispatch{Routes: routes})
		defer start(t, d)()
		d.Want(sms.Want{Ref: ref(1), To: german, Tried: []string{"b"}})
		d.Want(sms.Want{Ref: ref(2), To: german, Tried: []string{"c", "b", "a"}}) // all of the route: each may again
		d.Want(sms.Want{Ref: ref(3), To: chinese, Tried: []string{"a", "b"}})
		pass(time.Second)
		for name, want := range map[string]int{"a": 3, "b": 2, "c": 1} {
			if got := nums(by[name].submits()); !slices.Equal(got, []int{want}) {
				t.Errorf("%s took %v, want %d", name, got, want)
			}
		}
	})

	bubble(t, "the gateway that has segments of it already, whatever the route says, even after its pause", func(t *testing.T) {
		gateways, by := carriers("a", "b", "c")
		by["a"].answer = func(sms.MT) error { return sms.Fail(sms.NotSent, "", "refused") }
		d := sms.NewDispatcher(gateways, &desk{}, sms.Dispatch{Routes: routes})
		defer start(t, d)()
		d.Want(sms.Want{Ref: ref(1), To: french, Tried: []string{"c"}}) // to a, which pauses
		synctest.Wait()
		d.Want(sms.Want{Ref: ref(2), To: german, Only: "a", Tried: []string{"a"}})
		synctest.Wait()
		by["a"].mend()
		if d.Waiting() != 1 {
			t.Errorf("%d waiting during the pause, want 1", d.Waiting())
		}
		pass(time.Second)
		if got := nums(by["a"].submits()); !slices.Equal(got, []int{1, 2}) || len(by["b"].submits())+len(by["c"].submits()) != 0 {
			t.Errorf("a took %v", got)
		}
	})

	bubble(t, "by the route when the gateway with its segments is gone from the configuration", func(t *testing.T) {
		gateways, by := carriers("a", "b", "c")
		d := sms.NewDispatcher(gateways, &desk{}, sms.Dispatch{Routes: routes})
		defer start(t, d)()
		d.Want(sms.Want{Ref: ref(1), To: german, Only: "sold"})
		pass(time.Second)
		if got := nums(by["b"].submits()); !slices.Equal(got, []int{1}) {
			t.Errorf("b took %v", got)
		}
	})

	bubble(t, "wanted by another gateway is wanted once", func(t *testing.T) {
		gateways, by := carriers("a", "b", "c")
		d := sms.NewDispatcher(gateways, &desk{}, sms.Dispatch{Routes: routes})
		d.Want(sms.Want{Ref: ref(1), To: german})
		d.Want(sms.Want{Ref: ref(1), To: german, Only: "c"})
		defer start(t, d)()
		pass(time.Second)
		if got := nums(by["c"].submits()); !slices.Equal(got, []int{1}) || len(by["b"].submits()) != 0 || d.Waiting() != 0 {
			t.Errorf("c took %v, b took %v", got, nums(by["b"].submits()))
		}
	})
}

func TestDispatcherIsFair(t *testing.T) {
	bubble(t, "of every eight that a gateway takes one is a retry, when one waits", func(t *testing.T) {
		desk := &desk{}
		d := sms.NewDispatcher([]sms.Gateway{&carrier{name: "a", takes: time.Second}}, desk, sms.Dispatch{})
		for i := range 40 {
			d.Want(sms.Want{Ref: ref(i), To: number(i), Priority: sms.Fresh})
		}
		for i := range 3 {
			d.Want(sms.Want{Ref: ref(100 + i), To: number(100 + i), Priority: sms.Retry})
		}
		defer start(t, d)()
		pass(time.Minute)
		got := nums(desk.claimed())
		for i, want := range map[int]int{7: 100, 15: 101, 23: 102, 6: 6, 8: 7, 42: 39} {
			if got[i] != want {
				t.Errorf("claim %d is of %d, want %d: %v", i, got[i], want, got)
			}
		}
	})

	bubble(t, "routes take turns at a gateway, however much waits for one of them", func(t *testing.T) {
		desk := &desk{}
		routes := []sms.Route{{"491", []string{"a"}}, {"86", []string{"a", "b"}}, {"33", []string{"a", "c"}}}
		gateways, by := carriers("a", "b", "c")
		by["a"].can.Window, by["a"].takes = 1, time.Second
		d := sms.NewDispatcher(gateways, desk, sms.Dispatch{Routes: routes})
		for i := range 1000 {
			d.Want(sms.Want{Ref: ref(i), To: number(i), Priority: sms.Fresh})
		}
		for i, to := range []contacts.Number{"8613800138000", "8613800138001", "33612345678"} {
			d.Want(sms.Want{Ref: ref(2000 + i), To: to, Priority: sms.Fresh})
		}
		defer start(t, d)()
		pass(10 * time.Second)
		got := nums(desk.claimed())[:6]
		if slices.Sort(got); !slices.Equal(got, []int{0, 1, 2, 2000, 2001, 2002}) {
			t.Errorf("the first six claims are %v", got)
		}
	})
}

// BenchmarkDispatcherRoutes is BenchmarkDispatcherWantDrop and taking, with as many messages waiting on as many routes.
func BenchmarkDispatcherRoutes(b *testing.B) {
	for _, waiting := range []int{0, 1_000, 100_000} {
		for _, routes := range []int{1, 300} {
			b.Run(fmt.Sprintf("%d waiting, %d routes", waiting, routes), func(b *testing.B) { benchmarkRoutes(b, waiting, routes) })
		}
	}
}

func benchmarkRoutes(b *testing.B, waiting, n int) {
	// Each route has its own order of gateways, so none shares a queue with another; those before the last are paused, so all queues are at one gateway.
	names := strings.Split("a b c d e f", " ")
	orders := permutations(names)
	var routes []sms.Route
	for i := range n {
		routes = append(routes, sms.Route{Prefix: fmt.Sprint(1000 + i), Use: append(slices.Clone(orders[i]), "end")})
	}
	end := &instant{done: make(chan struct{}), name: "end"}
	end.left.Store(int64(b.N + waiting))
	gateways, _ := carriers(names...)
	d := sms.NewDispatcher(append(gateways, end), end, sms.Dispatch{Routes: routes})
	for _, name := range names {
		if err := d.Pause(name); err != nil {
			b.Fatal(err)
		}
	}
	want := func(i int) {
		d.Want(sms.Want{Ref: ref(i), To: contacts.Number(fmt.Sprintf("%d%08d", 1000+i%n, i)), Priority: sms.Fresh})
	}
	for i := range waiting {
		want(i)
	}
	b.ResetTimer()
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, nil) }()
	for i := range b.N {
		want(waiting + i)
	}
	<-end.done
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N+waiting), "ns/op") // those that waited are messages, too
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

// permutations returns the orders in which names can be.
func permutations(names []string) (all [][]string) {
	if len(names) == 0 {
		return [][]string{nil}
	}
	for i := range names {
		rest := slices.Delete(slices.Clone(names), i, i+1)
		for _, p := range permutations(rest) {
			all = append(all, append([]string{names[i]}, p...))
		}
	}
	return all
}
