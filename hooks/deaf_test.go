package hooks_test

import (
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/hooks/internal/rawmqtt"
)

// A device that leaves a push unacknowledged is deaf: nothing more is written to it until it answers or connects again, and the push's packet
// identifier is neither used again on this connection nor resent when the session is resumed under a message that another device has taken.
func TestWithdrawnPacketIdentifier(t *testing.T) {
	h := start(t, setup{engine: func(c *delivery.Config) { c.AckTimeout = 300 * time.Millisecond }})
	h.addUser("boiler")
	a := h.connect(5, alice, "a")
	b := h.dial(5)
	b.Connect(lasting(h, 5, "boiler", "b"))
	b.Subscribe(1, inbox("boiler"))

	a.Publish("to/boiler", "unanswered", 1, 1)
	a.Expect(packets.Puback)
	first := b.Expect(packets.Publish)
	time.Sleep(600 * time.Millisecond) // sleep: deaf now; nothing on the wire tells
	a.Publish("to/boiler", "while deaf", 1, 2)
	a.Expect(packets.Puback)
	b.Quiet(200 * time.Millisecond)

	b.Ack(first.PacketID) // it hears again
	second := b.Expect(packets.Publish)
	if string(second.Payload) != "while deaf" || second.PacketID == first.PacketID {
		t.Fatalf("got %s under %#x, the withdrawn identifier is %#x", second.Payload, second.PacketID, first.PacketID)
	}
	b.Ack(second.PacketID)

	a.Publish("to/boiler", "for another device", 1, 3)
	a.Expect(packets.Puback)
	third := b.Expect(packets.Publish)
	if third.PacketID == first.PacketID || third.PacketID == second.PacketID {
		t.Errorf("identifier %#x is used again", third.PacketID)
	}
	b.Close() // without an acknowledgement
	h.eventually("gone", func() bool { return h.hook.Stats().Connected.Load() == 1 })
	b = h.dial(5)
	if ack := b.Connect(lasting(h, 5, "boiler", "b")); !ack.SessionPresent {
		t.Fatal("no session present")
	}
	again := b.Expect(packets.Publish)
	if again.PacketID != third.PacketID || !again.FixedHeader.Dup || string(again.Payload) != "for another device" {
		t.Errorf("resumed with %s under %#x, dup %v; want it under %#x with dup", again.Payload, again.PacketID, again.FixedHeader.Dup, third.PacketID)
	}
	b.Ack(again.PacketID)
	b.Quiet(100 * time.Millisecond)
}

// The broker does not read while a sender is held back: its own pushes need not be answered in that time.
func TestHeldBackIsNotDeaf(t *testing.T) {
	h := start(t, setup{
		engine: func(c *delivery.Config) { c.AckTimeout = 400 * time.Millisecond },
		mqtt:   func(o *mqttOptions) { o.Capabilities.ReceiveMaximum = 2 },
	})
	h.addUser("boiler")
	a, b := h.connect(4, alice, "a"), h.listen(4, "boiler", "b")
	a.Publish("to/boiler", "one", 1, 1)
	a.Expect(packets.Puback)
	one := b.Expect(packets.Publish)
	h.store.block()
	for id := uint16(1); id <= 4; id++ {
		b.Publish("to/"+string(alice), "busy", 1, id) // more than the window
	}
	b.Ack(one.PacketID)                // behind them: read when the store is back
	time.Sleep(700 * time.Millisecond) // sleep: longer than the time to answer, which must not count
	h.store.release()
	for range 4 {
		b.Expect(packets.Puback)
	}
	h.eventually("delivered", func() bool {
		ms, _, err := h.store.List(t.Context(), delivery.Query{To: contacts.Address("boiler"), Limit: 1})
		return err == nil && len(ms) == 1 && ms[0].State == delivery.Delivered
	})
	a.Publish("to/boiler", "two", 1, 2)
	a.Expect(packets.Puback)
	b.Expect(packets.Publish)
}

// A message that is larger than a device's Maximum Packet Size passes it over, and holds up nothing.
func TestMessageLargerThanTheDeviceTakes(t *testing.T) {
	h := start(t, setup{})
	hello := rawmqtt.Hello(5, "b", string(bob), h.tokens[bob])
	hello.Properties.MaximumPacketSize = 600
	b := h.dial(5)
	b.Connect(hello)
	b.Subscribe(1, inbox(bob))
	a := h.connect(4, alice, "a")
	a.Publish("app/"+string(bob), string(make([]byte, 1000)), 1, 1)
	a.Publish("app/"+string(bob), "small", 1, 2)
	if in := b.Expect(packets.Publish); string(in.Payload) != "small" {
		t.Errorf("got %d octets", len(in.Payload))
	}
}
