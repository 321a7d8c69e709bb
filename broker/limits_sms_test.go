package broker_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

func encodePacket(pk packets.Packet) ([]byte, error) {
	pk.Mods.AllowResponseInfo = true // mochi leaves out Correlation Data otherwise
	var b bytes.Buffer
	var err error
	switch pk.FixedHeader.Type {
	case packets.Publish:
		err = pk.PublishEncode(&b)
	case packets.Connect:
		err = pk.ConnectEncode(&b)
	default:
		err = fmt.Errorf("%s is not one that tests send", packets.PacketNames[pk.FixedHeader.Type])
	}
	return b.Bytes(), err
}

// spending starts a broker whose SMS are counted. Counters are of hours and days of UTC, so none starts just before the next one.
func spending(t *testing.T, change func(*config.SMS)) *clienttest.Server {
	t.Helper()
	const enough = 30 * time.Second
	if left := time.Until(time.Now().Truncate(time.Hour).Add(time.Hour)); left < enough {
		time.Sleep(left) // sleep: a new hour begins, and with it the counters
	}
	return clienttest.NewServer(t, func(c *config.Config) { change(&c.SMS) })
}

// goes sends a message to somebody without the app, and compares what became of it; no reason: it went out as an SMS.
func goes(t *testing.T, p *clienttest.Phone, to contacts.Address, key, text string, reason delivery.Reason) {
	t.Helper()
	p.Publish("sms/"+string(to)+"/"+key, text)
	r := p.Final(key)
	switch {
	case reason == "" && (r.State != "delivered" || r.Via != "sms"):
		t.Errorf("%s: %+v, want an SMS", key, r)
	case reason != "" && (r.State != "failed" || r.Reason != reason):
		t.Errorf("%s: %+v, want %s", key, r, reason)
	}
}

// took checks how many SMS the network has.
func took(t *testing.T, s *clienttest.Server, n int) {
	t.Helper()
	if got := len(s.SMS.Received()); got != n {
		t.Errorf("%d SMS were sent, want %d", got, n)
	}
}

func number(i int) contacts.Address { return contacts.Address(fmt.Sprintf("49176040691%02d", i)) }

func capSender(t *testing.T) {
	s := spending(t, func(c *config.SMS) { c.Caps.SenderDay = 2 })
	a, b := s.Connect(clienttest.Login{User: anna}), s.Connect(clienttest.Login{User: "boiler", Version: clienttest.V311})
	goes(t, a, number(1), "1", "at the cap", "")
	goes(t, a, number(2), "2", "at the cap", "")
	goes(t, a, number(3), "3", "beyond the cap", delivery.RateSender)
	goes(t, b, number(3), "4", "of somebody else", "")
	took(t, s, 3)
}

func capRecipient(t *testing.T) {
	s := spending(t, func(c *config.SMS) { c.Caps.RecipientDay = 2 })
	a, b := s.Connect(clienttest.Login{User: anna}), s.Connect(clienttest.Login{User: "boiler"})
	goes(t, a, cleo, "1", "at the cap", "")
	goes(t, b, cleo, "2", "at the cap", "")
	goes(t, a, cleo, "3", "beyond the cap", delivery.RateRecipient)
	goes(t, b, cleo, "4", "beyond the cap", delivery.RateRecipient)
	goes(t, a, dora, "5", "to somebody else", "")
	took(t, s, 3)
}

func capPrefix(t *testing.T) {
	s := spending(t, func(c *config.SMS) { c.Caps.PrefixHour = 2 })
	a, b := s.Connect(clienttest.Login{User: anna}), s.Connect(clienttest.Login{User: "boiler"})
	goes(t, a, number(1), "1", "at the cap", "")
	goes(t, b, number(2), "2", "at the cap", "")
	goes(t, a, number(3), "3", "beyond the cap", delivery.RatePrefix)
	goes(t, a, "33612345678", "4", "to another country", "")
	took(t, s, 3)
}

func capLoop(t *testing.T) {
	s := spending(t, func(c *config.SMS) { c.Caps.LoopHour = 2 })
	a := s.Connect(clienttest.Login{User: anna})
	goes(t, a, cleo, "0", "I shall be out of the office", "")
	answer := func(key, text string, reason delivery.Reason) {
		s.SMS.MO(contacts.Number(cleo), clienttest.OurNumber, "So shall I, says "+key)
		a.Next("sms")
		goes(t, a, cleo, key, text, reason)
	}
	answer("1", "I shall be out of the office, still", "")
	answer("2", "I shall be out of the office, still", "")
	answer("3", "I shall be out of the office, still", delivery.LoopGuard)
	goes(t, a, dora, "4", "to somebody else", "")
	took(t, s, 4)
}

func cents(n int64) config.Money { return config.Money{Micros: n * 10_000, Currency: "EUR"} }

func budgetDay(t *testing.T) {
	budget(t, func(b *config.Budget) *config.Money { return &b.Day }, delivery.BudgetDay)
}
func budgetMonth(t *testing.T) {
	budget(t, func(b *config.Budget) *config.Money { return &b.Month }, delivery.BudgetMonth)
}

func budget(t *testing.T, which func(*config.Budget) *config.Money, reason delivery.Reason) {
	s := spending(t, func(c *config.SMS) {
		c.Price = map[string]config.Money{"49": cents(10), "33": cents(9)}
		*which(&c.Budget) = cents(39)
	})
	a := s.Connect(clienttest.Login{User: anna})
	goes(t, a, cleo, "1", strings.Repeat("x", 200), "") // two segments
	goes(t, a, cleo, "2", "one", "")
	goes(t, a, cleo, "3", "one cent too much", reason)
	goes(t, a, "33612345678", "4", "to the cent", "")
	goes(t, a, "33612345678", "5", "nothing is left", reason)
	goes(t, a, "436801234567", "6", "costs nobody knows what", delivery.PrefixDenied)
	took(t, s, 4)
}

func maxSegments(t *testing.T) {
	s := spending(t, func(c *config.SMS) { c.Template, c.MaxSegments = "{{.Text}}", 2 })
	a := s.Connect(clienttest.Login{User: anna})
	goes(t, a, cleo, "1", strings.Repeat("x", 2*153), "")
	goes(t, a, cleo, "2", strings.Repeat("x", 2*153+1), delivery.TooLong)
	goes(t, a, cleo, "3", strings.Repeat("д", 2*67), "")
	goes(t, a, cleo, "4", strings.Repeat("д", 2*67+1), delivery.TooLong)
	took(t, s, 4)
}

// A sender cannot make the broker wait longer than push.after_max before the SMS goes.
func afterMax(t *testing.T) {
	s := clienttest.NewServer(t, waiting(func(c *config.Config) {
		c.Push.AckTimeout, c.Push.AfterMax = config.Duration(time.Second), config.Duration(time.Second)
	}))
	b := s.Connect(clienttest.Login{User: bert, Silent: true})
	a := s.Connect(clienttest.Login{User: anna})
	for key, after := range map[string]string{"at": "1s", "beyond": "5h"} {
		a.Publish("to/"+string(bert)+"/"+key, "within a second", "after", after)
		b.Next("in")
	}
	for _, key := range []string{"at", "beyond"} {
		if r := a.Final(key); r.Via != "sms" || r.Reason != delivery.NoAnswer {
			t.Errorf("%s: %+v", key, r)
		}
	}
}

func pushWindow(t *testing.T) {
	s := clienttest.NewServer(t, waiting(func(c *config.Config) { c.Push.Window = 2 }))
	b := s.Connect(clienttest.Login{User: bert, Silent: true, Persistent: true})
	a := s.Connect(clienttest.Login{User: anna})
	for i := range 3 {
		a.Publish(fmt.Sprintf("app/%s/%d", bert, i), fmt.Sprintf("message number %d", i))
	}
	b.Next("in")
	b.Next("in")
	a.Publish("app/"+string(anna)+"/self", "a message that comes after them")
	a.Next("in")
	if left := b.Left(); len(left) != 0 {
		t.Errorf("a device whose window is full got %+v", left)
	}
	b.Answer()
	if m := b.Next("in"); m.Payload != "message number 2" {
		t.Errorf("got %q", m.Payload)
	}
}
