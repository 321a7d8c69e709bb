package loadgen_test

import (
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest/loadgen"
)

func TestQuantilesAreTrueTo1Point6Percent(t *testing.T) {
	var odd, even, all loadgen.Histogram
	for i := range 100_000 {
		h := &odd
		if i%2 == 0 {
			h = &even
		}
		h.Record(time.Duration(i+1) * time.Microsecond)
	}
	all.Merge(&odd)
	all.Merge(&even)
	for _, q := range []float64{0.001, 0.5, 0.95, 0.99, 1} {
		want := q * float64(100*time.Millisecond)
		if got := float64(all.Quantile(q)); got < want*0.999 || got > want*1.017 {
			t.Errorf("quantile %g: %s, want %s", q, time.Duration(got), time.Duration(want))
		}
	}
}

func TestHistogramTakesAnything(t *testing.T) {
	var h loadgen.Histogram
	if h.Quantile(0.5) != 0 {
		t.Error("an empty histogram has a median")
	}
	for _, d := range []time.Duration{-time.Second, 0, 1, 63, 64, 65, 1<<63 - 1} {
		h.Record(d)
	}
	if h.Quantile(1) != 1<<63-1 || h.Quantile(0.01) != 0 {
		t.Error(h.Quantile(1), h.Quantile(0.01))
	}
}

func FuzzStamp(f *testing.F) {
	f.Add(uint32(1), uint32(2), uint64(3), int64(4), "x")
	f.Fuzz(func(t *testing.T, run, sender uint32, seq uint64, at int64, junk string) {
		want := loadgen.Stamp{Run: run, Sender: sender, Seq: seq, At: at}
		b := make([]byte, loadgen.StampSize)
		want.Put(b)
		if got, ok := loadgen.ReadStamp(append(b, junk...)); !ok || got != want {
			t.Fatalf("%+v came back as %+v", want, got)
		}
		if s, ok := loadgen.ReadStamp([]byte(junk)); ok {
			s.Put(b)
			if !strings.HasPrefix(strings.ToLower(junk), string(b)) {
				t.Fatalf("%q was read as %+v", junk, s)
			}
		}
	})
}
