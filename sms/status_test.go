package sms_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7a41469f/godwit/sms"
)

// linked is a gateway that keeps a connection.
type linked struct {
	*carrier
	up bool
}

func (l *linked) Linked() bool { return l.up }

func TestPauseByAnOperator(t *testing.T) {
	bubble(t, "takes nothing new, drains, others take over, and it comes back", func(t *testing.T) {
		gateways, by := carriers("a", "b")
		by["a"].can.Window, by["a"].takes = 2, time.Second
		d := sms.NewDispatcher(gateways, &desk{}, sms.Dispatch{})
		defer start(t, d)()
		for i := range 5 {
			d.Want(sms.Want{Ref: ref(i), To: number(i)})
		}
		synctest.Wait()
		if s := d.Status(); s[0].Under != 2 || s[0].Waiting != 3 {
			t.Fatalf("before the pause: %+v", s)
		}
		if err := d.Pause("a"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := d.Status(); !s[0].Paused || s[0].Under != 2 || len(by["b"].submits()) != 3 {
			t.Errorf("in the pause: %+v, b took %v", s, nums(by["b"].submits()))
		}
		pass(time.Second)
		if s := d.Status(); s[0].Under != 0 || len(by["a"].submits()) != 2 {
			t.Errorf("drained: %+v", s)
		}
		if err := d.Resume("a"); err != nil {
			t.Fatal(err)
		}
		d.Want(sms.Want{Ref: ref(9), To: number(9)})
		pass(time.Second)
		if got := nums(by["a"].submits()); len(got) != 3 || got[2] != 9 || d.Status()[0].Paused {
			t.Errorf("a took %v after the pause", got)
		}
	})

	bubble(t, "what only it may take waits, and goes when it is resumed", func(t *testing.T) {
		gateways, by := carriers("a", "b")
		d := sms.NewDispatcher(gateways, &desk{}, sms.Dispatch{Routes: []sms.Route{{"*", []string{"b"}}, {"86", []string{"a"}}}})
		defer start(t, d)()
		if err := d.Pause("a"); err != nil {
			t.Fatal(err)
		}
		d.Want(sms.Want{Ref: ref(1), To: number(1), Only: "a"})
		d.Want(sms.Want{Ref: ref(2), To: "8613800138000"})
		pass(time.Hour)
		if s := d.Status(); s[0].Waiting != 2 || d.Waiting() != 2 {
			t.Errorf("%+v", s)
		}
		if err := d.Resume("a"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := nums(by["a"].submits()); len(got) != 2 || len(by["b"].submits()) != 0 {
			t.Errorf("a took %v", got)
		}
	})

	bubble(t, "what failed at the others goes there again, and does not wait for the paused one", func(t *testing.T) {
		gateways, by := carriers("a", "b")
		d := sms.NewDispatcher(gateways, &desk{}, sms.Dispatch{})
		defer start(t, d)()
		if err := d.Pause("b"); err != nil {
			t.Fatal(err)
		}
		d.Want(sms.Want{Ref: ref(1), To: number(1), Priority: sms.Retry, Tried: []string{"a"}})
		synctest.Wait()
		if got := nums(by["a"].submits()); !slices.Equal(got, []int{1}) {
			t.Errorf("a took %v", got)
		}
	})

	bubble(t, "paused before Run, and all of them", func(t *testing.T) {
		gateways, by := carriers("a", "b")
		d := sms.NewDispatcher(gateways, &desk{}, sms.Dispatch{})
		for _, name := range []string{"a", "b", "b"} {
			if err := d.Pause(name); err != nil {
				t.Fatal(err)
			}
		}
		d.Want(sms.Want{Ref: ref(1), To: number(1)})
		defer start(t, d)()
		pass(time.Hour)
		if d.Waiting() != 1 {
			t.Fatal("a paused gateway took a message")
		}
		if err := d.Resume("b"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := nums(by["b"].submits()); !slices.Equal(got, []int{1}) {
			t.Errorf("b took %v", got)
		}
	})

	bubble(t, "a claim that fails under the pause is put back, and goes to another", func(t *testing.T) {
		gateways, by := carriers("a", "b")
		var d *sms.Dispatcher
		desk := &desk{}
		d = sms.NewDispatcher(gateways, desk, sms.Dispatch{})
		desk.claim = func(_ sms.Ref, gateway string) (bool, error) {
			if gateway == "a" {
				if err := d.Pause("a"); err != nil {
					t.Error(err)
				}
				return false, context.DeadlineExceeded
			}
			return true, nil
		}
		d.Want(sms.Want{Ref: ref(1), To: number(1)})
		defer start(t, d)()
		pass(time.Second)
		if got := nums(by["b"].submits()); !slices.Equal(got, []int{1}) || d.Waiting() != 0 {
			t.Errorf("b took %v", got)
		}
	})

	d := sms.NewDispatcher([]sms.Gateway{&carrier{name: "a"}}, &desk{}, sms.Dispatch{})
	for _, err := range []error{d.Pause("x"), d.Resume("x")} {
		if err == nil || !strings.Contains(err.Error(), `no gateway "x"; there are ["a"]`) {
			t.Errorf("a gateway that is not there: %v", err)
		}
	}
}

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &linked{carrier: &carrier{name: "a", can: sms.Abilities{Window: 8, Rate: 20}}}
		a.answer = func(sms.MT) error { return sms.Fail(sms.Throttled, "0x58", "too fast") }
		d := sms.NewDispatcher([]sms.Gateway{a, &carrier{name: "b"}}, &desk{}, sms.Dispatch{Routes: []sms.Route{{"49", []string{"a"}}, {"86", []string{"b"}}}})
		defer start(t, d)()
		want := sms.Status{Name: "a", Window: 8, Rate: 20}
		if got := d.Status(); got[0] != want || got[1] != (sms.Status{Name: "b", Linked: true, Window: 1}) {
			t.Errorf("at the start: %+v", got)
		}
		begun := time.Now()
		d.Want(sms.Want{Ref: ref(1), To: number(1)})
		d.Want(sms.Want{Ref: ref(2), To: number(1)})
		pass(100 * time.Millisecond)
		a.up = true
		got := d.Status()[0]
		if got.Err == nil || !strings.Contains(got.Err.Error(), "too fast (0x58)") {
			t.Errorf("the cause is %v", got.Err)
		}
		got.Err = nil
		want = sms.Status{Name: "a", Until: begun.Add(time.Second), Cause: sms.Throttled, Linked: true, Window: 4, Rate: 10, Waiting: 1}
		if got != want {
			t.Errorf("throttled: %+v, want %+v", got, want)
		}
		a.mend()
		pass(time.Minute)
		if got := d.Status()[0]; !got.Until.IsZero() || got.Cause != 0 || got.Err != nil || got.Waiting != 0 {
			t.Errorf("mended: %+v", got)
		}
	})
}
