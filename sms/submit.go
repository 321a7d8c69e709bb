package sms

import (
	"context"
	"time"
)

// SubmitEach is Gateway.Submit for carriers that take one segment at a time. It goes on only while submit succeeds or fails for this segment alone
// (Temporary): after anything else, once mt.Until has come, and when ctx is done, what is left is NotSent.
func SubmitEach(ctx context.Context, mt MT, submit func(ctx context.Context, s Segment) (id string, err error)) []Outcome {
	outcomes := make([]Outcome, len(mt.Segments))
	var left error // why what is left is not sent
	for i, s := range mt.Segments {
		outcomes[i].Segment = s.Number
		if left == nil {
			left = over(ctx, mt.Until)
		}
		if left != nil {
			outcomes[i].Err = left
			continue
		}
		outcomes[i].ID, outcomes[i].Err = submit(ctx, s)
		if class := ClassOf(outcomes[i].Err); class != 0 && class != Temporary {
			left = Fail(NotSent, "", "left out after segment "+class.String())
		}
	}
	return outcomes
}

// over says why nothing more may be written.
func over(ctx context.Context, until time.Time) error {
	switch {
	case ctx.Err() != nil:
		return Fail(NotSent, "", "stopped before it was written")
	case !until.IsZero() && !time.Now().Before(until):
		return Fail(NotSent, "", "its time ran out before it was written")
	}
	return nil
}
