package picture_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/picture"
	"github.com/seed-7a41469f/godwit/sms"
)

// everything is a message whose trail has every event, each with a device, evidence and a cost.
func everything(via delivery.Via) *delivery.Message {
	at := time.Date(2026, 11, 24, 10, 2, 0, 0, time.UTC)
	m := &delivery.Message{
		ID: delivery.NewID(1, "491522222222"), From: "491511111111", To: "491522222222", Root: delivery.RootTo, Key: delivery.Key{Text: "order-7"},
		Accepted: at, At: at.Add(time.Hour), State: delivery.Delivered, Via: via,
		SMS: &delivery.Leg{Segments: []delivery.Segment{{ID: "7f3a"}}, Price: sms.Money{Micros: 50_000, Currency: "EUR"}},
	}
	for i, event := range delivery.Events() {
		m.Trail = append(m.Trail, delivery.Step{
			At: at.Add(time.Duration(i+1) * time.Minute), Event: event, Device: "Pixel", Evidence: "evidence of " + event, Cost: m.SMS.Price,
		})
	}
	return m
}

func TestWhatEachSideSeesOfEveryEvent(t *testing.T) {
	const sender, recipient, neither = 1, 2, 0
	seen := map[string]int{
		delivery.EventStored: sender | recipient, delivery.EventPushed: recipient, delivery.EventAcknowledged: sender | recipient, delivery.EventLateAck: recipient,
		delivery.EventFallback: sender | recipient, delivery.EventWithdrawn: recipient, delivery.EventHeld: sender | recipient, delivery.EventWaits: sender | recipient,
		delivery.EventClaimed: sender, delivery.EventReleased: sender, delivery.EventTaken: sender | recipient, delivery.EventRefused: sender,
		delivery.EventUnknown: sender, delivery.EventReport: sender, delivery.EventDelivered: sender | recipient, delivery.EventFailed: sender | recipient,
		delivery.EventExpired: sender | recipient, delivery.EventOrdered: sender, delivery.EventAnswered: recipient, delivery.EventNoWayBack: sender,
	}
	p := picture.Of(everything(delivery.ViaPush))
	views := map[int]map[string]picture.Step{sender: {}, recipient: {}}
	for _, s := range picture.ForSender(p).Trail {
		views[sender][s.Event] = s
		if s.Device != "" {
			t.Errorf("the sender sees the device of %q", s.Event)
		}
	}
	for _, s := range picture.ForRecipient(p).Trail {
		views[recipient][s.Event] = s
		if s.Cost != "" || s.Evidence != "" || s.Device == "" {
			t.Errorf("the recipient sees of %q: %+v", s.Event, s)
		}
	}
	for _, event := range delivery.Events() {
		want, ok := seen[event]
		if !ok {
			t.Errorf("nobody has decided who sees the event %q", event)
		}
		for _, side := range []int{sender, recipient} {
			if _, shown := views[side][event]; shown != (want&side != neither) {
				t.Errorf("event %q, side %d: shown %v", event, side, shown)
			}
		}
	}
	if s := views[sender][delivery.EventNoWayBack]; s.Evidence != "" {
		t.Error("the sender sees that others write to the recipient")
	}
	if len(p.Trail) != len(delivery.Events()) || p.Trail[0].Device == "" {
		t.Error("the whole path was changed")
	}
}

// Of a message that was delivered as an SMS, the sender does not see that a device came back later, nor when.
func TestTheSenderSeesNoTimeOfPresence(t *testing.T) {
	m := everything(delivery.ViaSMS)
	body, err := json.Marshal(picture.ForSender(picture.Of(m)))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range m.Trail {
		switch s.Event {
		case delivery.EventPushed, delivery.EventAcknowledged, delivery.EventLateAck, delivery.EventWithdrawn:
			if strings.Contains(string(body), s.At.Format("15:04:05")) {
				t.Errorf("the time of %q is told", s.Event)
			}
		}
	}
}

func TestTheRecipientSeesNothingOfTheSendersAffairs(t *testing.T) {
	body, err := json.Marshal(picture.ForRecipient(picture.Of(everything(delivery.ViaPush))))
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"order-7", "EUR", "7f3a", "evidence"} {
		if strings.Contains(string(body), word) {
			t.Errorf("%q is told", word)
		}
	}
}
