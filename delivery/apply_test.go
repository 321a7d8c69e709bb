package delivery_test

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
)

// apply changes the settings while the engine runs.
func (w *world) apply(change func(c *delivery.Config)) {
	w.t.Helper()
	c := w.config
	change(&c)
	if err := w.engine.Apply(c); err != nil {
		w.t.Fatal(err)
	}
	w.config = c
	synctest.Wait()
}

// absent registers a user whose only device has left.
func (w *world) absent(user contacts.Address) *phone {
	p := w.phone(user, delivery.Connection{ClientID: "b", Remembered: true})
	p.dev.Gone(delivery.LeftClean)
	synctest.Wait()
	return p
}

func TestWaitingForALimitIsDecidedAnew(t *testing.T) {
	long := strings.Repeat("x", 161)
	for name, tt := range map[string]struct {
		before, after func(c *delivery.Config)
		text          string
		reason        delivery.Reason
	}{
		"budget":    {priced(4), priced(5), "hello", delivery.BudgetDay},
		"no budget": {priced(0), func(c *delivery.Config) { c.Policy.DayBudget = sms.Money{} }, "hello", delivery.BudgetDay},
		"price":     {priced(4), func(c *delivery.Config) { c.Policy.Prices.Micros = map[string]int64{"*": 4 * cent} }, "hello", delivery.BudgetDay},
		"prefix":    {func(c *delivery.Config) { c.Policy.Deny = []string{"49"} }, func(c *delivery.Config) { c.Policy.Deny = nil }, "hello", delivery.PrefixDenied},
		"segments":  {func(c *delivery.Config) { c.MaxSegments = 1 }, func(c *delivery.Config) { c.MaxSegments = 2 }, long, delivery.TooLong},
		"cap": {func(c *delivery.Config) { c.Policy.RecipientDay = 1 }, func(c *delivery.Config) { c.Policy.RecipientDay = 2 },
			"hello", delivery.RateRecipient},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, tt.before, func(w *world) {
				w.absent(bob)
				sent := 0
				if tt.reason == delivery.RateRecipient { // one is within it
					w.send(&delivery.Message{From: ann, To: bob})
					sent++
				}
				id := w.send(&delivery.Message{From: ann, To: bob, Payload: []byte(tt.text)})
				w.is(id, delivery.Waiting, 0, tt.reason)
				w.apply(func(c *delivery.Config) { c.AckTimeout = time.Minute })
				w.is(id, delivery.Waiting, 0, tt.reason)
				w.submits(sent)
				w.apply(tt.after)
				w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.Left)
				w.submits(sent + 1)
			})
		})
	}
}

func TestWaitingForTheNextLimit(t *testing.T) {
	bubble(t, priced(4), func(w *world) {
		b := w.absent(bob)
		id := w.send(&delivery.Message{From: ann, To: bob})
		w.apply(func(c *delivery.Config) { priced(5)(c); c.Policy.Deny = []string{"49"} })
		w.is(id, delivery.Waiting, 0, delivery.PrefixDenied)
		w.crash()
		w.apply(func(c *delivery.Config) { c.Policy.Deny, c.Policy.MonthBudget = nil, euros(4) })
		w.is(id, delivery.Waiting, 0, delivery.BudgetMonth)
		w.submits(0)
		w.connect(b, bob, delivery.Connection{ClientID: "b", Remembered: true, Resumed: true})
		w.is(id, delivery.Delivered, delivery.ViaPush, "")
		w.apply(priced(100))
		w.submits(0)
	})
}

// A device that has come back meanwhile gets what waited, and there is no SMS.
func TestOrderedToTheAppStays(t *testing.T) {
	bubble(t, priced(4), func(w *world) {
		w.absent(bob)
		id := w.send(&delivery.Message{From: ann, To: bob, Root: delivery.RootApp})
		w.is(id, delivery.Waiting, 0, delivery.AppOnly)
		w.apply(priced(100))
		w.is(id, delivery.Waiting, 0, delivery.AppOnly)
		w.submits(0)
	})
}

// What an attempt booked is given back as it was booked, whatever it would cost now; else the budget would be passed (I6).
func TestPriceChangesUnderWay(t *testing.T) {
	bubble(t, priced(100), func(w *world) {
		w.gateway.slow = 5 * time.Second
		w.gateway.fail = func(sms.MT) error { return sms.Fail(sms.Temporary, "", "busy") }
		id := w.send(&delivery.Message{From: ann, To: eve, Payload: []byte(strings.Repeat("x", 161))})
		w.spend(10)
		w.apply(func(c *delivery.Config) { c.Policy.Prices.Micros = map[string]int64{"*": 7 * cent} })
		w.spend(10)
		w.pass(6 * time.Second)
		w.spend(0)
		w.pass(5 * time.Second)
		w.spend(14)
		w.gateway.mu.Lock()
		w.gateway.fail = nil
		w.gateway.mu.Unlock()
		w.pass(time.Minute)
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
		w.spend(14)
	})
}

func TestWaitIsShortened(t *testing.T) {
	bubble(t, func(c *delivery.Config) { c.AckTimeout = time.Hour }, func(w *world) {
		b := w.phone(bob, delivery.Connection{ClientID: "b"})
		b.silent = true
		id := w.send(&delivery.Message{From: ann, To: bob})
		w.pass(time.Minute)
		w.is(id, delivery.Accepted, 0, "")
		w.apply(func(c *delivery.Config) { c.AckTimeout = 2 * time.Minute })
		w.is(id, delivery.Accepted, 0, "")
		w.pass(time.Minute)
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NoAnswer)
	})
}

// What waits for a place at a gateway is claimed under the settings of then.
func TestDeniedWhileItIsWanted(t *testing.T) {
	bubble(t, priced(100), func(w *world) {
		if err := w.engine.Pause("test"); err != nil {
			t.Fatal(err)
		}
		id := w.send(&delivery.Message{From: ann, To: eve})
		dear := w.send(&delivery.Message{From: ann, To: "15550001111"})
		w.apply(func(c *delivery.Config) { c.Policy.Deny, c.Policy.DayBudget = []string{"49"}, euros(4) })
		if err := w.engine.Resume("test"); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Second)
		w.is(id, delivery.Failed, 0, delivery.PrefixDenied)
		w.is(dear, delivery.Failed, 0, delivery.BudgetDay)
		w.submits(0)
		w.spend(0)
	})
}

func TestTextOfNewTemplate(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.apply(func(c *delivery.Config) { c.Template = "{{.From}} writes {{.Text}}"; c.Originator = "Godwit" })
		w.send(&delivery.Message{From: ann, To: eve})
		if mt := w.submits(1)[0]; mt.Text != "+"+string(ann)+" writes hello" || mt.From != "Godwit" {
			t.Errorf("%+v", mt)
		}
	})
}

func TestWrongSettingsChangeNothing(t *testing.T) {
	bubble(t, priced(4), func(w *world) {
		w.absent(bob)
		id := w.send(&delivery.Message{From: ann, To: bob})
		c := w.config
		priced(100)(&c)
		c.Template = "{{"
		if err := w.engine.Apply(c); err == nil || !strings.Contains(err.Error(), "Config.Template") {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		w.is(id, delivery.Waiting, 0, delivery.BudgetDay)
		w.submits(0)
	})
}

// Whatever prices, budgets and waits become while messages come and gateways fail: what was booked is what was submitted, and never passes the highest budget.
func TestSettingsChangeAllTheTime(t *testing.T) {
	bubble(t, func(c *delivery.Config) { priced(200)(c); c.InboxAge = 24 * time.Hour }, func(w *world) {
		r := rand.New(rand.NewPCG(1, 2))
		w.gateway.slow = 300 * time.Millisecond
		w.gateway.failSegment = func(sms.Segment) error {
			if rand.IntN(3) == 0 {
				return sms.Fail(sms.NotSent, "", "no link")
			}
			return nil
		}
		b := w.absent(bob)
		for i := range 120 {
			to := []contacts.Address{bob, eve}[r.IntN(2)]
			done := make(accepted, 1)
			w.engine.Publish(&delivery.Message{From: ann, To: to, Root: delivery.RootTo, Payload: []byte(strings.Repeat("x", 1+r.IntN(400)))}, delivery.Publication{}, done)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			w.apply(func(c *delivery.Config) {
				priced(int64(1 + r.IntN(200)))(c)
				c.Policy.Prices.Micros["*"] = int64(1+r.IntN(9)) * cent
				c.MaxSegments, c.AckTimeout = 1+r.IntN(4), time.Duration(1+r.IntN(9))*time.Second
			})
			spend, err := w.engine.Spend(t.Context())
			if err != nil || spend.Day.Micros < 0 || spend.Day.Micros > 200*cent {
				t.Fatalf("after %d changes %v is booked, %v", i, spend.Day, err)
			}
			w.pass(time.Duration(r.IntN(500)) * time.Millisecond)
		}
		w.connect(b, bob, delivery.Connection{ClientID: "b", Remembered: true, Resumed: true})
		w.pass(4 * 24 * time.Hour)
		all, _, err := w.store.List(t.Context(), delivery.Query{From: ann, Limit: 1000})
		if err != nil || len(all) != 120 {
			t.Fatalf("%d messages, %v", len(all), err)
		}
		for _, m := range all {
			if m.State != delivery.Delivered && m.State != delivery.Failed && m.State != delivery.Submitted && m.State != delivery.Expired {
				t.Errorf("a message is %v (%v) for ever", m.State, m.Reason)
			}
		}
	})
}

func TestApplyKeepsTheParts(t *testing.T) {
	bubble(t, nil, func(w *world) {
		if err := w.engine.Apply(delivery.Config{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		id := w.send(&delivery.Message{From: ann, To: eve})
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
		if mt := w.submits(1)[0]; mt.From != string(own) {
			t.Errorf("it came from %s", mt.From)
		}
		if err := w.engine.Apply(delivery.Config{Window: -1}); err == nil || errors.Is(err, delivery.ErrStopped) {
			t.Errorf("got %v", err)
		}
	})
}

// One that was claimed before, and then was forbidden by the budget, goes out once there is one again: not when it expires.
func TestDecidedAnewAfterAnAttempt(t *testing.T) {
	bubble(t, priced(5), func(w *world) {
		w.absent(bob)
		w.gateway.fail = func(sms.MT) error { return sms.Fail(sms.Temporary, "", "busy") }
		id := w.send(&delivery.Message{From: ann, To: bob})
		w.is(id, delivery.Accepted, 0, delivery.GatewayDown)
		w.apply(priced(4))
		w.pass(6 * time.Second)
		w.is(id, delivery.Waiting, 0, delivery.BudgetDay)
		w.gateway.mu.Lock()
		w.gateway.fail = nil
		w.gateway.mu.Unlock()
		w.apply(priced(100))
		w.pass(time.Minute)
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.Left)
	})
}

// What was waiting before the start is decided anew too, though it is read only after the settings have changed.
func TestLimitsChangeBeforeAllIsRecovered(t *testing.T) {
	bubble(t, priced(4), func(w *world) {
		w.absent(bob)
		id := w.send(&delivery.Message{From: ann, To: bob})
		w.is(id, delivery.Waiting, 0, delivery.BudgetDay)
		w.early = func() {
			c := w.config
			priced(100)(&c)
			if err := w.engine.Apply(c); err != nil {
				t.Error(err)
			}
		}
		w.crash()
		w.pass(time.Minute)
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.Offline)
	})
}

// What an old limit forbids while it is taken away is decided anew too.
func TestForbiddenWhileTheLimitsChange(t *testing.T) {
	bubble(t, priced(4), func(w *world) {
		w.absent(bob)
		r := rand.New(rand.NewPCG(1, 2))
		for i := range 500 {
			w.apply(priced(4))
			done := make(accepted, 1)
			m := &delivery.Message{From: ann, To: bob, Root: delivery.RootTo, Payload: []byte("hello")}
			w.engine.Publish(m, delivery.Publication{}, done)
			<-done
			for range r.IntN(20) {
				runtime.Gosched()
			}
			w.apply(priced(1_000_000))
			if now := w.state(m.ID); now.State != delivery.Submitted {
				t.Fatalf("message %d is %v (%s)", i, now.State, now.Reason)
			}
		}
	})
}
