package delivery

import "time"

// A moment is a time in 8 octets instead of 24, of which there are several for every open message: nanoseconds since the epoch of its clock, which keeps the
// monotonic reading. 0 is no time.
type moment int64

// A clock turns times into moments and back.
type clock struct{ epoch time.Time }

// newClock returns a clock whose epoch is a little before now, so that no time from now on is moment 0.
func newClock(now time.Time) clock { return clock{now.Add(-time.Nanosecond)} }

func (c clock) moment(t time.Time) moment {
	switch d := t.Sub(c.epoch); {
	case t.IsZero():
		return 0
	case d == 0:
		return 1
	default:
		return moment(d)
	}
}

func (c clock) time(m moment) time.Time {
	if m == 0 {
		return time.Time{}
	}
	return c.epoch.Add(time.Duration(m))
}
