package delivery_test

import (
	"errors"
	"fmt"
	"slices"
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

const (
	own2 = contacts.Number("491500000002")
	own3 = contacts.Number("491500000003")
)

// answers is an SMS of the peer.
func (w *world) answers(peer contacts.Address, to contacts.Number, text string) {
	w.t.Helper()
	if err := w.engine.MO(w.t.Context(), sms.MO{Gateway: "test", From: contacts.Number(peer), To: to, Text: text}); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

// from returns the originator of the latest submit.
func (w *world) from() string {
	w.gateway.mu.Lock()
	defer w.gateway.mu.Unlock()
	return w.gateway.sent[len(w.gateway.sent)-1].From
}

func (w *world) unmatched() (all []string) {
	w.t.Helper()
	found, _, err := w.engine.Unmatched(w.t.Context(), delivery.ID{}, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, m := range found {
		all = append(all, fmt.Sprintf("%s to %s: %s", m.From, m.Own, m.Payload))
	}
	return all
}

func TestPoolGivesParallelConversationsNumbersOfTheirOwn(t *testing.T) {
	bubble(t, func(c *delivery.Config) { c.Numbers = []contacts.Number{own, own2} }, func(w *world) {
		w.register(cleo)
		a, b := w.phone(ann, delivery.Connection{}), w.phone(bob, delivery.Connection{})
		w.send(&delivery.Message{From: ann, To: eve, Receipts: delivery.ReceiptsNone})
		annsNumber := contacts.Number(w.from())
		w.send(&delivery.Message{From: bob, To: eve, Receipts: delivery.ReceiptsNone})
		bobsNumber := contacts.Number(w.from())
		if annsNumber == bobsNumber {
			t.Fatalf("both talk to one peer from %s", annsNumber)
		}
		third := w.send(&delivery.Message{From: cleo, To: eve})
		if w.from() != "godwit" || !strings.Contains(fmt.Sprint(w.state(third).Trail), delivery.EventNoWayBack) {
			t.Fatalf("the third goes out from %s: %+v", w.from(), w.state(third).Trail)
		}
		w.answers(eve, bobsNumber, "to bob")
		w.answers(eve, annsNumber, "to ann")
		a.hears("sms to ann")
		b.hears("sms to bob")
		w.send(&delivery.Message{From: ann, To: eve, Receipts: delivery.ReceiptsNone})
		if w.from() != string(annsNumber) {
			t.Fatalf("ann goes on from %s", w.from())
		}
		w.pass(30 * time.Minute)
		w.send(&delivery.Message{From: bob, To: eve, Receipts: delivery.ReceiptsNone})
		w.pass(31 * time.Minute) // ann's is quiet for an hour, bob's is not
		w.send(&delivery.Message{From: cleo, To: eve})
		if w.from() != string(annsNumber) {
			t.Fatalf("cleo goes out from %s, and quiet is %s", w.from(), annsNumber)
		}
		w.pass(73 * time.Hour)
		w.send(&delivery.Message{From: ann, To: eve, Receipts: delivery.ReceiptsNone})
		if w.from() != string(bobsNumber) {
			t.Fatalf("ann goes out from %s, and longest unused is %s", w.from(), bobsNumber)
		}
	})
}

const cleo = contacts.Address("491566666666")

func TestOriginators(t *testing.T) {
	boiler := contacts.Address("boiler")
	for name, tt := range map[string]struct {
		change func(c *delivery.Config)
		number contacts.Number // the gateway's own
		sender contacts.Address
		from   string
		text   string
	}{
		"pool":                     {func(*delivery.Config) {}, "", ann, string(own), "+" + string(ann) + ": hello"},
		"pool, a name writes":      {func(*delivery.Config) {}, "", boiler, string(own), "boiler: hello"},
		"pool without numbers":     {func(c *delivery.Config) { c.Numbers = nil }, "", ann, "godwit", "+" + string(ann) + ": hello"},
		"user":                     {func(c *delivery.Config) { c.Originator = delivery.OriginatorUser }, "", ann, string(ann), "hello"},
		"user, a name writes":      {func(c *delivery.Config) { c.Originator = delivery.OriginatorUser }, "", boiler, string(own), "boiler: hello"},
		"user, at a modem":         {func(c *delivery.Config) { c.Originator = delivery.OriginatorUser }, own3, ann, string(own3), "+" + string(ann) + ": hello"},
		"a name":                   {func(c *delivery.Config) { c.Originator = "ACME" }, "", ann, "ACME", "+" + string(ann) + ": hello"},
		"a name, at a modem":       {func(c *delivery.Config) { c.Originator = "ACME" }, own3, ann, string(own3), "+" + string(ann) + ": hello"},
		"a template without names": {func(c *delivery.Config) { c.Template = "{{.Text}} (via ACME)" }, "", ann, string(own), "hello (via ACME)"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(c *delivery.Config) {
				c.Template = ""
				tt.change(c)
				c.SMS.(*gateway).number = tt.number
			}, func(w *world) {
				w.register(boiler)
				w.send(&delivery.Message{From: tt.sender, To: eve})
				mt := w.submits(1)[0]
				if mt.From != tt.from || mt.Text != tt.text {
					t.Errorf("%q from %s, want %q from %s", mt.Text, mt.From, tt.text, tt.from)
				}
			})
		})
	}
}

// With originator user the answer goes to the phone's own SMS inbox: nothing of it reaches the broker, and what would come to that number is nobody's here.
func TestOriginatorUserHasItsAnswersOutsideTheBroker(t *testing.T) {
	bubble(t, func(c *delivery.Config) { c.Originator = delivery.OriginatorUser }, func(w *world) {
		a := w.phone(ann, delivery.Connection{})
		w.send(&delivery.Message{From: ann, To: eve, Receipts: delivery.ReceiptsNone})
		if w.from() != string(ann) {
			t.Fatalf("from %s", w.from())
		}
		talks, err := w.store.Talks(w.t.Context(), contacts.Number(eve))
		if err != nil || len(talks) != 0 {
			t.Fatalf("a pair of numbers was taken: %+v, %v", talks, err)
		}
		w.answers(eve, contacts.Number(ann), "yes")
		a.hears("")
		if got := w.unmatched(); !slices.Equal(got, []string{string(eve) + " to " + string(ann) + ": yes"}) {
			t.Fatalf("unmatched: %v", got)
		}
	})
}

func TestSegmentsGoOutFromOneNumber(t *testing.T) {
	bubble(t, nil, func(w *world) {
		var refuse atomic.Bool
		refuse.Store(true)
		w.gateway.failSegment = func(s sms.Segment) error {
			if refuse.Load() && s.Number == 2 {
				return sms.Fail(sms.Temporary, "0x45", "submit failed")
			}
			return nil
		}
		id := w.send(&delivery.Message{From: ann, To: eve, Payload: []byte(strings.Repeat("x", 200))})
		w.is(id, delivery.Submitting, 0, delivery.NotRegistered)
		first := w.from()
		refuse.Store(false)
		w.pass(time.Minute)
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
		sent := w.submits(2)
		if len(sent[1].Segments) != 1 || sent[1].Segments[0].Number != 2 || sent[1].From != first {
			t.Fatalf("the rest went out as %+v", sent[1])
		}
	})
}

func TestRepeatedMOs(t *testing.T) {
	bubble(t, nil, func(w *world) {
		a := w.phone(ann, delivery.Connection{})
		w.send(&delivery.Message{From: ann, To: eve, Receipts: delivery.ReceiptsNone})
		w.answers(eve, own, "yes")
		w.answers(eve, own, "yes") // no ids: within ten seconds it is the same
		w.pass(2 * time.Second)    // the place of the phone is stored once a second
		w.crash()
		w.connect(a, ann, delivery.Connection{})
		w.answers(eve, own, "yes") // and a restart does not forget it
		a.hears("sms yes")
		w.pass(11 * time.Second)
		w.answers(eve, own, "yes")
		a.hears("sms yes, sms yes")
		w.send(&delivery.Message{From: ann, To: eve, Receipts: delivery.ReceiptsNone})
		w.answers(eve, own, "yes") // we wrote: it is an answer to that
		a.hears("sms yes, sms yes, sms yes")
		if got := w.engine.Stats().MOs["test"][delivery.MORepeated].Load(); got != 1 { // since the start
			t.Errorf("%d repeated", got)
		}
	})
}

func TestUnmatched(t *testing.T) {
	bubble(t, nil, func(w *world) {
		a := w.phone(ann, delivery.Connection{})
		w.answers(eve, own, "who are you?")
		w.answers(eve, own, "who are you?") // repeated
		w.answers(eve, "491599999999", "not our number")
		w.answers("ACME", own, "a name writes")
		w.answers("ACME", own, "a name writes") // repeated
		want := []string{"ACME to " + string(own) + ": a name writes", string(eve) + " to 491599999999: not our number", string(eve) + " to " + string(own) + ": who are you?"}
		if got := w.unmatched(); !slices.Equal(got, want) {
			t.Fatalf("unmatched: %q", got)
		}
		all, _, _ := w.engine.Unmatched(w.t.Context(), delivery.ID{}, 100)
		id := all[2].ID
		if _, err := w.engine.Assign(w.t.Context(), id, cleo); !errors.Is(err, delivery.ErrNoUser) {
			t.Fatalf("%v", err)
		}
		m, err := w.engine.Assign(w.t.Context(), id, ann)
		if err != nil || m.To != ann {
			t.Fatalf("%+v, %v", m, err)
		}
		synctest.Wait()
		a.hears("sms who are you?")
		if _, err := w.engine.Assign(w.t.Context(), id, ann); !errors.Is(err, delivery.ErrTooLate) {
			t.Fatalf("%v", err)
		}
		if got := w.unmatched(); !slices.Equal(got, want[:2]) {
			t.Fatalf("unmatched: %q", got)
		}
		w.answers(eve, own, "and now?")
		a.hears("sms who are you?, sms and now?")
		if _, err := w.engine.Assign(w.t.Context(), m.ID, ann); !errors.Is(err, delivery.ErrNotFound) {
			t.Fatalf("%v", err)
		}
	})
}

func TestContactGetsWhatNoConversationClaims(t *testing.T) {
	knows := true
	bubble(t, func(c *delivery.Config) {
		c.HasContact = func(user contacts.Address, peer contacts.Number) bool {
			return knows && user == bob && peer == contacts.Number(eve)
		}
	}, func(w *world) {
		b := w.phone(bob, delivery.Connection{})
		w.send(&delivery.Message{From: bob, To: eve, Receipts: delivery.ReceiptsNone})
		w.pass(80 * time.Hour)
		w.answers(eve, own, "late")
		b.hears("sms late")
		if !b.got[0].InReplyTo.IsZero() {
			t.Error("it is not clear what it answers")
		}
		knows = false
		w.answers(eve, own, "later")
		knows = true
		w.pass(31 * 24 * time.Hour)
		w.answers(eve, own, "latest")
		b.hears("sms late")
		if got := len(w.unmatched()); got != 1 { // the other has expired
			t.Fatalf("%d unmatched", got)
		}
	})
}

// optOuts gives a world opt-outs that are kept in its store.
func optOuts(t *testing.T, c *delivery.Config, store *memory.Store) *sms.OptOuts {
	t.Helper()
	out, err := sms.OpenOptOuts(t.Context(), store.Table())
	if err != nil {
		t.Fatal(err)
	}
	c.OptOuts, c.StopWords = out, []string{"STOP", "退订"}
	return out
}

func TestStopWord(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.stop()
		out := optOuts(w.t, &w.config, w.store)
		w.start()
		a := w.phone(ann, delivery.Connection{})
		w.send(&delivery.Message{From: ann, To: eve, Receipts: delivery.ReceiptsNone})
		w.answers(eve, own, " stop ")
		a.hears("sms  stop ")
		if !out.Out(contacts.Number(eve)) {
			t.Fatal("not opted out")
		}
		sent := w.submits(2)
		if mt := sent[1]; mt.To != contacts.Number(eve) || mt.From != string(own) || len(mt.Segments) != 1 {
			t.Fatalf("confirmed by %+v", mt)
		}
		w.is(w.send(&delivery.Message{From: ann, To: eve, Receipts: delivery.ReceiptsNone}), delivery.Failed, 0, delivery.OptedOut)
		w.is(w.send(&delivery.Message{From: bob, To: eve}), delivery.Failed, 0, delivery.OptedOut)
		w.pass(time.Minute)
		w.answers(eve, own, "STOP")
		w.answers(eve, own, "please do not stop")
		w.submits(2) // confirmed once
		if got := w.engine.Stats().MOs["test"][delivery.MOStop].Load(); got != 2 {
			t.Errorf("%d stops counted", got)
		}
	})
}

// A carrier that says "opted out" is believed for this message.
func TestCarrierSaysOptedOut(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.gateway.fail = func(sms.MT) error {
			return &sms.Error{Class: sms.Permanent, Code: "21610", Text: "unsubscribed recipient", OptedOut: true}
		}
		w.is(w.send(&delivery.Message{From: ann, To: eve}), delivery.Failed, 0, delivery.OptedOut)
	})
}

// A report of an id that nobody knows is the unknown message's when it can be no other's.
func TestReportOfAnUnknownMessage(t *testing.T) {
	lost := func(w *world) {
		w.gateway.fail = func(sms.MT) error { return sms.Fail(sms.Unknown, "", "no answer") }
	}
	dlr := func(w *world, r sms.DLR) {
		w.t.Helper()
		r.Gateway, r.To = "test", contacts.Number(eve)
		if err := w.engine.DLR(w.t.Context(), r); err != nil {
			w.t.Fatal(err)
		}
		synctest.Wait()
	}
	t.Run("the only one of its pair", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			lost(w)
			id := w.send(&delivery.Message{From: ann, To: eve})
			w.is(id, delivery.OutcomeUnknown, 0, delivery.OutcomeLost)
			dlr(w, sms.DLR{ID: "x7", From: "491577777777", State: sms.DeliveredSMS}) // another pair
			w.is(id, delivery.OutcomeUnknown, 0, delivery.OutcomeLost)
			dlr(w, sms.DLR{ID: "x8", From: string(own), State: sms.Enroute})
			w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
			dlr(w, sms.DLR{ID: "x8", State: sms.DeliveredSMS}) // its id is known by now
			w.is(id, delivery.Delivered, delivery.ViaSMS, delivery.NotRegistered)
		})
	})
	t.Run("one of two: only our reference tells", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			lost(w)
			first := w.send(&delivery.Message{From: ann, To: eve})
			w.pass(5 * time.Second)
			second := w.send(&delivery.Message{From: ann, To: eve})
			w.is(second, delivery.OutcomeUnknown, 0, delivery.OutcomeLost)
			dlr(w, sms.DLR{ID: "x1", From: string(own), State: sms.DeliveredSMS})
			w.is(first, delivery.OutcomeUnknown, 0, delivery.OutcomeLost)
			w.is(second, delivery.OutcomeUnknown, 0, delivery.OutcomeLost)
			dlr(w, sms.DLR{ID: "x2", From: string(own), Reference: sms.Ref(second).Reference(1), State: sms.DeliveredSMS})
			w.is(second, delivery.Delivered, delivery.ViaSMS, delivery.NotRegistered)
			w.is(first, delivery.OutcomeUnknown, 0, delivery.OutcomeLost)
			w.pass(3 * time.Minute)
			w.is(first, delivery.Failed, 0, delivery.OutcomeLost)
		})
	})
	t.Run("two segments, a report that comes twice", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			lost(w)
			id := w.send(&delivery.Message{From: ann, To: eve, Payload: []byte(strings.Repeat("x", 200))})
			w.is(id, delivery.OutcomeUnknown, 0, delivery.OutcomeLost)
			for range 2 {
				dlr(w, sms.DLR{ID: "x1", From: string(own), State: sms.DeliveredSMS})
				w.is(id, delivery.OutcomeUnknown, 0, delivery.OutcomeLost)
			}
			dlr(w, sms.DLR{ID: "x2", From: string(own), State: sms.DeliveredSMS})
			w.is(id, delivery.Delivered, delivery.ViaSMS, delivery.NotRegistered)
		})
	})
	t.Run("it came before the outcome was unknown", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			w.gateway.fail = func(mt sms.MT) error {
				if err := w.engine.DLR(w.t.Context(), sms.DLR{Gateway: "test", ID: "x1", From: mt.From, To: mt.To, State: sms.DeliveredSMS}); err != nil {
					t.Error(err)
				}
				return sms.Fail(sms.Unknown, "", "no answer")
			}
			w.is(w.send(&delivery.Message{From: ann, To: eve}), delivery.Delivered, delivery.ViaSMS, delivery.NotRegistered)
		})
	})
	t.Run("the process died before the answer, and again", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			w.gateway.slow = time.Second
			id := w.send(&delivery.Message{From: ann, To: eve, Payload: []byte(strings.Repeat("x", 200))})
			w.is(id, delivery.Submitting, 0, delivery.NotRegistered)
			w.crash()
			dlr(w, sms.DLR{ID: "x1", From: string(own), State: sms.DeliveredSMS})
			w.crash()
			dlr(w, sms.DLR{ID: "x2", From: string(own), State: sms.DeliveredSMS})
			w.is(id, delivery.Delivered, delivery.ViaSMS, delivery.NotRegistered)
			w.pass(time.Hour)
			w.submits(1)
		})
	})
	t.Run("the segments after the one in doubt follow it", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			w.gateway.failSegment = func(s sms.Segment) error {
				switch s.Number {
				case 1:
					return sms.Fail(sms.Unknown, "", "no answer")
				}
				return sms.Fail(sms.NotSent, "", "left out after segment unknown")
			}
			id := w.send(&delivery.Message{From: ann, To: eve, Payload: []byte(strings.Repeat("x", 200))})
			w.is(id, delivery.OutcomeUnknown, 0, delivery.OutcomeLost)
			w.gateway.mu.Lock()
			w.gateway.failSegment = nil
			w.gateway.mu.Unlock()
			dlr(w, sms.DLR{ID: "x1", From: string(own), State: sms.DeliveredSMS})
			w.pass(time.Second)
			w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
			if sent := w.submits(2); len(sent[1].Segments) != 1 || sent[1].Segments[0].Number != 2 {
				w.t.Fatalf("%+v", sent[1])
			}
			w.report("s1", sms.DeliveredSMS)
			w.is(id, delivery.Delivered, delivery.ViaSMS, delivery.NotRegistered)
		})
	})
	t.Run("after a crash", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			lost(w)
			id := w.send(&delivery.Message{From: ann, To: eve})
			w.crash()
			dlr(w, sms.DLR{ID: "x1", From: string(own), State: sms.DeliveredSMS})
			w.is(id, delivery.Delivered, delivery.ViaSMS, delivery.NotRegistered)
		})
	})
}

// A gateway that takes a message whole has one id for it, and one report.
func TestReportOfAWholeMessage(t *testing.T) {
	bubble(t, func(c *delivery.Config) { c.SMS.(*gateway).whole = true }, func(w *world) {
		id := w.send(&delivery.Message{From: ann, To: eve, Payload: []byte(strings.Repeat("x", 400))})
		w.report("s1", sms.DeliveredSMS)
		w.is(id, delivery.Delivered, delivery.ViaSMS, delivery.NotRegistered)
	})
}

// What was resent after an unknown outcome may come twice, and is delivered once.
func TestResendOfAnUnknownOutcome(t *testing.T) {
	bubble(t, func(c *delivery.Config) { c.Unknown.Resend = true }, func(w *world) {
		n := 0
		w.gateway.fail = func(sms.MT) error {
			if n++; n == 1 {
				return sms.Fail(sms.Unknown, "", "no answer")
			}
			return nil
		}
		id := w.send(&delivery.Message{From: ann, To: eve})
		w.is(id, delivery.OutcomeUnknown, 0, delivery.OutcomeLost)
		w.submits(1)
		w.pass(3 * time.Minute)
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
		w.submits(2)
		w.report("s1", sms.DeliveredSMS)
		w.is(id, delivery.Delivered, delivery.ViaSMS, delivery.NotRegistered)
	})
}

// An answer that finds its user's inbox full is kept for the operator.
func TestAnswerToAFullInbox(t *testing.T) {
	bubble(t, func(c *delivery.Config) { c.Inbox = 2 }, func(w *world) {
		w.send(&delivery.Message{From: ann, To: eve, Receipts: delivery.ReceiptsNone})
		for i := range 3 {
			w.answers(eve, own, fmt.Sprint("answer ", i))
		}
		if got := w.unmatched(); !slices.Equal(got, []string{string(eve) + " to " + string(own) + ": answer 2"}) {
			w.t.Fatalf("unmatched: %q", got)
		}
		all, _, _ := w.engine.Unmatched(w.t.Context(), delivery.ID{}, 10)
		if _, err := w.engine.Assign(w.t.Context(), all[0].ID, ann); !errors.Is(err, delivery.ErrFull) {
			w.t.Fatalf("%v", err)
		}
		a := w.phone(ann, delivery.Connection{})
		a.hears("sms answer 0, sms answer 1")
		w.pass(time.Second)
		if _, err := w.engine.Assign(w.t.Context(), all[0].ID, ann); err != nil {
			w.t.Fatal(err)
		}
		synctest.Wait()
		a.hears("sms answer 0, sms answer 1, sms answer 2")
	})
}
