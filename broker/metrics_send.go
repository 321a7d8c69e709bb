package broker

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-7a41469f/godwit/delivery"
)

// A sender makes metrics of numbers. The descriptions are constant, so making one cannot fail but by a mistake that the first scrape shows.
type sender struct{ ch chan<- prometheus.Metric }

func (s sender) counter(d *prometheus.Desc, n uint64, labels ...string) {
	s.sum(d, float64(n), labels...)
}

// sum is a counter of what is no whole number.
func (s sender) sum(d *prometheus.Desc, v float64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func (s sender) gauge(d *prometheus.Desc, n int64) {
	s.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n))
}

func (s sender) histogram(d *prometheus.Desc, h *delivery.Histogram) {
	bounds, count, sum := h.Snapshot()
	s.ch <- prometheus.MustNewConstHistogram(d, count, sum, bounds)
}

func anyVia(settled *[delivery.Expired + 1][delivery.ViaSMS + 1]atomic.Uint64, state delivery.State) (n uint64) {
	for via := range settled[state] {
		n += settled[state][via].Load()
	}
	return n
}
