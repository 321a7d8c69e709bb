package delivery_test

import (
	"errors"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/delivery"
)

func TestOptionsOfAMessage(t *testing.T) {
	number, name := delivery.Message{To: "4917604069001"}, delivery.Message{To: "boiler"}
	with := func(m delivery.Message, change func(*delivery.Message)) delivery.Message { change(&m); return m }
	for _, c := range []struct {
		option, value string
		to, want      delivery.Message
	}{
		{"sms", "auto", number, with(number, func(m *delivery.Message) { m.SMSPolicy = delivery.SMSAuto })},
		{"sms", "never", name, with(name, func(m *delivery.Message) { m.SMSPolicy = delivery.SMSNever })},
		{"sms", "only", number, with(number, func(m *delivery.Message) { m.SMSPolicy = delivery.SMSOnly })},
		{"receipts", "none", number, with(number, func(m *delivery.Message) { m.Receipts = delivery.ReceiptsNone })},
		{"receipts", "final", number, with(number, func(m *delivery.Message) { m.Receipts = delivery.ReceiptsFinal })},
		{"receipts", "all", number, with(number, func(m *delivery.Message) { m.Receipts = delivery.ReceiptsAll })},
		{"after", "30s", number, with(number, func(m *delivery.Message) { m.Wait = 30 * time.Second })},
		{"after", "0s", number, with(number, func(m *delivery.Message) { m.Wait = time.Second })},
		{"after", "1ms", number, with(number, func(m *delivery.Message) { m.Wait = time.Second })},
		{"after", "24h", number, with(number, func(m *delivery.Message) { m.Wait = 24 * time.Hour })}, // Publish clamps
		{"colour", "blue", number, number},
	} {
		m := c.to
		if err := m.SetOption(c.option, c.value); err != nil || m.SMSPolicy != c.want.SMSPolicy || m.Receipts != c.want.Receipts || m.Wait != c.want.Wait {
			t.Errorf("%s=%s: %+v, %v", c.option, c.value, m, err)
		}
	}
	for _, c := range []struct {
		option, value string
		to            delivery.Message
	}{
		{"sms", "", number}, {"sms", "Auto", number}, {"sms", "only", name}, {"receipts", "some", number}, {"receipts", "", number},
		{"after", "", number}, {"after", "30", number}, {"after", "-1s", number}, {"after", "soon", number},
	} {
		m := c.to
		if err := m.SetOption(c.option, c.value); !errors.Is(err, delivery.ErrOption) {
			t.Errorf("%s=%s to %s: %v", c.option, c.value, c.to.To, err)
		}
	}
}
