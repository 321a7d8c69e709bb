package loadgen_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"go.uber.org/goleak"

	"github.com/seed-7a41469f/godwit/clienttest/loadgen"
	"github.com/seed-7a41469f/godwit/clienttest/raw"
)

type allowAll struct{ mqtt.HookBase }

func (*allowAll) Provides(b byte) bool {
	return b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck
}
func (*allowAll) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }
func (*allowAll) OnACLCheck(*mqtt.Client, string, bool) bool              { return true }

// mochi runs a stock mochi server in this process.
func mochi(t *testing.T) loadgen.Target {
	t.Helper()
	return mochiOn(t, listeners.NewTCP(listeners.Config{ID: "tcp", Address: "127.0.0.1:0"}))
}

func mochiOn(t *testing.T, door listeners.Listener) loadgen.Target {
	t.Helper()
	server := mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := server.AddHook(new(allowAll), nil); err != nil {
		t.Fatal(err)
	}
	if err := server.AddListener(door); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		door.Close(func(string) {}) // mochi's own way to close its clients may hang while one leaves (Clients.GetByListener locks twice)
		server.Close()              // waits until the clients, whose connections the generator has closed, are gone
	})
	return loadgen.Target{Addr: door.Address(), Plain: true}
}

func TestFlowAgainstMochi(t *testing.T) {
	for name, c := range map[string]struct {
		version byte
		o       loadgen.FlowOptions
	}{
		"3.1.1, by count":            {raw.V311, loadgen.FlowOptions{Pairs: 5, Count: 5003, Window: 16}},
		"5, by count":                {raw.V5, loadgen.FlowOptions{Pairs: 5, Count: 1003, Window: 16, Payload: 3000}},
		"more than there are ids":    {raw.V311, loadgen.FlowOptions{Pairs: 1, Count: 66_000, Window: 64, Payload: loadgen.StampSize}},
		"persistent, for a duration": {raw.V5, loadgen.FlowOptions{Pairs: 3, Duration: 200 * time.Millisecond, Warmup: 50 * time.Millisecond, Persistent: true}},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && c.o.Count > 65535 {
				t.Skip("takes seconds with -race")
			}
			target := mochi(t)
			target.Version, target.PID = c.version, os.Getpid()
			r, err := loadgen.Flow(context.Background(), target, c.o)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Tally.Check(); err != nil {
				t.Error(err)
			}
			if r.Tally.Received != r.Tally.Sent || c.o.Count > 0 && r.Tally.Sent != c.o.Count {
				t.Errorf("%+v", r.Tally)
			}
			if r.Costs.Messages == 0 || r.Costs.PerSecond <= 0 || r.Costs.BrokerRSS == 0 || r.Latency.Max < r.Latency.P50 || r.Latency.P50 <= 0 {
				t.Errorf("%+v, %+v", r.Costs, r.Latency)
			}
		})
	}
}

func TestAnOpenLoopOffersItsRate(t *testing.T) {
	o := loadgen.FlowOptions{Pairs: 7, Rate: 1000, Duration: 500 * time.Millisecond, Warmup: 100 * time.Millisecond}
	r, err := loadgen.Flow(context.Background(), mochi(t), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Tally.Check(); err != nil || r.Tally.Sent != 600 {
		t.Errorf("%+v, %v", r.Tally, err)
	}
}

func TestIdleAndStormAgainstMochi(t *testing.T) {
	target := mochi(t)
	target.PID = os.Getpid()
	idle, err := loadgen.Idle(context.Background(), target, loadgen.IdleOptions{Connections: 200, Hold: time.Millisecond})
	if err != nil || idle.Connections != 200 || idle.RSSAfter == 0 {
		t.Fatalf("%+v, %v", idle, err)
	}
	for _, clean := range []bool{true, false} {
		o := loadgen.StormOptions{Clients: 200, Clean: clean, Gap: time.Millisecond}
		storm, err := loadgen.Storm(context.Background(), target, o)
		if err == nil {
			err = storm.Check()
		}
		if err != nil || storm.PeakRSS == 0 || clean != (storm.Resumed == 0) {
			t.Fatalf("%+v, %v", storm, err)
		}
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestIdleOverWebSocket(t *testing.T) {
	addr := freePort(t) // mochi does not tell which port it got
	target := mochiOn(t, listeners.NewWebsocket(listeners.Config{ID: "ws", Address: addr}))
	target.Web, target.PID = true, os.Getpid()
	for end := time.Now().Add(5 * time.Second); ; {
		r, err := loadgen.Idle(context.Background(), target, loadgen.IdleOptions{Connections: 50, Hold: time.Millisecond})
		if err == nil {
			if r.Connections != 50 || r.RSSAfter == 0 {
				t.Errorf("%+v", r)
			}
			return
		}
		if time.Now().After(end) { // mochi opens the port in the background
			t.Fatal(err)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
