package loadgen_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest/internal/standin"
	"github.com/seed-7a41469f/godwit/clienttest/loadgen"
	"github.com/seed-7a41469f/godwit/clienttest/raw"
)

// serve runs a stand-in until the test ends and returns its address.
func serve(t *testing.T, b *standin.Broker) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- b.Serve(ln) }()
	t.Cleanup(func() {
		ln.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// one pair and a thousand messages: the 142 that are divisible by seven are known beforehand.
func thousand() loadgen.FlowOptions {
	return loadgen.FlowOptions{Pairs: 1, Count: 1000, Window: 32, Settle: 300 * time.Millisecond}
}

func TestEveryFaultIsCounted(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults standin.Faults
		want   loadgen.Tally
	}{
		{"an honest broker", standin.Faults{}, loadgen.Tally{Sent: 1000, Acked: 1000, Received: 1000}},
		{"loss", standin.Faults{Lose: 7}, loadgen.Tally{Sent: 1000, Acked: 1000, Received: 858, Lost: 142}},
		{"duplicates", standin.Faults{Duplicate: 7}, loadgen.Tally{Sent: 1000, Acked: 1000, Received: 1000, Duplicates: 142}},
		{"order", standin.Faults{Swap: 7}, loadgen.Tally{Sent: 1000, Acked: 1000, Received: 1000, OutOfOrder: 142}},
		{"damage", standin.Faults{Damage: 7}, loadgen.Tally{Sent: 1000, Acked: 1000, Received: 858, Lost: 142, Damaged: 142}},
		{"refusal", standin.Faults{Refuse: 7}, loadgen.Tally{Sent: 1000, Acked: 858, Received: 858, Refused: 142}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			addr := serve(t, &standin.Broker{Faults: c.faults})
			r, err := loadgen.Flow(context.Background(), loadgen.Target{Addr: addr, Version: raw.V5}, thousand())
			if err != nil {
				t.Fatal(err)
			}
			if r.Tally != c.want {
				t.Errorf("\n got %+v\nwant %+v", r.Tally, c.want)
			}
			if err := r.Tally.Check(); (err == nil) != (c.faults == standin.Faults{}) {
				t.Errorf("check: %v", err)
			}
		})
	}
}

// A third of the messages were due while the broker stood still for 300 ms: an open loop must see that, whatever its windows are.
func TestAStallIsNotOmitted(t *testing.T) {
	addr := serve(t, &standin.Broker{Faults: standin.Faults{StallAt: 300, StallFor: 300 * time.Millisecond}})
	o := loadgen.FlowOptions{Pairs: 2, Rate: 1000, Duration: 900 * time.Millisecond, Window: 4}
	r, err := loadgen.Flow(context.Background(), loadgen.Target{Addr: addr}, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Tally.Check(); err != nil || r.Tally.Sent != 900 {
		t.Errorf("%+v, %v", r.Tally, err)
	}
	if r.Latency.P95 < 150 || r.Latency.Max < 290 {
		t.Errorf("latency %+v after a stall of 300 ms", r.Latency)
	}
}

func TestAMessageForSomebodyElseIsCounted(t *testing.T) {
	addr := serve(t, &standin.Broker{Faults: standin.Faults{Misroute: 7}})
	o := thousand()
	o.Pairs = 2
	r, err := loadgen.Flow(context.Background(), loadgen.Target{Addr: addr, Plain: true}, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Tally.Misrouted == 0 || r.Tally.Misrouted != r.Tally.Lost {
		t.Errorf("%+v", r.Tally)
	}
}

func TestCheckNamesWhatIsNotAllowed(t *testing.T) {
	bad := loadgen.Tally{Sent: 10, Lost: 1, Duplicates: 2}
	if err := bad.Check("lost", "duplicates"); err != nil {
		t.Error(err)
	}
	if err := bad.Check("duplicates"); err == nil || !strings.Contains(err.Error(), "lost: 1") || strings.Contains(err.Error(), "duplicates") {
		t.Error(err)
	}
}

func TestOfflineFindsLossAndDisorder(t *testing.T) {
	for name, c := range map[string]struct {
		faults standin.Faults
		check  func(loadgen.Tally) bool
	}{
		"honest": {standin.Faults{}, func(t loadgen.Tally) bool { return t.Check() == nil && t.Received == 1000 }},
		"loss":   {standin.Faults{Lose: 7}, func(t loadgen.Tally) bool { return t.Lost == 142 }},
		"order":  {standin.Faults{Swap: 7}, func(t loadgen.Tally) bool { return t.OutOfOrder > 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			addr := serve(t, &standin.Broker{Faults: c.faults})
			o := loadgen.OfflineOptions{Receivers: 4, Messages: 1000, Settle: 300 * time.Millisecond}
			r, err := loadgen.Offline(context.Background(), loadgen.Target{Addr: addr}, o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Resumed != 4 || !c.check(r.Tally) {
				t.Errorf("%d resumed, %+v", r.Resumed, r.Tally)
			}
		})
	}
}

func TestABrokerThatDiesIsAnError(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- (&standin.Broker{}).Serve(ln) }()
	time.AfterFunc(300*time.Millisecond, func() { ln.Close() })
	_, err = loadgen.Flow(context.Background(), loadgen.Target{Addr: ln.Addr().String()}, loadgen.FlowOptions{Pairs: 2, Duration: time.Minute})
	if err == nil {
		t.Error("the broker was gone and nobody said so")
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
