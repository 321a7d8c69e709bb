package delivery_test

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
)

// anyMessage draws a message with every field set to something.
func anyMessage(t *rapid.T) *delivery.Message {
	micros := func(label string) time.Time {
		if rapid.Bool().Draw(t, label+" set") {
			return time.UnixMicro(rapid.Int64Range(0, 1<<52).Draw(t, label))
		}
		return time.Time{}
	}
	octets := func(label string, most int) []byte {
		if b := rapid.SliceOfN(rapid.Byte(), 0, most).Draw(t, label); len(b) > 0 {
			return b
		}
		return nil
	}
	reason := func(label string) delivery.Reason {
		i := rapid.IntRange(-1, len(delivery.Reasons)-1).Draw(t, label)
		if i < 0 {
			return ""
		}
		return delivery.Reasons[i].Reason
	}
	money := func(label string) sms.Money {
		if rapid.Bool().Draw(t, label+" set") {
			return sms.Money{Micros: rapid.Int64().Draw(t, label), Currency: "EUR"}
		}
		return sms.Money{}
	}
	text := rapid.StringN(0, 12, 40)
	m := &delivery.Message{
		Rev: rapid.Uint64().Draw(t, "rev"), From: contacts.Address(text.Draw(t, "from")), To: contacts.Address(text.Draw(t, "to")),
		Root: delivery.Root(rapid.ByteRange(1, 4).Draw(t, "root")), SMSPolicy: delivery.SMSPolicy(rapid.ByteRange(0, 3).Draw(t, "policy")),
		Key: delivery.Key{Text: text.Draw(t, "key"), Correlation: octets("correlation", 64)}, Reply: text.Draw(t, "reply"),
		Wait: time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "wait")) * time.Microsecond, Receipts: delivery.Receipts(rapid.ByteRange(0, 3).Draw(t, "receipts")),
		Payload: octets("payload", 300), Accepted: time.UnixMicro(rapid.Int64Range(0, 1<<52).Draw(t, "accepted")), Expires: micros("expires"),
		State: delivery.State(rapid.ByteRange(1, 9).Draw(t, "state")), Reason: reason("reason"), Via: delivery.Via(rapid.ByteRange(0, 2).Draw(t, "via")),
		At: micros("at"), Due: micros("due"), Stands: delivery.Position(rapid.Uint64().Draw(t, "stands")), Told: rapid.Uint16().Draw(t, "told"),
	}
	copy(m.ID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	if rapid.Bool().Draw(t, "origin") {
		m.Origin = delivery.Origin{Device: "d" + text.Draw(t, "device"), PacketID: rapid.Uint16().Draw(t, "pid"), Digest: rapid.Uint64().Draw(t, "digest")}
	}
	if rapid.Bool().Draw(t, "leg") {
		m.SMS = &delivery.Leg{
			Attempts: rapid.IntRange(0, 9).Draw(t, "attempts"), Claims: rapid.IntRange(0, 99).Draw(t, "claims"), Gateway: text.Draw(t, "gateway"),
			Node: text.Draw(t, "node"), From: text.Draw(t, "originator"), Until: micros("until"), Cause: reason("cause"), Price: money("price"),
			Holding: rapid.Bool().Draw(t, "holding"), Submitted: micros("submitted"),
			Booked: micros("booked"), Counted: micros("counted"), Digest: rapid.Uint32().Draw(t, "digest of the text"),
		}
		for range rapid.IntRange(0, 4).Draw(t, "segments") {
			m.SMS.Segments = append(m.SMS.Segments, delivery.Segment{ID: text.Draw(t, "sid"), State: delivery.SegmentState(rapid.ByteRange(0, 4).Draw(t, "sstate"))})
		}
	}
	m.Own, m.Service = contacts.Number(text.Draw(t, "own")), rapid.Bool().Draw(t, "service")
	for range rapid.IntRange(0, 4).Draw(t, "steps") {
		m.Trail = append(m.Trail, delivery.Step{
			At: micros("step at"), Step: "S3", Event: rapid.SampledFrom([]string{delivery.EventPushed, delivery.EventNoWayBack, "something else"}).Draw(t, "event"),
			Device: text.Draw(t, "step device"), Reason: reason("step reason"), Evidence: text.Draw(t, "evidence"), Cost: money("cost"),
		})
	}
	return m
}

func TestRecordComesBackWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyMessage(t)
		b, err := want.AppendBinary([]byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		var got delivery.Message
		if err := got.UnmarshalBinary(b[len("before"):]); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(*want, got) {
			t.Fatalf("want %+v\ngot  %+v", *want, got)
		}
	})
}

func FuzzRecord(f *testing.F) {
	m := delivery.Message{From: "491511", To: "491522", Root: delivery.RootTo, Payload: []byte("hello"), Accepted: time.UnixMicro(1), SMS: &delivery.Leg{Segments: []delivery.Segment{{ID: "1"}}},
		Trail: []delivery.Step{{Step: "S1", Event: delivery.EventStored}}}
	b, _ := m.AppendBinary(nil)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m delivery.Message
		if m.UnmarshalBinary(b) != nil {
			return
		}
		again, _ := m.AppendBinary(nil)
		var n delivery.Message
		if err := n.UnmarshalBinary(again); err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
	})
}

func TestIDs(t *testing.T) {
	at := delivery.Position(0).After(time.UnixMilli(1_700_000_000_123))
	id := delivery.NewID(at, "491511234567")
	if id.Position() != at || id.Bucket() != delivery.Bucket("491511234567") || id.Time().UnixMilli() != 1_700_000_000_123 {
		t.Fatalf("%v carries position %d, bucket %x, time %v", id, id.Position(), id.Bucket(), id.Time())
	}
	back, err := delivery.ParseID(id.String())
	if err != nil || back != id {
		t.Fatalf("%v, %v; want %v", back, err, id)
	}
	later := delivery.NewID(at.After(time.UnixMilli(1_600_000_000_000)), "1")
	if later.Position() != at+1 || later.String() <= id.String() {
		t.Fatal("ids must grow, also when the clock goes back")
	}
	for _, bad := range []string{"", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "01ARZ3NDEKTSV4RRFFQ69G5FA", "01ARZ3NDEKTSV4RRFFQ69G5FAU", "01ARZ3NDEKTSV4RRFFQ69G5FAÖ"} {
		if _, err := delivery.ParseID(bad); err == nil {
			t.Errorf("ParseID(%q) accepted", bad)
		}
	}
}
