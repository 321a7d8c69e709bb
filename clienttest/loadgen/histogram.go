package loadgen

import (
	"math/bits"
	"time"
)

// A Histogram counts durations in buckets that are 1/64 of their value wide, so a quantile is true to 1.6 %, whatever its size.
type Histogram struct {
	counts [(64 - subBits) << subBits]uint64
	n      uint64
	max    time.Duration
}

const subBits = 6

// bucket keeps the subBits bits below the leading one.
func bucket(v uint64) int {
	if v < 1<<subBits {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return shift<<subBits + int(v>>shift)
}

// upper is the largest value of a bucket.
func upper(i int) uint64 {
	if i < 1<<subBits {
		return uint64(i)
	}
	shift := i>>subBits - 1
	return (uint64(i-shift<<subBits)+1)<<shift - 1
}

// Record counts one duration; a negative one counts as 0.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(uint64(d))]++
	h.n++
	h.max = max(h.max, d)
}

// Merge adds what other has counted.
func (h *Histogram) Merge(other *Histogram) {
	for i, c := range other.counts {
		h.counts[i] += c
	}
	h.n += other.n
	h.max = max(h.max, other.max)
}

// Quantile returns the duration that a share of q (0 to 1) did not exceed; 0 when nothing was counted.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank := max(uint64(q*float64(h.n)+0.5), 1)
	for i, c := range h.counts {
		if c >= rank {
			return min(time.Duration(upper(i)), h.max)
		}
		rank -= c
	}
	return h.max
}

// Quantiles are those of a report, in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Quantiles returns those of a report.
func (h *Histogram) Quantiles() Quantiles {
	return Quantiles{
		P50: milliseconds(h.Quantile(0.50)),
		P95: milliseconds(h.Quantile(0.95)),
		P99: milliseconds(h.Quantile(0.99)),
		Max: milliseconds(h.max),
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
