package hooks_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
	"go.uber.org/goleak"

	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/hooks/internal/rawmqtt"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/mochi-mqtt/server/v2.(*Server).eventLoop"), // ends a moment after Close
	)
}

// What is acknowledged before a stop is there after it, and MQTT 5 clients are told why.
func TestGracefulStopUnderLoad(t *testing.T) {
	h := start(t, setup{})
	const senders = 4
	var wg sync.WaitGroup
	acked := make([]map[string]bool, senders)
	bye := make([]byte, senders)
	busy := make(chan struct{}, senders)
	for i := range senders {
		c := h.connect(5, alice, fmt.Sprint("s", i))
		acked[i] = map[string]bool{}
		wg.Go(func() {
			go func() {
				for id := uint16(1); id < 60_000; id++ {
					if _, err := c.Write(c.Frame(rawmqtt.Publish("to/"+string(bob), fmt.Sprint(i, "-", id), 1, id))); err != nil {
						return
					}
					time.Sleep(50 * time.Microsecond) // sleep: the pace of the load
				}
			}()
			for {
				pk, err := c.Read()
				if err != nil {
					return
				}
				switch pk.FixedHeader.Type {
				case packets.Puback:
					acked[i][fmt.Sprint(i, "-", pk.PacketID)] = true
					if len(acked[i]) == 100 {
						busy <- struct{}{}
					}
				case packets.Disconnect:
					bye[i] = pk.ReasonCode
				}
			}
		})
	}
	for range senders {
		<-busy
	}
	began := time.Now()
	h.close()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the stop took %v", took)
	}
	wg.Wait()
	stored := map[string]bool{}
	for q := (delivery.Query{Limit: 1000}); ; {
		ms, next, err := h.store.List(t.Context(), q)
		h.must(err)
		for _, m := range ms {
			stored[string(m.Payload)] = true
		}
		if q.Before = next; next.IsZero() {
			break
		}
	}
	for i := range senders {
		for payload := range acked[i] {
			if !stored[payload] {
				t.Errorf("%s was acknowledged and is not there", payload)
			}
		}
		if bye[i] != 0x8B {
			t.Errorf("sender %d: goodbye was %#x", i, bye[i])
		}
	}
	if h.hook.Stats().Wills.Load() != 0 {
		t.Error("a will was sent")
	}
}

func TestStopBeforeTheStart(t *testing.T) {
	h := hooksOf(t)
	h.OnStopped()
	if err := h.Stop(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-h.Done():
	default:
		t.Error("not done")
	}
}
