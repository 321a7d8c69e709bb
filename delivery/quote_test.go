package delivery_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
)

func (w *world) quote(from, to contacts.Address, text string) delivery.Quote {
	w.t.Helper()
	q, err := w.engine.Quote(w.t.Context(), from, to, []byte(text))
	if err != nil {
		w.t.Fatalf("quote: %v", err)
	}
	return q
}

// sent is how many SMS the gateway was given.
func (w *world) sent() int {
	w.gateway.mu.Lock()
	defer w.gateway.mu.Unlock()
	return len(w.gateway.sent)
}

// What is quoted is what happens to the message that is sent then, when no device is ready.
func TestAQuoteIsWhatHappens(t *testing.T) {
	long, tooLong := strings.Repeat("x", 400), strings.Repeat("x", 2000)
	offline := 10 * time.Second
	for name, c := range map[string]struct {
		change func(c *delivery.Config)
		before func(w *world)
		to     contacts.Address
		text   string
		want   delivery.Quote
		state  delivery.State
	}{
		"not registered":              {nil, nil, eve, "hello", delivery.Quote{Way: "sms", Segments: 1, Reason: delivery.NotRegistered}, delivery.Submitted},
		"not registered, priced":      {priced(1000), nil, eve, long, delivery.Quote{Way: "sms", Segments: 3, Price: euros(15), Reason: delivery.NotRegistered}, delivery.Submitted},
		"registered":                  {priced(1000), nil, bob, long, delivery.Quote{Way: "push", Wait: offline, Segments: 3, Price: euros(15)}, delivery.Submitted},
		"too long, not registered":    {nil, nil, eve, tooLong, delivery.Quote{Way: "failed", Reason: delivery.TooLong}, delivery.Failed},
		"too long, registered":        {nil, nil, bob, tooLong, delivery.Quote{Way: "waiting", Reason: delivery.TooLong}, delivery.Waiting},
		"no text, not registered":     {nil, nil, eve, "\xff", delivery.Quote{Way: "failed", Reason: delivery.NotText}, delivery.Failed},
		"no text, registered":         {nil, nil, bob, "\xff", delivery.Quote{Way: "waiting", Reason: delivery.NotText}, delivery.Waiting},
		"a name":                      {nil, func(w *world) { w.register("boiler") }, "boiler", "hello", delivery.Quote{Way: "push"}, delivery.Waiting},
		"a name that is nobody's":     {nil, nil, "nobody", "hello", delivery.Quote{Way: "failed", Reason: delivery.NoSuchName}, delivery.Failed},
		"no gateway":                  {func(c *delivery.Config) { c.SMS = nil }, nil, eve, "hello", delivery.Quote{Way: "waiting", Reason: delivery.GatewayDown}, delivery.Waiting},
		"no gateway, registered":      {func(c *delivery.Config) { c.SMS = nil }, nil, bob, "hello", delivery.Quote{Way: "waiting", Reason: delivery.GatewayDown}, delivery.Waiting},
		"the budget is used up":       {priced(12), func(w *world) { w.send(&delivery.Message{From: ann, To: "491544444444", Payload: []byte(long[:200])}) }, eve, "hello", delivery.Quote{Way: "failed", Reason: delivery.BudgetDay}, delivery.Failed},
		"the budget has room left":    {priced(15), func(w *world) { w.send(&delivery.Message{From: ann, To: "491544444444", Payload: []byte(long[:200])}) }, eve, "hello", delivery.Quote{Way: "sms", Segments: 1, Price: euros(5), Reason: delivery.NotRegistered}, delivery.Submitted},
		"the prefix is denied":        {func(c *delivery.Config) { c.Policy = sms.Policy{Allow: []string{"86"}} }, nil, eve, "hello", delivery.Quote{Way: "failed", Reason: delivery.PrefixDenied}, delivery.Failed},
		"the template takes its room": {func(c *delivery.Config) { c.Template = "{{.From}}: {{.Text}}" }, nil, eve, long[:150], delivery.Quote{Way: "sms", Segments: 2, Reason: delivery.NotRegistered}, delivery.Submitted},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, c.change, func(w *world) {
				if c.before != nil {
					c.before(w)
				}
				if got := w.quote(ann, c.to, c.text); got != c.want {
					t.Errorf("quoted %+v, want %+v", got, c.want)
				}
				before := w.sent()
				id := w.send(&delivery.Message{From: ann, To: c.to, Payload: []byte(c.text)})
				w.pass(c.want.Wait + time.Second)
				m := w.state(id)
				if m.State != c.state {
					t.Fatalf("the message is %v (%s), want %v", m.State, m.Reason, c.state)
				}
				if m.SMS != nil && (len(m.SMS.Segments) != c.want.Segments || m.SMS.Price != c.want.Price) {
					t.Errorf("the SMS has %d segments for %v", len(m.SMS.Segments), m.SMS.Price)
				}
				if m.SMS == nil && c.to != "boiler" && m.Reason != c.want.Reason {
					t.Errorf("the message is %v because of %s", m.State, m.Reason)
				}
				if m.SMS == nil && w.sent() != before {
					t.Error("an SMS went out")
				}
			})
		})
	}
}

func TestAQuoteSaysWhoWantsNoSMS(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.stop()
		outs := optOuts(w.t, &w.config, w.store)
		w.start()
		if err := outs.Add(w.t.Context(), sms.OptOut{Number: contacts.Number(eve)}); err != nil {
			t.Fatal(err)
		}
		if got := w.quote(ann, eve, "hello"); got != (delivery.Quote{Way: "failed", Reason: delivery.OptedOut}) {
			t.Errorf("%+v", got)
		}
	})
}

// Nothing is sent and nothing is booked by a quote, and it says the same whether a device is there or not.
func TestAQuoteTellsNothingOfPresence(t *testing.T) {
	bubble(t, priced(1000), func(w *world) {
		never := w.quote(ann, bob, "hello")
		b := w.phone(bob, delivery.Connection{ClientID: "b", Remembered: true})
		ready := w.quote(ann, bob, "hello")
		b.dev.Gone(delivery.LeftClean)
		w.pass(time.Hour)
		left := w.quote(ann, bob, "hello")
		if never != ready || ready != left {
			t.Errorf("never there: %+v, ready: %+v, left: %+v", never, ready, left)
		}
		w.spend(0)
		w.submits(0)
	})
}

// A user may ask about so many new numbers a day; what was asked about before is free, and neither names nor the own number count.
func TestNumbersThatAreAskedAboutAreCounted(t *testing.T) {
	bubble(t, func(c *delivery.Config) { c.ChangesPerDay = 3 }, func(w *world) {
		number := func(i int) contacts.Address { return contacts.Address(fmt.Sprintf("49155500000%d", i)) }
		w.register("boiler")
		for i := range 3 {
			w.quote(ann, number(i), "hello")
			w.quote(ann, number(i), "hello again")
			w.quote(ann, "boiler", "hello")
			w.quote(ann, ann, "hello")
		}
		if _, err := w.engine.Quote(w.t.Context(), ann, number(3), []byte("hello")); !errors.Is(err, delivery.ErrAsked) {
			t.Errorf("the fourth number: %v", err)
		}
		w.crash()
		if _, err := w.engine.Quote(w.t.Context(), ann, number(3), []byte("hello")); !errors.Is(err, delivery.ErrAsked) {
			t.Errorf("the fourth number after a crash: %v", err)
		}
		w.quote(ann, number(1), "hello")
		w.quote(bob, number(3), "hello")
		w.pass(24 * time.Hour)
		w.quote(ann, number(3), "hello")
	})
	bubble(t, func(c *delivery.Config) { c.ChangesPerDay = -1 }, func(w *world) {
		if _, err := w.engine.Quote(w.t.Context(), ann, eve, []byte("hello")); !errors.Is(err, delivery.ErrAsked) {
			t.Errorf("none may be asked about: %v", err)
		}
	})
}
