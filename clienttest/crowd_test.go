package clienttest_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/clienttest/raw"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// TestGoodClientsInACrowd: idle sockets on each door, a header that comes octet by octet, a body that never ends and a WebSocket that does not read,
// all at the same time; a browser, a script and a phone go on.
func TestGoodClientsInACrowd(t *testing.T) {
	t.Parallel()
	j := startNode(t)
	_, _, configure := secure(t, nil)
	s := clienttest.NewServer(t, configure)
	const slow contacts.Address = "slow"
	phone := s.Connect(clienttest.Login{User: bo})
	web := j.connect(ann, browser(s.Broker, ann, clienttest.V5))
	script := newCurler(t, s.URL(), basic(s.Broker, alerts)...)

	c := &crowdedPlace{t: t, Server: s}
	c.ctx, c.leave = context.WithCancel(t.Context())
	defer c.end()
	c.idle(s.Addresses().MQTT, "127.0.3.1")
	c.idle(s.Addresses().MQTTS, "127.0.3.2")
	c.idle(s.Addresses().HTTP, "127.0.3.3")
	c.drip("127.0.3.4")
	c.endless("127.0.3.5", s.Token(alerts))
	c.deafWebSocket(slow)

	big := strings.Repeat("much ", 12<<10) // 60 KiB
	for i := range 12 {
		phone.Publish("app/"+string(slow), big)

		text := fmt.Sprintf("through the crowd, %d", i)
		key := fmt.Sprintf("/k%d", i)
		web.publish("to/"+string(bo)+key, text, nil)
		want(t, phone.Next("in"), ann, text)
		ended(t, web.final(key[1:]), "delivered", "push", "")
		send(phone, ann, key[1:], text)
		want(t, web.next("in"), bo, text)
		ended(t, phone.Final(key[1:]), "delivered", "push", "")
		script.send("/to/"+string(bo)+key, "-d", text)
		want(t, phone.Next("in"), alerts, text)
	}
	late := s.Connect(clienttest.Login{User: bo, Device: "late"}) // and who comes now gets in
	script.send("/to/"+string(bo), "-d", "the last one")
	got := late.Next("in")
	for got.Payload != "the last one" { // what the phone's PUBACK was still under way for
		got = late.Next("in")
	}
	want(t, got, alerts, "the last one")
	noSMS(t, s.Broker)
}

// A crowdedPlace is a broker with a crowd before it.
type crowdedPlace struct {
	*clienttest.Server
	t     *testing.T
	ctx   context.Context
	leave context.CancelFunc
	wait  sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

func (c *crowdedPlace) end() {
	c.leave()
	c.mu.Lock()
	for _, n := range c.conns {
		_ = n.Close()
	}
	c.mu.Unlock()
	c.wait.Wait()
}

// dial connects from an address of the crowd's, since what an address may have open at a time before it logs in is limited.
func (c *crowdedPlace) dial(to, from string) net.Conn {
	c.t.Helper()
	n, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext(c.ctx, "tcp", to)
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, n)
	return n
}

// idle opens up to 500 sockets that say nothing.
func (c *crowdedPlace) idle(to, from string) {
	c.t.Helper()
	const wanted, doors, ends, others = 500, 3, 2, 700
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		c.t.Fatal(err)
	}
	if limit.Cur < others+doors*ends {
		c.t.Fatalf("%d file descriptors are too few: raise ulimit -n", limit.Cur)
	}
	for range min(wanted, (limit.Cur-others)/doors/ends) {
		c.dial(to, from)
	}
}

// drip writes a header octet by octet, as long as it is let (slowloris).
func (c *crowdedPlace) drip(from string) {
	n := c.dial(c.Addresses().HTTP, from)
	c.work(n, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", 50*time.Millisecond, "s")
}

// endless posts a body that does not end, as fast as it is taken.
func (c *crowdedPlace) endless(from, token string) {
	n := c.dial(c.Addresses().HTTP, from)
	c.work(n, "POST /to/"+string(bo)+" HTTP/1.1\r\nHost: "+c.Addresses().HTTP+"\r\nAuthorization: Bearer "+token+"\r\nTransfer-Encoding: chunked\r\n\r\n",
		time.Millisecond, "400\r\n"+strings.Repeat("e", 1024)+"\r\n")
}

// work writes a beginning, which must be taken, and then more and more at a pace, until that is not taken or the crowd leaves.
func (c *crowdedPlace) work(n net.Conn, begin string, pace time.Duration, more string) {
	c.t.Helper()
	if _, err := io.WriteString(n, begin); err != nil {
		c.t.Fatal(err)
	}
	c.wait.Go(func() {
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for {
			select {
			case <-c.ctx.Done():
				return
			case <-tick.C:
				if _, err := io.WriteString(n, more); err != nil {
					return
				}
			}
		}
	})
}

// deafWebSocket is a device of a user that has subscribed and does not read.
func (c *crowdedPlace) deafWebSocket(user contacts.Address) {
	c.t.Helper()
	conn, err := raw.Dialer{Web: true}.Dial(c.ctx, c.Addresses().HTTP, raw.Connect{
		Version: raw.V5, ClientID: "deaf", Username: string(user), Password: c.Token(user), Clean: true, Keepalive: 600,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	c.conns = append(c.conns, conn)
	c.mu.Unlock()
	if err := conn.Subscribe(delivery.Topic(user, "#")); err != nil {
		c.t.Fatal(err)
	}
}
