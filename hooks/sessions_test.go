package hooks_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/hooks"
	"github.com/seed-7a41469f/godwit/hooks/internal/rawmqtt"
)

// lasting is a CONNECT that keeps its session.
func lasting(h *harness, version byte, a contacts.Address, clientID string) packets.Packet {
	hello := rawmqtt.Hello(version, clientID, string(a), h.tokens[a])
	hello.Connect.Clean = false
	if version == 5 {
		hello.Properties.SessionExpiryInterval, hello.Properties.SessionExpiryIntervalFlag = 3600, true
	}
	return hello
}

func TestSessionOverARestartOfTheBroker(t *testing.T) {
	for _, version := range []byte{4, 5} {
		h := start(t, setup{})
		b := h.dial(version)
		if ack := b.Connect(lasting(h, version, bob, "b")); ack.SessionPresent {
			t.Error("a session is present before there was one")
		}
		b.Subscribe(1, inbox(bob))
		h.close()

		h = start(t, setup{memory: h.store.Store, tokens: h})
		b = h.dial(version)
		if ack := b.Connect(lasting(h, version, bob, "b")); !ack.SessionPresent {
			t.Errorf("version %d: no session present after a restart", version)
		}
		a := h.connect(4, alice, "a")
		send(a, bob, 0, 1)
		take(b, 1) // its subscription is in force without a SUBSCRIBE

		clean := lasting(h, version, bob, "b")
		clean.Connect.Clean = true
		b = h.dial(version)
		if ack := b.Connect(clean); ack.SessionPresent {
			t.Errorf("version %d: session present after a clean start", version)
		}
		send(a, bob, 1, 1)
		b.Quiet(50 * time.Millisecond)
	}
}

// mochi sends a resumed session everything at once, in random order, whatever the Receive Maximum.
func TestResumedSessionKeepsOrderAndReceiveMaximum(t *testing.T) {
	h := start(t, setup{})
	hello := lasting(h, 5, bob, "b")
	hello.Properties.ReceiveMaximum = 5
	b := h.dial(5)
	b.Connect(hello)
	b.Subscribe(1, inbox(bob))
	b.Close()
	h.eventually("gone", func() bool { return h.hook.Stats().Connected.Load() == 0 })
	a := h.connect(5, alice, "a")
	want := send(a, bob, 0, 40)

	b = h.dial(5)
	if ack := b.Connect(hello); !ack.SessionPresent {
		t.Fatal("no session present")
	}
	var first []packets.Packet
	for range 5 {
		first = append(first, b.Expect(packets.Publish))
	}
	b.Quiet(50 * time.Millisecond)
	var got []string
	for _, in := range first {
		got = append(got, string(in.Payload))
		b.Ack(in.PacketID)
	}
	if got = append(got, take(b, 35)...); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

// In mochi the old connection's OnDisconnect may run after the new one's OnSessionEstablished, and take the live client away.
func TestTakeoverRace(t *testing.T) {
	h := start(t, setup{})
	a := h.connect(4, alice, "a")
	for i := range 60 {
		id := fmt.Sprint("b", i/5)
		var wg sync.WaitGroup
		clients := make([]*rawmqtt.Client, 2)
		for j := range clients {
			clients[j] = h.dial(4)
			wg.Go(func() {
				_, _ = clients[j].Write(clients[j].Frame(rawmqtt.Hello(4, id, string(bob), h.tokens[bob])))
				_, _ = clients[j].Read()
			})
		}
		wg.Wait()
		defer clients[0].Close()
		defer clients[1].Close()
		last := h.dial(4) // whoever won, the next one takes over
		ack := last.Connect(rawmqtt.Hello(4, id, string(bob), h.tokens[bob]))
		if ack.ReasonCode == 0x03 {
			continue // too many takeovers
		}
		last.Subscribe(1, inbox(bob))
		send(a, bob, 0, 1)
		take(last, 1)
		last.Raw(packets.Disconnect<<4, 0)
		last.ExpectClosed()
	}
}

func TestTwoDevicesWithOneClientID(t *testing.T) {
	h := start(t, setup{})
	var latest *rawmqtt.Client
	for range 6 {
		latest = h.connect(5, alice, "same")
	}
	for version, want := range map[byte]byte{5: 0x9F, 4: 0x03} {
		late := h.dial(version)
		if ack := late.Connect(rawmqtt.Hello(version, "same", string(alice), h.tokens[alice])); ack.ReasonCode != want {
			t.Errorf("CONNACK %#x, want %#x", ack.ReasonCode, want)
		}
	}
	latest.Ping()
	if n := h.refused(hooks.RefusedTakeovers); n != 2 {
		t.Errorf("counted %d", n)
	}
}

func TestEightDevicesAUser(t *testing.T) {
	h := start(t, setup{})
	devices := make([]*rawmqtt.Client, 8)
	for i := range devices {
		devices[i] = h.dial(5)
		if ack := devices[i].Connect(lasting(h, 5, alice, fmt.Sprint("d", i))); ack.ReasonCode != 0 {
			t.Fatalf("device %d: CONNACK %#x", i, ack.ReasonCode)
		}
	}
	for version, want := range map[byte]byte{5: 0x97, 4: 0x03} {
		if ack := h.dial(version).Connect(lasting(h, version, alice, "ninth")); ack.ReasonCode != want {
			t.Errorf("CONNACK %#x, want %#x", ack.ReasonCode, want)
		}
	}
	h.connect(5, alice, "clean sessions are not remembered")
	devices[3].Close()
	h.eventually("away", func() bool {
		u, _ := h.people.User(alice)
		return slices.ContainsFunc(u.Devices, func(d contacts.Device) bool { return !d.Away.IsZero() })
	})
	if ack := h.dial(5).Connect(lasting(h, 5, alice, "ninth")); ack.ReasonCode != 0 {
		t.Errorf("CONNACK %#x though one is away", ack.ReasonCode)
	}
	if ack := h.dial(5).Connect(lasting(h, 5, alice, "d3")); ack.SessionPresent {
		t.Error("the device that made room has a session still")
	}
}

func TestRevokedTokenIsGoneAtOnce(t *testing.T) {
	h := start(t, setup{})
	five, four, other := h.connect(5, alice, "five"), h.connect(4, alice, "four"), h.connect(5, bob, "b")
	h.must(h.people.RevokeToken(t.Context(), alice, h.ids[alice]))
	if got := five.ExpectClosed(); len(got) != 1 || got[0].FixedHeader.Type != packets.Disconnect || got[0].ReasonCode != 0x87 {
		t.Errorf("got %v", got)
	}
	four.ExpectClosed()
	other.Ping()
	h.must(h.people.Remove(t.Context(), bob))
	other.ExpectClosed()
}

func TestSessionThatEndsWithItsDisconnect(t *testing.T) {
	h := start(t, setup{})
	b := h.dial(5)
	b.Connect(lasting(h, 5, bob, "b"))
	b.Subscribe(1, inbox(bob))
	b.Raw(packets.Disconnect<<4, 7, 0, 5, 0x11, 0, 0, 0, 0) // Session Expiry Interval 0
	b.ExpectClosed()
	h.eventually("forgotten", func() bool { u, _ := h.people.User(bob); return len(u.Devices) == 0 })
	if ack := h.dial(5).Connect(lasting(h, 5, bob, "b")); ack.SessionPresent {
		t.Error("session present")
	}
}

func TestUnsubscribedFiltersAreForgotten(t *testing.T) {
	h := start(t, setup{})
	b := h.dial(4)
	b.Connect(lasting(h, 4, bob, "b"))
	b.Subscribe(1, inbox(bob), "u/"+string(bob)+"/in/+/+")
	b.Send(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Unsubscribe, Qos: 1}, PacketID: 2, Filters: packets.Subscriptions{{Filter: inbox(bob)}},
	})
	b.Expect(packets.Unsuback)
	b.Ping()
	u, _ := h.people.User(bob)
	if !u.Inbox || len(u.Devices) != 1 || len(u.Devices[0].Filters) != 1 || u.Devices[0].Filters[0].Topic != "u/"+string(bob)+"/in/+/+" {
		t.Errorf("remembered %+v", u.Devices)
	}
}
