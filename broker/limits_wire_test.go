package broker_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/clienttest/raw"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
)

// The cast of the limits and threats. Its numbers are kept for films and the like; nobody has them.
const (
	anna contacts.Address = "4917604069001"
	bert contacts.Address = "4917604069002"
	cleo contacts.Address = "4917604069003" // has no app
	dora contacts.Address = "4917604069004" // nor has she
)

// A wire is a connection on which a test says exactly what it wants.
type wire struct {
	net.Conn
	*raw.Reader
	t       *testing.T
	version byte
}

// dialFrom opens a connection from a loopback address, without a CONNECT.
func dialFrom(t *testing.T, s *clienttest.Server, source string) *wire {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: patience}
	c, err := d.DialContext(t.Context(), "tcp", s.Addresses().MQTT)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return &wire{Conn: c, Reader: raw.NewReader(c, 4<<10, 1<<20), t: t, version: raw.V5}
}

const home = "127.0.0.1"

// hello is the CONNECT of a user of a server with a clean session.
func hello(s *clienttest.Server, version byte, user contacts.Address, device string) raw.Connect {
	return raw.Connect{Version: version, ClientID: device, Username: string(user), Password: s.Token(user), Clean: true, Keepalive: 60}
}

// join logs a user in from an address, which must be accepted.
func join(t *testing.T, s *clienttest.Server, source string, c raw.Connect) *wire {
	t.Helper()
	w := dialFrom(t, s, source)
	if ack := w.connect(c); ack.ReasonCode != 0 {
		t.Fatalf("CONNACK %#x", ack.ReasonCode)
	}
	return w
}

func (w *wire) send(b []byte) {
	w.t.Helper()
	_, err := w.Write(b)
	must(w.t, err)
}

// connect returns the CONNACK.
func (w *wire) connect(c raw.Connect) packets.Packet {
	w.t.Helper()
	w.version = c.Version
	w.send(c.Append(nil))
	return w.expect(packets.Connack)
}

// publish returns the reason code of the PUBACK.
func (w *wire) publish(id uint16, topic, payload string, props ...raw.UserProperty) byte {
	w.t.Helper()
	template := raw.NewTemplate(w.version, topic, 1, props...)
	w.send(template.Append(nil, id, false, []byte(payload)))
	return w.expect(packets.Puback).ReasonCode
}

func (w *wire) subscribe(filter string) byte {
	w.t.Helper()
	w.send(raw.AppendSubscribe(nil, w.version, 1, filter, 1))
	return w.expect(packets.Suback).ReasonCodes[0]
}

// ping fails when anything but the answer comes.
func (w *wire) ping() {
	w.t.Helper()
	w.send(raw.AppendPingreq(nil))
	w.expect(packets.Pingresp)
}

func (w *wire) expect(typ byte) packets.Packet {
	w.t.Helper()
	pk, err := w.read(patience)
	if err != nil {
		w.t.Fatalf("waiting for %s: %v", packets.PacketNames[typ], err)
	}
	if pk.FixedHeader.Type != typ {
		w.t.Fatalf("got %s (code %#x), want %s", packets.PacketNames[pk.FixedHeader.Type], pk.ReasonCode, packets.PacketNames[typ])
	}
	return pk
}

// ended reads until the broker has closed the connection, and returns the last packet before.
func (w *wire) ended() (last packets.Packet) {
	w.t.Helper()
	for {
		pk, err := w.read(patience)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			w.t.Fatal("the connection is still open")
		}
		if err != nil {
			return last
		}
		last = pk
	}
}

func (w *wire) read(wait time.Duration) (pk packets.Packet, err error) {
	if err := w.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return pk, err
	}
	f, err := w.Next()
	if err != nil {
		return pk, err
	}
	pk.ProtocolVersion = w.version
	pk.FixedHeader = packets.FixedHeader{Type: f.Type, Qos: f.Flags >> 1 & 3, Dup: f.Flags&8 != 0, Remaining: len(f.Body)}
	decode := map[byte]func([]byte) error{
		packets.Connack: pk.ConnackDecode, packets.Publish: pk.PublishDecode, packets.Puback: pk.PubackDecode, packets.Pubrec: pk.PubrecDecode, packets.Suback: pk.SubackDecode,
		packets.Disconnect: pk.DisconnectDecode, packets.Pingresp: func([]byte) error { return nil },
	}[f.Type]
	if decode == nil {
		return pk, errors.New("a packet that no test asks for: " + packets.PacketNames[f.Type])
	}
	return pk, decode(append([]byte(nil), f.Body...))
}

// counted returns a metric, of which the labels are a part of the name.
func counted(t *testing.T, s *clienttest.Server, name string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL()+"/metrics", nil)
	must(t, err)
	var text string
	if status := do(t, http.DefaultClient, req, &text); status != http.StatusOK {
		t.Fatalf("/metrics: %d", status)
	}
	_, rest, ok := strings.Cut(text, "\n"+name+" ")
	if !ok {
		t.Fatalf("there is no %s", name)
	}
	value, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseFloat(value, 64)
	must(t, err)
	return int(n)
}

var refusedLine = regexp.MustCompile(`(?m)^godwit_refused_total\{reason="([a-z_]+)"\} (\d+)$`)

// refusals returns godwit_refused_total by its reasons.
func refusals(t *testing.T, s *clienttest.Server) map[string]int {
	t.Helper()
	resp, err := http.Get(s.URL() + "/metrics")
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	found := map[string]int{}
	for _, m := range refusedLine.FindAllStringSubmatch(string(text), -1) {
		found[m[1]], err = strconv.Atoi(m[2])
		must(t, err)
	}
	return found
}

// waiting is a configuration in which the waits that are not under test cannot end.
func waiting(change func(*config.Config)) func(*config.Config) {
	return func(c *config.Config) {
		c.Push.AckTimeout, c.Push.OfflineGrace = config.Duration(10*time.Minute), config.Duration(time.Hour)
		if change != nil {
			change(c)
		}
	}
}
