package delivery_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
)

func TestAnswerComesBackIntoTheConversation(t *testing.T) {
	bubble(t, nil, func(w *world) {
		a := w.phone(ann, delivery.Connection{})
		id := w.send(&delivery.Message{From: ann, To: eve, Receipts: delivery.ReceiptsNone})
		mo := sms.MO{Gateway: "test", ID: "m1", From: contacts.Number(eve), To: own, Text: "yes"}
		for range 2 { // the carrier repeats it
			if err := w.engine.MO(w.t.Context(), mo); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		a.hears("sms yes")
		if got := a.got[0]; got.InReplyTo != id || got.Via != "sms" || !strings.HasPrefix(got.Topic, "u/"+string(ann)+"/sms/"+string(eve)+"/") {
			t.Fatalf("pushed %+v", got)
		}
	})
}

func TestPairOfNumbersStaysWithItsConversation(t *testing.T) {
	bubble(t, nil, func(w *world) {
		a, b := w.phone(ann, delivery.Connection{}), w.phone(bob, delivery.Connection{})
		w.send(&delivery.Message{From: ann, To: eve, Receipts: delivery.ReceiptsNone})
		id := w.send(&delivery.Message{From: bob, To: eve, Receipts: delivery.ReceiptsNone})
		w.submits(2)
		if trail := fmt.Sprint(w.state(id).Trail); !strings.Contains(trail, delivery.EventNoWayBack) {
			t.Fatalf("the trail does not say that there is no way back: %s", trail)
		}
		if err := w.engine.MO(w.t.Context(), sms.MO{Gateway: "test", From: contacts.Number(eve), To: own, Text: "who?"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		a.hears("sms who?")
		b.hears("")
		w.pass(61 * time.Minute) // quiet long enough: the pair goes over
		w.send(&delivery.Message{From: bob, To: eve, Receipts: delivery.ReceiptsNone})
		if err := w.engine.MO(w.t.Context(), sms.MO{Gateway: "test", From: contacts.Number(eve), To: own, Text: "ah"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.hears("sms ah")
	})
}

func TestCrash(t *testing.T) {
	t.Run("an open message is delivered by the next process", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			b := w.phone(bob, delivery.Connection{Remembered: true})
			b.silent = true
			id := w.send(&delivery.Message{From: ann, To: bob})
			w.config.RestartGrace = time.Minute
			w.crash()
			b.silent = false
			b.clear()
			w.connect(b, bob, delivery.Connection{Remembered: true, Resumed: true})
			b.hears("in hello")
			w.is(id, delivery.Delivered, delivery.ViaPush, "")
		})
	})
	t.Run("a claim without an answer is unknown, and fails after the hold", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			w.gateway.slow = time.Hour
			id := w.send(&delivery.Message{From: ann, To: eve})
			w.is(id, delivery.Submitting, 0, delivery.NotRegistered)
			next := w.store.Crash()
			go w.stop() // its gateway never answers
			w.store = next
			w.gateway = &gateway{dlr: true}
			w.config.SMS = w.gateway
			w.start()
			w.pass(16 * time.Second)
			w.is(id, delivery.OutcomeUnknown, 0, delivery.OutcomeLost)
			w.pass(2 * time.Minute)
			w.is(id, delivery.Failed, 0, delivery.OutcomeLost)
			w.submits(0)
			w.pass(time.Hour) // the old process may end
		})
	})
	t.Run("restart grace holds what has no device yet", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			b := w.phone(bob, delivery.Connection{Remembered: true})
			b.silent = true
			id := w.send(&delivery.Message{From: ann, To: bob})
			w.config.RestartGrace = time.Minute
			w.crash()
			w.pass(59 * time.Second)
			w.is(id, delivery.Accepted, 0, "")
			w.pass(time.Second)
			w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.Offline)
		})
	})
}

func TestGatewayErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		class  sms.Class
		times  int // how often it fails
		state  delivery.State
		reason delivery.Reason
		tries  int
	}{
		"not sent, then taken":  {sms.NotSent, 2, delivery.Submitted, delivery.NotRegistered, 3},
		"throttled, then taken": {sms.Throttled, 3, delivery.Submitted, delivery.NotRegistered, 4},
		"temporary, then taken": {sms.Temporary, 2, delivery.Submitted, delivery.NotRegistered, 3},
		"temporary for ever":    {sms.Temporary, 99, delivery.Failed, delivery.GatewayDown, 6},
		"permanent":             {sms.Permanent, 99, delivery.Failed, delivery.GatewayRefused, 1},
		"configuration, mended": {sms.Configuration, 1, delivery.Submitted, delivery.NotRegistered, 2},
		"unknown: never resent": {sms.Unknown, 99, delivery.Failed, delivery.OutcomeLost, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(w *world) {
				n := 0
				w.gateway.fail = func(sms.MT) error {
					if n++; n > tt.times {
						return nil
					}
					return &sms.Error{Class: tt.class, Text: "as told"}
				}
				id := w.send(&delivery.Message{From: ann, To: eve})
				w.pass(40 * time.Minute)
				via := delivery.Via(0)
				if tt.state == delivery.Submitted {
					via = delivery.ViaSMS
				}
				w.is(id, tt.state, via, tt.reason)
				w.submits(tt.tries)
			})
		})
	}
}

func TestOrderSurvivesAnOutageOfTheGateway(t *testing.T) {
	bubble(t, nil, func(w *world) {
		var down atomic.Bool
		down.Store(true)
		w.gateway.fail = func(sms.MT) error {
			if down.Load() {
				return &sms.Error{Class: sms.NotSent, Text: "connection refused"}
			}
			return nil
		}
		for _, text := range []string{"one", "two", "three"} {
			w.send(&delivery.Message{From: ann, To: eve, Payload: []byte(text)})
			w.pass(7 * time.Second)
		}
		down.Store(false)
		w.pass(10 * time.Minute)
		var got []string
		for _, mt := range w.gateway.sent {
			if m := w.state(delivery.ID(mt.Ref)); m.State == delivery.Submitted && (len(got) == 0 || got[len(got)-1] != mt.Text) {
				got = append(got, mt.Text)
			}
		}
		if want := "one,two,three"; strings.Join(got[len(got)-3:], ",") != want {
			t.Fatalf("submitted %v, want %s", got, want)
		}
	})
}

func TestReportBeforeTheAnswer(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.gateway.fail = func(sms.MT) error { // called before the outcome is told
			return w.engine.DLR(context.Background(), sms.DLR{Gateway: "test", ID: "s1", State: sms.DeliveredSMS})
		}
		id := w.send(&delivery.Message{From: ann, To: eve})
		w.is(id, delivery.Delivered, delivery.ViaSMS, delivery.NotRegistered)
		w.report("s1", sms.Enroute) // late and lower: nothing
		w.is(id, delivery.Delivered, delivery.ViaSMS, delivery.NotRegistered)
	})
}

func TestUndeliverable(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{ClientID: "b", Remembered: true})
		b.dev.Gone(delivery.LeftClean)
		id := w.send(&delivery.Message{From: ann, To: bob})
		w.report("s1", sms.Undelivered)
		w.is(id, delivery.Failed, 0, delivery.Undeliverable)
		w.connect(b, bob, delivery.Connection{ClientID: "b", Remembered: true, Resumed: true})
		b.hears("in hello") // as in/ again, and that still counts
		w.is(id, delivery.Delivered, delivery.ViaPush, "")
	})
}

func TestSeenOnReturn(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{ClientID: "b", Remembered: true})
		b.dev.Gone(delivery.LeftClean)
		w.send(&delivery.Message{From: ann, To: bob})
		w.connect(b, bob, delivery.Connection{ClientID: "b", Remembered: true, Resumed: true})
		b.hears("seen hello")
	})
}
