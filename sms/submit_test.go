package sms_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7a41469f/godwit/sms"
)

func TestSubmitEach(t *testing.T) {
	const ok, notSent, throttled, temporary, permanent, configuration, unknown = 0, sms.NotSent, sms.Throttled, sms.Temporary, sms.Permanent, sms.Configuration, sms.Unknown
	for _, c := range []struct {
		name    string
		answers []sms.Class // of the segments that are submitted
		want    []sms.Class
	}{
		{"all taken", []sms.Class{ok, ok, ok}, []sms.Class{ok, ok, ok}},
		{"segment 2 refused for now, only it is to be resent", []sms.Class{ok, temporary, ok}, []sms.Class{ok, temporary, ok}},
		{"nothing after unknown", []sms.Class{ok, unknown}, []sms.Class{ok, unknown, notSent}},
		{"nothing after throttled", []sms.Class{throttled}, []sms.Class{throttled, notSent, notSent}},
		{"nothing after permanent", []sms.Class{permanent}, []sms.Class{permanent, notSent, notSent}},
		{"nothing after configuration", []sms.Class{ok, configuration}, []sms.Class{ok, configuration, notSent}},
		{"nothing after not sent", []sms.Class{notSent}, []sms.Class{notSent, notSent, notSent}},
	} {
		t.Run(c.name, func(t *testing.T) {
			mt := text(ref(1), strings.Repeat("a", 400))
			submitted := 0
			out := sms.SubmitEach(t.Context(), mt, func(_ context.Context, s sms.Segment) (string, error) {
				class := c.answers[submitted]
				submitted++
				if class == ok {
					return fmt.Sprint("id", s.Number), nil
				}
				return "", sms.Fail(class, "", "told to")
			})
			if submitted != len(c.answers) {
				t.Errorf("%d segments were submitted, want %d", submitted, len(c.answers))
			}
			var got []sms.Class
			for i, o := range out {
				got = append(got, sms.ClassOf(o.Err))
				if o.Segment != i+1 || (o.Err == nil) != (o.ID == fmt.Sprint("id", i+1)) {
					t.Errorf("outcome %d: %+v", i+1, o)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestSubmitEachWritesNothingTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mt := text(ref(1), strings.Repeat("a", 400))
		mt.Until = time.Now().Add(3 * time.Second)
		out := sms.SubmitEach(t.Context(), mt, func(context.Context, sms.Segment) (string, error) {
			pass(2 * time.Second)
			return "id", nil
		})
		if out[1].Err != nil || sms.ClassOf(out[2].Err) != sms.NotSent {
			t.Errorf("got %v", out)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		out = sms.SubmitEach(ctx, text(ref(1), "a"), func(context.Context, sms.Segment) (string, error) {
			return "", errors.New("it was submitted")
		})
		if sms.ClassOf(out[0].Err) != sms.NotSent {
			t.Errorf("got %v", out)
		}
	})
}
