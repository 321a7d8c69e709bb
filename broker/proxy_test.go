package broker_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/config"
)

// signature begins a header of version 2.
const signature = "\r\n\r\n\x00\r\nQUIT\n"

// v2 is a header of version 2 for TCP over IPv4; command is 0 (LOCAL) or 1 (PROXY).
func v2(command byte, from string, extra int) string {
	b := append([]byte(signature), 0x20|command, 0x11)
	b = binary.BigEndian.AppendUint16(b, uint16(12+extra))
	b = append(append(b, net.ParseIP(from).To4()...), 127, 0, 0, 1)
	b = binary.BigEndian.AppendUint16(b, 4711)
	b = binary.BigEndian.AppendUint16(b, 1883)
	if extra >= 3 { // one TLV that nobody knows
		b = append(b, 0xE0, byte((extra-3)>>8), byte(extra-3))
		b = append(b, make([]byte, extra-3)...)
	}
	return string(b)
}

const v1 = "PROXY TCP4 192.0.2.7 127.0.0.1 4711 1883\r\n"

func TestProxyHeaders(t *testing.T) {
	for _, secured := range []bool{false, true} {
		l := &broker.Listener{ProxyProtocol: true, ConnectTimeout: time.Second}
		var n *node
		shake := func(c net.Conn) net.Conn { return c }
		if secured {
			of, ca := serveTLS(t, l)
			n = of
			shake = func(c net.Conn) net.Conn {
				s, _ := hand(c, ca, nil)
				return s
			}
		} else {
			n = serve(t, l)
		}
		for name, c := range map[string]struct {
			header string
			good   bool
		}{
			"version 1":                    {v1, true},
			"version 1, IPv6":              {"PROXY TCP6 2001:db8::1 ::1 4711 1883\r\n", true},
			"version 1, UNKNOWN":           {"PROXY UNKNOWN\r\n", true},
			"version 2":                    {v2(1, "192.0.2.7", 0), true},
			"version 2 with a TLV":         {v2(1, "192.0.2.7", 300), true},
			"version 2, LOCAL":             {v2(0, "192.0.2.7", 0), true},
			"none":                         {"", false},
			"version 1 without an address": {"PROXY TCP4\r\n", false},
			"version 1 that never ends":    {"PROXY " + strings.Repeat("x", 200), false},
			"version 1, a wrong address":   {"PROXY TCP4 192.0.2.777 127.0.0.1 4711 1883\r\n", false},
			"version 2, a wrong version":   {signature + "\x31\x11\x00\x0C" + strings.Repeat("x", 12), false},
			"version 2 that is cut":        {v2(1, "192.0.2.7", 0)[:20], false},
		} {
			t.Run(map[bool]string{false: "mqtt, ", true: "mqtts, "}[secured]+name, func(t *testing.T) {
				raw := n.dial(t)
				_, err := raw.Write([]byte(c.header))
				must(t, err)
				if conn := shake(raw); c.good {
					if code := n.connect(t, conn, "phone", n.token); code != 0 {
						t.Errorf("CONNACK %#x", code)
					}
					return
				}
				_, _ = raw.Write(n.hello("phone", n.token))
				if got, _ := io.ReadAll(raw); len(got) > 0 {
					t.Errorf("answered %x", got)
				}
			})
		}
		eventually(t, func() bool { return n.Stats().RefusedHello.Load() >= 5 }) // the one that is cut swallows the beginning of what follows
	}
}

// The address that counts is the header's.
func TestAddressCapBehindProxy(t *testing.T) {
	n := serve(t, &broker.Listener{ProxyProtocol: true, Visitors: &broker.Visitors{PerAddress: 2}})
	from := func(header string) net.Conn {
		c := n.dial(t)
		_, err := c.Write([]byte(header))
		must(t, err)
		return c
	}
	for range 5 {
		n.dial(t) // has not said who it is
	}
	refused := make(chan net.Conn, 3)
	three := []net.Conn{from(v1), from(v2(1, "192.0.2.7", 0)), from(v1)}
	for _, c := range three { // whichever header is read last
		go func() {
			if closed(c) {
				refused <- c
			}
		}()
	}
	one := <-refused
	if n.Stats().RefusedAddress.Load() != 1 {
		t.Error("not counted")
	}
	n.connect(t, from(v2(1, "192.0.2.8", 0)), "b", n.token)
	for _, c := range three {
		if c != one {
			must(t, c.Close())
		}
	}
	eventually(t, func() bool { // their places are free again
		c := from(v1)
		defer c.Close()
		return n.tryConnect(c, "c", n.token)
	})
}

// Metrics are for this machine; who comes through the proxy is not.
func TestProxyHeadersOnHTTP(t *testing.T) {
	cfg, ca, _ := tlsConfig(t)
	cfg.Listen.ProxyProtocol, cfg.Auth.Mode = true, config.ModeToken
	h := start(t, cfg)
	for _, secured := range []bool{false, true} {
		for name, c := range map[string]struct {
			header string
			want   int // 0: closed
		}{
			"of a stranger": {v1, http.StatusUnauthorized},
			"LOCAL":         {v2(0, "192.0.2.7", 0), http.StatusOK},
			"none":          {"", 0},
		} {
			t.Run(map[bool]string{false: "http, ", true: "https, "}[secured]+name, func(t *testing.T) {
				var conn net.Conn
				conn, err := net.Dial("tcp", h.where.HTTP)
				must(t, err)
				defer conn.Close()
				must(t, conn.SetDeadline(time.Now().Add(patience)))
				_, err = conn.Write([]byte(c.header))
				must(t, err)
				if secured {
					if conn, err = hand(conn, ca, nil); err != nil && c.want == 0 {
						return
					}
					must(t, err)
				}
				_, err = io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
				must(t, err)
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				switch {
				case c.want == 0 && err == nil:
					t.Errorf("answered %s", resp.Status)
				case c.want != 0 && (err != nil || resp.StatusCode != c.want):
					t.Errorf("%v, %v", resp, err)
				}
			})
		}
	}
}

// FuzzProxyHeader: what follows a header is what the connection says, whole.
func FuzzProxyHeader(f *testing.F) {
	for _, header := range []string{v1, v2(1, "192.0.2.7", 0), v2(1, "192.0.2.7", 40), v2(0, "192.0.2.7", 0), "PROXY UNKNOWN\r\n", "", "\x16\x03\x01"} {
		f.Add([]byte(header))
	}
	rest := []byte{0x10, 0, 0xA5}
	f.Fuzz(func(t *testing.T, header []byte) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		go func() {
			_, _ = theirs.Write(append(bytes.Clone(header), rest...))
			theirs.Close()
		}()
		c, err := broker.ReadProxy(ours)
		if err != nil {
			return
		}
		if c.RemoteAddr() == nil {
			t.Error("no address")
		}
		if got, err := io.ReadAll(c); err != nil || len(header) > 0 && !bytes.HasSuffix(append(bytes.Clone(header), rest...), got) {
			t.Errorf("got %x, %v after %x", got, err, header)
		}
	})
}
