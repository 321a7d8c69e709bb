package hooks_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/hooks"
	"github.com/seed-7a41469f/godwit/hooks/internal/rawmqtt"
)

func property(pk packets.Packet, key string) (vals []string) {
	for _, u := range pk.Properties.User {
		if u.Key == key {
			vals = append(vals, u.Val)
		}
	}
	return vals
}

func TestPublishReachesTheInbox(t *testing.T) {
	for _, version := range []byte{4, 5} {
		h := start(t, setup{})
		a, b := h.connect(version, alice, "a"), h.listen(version, bob, "b")
		a.Publish("to/"+string(bob), "hello", 1, 7)
		ack := a.Expect(packets.Puback)
		if ack.PacketID != 7 || ack.ReasonCode != 0 {
			t.Fatalf("PUBACK %d %#x", ack.PacketID, ack.ReasonCode)
		}
		in := b.Expect(packets.Publish)
		if in.FixedHeader.Qos != 1 || in.PacketID < 0x8000 || string(in.Payload) != "hello" {
			t.Fatalf("got %+v", in)
		}
		prefix := "u/" + string(bob) + "/in/" + string(alice) + "/"
		if len(in.TopicName) != len(prefix)+26 || in.TopicName[:len(prefix)] != prefix {
			t.Fatalf("topic %s", in.TopicName)
		}
		b.Ack(in.PacketID)
		if version == 5 {
			id := in.TopicName[len(prefix):]
			if got := property(ack, "id"); !slices.Equal(got, []string{id}) {
				t.Errorf("the PUBACK says id %q, the topic %q", got, id)
			}
			if got := property(in, "via"); !slices.Equal(got, []string{"push"}) {
				t.Errorf("via %q", got)
			}
			if got := property(in, "at"); len(got) != 1 {
				t.Errorf("at %q", got)
			} else if _, err := time.Parse(time.RFC3339, got[0]); err != nil {
				t.Error(err)
			}
		}
	}
}

// mochi v2.7.9 acknowledges and routes after most errors of OnPublish, and panics after a wrapped one.
func TestErrorFromOnPublishNeverAcks(t *testing.T) {
	h := start(t, setup{})
	h.store.fail(errDisk)
	a, b := h.connect(4, alice, "a"), h.listen(4, bob, "b")
	a.Publish("to/"+string(bob), "lost?", 1, 1)
	a.Ping()
	a.Quiet(100 * time.Millisecond)
	b.Quiet(50 * time.Millisecond)
	a.Ping() // the connection stays while it lasts

	h.store.fail(nil)
	if got := a.ExpectClosed(); len(got) != 0 { // so that the client sends again
		t.Fatalf("before the close came %v", got)
	}
	again := h.connect(4, alice, "a")
	pk := rawmqtt.Publish("to/"+string(bob), "lost?", 1, 1)
	pk.FixedHeader.Dup = true
	again.Send(pk)
	again.Expect(packets.Puback)
	first := b.Expect(packets.Publish)
	b.Ack(first.PacketID)
	b.Quiet(100 * time.Millisecond)
}

func TestStoreTroubleOnMQTT5(t *testing.T) {
	h := start(t, setup{})
	a := h.connect(5, alice, "a")
	for _, c := range []struct {
		err  error
		code byte
		why  hooks.Refusal
	}{{errDisk, 0x80, hooks.RefusedStore}, {delivery.ErrDisk, 0x97, hooks.RefusedDisk}} {
		h.store.fail(c.err)
		a.Publish("to/"+string(bob), "x", 1, 1)
		if ack := a.Expect(packets.Puback); ack.ReasonCode != c.code {
			t.Errorf("%v: PUBACK %#x, want %#x", c.err, ack.ReasonCode, c.code)
		}
		a.Publish("to/"+string(bob), "x", 2, 2)
		if rec := a.Expect(packets.Pubrec); rec.ReasonCode != c.code {
			t.Errorf("%v: PUBREC %#x, want %#x", c.err, rec.ReasonCode, c.code)
		}
		if h.refused(c.why) != 2 {
			t.Errorf("%v counted %d times", c.why, h.refused(c.why))
		}
	}
	h.store.fail(nil)
	a.Publish("to/"+string(bob), "x", 1, 3)
	if ack := a.Expect(packets.Puback); ack.ReasonCode != 0 {
		t.Errorf("PUBACK %#x", ack.ReasonCode)
	}
}

func TestRefusals(t *testing.T) {
	h := start(t, setup{})
	user := func(kv ...string) (p packets.Properties) {
		for i := 0; i < len(kv); i += 2 {
			p.User = append(p.User, packets.UserProperty{Key: kv[i], Val: kv[i+1]})
		}
		return p
	}
	good := "to/" + string(bob)
	a5, a4 := h.connect(5, alice, "five"), h.connect(4, alice, "four")
	for _, c := range []struct {
		name, topic string
		props       packets.Properties
		code        byte
	}{
		{"unknown root", "hello/world", packets.Properties{}, 0x87},
		{"another's prefix", "u/" + string(bob) + "/in/x", packets.Properties{}, 0x87},
		{"own inbox", "u/" + string(alice) + "/in/x/y", packets.Properties{}, 0x87},
		{"no address", "to/", packets.Properties{}, 0x90},
		{"plus", "to/49 15112345", packets.Properties{}, 0x90},
		{"full width digits", "to/４９１５１１２３４５６", packets.Properties{}, 0x90},
		{"bad key", good + "/a b", packets.Properties{}, 0x90},
		{"too deep", good + "/a/b", packets.Properties{}, 0x90},
		{"SMS to a name", "sms/boiler", packets.Properties{}, 0x90},
		{"control character", "to/4915112345\x01602", packets.Properties{}, 0x90},
		{"sms", good, user("sms", "perhaps"), 0x99},
		{"after", good, user("after", "soon"), 0x99},
		{"negative after", good, user("after", "-5s"), 0x99},
		{"receipts", good, user("receipts", "some"), 0x99},
		{"only sms to a name", "to/boiler", user("sms", "only"), 0x99},
		{"long correlation data", good, packets.Properties{CorrelationData: make([]byte, 65)}, 0x99},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, qos := range []byte{1, 2} {
				pk := rawmqtt.Publish(c.topic, "x", qos, 3)
				pk.Properties = c.props
				a5.Send(pk)
				if ack := a5.Expect(ackOf(qos)); ack.ReasonCode != c.code {
					t.Errorf("QoS %d: %#x, want %#x", qos, ack.ReasonCode, c.code)
				}
				a5.Ping()
				if len(c.props.User) > 0 || c.props.CorrelationData != nil {
					continue
				}
				a4.Send(pk)
				a4.Expect(ackOf(qos)) // 3.1.1 knows no refusal
				a4.Ping()
			}
		})
	}
	if msgs, _, err := h.store.List(t.Context(), delivery.Query{Limit: 10}); err != nil || len(msgs) != 0 {
		t.Errorf("accepted %d messages, %v", len(msgs), err)
	}
}

// mochi v2.7.9 drops publishes to $SYS and $share before OnPublish, and never acknowledges them.
func TestDollarTopicsAreRefused(t *testing.T) {
	h := start(t, setup{})
	a5, a4 := h.connect(5, alice, "five"), h.connect(4, alice, "four")
	for _, topic := range []string{"$SYS/x", "$SYS", "$sysfoo", "$share/g/t", "$share", "$SHARE/g", "$", "$other/x"} {
		t.Run(topic, func(t *testing.T) {
			before := h.refused(hooks.RefusedNotAuthorized)
			for _, qos := range []byte{1, 2} {
				a5.Publish(topic, "x", qos, 3)
				if ack := a5.Expect(ackOf(qos)); ack.PacketID != 3 || ack.ReasonCode != 0x87 {
					t.Errorf("QoS %d: %d %#x, want 0x87", qos, ack.PacketID, ack.ReasonCode)
				}
				a4.Publish(topic, "x", qos, uint16(qos))
				if ack := a4.Expect(ackOf(qos)); ack.PacketID != uint16(qos) {
					t.Errorf("QoS %d on 3.1.1: %d", qos, ack.PacketID)
				}
				if qos == 2 {
					a4.Raw(packets.Pubrel<<4|2, 2, 0, 2)
					a4.Expect(packets.Pubcomp)
				}
			}
			a5.Publish(topic, "x", 0, 0)
			a5.Ping()
			a4.Ping()
			if n := h.refused(hooks.RefusedNotAuthorized) - before; n != 5 {
				t.Errorf("counted %d refusals, want 5", n)
			}
		})
	}
	pk := rawmqtt.Publish("$SYS/x", "x", 1, 4)
	pk.Properties.TopicAlias, pk.Properties.TopicAliasFlag = 3, true
	for _, name := range []string{"$SYS/x", ""} {
		pk.TopicName = name
		a5.Send(pk)
		if ack := a5.Expect(packets.Puback); ack.ReasonCode != 0x87 {
			t.Errorf("by its alias, topic name %q: %#x", name, ack.ReasonCode)
		}
	}
	h.store.block()
	a5.Publish("to/"+string(bob), "x", 1, 5)
	a5.Publish("$SYS/x", "x", 1, 6)
	a5.Quiet(50 * time.Millisecond) // in its turn
	h.store.release()
	if ack := a5.Expect(packets.Puback); ack.PacketID != 5 || ack.ReasonCode != 0 {
		t.Errorf("first came %d %#x", ack.PacketID, ack.ReasonCode)
	}
	if ack := a5.Expect(packets.Puback); ack.PacketID != 6 || ack.ReasonCode != 0x87 {
		t.Errorf("then came %d %#x", ack.PacketID, ack.ReasonCode)
	}
}

func TestForbiddenTopicNamesEndTheConnection(t *testing.T) {
	h := start(t, setup{})
	for _, topic := range []string{"to/+4915112345602", "to/#", "$SYS/#", "+", ""} {
		a := h.connect(5, alice, "a")
		a.Publish(topic, "x", 1, 3)
		if got := a.ExpectClosed(); len(got) != 1 || got[0].FixedHeader.Type != packets.Disconnect || got[0].ReasonCode != 0x82 {
			t.Errorf("%q: %v", topic, got)
		}
		a = h.connect(4, alice, "a")
		a.Publish(topic, "x", 1, 3)
		if got := a.ExpectClosed(); len(got) != 0 {
			t.Errorf("%q on 3.1.1: %v", topic, got)
		}
	}
	a := h.connect(5, alice, "a")
	a.Publish("to/\xff\xfe", "x", 1, 3)
	if got := a.ExpectClosed(); len(got) != 1 || got[0].FixedHeader.Type != packets.Disconnect || got[0].ReasonCode != 0x81 {
		t.Errorf("not UTF-8: %v", got)
	}
	a = h.connect(4, alice, "a")
	a.Publish("to/\xff\xfe", "x", 1, 3)
	if got := a.ExpectClosed(); len(got) != 0 {
		t.Errorf("not UTF-8 on 3.1.1: %v", got)
	}
}

func ackOf(qos byte) byte {
	if qos == 2 {
		return packets.Pubrec
	}
	return packets.Puback
}

func TestGoodPropertiesAreAccepted(t *testing.T) {
	h := start(t, setup{})
	a := h.connect(5, alice, "a")
	pk := rawmqtt.Publish("to/"+string(bob), "x", 1, 3)
	pk.Properties = packets.Properties{
		MessageExpiryInterval: 60, CorrelationData: []byte{0, 1, 2}, ResponseTopic: "u/" + string(alice) + "/receipt/here",
		User: []packets.UserProperty{{Key: "sms", Val: "never"}, {Key: "after", Val: "500h"}, {Key: "receipts", Val: "all"}, {Key: "mine", Val: "kept out"}},
	}
	a.Send(pk)
	if ack := a.Expect(packets.Puback); ack.ReasonCode != 0 {
		t.Fatalf("PUBACK %#x", ack.ReasonCode)
	}
}

// What is refused waits for its turn behind what is still being stored.
func TestLateAcksInOrderWithRefusalsBetween(t *testing.T) {
	h := start(t, setup{})
	a := h.connect(5, alice, "a")
	h.store.block()
	want := map[uint16]byte{}
	for id := uint16(1); id <= 60; id++ {
		topic, code := fmt.Sprintf("to/49151123456%02d", id), byte(0)
		switch id % 3 {
		case 1:
			topic, code = "nowhere", 0x87
		case 2:
			topic, code = "to/nobody here", 0x90
		}
		want[id] = code
		a.Publish(topic, "x", 1+byte(id%2), id)
	}
	if ack := a.Expect(packets.Pubrec); ack.PacketID != 1 {
		t.Fatalf("first came %d", ack.PacketID)
	}
	a.Expect(packets.Puback)
	a.Quiet(50 * time.Millisecond) // 3 is being stored
	h.store.release()
	for id := uint16(3); id <= 60; id++ {
		ack := a.Expect(ackOf(1 + byte(id%2)))
		if ack.PacketID != id || ack.ReasonCode != want[id] {
			t.Fatalf("got %d %#x, want %d %#x", ack.PacketID, ack.ReasonCode, id, want[id])
		}
	}
}

func TestPingDuringABlockedStore(t *testing.T) {
	h := start(t, setup{})
	for _, version := range []byte{4, 5} {
		a := h.connect(version, alice, "a")
		h.store.block()
		a.Publish("to/"+string(bob), "x", 1, 1)
		a.Ping()
		h.store.release()
		a.Expect(packets.Puback)
	}
}

func TestReceiveMaximumExceeded(t *testing.T) {
	const window = 4
	h := start(t, setup{mqtt: func(o *mqttOptions) { o.Capabilities.ReceiveMaximum = window }})
	h.store.block()
	t.Run("MQTT 5 closes with 0x93", func(t *testing.T) {
		a := h.dial(5)
		if ack := a.Connect(rawmqtt.Hello(5, "a", string(alice), h.tokens[alice])); ack.Properties.ReceiveMaximum != window {
			t.Fatalf("CONNACK says Receive Maximum %d", ack.Properties.ReceiveMaximum)
		}
		for id := uint16(1); id <= window+1; id++ {
			a.Publish("to/"+string(bob), "x", 1, id)
		}
		got := a.ExpectClosed()
		if len(got) != 1 || got[0].FixedHeader.Type != packets.Disconnect || got[0].ReasonCode != 0x93 {
			t.Fatalf("got %v", got)
		}
	})
	t.Run("MQTT 3.1.1 waits", func(t *testing.T) {
		a := h.connect(4, alice, "b")
		for id := uint16(1); id <= 3*window; id++ {
			a.Publish("to/"+string(bob), "x", 1, id)
		}
		a.Quiet(50 * time.Millisecond)
		h.store.release()
		for id := uint16(1); id <= 3*window; id++ {
			if ack := a.Expect(packets.Puback); ack.PacketID != id {
				t.Fatalf("got %d, want %d", ack.PacketID, id)
			}
		}
	})
}

func TestQoS2IsOneMessage(t *testing.T) {
	h := start(t, setup{})
	for _, version := range []byte{4, 5} {
		a, b := h.connect(version, alice, "a"), h.listen(version, bob, "b")
		pk := rawmqtt.Publish("to/"+string(bob), fmt.Sprint("exactly ", version), 2, 9)
		a.Send(pk)
		a.Expect(packets.Pubrec)
		pk.FixedHeader.Dup = true
		a.Send(pk) // its PUBREC was lost
		if rec := a.Expect(packets.Pubrec); rec.ReasonCode != 0 {
			t.Errorf("PUBREC %#x", rec.ReasonCode)
		}
		for range 2 { // a PUBREL may come twice as well
			a.Raw(packets.Pubrel<<4|2, 2, 0, 9)
			a.Expect(packets.Pubcomp)
		}
		b.Ack(b.Expect(packets.Publish).PacketID)
		b.Quiet(50 * time.Millisecond)
		pk.FixedHeader.Dup, pk.Payload = false, []byte("another")
		a.Send(pk) // the identifier is free again
		a.Expect(packets.Pubrec)
		b.Ack(b.Expect(packets.Publish).PacketID)
	}
}

func TestQoS0IsDelivered(t *testing.T) {
	h := start(t, setup{})
	a, b := h.connect(4, alice, "a"), h.listen(4, bob, "b")
	for i := range 50 {
		a.Publish("to/"+string(bob), fmt.Sprint(i), 0, 0)
	}
	for i := range 50 {
		pk := b.Expect(packets.Publish)
		if string(pk.Payload) != fmt.Sprint(i) {
			t.Fatalf("got %s, want %d", pk.Payload, i)
		}
		b.Ack(pk.PacketID)
	}
	a.Ping()
}

func TestDupAfterReconnect(t *testing.T) {
	h := start(t, setup{})
	b := h.listen(4, bob, "b")
	pk := rawmqtt.Publish("to/"+string(bob), "ALARM", 1, 1)
	a := h.connect(4, alice, "a")
	a.Send(pk)
	a.Expect(packets.Puback)
	b.Ack(b.Expect(packets.Publish).PacketID)
	a.Close()

	a = h.connect(4, alice, "a")
	pk.FixedHeader.Dup = true
	a.Send(pk) // it did not see the PUBACK
	a.Expect(packets.Puback)
	b.Quiet(100 * time.Millisecond)
	pk.FixedHeader.Dup = false
	a.Send(pk) // a second alarm
	a.Expect(packets.Puback)
	b.Expect(packets.Publish)
}

func TestTooFastASenderIsHeldBack(t *testing.T) {
	h := start(t, setup{options: hooks.Options{SendRate: 100}})
	a := h.connect(4, alice, "a")
	began := time.Now()
	for id := uint16(1); id <= 130; id++ {
		a.Publish("to/"+string(bob), "x", 1, id)
	}
	for range 130 {
		a.Expect(packets.Puback)
	}
	if took := time.Since(began); took < 250*time.Millisecond {
		t.Errorf("130 publishes at 100 a second, of which 100 at once, took %v", took)
	}
}

// With a topic alias OnACLCheck sees an empty topic.
func TestTopicAlias(t *testing.T) {
	h := start(t, setup{})
	a, b := h.connect(5, alice, "a"), h.listen(5, bob, "b")
	pk := rawmqtt.Publish("to/"+string(bob), "1", 1, 1)
	pk.Properties.TopicAlias, pk.Properties.TopicAliasFlag = 3, true
	a.Send(pk)
	a.Expect(packets.Puback)
	pk.TopicName, pk.PacketID, pk.Payload = "", 2, []byte("2")
	a.Send(pk)
	if ack := a.Expect(packets.Puback); ack.ReasonCode != 0 {
		t.Fatalf("PUBACK %#x", ack.ReasonCode)
	}
	for _, want := range []string{"1", "2"} {
		in := b.Expect(packets.Publish)
		if string(in.Payload) != want {
			t.Errorf("got %s", in.Payload)
		}
		b.Ack(in.PacketID)
	}
	pk.Properties.TopicAlias, pk.PacketID = 9, 3 // never set
	a.Send(pk)
	if ack := a.Expect(packets.Puback); ack.ReasonCode == 0 {
		t.Error("an alias that stands for nothing was accepted")
	}
}

func TestRetainIsDropped(t *testing.T) {
	h := start(t, setup{})
	a := h.connect(5, alice, "a")
	pk := rawmqtt.Publish("to/"+string(bob), "x", 1, 1)
	pk.FixedHeader.Retain = true
	a.Send(pk)
	if ack := a.Expect(packets.Puback); ack.ReasonCode != 0 {
		t.Fatalf("PUBACK %#x", ack.ReasonCode)
	}
	if n := len(h.server.Topics.Messages("to/#")); n != 0 {
		t.Errorf("%d retained messages", n)
	}
}
