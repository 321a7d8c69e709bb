package smstest

import "time"

// A Fault is what the server does with a segment instead of taking it, answering at once and reporting it delivered. The parts may be combined.
type Fault struct {
	Submit Submit
	DLR    Report
	For    time.Duration // Slow: how long the answer takes; Throttle: the pause that the answer asks for
}

// A Submit is what becomes of the submit itself.
type Submit string

// What may become of a submit, with the class that the gateway makes of it.
const (
	Take     Submit = ""         // taken and answered
	Refuse   Submit = "refuse"   // the connection is closed before the segment was written: sms.NotSent
	Throttle Submit = "throttle" // sms.Throttled
	Busy     Submit = "busy"     // sms.Temporary
	Reject   Submit = "reject"   // sms.Permanent
	Lock     Submit = "lock"     // sms.Configuration
	Swallow  Submit = "swallow"  // taken, and the connection is closed instead of an answer: sms.Unknown
	Lose     Submit = "lose"     // read and forgotten, and the connection is closed: sms.Unknown
	Slow     Submit = "slow"     // taken, and answered after For
)

// A Report is which DLRs come for a segment that was taken.
type Report string

// Which DLRs may come.
const (
	Delivered   Report = ""            // delivered, once
	NoDLR       Report = "none"        // none
	Undelivered Report = "undelivered" // undelivered, once
	Early       Report = "early"       // delivered, and the submit is answered only once the gateway's sink has it
	Twice       Report = "twice"       // delivered, two times
	Disorder    Report = "disorder"    // delivered, and enroute after it
)

// valid reports whether a fault is one of those above.
func (f Fault) valid() bool {
	switch f.Submit {
	case Take, Refuse, Throttle, Busy, Reject, Lock, Swallow, Lose, Slow:
	default:
		return false
	}
	switch f.DLR {
	case Delivered, NoDLR, Undelivered, Early, Twice, Disorder:
		return f.For >= 0
	}
	return false
}

// states are the DLRs that a segment gets, in their order.
func (r Report) states() []string {
	switch r {
	case NoDLR:
		return nil
	case Undelivered:
		return []string{undelivered}
	case Twice:
		return []string{delivered, delivered}
	case Disorder:
		return []string{delivered, enroute}
	}
	return []string{delivered}
}
