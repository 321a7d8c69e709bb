package delivery_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/store/memory"
)

func TestPushed(t *testing.T) {
	bubble(t, nil, func(w *world) {
		a, b := w.phone(ann, delivery.Connection{}), w.phone(bob, delivery.Connection{})
		id := w.send(&delivery.Message{From: ann, To: bob})
		w.is(id, delivery.Delivered, delivery.ViaPush, "")
		b.hears("in hello")
		a.hears("receipt delivered push")
		w.pass(time.Hour)
		w.submits(0)
	})
}

func TestNotRegisteredGoesOutAtOnce(t *testing.T) {
	bubble(t, nil, func(w *world) {
		a := w.phone(ann, delivery.Connection{})
		id := w.send(&delivery.Message{From: ann, To: eve})
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
		if mt := w.submits(1)[0]; mt.To != contacts.Number(eve) || mt.From != string(own) || mt.Segments[0].Text != "hello" {
			t.Fatalf("submitted %+v", mt)
		}
		w.report("s1", sms.DeliveredSMS)
		w.is(id, delivery.Delivered, delivery.ViaSMS, delivery.NotRegistered)
		a.hears("receipt submitted sms, receipt delivered sms")
	})
}

func TestNoAnswer(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{})
		b.silent = true
		id := w.send(&delivery.Message{From: ann, To: bob})
		w.pass(15*time.Second - time.Millisecond)
		w.is(id, delivery.Accepted, 0, "")
		w.pass(time.Millisecond)
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NoAnswer)
		b.hears("in hello") // deaf: not even the seen/ copy
		b.clear()
		b.dev.Ack(0x8000, true) // late: it came both ways
		synctest.Wait()
		w.is(id, delivery.Delivered, delivery.ViaPush, "")
		b.hears("seen hello")
	})
}

func TestOfflineGrace(t *testing.T) {
	for name, tt := range map[string]struct {
		loss   delivery.Loss
		since  time.Duration // between the loss and the message
		wait   time.Duration // `after`
		sms    time.Duration // from the message on
		reason delivery.Reason
	}{
		"just lost":                   {loss: delivery.Lost, since: 3 * time.Second, sms: 7 * time.Second, reason: delivery.Offline},
		"lost long ago":               {loss: delivery.Lost, since: time.Minute, reason: delivery.Offline},
		"left":                        {loss: delivery.LeftClean, since: time.Second, reason: delivery.Left},
		"just lost, the sender waits": {loss: delivery.Lost, since: time.Second, wait: 30 * time.Second, sms: 30 * time.Second, reason: delivery.Offline},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(w *world) {
				b := w.phone(bob, delivery.Connection{})
				b.dev.Gone(tt.loss)
				w.pass(tt.since)
				id := w.send(&delivery.Message{From: ann, To: bob, Wait: tt.wait})
				if tt.sms > 0 {
					w.pass(tt.sms - time.Millisecond)
					w.is(id, delivery.Accepted, 0, "")
					w.pass(time.Millisecond)
				}
				w.is(id, delivery.Submitted, delivery.ViaSMS, tt.reason)
			})
		})
	}
}

func TestNeverConnected(t *testing.T) {
	bubble(t, nil, func(w *world) {
		id := w.send(&delivery.Message{From: ann, To: bob})
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NoDevice)
	})
}

func TestBackInTime(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{Remembered: true})
		b.dev.Gone(delivery.Lost)
		id := w.send(&delivery.Message{From: ann, To: bob})
		w.pass(5 * time.Second)
		w.connect(b, bob, delivery.Connection{Remembered: true, Resumed: true})
		w.is(id, delivery.Delivered, delivery.ViaPush, "")
		b.hears("in hello")
		w.pass(time.Hour)
		w.submits(0)
	})
}

func TestSubscribesLate(t *testing.T) {
	bubble(t, nil, func(w *world) {
		p := &phone{w: w}
		p.dev = w.engine.Connect(delivery.Connection{User: bob, ClientID: "late", Link: p})
		id := w.send(&delivery.Message{From: ann, To: bob})
		w.pass(2*time.Second - time.Millisecond)
		w.is(id, delivery.Accepted, 0, "")
		w.pass(time.Millisecond)
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NoDevice)
	})
}

func TestAppOnlyWaits(t *testing.T) {
	bubble(t, nil, func(w *world) {
		id := w.send(&delivery.Message{From: ann, To: bob, Root: delivery.RootApp, Receipts: delivery.ReceiptsAll})
		w.is(id, delivery.Waiting, 0, delivery.AppOnly)
		w.pass(time.Hour)
		b := w.phone(bob, delivery.Connection{})
		w.is(id, delivery.Delivered, delivery.ViaPush, "")
		b.hears("in hello")
		w.submits(0)
	})
}

func TestNames(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.register("boiler")
		a := w.phone(ann, delivery.Connection{})
		if id := w.send(&delivery.Message{From: ann, To: "nobody"}); true {
			w.is(id, delivery.Failed, 0, delivery.NoSuchName)
		}
		id := w.send(&delivery.Message{From: ann, To: "boiler"})
		w.is(id, delivery.Waiting, 0, delivery.NoDevice)
		b := w.phone("boiler", delivery.Connection{})
		w.is(id, delivery.Delivered, delivery.ViaPush, "")
		b.hears("in hello")
		a.hears("receipt failed, receipt delivered push")
	})
}

func TestExpires(t *testing.T) {
	bubble(t, nil, func(w *world) {
		id := w.send(&delivery.Message{From: ann, To: bob, Root: delivery.RootApp, Expires: time.Now().Add(time.Minute)})
		w.pass(time.Minute)
		w.is(id, delivery.Expired, 0, delivery.TimeRanOut)
		b := w.phone(bob, delivery.Connection{})
		b.hears("")
	})
}

func TestNotText(t *testing.T) {
	bubble(t, nil, func(w *world) {
		picture := []byte{0xff, 0xd8, 0xff}
		w.is(w.send(&delivery.Message{From: ann, To: eve, Payload: picture}), delivery.Failed, 0, delivery.NotText)
		id := w.send(&delivery.Message{From: ann, To: bob, Payload: picture})
		w.is(id, delivery.Waiting, 0, delivery.NotText)
		long := []byte(strings.Repeat("x", 153*6+1))
		w.is(w.send(&delivery.Message{From: ann, To: eve, Payload: long}), delivery.Failed, 0, delivery.TooLong)
		w.phone(bob, delivery.Connection{})
		w.is(id, delivery.Delivered, delivery.ViaPush, "")
		w.submits(0)
	})
}

func TestKeyNamesOneMessage(t *testing.T) {
	bubble(t, nil, func(w *world) {
		id := w.send(&delivery.Message{From: ann, To: eve, Key: delivery.Key{Text: "k1"}})
		_, err := w.engine.Send(w.t.Context(), &delivery.Message{From: ann, To: eve, Root: delivery.RootSMS, Payload: []byte("other"), Key: delivery.Key{Text: "k1"}})
		if k, ok := err.(*delivery.Known); !ok || k.ID != id {
			t.Fatalf("%v, want that message %v is known", err, id)
		}
		w.submits(1)
	})
}

func TestReceiptsOfEachKind(t *testing.T) {
	for receipts, want := range map[delivery.Receipts]string{
		delivery.ReceiptsDefault: "receipt submitted sms, receipt delivered sms",
		delivery.ReceiptsNone:    "",
		delivery.ReceiptsFinal:   "receipt delivered sms",
		delivery.ReceiptsAll:     "receipt accepted, receipt submitting, receipt submitted sms, receipt delivered sms",
	} {
		t.Run(fmt.Sprint(receipts), func(t *testing.T) {
			bubble(t, nil, func(w *world) {
				a := w.phone(ann, delivery.Connection{})
				w.send(&delivery.Message{From: ann, To: eve, Receipts: receipts})
				w.report("s1", sms.DeliveredSMS)
				a.hears(want)
			})
		})
	}
}

func TestSentCopiesGoToOtherDevices(t *testing.T) {
	bubble(t, nil, func(w *world) {
		one, two := w.phone(ann, delivery.Connection{ClientID: "one"}), w.phone(ann, delivery.Connection{ClientID: "two"})
		w.phone(bob, delivery.Connection{})
		m := &delivery.Message{From: ann, To: bob, Root: delivery.RootTo, Payload: []byte("hi"), Receipts: delivery.ReceiptsNone}
		done := make(accepted, 1)
		w.engine.Publish(m, delivery.Publication{Device: one.dev}, done)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		one.hears("")
		two.hears("sent hi")
	})
}

type accepted chan error

func (a accepted) Accepted(_ *delivery.Message, err error) { a <- err }

func TestOrders(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{})
		b.silent = true
		do := func(id delivery.ID, o delivery.Order) error {
			_, err := w.engine.Do(w.t.Context(), id, o)
			synctest.Wait()
			return err
		}
		now := w.send(&delivery.Message{From: ann, To: bob})
		if err := do(now, delivery.SMSNow); err != nil {
			t.Fatal(err)
		}
		w.is(now, delivery.Submitted, delivery.ViaSMS, "")
		cancel := w.send(&delivery.Message{From: ann, To: bob})
		if err := do(cancel, delivery.Cancel); err != nil {
			t.Fatal(err)
		}
		w.is(cancel, delivery.Failed, 0, delivery.Cancelled)
		hold := w.send(&delivery.Message{From: ann, To: bob})
		if err := do(hold, delivery.HoldApp); err != nil {
			t.Fatal(err)
		}
		w.is(hold, delivery.Waiting, 0, delivery.AppOnly)
		if err := do(now, delivery.Cancel); err != delivery.ErrTooLate {
			t.Fatalf("cancel of what went out: %v", err)
		}
		if err := do(delivery.NewID(1, bob), delivery.Cancel); err != delivery.ErrNotFound {
			t.Fatalf("cancel of nothing: %v", err)
		}
		if err := do(hold, delivery.Acknowledge); err != nil {
			t.Fatal(err)
		}
		w.is(hold, delivery.Delivered, delivery.ViaPush, "")
		w.pass(time.Hour)
		w.submits(1)
	})
}

func TestFullInbox(t *testing.T) {
	bubble(t, func(c *delivery.Config) { c.Inbox = 2 }, func(w *world) {
		a := w.phone(ann, delivery.Connection{})
		for range 2 {
			w.is(w.send(&delivery.Message{From: ann, To: bob, Root: delivery.RootApp}), delivery.Waiting, 0, delivery.AppOnly)
		}
		w.is(w.send(&delivery.Message{From: ann, To: bob, Root: delivery.RootApp}), delivery.Failed, 0, delivery.InboxFull)
		a.hears("receipt failed")
	})
}

func TestWindowAndOrder(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{Window: 2})
		b.silent = true
		var want []string
		for i := range 300 { // far more than the tail keeps: the rest is read from the store
			text := fmt.Sprint("m", i)
			want = append(want, "in "+text)
			w.send(&delivery.Message{From: ann, To: bob, Payload: []byte(text)})
		}
		b.hears("in m0, in m1")
		for i := range 300 {
			b.dev.Ack(b.slot(i), true)
			synctest.Wait()
		}
		b.hears(strings.Join(want, ", "))
	})
}

func (p *phone) slot(i int) uint16 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i >= len(p.got) {
		p.w.t.Fatalf("push %d never came", i)
	}
	return p.got[i].Slot
}

func TestResumedSessionGetsItsSlotsAgain(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{Remembered: true})
		b.silent = true
		for i := range 3 {
			w.send(&delivery.Message{From: ann, To: bob, Payload: fmt.Append(nil, "m", i)})
		}
		b.dev.Ack(b.slot(1), true)
		synctest.Wait()
		first, third := b.slot(0), b.slot(2)
		b.dev.Gone(delivery.Lost)
		w.pass(time.Second)
		b.clear()
		w.connect(b, bob, delivery.Connection{Remembered: true, Resumed: true})
		b.hears("in m0, in m2")
		if !b.got[0].Dup || b.got[0].Slot != first || !b.got[1].Dup || b.got[1].Slot != third {
			t.Fatalf("resent %+v", b.got)
		}
	})
}

func TestAnotherDeviceGetsWhatTheFirstAcknowledged(t *testing.T) {
	bubble(t, nil, func(w *world) {
		one, two := w.phone(bob, delivery.Connection{ClientID: "one", Remembered: true}), w.phone(bob, delivery.Connection{ClientID: "two", Remembered: true})
		two.dev.Gone(delivery.Lost)
		w.send(&delivery.Message{From: ann, To: bob})
		one.hears("in hello")
		w.pass(time.Minute)
		w.connect(two, bob, delivery.Connection{ClientID: "two", Remembered: true, Resumed: true})
		two.hears("in hello")
		clean := w.phone(bob, delivery.Connection{ClientID: "three"})
		clean.hears("") // it starts after what some device has acknowledged
	})
}

func TestDUPOnTheNextConnection(t *testing.T) {
	bubble(t, nil, func(w *world) {
		a := w.phone(ann, delivery.Connection{ClientID: "a", Remembered: true})
		publish := func(dup bool, payload string) error {
			m := &delivery.Message{From: ann, To: eve, Root: delivery.RootTo, Payload: []byte(payload), Receipts: delivery.ReceiptsNone,
				Origin: delivery.Origin{Device: "a", PacketID: 1, Digest: uint64(len(payload))}}
			done := make(accepted, 1)
			w.engine.Publish(m, delivery.Publication{Device: a.dev, Dup: dup}, done)
			err := <-done
			synctest.Wait()
			return err
		}
		again := func() { w.connect(a, ann, delivery.Connection{ClientID: "a", Remembered: true, Resumed: true}) }
		if err := publish(false, "ALARM"); err != nil {
			t.Fatal(err)
		}
		w.submits(1)
		a.dev.Gone(delivery.Lost)
		again()
		if _, known := publish(true, "ALARM").(*delivery.Known); !known {
			t.Fatal("the same PUBLISH sent again became a second message")
		}
		a.dev.Gone(delivery.Lost)
		again()
		if _, known := publish(true, "ALARM").(*delivery.Known); !known {
			t.Fatal("the same PUBLISH sent a third time became a second message")
		}
		if err := publish(false, "ALARM"); err != nil { // without DUP it is a new one
			t.Fatal(err)
		}
		w.crash()
		w.submits(2)
		again()
		if _, known := publish(true, "ALARM").(*delivery.Known); !known {
			t.Fatal("after a crash the same PUBLISH became another message")
		}
		again()
		again()
		if err := publish(true, "ALARM"); err != nil { // two connections later nobody compares
			t.Fatal(err)
		}
		w.submits(3)
	})
}

func TestStoreFails(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{})
		w.store.Inject(memory.Fault{Wrote: memory.Nothing})
		if _, err := w.engine.Send(w.t.Context(), &delivery.Message{From: ann, To: bob, Root: delivery.RootTo, Payload: []byte("x")}); err == nil {
			t.Fatal("acknowledged without being stored")
		}
		w.store.SetFull(true)
		if _, err := w.engine.Send(w.t.Context(), &delivery.Message{From: ann, To: bob, Root: delivery.RootTo, Payload: []byte("x")}); err != delivery.ErrDisk {
			t.Fatalf("%v, want ErrDisk", err)
		}
		w.store.SetFull(false)
		b.hears("")
		id := w.send(&delivery.Message{From: ann, To: bob, Payload: []byte("y")})
		w.is(id, delivery.Delivered, delivery.ViaPush, "")
		b.silent = true
		id = w.send(&delivery.Message{From: ann, To: bob, Payload: []byte("z")})
		w.store.Inject(memory.Fault{Wrote: memory.Nothing}, memory.Fault{Wrote: memory.All, Err: memory.ErrFault}) // the acknowledgement must survive both
		b.dev.Ack(b.slot(1), true)
		w.pass(time.Second)
		w.is(id, delivery.Delivered, delivery.ViaPush, "")
	})
}

func TestSessionResumedInTheMiddleOfAPage(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{Remembered: true, Window: 2})
		b.dev.Gone(delivery.Lost)
		var want []string
		for i := range 150 { // more than one page
			text := fmt.Sprint("m", i)
			want = append(want, "in "+text)
			w.send(&delivery.Message{From: ann, To: bob, Root: delivery.RootApp, Payload: []byte(text)})
		}
		b.silent = true
		w.connect(b, bob, delivery.Connection{Remembered: true, Resumed: true, Window: 2})
		b.hears("in m0, in m1")
		b.dev.Gone(delivery.Lost)
		b.clear()
		b.silent = false
		w.connect(b, bob, delivery.Connection{Remembered: true, Resumed: true, Window: 2})
		b.hears(strings.Join(want, ", "))
	})
}

func TestPlaceWaitsForTheStoredAcknowledgement(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.register("boiler")
		b := w.phone("boiler", delivery.Connection{Remembered: true})
		b.silent = true
		id := w.send(&delivery.Message{From: ann, To: "boiler"})
		never := make([]memory.Fault, 20)
		for i := range never {
			never[i].Wrote = memory.Nothing
		}
		w.store.Inject(never...) // four seconds without a commit
		b.dev.Ack(b.slot(0), true)
		w.pass(3 * time.Second)
		w.crash()
		w.is(id, delivery.Accepted, 0, "")
		b.silent = false
		b.clear()
		w.connect(b, "boiler", delivery.Connection{Remembered: true, Resumed: true})
		b.hears("in hello")
		w.is(id, delivery.Delivered, delivery.ViaPush, "")
	})
}

func TestDUPAfterACrashIsComparedWithTheLatest(t *testing.T) {
	bubble(t, nil, func(w *world) {
		a := w.phone(ann, delivery.Connection{ClientID: "a", Remembered: true})
		publish := func(i int, dup bool) error {
			m := &delivery.Message{From: ann, To: bob, Root: delivery.RootApp, Payload: fmt.Append(nil, i), Receipts: delivery.ReceiptsNone,
				Origin: delivery.Origin{Device: "a", PacketID: uint16(1 + i%100), Digest: uint64(i)}}
			done := make(accepted, 1)
			w.engine.Publish(m, delivery.Publication{Device: a.dev, Dup: dup}, done)
			return <-done
		}
		const many = 2500 // more than are remembered of a device
		for i := range many {
			if err := publish(i, false); err != nil {
				t.Fatal(err)
			}
		}
		w.crash()
		w.connect(a, ann, delivery.Connection{ClientID: "a", Remembered: true, Resumed: true})
		for i := many - 100; i < many; i++ {
			if _, known := publish(i, true).(*delivery.Known); !known {
				t.Fatalf("publish %d sent again became another message", i)
			}
		}
	})
}
