package delivery_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
)

const cent = 10_000 // micros

func euros(cents int64) sms.Money { return sms.Money{Micros: cents * cent, Currency: "EUR"} }

// priced has every segment cost five cents, and a budget of so many cents a day.
func priced(day int64) func(c *delivery.Config) {
	return func(c *delivery.Config) {
		c.Policy = sms.Policy{Prices: sms.Prices{Currency: "EUR", Micros: map[string]int64{"*": 5 * cent}}, DayBudget: euros(day), Allow: []string{"*"}}
	}
}

func (w *world) spend(day int64) {
	w.t.Helper()
	got, err := w.engine.Spend(w.t.Context())
	if err != nil || got.Day != euros(day) {
		w.t.Fatalf("booked today: %v (%v), want %v", got.Day, err, euros(day))
	}
}

func TestBudget(t *testing.T) {
	bubble(t, priced(12), func(w *world) {
		first := w.send(&delivery.Message{From: ann, To: eve})
		w.is(first, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
		w.spend(5)
		long := w.send(&delivery.Message{From: ann, To: eve, Payload: []byte(strings.Repeat("x", 161))})
		w.is(long, delivery.Failed, 0, delivery.BudgetDay)
		w.spend(5)
		second := w.send(&delivery.Message{From: ann, To: eve})
		w.is(second, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
		third := w.send(&delivery.Message{From: ann, To: eve})
		w.is(third, delivery.Failed, 0, delivery.BudgetDay)
		b := w.phone(bob, delivery.Connection{ClientID: "b", Remembered: true})
		b.dev.Gone(delivery.LeftClean)
		waits := w.send(&delivery.Message{From: ann, To: bob})
		w.is(waits, delivery.Waiting, 0, delivery.BudgetDay)
		w.crash()
		w.spend(10)
		again := w.send(&delivery.Message{From: ann, To: eve})
		w.is(again, delivery.Failed, 0, delivery.BudgetDay)
		w.submits(2)
		w.pass(24 * time.Hour)
		tomorrow := w.send(&delivery.Message{From: ann, To: eve})
		w.is(tomorrow, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
		w.spend(5)
		w.is(waits, delivery.Waiting, 0, delivery.BudgetDay)
		w.connect(b, bob, delivery.Connection{ClientID: "b", Remembered: true, Resumed: true})
		w.is(waits, delivery.Delivered, delivery.ViaPush, "")
	})
}

func TestReceiptTellsThePriceOfAllSegments(t *testing.T) {
	bubble(t, priced(1000), func(w *world) {
		id := w.send(&delivery.Message{From: ann, To: eve, Payload: []byte(strings.Repeat("x", 307))})
		r := delivery.ReceiptOf(w.state(id), delivery.Submitted)
		if r.Price != "0.15 EUR" || r.Segments != 3 {
			t.Fatalf("%+v", r)
		}
	})
}

// What an attempt did not spend is given back, what it may have spent is not.
func TestMoneyIsGivenBack(t *testing.T) {
	for name, tt := range map[string]struct {
		class  sms.Class
		booked int64
		after  int64 // ten minutes later
	}{
		"not sent":      {sms.NotSent, 0, 0},
		"throttled":     {sms.Throttled, 0, 0},
		"temporary":     {sms.Temporary, 0, 0},
		"permanent":     {sms.Permanent, 0, 0},
		"configuration": {sms.Configuration, 0, 0},
		"unknown":       {sms.Unknown, 10, 10},
		"taken":         {0, 10, 10},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, priced(1000), func(w *world) {
				w.gateway.fail = func(sms.MT) error {
					if tt.class == 0 {
						return nil
					}
					return sms.Fail(tt.class, "", "as told")
				}
				w.send(&delivery.Message{From: ann, To: eve, Payload: []byte(strings.Repeat("x", 200))})
				w.spend(tt.booked)
				w.pass(10 * time.Minute)
				w.spend(tt.after)
			})
		})
	}
}

func TestCaps(t *testing.T) {
	other := contacts.Address("491544444444")
	far := contacts.Address("8613800138000")
	for name, tt := range map[string]struct {
		policy sms.Policy
		send   []delivery.Message
		want   []delivery.Reason
	}{
		"sender": {sms.Policy{SenderDay: 2}, []delivery.Message{{From: ann, To: eve}, {From: ann, To: other}, {From: ann, To: far}, {From: bob, To: eve}},
			[]delivery.Reason{"", "", delivery.RateSender, ""}},
		"recipient": {sms.Policy{RecipientDay: 1}, []delivery.Message{{From: ann, To: eve}, {From: bob, To: eve}, {From: bob, To: other}},
			[]delivery.Reason{"", delivery.RateRecipient, ""}},
		"prefix": {sms.Policy{PrefixHour: 2}, []delivery.Message{{From: ann, To: eve}, {From: bob, To: other}, {From: bob, To: eve}, {From: bob, To: far}},
			[]delivery.Reason{"", "", delivery.RatePrefix, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(c *delivery.Config) { c.Policy = tt.policy; c.Policy.Allow = []string{"*"} }, func(w *world) {
				for i, m := range tt.send {
					id := w.send(&m)
					got := w.state(id).Reason
					if want := tt.want[i]; want == "" && got != delivery.NotRegistered || want != "" && got != want {
						t.Errorf("message %d: %q, want %q", i+1, got, want)
					}
				}
			})
		})
	}
}

// A message counts once, however often it is tried.
func TestCapsCountMessagesNotAttempts(t *testing.T) {
	bubble(t, func(c *delivery.Config) { c.Policy = sms.Policy{SenderDay: 2, Allow: []string{"*"}} }, func(w *world) {
		n := 0
		w.gateway.fail = func(sms.MT) error {
			if n++; n <= 3 {
				return sms.Fail(sms.Temporary, "0x08", "system error")
			}
			return nil
		}
		id := w.send(&delivery.Message{From: ann, To: eve})
		w.pass(10 * time.Minute)
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
		id = w.send(&delivery.Message{From: ann, To: eve})
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
		id = w.send(&delivery.Message{From: ann, To: eve})
		w.is(id, delivery.Failed, 0, delivery.RateSender)
	})
}

func TestPrefixes(t *testing.T) {
	for name, tt := range map[string]struct {
		policy sms.Policy
		routes []sms.Route
	}{
		"denied":             {policy: sms.Policy{Allow: []string{"*"}, Deny: []string{"4915"}}},
		"not allowed":        {policy: sms.Policy{Allow: []string{"86"}}},
		"without a price":    {policy: sms.Policy{Allow: []string{"*"}, Prices: sms.Prices{Currency: "EUR", Micros: map[string]int64{"86": 1}}, MonthBudget: euros(1)}},
		"without a route":    {policy: sms.Policy{Allow: []string{"*"}}, routes: []sms.Route{{Prefix: "86", Use: []string{"test"}}}},
		"a budget of nought": {policy: sms.Policy{Allow: []string{"*"}, Prices: sms.Prices{Currency: "EUR", Micros: map[string]int64{"*": 1}}, DayBudget: euros(0)}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(c *delivery.Config) { c.Policy, c.Routes = tt.policy, tt.routes }, func(w *world) {
				want := delivery.PrefixDenied
				if name == "a budget of nought" {
					want = delivery.BudgetDay
				}
				w.is(w.send(&delivery.Message{From: ann, To: eve}), delivery.Failed, 0, want)
				b := w.phone(bob, delivery.Connection{ClientID: "b", Remembered: true})
				b.dev.Gone(delivery.LeftClean)
				w.is(w.send(&delivery.Message{From: ann, To: bob}), delivery.Waiting, 0, want)
				w.submits(0)
			})
		})
	}
}

// Two machines that answer each other at once are stopped, a person who answers is not.
func TestLoopGuard(t *testing.T) {
	bubble(t, func(c *delivery.Config) { c.Policy = sms.Policy{LoopHour: 3, Allow: []string{"*"}} }, func(w *world) {
		w.phone(ann, delivery.Connection{})
		answers := func(after time.Duration, i int) delivery.ID {
			mo := sms.MO{Gateway: "test", From: contacts.Number(eve), To: own, Text: fmt.Sprint("answer ", i)}
			if err := w.engine.MO(w.t.Context(), mo); err != nil {
				t.Fatal(err)
			}
			w.pass(after)
			return w.send(&delivery.Message{From: ann, To: eve})
		}
		w.send(&delivery.Message{From: ann, To: eve})
		for i := range 5 {
			w.is(answers(6*time.Second, i), delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
		}
		for i := range 3 {
			w.is(answers(time.Second, 10+i), delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
		}
		w.is(answers(time.Second, 20), delivery.Failed, 0, delivery.LoopGuard)
		w.is(answers(6*time.Second, 30), delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
		w.pass(time.Hour)
		w.is(answers(time.Second, 40), delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
	})
}

// I6 on the engine: whatever links and the broker do, what the carrier took never costs more than the budget.
func TestBudgetIsNeverPassed(t *testing.T) {
	runs := 20
	if testing.Short() {
		runs = 5
	}
	for seed := range uint64(runs) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 6))
			bubble(t, priced(100), func(w *world) {
				var took int
				luck := rand.New(rand.NewPCG(seed, 7)) // the gateway's, guarded by its lock
				w.gateway.slow = 20 * time.Millisecond
				w.gateway.fail = func(mt sms.MT) error {
					switch luck.IntN(8) {
					case 0:
						return sms.Fail(sms.NotSent, "", "as told")
					case 1:
						return sms.Fail(sms.Temporary, "", "as told")
					case 2:
						took += len(mt.Segments)
						return sms.Fail(sms.Unknown, "", "as told")
					}
					took += len(mt.Segments)
					return nil
				}
				for i := range 60 {
					to := contacts.Address(fmt.Sprint(int64(491560000000) + int64(i)))
					w.send(&delivery.Message{From: ann, To: to, Payload: []byte(strings.Repeat("x", 1+r.IntN(400)))})
					if r.IntN(20) == 0 {
						w.crash()
					}
					w.pass(time.Duration(r.IntN(30)) * time.Millisecond)
				}
				w.pass(time.Hour)
				if took*5 > 100 || took == 0 {
					t.Fatalf("the carrier took %d segments of 5 cents, and the budget is 100", took)
				}
			})
		})
	}
}

func TestTestOfAGatewayIsBooked(t *testing.T) {
	bubble(t, priced(12), func(w *world) {
		outcomes, price, err := w.engine.Test(w.t.Context(), "test", contacts.Number(eve), "hello")
		if err != nil || len(outcomes) != 1 || outcomes[0].Err != nil || price != euros(5) {
			t.Fatalf("%+v, %v, %v", outcomes, price, err)
		}
		w.gateway.fail = func(sms.MT) error { return sms.Fail(sms.Permanent, "0x0b", "no such number") }
		if _, price, err = w.engine.Test(w.t.Context(), "test", contacts.Number(eve), "hello"); err != nil || price.Micros != 0 {
			t.Fatalf("%v, %v", price, err)
		}
		w.spend(5)
		w.gateway.fail = nil
		var over *sms.OverLimit
		if _, _, err = w.engine.Test(w.t.Context(), "test", contacts.Number(eve), strings.Repeat("x", 200)); !errors.As(err, &over) {
			t.Fatalf("%v", err)
		}
		if _, _, err = w.engine.Test(w.t.Context(), "other", contacts.Number(eve), "x"); !errors.Is(err, delivery.ErrNoGateway) {
			t.Fatalf("%v", err)
		}
		w.spend(5)
		synctest.Wait()
	})
}
