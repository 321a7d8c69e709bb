package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/clienttest/raw"
)

// TestFixedLimits meets the limits that no key changes, at their value and one beyond. How many callbacks are taken at once is TestTooManyCallbacks', how
// long their bodies may be TestAnEndlessCallback's, how many publishes may be unacknowledged the hooks' TestReceiveMaximumExceeded's.
func TestFixedLimits(t *testing.T) {
	s := clienttest.NewServer(t, waiting(nil))
	a := join(t, s, home, hello(s, raw.V5, anna, "a"))
	four := join(t, s, home, hello(s, raw.V311, anna, "four"))
	to := "app/" + string(bert)
	publish := func(change func(*packets.Packet)) byte {
		pk := packets.Packet{
			FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, ProtocolVersion: 5, PacketID: 7, TopicName: to, Payload: []byte("at the limits"),
		}
		change(&pk)
		a.send(encoded(t, pk))
		return a.expect(packets.Puback).ReasonCode
	}
	client := func(octets int) byte {
		return dialFrom(t, s, home).connect(hello(s, raw.V5, anna, strings.Repeat("c", octets))).ReasonCode
	}
	own := "u/" + string(anna) + "/"
	long := func(octets int) string { return own + strings.Repeat("f", octets-len(own)) }
	for _, c := range []struct {
		name         string
		at, beyond   byte // what was answered
		wantAt, want byte
	}{
		{"octets of a client id", client(128), client(129), 0, 0x85},
		{"octets of a key", a.publish(1, to+"/"+strings.Repeat("k", 64), "at the limits"), a.publish(1, to+"/"+strings.Repeat("k", 65), "at the limits"), 0, 0x90},
		{"octets of a name", a.publish(1, "app/"+strings.Repeat("n", 64), "at the limits"), a.publish(1, "app/"+strings.Repeat("n", 65), "at the limits"), 0, 0x90},
		{"digits of a number", a.publish(1, "app/491760406900123", "at the limits"), a.publish(1, "app/4917604069001234", "at the limits"), 0, 0x90},
		{
			"octets of Correlation Data",
			publish(func(pk *packets.Packet) { pk.Properties.CorrelationData = make([]byte, 64) }),
			publish(func(pk *packets.Packet) { pk.Properties.CorrelationData = make([]byte, 65) }), 0, 0x99,
		},
		{
			"user properties, which are bounded by the packet alone",
			publish(func(pk *packets.Packet) { pk.Properties.User = make([]packets.UserProperty, 1000) }),
			publish(func(pk *packets.Packet) { pk.Properties.User = make([]packets.UserProperty, 1001) }), 0, 0,
		},
		{"octets of a filter", a.subscribe(long(512)), a.subscribe(long(513)), 1, 0x8F},
		{"octets of a filter on 3.1.1", four.subscribe(long(512)), four.subscribe(long(513)), 1, 0x80},
	} {
		if c.at != c.wantAt || c.beyond != c.want {
			t.Errorf("%s: %#x at the limit and %#x beyond, want %#x and %#x", c.name, c.at, c.beyond, c.wantAt, c.want)
		}
	}
	for i := range 63 { // one is there
		if code := a.subscribe(fmt.Sprintf("%sin/%d/+", own, i)); code != 1 {
			t.Fatalf("filter %d: %#x", i, code)
		}
	}
	if code := a.subscribe(own + "#"); code != 0x8F {
		t.Errorf("the 65th filter: %#x", code)
	}
	a.ping()
	four.ping()
}

// TestTopicAliasBeyondTheMaximum: 16 are told in the CONNACK; a 17th is a protocol error (MQTT 5 §3.3.2.3.4).
func TestTopicAliasBeyondTheMaximum(t *testing.T) {
	s := clienttest.NewServer(t, waiting(nil))
	a := dialFrom(t, s, home)
	if p := a.connect(hello(s, raw.V5, anna, "a")).Properties; p.TopicAliasMaximum != 16 {
		t.Errorf("CONNACK tells %d", p.TopicAliasMaximum)
	}
	for alias := uint16(1); alias <= 17; alias++ {
		pk := packets.Packet{
			FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, ProtocolVersion: 5, PacketID: alias, TopicName: "app/" + string(bert),
			Payload: []byte("by its alias"), Properties: packets.Properties{TopicAlias: alias, TopicAliasFlag: true},
		}
		a.send(encoded(t, pk))
		if alias <= 16 {
			if ack := a.expect(packets.Puback); ack.ReasonCode != 0 {
				t.Errorf("alias %d: PUBACK %#x", alias, ack.ReasonCode)
			}
		}
	}
	if last := a.ended(); last.FixedHeader.Type != packets.Disconnect || last.ReasonCode != 0x94 {
		t.Errorf("alias 17: %+v", last)
	}
	if n := len(s.Messages()); n != 16 {
		t.Errorf("%d messages were taken", n)
	}
}

// TestWillBeyondThePacket: a will is as large as a packet may be, and no larger.
func TestWillBeyondThePacket(t *testing.T) {
	const most = 64 << 10
	s := clienttest.NewServer(t, waiting(nil))
	willed := func(octets int) []byte {
		c := hello(s, raw.V5, anna, "boiler")
		return encoded(t, packets.Packet{
			FixedHeader: packets.FixedHeader{Type: packets.Connect}, ProtocolVersion: 5, Connect: packets.ConnectParams{
				ProtocolName: []byte("MQTT"), Clean: true, Keepalive: 60, ClientIdentifier: c.ClientID, UsernameFlag: true, Username: []byte(c.Username),
				PasswordFlag: true, Password: []byte(c.Password), WillFlag: true, WillTopic: "app/" + string(bert), WillPayload: make([]byte, octets), WillQos: 1,
			},
		})
	}
	around := len(willed(most)) - most // the lengths of both are written in three octets
	w := dialFrom(t, s, home)
	w.send(willed(most - around))
	if ack := w.expect(packets.Connack); ack.ReasonCode != 0 {
		t.Errorf("CONNACK %#x", ack.ReasonCode)
	}
	w.send(raw.AppendDisconnect(nil))
	beyond := dialFrom(t, s, home)
	_, _ = beyond.Write(willed(most - around + 1)) // it may be closed while we write
	if last := beyond.ended(); last.ReasonCode == 0 && last.FixedHeader.Type == packets.Connack {
		t.Errorf("one octet more: %+v", last)
	}
}
