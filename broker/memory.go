package broker

import (
	"context"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"time"
)

// What a burst leaves behind, garbage and room for as much again, Go collects after two minutes at the earliest, and returns to the system only in part.
const (
	tidyEvery = 10 * time.Second
	tidyQuiet = 4 << 20  // octets allocated meanwhile up to which the broker counts as quiet
	tidyFrom  = 32 << 20 // octets allocated since the latest tidying, or a quarter of the heap when that is more, from which it is worth it
)

// tidy returns memory to the system once it is quiet after a burst, until ctx is done. It costs one garbage collection.
func tidy(ctx context.Context) error {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	tidied, before := uint64(0), uint64(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		runtimemetrics.Read(sample)
		allocated, live := sample[0].Value.Uint64(), sample[1].Value.Uint64()
		if quiet := allocated-before < tidyQuiet; quiet && allocated-tidied > max(tidyFrom, live/4) {
			debug.FreeOSMemory()
			tidied = allocated
		}
		before = allocated
	}
}
