package delivery_test

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// A fleet is a brake and the devices that it has seen.
type fleet struct {
	brake delivery.Brake
	now   time.Time
	last  map[int]delivery.Answered
}

func newFleet(devices int) *fleet {
	f := &fleet{brake: delivery.Brake{RestartGrace: time.Minute, StormHold: 2 * time.Minute}, now: noon, last: map[int]delivery.Answered{}}
	f.brake.Start(f.now)
	f.ready(0, devices)
	f.pass(2 * time.Minute)
	return f
}

func (f *fleet) pass(d time.Duration) {
	for end := f.now.Add(d); f.now.Before(end); {
		f.now = f.now.Add(time.Second)
		f.brake.Tick(f.now)
	}
}

func (f *fleet) ready(from, to int) {
	for i := from; i < to; i++ {
		f.brake.Ready(fmt.Sprint("d", i), f.now)
	}
}

func (f *fleet) gone(from, to int, vanished bool) {
	for i := from; i < to; i++ {
		f.brake.Unready(fmt.Sprint("d", i), vanished, f.now)
	}
}

func (f *fleet) answer(from, to int, missed bool) {
	for i := from; i < to; i++ {
		f.last[i] = f.brake.Answer(f.last[i], missed, f.now)
	}
}

func (f *fleet) holds() bool { return !f.brake.Hold(true, f.now).IsZero() }

func TestBrake(t *testing.T) {
	for name, tt := range map[string]struct {
		devices int
		do      func(f *fleet)
		holds   bool
	}{
		"nothing happens":                      {100, func(*fleet) {}, false},
		"a fifth vanishes":                     {100, func(f *fleet) { f.gone(0, 20, true) }, true},
		"less than a fifth":                    {100, func(f *fleet) { f.gone(0, 19, true) }, false},
		"a fifth within ten seconds":           {100, func(f *fleet) { f.gone(0, 10, true); f.pass(9 * time.Second); f.gone(10, 20, true) }, true},
		"a fifth, slowly":                      {100, func(f *fleet) { f.gone(0, 10, true); f.pass(12 * time.Second); f.gone(10, 20, true) }, false},
		"a fifth leaves cleanly":               {100, func(f *fleet) { f.gone(0, 50, false) }, false},
		"too few devices for a storm":          {49, func(f *fleet) { f.gone(0, 49, true) }, false},
		"half of those back: over":             {100, func(f *fleet) { f.gone(0, 40, true); f.ready(0, 21) }, false},
		"less than half back":                  {100, func(f *fleet) { f.gone(0, 40, true); f.ready(0, 20) }, true},
		"over after two minutes at the latest": {100, func(f *fleet) { f.gone(0, 40, true); f.pass(2 * time.Minute) }, false},
		"still on just before":                 {100, func(f *fleet) { f.gone(0, 40, true); f.pass(2*time.Minute - time.Second) }, true},
		"half of twenty fall silent":           {20, func(f *fleet) { f.answer(0, 10, false); f.answer(10, 20, true) }, true},
		"half of nineteen":                     {19, func(f *fleet) { f.answer(0, 9, false); f.answer(9, 19, true) }, false},
		"silence, spread over a minute":        {20, func(f *fleet) { f.answer(0, 10, true); f.pass(31 * time.Second); f.answer(10, 20, true) }, false},
		"who fell silent answers again":        {40, func(f *fleet) { f.answer(0, 15, true); f.answer(0, 15, false); f.answer(15, 25, true) }, false},
		"one device that misses often counts once": {40, func(f *fleet) {
			f.answer(1, 15, false)
			for range 29 {
				f.pass(time.Second)
				f.answer(0, 1, true)
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(tt.devices)
			tt.do(f)
			if got := f.holds(); got != tt.holds {
				on, missing := f.brake.Storm(f.now)
				t.Fatalf("holds: %v, want %v (storm %v, missing %d)", got, tt.holds, on, missing)
			}
		})
	}
}

func TestBrakeAfterAStart(t *testing.T) {
	b := delivery.Brake{RestartGrace: time.Minute, StormHold: time.Minute}
	b.Start(noon)
	if got := b.Hold(false, noon.Add(59*time.Second)); !got.Equal(noon.Add(time.Minute)) {
		t.Errorf("a user without a device is held until %v", got)
	}
	if got := b.Hold(true, noon); !got.IsZero() {
		t.Errorf("a user with a device is held until %v", got)
	}
	if got := b.Hold(false, noon.Add(time.Minute)); !got.IsZero() {
		t.Errorf("after the grace it holds until %v", got)
	}
}

func TestStormHoldsAndReleases(t *testing.T) {
	bubble(t, nil, func(w *world) {
		var phones []*phone
		for i := range 60 {
			user := bob[:6] + "00" + addr(i)
			w.register(user)
			phones = append(phones, w.phone(user, delivery.Connection{}))
		}
		w.pass(20 * time.Second)
		for _, p := range phones[:30] {
			p.dev.Gone(delivery.Lost)
		}
		held := w.send(&delivery.Message{From: ann, To: bob[:6] + "00" + addr(0)})
		at := w.send(&delivery.Message{From: ann, To: eve}) // not registered: not held
		w.is(at, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
		w.pass(time.Minute)
		w.is(held, delivery.Accepted, 0, "")
		if n := w.engine.Stats().Held.Load(); n != 1 {
			t.Fatalf("%d are held", n)
		}
		for i, p := range phones[1:17] { // half are back: decided anew
			w.connect(p, bob[:6]+"00"+addr(i+1), delivery.Connection{})
		}
		w.pass(2 * time.Second)
		w.is(held, delivery.Submitted, delivery.ViaSMS, delivery.Offline)
	})
}

func TestDeafDevice(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{})
		b.silent = true
		first := w.send(&delivery.Message{From: ann, To: bob, Payload: []byte("one")})
		w.pass(14 * time.Second)
		second := w.send(&delivery.Message{From: ann, To: bob, Payload: []byte("two")})
		w.pass(time.Second) // the first has waited long enough: deaf, lost since now
		w.is(first, delivery.Submitted, delivery.ViaSMS, delivery.NoAnswer)
		third := w.send(&delivery.Message{From: ann, To: bob, Payload: []byte("three")})
		b.hears("in one, in two")
		w.pass(9 * time.Second)
		w.is(second, delivery.Accepted, 0, "")
		w.is(third, delivery.Accepted, 0, "")
		b.silent = false
		b.dev.Ack(b.slot(1), true) // it hears again
		synctest.Wait()
		w.is(second, delivery.Delivered, delivery.ViaPush, "")
		w.is(third, delivery.Delivered, delivery.ViaPush, "")
		b.hears("in one, in two, seen one, in three")
		w.submits(1)
	})
}

func TestWithdrawnPushIsNotSentAgain(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{Remembered: true, Window: 1})
		b.silent = true
		id := w.send(&delivery.Message{From: ann, To: bob, Wait: time.Second})
		w.pass(time.Second)
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NoAnswer)
		b.dev.Gone(delivery.Lost)
		b.clear()
		b.silent = false
		w.connect(b, bob, delivery.Connection{Remembered: true, Resumed: true, Window: 1})
		b.hears("seen hello")
	})
}

func TestTimeInWhichWeDidNotReadDoesNotCount(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{})
		b.silent = true
		id := w.send(&delivery.Message{From: ann, To: bob})
		w.pass(10 * time.Second)
		b.dev.Held(5 * time.Second)
		w.pass(9 * time.Second)
		w.is(id, delivery.Accepted, 0, "")
		w.pass(time.Second)
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NoAnswer)
	})
}

func TestTooLargeForTheDevice(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{MaxPacket: 500})
		small := w.send(&delivery.Message{From: ann, To: bob})
		w.is(small, delivery.Delivered, delivery.ViaPush, "")
		large := w.send(&delivery.Message{From: ann, To: bob, Payload: bytes.Repeat([]byte("x"), 600)})
		w.pass(time.Minute)
		w.is(large, delivery.Submitted, delivery.ViaSMS, delivery.Offline)
		b.hears("in hello") // the copy does not fit either
	})
}

func addr(i int) contacts.Address { return contacts.Address(fmt.Sprintf("%04d", i)) }
