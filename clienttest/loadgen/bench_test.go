package loadgen_test

import (
	"context"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/seed-7a41469f/godwit/clienttest/loadgen"
	"github.com/seed-7a41469f/godwit/clienttest/raw"
)

// A relay is the least that a broker can do: it acknowledges a batch in one write and passes it on in one. What a message costs with it is
// a bound of what the generator itself costs.
type relay struct {
	mu        sync.Mutex
	receivers map[string]*raw.Conn // by topic
}

func (r *relay) serve(nc net.Conn) {
	conn := &raw.Conn{Conn: nc, Reader: raw.NewReader(nc, 64<<10, 1<<20), Version: raw.V311}
	var acks, frames []byte
	_ = conn.Loop(func(f raw.Frame) error {
		acks, frames = acks[:0], frames[:0]
		var to *raw.Conn
		for {
			switch f.Type {
			case raw.CONNECT:
				acks = raw.AppendConnack(acks, raw.V311, false, 0)
			case raw.SUBSCRIBE:
				id, filter, _ := f.Subscribe(raw.V311)
				r.mu.Lock()
				r.receivers[filter] = conn
				r.mu.Unlock()
				acks = raw.AppendSuback(acks, raw.V311, id, 1)
			case raw.PINGREQ:
				acks = raw.AppendPingresp(acks)
			case raw.PUBLISH:
				p, err := f.Publish(raw.V311)
				if err != nil {
					return err
				}
				if to == nil {
					r.mu.Lock()
					to = r.receivers[string(p.Topic)]
					r.mu.Unlock()
				}
				acks = raw.AppendPuback(acks, p.ID)
				frames = append(append(frames, 0x32, byte(len(f.Body)&0x7F|0x80), byte(len(f.Body)>>7)), f.Body...)
			}
			if !conn.Ready() {
				break
			}
			var err error
			if f, err = conn.Next(); err != nil {
				return err
			}
		}
		if to != nil {
			if _, err := to.Write(frames); err != nil {
				return err
			}
		}
		if len(acks) == 0 {
			return nil
		}
		_, err := conn.Write(acks)
		return err
	})
	nc.Close()
}

// BenchmarkFlow reports what a message costs generator and relay together.
func BenchmarkFlow(b *testing.B) {
	for _, window := range []int{1, 16, 64, 256} {
		b.Run("W="+strconv.Itoa(window), func(b *testing.B) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			r := &relay{receivers: map[string]*raw.Conn{}}
			var wg sync.WaitGroup
			wg.Go(func() {
				for {
					nc, err := ln.Accept()
					if err != nil {
						return
					}
					wg.Go(func() { r.serve(nc) })
				}
			})
			o := loadgen.FlowOptions{Count: uint64(b.N), Window: window, Payload: 128}
			b.ResetTimer()
			result, err := loadgen.Flow(context.Background(), loadgen.Target{Addr: ln.Addr().String(), Plain: true}, o)
			if err == nil {
				err = result.Tally.Check()
			}
			if err != nil {
				b.Error(err)
			}
			b.ReportMetric(result.Costs.LoadMicros, "cpu-us/msg")
			b.ReportMetric(result.Costs.PerSecond, "msg/s")
			ln.Close()
			wg.Wait()
		})
	}
}
