// Package rawmqtt is an MQTT client for tests that says exactly what it is told to, right or wrong, and shows every packet that comes back.
package rawmqtt

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// patience is how long Read waits for a packet before the test fails.
const patience = 10 * time.Second

// A Client is one connection.
type Client struct {
	net.Conn
	Version byte
	Sent    func(payload string) // nil, or told of each payload that is sent; a will's, too
	t       testing.TB
	in      *bufio.Reader
}

// Dial connects to a broker, without a CONNECT.
func Dial(t testing.TB, addr string, version byte) *Client {
	t.Helper()
	n, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return Over(t, n, version)
}

// Over returns the client of a connection that is there already, without a CONNECT.
func Over(t testing.TB, n net.Conn, version byte) *Client {
	t.Cleanup(func() { n.Close() })
	return &Client{Conn: n, Version: version, t: t, in: bufio.NewReader(n)}
}

// Hello is the CONNECT of a user, which may be changed before it is sent.
func Hello(version byte, clientID, user, password string) packets.Packet {
	return packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Connect}, ProtocolVersion: version,
		Connect: packets.ConnectParams{
			ProtocolName: []byte("MQTT"), Clean: true, Keepalive: 60, ClientIdentifier: clientID,
			UsernameFlag: user != "", Username: []byte(user), PasswordFlag: password != "", Password: []byte(password),
		},
	}
}

// Connect sends a CONNECT and returns the CONNACK.
func (c *Client) Connect(pk packets.Packet) packets.Packet {
	c.t.Helper()
	c.Send(pk)
	return c.Expect(packets.Connack)
}

// Raw sends bytes.
func (c *Client) Raw(b ...byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// Send sends a packet.
func (c *Client) Send(pk packets.Packet) {
	c.t.Helper()
	if c.Sent != nil {
		c.Sent(string(pk.Payload))
		c.Sent(string(pk.Connect.WillPayload))
	}
	c.Raw(c.Frame(pk)...)
}

// Frame encodes a packet.
func (c *Client) Frame(pk packets.Packet) []byte {
	c.t.Helper()
	b, err := Encode(pk, c.Version)
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

// Publish sends a PUBLISH.
func (c *Client) Publish(topic, payload string, qos byte, packetID uint16) {
	c.t.Helper()
	c.Send(Publish(topic, payload, qos, packetID))
}

// Publish is a PUBLISH packet.
func Publish(topic, payload string, qos byte, packetID uint16) packets.Packet {
	return packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: qos}, TopicName: topic, Payload: []byte(payload), PacketID: packetID,
	}
}

// Subscribe subscribes and returns the reason codes of the SUBACK.
func (c *Client) Subscribe(qos byte, filters ...string) []byte {
	c.t.Helper()
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 0x1234}
	for _, f := range filters {
		pk.Filters = append(pk.Filters, packets.Subscription{Filter: f, Qos: qos})
	}
	c.Send(pk)
	return c.Expect(packets.Suback).ReasonCodes
}

// Ack sends a PUBACK.
func (c *Client) Ack(packetID uint16) {
	c.t.Helper()
	c.Raw(packets.Puback<<4, 2, byte(packetID>>8), byte(packetID))
}

// Ping sends a PINGREQ and waits for its answer.
func (c *Client) Ping() {
	c.t.Helper()
	c.Raw(packets.Pingreq<<4, 0)
	c.Expect(packets.Pingresp)
}

// Expect reads the next packet, which must be of a type.
func (c *Client) Expect(typ byte) packets.Packet {
	c.t.Helper()
	pk, err := c.Read()
	if err != nil {
		c.t.Fatalf("waiting for %s: %v", packets.PacketNames[typ], err)
	}
	if pk.FixedHeader.Type != typ {
		c.t.Fatalf("got %s (code %#x), want %s", packets.PacketNames[pk.FixedHeader.Type], pk.ReasonCode, packets.PacketNames[typ])
	}
	return pk
}

// ExpectClosed reads until the broker has closed the connection and returns what came before.
func (c *Client) ExpectClosed() (before []packets.Packet) {
	c.t.Helper()
	for {
		pk, err := c.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.t.Fatal("the connection is still open")
		}
		if err != nil {
			return before
		}
		before = append(before, pk)
	}
}

// Quiet fails when a packet comes within a moment.
func (c *Client) Quiet(moment time.Duration) {
	c.t.Helper()
	pk, err := c.read(moment)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("got %s, %v, want nothing", packets.PacketNames[pk.FixedHeader.Type], err)
	}
}

// Read returns the next packet.
func (c *Client) Read() (packets.Packet, error) { return c.read(patience) }

func (c *Client) read(wait time.Duration) (pk packets.Packet, err error) {
	if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return pk, err
	}
	head, err := c.in.ReadByte()
	if err != nil {
		return pk, err
	}
	if err := pk.FixedHeader.Decode(head); err != nil {
		return pk, err
	}
	length, err := binary.ReadUvarint(c.in)
	if err != nil {
		return pk, err
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(c.in, body); err != nil {
		return pk, err
	}
	pk.FixedHeader.Remaining, pk.ProtocolVersion = int(length), c.Version
	return pk, decode(&pk, body)
}

func decode(pk *packets.Packet, body []byte) error {
	switch pk.FixedHeader.Type {
	case packets.Connack:
		return pk.ConnackDecode(body)
	case packets.Publish:
		return pk.PublishDecode(body)
	case packets.Puback:
		return pk.PubackDecode(body)
	case packets.Pubrec:
		return pk.PubrecDecode(body)
	case packets.Pubrel:
		return pk.PubrelDecode(body)
	case packets.Pubcomp:
		return pk.PubcompDecode(body)
	case packets.Suback:
		return pk.SubackDecode(body)
	case packets.Unsuback:
		return pk.UnsubackDecode(body)
	case packets.Disconnect:
		return pk.DisconnectDecode(body)
	}
	return nil
}
