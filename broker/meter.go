package broker

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/sms"
)

// A meter is a gateway as the broker has it, and counts what passes.
type meter struct {
	sms.Gateway
	kind     string                         // of the configuration; empty: none
	wire     *sms.Wire                      // nil: it has none
	results  [sms.Unknown + 1]atomic.Uint64 // by the worst class of a submit; 0: the gateway took all of it
	segments atomic.Uint64
	dlrs     [sms.DeliveredSMS + 1]atomic.Uint64
}

var (
	_ sms.Gateway = (*meter)(nil)
	_ api.Fitted  = (*meter)(nil)
)

// Kind implements api.Fitted.
func (m *meter) Kind() string { return m.kind }

// Wire implements api.Fitted.
func (m *meter) Wire() *sms.Wire { return m.wire }

// resultNames are the labels of meter.results.
var resultNames = [sms.Unknown + 1]string{"taken", "not_sent", "throttled", "temporary", "permanent", "configuration", "unknown"}

// dlrNames are the labels of meter.dlrs; 0 is no state.
var dlrNames = [sms.DeliveredSMS + 1]string{"", "enroute", "undelivered", "delivered"}

// Submit counts the outcomes.
func (m *meter) Submit(ctx context.Context, mt sms.MT) []sms.Outcome {
	outcomes := m.Gateway.Submit(ctx, mt)
	worst := sms.Class(0)
	for _, o := range outcomes {
		class := sms.ClassOf(o.Err)
		worst = max(worst, class)
		if class == 0 {
			m.segments.Add(1)
		}
	}
	m.results[worst].Add(1)
	return outcomes
}

// Linked reports whether the gateway can submit, as far as it keeps a connection.
func (m *meter) Linked() bool {
	link, keeps := m.Gateway.(interface{ Linked() bool })
	return !keeps || link.Linked()
}

// callbacks returns what the carrier calls, nil where it calls nothing; the reports that come in are counted.
func (m *meter) callbacks(sink sms.Sink) (dlr, mo http.Handler) {
	if g, ok := m.Gateway.(called); ok {
		return g.Callbacks(meteredSink{sink, m})
	}
	return nil, nil
}

// Run counts the reports that come in.
func (m *meter) Run(ctx context.Context, sink sms.Sink) error {
	return m.Gateway.Run(ctx, meteredSink{sink, m})
}

type meteredSink struct {
	sms.Sink
	meter *meter
}

func (s meteredSink) DLR(ctx context.Context, r sms.DLR) error {
	err := s.Sink.DLR(ctx, r)
	if err == nil && int(r.State) < len(s.meter.dlrs) {
		s.meter.dlrs[r.State].Add(1)
	}
	return err
}
