package sms_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// desk is a sms.Desk that notes what it is asked; the functions may decide otherwise than yes.
type desk struct {
	claim  func(ref sms.Ref, gateway string) (ok bool, err error)
	mt     func(ref sms.Ref) sms.MT
	report func(mt sms.MT, gateway string, outcomes []sms.Outcome) error

	mu      sync.Mutex
	claims  []call
	reports []call
}

type call struct {
	ref      sms.Ref
	gateway  string
	at       time.Time
	outcomes []sms.Outcome
}

var _ sms.Desk = (*desk)(nil)

func (d *desk) Claim(_ context.Context, r sms.Ref, gateway string) (sms.MT, bool, error) {
	d.mu.Lock()
	d.claims = append(d.claims, call{ref: r, gateway: gateway, at: time.Now()})
	d.mu.Unlock()
	if d.claim != nil {
		if ok, err := d.claim(r, gateway); !ok || err != nil {
			return sms.MT{}, false, err
		}
	}
	if d.mt != nil {
		return d.mt(r), true, nil
	}
	return text(r, "hello"), true, nil
}

func (d *desk) Report(_ context.Context, mt sms.MT, gateway string, outcomes []sms.Outcome) error {
	if d.report != nil {
		if err := d.report(mt, gateway, outcomes); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reports = append(d.reports, call{mt.Ref, gateway, time.Now(), outcomes})
	return nil
}

func (d *desk) claimed() []call  { d.mu.Lock(); defer d.mu.Unlock(); return slices.Clone(d.claims) }
func (d *desk) reported() []call { d.mu.Lock(); defer d.mu.Unlock(); return slices.Clone(d.reports) }

// carrier is a sms.Gateway that takes everything in `takes`, or answers as told.
type carrier struct {
	name   string
	can    sms.Abilities
	takes  time.Duration
	answer func(mt sms.MT) error
	run    func(ctx context.Context) error

	mu    sync.Mutex
	under int
	most  int
	sent  []call
}

var _ sms.Gateway = (*carrier)(nil)

func (c *carrier) Name() string             { return c.name }
func (c *carrier) Abilities() sms.Abilities { return c.can }

func (c *carrier) Run(ctx context.Context, _ sms.Sink) error {
	if c.run != nil {
		return c.run(ctx)
	}
	<-ctx.Done()
	return ctx.Err()
}

func (c *carrier) Submit(ctx context.Context, mt sms.MT) []sms.Outcome {
	c.mu.Lock()
	c.under++
	c.most = max(c.most, c.under)
	c.sent = append(c.sent, call{ref: mt.Ref, at: time.Now()})
	c.mu.Unlock()
	defer func() { c.mu.Lock(); c.under--; c.mu.Unlock() }()
	if c.takes > 0 {
		select {
		case <-time.After(c.takes):
		case <-ctx.Done():
			return failed(mt, sms.Fail(sms.Unknown, "", "cut off"))
		}
	}
	c.mu.Lock()
	answer := c.answer
	c.mu.Unlock()
	if answer != nil {
		if err := answer(mt); err != nil {
			return failed(mt, err)
		}
	}
	var out []sms.Outcome
	for _, s := range mt.Segments {
		out = append(out, sms.Outcome{Segment: s.Number, ID: fmt.Sprintf("%s-%d", c.name, s.Number)})
	}
	return out
}

// mend makes the gateway take everything from now on.
func (c *carrier) mend() { c.mu.Lock(); defer c.mu.Unlock(); c.answer = nil }

func (c *carrier) submits() []call { c.mu.Lock(); defer c.mu.Unlock(); return slices.Clone(c.sent) }

func failed(mt sms.MT, err error) (out []sms.Outcome) {
	for _, s := range mt.Segments {
		out = append(out, sms.Outcome{Segment: s.Number, Err: err})
	}
	return out
}

func ref(n int) (r sms.Ref) {
	binary.BigEndian.PutUint64(r[:], uint64(n))
	return r
}

func num(r sms.Ref) int { return int(binary.BigEndian.Uint64(r[:])) }

func number(n int) contacts.Number { return contacts.Number(fmt.Sprintf("49151%08d", n)) }

func text(r sms.Ref, s string) sms.MT {
	segments, err := sms.Split(s)
	if err != nil {
		panic(err)
	}
	return sms.MT{Ref: r, To: number(num(r)), Text: s, Segments: segments, Count: len(segments), Until: time.Now().Add(time.Hour)}
}

func nums(calls []call) (n []int) {
	for _, c := range calls {
		n = append(n, num(c.ref))
	}
	return n
}

// start runs d in the bubble and returns what ends it and tells Run's error.
func start(t *testing.T, d *sms.Dispatcher) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx, nil) }()
	synctest.Wait()
	return func() error {
		cancel()
		return <-done
	}
}

// pass lets time go by in the bubble, and what is due happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func TestDispatcherTakesTurns(t *testing.T) {
	bubble(t, "never more than the window, and no claim before there is a place", func(t *testing.T) {
		desk, gate := &desk{}, &carrier{name: "a", can: sms.Abilities{Window: 3}, takes: time.Second}
		d := sms.NewDispatcher([]sms.Gateway{gate}, desk, sms.Dispatch{})
		stop := start(t, d)
		for i := range 10 {
			d.Want(ref(i), number(i), sms.Fresh)
		}
		synctest.Wait()
		if got := len(desk.claimed()); got != 3 || d.Waiting() != 7 {
			t.Errorf("%d claims and %d waiting, want 3 and 7", got, d.Waiting())
		}
		pass(4 * time.Second)
		if gate.most != 3 || len(desk.reported()) != 10 {
			t.Errorf("%d at once and %d reported, want 3 and 10", gate.most, len(desk.reported()))
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})

	bubble(t, "no faster than the rate, counted in segments", func(t *testing.T) {
		desk := &desk{mt: func(r sms.Ref) sms.MT { return text(r, strings.Repeat("a", 161)) }}
		d := sms.NewDispatcher([]sms.Gateway{&carrier{name: "a", can: sms.Abilities{Window: 10, Rate: 10}}}, desk, sms.Dispatch{})
		defer start(t, d)()
		for i := range 30 {
			d.Want(ref(i), number(i), sms.Fresh)
		}
		pass(2 * time.Second)
		if got := len(desk.claimed()); got < 10 || got > 11 {
			t.Errorf("%d MTs of 2 segments in 2 s at 10 segments a second", got)
		}
		pass(4 * time.Second)
		if got := len(desk.reported()); got != 30 {
			t.Errorf("%d reported after 6 s, want 30", got)
		}
	})

	bubble(t, "replies before fresh ones before retries", func(t *testing.T) {
		desk := &desk{}
		d := sms.NewDispatcher([]sms.Gateway{&carrier{name: "a", takes: time.Second}}, desk, sms.Dispatch{})
		for i, prio := range []sms.Priority{sms.Retry, sms.Fresh, sms.Reply, sms.Retry, sms.Fresh, sms.Reply} {
			d.Want(ref(i), number(i), prio)
		}
		defer start(t, d)()
		pass(10 * time.Second)
		if got := nums(desk.claimed()); !slices.Equal(got, []int{2, 5, 1, 4, 0, 3}) {
			t.Errorf("claimed in the order %v", got)
		}
	})

	bubble(t, "wanted twice is wanted once, dropped is not claimed", func(t *testing.T) {
		desk := &desk{}
		d := sms.NewDispatcher([]sms.Gateway{&carrier{name: "a"}}, desk, sms.Dispatch{})
		d.Want(ref(1), number(1), sms.Fresh)
		d.Want(ref(2), number(2), sms.Fresh)
		d.Want(ref(1), number(1), sms.Fresh)
		d.Want(ref(3), number(3), sms.Fresh)
		d.Drop(ref(2))
		d.Drop(ref(9))
		if d.Waiting() != 2 {
			t.Errorf("%d waiting, want 2", d.Waiting())
		}
		defer start(t, d)()
		pass(time.Second)
		if got := nums(desk.claimed()); !slices.Equal(got, []int{1, 3}) {
			t.Errorf("claimed %v", got)
		}
	})

	bubble(t, "a higher priority takes effect", func(t *testing.T) {
		desk := &desk{}
		d := sms.NewDispatcher([]sms.Gateway{&carrier{name: "a"}}, desk, sms.Dispatch{})
		d.Want(ref(1), number(1), sms.Retry)
		d.Want(ref(2), number(2), sms.Fresh)
		d.Want(ref(1), number(1), sms.Reply)
		defer start(t, d)()
		pass(time.Second)
		if got := nums(desk.claimed()); !slices.Equal(got, []int{1, 2}) {
			t.Errorf("claimed %v", got)
		}
	})

	bubble(t, "what the desk no longer wants sent is not submitted", func(t *testing.T) {
		desk, gate := &desk{claim: func(r sms.Ref, _ string) (bool, error) { return num(r) != 1, nil }}, &carrier{name: "a"}
		d := sms.NewDispatcher([]sms.Gateway{gate}, desk, sms.Dispatch{})
		d.Want(ref(1), number(5), sms.Fresh)
		d.Want(ref(2), number(5), sms.Fresh)
		defer start(t, d)()
		pass(time.Second)
		if got := nums(gate.submits()); !slices.Equal(got, []int{2}) || len(desk.reported()) != 1 {
			t.Errorf("submitted %v, reported %d", got, len(desk.reported()))
		}
	})
}

func TestDispatcherKeepsOrderToANumber(t *testing.T) {
	bubble(t, "one after the other, others pass by", func(t *testing.T) {
		desk, gate := &desk{}, &carrier{name: "a", can: sms.Abilities{Window: 4}, takes: time.Second}
		d := sms.NewDispatcher([]sms.Gateway{gate}, desk, sms.Dispatch{})
		for i := range 4 {
			d.Want(ref(i), number(77), sms.Fresh)
		}
		d.Want(ref(10), number(10), sms.Fresh)
		defer start(t, d)()
		if got := nums(desk.claimed()); len(got) != 2 || !slices.Contains(got, 0) || !slices.Contains(got, 10) {
			t.Errorf("first claimed %v, want 0 and 10", got)
		}
		pass(1500 * time.Millisecond)
		d.Drop(ref(2))
		pass(10 * time.Second)
		got := slices.DeleteFunc(nums(desk.claimed()), func(n int) bool { return n == 10 })
		if !slices.Equal(got, []int{0, 1, 3}) {
			t.Errorf("claimed %v", got)
		}
		if d.Waiting() != 0 {
			t.Errorf("%d waiting", d.Waiting())
		}
	})

	bubble(t, "wanted again while it is reported", func(t *testing.T) {
		var d *sms.Dispatcher
		desk := &desk{}
		desk.report = func(mt sms.MT, _ string, outcomes []sms.Outcome) error {
			if outcomes[0].Err != nil {
				d.Want(mt.Ref, mt.To, sms.Retry)
			}
			return nil
		}
		tries := 0
		gate := &carrier{name: "a", can: sms.Abilities{Window: 4}, answer: func(sms.MT) error {
			if tries++; tries == 1 {
				return sms.Fail(sms.Temporary, "0x08", "system error")
			}
			return nil
		}}
		d = sms.NewDispatcher([]sms.Gateway{gate}, desk, sms.Dispatch{})
		d.Want(ref(1), number(1), sms.Fresh)
		defer start(t, d)()
		pass(time.Second)
		if got := nums(desk.reported()); !slices.Equal(got, []int{1, 1}) {
			t.Errorf("reported %v", got)
		}
	})

	bubble(t, "dropping the one whose turn it is gives the turn to the next", func(t *testing.T) {
		desk := &desk{}
		gate := &carrier{name: "a", can: sms.Abilities{Window: 2}, takes: time.Second, answer: func(sms.MT) error {
			return sms.FailAfter(sms.Throttled, "", "", time.Minute)
		}}
		d := sms.NewDispatcher([]sms.Gateway{gate}, desk, sms.Dispatch{})
		for i := range 4 {
			d.Want(ref(i), number(7), sms.Fresh)
		}
		defer start(t, d)()
		pass(2 * time.Second) // 0 was throttled, 1 has the turn in a paused lane
		d.Drop(ref(1))
		gate.mend()
		pass(2 * time.Minute)
		if got := nums(desk.claimed()); !slices.Equal(got, []int{0, 2, 3}) {
			t.Errorf("claimed %v", got)
		}
	})
}

func TestDispatcherFailsOver(t *testing.T) {
	refuse := func(err error) func(sms.MT) error { return func(sms.MT) error { return err } }
	// again wants what was not sent, throttled or temporary at once, past the gateways that it tried.
	setup := func(a, b *carrier) (*sms.Dispatcher, *desk) {
		desk := &desk{}
		var d *sms.Dispatcher
		tried := map[sms.Ref][]string{}
		desk.report = func(mt sms.MT, gateway string, outcomes []sms.Outcome) error {
			if e := (*sms.Error)(nil); errors.As(outcomes[0].Err, &e) && e.Temporary() {
				desk.mu.Lock()
				tried[mt.Ref] = append(tried[mt.Ref], gateway)
				names := slices.Clone(tried[mt.Ref])
				desk.mu.Unlock()
				d.Want(mt.Ref, mt.To, sms.Fresh, names...)
			}
			return nil
		}
		d = sms.NewDispatcher([]sms.Gateway{a, b}, desk, sms.Dispatch{})
		return d, desk
	}

	bubble(t, "in their order, the second only after the first", func(t *testing.T) {
		a, b := &carrier{name: "a", can: sms.Abilities{Window: 10}}, &carrier{name: "b", can: sms.Abilities{Window: 10}}
		a.answer = func(mt sms.MT) error {
			if num(mt.Ref) == 1 {
				return sms.Fail(sms.Temporary, "", "try another")
			}
			return nil
		}
		d, desk := setup(a, b)
		for i := range 3 {
			d.Want(ref(i), number(i), sms.Fresh)
		}
		defer start(t, d)()
		pass(time.Second)
		if got := nums(b.submits()); !slices.Equal(got, []int{1}) || len(a.submits()) != 3 || len(desk.reported()) != 4 {
			t.Errorf("a took %v, b took %v", nums(a.submits()), got)
		}
	})

	bubble(t, "a paused gateway is passed over, and comes back", func(t *testing.T) {
		a, b := &carrier{name: "a"}, &carrier{name: "b"}
		a.answer = refuse(sms.Fail(sms.NotSent, "", "connection refused"))
		d, _ := setup(a, b)
		defer start(t, d)()
		for i := range 5 {
			d.Want(ref(i), number(i), sms.Fresh)
		}
		synctest.Wait()
		if len(a.submits()) != 1 || len(b.submits()) != 5 {
			t.Errorf("a was tried %d times, b took %d, want 1 and 5", len(a.submits()), len(b.submits()))
		}
		a.mend()
		pass(time.Second)
		d.Want(ref(9), number(9), sms.Fresh)
		synctest.Wait()
		if got := nums(a.submits()); !slices.Equal(got[1:], []int{9}) {
			t.Errorf("a took %v after its pause", got[1:])
		}
	})

	bubble(t, "when all were tried each may take it again", func(t *testing.T) {
		a, b := &carrier{name: "a"}, &carrier{name: "b"}
		d, desk := setup(a, b)
		d.Want(ref(1), number(1), sms.Retry, "a", "b", "gone")
		defer start(t, d)()
		if got := desk.claimed(); len(got) != 1 || got[0].gateway != "a" {
			t.Errorf("claims: %v", got)
		}
	})

	bubble(t, "an unknown outcome goes nowhere by itself", func(t *testing.T) {
		a, b := &carrier{name: "a"}, &carrier{name: "b"}
		a.answer = refuse(errors.New("anything"))
		d, desk := setup(a, b)
		d.Want(ref(1), number(1), sms.Fresh)
		defer start(t, d)()
		pass(time.Minute)
		if len(desk.claimed()) != 1 || len(b.submits()) != 0 {
			t.Errorf("claims: %v", desk.claimed())
		}
	})
}

func TestDispatcherPauses(t *testing.T) {
	// gaps returns the seconds between the submits of a gateway that fails each in the same way.
	gaps := func(t *testing.T, err error, n int) (gaps []time.Duration) {
		gate := &carrier{name: "a", can: sms.Abilities{Window: 5}, answer: func(sms.MT) error { return err }}
		d := sms.NewDispatcher([]sms.Gateway{gate}, &desk{}, sms.Dispatch{})
		defer start(t, d)()
		for len(gate.submits()) < n {
			// One at a time is wanted: what counts is when the gateway is tried again.
			i := len(gate.submits())
			d.Want(ref(i), number(i), sms.Fresh)
			for len(gate.submits()) == i {
				pass(50 * time.Millisecond)
			}
		}
		sent := gate.submits()
		for i := range sent[1:] {
			gaps = append(gaps, sent[i+1].at.Sub(sent[i].at).Round(50*time.Millisecond))
		}
		return gaps
	}
	ms, s := time.Millisecond, time.Second
	for _, c := range []struct {
		name string
		err  error
		want []time.Duration
	}{
		{"throttled doubles to 30 s", sms.Fail(sms.Throttled, "0x58", ""), []time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s}},
		{"throttled as long as the gateway says", sms.FailAfter(sms.Throttled, "429", "", 7*s), []time.Duration{7 * s, 7 * s, 7 * s, 8 * s}},
		{"not sent briefly", sms.Fail(sms.NotSent, "", ""), []time.Duration{250 * ms, 500 * ms, s, 2 * s, 4 * s, 5 * s, 5 * s}},
		{"unknown briefly", errors.New("reset"), []time.Duration{250 * ms, 500 * ms, s, 2 * s}},
		{"configuration slowly", sms.Fail(sms.Configuration, "401", ""), []time.Duration{10 * s, 20 * s, 40 * s, 80 * s, 160 * s, 300 * s, 300 * s}},
		{"temporary not at all", sms.Fail(sms.Temporary, "", ""), []time.Duration{50 * ms, 50 * ms}},
		{"permanent not at all", sms.Fail(sms.Permanent, "", ""), []time.Duration{50 * ms, 50 * ms}},
	} {
		bubble(t, c.name, func(t *testing.T) {
			if got := gaps(t, c.err, len(c.want)+1); !slices.Equal(got, c.want) {
				t.Errorf("pauses %v, want %v", got, c.want)
			}
		})
	}

	bubble(t, "a window of throttlings is one", func(t *testing.T) {
		gate := &carrier{name: "a", can: sms.Abilities{Window: 8}, takes: 100 * ms, answer: func(sms.MT) error { return sms.Fail(sms.Throttled, "", "") }}
		d := sms.NewDispatcher([]sms.Gateway{gate}, &desk{}, sms.Dispatch{})
		for i := range 30 {
			d.Want(ref(i), number(i), sms.Fresh)
		}
		defer start(t, d)()
		pass(200 * ms)
		gate.mend()
		pass(950 * ms)
		if got := len(gate.submits()); got != 8+4 {
			t.Errorf("%d submits after a pause of 1 s, want 8 and then half a window, 4", got)
		}
	})

	bubble(t, "throttling halves the rate, which creeps back", func(t *testing.T) {
		gate := &carrier{name: "a", can: sms.Abilities{Window: 100, Rate: 20}}
		d := sms.NewDispatcher([]sms.Gateway{gate}, &desk{}, sms.Dispatch{})
		gate.answer = func(mt sms.MT) error {
			if num(mt.Ref) == 0 {
				return sms.Fail(sms.Throttled, "", "")
			}
			return nil
		}
		for i := range 5000 {
			d.Want(ref(i), number(i), sms.Fresh)
		}
		defer start(t, d)()
		pass(s) // the pause
		in := func(d time.Duration) int {
			before := len(gate.submits())
			pass(d)
			return len(gate.submits()) - before
		}
		if got := in(5 * s); got < 50 || got > 60 {
			t.Errorf("%d in the first 5 s at half of 20 a second, creeping", got)
		}
		in(40 * s)
		if got := in(5 * s); got < 99 || got > 101 {
			t.Errorf("%d in 5 s after 45 s, want 100", got)
		}
	})

	bubble(t, "a dead gateway is tried by one, and has its window back at once", func(t *testing.T) {
		gate := &carrier{name: "a", can: sms.Abilities{Window: 8}, takes: 100 * ms}
		gate.answer = func(sms.MT) error { return sms.Fail(sms.NotSent, "", "refused") }
		d := sms.NewDispatcher([]sms.Gateway{gate}, &desk{}, sms.Dispatch{})
		for i := range 100 {
			d.Want(ref(i), number(i), sms.Fresh)
		}
		defer start(t, d)()
		pass(20 * s)
		if got := len(gate.submits()); got > 8+8 {
			t.Errorf("a dead gateway was tried %d times in 20 s", got)
		}
		gate.mend()
		pass(6 * s)
		if gate.most != 8 || d.Waiting() != 0 {
			t.Errorf("%d at once, %d waiting", gate.most, d.Waiting())
		}
	})

	bubble(t, "a message whose time ran out does not pause the gateway", func(t *testing.T) {
		gate := &carrier{name: "a"}
		gate.answer = func(mt sms.MT) error {
			if !time.Now().Before(mt.Until) {
				return sms.Fail(sms.NotSent, "", "its time ran out")
			}
			return nil
		}
		desk := &desk{mt: func(r sms.Ref) sms.MT {
			mt := text(r, "x")
			if num(r) < 5 {
				mt.Until = time.Now()
			}
			return mt
		}}
		d := sms.NewDispatcher([]sms.Gateway{gate}, desk, sms.Dispatch{})
		for i := range 6 {
			d.Want(ref(i), number(i), sms.Fresh)
		}
		defer start(t, d)()
		if got := len(desk.reported()); got != 6 {
			t.Errorf("%d reported at once, want 6", got)
		}
	})

	bubble(t, "an operator hears of configuration errors, and when it works again", func(t *testing.T) {
		var heard []string
		gate := &carrier{name: "a", can: sms.Abilities{Window: 4}, takes: s}
		gate.answer = func(sms.MT) error { return sms.Fail(sms.Configuration, "0x0e", "wrong password") }
		var mu sync.Mutex
		d := sms.NewDispatcher([]sms.Gateway{gate}, &desk{}, sms.Dispatch{OnAlarm: func(gateway string, err error) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, fmt.Sprint(gateway, ": ", err))
		}})
		for i := range 20 {
			d.Want(ref(i), number(i), sms.Fresh)
		}
		defer start(t, d)()
		pass(12 * s) // 4 at once, then one after 10 s
		gate.mend()
		pass(time.Minute)
		want := "a: configuration: wrong password (0x0e)"
		if !slices.Equal(heard, []string{want, want, "a: <nil>"}) {
			t.Errorf("heard %q", heard)
		}
		if d.Waiting() != 0 {
			t.Errorf("%d waiting", d.Waiting())
		}
	})
}

func TestDispatcherWhenTheStoreFails(t *testing.T) {
	bubble(t, "claims back off, and nothing is lost or overtaken", func(t *testing.T) {
		var mended atomic.Bool
		desk := &desk{claim: func(sms.Ref, string) (bool, error) {
			if !mended.Load() {
				return false, errors.New("disk")
			}
			return true, nil
		}}
		gate := &carrier{name: "a", can: sms.Abilities{Window: 2}}
		d := sms.NewDispatcher([]sms.Gateway{gate}, desk, sms.Dispatch{})
		for i := range 6 {
			d.Want(ref(i), number(i/3), sms.Fresh)
		}
		defer start(t, d)()
		pass(time.Minute)
		if got := len(desk.claimed()); got > 2*20 || d.Waiting() != 6 {
			t.Errorf("%d claims in a minute of a failing store, %d waiting, want 6", got, d.Waiting())
		}
		mended.Store(true)
		pass(10 * time.Second)
		got := nums(gate.submits())
		if len(got) != 6 || slices.Index(got, 0) > slices.Index(got, 1) || slices.Index(got, 4) > slices.Index(got, 5) {
			t.Errorf("submitted %v", got)
		}
	})

	bubble(t, "wanted again while the claim fails is wanted once", func(t *testing.T) {
		var d *sms.Dispatcher
		first := true
		desk := &desk{}
		desk.claim = func(r sms.Ref, _ string) (bool, error) {
			if first {
				first = false
				d.Want(r, number(1), sms.Retry)
				return false, errors.New("disk")
			}
			return true, nil
		}
		d = sms.NewDispatcher([]sms.Gateway{&carrier{name: "a"}}, desk, sms.Dispatch{})
		d.Want(ref(1), number(1), sms.Fresh)
		defer start(t, d)()
		pass(time.Minute)
		if got := len(desk.claimed()); got != 2 || d.Waiting() != 0 {
			t.Errorf("%d claims, %d waiting", got, d.Waiting())
		}
	})

	bubble(t, "a report repeats until it is taken", func(t *testing.T) {
		tries := 0
		desk := &desk{report: func(sms.MT, string, []sms.Outcome) error {
			if tries++; tries < 12 {
				return errors.New("disk")
			}
			return nil
		}}
		gate := &carrier{name: "a"}
		d := sms.NewDispatcher([]sms.Gateway{gate}, desk, sms.Dispatch{})
		d.Want(ref(1), number(1), sms.Fresh)
		d.Want(ref(2), number(1), sms.Fresh)
		defer start(t, d)()
		if len(gate.submits()) != 1 {
			t.Errorf("%d submits before the first was recorded, want 1", len(gate.submits()))
		}
		pass(time.Minute)
		if len(gate.submits()) != 2 || len(desk.reported()) != 2 {
			t.Errorf("%d submits, %d reported, want 2 and 2", len(gate.submits()), len(desk.reported()))
		}
	})
}

func TestDispatcherEnds(t *testing.T) {
	bubble(t, "what is under way is answered and reported, with the gateway still connected", func(t *testing.T) {
		var unlinked time.Time
		desk, gate := &desk{}, &carrier{name: "a", can: sms.Abilities{Window: 2}, takes: 5 * time.Second}
		gate.run = func(ctx context.Context) error { <-ctx.Done(); unlinked = time.Now(); return nil }
		d := sms.NewDispatcher([]sms.Gateway{gate}, desk, sms.Dispatch{})
		for i := range 5 {
			d.Want(ref(i), number(i), sms.Fresh)
		}
		stop := start(t, d)
		begun := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if got := desk.reported(); len(got) != 2 || got[0].outcomes[0].Err != nil || len(desk.claimed()) != 2 {
			t.Errorf("reported %v", got)
		}
		if unlinked.Sub(begun) != 5*time.Second {
			t.Errorf("the gateway was stopped after %v", unlinked.Sub(begun))
		}
	})

	bubble(t, "what takes longer than the grace is cut off and reported as unknown", func(t *testing.T) {
		desk, gate := &desk{}, &carrier{name: "a", takes: time.Hour}
		d := sms.NewDispatcher([]sms.Gateway{gate}, desk, sms.Dispatch{Grace: 3 * time.Second})
		d.Want(ref(1), number(1), sms.Fresh)
		stop := start(t, d)
		begun := time.Now()
		if err := stop(); err != nil || time.Since(begun) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		if got := desk.reported(); len(got) != 1 || sms.ClassOf(got[0].outcomes[0].Err) != sms.Unknown {
			t.Errorf("reported %v", got)
		}
	})

	bubble(t, "an outcome that could not be recorded is said", func(t *testing.T) {
		disk := errors.New("disk")
		desk := &desk{report: func(sms.MT, string, []sms.Outcome) error { return disk }}
		d := sms.NewDispatcher([]sms.Gateway{&carrier{name: "a"}}, desk, sms.Dispatch{Grace: time.Second})
		d.Want(ref(1), number(1), sms.Fresh)
		stop := start(t, d)
		if err := stop(); !errors.Is(err, disk) || !strings.Contains(err.Error(), "gateway a") {
			t.Errorf("got %v", err)
		}
	})

	bubble(t, "a gateway that fails for good ends it", func(t *testing.T) {
		broken := errors.New("no such port")
		gate := &carrier{name: "a", run: func(context.Context) error { return broken }}
		d := sms.NewDispatcher([]sms.Gateway{gate, &carrier{name: "b"}}, &desk{}, sms.Dispatch{})
		if err := d.Run(t.Context(), nil); !errors.Is(err, broken) || !strings.Contains(err.Error(), "gateway a") {
			t.Errorf("got %v", err)
		}
	})

	for name, gateways := range map[string][]sms.Gateway{
		"no gateway":      nil,
		"name used twice": {&carrier{name: "a"}, &carrier{name: "a"}},
	} {
		if err := sms.NewDispatcher(gateways, &desk{}, sms.Dispatch{}).Run(t.Context(), nil); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestDispatcherMakesUpForMissingOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		desk := &desk{mt: func(r sms.Ref) sms.MT {
			mt := text(r, strings.Repeat("a", 400))
			mt.Segments = mt.Segments[1:] // an earlier attempt sent the first
			return mt
		}}
		gate := silent{&carrier{name: "a"}}
		d := sms.NewDispatcher([]sms.Gateway{gate}, desk, sms.Dispatch{})
		d.Want(ref(1), number(1), sms.Fresh)
		defer start(t, d)()
		got := desk.reported()[0].outcomes
		if len(got) != 2 || got[0].Segment != 2 || got[0].Err != nil || got[1].Segment != 3 || sms.ClassOf(got[1].Err) != sms.Unknown {
			t.Errorf("reported %v", got)
		}
	})
}

// silent says nothing of the last segment.
type silent struct{ *carrier }

func (s silent) Submit(ctx context.Context, mt sms.MT) []sms.Outcome {
	return s.carrier.Submit(ctx, mt)[:len(mt.Segments)-1]
}

func TestDispatcherIsCheap(t *testing.T) {
	const n = 100_000
	refs, to := make([]sms.Ref, n), make([]contacts.Number, n)
	for i := range n {
		refs[i], to[i] = ref(i), number(i)
	}
	d := sms.NewDispatcher([]sms.Gateway{&carrier{name: "a"}}, &desk{}, sms.Dispatch{})
	before := heap()
	for i := range n {
		d.Want(refs[i], to[i], sms.Fresh)
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

// TestDispatcherAnyWeather lets gateways and the store fail at random and checks what must hold whatever happens.
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
			d.Want(mt.Ref, mt.To, sms.Retry, gateway)
		}
		return nil
	}
	var gateways []sms.Gateway
	for _, name := range []string{"a", "b", "c"} {
		gateways = append(gateways, &carrier{name: name, can: sms.Abilities{Window: window, Rate: 100}, takes: 30 * time.Millisecond,
			answer: func(sms.MT) error { return errorsOf[roll(len(errorsOf))] }})
	}
	d = sms.NewDispatcher(gateways, desk, sms.Dispatch{})
	stop := start(t, d)
	for i := range messages {
		d.Want(ref(i), to(ref(i)), sms.Fresh)
		if roll(4) == 0 {
			pass(10 * time.Millisecond)
			d.Want(ref(i/2), to(ref(i/2)), sms.Retry) // a hint too many
		}
	}
	pass(24 * time.Hour)
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

func BenchmarkDispatcherWantDrop(b *testing.B) {
	d := sms.NewDispatcher([]sms.Gateway{&carrier{name: "a"}}, &desk{}, sms.Dispatch{})
	i := 0
	for b.Loop() {
		d.Want(ref(i), "4915112345678", sms.Fresh)
		d.Drop(ref(i - 1000))
		i++
	}
}
