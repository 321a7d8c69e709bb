package delivery_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
)

func TestDevicesThatReturnDuringAStormCostNoSMS(t *testing.T) {
	bubble(t, nil, func(w *world) {
		var phones []*phone
		user := func(i int) contacts.Address { return bob[:6] + "00" + addr(i) }
		for i := range 60 {
			w.register(user(i))
			phones = append(phones, w.phone(user(i), delivery.Connection{Remembered: true}))
		}
		w.pass(20 * time.Second)
		for i, p := range phones {
			p.silence(true)
			w.send(&delivery.Message{From: ann, To: user(i)})
		}
		w.pass(time.Second)
		for _, p := range phones {
			p.dev.Gone(delivery.Lost)
		}
		w.pass(30 * time.Second) // every push has waited long enough, and the storm holds its SMS
		for i, p := range phones[:20] {
			p.silence(false)
			w.connect(p, user(i), delivery.Connection{Remembered: true, Resumed: true})
		}
		w.pass(100 * time.Millisecond)
		w.submits(0)
	})
}

func (p *phone) silence(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = on
}

func TestTakeoverWhoseEndComesBeforeItsBeginning(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{Remembered: true})
		w.pass(61 * time.Minute)
		b.silence(true)
		id := w.send(&delivery.Message{From: ann, To: bob})
		b.dev.Gone(delivery.Replaced)
		w.pass(time.Millisecond)
		b.silence(false)
		w.connect(b, bob, delivery.Connection{Remembered: true, Resumed: true})
		w.is(id, delivery.Delivered, delivery.ViaPush, "")
		w.submits(0)
	})
}

func TestSessionThatFlapsKeepsItsPacketIdentifiers(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{Remembered: true})
		b.silence(true)
		for _, text := range []string{"one", "two", "three", "four"} {
			w.send(&delivery.Message{From: ann, To: bob, Payload: []byte(text)})
		}
		want := []uint16{b.slot(0), b.slot(1), b.slot(3)}
		b.dev.Ack(b.slot(2), true)
		w.pass(10 * time.Millisecond)
		for _, window := range []int{1, 0} { // the first time there is not room for all
			b.dev.Gone(delivery.Lost)
			b.clear()
			w.connect(b, bob, delivery.Connection{Remembered: true, Resumed: true, Window: window})
		}
		b.hears("in one, in two, in four")
		for i, p := range b.got {
			if p.Slot != want[i] || !p.Dup {
				t.Errorf("push %d came under %d, DUP %v; want %d, true", i, p.Slot, p.Dup, want[i])
			}
		}
	})
}

func TestShortLookMovesTheUsersPlace(t *testing.T) {
	bubble(t, nil, func(w *world) {
		for i := range 2 {
			w.store.Commit(w.t.Context(), []delivery.Change{{Entries: []delivery.Entry{{User: bob, Kind: delivery.Receipt, ID: delivery.NewID(1, ann),
				Topic: fmt.Sprintf("u/%s/receipt/k%d", bob, i), Body: []byte(`{"state":"failed"}`), At: time.Now()}}}})
		}
		b := w.phone(bob, delivery.Connection{Window: 1})
		b.hears("receipt failed, receipt failed")
		b.dev.Gone(delivery.LeftClean)
		b.clear()
		w.connect(b, bob, delivery.Connection{})
		b.hears("")
	})
}

func TestWaitingForAGatewayThatComes(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.stop()
		w.config.SMS = nil
		w.start()
		id := w.send(&delivery.Message{From: ann, To: eve})
		w.is(id, delivery.Waiting, 0, delivery.GatewayDown)
		w.stop()
		w.config.SMS = w.gateway
		w.start()
		w.pass(time.Second)
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
	})
}

// A torn gateway takes the first segment of a message and refuses the others, once.
type torn struct {
	gateway
	calls int
}

func (g *torn) Submit(_ context.Context, mt sms.MT) (all []sms.Outcome) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls++
	for i, s := range mt.Segments {
		o := sms.Outcome{Segment: s.Number, ID: fmt.Sprint("x", s.Number)}
		if i > 0 && g.calls == 1 {
			o = sms.Outcome{Segment: s.Number, Err: sms.Fail(sms.Temporary, "", "busy")}
		}
		all = append(all, o)
	}
	return all
}

func TestRestOfASplitSMSIsSentAfterAnAcknowledgement(t *testing.T) {
	bubble(t, nil, func(w *world) {
		g := &torn{}
		w.stop()
		w.config.SMS = g
		w.start()
		b := w.phone(bob, delivery.Connection{})
		b.silence(true)
		id := w.send(&delivery.Message{From: ann, To: bob, Wait: time.Second, Payload: []byte(strings.Repeat("long text ", 40))})
		w.pass(1500 * time.Millisecond)
		b.dev.Ack(b.slot(0), true)
		w.is(id, delivery.Delivered, delivery.ViaPush, "")
		w.pass(time.Minute)
		m := w.state(id)
		for i, s := range m.SMS.Segments {
			if s.State != delivery.SegmentTaken {
				t.Errorf("segment %d is %v", i+1, s.State)
			}
		}
		if !m.Settled() || m.State != delivery.Delivered || m.Via != delivery.ViaPush {
			t.Errorf("it ends as %v via %v, settled %v", m.State, m.Via, m.Settled())
		}
	})
}
