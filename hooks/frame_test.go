package hooks_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/hooks"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 20e6, time.UTC)

func TestAckBytes(t *testing.T) {
	id, err := delivery.ParseID("01ARZ3NDEKTSV4RRFFQ69G5FAV")
	if err != nil {
		t.Fatal(err)
	}
	long := "4027" + "0102" + "00" + "23" + "260002" + hex.EncodeToString([]byte("id")) + "001a" + hex.EncodeToString([]byte("01ARZ3NDEKTSV4RRFFQ69G5FAV"))
	long = strings.Replace(long, "4027", "4025", 1)
	long = strings.Replace(long, "010200"+"23", "010200"+"21", 1)
	for _, c := range []struct {
		name    string
		version byte
		max     uint32
		info    bool
		code    byte
		id      delivery.ID
		want    string
	}{
		{"3.1.1", 4, 0, true, 0, id, "40020102"},
		{"3.1.1 refusal", 4, 0, true, 0x87, id, "40020102"},
		{"5 with id", 5, 0, true, 0, id, long},
		{"5 without problem information", 5, 0, false, 0, id, "40020102"},
		{"5 small packets", 5, 38, true, 0, id, "40020102"},
		{"5 packets just large enough", 5, 39, true, 0, id, long},
		{"5 refusal", 5, 0, true, 0x99, delivery.ID{}, "4003010299"},
		{"5 no id", 5, 0, true, 0, delivery.ID{}, "40020102"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := hex.EncodeToString(hooks.AppendAck(c.version, c.max, c.info, 0x0102, c.code, c.id)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// decodePush reads a frame with mochi's decoder.
func decodePush(t testing.TB, frame []byte, version byte) packets.Packet {
	t.Helper()
	pk := packets.Packet{ProtocolVersion: version}
	if err := pk.FixedHeader.Decode(frame[0]); err != nil {
		t.Fatal(err)
	}
	r := bytes.NewReader(frame[1:])
	n, _, err := packets.DecodeLength(r)
	if err != nil || n != r.Len() {
		t.Fatalf("length %d of %d, %v", n, r.Len(), err)
	}
	if err := pk.PublishDecode(frame[len(frame)-n:]); err != nil {
		t.Fatal(err)
	}
	return pk
}

func TestPushBytes(t *testing.T) {
	id := delivery.NewID(1, "4915112345601")
	push := delivery.Push{
		Slot: 0x8001, Dup: true, Topic: "u/49/in/48/" + id.String(), Payload: []byte("hello"), ID: id, At: noon, Via: "sms", Tag: []byte{0, 9}, InReplyTo: id,
		Expires: noon.Add(1500 * time.Millisecond), Identifiers: []uint32{1, 268435455},
	}
	b, ok := hooks.AppendPush(5, 0, &push, noon)
	pk := decodePush(t, b, 5)
	p := pk.Properties
	if !ok || !pk.FixedHeader.Dup || pk.FixedHeader.Qos != 1 || pk.FixedHeader.Retain || pk.PacketID != 0x8001 || pk.TopicName != push.Topic ||
		string(pk.Payload) != "hello" || p.MessageExpiryInterval != 2 || !bytes.Equal(p.CorrelationData, push.Tag) ||
		len(p.SubscriptionIdentifier) != 2 || p.SubscriptionIdentifier[1] != 268435455 {
		t.Errorf("got %+v", pk)
	}
	for key, want := range map[string]string{"id": id.String(), "at": "2026-11-24T12:00:00.020Z", "via": "sms", "in_reply_to": id.String()} {
		if got := property(pk, key); len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}

	small, ok := hooks.AppendPush(5, uint32(len(b)-1), &push, noon)
	if pk := decodePush(t, small, 5); !ok || len(pk.Properties.User) != 0 || len(pk.Properties.CorrelationData) == 0 {
		t.Errorf("a smaller packet has %+v", pk.Properties)
	}
	if got, ok := hooks.AppendPush(5, uint32(len(small)-1), &push, noon); ok || len(got) != 0 {
		t.Errorf("a packet of %d octets was made for less", len(got))
	}
	plain, ok := hooks.AppendPush(4, 0, &push, noon)
	if pk := decodePush(t, plain, 4); !ok || string(pk.Payload) != "hello" || pk.PacketID != 0x8001 {
		t.Errorf("on 3.1.1: %+v", pk)
	}
	push.Slot, push.Dup = 0, false
	zero, _ := hooks.AppendPush(4, 0, &push, noon)
	if pk := decodePush(t, zero, 4); pk.FixedHeader.Qos != 0 || string(pk.Payload) != "hello" {
		t.Errorf("QoS 0: %+v", pk)
	}
}

func FuzzPush(f *testing.F) {
	f.Add("u/49/in/48/x", []byte("hello"), []byte{1}, "push", uint32(7), int64(5), uint16(0x8000), byte(5))
	f.Add("", []byte{}, []byte{}, "", uint32(0), int64(-5), uint16(0), byte(4))
	f.Fuzz(func(t *testing.T, topic string, payload, tag []byte, via string, identifier uint32, left int64, slot uint16, version byte) {
		if len(topic) > 60_000 || len(tag) > 60_000 || len(via) > 60_000 || identifier > 268435455 || !utf8.ValidString(topic) || !utf8.ValidString(via) || strings.Contains(topic+via, "\x00") {
			t.Skip()
		}
		version = 4 + version%2
		p := delivery.Push{Topic: topic, Payload: payload, Tag: tag, Via: via, Slot: slot, At: noon, ID: delivery.NewID(9, "x"), Expires: noon.Add(time.Duration(left))}
		if identifier > 0 {
			p.Identifiers = []uint32{identifier}
		}
		b, ok := hooks.AppendPush(version, 0, &p, noon)
		if !ok {
			t.Fatal("no limit, and yet too large")
		}
		pk := decodePush(t, b, version)
		if pk.TopicName != topic || !bytes.Equal(pk.Payload, payload) || pk.PacketID != slot {
			t.Fatalf("came back as %+v", pk)
		}
		if version == 5 && (!bytes.Equal(pk.Properties.CorrelationData, tag) || pk.Properties.MessageExpiryInterval == 0) {
			t.Fatalf("properties came back as %+v", pk.Properties)
		}
	})
}

// Whatever is published, what becomes a message is from the user, to an address, and within bounds.
func FuzzCompose(f *testing.F) {
	f.Add("to/4915112345601/key", []byte("x"), []byte("c"), "u/4915112345602/receipt/x", "after", "30s", "sms", "never")
	f.Add("sms/boiler", []byte{0xff}, []byte(nil), "u/x/#", "receipts", "all", "after", "1h")
	f.Fuzz(func(t *testing.T, topic string, payload, correlation []byte, reply, k1, v1, k2, v2 string) {
		p := packets.Properties{CorrelationData: correlation, ResponseTopic: reply, User: []packets.UserProperty{{Key: k1, Val: v1}, {Key: k2, Val: v2}}}
		const me = contacts.Address("4915112345602")
		m, code := hooks.Compose(me, topic, payload, &p)
		if m == nil {
			if code != 0x87 && code != 0x90 && code != 0x99 {
				t.Fatalf("refused with %#x", code)
			}
			return
		}
		if to, err := contacts.ParseAddress(string(m.To)); err != nil || to != m.To || m.From != me || code != 0 {
			t.Fatalf("message %+v, code %#x", m, code)
		}
		if m.Key.Text != "" && delivery.CheckKey(m.Key.Text) != nil || len(m.Key.Correlation) > 64 || m.Wait < 0 || m.Wait > 10*time.Minute {
			t.Fatalf("message %+v", m)
		}
		if m.Reply != "" && (!strings.HasPrefix(m.Reply, "u/"+string(me)+"/receipt/") || strings.ContainsAny(m.Reply, "+#") || !hooks.Clean(m.Reply)) {
			t.Fatalf("receipts to %q", m.Reply)
		}
	})
}
