package broker_test

import (
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/clienttest/raw"
	"github.com/seed-7a41469f/godwit/config"
)

// servedWhile has two good clients talk for as long as others disturb. They must be served; how long they waited is logged, since it depends on the machine.
func servedWhile(t *testing.T, s *clienttest.Server, disturb func()) {
	t.Helper()
	b, a := s.Connect(clienttest.Login{User: bert, Device: "good"}), s.Connect(clienttest.Login{User: anna, Device: "good"})
	done := make(chan struct{})
	go func() {
		defer close(done)
		disturb()
	}()
	var slowest, all time.Duration
	for n := 1; ; n++ {
		began := time.Now()
		text := fmt.Sprintf("good message %d", n)
		if ack := a.Publish("to/"+string(bert), text); ack.Code != 0 {
			t.Fatalf("PUBACK %#x", ack.Code)
		}
		if m := b.Next("in"); m.Payload != text {
			t.Fatalf("got %q", m.Payload)
		}
		took := time.Since(began)
		slowest, all = max(slowest, took), all+took
		select {
		case <-done:
			t.Logf("%d messages came meanwhile, after %v, %v at most", n, (all / time.Duration(n)).Round(time.Microsecond), slowest.Round(time.Microsecond))
			return
		default:
		}
	}
}

func unhurried(change func(*config.Config)) func(*config.Config) {
	return waiting(func(c *config.Config) {
		c.Limits.SendRate = 1_000_000
		if change != nil {
			change(c)
		}
	})
}

// descriptors raises the limit of open files, and returns it.
func descriptors(t *testing.T, want uint64) int {
	t.Helper()
	var limit syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	if limit.Cur < want {
		raised := syscall.Rlimit{Cur: want, Max: max(want, limit.Max)}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err != nil {
			raised = syscall.Rlimit{Cur: limit.Max, Max: limit.Max}
			must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised))
		}
		limit = raised
	}
	return int(limit.Cur)
}

// crowd is connections that are closed together.
type crowd struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (c *crowd) dial(to, from string) (net.Conn, error) {
	n, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}).Dial("tcp", to)
	if err == nil {
		c.mu.Lock()
		c.conns = append(c.conns, n)
		c.mu.Unlock()
	}
	return n, err
}

func (c *crowd) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.conns {
		_ = n.Close()
	}
	c.conns = nil
}

// TestIdleSockets: up to 3,000 sockets that say nothing, as many as there are in two seconds; that each is closed at its deadline is shown by
// TestSilentSocketIsClosedAtTheConnectDeadline. They cost little, and who has something to say is served.
func TestIdleSockets(t *testing.T) {
	const each, reserve, most, deadline, dialers = 1000, 2000, 40 << 10, 2 * time.Second, 4
	addresses := min(3, (descriptors(t, 2*3*each+reserve)-reserve)/2/each) // both ends are ours
	if addresses < 1 {
		t.Fatal("there are too few file descriptors: raise `ulimit -n` to 4,000 or more")
	}
	s := clienttest.NewServer(t, unhurried(func(c *config.Config) { c.Limits.ConnectionsPerAddress = each }))
	var idle crowd
	defer idle.close()
	before := memoryInUse()
	began := time.Now()
	servedWhile(t, s, func() {
		var next atomic.Int64
		var all sync.WaitGroup
		for range dialers {
			all.Go(func() {
				for i := next.Add(1) - 1; i < int64(addresses*each) && time.Since(began) < deadline; i = next.Add(1) - 1 {
					if _, err := idle.dial(s.Addresses().MQTT, fmt.Sprintf("127.0.1.%d", i/each+1)); err != nil {
						t.Errorf("idle socket %d: %v", i, err)
						return
					}
				}
			})
		}
		all.Wait()
	})
	n := len(idle.conns)
	if n < 200 {
		t.Fatalf("only %d idle sockets in %v", n, deadline)
	}
	cost := (memoryInUse() - before) / int64(n)
	t.Logf("%d idle sockets, %d octets each, our own end included", n, cost)
	if cost > most {
		t.Errorf("an idle socket costs %d octets, at most %d are allowed", cost, most)
	}
	join(t, s, "127.0.2.1", hello(s, raw.V5, anna, "late")).ping()
}

func memoryInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// TestConnectFlood: one address opens connections and guesses tokens as fast as it can. Few guesses are heard, and from elsewhere nothing of it is felt.
func TestConnectFlood(t *testing.T) {
	const perSecond, flood, clients = 20, 1100 * time.Millisecond, 4
	s := clienttest.NewServer(t, unhurried(func(c *config.Config) { c.Limits.ConnectsPerAddress = perSecond }))
	c := hello(s, raw.V5, anna, "a")
	c.Password = "gw_" + strings.Repeat("A", 43)
	connect := c.Append(nil)
	var opened, heard atomic.Int64
	began := time.Now()
	servedWhile(t, s, func() {
		var all sync.WaitGroup
		for range clients {
			all.Go(func() {
				for time.Since(began) < flood {
					var one crowd
					n, err := one.dial(s.Addresses().MQTT, "127.0.0.2")
					if err != nil {
						t.Error(err)
						return
					}
					opened.Add(1)
					_, _ = n.Write(connect)
					_ = n.SetReadDeadline(time.Now().Add(patience))
					answer := make([]byte, 4)
					if k, _ := n.Read(answer); k == 4 && answer[0] == packets.Connack<<4 && answer[3] == 0x86 {
						heard.Add(1)
					}
					one.close()
				}
			})
		}
		all.Wait()
	})
	seconds := int64(time.Since(began)/time.Second) + 2 // it may have begun within one
	t.Logf("%d connections, %d guesses heard", opened.Load(), heard.Load())
	if n := heard.Load(); n < perSecond || n > seconds*perSecond+seconds*clients || n > opened.Load()/2 {
		t.Errorf("%d of %d guesses were heard", n, opened.Load())
	}
	if n := int64(counted(t, s, `godwit_refused_total{reason="login"}`)); n != heard.Load() {
		t.Errorf("%d refusals are counted, %d were heard", n, heard.Load())
	}
}

// TestSlowReaders: devices that take nothing while much comes for them hold up nobody, and little memory waits for them.
func TestSlowReaders(t *testing.T) {
	const readers, messages = 8, 24
	s := clienttest.NewServer(t, unhurried(nil))
	for i := range readers {
		slow := join(t, s, home, hello(s, raw.V5, cleo, fmt.Sprintf("slow %d", i)))
		must(t, slow.Conn.(*net.TCPConn).SetReadBuffer(4096))
		slow.subscribe("u/" + string(cleo) + "/#")
	}
	sender := join(t, s, home, hello(s, raw.V5, dora, "sender"))
	before := memoryInUse()
	big := strings.Repeat("x", 60<<10)
	servedWhile(t, s, func() {
		for id := range uint16(messages) {
			if code := sender.publish(id+1, "app/"+string(cleo), big); code != 0 {
				t.Errorf("PUBACK %#x", code)
			}
		}
	})
	grown := memoryInUse() - before
	t.Logf("%d messages of 60 KiB for %d devices that do not read: %d KiB more in use", messages, readers, grown>>10)
	if most := int64(readers * (256 + 64 + 64) << 10); grown > most+16<<20 { // what may wait for each, and the store's own
		t.Errorf("%d octets more are in use", grown)
	}
}

// TestForgedCallbacks: calls with a wrong key are refused, counted and never stored, and slow nobody down.
func TestForgedCallbacks(t *testing.T) {
	const clients, calls = 4, 60
	s := clienttest.NewServer(t, unhurried(func(c *config.Config) {
		c.SMS.Gateways = append(c.SMS.Gateways, config.Gateway{
			Name: "kannel", Kind: config.KindKannel, URL: "http://127.0.0.1:9/", Username: "u", Password: "p", CallbackSecret: callbackSecret, Window: 1,
		})
	}))
	s.Hide(callbackSecret)
	s.Hide("pay to this account")
	servedWhile(t, s, func() {
		var all sync.WaitGroup
		for i := range clients {
			all.Go(func() {
				client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
				defer client.CloseIdleConnections()
				for n := range calls {
					path := "dlr?key=wrong&type=1&ref=x"
					if n%2 == 0 {
						path = fmt.Sprintf("mo?key=%s%d&from=%s&to=%s&text=pay+to+this+account&coding=0", callbackSecret, i, anna, clienttest.OurNumber)
					}
					resp, err := client.Get(s.URL() + "/gateway/kannel/" + path)
					if err != nil {
						t.Error(err)
						return
					}
					_ = resp.Body.Close()
					if resp.StatusCode != http.StatusForbidden {
						t.Errorf("a forged call: %s", resp.Status)
					}
				}
			})
		}
		all.Wait()
	})
	if n := counted(t, s, `godwit_refused_total{reason="callback"}`); n != clients*calls {
		t.Errorf("%d are counted, want %d", n, clients*calls)
	}
	if status := admin(t, s, "/v1/admin/unmatched"); status != http.StatusOK {
		t.Errorf("unmatched: %d", status)
	}
	for _, m := range s.Messages() {
		if m.Root == "mo" {
			t.Errorf("a forged SMS was taken: %s", m.ID)
		}
	}
}

// TestAnnouncedLengthTakesNoMemory: who announces 256 MiB before a login is gone at once, and nothing was set aside for it.
func TestAnnouncedLengthTakesNoMemory(t *testing.T) {
	s := clienttest.NewServer(t, waiting(nil))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 50 {
		w := dialFrom(t, s, home)
		w.send([]byte{0x10, 0xFF, 0xFF, 0xFF, 0x7F})
		w.ended()
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
		t.Errorf("%d octets were allocated", n)
	}
}
