package delivery_test

import (
	"testing"
	"testing/synctest"

	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
)

// TestReportOfAnotherGateway: a carrier reports what it was given, and nothing else, whatever reference it names.
func TestReportOfAnotherGateway(t *testing.T) {
	bubble(t, nil, func(w *world) {
		id := w.send(&delivery.Message{From: ann, To: eve})
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
		ref := sms.Ref(id)
		for _, state := range []sms.DLRState{sms.Undelivered, sms.DeliveredSMS} {
			if err := w.engine.DLR(w.t.Context(), sms.DLR{Gateway: "evil", ID: "1", Ref: &ref, State: state}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
		}
	})
}
