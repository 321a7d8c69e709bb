package smpp_test

import (
	"sync/atomic"
	"testing"

	"github.com/seed-7a41469f/godwit/sms/smpp"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

// BenchmarkSubmit is one session with a window of 50: submits a second, each with its receipt given to a sink that takes it at once.
func BenchmarkSubmit(b *testing.B) {
	const window = 50
	s := serve(b, smstest.SMPPOptions{Deliveries: 100})
	g := run(b, s, func(c *smpp.Config) { c.Window = window })
	mt := message(1, "All good things come to those who wait.")
	ctx := soon(b)
	var failed atomic.Int64
	b.ResetTimer()
	together(window, b.N, func(int) {
		if g.Submit(ctx, mt)[0].Err != nil {
			failed.Add(1)
		}
	})
	b.StopTimer()
	if n := failed.Load(); n > 0 {
		b.Errorf("%d of %d failed", n, b.N)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "submits/s")
}
