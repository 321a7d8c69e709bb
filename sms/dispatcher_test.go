package sms_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7a41469f/godwit/sms"
)

func TestDispatcherTakesTurns(t *testing.T) {
	bubble(t, "never more than the window, and no claim before there is a place", func(t *testing.T) {
		desk, gate := &desk{}, &carrier{name: "a", can: sms.Abilities{Window: 3}, takes: time.Second}
		d := sms.NewDispatcher([]sms.Gateway{gate}, desk, sms.Dispatch{})
		stop := start(t, d)
		for i := range 10 {
			d.Want(sms.Want{Ref: ref(i), To: number(i), Priority: sms.Fresh})
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
			d.Want(sms.Want{Ref: ref(i), To: number(i), Priority: sms.Fresh})
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
			d.Want(sms.Want{Ref: ref(i), To: number(i), Priority: prio})
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
		d.Want(sms.Want{Ref: ref(1), To: number(1), Priority: sms.Fresh})
		d.Want(sms.Want{Ref: ref(2), To: number(2), Priority: sms.Fresh})
		d.Want(sms.Want{Ref: ref(1), To: number(1), Priority: sms.Fresh})
		d.Want(sms.Want{Ref: ref(3), To: number(3), Priority: sms.Fresh})
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
		d.Want(sms.Want{Ref: ref(1), To: number(1), Priority: sms.Retry})
		d.Want(sms.Want{Ref: ref(2), To: number(2), Priority: sms.Fresh})
		d.Want(sms.Want{Ref: ref(1), To: number(1), Priority: sms.Reply})
		defer start(t, d)()
		pass(time.Second)
		if got := nums(desk.claimed()); !slices.Equal(got, []int{1, 2}) {
			t.Errorf("claimed %v", got)
		}
	})

	bubble(t, "what the desk no longer wants sent is not submitted", func(t *testing.T) {
		desk, gate := &desk{claim: func(r sms.Ref, _ string) (bool, error) { return num(r) != 1, nil }}, &carrier{name: "a"}
		d := sms.NewDispatcher([]sms.Gateway{gate}, desk, sms.Dispatch{})
		d.Want(sms.Want{Ref: ref(1), To: number(5), Priority: sms.Fresh})
		d.Want(sms.Want{Ref: ref(2), To: number(5), Priority: sms.Fresh})
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
			d.Want(sms.Want{Ref: ref(i), To: number(77), Priority: sms.Fresh})
		}
		d.Want(sms.Want{Ref: ref(10), To: number(10), Priority: sms.Fresh})
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
				d.Want(sms.Want{Ref: mt.Ref, To: mt.To, Priority: sms.Retry})
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
		d.Want(sms.Want{Ref: ref(1), To: number(1), Priority: sms.Fresh})
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
			d.Want(sms.Want{Ref: ref(i), To: number(7), Priority: sms.Fresh})
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
				d.Want(sms.Want{Ref: mt.Ref, To: mt.To, Priority: sms.Fresh, Tried: names})
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
			d.Want(sms.Want{Ref: ref(i), To: number(i), Priority: sms.Fresh})
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
			d.Want(sms.Want{Ref: ref(i), To: number(i), Priority: sms.Fresh})
		}
		synctest.Wait()
		if len(a.submits()) != 1 || len(b.submits()) != 5 {
			t.Errorf("a was tried %d times, b took %d, want 1 and 5", len(a.submits()), len(b.submits()))
		}
		a.mend()
		pass(time.Second)
		d.Want(sms.Want{Ref: ref(9), To: number(9), Priority: sms.Fresh})
		synctest.Wait()
		if got := nums(a.submits()); !slices.Equal(got[1:], []int{9}) {
			t.Errorf("a took %v after its pause", got[1:])
		}
	})

	bubble(t, "when all were tried each may take it again", func(t *testing.T) {
		a, b := &carrier{name: "a"}, &carrier{name: "b"}
		d, desk := setup(a, b)
		d.Want(sms.Want{Ref: ref(1), To: number(1), Priority: sms.Retry, Tried: []string{"a", "b", "gone"}})
		defer start(t, d)()
		if got := desk.claimed(); len(got) != 1 || got[0].gateway != "a" {
			t.Errorf("claims: %v", got)
		}
	})

	bubble(t, "an unknown outcome goes nowhere by itself", func(t *testing.T) {
		a, b := &carrier{name: "a"}, &carrier{name: "b"}
		a.answer = refuse(errors.New("anything"))
		d, desk := setup(a, b)
		d.Want(sms.Want{Ref: ref(1), To: number(1), Priority: sms.Fresh})
		defer start(t, d)()
		pass(time.Minute)
		if len(desk.claimed()) != 1 || len(b.submits()) != 0 {
			t.Errorf("claims: %v", desk.claimed())
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
			d.Want(sms.Want{Ref: ref(i), To: number(i), Priority: sms.Fresh})
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
		d.Want(sms.Want{Ref: ref(1), To: number(1), Priority: sms.Fresh})
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
		d.Want(sms.Want{Ref: ref(1), To: number(1), Priority: sms.Fresh})
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
		"65 gateways":     crowd(65),
	} {
		if err := sms.NewDispatcher(gateways, &desk{}, sms.Dispatch{}).Run(t.Context(), nil); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// crowd returns so many gateways.
func crowd(n int) (all []sms.Gateway) {
	for i := range n {
		all = append(all, &carrier{name: fmt.Sprint("gateway ", i)})
	}
	return all
}

func TestDispatcherOf64(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateways := crowd(64)
		d := sms.NewDispatcher(gateways, &desk{}, sms.Dispatch{})
		defer start(t, d)()
		for i := range 63 {
			if err := d.Pause(fmt.Sprint("gateway ", i)); err != nil {
				t.Fatal(err)
			}
		}
		d.Want(sms.Want{Ref: ref(1), To: number(1)})
		d.Want(sms.Want{Ref: ref(2), To: number(2), Only: "gateway 63"})
		synctest.Wait()
		if got := nums(gateways[63].(*carrier).submits()); !slices.Equal(got, []int{1, 2}) {
			t.Errorf("the last took %v", got)
		}
	})
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
		d.Want(sms.Want{Ref: ref(1), To: number(1), Priority: sms.Fresh})
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
