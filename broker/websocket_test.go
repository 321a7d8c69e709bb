package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	mqtt311 "github.com/eclipse/paho.mqtt.golang"

	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/config"
)

// dialWS opens a WebSocket to a path of an HTTP port.
func dialWS(t *testing.T, addr string, opt *websocket.DialOptions) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, resp, err := websocket.Dial(ctx, "ws://"+addr+"/mqtt", opt)
	if err == nil {
		c.SetReadLimit(-1)
		t.Cleanup(func() { _ = c.CloseNow() })
	}
	return c, resp, err
}

// webSocket opens one that speaks MQTT.
func webSocket(t *testing.T, addr string) *websocket.Conn {
	t.Helper()
	c, _, err := dialWS(t, addr, &websocket.DialOptions{Subprotocols: []string{"mqtt"}})
	must(t, err)
	if c.Subprotocol() != "mqtt" {
		t.Errorf("subprotocol %q", c.Subprotocol())
	}
	return c
}

// webPhone connects an MQTT 5 client over WebSocket.
func (h *host) webPhone(user string) (*paho.Client, <-chan *paho.Publish) {
	h.t.Helper()
	return h.phoneOn(stream(webSocket(h.t, h.where.HTTP)), user)
}

// stream is a WebSocket as paho.golang wants it, which writes a packet in pieces, and pings from another goroutine.
func stream(c *websocket.Conn) net.Conn {
	return packets.NewThreadSafeConn(websocket.NetConn(context.Background(), c, websocket.MessageBinary))
}

// webNode is a node whose clients come by WebSocket only, on an HTTP port with limits.
func webNode(t *testing.T, l *broker.Listener, x broker.HTTPLimits) (n *node, addr string) {
	t.Helper()
	port, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	l.Net, l.Name = nil, "ws"
	n = serveWithout(t, l)
	go func() { ended <- broker.ServeHTTP(ctx, port, broker.WebSockets(l, false), x) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-ended)
	})
	return n, port.Addr().String()
}

func write(t *testing.T, c *websocket.Conn, b []byte) {
	t.Helper()
	must(t, c.Write(t.Context(), websocket.MessageBinary, b))
}

// read returns the next message.
func read(t *testing.T, c *websocket.Conn) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	kind, b, err := c.Read(ctx)
	if err != nil || kind != websocket.MessageBinary {
		t.Fatalf("%v, %v", kind, err)
	}
	return b
}

// closes reads until the connection ends and returns the status of the close frame; -1: there was none.
func closes(t *testing.T, c *websocket.Conn) websocket.StatusCode {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		if _, _, err := c.Read(ctx); err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				t.Fatal("it is still open")
			}
			return websocket.CloseStatus(err)
		}
	}
}

func TestBothVersionsOverWebSocket(t *testing.T) {
	h := start(t, testConfig(t))
	five, got := h.webPhone("49176000001")
	received := make(chan mqtt311.Message, 10)
	opts := mqtt311.NewClientOptions().AddBroker("ws://" + h.where.HTTP + "/mqtt").SetClientID("old").SetUsername("49176000002").SetAutoReconnect(false)
	old := mqtt311.NewClient(opts)
	wait := func(token mqtt311.Token) {
		t.Helper()
		if !token.WaitTimeout(patience) || token.Error() != nil {
			t.Fatalf("%v", token.Error())
		}
	}
	wait(old.Connect())
	defer old.Disconnect(100)
	wait(old.Subscribe("u/49176000002/#", 1, func(_ mqtt311.Client, m mqtt311.Message) { received <- m }))
	wait(old.Publish("to/49176000001", 1, false, "from 3.1.1"))
	if p := next(t, got, "/in/"); string(p.Payload) != "from 3.1.1" {
		t.Errorf("got %q", p.Payload)
	}
	long := strings.Repeat("long ", 10_000) // in many reads and writes
	id := send(t, five, "to/49176000002", long)
	for m := range received {
		if strings.Contains(m.Topic(), "/in/") {
			if string(m.Payload()) != long {
				t.Errorf("got %d octets", len(m.Payload()))
			}
			break
		}
	}
	receipt(t, got, id, "delivered")
}

// MQTT 5 §6: packets and messages are not aligned.
func TestPacketsAndFramesAreNotAligned(t *testing.T) {
	n, addr := webNode(t, &broker.Listener{}, broker.HTTPLimits{})
	c := webSocket(t, addr)
	hello := n.hello("a", n.token)
	write(t, c, hello[:1])
	write(t, c, nil)
	w, err := c.Writer(t.Context(), websocket.MessageBinary) // a message of several frames, and two packets and a half in it
	must(t, err)
	ping := []byte{0xC0, 0}
	for _, part := range [][]byte{hello[1:9], hello[9:], ping, ping, ping[:1]} {
		_, err := w.Write(part)
		must(t, err)
	}
	must(t, w.Close())
	write(t, c, ping[1:])
	var answers []byte
	for !bytes.HasSuffix(answers, bytes.Repeat([]byte{0xD0, 0}, 3)) {
		answers = append(answers, read(t, c)...)
	}
	if answers[0] != 0x20 || answers[3] != 0 {
		t.Errorf("CONNACK %x", answers)
	}
	// A ping of WebSocket's is answered; the client has to read meanwhile.
	reading := c.CloseRead(t.Context())
	must(t, c.Ping(reading))
}

func TestWebSocketEnds(t *testing.T) {
	n, addr := webNode(t, &broker.Listener{}, broker.HTTPLimits{})
	connected := func() *websocket.Conn {
		c := webSocket(t, addr)
		write(t, c, n.hello("a", n.token))
		if b := read(t, c); b[0] != 0x20 || b[3] != 0 {
			t.Fatalf("CONNACK %x", b)
		}
		return c
	}
	t.Run("a text message", func(t *testing.T) {
		c := connected()
		must(t, c.Write(t.Context(), websocket.MessageText, []byte{0xC0, 0}))
		if s := closes(t, c); s != websocket.StatusUnsupportedData {
			t.Errorf("status %d", s)
		}
	})
	t.Run("a packet above limits.packet", func(t *testing.T) {
		c := connected()
		write(t, c, []byte{0x30, 0xFF, 0xFF, 0x7F})
		if b := read(t, c); b[0] != 0xE0 || b[2] != 0x95 {
			t.Errorf("got %x", b)
		}
		if s := closes(t, c); s != websocket.StatusGoingAway {
			t.Errorf("status %d", s)
		}
	})
	t.Run("a wrong password", func(t *testing.T) {
		c := webSocket(t, addr)
		write(t, c, n.hello("a", "guess"))
		if b := read(t, c); b[0] != 0x20 || b[3] != 0x86 {
			t.Errorf("got %x", b)
		}
		closes(t, c)
	})
	t.Run("its own close", func(t *testing.T) {
		c := connected()
		must(t, c.Close(websocket.StatusNormalClosure, ""))
	})
	t.Run("DISCONNECT", func(t *testing.T) {
		c := connected()
		write(t, c, []byte{0xE0, 0})
		if s := closes(t, c); s != websocket.StatusGoingAway {
			t.Errorf("status %d", s)
		}
	})
	t.Run("an unmasked frame", func(t *testing.T) {
		c, err := net.Dial("tcp", addr)
		must(t, err)
		defer c.Close()
		must(t, c.SetDeadline(time.Now().Add(patience)))
		_, err = fmt.Fprintf(c, "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: mqttv3.1, mqtt\r\n\r\n\x82\x02\xC0\x00") // at once, too
		must(t, err)
		if got, err := io.ReadAll(c); err != nil || !bytes.HasPrefix(got, []byte("HTTP/1.1 101 ")) {
			t.Errorf("%q, %v", got, err)
		}
	})
	eventually(t, func() bool { return n.hook.Stats().Connected.Load() == 0 })
	eventually(t, func() bool { return n.Listener.Stats().Panics.Load() == 0 })
}

func TestStopOfWebSockets(t *testing.T) {
	n, addr := webNode(t, &broker.Listener{}, broker.HTTPLimits{})
	webSocket(t, addr) // has not said anything
	c := webSocket(t, addr)
	write(t, c, n.hello("a", n.token))
	read(t, c)
	stopped := make(chan struct{})
	go func() { n.Close(nil); close(stopped) }()
	if b := read(t, c); b[0] != 0xE0 || b[2] != 0x8B {
		t.Errorf("got %x", b)
	}
	if s := closes(t, c); s != websocket.StatusGoingAway {
		t.Errorf("status %d", s)
	}
	select {
	case <-stopped:
	case <-time.After(8 * time.Second):
		t.Error("the stop waits for a client that does not answer the closing handshake")
	}
	if _, _, err := dialWS(t, addr, &websocket.DialOptions{Subprotocols: []string{"mqtt"}}); err == nil {
		t.Log("the handshake still works, and the connection is closed") // as the HTTP port ends by itself
	}
}

func TestWhoGetsNoWebSocket(t *testing.T) {
	h := start(t, testConfig(t))
	good := map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol": "mqtt",
	}
	for _, c := range []struct {
		name, header, value string
		status              int
		answer              string // a header of it
	}{
		{"good", "", "", 101, "Sec-WebSocket-Accept"},
		{"its own origin", "Origin", "http://" + h.where.HTTP, 101, ""},
		{"further subprotocols", "Sec-WebSocket-Protocol", "mqttv3.1, mqtt", 101, ""},
		{"no subprotocol", "Sec-WebSocket-Protocol", "", 400, ""},
		{"another subprotocol", "Sec-WebSocket-Protocol", "chat", 400, ""},
		{"no key", "Sec-WebSocket-Key", "", 400, ""},
		{"a short key", "Sec-WebSocket-Key", "AAAA", 400, ""},
		{"an old version", "Sec-WebSocket-Version", "8", 426, "Sec-WebSocket-Version"},
		{"no upgrade", "Connection", "keep-alive", 426, "Upgrade"},
		{"another upgrade", "Upgrade", "h2c", 426, "Upgrade"},
		{"another origin", "Origin", "https://evil.example", 403, ""},
		{"another host", "Host", "evil.example", 421, ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+h.where.HTTP+"/mqtt", nil)
		must(t, err)
		for name, value := range good {
			req.Header.Set(name, value)
		}
		switch {
		case c.header == "Host":
			req.Host = c.value
		case c.header != "" && c.value == "":
			req.Header.Del(c.header)
		case c.header != "":
			req.Header.Set(c.header, c.value)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		must(t, err)
		if resp.StatusCode != c.status || c.answer != "" && resp.Header.Get(c.answer) == "" {
			t.Errorf("%s: %s %v", c.name, resp.Status, resp.Header)
		}
		if c.status != 101 && resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %v", c.name, resp.Header)
		}
		resp.Body.Close()
	}
}

func TestTokensCrossNoNetworkInTheClear(t *testing.T) {
	n := serveWithout(t, &broker.Listener{Name: "ws"})
	for _, c := range []struct {
		remote      string
		behindProxy bool
		status      int
	}{{"192.0.2.1:4000", false, 403}, {"192.0.2.1:4000", true, 101}, {"127.0.0.1:4000", false, 101}, {"[::1]:4000", false, 101}} {
		r := httptest.NewRequest("GET", "/mqtt", nil)
		r.RemoteAddr = c.remote
		for name, value := range map[string]string{
			"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol": "mqtt",
		} {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		broker.WebSockets(n.Listener, c.behindProxy).ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%+v: %d", c, w.Code)
		}
	}
}

// A socket that was upgraded and says nothing more has the CONNECT deadline; one that has logged in is not cut by any time-out of HTTP's.
func TestTimeoutsOfHTTPAreNotThoseOfAWebSocket(t *testing.T) {
	short := 100 * time.Millisecond
	n, addr := webNode(t, &broker.Listener{ConnectTimeout: 5 * short}, broker.HTTPLimits{Header: short, Read: short, Write: short, Idle: short})
	silent, good := webSocket(t, addr), webSocket(t, addr)
	write(t, good, n.hello("good", n.token))
	read(t, good)
	if s := closes(t, silent); s != websocket.StatusGoingAway {
		t.Errorf("status %d", s)
	}
	write(t, good, []byte{0xC0, 0})
	if b := read(t, good); b[0] != 0xD0 {
		t.Errorf("got %x", b)
	}
}

// Connections of all doors count together, and so do failed logins.
func TestLimitsOfAllDoorsTogether(t *testing.T) {
	cfg := testConfig(t)
	cfg.Limits.Connections = 2
	h := start(t, cfg)
	h.phone("49176000001")
	web, _ := h.webPhone("49176000002")
	_, resp, err := dialWS(t, h.where.HTTP, &websocket.DialOptions{Subprotocols: []string{"mqtt"}})
	if err == nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%v, %v", resp, err)
	}
	c, err := net.Dial("tcp", h.where.MQTT)
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(patience)))
	if !closed(c) {
		t.Error("a third over TCP is open")
	}
	must(t, web.Disconnect(&paho.Disconnect{}))
	eventually(t, func() bool {
		c, _, err := dialWS(t, h.where.HTTP, &websocket.DialOptions{Subprotocols: []string{"mqtt"}})
		if err == nil {
			_ = c.CloseNow()
		}
		return err == nil
	})
}

func TestFailedLoginsOverWebSocket(t *testing.T) {
	n, addr := webNode(t, &broker.Listener{Visitors: &broker.Visitors{FailedLogins: 5}}, broker.HTTPLimits{})
	for range 50 {
		c, resp, err := dialWS(t, addr, &websocket.DialOptions{Subprotocols: []string{"mqtt"}})
		if err != nil {
			if resp == nil || resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
				t.Fatalf("%v, %v", resp, err)
			}
			if n.Stats().RefusedAddress.Load() == 0 {
				t.Error("not counted")
			}
			return
		}
		_ = c.Write(t.Context(), websocket.MessageBinary, n.hello("a", "guess"))
		_, _, _ = c.Read(t.Context())
		_ = c.CloseNow()
	}
	t.Error("guessing is not slowed down")
}

func TestTakeoverBetweenDoors(t *testing.T) {
	h := start(t, testConfig(t))
	tcp, _ := h.phone("49176000001")
	web, got := h.webPhone("49176000001") // the same client id
	<-tcp.Done()
	id := send(t, web, "to/49176000001", "to myself")
	if p := next(t, got, "/in/"); !strings.Contains(p.Topic, id) {
		t.Errorf("got %s", p.Topic)
	}
	h.phone("49176000001")
	<-web.Done()
}

// A client that ends its WebSocket without DISCONNECT, or vanishes, has not left: its will is sent.
func TestWillsOverWebSocket(t *testing.T) {
	h := start(t, testConfig(t))
	_, got := h.phone("49176000001")
	for name, end := range map[string]func(*websocket.Conn){
		"a close frame":     func(c *websocket.Conn) { _ = c.Close(websocket.StatusNormalClosure, "") },
		"not even that one": func(c *websocket.Conn) { _ = c.CloseNow() },
	} {
		ws := webSocket(t, h.where.HTTP)
		c := paho.NewClient(paho.ClientConfig{Conn: stream(ws), PacketTimeout: patience})
		_, err := c.Connect(t.Context(), &paho.Connect{
			ClientID: "boiler", CleanStart: true, KeepAlive: 60, UsernameFlag: true, Username: "49176000003",
			WillMessage: &paho.WillMessage{Topic: "to/49176000001", QoS: 1, Payload: []byte(name)},
		})
		must(t, err)
		end(ws)
		<-c.Done()
		if p := next(t, got, "/in/"); string(p.Payload) != name {
			t.Errorf("got %q, want %q", p.Payload, name)
		}
	}
}

// A device that does not read is given up, and nobody waits for it.
func TestSlowReaderOverWebSocket(t *testing.T) {
	cfg := testConfig(t)
	cfg.Push.Window, cfg.Limits.SendRate = 1000, 100_000
	h := start(t, cfg)
	slow := &stuck{Conn: websocket.NetConn(context.Background(), webSocket(t, h.where.HTTP), websocket.MessageBinary), ends: make(chan struct{})}
	defer close(slow.ends)
	c := paho.NewClient(paho.ClientConfig{Conn: packets.NewThreadSafeConn(slow), PacketTimeout: patience})
	_, err := c.Connect(t.Context(), &paho.Connect{ClientID: "slow", CleanStart: true, UsernameFlag: true, Username: "49176000009"})
	must(t, err)
	_, err = c.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "u/49176000009/#", QoS: 1}}})
	must(t, err)
	slow.full.Store(true)
	good, got := h.webPhone("49176000001")
	big := strings.Repeat("x", 60_000)
	for i := range 120 {
		send(t, good, "to/49176000009", big, "receipts", "none")
		if i%10 == 0 {
			send(t, good, "to/49176000001", "still served", "receipts", "none")
			next(t, got, "/in/")
		}
	}
	eventually(t, func() bool {
		var text string
		h.get("/metrics", "", "", &text)
		return strings.Contains(text, "\ngodwit_devices_connected 1\n")
	})
	must(t, h.stop())
}

// stuck reads no more once it is told to.
type stuck struct {
	net.Conn
	full atomic.Bool
	ends chan struct{}
}

func (s *stuck) Read(p []byte) (int, error) {
	if s.full.Load() {
		<-s.ends
	}
	return s.Conn.Read(p)
}

// Logins of all doors that fail count together, for one network address.
func TestFailedLoginsByHTTPCountForAllDoors(t *testing.T) {
	v := &broker.Visitors{FailedLogins: 3}
	n, addr := webNode(t, &broker.Listener{Visitors: v}, broker.HTTPLimits{Visitors: v})
	eventually(t, func() bool { // within one second
		for range 3 {
			v.Failed("127.0.0.1:4000")
		}
		_, resp, err := dialWS(t, addr, &websocket.DialOptions{Subprotocols: []string{"mqtt"}})
		return err != nil && resp != nil && resp.StatusCode == 429 && v.Refused("127.0.0.1")
	})
	if v.Refused("127.0.0.2:1") || v.Refused("[2001:db8::1]:1") {
		t.Error("other addresses are refused as well")
	}
	eventually(t, func() bool { // within one second: they are one network's
		v.Failed("2001:db8:0:1::1")
		v.Failed("[2001:db8:0:1::2]:4000")
		v.Failed("[2001:db8:0:1:ffff::%eth0]:4000")
		return v.Refused("2001:db8:0:1::9")
	})
	eventually(t, func() bool { // the second is over
		c, _, err := dialWS(t, addr, &websocket.DialOptions{Subprotocols: []string{"mqtt"}})
		if err != nil {
			return false
		}
		write(t, c, n.hello("a", n.token))
		return read(t, c)[3] == 0
	})
}

// Behind a proxy that sends its own Host, the origin of our pages is that of listen.public_url.
func TestOriginOfThePublicURL(t *testing.T) {
	cfg := testConfig(t)
	cfg.Listen.PublicURL, cfg.Listen.BehindProxy, cfg.Auth.Mode = "https://push.example.org", true, config.ModeToken
	h := start(t, cfg)
	for origin, ok := range map[string]bool{"https://push.example.org": true, "https://push.example.org:8443": false, "https://example.org": false, "null": false} {
		_, resp, err := dialWS(t, h.where.HTTP, &websocket.DialOptions{Subprotocols: []string{"mqtt"}, HTTPHeader: http.Header{"Origin": {origin}}})
		if (err == nil) != ok {
			t.Errorf("%s: %v, %v", origin, resp, err)
		}
	}
}
