package hooks_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/hooks/internal/rawmqtt"
)

// A rawCase is what a broken or hostile client sends.
type rawCase struct {
	name string
	sent []byte
}

// packet is a control packet with the length that its body has.
func packet(first byte, body ...byte) []byte {
	b := []byte{first}
	for n := len(body); ; n >>= 7 {
		if n < 0x80 {
			return append(append(b, byte(n)), body...)
		}
		b = append(b, byte(n)|0x80)
	}
}

func utf8String(s string) []byte { return append([]byte{byte(len(s) >> 8), byte(len(s))}, s...) }

// wellFormed are packets of every type that are right, and by whose damage the others are made.
func wellFormed(t testing.TB, version byte) (all []rawCase) {
	add := func(name string, pk packets.Packet) {
		b, err := rawmqtt.Encode(pk, version)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rawCase{name, b})
	}
	props := packets.Properties{
		PayloadFormatFlag: true, PayloadFormat: 1, MessageExpiryInterval: 60, CorrelationData: []byte("correlated"), ResponseTopic: "u/" + string(alice) + "/receipt/x",
		ContentType: "text/plain", User: []packets.UserProperty{{Key: "sms", Val: "never"}, {Key: "mine", Val: "own"}},
	}
	for qos := range byte(3) {
		pk := rawmqtt.Publish("app/"+string(bob)+"/k", "a payload", qos, 7)
		pk.Properties = props
		add(fmt.Sprintf("PUBLISH at QoS %d", qos), pk)
	}
	add("SUBSCRIBE", packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 8, Filters: packets.Subscriptions{{Filter: inbox(alice), Qos: 1}, {Filter: "t/#"}},
		Properties: packets.Properties{SubscriptionIdentifier: []int{5}, User: props.User},
	})
	add("UNSUBSCRIBE", packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Unsubscribe, Qos: 1}, PacketID: 9, Filters: packets.Subscriptions{{Filter: inbox(alice)}}, Properties: packets.Properties{User: props.User},
	})
	for typ, name := range map[byte]string{packets.Puback: "PUBACK", packets.Pubrec: "PUBREC", packets.Pubrel: "PUBREL"} {
		pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: typ}, PacketID: 0x8001, ReasonCode: 0x80, Properties: packets.Properties{User: props.User, ReasonString: "why not"}}
		if typ == packets.Pubrel {
			pk.FixedHeader.Qos, pk.ReasonCode = 1, 0x92
		}
		add(name, pk)
	}
	add("DISCONNECT", packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}, ReasonCode: 4, Properties: packets.Properties{ReasonString: "bye", User: props.User}})
	add("PINGREQ", packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}})
	hello := rawmqtt.Hello(version, "second", string(alice), "x")
	hello.Connect.WillFlag, hello.Connect.WillTopic, hello.Connect.WillPayload, hello.Connect.WillQos = true, "app/"+string(bob), []byte("gone"), 1
	hello.Properties = packets.Properties{SessionExpiryInterval: 60, SessionExpiryIntervalFlag: true, ReceiveMaximum: 7, MaximumPacketSize: 9999, User: props.User}
	add("CONNECT", hello)
	return all
}

// malformed makes the corpus: each packet cut at every octet, with and without a length that owns up to it, with every reserved bit, with lengths that
// lie, and what mosquitto's, Paho's and our own experience adds.
func malformed(t testing.TB, version byte) (all []rawCase) {
	add := func(name string, b []byte) { all = append(all, rawCase{name, bytes.Clone(b)}) }
	for _, w := range wellFormed(t, version) {
		add(w.name+", whole", w.sent)
		head := 2
		if w.sent[1] >= 0x80 {
			head = 3
		}
		body := w.sent[head:]
		for n := range body {
			add(fmt.Sprintf("%s, cut at octet %d", w.name, n), packet(w.sent[0], body[:n]...))
		}
		add(w.name+", and then silence", w.sent[:len(w.sent)-1])
		add(w.name+", an octet too many", packet(w.sent[0], append(bytes.Clone(body), 0)...))
		add(w.name+", of the largest length", append([]byte{w.sent[0], 0xFF, 0xFF, 0xFF, 0x7F}, body...))
		add(w.name+", of a length of five octets", append([]byte{w.sent[0], 0xFF, 0xFF, 0xFF, 0xFF, 0x01}, body...))
		for flags := range byte(16) {
			add(fmt.Sprintf("%s, flags %#x", w.name, flags), append([]byte{w.sent[0]&0xF0 | flags}, w.sent[1:]...))
		}
		for i := range body { // each octet at its extremes
			for _, v := range []byte{0, 0xFF} {
				changed := bytes.Clone(body)
				changed[i] = v
				add(fmt.Sprintf("%s, octet %d is %#x", w.name, i, v), packet(w.sent[0], changed...))
			}
		}
	}
	for typ := range byte(16) {
		add(fmt.Sprintf("type %d without a body", typ), []byte{typ << 4, 0})
		add(fmt.Sprintf("type %d, zeros", typ), packet(typ<<4, make([]byte, 40)...))
		add(fmt.Sprintf("type %d, ones", typ), packet(typ<<4|2, bytes.Repeat([]byte{0xFF}, 40)...))
	}
	topic := utf8String("app/" + string(bob))
	if version == 5 {
		for id := range 256 { // each property twice, and those that there are not
			once := []byte{byte(id), 0, 1, 'x', 0, 1, 'y'}
			add(fmt.Sprintf("property %#x twice", id), packet(0x30, append(append(bytes.Clone(topic), 14), append(bytes.Clone(once), once...)...)...))
		}
		for _, n := range []byte{1, 0x7F, 0x80, 0xFF} {
			add(fmt.Sprintf("properties of length %#x that are not there", n), packet(0x32, append(append(bytes.Clone(topic), 0, 7), n)...))
		}
		add("an alias without a topic", packet(0x32, 0, 0, 0, 7, 3, 0x23, 0, 9))
		add("alias 0", packet(0x32, append(append(bytes.Clone(topic), 0, 7), 3, 0x23, 0, 0)...))
		add("SUBSCRIBE that ends in its filter, mochi's issue 501", []byte{0x82, 8, 0, 1, 0, 0, 3, 'a', '/', 'b'})
	}
	for _, bad := range []string{"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x00", "a\x00b"} {
		add(fmt.Sprintf("topic %q", bad), packet(0x30, append(utf8String("app/"+bad), 0)...))
		add(fmt.Sprintf("filter %q", bad), packet(0x82, append(append([]byte{0, 1}, append(make([]byte, version/5), utf8String(bad)...)...), 1)...))
	}
	add("packet identifier 0", packet(0x32, append(bytes.Clone(topic), 0, 0, 0)...))
	add("HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	add("TLS", []byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3})
	add("nothing", nil)
	return all
}

// TestMalformedPackets sends the corpus where a CONNECT is due and after it. Whatever comes of it, the broker serves on and nobody else notices.
func TestMalformedPackets(t *testing.T) {
	h := start(t, setup{})
	good := h.listen(5, bob, "good")
	cases, slowest := 0, time.Duration(0)
	for _, version := range []byte{4, 5} {
		for i, c := range malformed(t, version) {
			for _, first := range []bool{true, false} {
				if first && version == 5 && i%4 != 0 { // what is no CONNECT is none in either version
					continue
				}
				cases++
				w := h.dial(version)
				if !first {
					if ack := w.Connect(rawmqtt.Hello(version, fmt.Sprint(cases), string(alice), h.tokens[alice])); ack.ReasonCode != 0 {
						t.Fatalf("%s: CONNACK %#x", c.name, ack.ReasonCode)
					}
				}
				if err := say(w, c.sent); err != nil {
					t.Fatalf("version %d, instead of a CONNECT %v, %s: %v", version, first, c.name, err)
				}
			}
			if i%50 == 0 {
				began := time.Now()
				good.Publish("to/"+string(bob), "to myself", 1, 1)
				for got := 0; got < 2; {
					pk, err := good.Read()
					h.must(err)
					switch {
					case pk.FixedHeader.Type == packets.Puback:
						got++
					case pk.FixedHeader.Type == packets.Publish && pk.FixedHeader.Qos > 0: // some of the corpus is whole
						good.Ack(pk.PacketID)
						if string(pk.Payload) == "to myself" {
							got++
						}
					}
				}
				slowest = max(slowest, time.Since(began))
			}
		}
	}
	h.eventually("all are gone", func() bool { return h.hook.Stats().Connected.Load() == 1 })
	t.Logf("%d cases, %d panics of mochi recovered; the good client waited for %v at most", cases, h.listener.Stats().Panics.Load(), slowest)
	if cases < 3000 {
		t.Errorf("only %d cases", cases)
	}
}

// say sends what a client says, hangs up, and waits until the broker has done so.
func say(w *rawmqtt.Client, sent []byte) error {
	_, _ = w.Write(sent) // the broker may have closed
	_ = w.Conn.(*net.TCPConn).CloseWrite()
	if err := w.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, w.Conn); errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the connection is still open")
	}
	return w.Close()
}

// FuzzPackets sends anything to a broker, after a login.
func FuzzPackets(f *testing.F) {
	for _, version := range []byte{4, 5} {
		for _, w := range wellFormed(f, version) {
			f.Add(version == 5, w.sent)
		}
	}
	f.Fuzz(func(t *testing.T, five bool, sent []byte) {
		h := start(t, setup{})
		version := byte(4)
		if five {
			version = 5
		}
		w := h.connect(version, alice, "a")
		if err := say(w, sent); err != nil {
			t.Fatal(err)
		}
		h.connect(version, bob, "b").Ping()
	})
}

// A stock mochi passes control characters in client ids, user names, topics and filters (42 cases of mosquitto's suite): all are refused, each in its way.
func TestControlCharactersAreRefused(t *testing.T) {
	h := start(t, setup{})
	a5, a4 := h.connect(5, alice, "five"), h.connect(4, alice, "four")
	n := 0
	for _, bad := range []string{"\x01", "\x07", "\x08", "\t", "\n", "\r", "\x1b", "\x1f", "\x7f", "\u0080", "\u0085", "\u009f", "\ufdd0", "\ufffe", "\U0001ffff"} {
		for _, c := range []struct {
			name   string
			v5, v3 byte
			answer func(version byte) byte
		}{
			{"client id", 0x85, 0x02, func(v byte) byte {
				return h.dial(v).Connect(rawmqtt.Hello(v, "a"+bad+"b", string(alice), h.tokens[alice])).ReasonCode
			}},
			{"user name", 0x86, 0x04, func(v byte) byte {
				return h.dial(v).Connect(rawmqtt.Hello(v, "c", string(alice)+bad, h.tokens[alice])).ReasonCode
			}},
			{"topic", 0x90, 0, func(v byte) byte {
				w := a4
				if v == 5 {
					w = a5
				}
				w.Publish("to/"+string(bob)+bad, "x", 1, 5)
				return w.Expect(packets.Puback).ReasonCode
			}},
			{"filter", 0x8F, 0x80, func(v byte) byte {
				w := a4
				if v == 5 {
					w = a5
				}
				return w.Subscribe(1, "u/"+string(alice)+"/"+bad)[0]
			}},
		} {
			for version, want := range map[byte]byte{5: c.v5, 4: c.v3} {
				n++
				if got := c.answer(version); got != want {
					t.Errorf("%q in a %s, version %d: %#x, want %#x", bad, c.name, version, got, want)
				}
			}
		}
	}
	if msgs := h.hook.Stats(); n < 42 || msgs.Connected.Load() != 2 {
		t.Errorf("%d cases, %d connected", n, msgs.Connected.Load())
	}
}
