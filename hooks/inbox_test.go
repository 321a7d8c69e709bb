package hooks_test

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/hooks"
	"github.com/seed-7a41469f/godwit/hooks/internal/rawmqtt"
)

// take reads n pushes, acknowledges them and returns their payloads.
func take(c *rawmqtt.Client, n int) (payloads []string) {
	for range n {
		in := c.Expect(packets.Publish)
		payloads = append(payloads, string(in.Payload))
		c.Ack(in.PacketID)
	}
	return payloads
}

// send publishes a series and takes its acknowledgements.
func send(c *rawmqtt.Client, to contacts.Address, from, n int) (payloads []string) {
	for i := from; i < from+n; i++ {
		payloads = append(payloads, fmt.Sprint(i))
		c.Publish("to/"+string(to), fmt.Sprint(i), 1, uint16(i+1))
	}
	for i := from; i < from+n; i++ {
		c.Expect(packets.Puback)
	}
	return payloads
}

// narrow is a CONNECT with a Receive Maximum.
func narrow(h *harness, a contacts.Address, clientID string, window uint16) packets.Packet {
	hello := rawmqtt.Hello(5, clientID, string(a), h.tokens[a])
	hello.Properties.ReceiveMaximum = window
	return hello
}

// In mochi, with a Receive Maximum of 2, 4 of 60 messages arrive and then none ever again.
func TestReceiveMaximumStall(t *testing.T) {
	h := start(t, setup{})
	a, b := h.connect(5, alice, "a"), h.dial(5)
	b.Connect(narrow(h, bob, "b", 2))
	b.Subscribe(1, inbox(bob))
	want := send(a, bob, 0, 60)

	held := []packets.Packet{b.Expect(packets.Publish), b.Expect(packets.Publish)}
	b.Quiet(50 * time.Millisecond) // the window is respected
	var got []string
	for len(got) < 60 {
		got = append(got, string(held[0].Payload))
		b.Ack(held[0].PacketID)
		held = held[1:]
		if len(got)+len(held) < 60 {
			held = append(held, b.Expect(packets.Publish))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

// In mochi both directions share one map of packet identifiers: a client's own publish erases the push that has the same one.
func TestPacketIDCollision(t *testing.T) {
	h := start(t, setup{})
	a, b := h.connect(4, alice, "a"), h.listen(4, bob, "b")
	send(a, bob, 0, 1)
	in := b.Expect(packets.Publish)
	b.Publish("to/"+string(alice), "mine", 1, in.PacketID)
	if ack := b.Expect(packets.Puback); ack.PacketID != in.PacketID {
		t.Fatalf("PUBACK %d", ack.PacketID)
	}
	b.Publish("to/"+string(alice), "mine too", 2, in.PacketID)
	b.Expect(packets.Pubrec)
	b.Raw(packets.Pubrel<<4|2, 2, byte(in.PacketID>>8), byte(in.PacketID))
	b.Expect(packets.Pubcomp)
	b.Send(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: in.PacketID,
		Filters: packets.Subscriptions{{Filter: "u/" + string(bob) + "/in/#", Qos: 1}},
	})
	if codes := b.Expect(packets.Suback).ReasonCodes; codes[0] != 1 {
		t.Errorf("SUBACK %#x", codes)
	}
	b.Ack(in.PacketID)
	send(a, bob, 1, 1)
	if next := b.Expect(packets.Publish); string(next.Payload) != "1" {
		t.Errorf("got %s again", next.Payload)
	}
}

// In mochi one subscriber with a Receive Maximum wedges the whole server within 2 s (NextImmediate locks twice).
func TestNextImmediateDeadlock(t *testing.T) {
	h := start(t, setup{options: hooks.Options{Open: []string{"t/#"}}})
	b := h.dial(5)
	b.Connect(narrow(h, bob, "b", 3))
	b.Subscribe(1, "t/#")
	const each = 500
	done := make(chan error, 2)
	for i := range 2 {
		a := h.connect(4, alice, fmt.Sprint("a", i))
		go func() {
			for id := uint16(1); id <= each; id++ {
				if _, err := a.Write(a.Frame(rawmqtt.Publish("t/x", "x", 1, id))); err != nil {
					done <- err
					return
				}
				if _, err := a.Read(); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	go func() {
		for {
			in, err := b.Read()
			if err != nil {
				return
			}
			_, _ = b.Write([]byte{packets.Puback << 4, 2, byte(in.PacketID >> 8), byte(in.PacketID)})
		}
	}()
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	h.connect(4, carol, "c").Ping()
}

// What mochi routes has packet identifiers too; they must never be those of our pushes.
func TestMochisPacketIDsStayAwayFromOurs(t *testing.T) {
	h := start(t, setup{options: hooks.Options{Open: []string{"t/#"}}})
	b := h.listen(4, bob, "b")
	b.Subscribe(1, "t/#")
	cl, ok := h.server.Clients.Get(string(bob) + "/b")
	if !ok {
		t.Fatal("no such client")
	}
	for id := uint32(0); id < 0x6FF0; {
		id, _ = cl.NextPacketID()
	}
	a := h.connect(4, alice, "a")
	for range 40 {
		a.Publish("t/x", "x", 1, 1)
		a.Expect(packets.Puback)
		in := b.Expect(packets.Publish)
		if in.PacketID >= 0x7800 {
			t.Fatalf("packet identifier %#x", in.PacketID)
		}
		b.Ack(in.PacketID)
	}
}

func TestOverlappingFiltersAndIdentifiers(t *testing.T) {
	h := start(t, setup{})
	a, b := h.connect(5, alice, "a"), h.connect(5, bob, "b")
	for id, f := range map[int]string{7: inbox(bob), 9: "u/" + string(bob) + "/in/+/+"} {
		pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: uint16(id)}
		pk.Filters = packets.Subscriptions{{Filter: f, Qos: 1}}
		pk.Properties.SubscriptionIdentifier = []int{id}
		b.Send(pk)
		b.Expect(packets.Suback)
	}
	b.Ping() // the engine is told after the SUBACK
	send(a, bob, 0, 1)
	in := b.Expect(packets.Publish)
	ids := slices.Clone(in.Properties.SubscriptionIdentifier)
	slices.Sort(ids)
	if !slices.Equal(ids, []int{7, 9}) {
		t.Errorf("Subscription Identifiers %v", ids)
	}
	b.Ack(in.PacketID)
	b.Quiet(50 * time.Millisecond)
}

// In mochi a subscriber that does not read holds a lock: publishers to it block, and the same device cannot connect again.
func TestSlowReader(t *testing.T) {
	h := start(t, setup{options: hooks.Options{Open: []string{"t/#"}}})
	slow := h.listen(4, bob, "b")
	slow.Subscribe(1, "t/#")
	_ = slow.Conn.(*net.TCPConn).SetReadBuffer(4096)
	a := h.connect(4, alice, "a")
	big := strings.Repeat("x", 60<<10)
	for i := range 200 { // 12 MB, on both ways
		topic := "to/" + string(bob)
		if i%2 == 1 {
			topic = "t/x"
		}
		a.Publish(topic, big, 1, uint16(i+1))
		if ack := a.Expect(packets.Puback); ack.PacketID != uint16(i+1) {
			t.Fatalf("PUBACK %d", ack.PacketID)
		}
	}
	began := time.Now()
	again := h.listen(4, bob, "b")
	again.Raw(packets.Pingreq<<4, 0)
	for pk := (packets.Packet{}); pk.FixedHeader.Type != packets.Pingresp; { // among what waits for it
		var err error
		pk, err = again.Read()
		h.must(err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("connecting again took %v", took)
	}
}

func TestPacketTooLarge(t *testing.T) {
	h := start(t, setup{})
	big := strings.Repeat("x", 70<<10)
	for _, version := range []byte{5, 4} {
		a := h.connect(version, alice, "a")
		a.Publish("to/"+string(bob), big, 1, 1)
		got := a.ExpectClosed()
		if version == 5 && (len(got) != 1 || got[0].FixedHeader.Type != packets.Disconnect || got[0].ReasonCode != 0x95) || version == 4 && len(got) != 0 {
			t.Errorf("version %d: %v", version, got)
		}
	}
	if n := h.refused(hooks.RefusedPacketSize); n != 2 {
		t.Errorf("counted %d", n)
	}
}

// A server sends no DISCONNECT on 3.1.1; mochi does.
func TestNoDisconnectOn311(t *testing.T) {
	h := start(t, setup{})
	first := h.connect(4, alice, "a")
	h.connect(4, alice, "a")
	if got := first.ExpectClosed(); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	five := h.connect(5, alice, "b")
	h.connect(5, alice, "b")
	if got := five.ExpectClosed(); len(got) != 1 || got[0].ReasonCode != 0x8E {
		t.Errorf("got %v", got)
	}
}

func TestKeepaliveTimeout(t *testing.T) {
	h := start(t, setup{})
	hello := rawmqtt.Hello(5, "a", string(alice), h.tokens[alice])
	hello.Connect.Keepalive = 1
	a := h.dial(5)
	a.Connect(hello)
	began := time.Now()
	got := a.ExpectClosed()
	if len(got) != 1 || got[0].ReasonCode != 0x8D {
		t.Errorf("got %v", got)
	}
	if took := time.Since(began); took < 1200*time.Millisecond || took > 3*time.Second {
		t.Errorf("after %v", took)
	}
}

// mochi's own deadline overflows above 43,690 s.
func TestLongKeepaliveOn311(t *testing.T) {
	h := start(t, setup{})
	hello := rawmqtt.Hello(4, "a", string(alice), h.tokens[alice])
	hello.Connect.Keepalive = 43_692 // 1.5 times this is 2 in 16 bits
	a := h.dial(4)
	a.Connect(hello)
	a.Quiet(2500 * time.Millisecond)
	a.Ping()
}

// Both of many publishers' frames and pushes must come out whole.
func TestFramesNeverInterleave(t *testing.T) {
	h := start(t, setup{})
	a, b := h.connect(5, alice, "a"), h.listen(5, alice, "b")
	go func() {
		for i := range 300 {
			frames := a.Frame(rawmqtt.Publish("to/"+string(alice), fmt.Sprint(i), 1, uint16(i+1)))
			_, _ = a.Write(append(frames, b.Frame(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}})...))
		}
	}()
	acks, pings := 0, 0
	for acks+pings < 600 {
		pk, err := a.Read()
		if err != nil {
			t.Fatal(err)
		}
		switch pk.FixedHeader.Type {
		case packets.Puback:
			acks++
		case packets.Pingresp:
			pings++
		default:
			t.Fatalf("got %v", pk)
		}
	}
	if got := take(b, 300); got[299] != "299" {
		t.Errorf("the last is %s", got[299])
	}
}
