package hooks_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/hooks"
	"github.com/seed-7a41469f/godwit/hooks/internal/rawmqtt"
)

// willed logs alice's boiler in, with a will.
func willed(h *harness, version byte, topic string, change ...func(*packets.Packet)) (*rawmqtt.Client, packets.Packet) {
	h.t.Helper()
	hello := rawmqtt.Hello(version, "boiler", string(alice), h.tokens[alice])
	hello.Connect.WillFlag, hello.Connect.WillTopic, hello.Connect.WillPayload, hello.Connect.WillQos = true, topic, []byte("I am cold"), 1
	for _, c := range change {
		c(&hello)
	}
	c := h.dial(version)
	return c, c.Connect(hello)
}

// Wills pass neither OnPublish nor OnACLCheck in mochi.
func TestWillsPassOurAccess(t *testing.T) {
	h := start(t, setup{})
	for _, topic := range []string{"u/" + string(bob) + "/in/x/y", "t/free", "to/nobody else"} {
		want := byte(0x87)
		if strings.HasPrefix(topic, "to/") {
			want = 0x90
		}
		if _, ack := willed(h, 5, topic); ack.ReasonCode != want {
			t.Errorf("will to %s: CONNACK %#x, want %#x", topic, ack.ReasonCode, want)
		}
		c, ack := willed(h, 4, topic)
		if ack.ReasonCode != 0 {
			t.Errorf("will to %s on 3.1.1: CONNACK %#x", topic, ack.ReasonCode)
		}
		c.Close()
	}
	if n := h.refused(hooks.RefusedWill); n != 6 {
		t.Errorf("counted %d", n)
	}
}

func TestWillIsSentWhenTheDeviceDoesNotReturn(t *testing.T) {
	h := start(t, setup{})
	b := h.listen(5, bob, "b")
	c, _ := willed(h, 4, "to/"+string(bob)+"/cold", func(pk *packets.Packet) { pk.Connect.WillRetain = true })
	began := time.Now()
	c.Close()
	in := b.Expect(packets.Publish)
	if string(in.Payload) != "I am cold" || !strings.HasPrefix(in.TopicName, "u/"+string(bob)+"/in/"+string(alice)+"/") {
		t.Errorf("got %s on %s", in.Payload, in.TopicName)
	}
	if took := time.Since(began); took < 1900*time.Millisecond {
		t.Errorf("sent after %v", took)
	}
	b.Ack(in.PacketID)
	b.Quiet(200 * time.Millisecond)
}

func TestWillIsDropped(t *testing.T) {
	for name, leave := range map[string]func(h *harness, c *rawmqtt.Client){
		"the device returns": func(h *harness, c *rawmqtt.Client) {
			c.Close()
			h.eventually("gone", func() bool { return h.hook.Stats().Connected.Load() == 1 })
			h.connect(4, alice, "boiler")
		},
		"another connection takes over": func(h *harness, c *rawmqtt.Client) { h.connect(4, alice, "boiler") },
		"DISCONNECT":                    func(h *harness, c *rawmqtt.Client) { c.Raw(packets.Disconnect<<4, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, setup{})
			b := h.listen(4, bob, "b")
			c, _ := willed(h, 4, "to/"+string(bob))
			leave(h, c)
			b.Quiet(2500 * time.Millisecond)
			if n := h.hook.Stats().Wills.Load(); n != 0 {
				t.Errorf("%d wills were sent", n)
			}
		})
	}
}

func TestWillOnDisconnectWithWill(t *testing.T) {
	h := start(t, setup{})
	b := h.listen(5, bob, "b")
	c, _ := willed(h, 5, "to/"+string(bob))
	c.Raw(packets.Disconnect<<4, 1, 0x04)
	b.Expect(packets.Publish)
}

func TestNoWillBecauseTheServerStops(t *testing.T) {
	h := start(t, setup{})
	lost, _ := willed(h, 5, "to/"+string(bob))
	lost.Close() // its will is pending
	h.eventually("gone", func() bool { return h.hook.Stats().Connected.Load() == 0 })
	c, _ := willed(h, 5, "to/"+string(bob), func(pk *packets.Packet) { pk.Connect.ClientIdentifier = "other" })
	h.close()
	got := c.ExpectClosed()
	if len(got) != 1 || got[0].FixedHeader.Type != packets.Disconnect || got[0].ReasonCode != 0x8B {
		t.Errorf("goodbye was %v", got)
	}
	if n := h.hook.Stats().Wills.Load(); n != 0 {
		t.Errorf("%d wills were sent", n)
	}
}

// A between is another hook, which acts between login and CONNACK.
type between struct {
	mqtt.HookBase
	fn func()
}

func (*between) ID() string           { return "between" }
func (*between) Provides(b byte) bool { return b == mqtt.OnSessionEstablish }
func (b *between) OnSessionEstablish(*mqtt.Client, packets.Packet) {
	b.fn()
}

// The old connection is lost while the device comes back.
func TestWillIsDroppedWhenTheDeviceIsComingBack(t *testing.T) {
	h := start(t, setup{})
	b := h.listen(4, bob, "b")
	c, _ := willed(h, 4, "to/"+string(bob))
	h.must(h.server.AddHook(&between{fn: func() {
		c.Close()
		h.eventually("gone", func() bool { return h.hook.Stats().Connected.Load() == 1 })
	}}, nil))
	h.connect(4, alice, "boiler").Ping()
	b.Quiet(2500 * time.Millisecond)
}
