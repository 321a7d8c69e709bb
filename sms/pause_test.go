package sms_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7a41469f/godwit/sms"
)

func TestDispatcherPauses(t *testing.T) {
	// gaps returns the seconds between the submits of a gateway that fails each in the same way.
	gaps := func(t *testing.T, err error, n int) (gaps []time.Duration) {
		gate := &carrier{name: "a", can: sms.Abilities{Window: 5}, answer: func(sms.MT) error { return err }}
		d := sms.NewDispatcher([]sms.Gateway{gate}, &desk{}, sms.Dispatch{})
		defer start(t, d)()
		for len(gate.submits()) < n {
			// One at a time is wanted: what counts is when the gateway is tried again.
			i := len(gate.submits())
			d.Want(sms.Want{Ref: ref(i), To: number(i), Priority: sms.Fresh})
			synctest.Wait()
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
		{"temporary not at all", sms.Fail(sms.Temporary, "", ""), []time.Duration{0, 0}},
		{"permanent not at all", sms.Fail(sms.Permanent, "", ""), []time.Duration{0, 0}},
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
			d.Want(sms.Want{Ref: ref(i), To: number(i), Priority: sms.Fresh})
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
			d.Want(sms.Want{Ref: ref(i), To: number(i), Priority: sms.Fresh})
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
			d.Want(sms.Want{Ref: ref(i), To: number(i), Priority: sms.Fresh})
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
			d.Want(sms.Want{Ref: ref(i), To: number(i), Priority: sms.Fresh})
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
			d.Want(sms.Want{Ref: ref(i), To: number(i), Priority: sms.Fresh})
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
			d.Want(sms.Want{Ref: ref(i), To: number(i / 3), Priority: sms.Fresh})
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
				d.Want(sms.Want{Ref: r, To: number(1), Priority: sms.Retry})
				return false, errors.New("disk")
			}
			return true, nil
		}
		d = sms.NewDispatcher([]sms.Gateway{&carrier{name: "a"}}, desk, sms.Dispatch{})
		d.Want(sms.Want{Ref: ref(1), To: number(1), Priority: sms.Fresh})
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
		d.Want(sms.Want{Ref: ref(1), To: number(1), Priority: sms.Fresh})
		d.Want(sms.Want{Ref: ref(2), To: number(1), Priority: sms.Fresh})
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
