package delivery

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-7a41469f/godwit/sms"
)

// Outcome is what the gateway said to the claim numbered claim. dlr tells whether reports are to be expected. nil: the claim is answered already.
func (m *Message) Outcome(claim int, outcomes []sms.Outcome, dlr bool, now time.Time, r Rules) (*Message, Effects) {
	if m.SMS == nil || m.SMS.Claims != claim || !m.SMS.Holding || len(outcomes) == 0 {
		return nil, Effects{}
	}
	if m.SMS.Until.IsZero() && m.State != OutcomeUnknown { // in the unknown state an answer that comes late is welcome
		return nil, Effects{}
	}
	a := m.advance(now)
	leg := a.m.SMS
	leg.Until = time.Time{}
	worst, detail := sms.Class(0), ""
	for _, o := range outcomes {
		class := sms.ClassOf(o.Err)
		a.book(class, m.State == OutcomeUnknown, a.segment(o, class))
		if rank(class) > rank(worst) {
			worst, detail = class, o.Err.Error()
		}
	}
	if m.State == OutcomeUnknown && worst == sms.Unknown {
		return nil, Effects{}
	}
	switch {
	case leg.has(SegmentUnknown):
		a.unknown(detail, r)
	case leg.all(SegmentTaken):
		a.taken(dlr, r)
	case leg.sent():
		a.partly(worst, detail, r)
	default:
		a.nothingSent(worst, detail, outcomes, r)
	}
	return a.done()
}

// book notes what an outcome means for the money: late tells that the claim was unknown, and so spent; opened that the segment is certainly not with the carrier.
func (a *advance) book(class sms.Class, late, opened bool) {
	switch {
	case class == 0 || class == sms.Unknown:
		if !late {
			a.fx.Spent++
		}
	case opened:
		a.fx.Back.Segments++
		a.fx.Back.Booked = a.m.SMS.Booked
	}
}

// optedOut reports whether the carrier says that the recipient does not want SMS.
func optedOut(outcomes []sms.Outcome) bool {
	return slices.ContainsFunc(outcomes, func(o sms.Outcome) bool {
		var e *sms.Error
		return errors.As(o.Err, &e) && e.OptedOut
	})
}

// rank orders classes by how much they decide.
func rank(c sms.Class) int {
	switch c {
	case sms.Unknown:
		return 6
	case sms.Permanent:
		return 5
	case sms.Configuration:
		return 4
	case sms.Temporary:
		return 3
	case sms.Throttled:
		return 2
	case sms.NotSent:
		return 1
	}
	return 0
}

// segment moves a segment as its outcome says; opened: it is certainly not with the carrier.
func (a *advance) segment(o sms.Outcome, class sms.Class) (opened bool) {
	if o.Segment < 1 || o.Segment > len(a.m.SMS.Segments) {
		return false
	}
	s := &a.m.SMS.Segments[o.Segment-1]
	switch {
	case class == 0 && s.State < SegmentTaken:
		s.State, s.ID = SegmentTaken, o.ID
	case class == 0 && s.ID == "":
		s.ID = o.ID
	case class == sms.Unknown && s.State < SegmentUnknown:
		s.State = SegmentUnknown
	case class != sms.Unknown && s.State == SegmentUnknown: // the answer came late, and says that nothing was taken
		s.State = SegmentOpen
	}
	return s.State == SegmentOpen
}

func (a *advance) unknown(detail string, r Rules) {
	a.note("S4", EventUnknown, "", detail)
	a.m.Due = a.now.Add(r.UnknownHold)
	if a.m.State == Delivered {
		return
	}
	a.become(OutcomeUnknown, 0, OutcomeLost)
	a.fx.Stand = SeenSMS
}

// taken is a message whose segments are all with the carrier.
func (a *advance) taken(dlr bool, r Rules) {
	leg := a.m.SMS
	leg.Submitted = a.now
	a.log(Step{At: a.now, Step: "S4", Event: EventTaken, Evidence: fmt.Sprintf("%s: id %s, %d segments", leg.Gateway, leg.Segments[0].ID, len(leg.Segments)), Cost: leg.Price})
	a.m.Due = time.Time{}
	if dlr {
		a.m.Due = a.now.Add(r.DLRTimeout)
	}
	if a.m.State == Delivered {
		leg.Holding = dlr
		return
	}
	a.become(Submitted, ViaSMS, leg.Cause)
	a.fx.Stand = SeenSMS
}

// partly is a message of which the carrier has some segments: only the others are submitted again.
func (a *advance) partly(worst sms.Class, detail string, r Rules) {
	leg := a.m.SMS
	a.note("S4", EventRefused, "", detail)
	if worst == sms.Permanent || worst == sms.Temporary && leg.Attempts >= r.Tries {
		if a.m.State == Delivered {
			a.endClaim()
			return
		}
		a.fail(GatewayRefused)
		return
	}
	if a.m.State == OutcomeUnknown {
		a.become(Submitting, 0, leg.Cause)
	}
	a.again(worst, r)
}

// nothingSent releases the claim: nothing of the message is with the carrier.
func (a *advance) nothingSent(worst sms.Class, detail string, outcomes []sms.Outcome, r Rules) {
	leg := a.m.SMS
	a.fx.Back.Counted, leg.Counted = leg.Counted, time.Time{}
	a.note("S4", EventRefused, "", detail)
	if a.m.State == Delivered {
		a.endClaim()
		return
	}
	switch {
	case worst == sms.Permanent && optedOut(outcomes):
		a.fail(OptedOut)
		return
	case worst == sms.Permanent:
		a.fail(GatewayRefused)
		return
	case worst == sms.Temporary && leg.Attempts >= r.Tries:
		a.fail(GatewayDown)
		return
	}
	a.again(worst, r)
	leg.Holding = false
	a.note("S4", EventReleased, "", "")
	a.become(Accepted, 0, GatewayDown)
	a.fx.Stand, a.fx.Failed = In, leg.Gateway
}

// again sets when the next attempt is due.
func (a *advance) again(worst sms.Class, r Rules) {
	pause := r.backoff(a.m.SMS.Claims)
	if worst == sms.Configuration {
		pause = r.RetryMax
	}
	if worst != sms.Temporary {
		a.m.SMS.Attempts--
	}
	a.m.Due = a.now.Add(pause)
	if a.m.Due.After(a.m.Expires) {
		a.m.Due = a.m.Expires
	}
}

// fail ends the message; its devices get it as in/ again.
func (a *advance) fail(reason Reason) {
	a.m.SMS.Holding, a.m.SMS.Until = false, time.Time{}
	a.note("S4", EventFailed, reason, "")
	a.settle(Failed, 0, reason)
	a.fx.Stand = In
}

func (a *advance) endClaim() {
	a.m.SMS.Holding, a.m.SMS.Until = false, time.Time{}
	a.m.Due = time.Time{}
}

// Report is a delivery report of one segment (from 1), or of all (0); nil: it says nothing new.
func (m *Message) Report(segment int, id string, state sms.DLRState, detail string, now time.Time, r Rules) (*Message, Effects) {
	if m.SMS == nil || segment > len(m.SMS.Segments) {
		return nil, Effects{}
	}
	if about := m.SMS.about(segment, id); about >= 0 || state != sms.DeliveredSMS { // what was delivered was, by whichever attempt
		segment = about
	}
	a := m.advance(now)
	changed := false
	for i := range a.m.SMS.Segments {
		if m.SMS.Until.IsZero() && m.SMS.Segments[i].State == SegmentOpen && state != sms.DeliveredSMS {
			continue // it is about an attempt that is over, and the segment goes out again
		}
		if segment == 0 || segment == i+1 {
			changed = a.m.SMS.Segments[i].report(id, state) || changed
		}
	}
	if !changed {
		return nil, Effects{}
	}
	a.note("S4", EventReport, "", reportWord(state)+detail)
	a.reported(r)
	return a.done()
}

// about corrects which segment a report is about: the one that the carrier has under its id, and none that the carrier has under another. Of several segments
// whose ids nobody knows it may have been given to the wrong one, when neither the carrier's id nor our reference told (Engine.identified).
// A segment that was sent again has another id than the reports of the attempt before; those are about none, -1.
func (l *Leg) about(segment int, id string) int {
	if segment == 0 || id == "" || l.Segments[segment-1].ID == id {
		return segment
	}
	for i, s := range l.Segments {
		if s.ID == id {
			return i + 1
		}
	}
	if l.Segments[segment-1].ID == "" {
		return segment
	}
	for i, s := range l.Segments {
		if s.ID == "" && s.State < SegmentTaken {
			return i + 1
		}
	}
	return -1
}

func reportWord(s sms.DLRState) string {
	switch s {
	case sms.DeliveredSMS:
		return "delivered "
	case sms.Undelivered:
		return "undelivered "
	}
	return "on its way "
}

// report moves a segment forward; reports are ranked and never go back.
func (s *Segment) report(id string, state sms.DLRState) bool {
	to := SegmentTaken
	switch state {
	case sms.DeliveredSMS:
		to = SegmentDelivered
	case sms.Undelivered:
		to = SegmentUndelivered
	}
	if s.State >= to {
		return false
	}
	if s.State = to; s.ID == "" {
		s.ID = id
	}
	return true
}

// reported decides what the segments' reports mean for the message.
func (a *advance) reported(r Rules) {
	leg, was := a.m.SMS, a.m.State
	ended := leg.all(SegmentUndelivered)
	if ended {
		leg.Until = time.Time{}
	}
	switch {
	case was == Delivered:
		if ended {
			a.endClaim()
		}
	case was == Expired, was == Failed && !a.now.Before(a.m.Expires):
	case leg.all(SegmentDelivered):
		a.endClaim()
		a.settle(Delivered, ViaSMS, leg.Cause)
		if was == Failed {
			a.fx.Stand = SeenSMS
		}
	case was == Failed:
	case ended:
		a.fail(Undeliverable)
	case was == OutcomeUnknown && leg.all(SegmentTaken):
		a.taken(r.reports(leg.Gateway), r)
	case was == OutcomeUnknown && !leg.has(SegmentUnknown): // nothing is in doubt any more, and what was held back can go
		a.m.Due = a.now
		a.become(Submitting, 0, leg.Cause)
	}
}

// Orphaned is a message whose claim died with the process that made it: what Overdue says, without waiting for the claim's time. nil: its claim was answered.
func (m *Message) Orphaned(now time.Time, r Rules) (*Message, Effects) {
	if !m.unanswered() {
		return nil, Effects{}
	}
	due := *m
	due.Due = now
	return due.Overdue(now, r)
}

// Overdue is what a message's Due means once an SMS was claimed: a claim without an answer, the end of a hold, no report. nil: nothing.
func (m *Message) Overdue(now time.Time, r Rules) (*Message, Effects) {
	if m.Due.IsZero() || now.Before(m.Due) || m.SMS == nil || !m.SMS.Holding {
		return nil, Effects{}
	}
	a := m.advance(now)
	switch {
	case !m.SMS.Until.IsZero(): // the claim was never answered: whether it was submitted is not known
		a.m.SMS.Until = time.Time{}
		for i := range a.m.SMS.Segments {
			if a.m.SMS.Segments[i].State == SegmentOpen {
				a.m.SMS.Segments[i].State = SegmentUnknown
			}
		}
		if !a.m.SMS.has(SegmentUnknown) { // reports said that the carrier has all of it
			a.taken(r.reports(a.m.SMS.Gateway), r)
		} else {
			a.unknown("no answer was recorded", r)
		}
	case m.State == Delivered && !m.partly(now, r):
		a.endClaim()
	case m.State == Delivered: // by a push, with a torso at the carrier: the rest is sent
		return nil, Effects{Want: true}
	case m.State == Submitted:
		a.m.SMS.Holding = false
		a.m.Due = time.Time{}
		a.note("S4", EventReport, "", "none came")
		a.fx.Enters = true
		a.tell(Submitted)
	case m.State == OutcomeUnknown && r.Resend && now.Before(m.Expires) && m.SMS.Attempts < r.Tries:
		a.resend()
	case m.State == OutcomeUnknown:
		a.fail(OutcomeLost)
	case !now.Before(m.Expires): // partly submitted, and its time ran out
		a.fail(GatewayDown)
	default:
		return nil, Effects{Want: true} // partly submitted: the next attempt
	}
	return a.done()
}

// partly reports whether the carrier has some segments and may still get the others.
func (m *Message) partly(now time.Time, r Rules) bool {
	return m.SMS.has(SegmentOpen) && m.SMS.sent() && now.Before(m.Expires) && m.SMS.Attempts < r.Tries
}

// resend opens the unknown segments again: the operator prefers one too many to none.
func (a *advance) resend() {
	leg := a.m.SMS
	for i := range leg.Segments {
		if leg.Segments[i].State == SegmentUnknown {
			leg.Segments[i].State = SegmentOpen
		}
	}
	a.note("S4", EventReleased, "", "sent again after an unknown outcome")
	a.m.Due = a.now
	if leg.sent() {
		a.become(Submitting, 0, leg.Cause)
		return
	}
	leg.Holding = false
	a.become(Accepted, 0, OutcomeLost)
	a.fx.Stand = In
}
