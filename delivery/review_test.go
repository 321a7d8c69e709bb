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
	"github.com/seed-7a41469f/godwit/store/memory"
)

// A carrier that had no answer to an MO repeats it for hours. Meanwhile its pair of numbers may have gone over to somebody else.
func TestRepeatedMOIsNobodyElses(t *testing.T) {
	bubble(t, nil, func(w *world) {
		a, b := w.phone(ann, delivery.Connection{}), w.phone(bob, delivery.Connection{})
		mo := sms.MO{Gateway: "test", ID: "m1", From: contacts.Number(eve), To: own, Text: "for ann only"}
		w.send(&delivery.Message{From: ann, To: eve, Receipts: delivery.ReceiptsNone})
		if err := w.engine.MO(w.t.Context(), mo); err != nil {
			w.t.Fatal(err)
		}
		w.pass(61 * time.Minute)
		w.send(&delivery.Message{From: bob, To: eve, Receipts: delivery.ReceiptsNone})
		if err := w.engine.MO(w.t.Context(), mo); err != nil {
			w.t.Fatal(err)
		}
		synctest.Wait()
		a.hears("sms for ann only")
		b.hears("")
	})
}

func TestRepeatedMOStaysUnmatched(t *testing.T) {
	bubble(t, nil, func(w *world) {
		a := w.phone(ann, delivery.Connection{})
		mo := sms.MO{Gateway: "test", ID: "m1", From: contacts.Number(eve), To: own, Text: "hello?"}
		for range 2 {
			if err := w.engine.MO(w.t.Context(), mo); err != nil {
				w.t.Fatal(err)
			}
			w.send(&delivery.Message{From: ann, To: eve, Receipts: delivery.ReceiptsNone})
		}
		a.hears("")
		if got := w.unmatched(); len(got) != 1 {
			w.t.Fatalf("unmatched: %q", got)
		}
	})
}

// What waits for a gateway when its recipient opts out is not sent any more.
func TestOptOutWhileWaitingForAGateway(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.stop()
		optOuts(w.t, &w.config, w.store)
		w.start()
		w.send(&delivery.Message{From: ann, To: eve})
		if err := w.engine.Pause("test"); err != nil {
			w.t.Fatal(err)
		}
		id := w.send(&delivery.Message{From: ann, To: eve})
		w.answers(eve, own, "STOP")
		if err := w.engine.Resume("test"); err != nil {
			w.t.Fatal(err)
		}
		w.pass(time.Minute)
		w.submits(2) // the first, and the confirmation
		w.is(id, delivery.Failed, 0, delivery.OptedOut)
	})
}

// The rest of a message whose recipient has opted out is not sent either.
func TestOptOutBetweenSegments(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.stop()
		optOuts(w.t, &w.config, w.store)
		w.start()
		w.gateway.failSegment = func(s sms.Segment) error {
			if s.Number == 2 {
				return sms.Fail(sms.Temporary, "0x45", "submit failed")
			}
			return nil
		}
		id := w.send(&delivery.Message{From: ann, To: eve, Payload: []byte(strings.Repeat("x", 200))})
		w.answers(eve, own, "STOP")
		w.pass(time.Hour)
		w.submits(2)
		w.is(id, delivery.Failed, 0, delivery.OptedOut)
	})
}

// With the other gateway of the route paused by the operator, a temporary error is tried again after the backoff, not at once.
func TestBackoffWhileTheOtherGatewayIsPaused(t *testing.T) {
	bubble(t, func(c *delivery.Config) { c.Gateways = []sms.Gateway{&gateway{name: "two", dlr: true}} }, func(w *world) {
		if err := w.engine.Pause("two"); err != nil {
			w.t.Fatal(err)
		}
		var busy atomic.Bool
		busy.Store(true)
		w.gateway.fail = func(sms.MT) error {
			if busy.Load() {
				return sms.Fail(sms.Temporary, "0x08", "system error")
			}
			return nil
		}
		id := w.send(&delivery.Message{From: ann, To: eve})
		w.pass(time.Second)
		w.submits(1)
		busy.Store(false)
		w.pass(time.Minute)
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
	})
}

// A report that came before the answer to its submit is applied even when the store fails just then.
func TestReportBeforeTheAnswerWhileTheStoreFails(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.gateway.fail = func(sms.MT) error {
			err := w.engine.DLR(context.Background(), sms.DLR{Gateway: "test", ID: "s1", State: sms.DeliveredSMS})
			w.store.Inject(memory.Fault{}, memory.Fault{Wrote: memory.Nothing}) // the answer is stored, and then it fails once
			return err
		}
		id := w.send(&delivery.Message{From: ann, To: eve})
		w.pass(time.Minute)
		w.is(id, delivery.Delivered, delivery.ViaSMS, delivery.NotRegistered)
	})
}

// A claim that was written although the store said that it failed ends as one without an answer: in time.
func TestClaimThatWasWrittenAfterAll(t *testing.T) {
	bubble(t, nil, func(w *world) {
		if err := w.engine.Pause("test"); err != nil {
			w.t.Fatal(err)
		}
		id := w.send(&delivery.Message{From: ann, To: eve})
		w.store.Inject(memory.Fault{Err: memory.ErrFault})
		if err := w.engine.Resume("test"); err != nil {
			w.t.Fatal(err)
		}
		w.pass(10 * time.Minute)
		w.is(id, delivery.Failed, 0, delivery.OutcomeLost)
	})
}

// A message that the carrier has a part of stays with it, also when that part was delivered already.
func TestDeliveredSegmentBindsTheRest(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{ClientID: "b", Remembered: true})
		b.dev.Gone(delivery.LeftClean)
		var busy atomic.Bool
		busy.Store(true)
		w.gateway.failSegment = func(s sms.Segment) error {
			if s.Number == 2 && busy.Load() {
				return sms.Fail(sms.Temporary, "0x45", "submit failed")
			}
			return nil
		}
		id := w.send(&delivery.Message{From: ann, To: bob, Payload: []byte(strings.Repeat("x", 200))})
		w.report("s1", sms.DeliveredSMS)
		w.pass(7 * time.Second) // the second attempt
		w.submits(2)
		w.is(id, delivery.Submitting, 0, delivery.Left)
		busy.Store(false)
		w.connect(b, bob, delivery.Connection{ClientID: "b", Remembered: true, Resumed: true})
		w.pass(time.Minute)
		w.submits(3)
	})
}

// A report of an attempt before an operator's retry says nothing about the new one.
func TestReportOfTheAttemptBeforeARetry(t *testing.T) {
	for _, queued := range []bool{false, true} {
		t.Run(fmt.Sprint("queued ", queued), func(t *testing.T) {
			bubble(t, nil, func(w *world) {
				id := w.send(&delivery.Message{From: ann, To: eve})
				w.report("s1", sms.Undelivered)
				w.is(id, delivery.Failed, 0, delivery.Undeliverable)
				if queued {
					if err := w.engine.Pause("test"); err != nil {
						w.t.Fatal(err)
					}
				}
				if _, err := w.engine.Do(w.t.Context(), id, delivery.RetryFailed); err != nil {
					w.t.Fatal(err)
				}
				synctest.Wait()
				w.report("s1", sms.Undelivered) // the carrier repeats it
				if queued {
					if err := w.engine.Resume("test"); err != nil {
						w.t.Fatal(err)
					}
					synctest.Wait()
				}
				w.submits(2)
				w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
				w.report("s2", sms.DeliveredSMS)
				w.is(id, delivery.Delivered, delivery.ViaSMS, delivery.NotRegistered)
			})
		})
	}
}

// A report says that the carrier has the message; that the answer to the submit was lost with the process does not matter then.
func TestClaimOfWhichAReportSaysThatItWasTaken(t *testing.T) {
	for _, resend := range []bool{false, true} {
		t.Run(fmt.Sprint("resend ", resend), func(t *testing.T) {
			bubble(t, func(c *delivery.Config) { c.Unknown.Resend = resend }, func(w *world) {
				w.gateway.slow = time.Hour
				id := w.send(&delivery.Message{From: ann, To: eve})
				ref := sms.Ref(id)
				if err := w.engine.DLR(w.t.Context(), sms.DLR{Gateway: "test", Ref: &ref, Segment: 1, ID: "k1", State: sms.Enroute}); err != nil {
					w.t.Fatal(err)
				}
				synctest.Wait()
				next := w.store.Crash()
				go w.stop()
				w.store = next
				w.gateway = &gateway{dlr: true}
				w.config.SMS = w.gateway
				w.start()
				w.pass(2 * time.Hour) // the old process may end
				w.submits(0)
				w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
			})
		})
	}
}

// The operator wants what is sent again after an unknown outcome, and then a report says that the carrier has it: nothing empty is submitted.
func TestReportAfterAResendWasDecided(t *testing.T) {
	bubble(t, func(c *delivery.Config) { c.Unknown.Resend = true }, func(w *world) {
		w.gateway.fail = func(sms.MT) error { return sms.Fail(sms.Unknown, "", "as told") }
		id := w.send(&delivery.Message{From: ann, To: eve})
		if err := w.engine.Pause("test"); err != nil {
			w.t.Fatal(err)
		}
		w.pass(3 * time.Minute)
		w.is(id, delivery.Accepted, 0, delivery.OutcomeLost)
		ref := sms.Ref(id)
		if err := w.engine.DLR(w.t.Context(), sms.DLR{Gateway: "test", Ref: &ref, Segment: 1, ID: "k1", State: sms.Enroute}); err != nil {
			w.t.Fatal(err)
		}
		w.gateway.fail = nil
		if err := w.engine.Resume("test"); err != nil {
			w.t.Fatal(err)
		}
		w.pass(time.Hour)
		for _, mt := range w.gateway.sent {
			if len(mt.Segments) == 0 {
				w.t.Fatalf("a submit of nothing")
			}
		}
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
	})
}

// "Send as SMS now" goes now, also when an attempt came to nothing before.
func TestSMSNowAfterAReleasedClaim(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.stop()
		out := optOuts(w.t, &w.config, w.store)
		w.start()
		b := w.phone(bob, delivery.Connection{ClientID: "b", Remembered: true})
		b.dev.Gone(delivery.LeftClean)
		w.gateway.fail = func(sms.MT) error { return sms.Fail(sms.Temporary, "0x08", "system error") }
		id := w.send(&delivery.Message{From: ann, To: bob})
		if err := out.Add(w.t.Context(), sms.OptOut{Number: contacts.Number(bob), At: time.Now()}); err != nil {
			w.t.Fatal(err)
		}
		w.pass(time.Minute)
		w.is(id, delivery.Waiting, 0, delivery.OptedOut)
		if _, err := out.Remove(w.t.Context(), contacts.Number(bob)); err != nil {
			w.t.Fatal(err)
		}
		w.gateway.fail = nil
		if _, err := w.engine.Do(w.t.Context(), id, delivery.SMSNow); err != nil {
			w.t.Fatal(err)
		}
		w.pass(time.Hour)
		w.submits(2)
		if m := w.state(id); m.State != delivery.Submitted {
			w.t.Fatalf("%v %q", m.State, m.Reason)
		}
	})
}

// An MT's report may come before its answer: it is not one of another message of unknown outcome to the same number.
func TestEarlyReportIsNotAboutAnotherUnknownMessage(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.gateway.fail = func(sms.MT) error { return sms.Fail(sms.Unknown, "", "as told") }
		lost := w.send(&delivery.Message{From: ann, To: eve})
		w.is(lost, delivery.OutcomeUnknown, 0, delivery.OutcomeLost)
		w.gateway.fail = func(mt sms.MT) error {
			return w.engine.DLR(context.Background(), sms.DLR{Gateway: "test", ID: "s1", From: mt.From, To: mt.To, State: sms.DeliveredSMS})
		}
		second := w.send(&delivery.Message{From: ann, To: eve})
		w.pass(time.Second)
		w.is(second, delivery.Delivered, delivery.ViaSMS, delivery.NotRegistered)
		w.pass(10 * time.Minute)
		w.is(lost, delivery.Failed, 0, delivery.OutcomeLost)
	})
}

// Segments of one message never go out through two gateways (docs/decision.md), not even when theirs is not configured any more.
func TestRestOfAMessageWhoseGatewayIsGone(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.gateway.failSegment = func(s sms.Segment) error {
			if s.Number == 2 {
				return sms.Fail(sms.Temporary, "0x45", "submit failed")
			}
			return nil
		}
		id := w.send(&delivery.Message{From: ann, To: eve, Payload: []byte(strings.Repeat("x", 200))})
		w.stop()
		w.gateway = &gateway{name: "other", dlr: true}
		w.config.SMS = w.gateway
		w.start()
		w.pass(time.Minute)
		w.submits(0)
		w.is(id, delivery.Failed, 0, delivery.GatewayRefused)
	})
}

// The rest of a message is that of the text that was begun.
func TestRestOfAMessageWhoseTemplateChanged(t *testing.T) {
	bubble(t, nil, func(w *world) {
		var all []string
		refused := false
		w.gateway.failSegment = func(s sms.Segment) error {
			if s.Number == 2 && !refused {
				refused = true
				return sms.Fail(sms.Temporary, "0x45", "submit failed")
			}
			all = append(all, s.Text)
			return nil
		}
		var text strings.Builder
		for i := range 40 {
			fmt.Fprintf(&text, "%04d ", i)
		}
		id := w.send(&delivery.Message{From: ann, To: eve, Payload: []byte(text.String())})
		w.stop()
		w.config.Template = "Hi! {{.Text}}"
		w.start()
		w.pass(time.Minute)
		if got := strings.Join(all, ""); w.state(id).State != delivery.Failed && got != text.String() {
			w.t.Fatalf("the phone shows %q", got)
		}
	})
}

// What a carrier gives as sender is no part of a topic unless it can be one.
func TestAssignedSMSOfASenderThatIsNoTopic(t *testing.T) {
	bubble(t, nil, func(w *world) {
		a := w.phone(ann, delivery.Connection{})
		w.answers("A/B+#", own, "code 1234")
		all, _, _ := w.engine.Unmatched(w.t.Context(), delivery.ID{}, 100)
		m, err := w.engine.Assign(w.t.Context(), all[0].ID, ann)
		if err != nil {
			w.t.Fatal(err)
		}
		synctest.Wait()
		if len(a.got) != 1 {
			w.t.Fatalf("%d pushes", len(a.got))
		}
		topic := a.got[0].Topic
		if parts := strings.Split(topic, "/"); len(parts) != 5 || strings.ContainsAny(topic, "+#") || parts[4] != m.ID.String() {
			w.t.Fatalf("topic %q", topic)
		}
	})
}

// What a counter gives back is what it counted: on the day on which it did.
func TestCapIsGivenBackOnItsDay(t *testing.T) {
	bubble(t, func(c *delivery.Config) {
		c.Policy = sms.Policy{SenderDay: 1, Allow: []string{"*"}}
		c.Unknown.Resend = true
	}, func(w *world) {
		now := time.Now().UTC()
		w.pass(now.Truncate(24 * time.Hour).Add(24*time.Hour - time.Minute).Sub(now))
		w.gateway.fail = func(sms.MT) error { return sms.Fail(sms.Unknown, "", "as told") }
		w.send(&delivery.Message{From: ann, To: eve})
		if err := w.engine.Pause("test"); err != nil {
			w.t.Fatal(err)
		}
		w.pass(3 * time.Minute) // a new day, on which the first is sent again, in vain; first comes another
		n := 0
		w.gateway.fail = func(mt sms.MT) error {
			if mt.To == contacts.Number(eve) {
				return sms.Fail(sms.Permanent, "0x0b", "no such number")
			}
			n++
			return nil
		}
		other := func(i int64) {
			w.send(&delivery.Message{From: ann, To: contacts.Address(fmt.Sprint(491560000000 + i))})
		}
		other(0) // goes before what is sent again
		if err := w.engine.Resume("test"); err != nil {
			w.t.Fatal(err)
		}
		w.pass(time.Minute)
		other(1)
		if n != 1 {
			w.t.Fatalf("%d SMS of a sender that may send 1 a day", n)
		}
	})
}

// slowTotals is a store whose Totals are a second old when they come.
type slowTotals struct{ delivery.Store }

func (s slowTotals) Totals(ctx context.Context, keys ...string) ([]int64, error) {
	totals, err := s.Store.Totals(ctx, keys...)
	time.Sleep(time.Second)
	return totals, err
}

// What a counter stood at some time ago refuses nothing that the store would take.
func TestBudgetThatWasGivenBackMeanwhile(t *testing.T) {
	bubble(t, priced(12), func(w *world) {
		w.stop()
		w.dir, _ = contacts.Open(w.t.Context(), w.store.Table(), contacts.Config{})
		dir := w.dir
		w.config.Store, w.config.Directory = slowTotals{w.store}, dir
		w.engine = delivery.New(w.config)
		ctx, cancel := context.WithCancel(w.t.Context())
		done := make(chan error, 1)
		go func() { done <- w.engine.Run(ctx) }()
		w.stop = func() { cancel(); <-done; dir.Close() }
		<-w.engine.Recovered()
		w.gateway.slow = 100 * time.Millisecond
		w.gateway.fail = func(sms.MT) error { return sms.Fail(sms.Permanent, "0x0b", "no such number") }
		if err := w.engine.Pause("test"); err != nil {
			w.t.Fatal(err)
		}
		to := func(i int64) contacts.Address { return contacts.Address(fmt.Sprint(491560000000 + i)) }
		for i := range int64(3) {
			w.send(&delivery.Message{From: ann, To: to(i)})
		}
		if err := w.engine.Resume("test"); err != nil {
			w.t.Fatal(err)
		}
		w.pass(10 * time.Second)
		w.submits(2) // the third found no money
		w.gateway.fail = nil
		id := w.send(&delivery.Message{From: ann, To: to(3)})
		w.pass(10 * time.Second)
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
	})
}
