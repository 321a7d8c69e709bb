package delivery_test

import (
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/delivery"
)

// TestSlowAnswerIsNotSentTwice: a gateway that is still at it, as a modem is for up to two minutes, and then says that it has sent the message.
func TestSlowAnswerIsNotSentTwice(t *testing.T) {
	bubble(t, func(c *delivery.Config) { c.Unknown.Resend, c.Unknown.Hold = true, 30*time.Second }, func(w *world) {
		w.gateway.slow = time.Minute
		id := w.send(&delivery.Message{From: ann, To: eve})
		w.pass(time.Minute + time.Second)
		w.gateway.slow = 0
		w.pass(5 * time.Minute)
		w.submits(1)
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
	})
}

// TestSlowAnswerIsHeard: what the gateway took did not fail.
func TestSlowAnswerIsHeard(t *testing.T) {
	bubble(t, func(c *delivery.Config) { c.Unknown.Hold = 30 * time.Second }, func(w *world) {
		w.gateway.slow = time.Minute
		id := w.send(&delivery.Message{From: ann, To: eve})
		w.pass(time.Minute + time.Second)
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
	})
}
