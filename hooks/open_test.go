package hooks_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/hooks"
	"github.com/seed-7a41469f/godwit/hooks/internal/rawmqtt"
)

func TestOpenTopicsAreMochis(t *testing.T) {
	h := start(t, setup{options: hooks.Options{Open: []string{"t/#"}}})
	a, b := h.connect(5, alice, "a"), h.connect(4, bob, "b")
	if codes := b.Subscribe(1, "t/+/x", "t/#", "tt/#", "#"); codes[0] != 1 || codes[1] != 1 || codes[2] != 0x80 || codes[3] != 0x80 {
		t.Fatalf("SUBACK %#x", codes)
	}
	a.Publish("to/"+string(bob), "first", 1, 1)
	a.Publish("t/a/x", "plain", 1, 2)
	for id := uint16(1); id <= 2; id++ {
		if ack := a.Expect(packets.Puback); ack.PacketID != id || ack.ReasonCode != 0 {
			t.Fatalf("PUBACK %d %#x", ack.PacketID, ack.ReasonCode)
		}
	}
	in := b.Expect(packets.Publish)
	if in.TopicName != "t/a/x" || in.PacketID >= 0x8000 {
		t.Fatalf("got %s under %#x", in.TopicName, in.PacketID)
	}
	b.Ack(in.PacketID)
	b.Ping()
}

// plain reads a PUBLISH of an open topic and acknowledges it.
func plain(c *rawmqtt.Client) packets.Packet {
	pk := c.Expect(packets.Publish)
	switch pk.FixedHeader.Qos {
	case 1:
		c.Ack(pk.PacketID)
	case 2:
		c.Raw(packets.Pubrec<<4, 2, byte(pk.PacketID>>8), byte(pk.PacketID))
		c.Expect(packets.Pubrel)
		c.Raw(packets.Pubcomp<<4, 2, byte(pk.PacketID>>8), byte(pk.PacketID))
	}
	return pk
}

// Two clients on open topics, as on any broker: each version, each QoS, in order, and the engine sees nothing of it.
func TestOpenTopicsEndToEnd(t *testing.T) {
	h := start(t, setup{options: hooks.Options{Open: []string{"t/#", "home/+/state"}}})
	for _, from := range []byte{4, 5} {
		for _, to := range []byte{4, 5} {
			for qos := range byte(3) {
				id := fmt.Sprint(from, to, qos)
				a, b := h.connect(from, alice, id), h.connect(to, bob, id)
				if codes := b.Subscribe(qos, "home/+/state", "t/a"); codes[0] != qos || codes[1] != qos {
					t.Fatalf("SUBACK %#x", codes)
				}
				for n := range 20 {
					pk := rawmqtt.Publish("home/cellar/state", fmt.Sprint(n), qos, uint16(n+1))
					pk.FixedHeader.Retain = true // dropped
					a.Send(pk)
					switch qos {
					case 1:
						a.Expect(packets.Puback)
					case 2:
						a.Expect(packets.Pubrec)
						a.Raw(packets.Pubrel<<4|2, 2, 0, byte(n+1))
						a.Expect(packets.Pubcomp)
					}
					if got := plain(b); got.TopicName != "home/cellar/state" || string(got.Payload) != fmt.Sprint(n) || got.FixedHeader.Qos != qos || got.FixedHeader.Retain {
						t.Fatalf("from %d to %d: got %+v", from, to, got)
					}
				}
				late := h.connect(to, bob, "late"+id)
				late.Subscribe(qos, "home/+/state")
				late.Quiet(20 * time.Millisecond) // nothing was retained
				b.Close()
				late.Close()
			}
		}
	}
	for root := range h.hook.Engine().Stats().Accepted {
		if n := h.hook.Engine().Stats().Accepted[root].Load(); n != 0 {
			t.Errorf("the engine has accepted %d messages", n)
		}
	}
}

func TestRetainOnOpenTopics(t *testing.T) {
	for _, retain := range []bool{true, false} {
		h := start(t, setup{options: hooks.Options{Open: []string{"t/#"}, Retain: retain}})
		a := h.dial(5)
		p := a.Connect(rawmqtt.Hello(5, "a", string(alice), h.tokens[alice])).Properties
		if denied := p.RetainAvailableFlag && p.RetainAvailable == 0; denied == retain {
			t.Errorf("retain %v: CONNACK %+v", retain, p)
		}
		for id, topic := range []string{"t/x", "to/" + string(bob)} {
			pk := rawmqtt.Publish(topic, "kept", 1, uint16(id+1))
			pk.FixedHeader.Retain = true
			a.Send(pk)
			if ack := a.Expect(packets.Puback); ack.ReasonCode != 0 {
				t.Errorf("PUBACK %#x", ack.ReasonCode)
			}
		}
		b := h.connect(4, bob, "b")
		b.Subscribe(1, "t/#")
		if !retain {
			b.Quiet(50 * time.Millisecond)
		} else if got := plain(b); string(got.Payload) != "kept" || !got.FixedHeader.Retain {
			t.Errorf("got %+v", got)
		}
		if n := len(h.server.Topics.Messages("to/#")); n != 0 {
			t.Errorf("a message of ours was retained")
		}
	}
}

// What is open opens nothing else.
func TestOpenTopicsOpenNothingElse(t *testing.T) {
	h := start(t, setup{options: hooks.Options{Open: []string{"t/#", "home/+/state"}}})
	for _, version := range []byte{4, 5} {
		a := h.connect(version, alice, "a")
		for _, f := range []string{
			"#", "+/#", "+/a", "home/#", "home/+/+", "home/a", "home/+/state/+", "home", "T/#", "tt/#", "/t/#", "$share/g/t/#", "$SHARE/g/t/#", "$SYS/#", "$t/#",
			"u/" + string(bob) + "/#", "to/#", "u/+/in/#", "t\x01/#",
		} {
			if codes := a.Subscribe(1, f); codes[0] < 0x80 {
				t.Errorf("subscribed to %q", f)
			}
		}
		if codes := a.Subscribe(1, "t", "t/#", "t/+/x", "home/a/state", inbox(alice)); slices.Max(codes) > 1 {
			t.Errorf("SUBACK %#x", codes)
		}
		for id, topic := range []string{"home/a", "home/a/b/state", "tt", "$t/x", "$SYS/x", "$share/g/t/x", "u/" + string(alice) + "/in/x/y", "t/\x01"} {
			a.Publish(topic, "x", 1, uint16(id+1))
			if ack := a.Expect(packets.Puback); version == 5 && ack.ReasonCode < 0x80 {
				t.Errorf("published to %q: %#x", topic, ack.ReasonCode)
			}
		}
		a.Ping() // nothing came back
		a.Publish("t/#", "x", 1, 99)
		a.ExpectClosed()
	}
}

func TestWillsToOpenTopics(t *testing.T) {
	options := hooks.Options{Open: []string{"t/#"}}
	for _, version := range []byte{4, 5} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			h := start(t, setup{options: options})
			b := h.connect(version, bob, "b")
			b.Subscribe(1, "t/#")
			c, _ := willed(h, version, "t/boiler", func(pk *packets.Packet) { pk.Connect.WillRetain = true })
			c.Close()
			if got := plain(b); got.TopicName != "t/boiler" || string(got.Payload) != "I am cold" {
				t.Errorf("got %+v", got)
			}
			if n := len(h.server.Topics.Messages("#")); n != 0 {
				t.Errorf("%d are retained", n)
			}
			c, _ = willed(h, version, "t/boiler")
			c.Raw(packets.Disconnect<<4, 0)
			c.ExpectClosed()
			c, ack := willed(h, version, "t/#") // no topic name
			if refused := ack.ReasonCode >= 0x80; refused != (version == 5) {
				t.Errorf("a will to t/#: CONNACK %#x", ack.ReasonCode)
			}
			c.Close()
			b.Quiet(100 * time.Millisecond)
		})
	}
}

// None is sent because the server stops; one whose client was lost before is.
func TestNoWillToAnOpenTopicBecauseTheServerStops(t *testing.T) {
	h := start(t, setup{options: hooks.Options{Open: []string{"t/#"}}, mqtt: func(o *mqttOptions) { o.InlineClient = true }})
	got := make(chan string, 10)
	h.must(h.server.Subscribe("t/#", 1, func(_ *mqtt.Client, _ packets.Subscription, pk packets.Packet) { got <- pk.TopicName }))
	lost, _ := willed(h, 5, "t/lost")
	lost.Close()
	if topic := <-got; topic != "t/lost" {
		t.Errorf("a will to %s", topic)
	}
	for n, version := range []byte{4, 5} {
		willed(h, version, "t/stays", func(pk *packets.Packet) { pk.Connect.ClientIdentifier = fmt.Sprint("boiler", n) })
	}
	h.close()
	select {
	case topic := <-got:
		t.Errorf("a will to %s", topic)
	default:
	}
}

func TestOptionsAreReplacedWhileRunning(t *testing.T) {
	first := hooks.Options{Open: []string{"t/#"}}
	h := start(t, setup{options: first})
	a, b := h.connect(5, alice, "a"), h.connect(4, bob, "b")
	if codes := b.Subscribe(1, "t/#", "new/#"); codes[0] != 1 || codes[1] != 0x80 {
		t.Fatalf("SUBACK %#x", codes)
	}
	code := func(topic string, change ...func(*packets.Packet)) byte {
		t.Helper()
		pk := rawmqtt.Publish(topic, "x", 1, 7)
		for _, c := range change {
			c(&pk)
		}
		a.Send(pk)
		return a.Expect(packets.Puback).ReasonCode
	}

	h.must(h.hook.Apply(hooks.Options{Open: []string{"new/#"}, KeepaliveMax: 90 * time.Second, SendRate: 2}))
	if c := code("t/x"); c != 0x87 {
		t.Errorf("published where nothing is open any more: %#x", c)
	}
	if codes := b.Subscribe(1, "t/y", "new/#"); codes[0] != 0x80 || codes[1] != 1 {
		t.Errorf("SUBACK %#x", codes)
	}
	if c := code("new/x"); c != 0 {
		t.Errorf("published to what is open now: %#x", c)
	}
	if got := plain(b); got.TopicName != "new/x" {
		t.Errorf("got %s", got.TopicName)
	}
	hello := rawmqtt.Hello(5, "c", string(carol), h.tokens[carol])
	hello.Connect.Keepalive = 1000
	if p := h.dial(5).Connect(hello).Properties; p.ServerKeepAlive != 90 {
		t.Errorf("keepalive %d", p.ServerKeepAlive)
	}
	began := time.Now()
	for range 4 {
		code("to/" + string(bob))
	}
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("four messages at 2/s took %v", took)
	}

	for _, wrong := range []hooks.Options{{Open: []string{"u/#"}}, {SendRate: -1}, {KeepaliveMax: time.Millisecond}} {
		if err := h.hook.Apply(wrong); err == nil || !strings.Contains(err.Error(), "Options.") {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
	if c := code("new/x"); c != 0 {
		t.Errorf("after what was refused: %#x", c)
	}

	stop := make(chan struct{})
	done := make(chan struct{})
	go func() { // for the race detector
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				_ = h.hook.Apply(hooks.Options{Open: []string{"new/#"}, SendRate: float64(1000 + n)})
			}
		}
	}()
	for range 50 {
		code("to/"+string(bob), func(pk *packets.Packet) {
			pk.Properties.User = []packets.UserProperty{{Key: "after", Val: "5s"}}
		})
		code("new/x")
		plain(b)
	}
	close(stop)
	<-done
}

// A topic that is not open any more gets no will either, whatever it was when its client connected.
func TestNoWillToATopicThatIsNotOpenAnyMore(t *testing.T) {
	h := start(t, setup{options: hooks.Options{Open: []string{"t/#"}}})
	b := h.connect(5, bob, "b")
	b.Subscribe(1, "t/#")
	c, _ := willed(h, 5, "t/boiler")
	h.must(h.hook.Apply(hooks.Options{Open: []string{"new/#"}}))
	c.Close()
	h.eventually("gone", func() bool { return h.hook.Stats().Connected.Load() == 1 })
	b.Quiet(300 * time.Millisecond)
}

// MQTT 5 §3.1.3.2.2: not when the session goes on before the Will Delay has passed.
func TestDelayedOpenWillAtTakeover(t *testing.T) {
	h := start(t, setup{options: hooks.Options{Open: []string{"t/#"}}})
	b := h.connect(5, bob, "b")
	b.Subscribe(1, "t/#")
	keep := func(pk *packets.Packet) {
		pk.Connect.Clean = false
		pk.Properties.SessionExpiryInterval, pk.Properties.SessionExpiryIntervalFlag = 100, true
		pk.Connect.WillProperties.WillDelayInterval = 1
	}
	for range 4 {
		willed(h, 5, "t/boiler", keep)
	}
	b.Quiet(4 * time.Second)
}
