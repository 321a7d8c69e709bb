package delivery_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/store/badger"
)

// A benchLink acknowledges at once and counts.
type benchLink struct {
	dev *delivery.Device
	got *atomic.Int64
}

func (l *benchLink) Push(p *delivery.Push) bool {
	l.dev.Ack(p.Slot, true)
	l.got.Add(1)
	return true
}
func (l *benchLink) Flush()     {}
func (l *benchLink) Drop(error) {}

// A benchSender keeps a window of publishes open.
type benchSender struct{ window chan struct{} }

func (s *benchSender) Accepted(_ *delivery.Message, err error) {
	if err != nil {
		panic(err)
	}
	<-s.window
}

// BenchmarkPushed is a message from Publish to the recipient's acknowledgement, stored by badger: 50 pairs, 64 publishes open each.
func BenchmarkPushed(b *testing.B) {
	for name, receipts := range map[string]delivery.Receipts{"receipts=none": delivery.ReceiptsNone, "receipts=default": delivery.ReceiptsDefault} {
		b.Run(name, func(b *testing.B) { benchmarkPushed(b, receipts) })
	}
}

func benchmarkPushed(b *testing.B, receipts delivery.Receipts) {
	const pairs, window = 50, 64
	store, err := badger.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	dir, err := contacts.Open(b.Context(), store.Table(), contacts.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer dir.Close()
	e := delivery.New(delivery.Config{Store: store, Directory: dir})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	var got, told atomic.Int64
	connect := func(user contacts.Address, count *atomic.Int64) *delivery.Device {
		if _, err := dir.Add(b.Context(), user); err != nil {
			b.Fatal(err)
		}
		if err := dir.HasInbox(b.Context(), user); err != nil {
			b.Fatal(err)
		}
		l := &benchLink{got: count}
		l.dev = e.Connect(delivery.Connection{User: user, ClientID: "d", Link: l})
		l.dev.Subscribe([]contacts.Filter{{Topic: "u/" + string(user) + "/#", QoS: 1}})
		return l.dev
	}
	var senders []*delivery.Device
	for i := range pairs {
		senders = append(senders, connect(contacts.Address(fmt.Sprintf("4915100%04d", i)), &told))
		connect(contacts.Address(fmt.Sprintf("4915200%04d", i)), &got)
	}
	payload := make([]byte, 128)
	b.ReportAllocs()
	b.ResetTimer()
	finished := make(chan struct{}, pairs)
	for i := range pairs {
		n := b.N/pairs + 1
		from, to := contacts.Address(fmt.Sprintf("4915100%04d", i)), contacts.Address(fmt.Sprintf("4915200%04d", i))
		go func() {
			s := &benchSender{window: make(chan struct{}, window)}
			for range n {
				s.window <- struct{}{}
				m := &delivery.Message{From: from, To: to, Root: delivery.RootTo, Payload: payload, Receipts: receipts,
					Origin: delivery.Origin{Device: "d", PacketID: 1}}
				e.Publish(m, delivery.Publication{Device: senders[i]}, s)
			}
			for range window {
				s.window <- struct{}{}
			}
			finished <- struct{}{}
		}()
	}
	for range pairs {
		<-finished
	}
	for e.Stats().Open.Load() > 0 {
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
