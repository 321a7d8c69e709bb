package sms_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/sms"
)

func TestClasses(t *testing.T) {
	for _, c := range []struct {
		err       error
		class     sms.Class
		word      string
		temporary bool
	}{
		{sms.Fail(sms.NotSent, "", "connection refused"), sms.NotSent, "not sent: connection refused", true},
		{sms.FailAfter(sms.Throttled, "0x58", "too fast", time.Second), sms.Throttled, "throttled: too fast (0x58)", true},
		{sms.Fail(sms.Temporary, "0x08", "system error"), sms.Temporary, "temporary: system error (0x08)", true},
		{sms.Fail(sms.Permanent, "0x0b", "invalid destination"), sms.Permanent, "permanent: invalid destination (0x0b)", false},
		{sms.Fail(sms.Configuration, "401", "unauthorized"), sms.Configuration, "configuration: unauthorized (401)", true},
		{sms.Fail(sms.Unknown, "", "time-out"), sms.Unknown, "unknown: time-out", false},
	} {
		if got := c.err.Error(); got != c.word {
			t.Errorf("got %q, want %q", got, c.word)
		}
		wrapped := fmt.Errorf("submit: %w", c.err)
		if got := sms.ClassOf(wrapped); got != c.class {
			t.Errorf("ClassOf(%v) = %v, want %v", wrapped, got, c.class)
		}
		var temporary interface{ Temporary() bool }
		if !errors.As(wrapped, &temporary) || temporary.Temporary() != c.temporary {
			t.Errorf("%v: Temporary is not %v", wrapped, c.temporary)
		}
	}
	if got := sms.ClassOf(errors.New("anything")); got != sms.Unknown {
		t.Errorf("an error of no class is %v, want unknown", got)
	}
	for _, none := range []sms.Class{0, sms.Unknown + 1} {
		if got := sms.ClassOf(&sms.Error{Class: none}); got != sms.Unknown {
			t.Errorf("an error of class %d is %v, want unknown", none, got)
		}
	}
	if got := sms.ClassOf(nil); got != 0 {
		t.Errorf("no error is %v", got)
	}
}

func TestDLRStateWords(t *testing.T) {
	for state, want := range map[sms.DLRState]string{sms.Enroute: "enroute", sms.Undelivered: "undelivered", sms.DeliveredSMS: "delivered", 0: "unknown"} {
		if got := state.String(); got != want {
			t.Errorf("%d is %q, want %q", state, got, want)
		}
	}
}
