package sms_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/seed-7a41469f/godwit/sms"
)

// instant is a gateway and a desk that take no time.
type instant struct {
	name string
	left atomic.Int64
	done chan struct{}
}

func (i *instant) Name() string           { return i.name }
func (*instant) Abilities() sms.Abilities { return sms.Abilities{Window: 10} }

func (*instant) Run(ctx context.Context, _ sms.Sink) error {
	<-ctx.Done()
	return nil
}

func (*instant) Submit(_ context.Context, mt sms.MT) []sms.Outcome {
	return []sms.Outcome{{Segment: 1, ID: "id"}}
}

func (*instant) Claim(_ context.Context, r sms.Ref, _ string) (sms.MT, bool, error) {
	return sms.MT{Ref: r, Segments: []sms.Segment{{Number: 1}}}, true, nil
}

func (i *instant) Report(context.Context, sms.MT, string, []sms.Outcome) error {
	if i.left.Add(-1) == 0 {
		close(i.done)
	}
	return nil
}

// BenchmarkDispatcher is the dispatcher's own part of a message, from Want to Report.
func BenchmarkDispatcher(b *testing.B) {
	i := &instant{name: "instant", done: make(chan struct{})}
	i.left.Store(int64(b.N))
	d := sms.NewDispatcher([]sms.Gateway{i}, i, sms.Dispatch{})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, nil) }()
	for n := range b.N {
		d.Want(sms.Want{Ref: ref(n), To: number(n), Priority: sms.Fresh})
	}
	<-i.done
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}
