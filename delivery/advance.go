package delivery

import (
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/seed-7a41469f/godwit/sms"
)

// Effects are what a new state of a message asks of the engine, once the store has kept it.
type Effects struct {
	Tell   []State // states that the sender is to be told
	Stand  Kind    // In or SeenSMS: an entry that stands for the message in the recipient's inbox from now on; 0: none
	Want   bool    // an SMS is wanted
	Failed string  // the gateway whose attempt came to nothing; the next one may go at once
	Enters bool    // the state is a new one, or final from now on
	Spent  int     // segments whose price is spent: the carrier has them, or may have
	Back   Back    // what was booked for the attempt and is given back
}

// Back is what an attempt gives back of what its claim had booked.
type Back struct {
	Segments int       // whose price is
	Booked   time.Time // when that was
	Counted  time.Time // when the message was counted as an SMS of its sender, recipient and prefix, which it is no more; zero: it still is
}

// advance is a message on its way to its next state. The message that it started from is left as it was.
type advance struct {
	m   Message
	fx  Effects
	now time.Time
}

func (m *Message) advance(now time.Time) *advance {
	a := &advance{m: *m, now: now}
	a.m.Trail = append(make([]Step, 0, len(m.Trail)+2), m.Trail...)
	if m.SMS != nil {
		leg := *m.SMS
		leg.Segments = append([]Segment(nil), leg.Segments...)
		a.m.SMS = &leg
	}
	return a
}

func (a *advance) done() (*Message, Effects) { return &a.m, a.fx }

func (a *advance) note(step, event string, reason Reason, evidence string) {
	a.log(Step{At: a.now, Step: step, Event: event, Reason: reason, Evidence: evidence})
}

// logged reports whether the trail has an event of a device.
func (a *advance) logged(event, device string) bool {
	return slices.ContainsFunc(a.m.Trail, func(s Step) bool { return s.Event == event && s.Device == device })
}

// A trail keeps its beginning and its end.
const (
	maxTrail   = 64
	trailStart = 16
)

func (a *advance) log(s Step) {
	if len(a.m.Trail) >= maxTrail {
		a.m.Trail = append(a.m.Trail[:trailStart], a.m.Trail[trailStart+1:]...)
	}
	a.m.Trail = append(a.m.Trail, s)
}

// become moves to a state and decides whether the sender is told.
func (a *advance) become(s State, via Via, reason Reason) {
	a.m.State, a.m.Via, a.m.Reason, a.m.At = s, via, reason, a.now
	a.fx.Enters = true
	a.tell(s)
}

func (a *advance) tell(s State) {
	bit := uint16(1) << s
	final := s == Delivered || s == Failed || s == Expired || s == Submitted && a.m.Due.IsZero()
	if a.m.Told&bit != 0 && (s == Accepted || s == Waiting || s == Submitting || s == OutcomeUnknown) {
		return
	}
	wanted := false
	switch a.m.Receipts {
	case ReceiptsDefault:
		wanted = final || s == Submitted
	case ReceiptsFinal:
		wanted = final
	case ReceiptsAll:
		wanted = true
	}
	if !wanted || a.m.Root == RootMO {
		return
	}
	a.m.Told |= bit
	a.fx.Tell = append(a.fx.Tell, s)
}

// settle ends the message in a state: nothing more happens by itself.
func (a *advance) settle(s State, via Via, reason Reason) {
	a.m.Due = time.Time{}
	a.become(s, via, reason)
}

// Accept makes m a new message: accepted, or failed at once for a reason.
func (m *Message) Accept(now time.Time, fail Reason) Effects {
	a := &advance{m: *m, now: now}
	a.m.Accepted = now
	if fail != "" {
		a.settle(Failed, 0, fail)
	} else {
		a.m.Due = a.m.Expires
		a.become(Accepted, 0, "")
	}
	*m = a.m
	return a.fx
}

// Acknowledged is a PUBACK of one of the recipient's devices (or Acknowledge over HTTP); pushed is when it was first written to a device. The result is
// nil when it changes nothing.
func (m *Message) Acknowledged(device string, pushed, now time.Time) (*Message, Effects) {
	if m.Via == ViaPush || m.State == Expired || m.State == Failed && !now.Before(m.Expires) {
		return nil, Effects{}
	}
	a := m.advance(now)
	if m.State == Delivered { // by SMS: it came twice
		a.log(Step{At: now, Step: "S5", Event: EventLateAck, Device: device})
		return a.done()
	}
	if !pushed.IsZero() && !a.logged(EventPushed, device) {
		a.log(Step{At: pushed, Step: "S3", Event: EventPushed, Device: device})
	}
	a.log(Step{At: now, Step: "S5", Event: EventAcknowledged, Device: device})
	if m.SMS == nil || !m.SMS.Holding {
		a.m.Due = time.Time{}
	}
	a.become(Delivered, ViaPush, "")
	return a.done()
}

// Waits is a message that no device answers and that cannot be an SMS; nil when it waits for this reason already.
func (m *Message) Waits(reason Reason, evidence string, now time.Time) (*Message, Effects) {
	if !m.undecided() || m.State == Waiting && m.Reason == reason {
		return nil, Effects{}
	}
	a := m.advance(now)
	a.m.Due = m.Expires
	a.note("S3", EventWaits, reason, evidence)
	a.become(Waiting, 0, reason)
	return a.done()
}

// undecided reports whether Decide is what says what happens next.
func (m *Message) undecided() bool { return m.State == Accepted || m.State == Waiting }

// Expire ends a message whose time ran out before anything became of it; nil: it did not.
func (m *Message) Expire(now time.Time) (*Message, Effects) {
	if !m.undecided() || now.Before(m.Expires) {
		return nil, Effects{}
	}
	a := m.advance(now)
	a.note("", EventExpired, "", "")
	a.settle(Expired, 0, TimeRanOut)
	return a.done()
}

// Facts are what the policy is asked with beside the message: docs/decision.md, "May it be an SMS?".
type Facts struct {
	Registered bool   // the recipient
	Denied     string // what denies the recipient's prefix; empty: nothing does
	OptedOut   bool   // the recipient, and it is no message of the broker itself
	Over       Reason // the limit that is known to be used up; empty: none is
}

// Fallback asks the policy: the SMS is due. The next state is nil when there is none and the SMS is merely wanted.
func (m *Message) Fallback(f Facts, now time.Time, r Rules) (*Message, Effects) {
	if !m.undecided() {
		return nil, Effects{}
	}
	if reason, evidence := m.forbids(f, r); reason != "" {
		return m.Refused(reason, evidence, f.Registered, now)
	}
	return nil, Effects{Want: true}
}

// Refused is a message that may not be an SMS. Of one that the carrier has in part the rest is not sent.
func (m *Message) Refused(reason Reason, evidence string, registered bool, now time.Time) (*Message, Effects) {
	switch {
	case m.undecided() && registered:
		next, fx := m.Waits(reason, evidence, now)
		if next != nil && m.Mode() == SMSOnlyMode {
			fx.Stand = In // nothing was pushed so far
		}
		return next, fx
	case m.undecided():
		a := m.advance(now)
		a.note("S4", EventFailed, reason, evidence)
		a.settle(Failed, 0, reason)
		return a.done()
	case m.SMS == nil || !m.SMS.Holding || !m.SMS.Until.IsZero():
		return nil, Effects{}
	}
	a := m.advance(now)
	if m.State == Delivered {
		a.endClaim()
	} else {
		a.fail(reason)
	}
	return a.done()
}

// forbids returns why the message may not be an SMS, and what that is known by.
func (m *Message) forbids(f Facts, r Rules) (reason Reason, evidence string) {
	if len(m.Payload) == 0 || !utf8.Valid(m.Payload) {
		return NotText, ""
	}
	segments, err := sms.Split(r.text(m))
	switch {
	case errors.Is(err, sms.ErrTooLong), r.MaxSegments > 0 && len(segments) > r.MaxSegments:
		return TooLong, tooLong(len(segments), r)
	case err != nil:
		return NotText, err.Error()
	case f.Denied != "":
		return PrefixDenied, f.Denied
	case f.OptedOut:
		return OptedOut, ""
	}
	return f.Over, ""
}

// tooLong says how much too long a text is.
func tooLong(segments int, r Rules) string {
	if segments == 0 {
		return fmt.Sprintf("more than %d segments", sms.MaxSegments)
	}
	return fmt.Sprintf("%d segments, %d are allowed", segments, r.MaxSegments)
}

// A Claim is one attempt through a gateway, before the gateway is called.
type Claim struct {
	Gateway   string
	Node      string
	From      string // originator
	Cause     Reason
	Until     time.Time
	Segments  int
	Digest    uint32     // of the text
	Price     sms.Money  // of one segment; zero: not known
	Pushes    []PushedTo // devices that did not answer: the pushes are withdrawn
	Evidence  string     // for the trail
	NoWayBack string     // why an answer will find no conversation; empty: it will
}

// A PushedTo is a push that was not acknowledged.
type PushedTo struct {
	Device string
	At     time.Time
}

// Claimable reports whether a claim would be taken now.
func (m *Message) Claimable(now time.Time) bool {
	if !now.Before(m.Expires) {
		return false
	}
	switch m.State {
	case Accepted:
		return true
	case Waiting:
		return m.SMSPolicy == SMSOnly || m.Reason == GatewayDown
	case Submitting:
		return m.SMS.Until.IsZero()
	case Delivered:
		return m.SMS != nil && m.SMS.Holding && m.SMS.Until.IsZero() && m.SMS.has(SegmentOpen) && m.SMS.sent()
	}
	return false
}

// Claim takes the message for one attempt; nil when it is not Claimable.
func (m *Message) Claim(c Claim, now time.Time) (*Message, Effects) {
	if !m.Claimable(now) {
		return nil, Effects{}
	}
	a := m.advance(now)
	if a.m.SMS == nil {
		a.m.SMS = &Leg{}
	}
	leg := a.m.SMS
	if len(leg.Segments) != c.Segments {
		leg.Segments = make([]Segment, c.Segments)
	}
	leg.Attempts++
	leg.Claims++
	leg.Gateway, leg.Node, leg.From, leg.Until, leg.Holding = c.Gateway, c.Node, c.From, c.Until, true
	leg.Price, leg.Booked, leg.Digest = c.Price.Times(c.Segments), now, c.Digest
	if leg.Counted.IsZero() {
		leg.Counted = now
	}
	if leg.Cause == "" {
		leg.Cause = c.Cause
		for _, p := range c.Pushes {
			a.log(Step{At: p.At, Step: "S3", Event: EventPushed, Device: p.Device})
		}
		a.note("S4", EventFallback, c.Cause, c.Evidence)
		if c.NoWayBack != "" {
			a.note("S4", EventNoWayBack, "", c.NoWayBack)
		}
	}
	for _, p := range c.Pushes {
		a.log(Step{At: a.now, Step: "S4", Event: EventWithdrawn, Device: p.Device})
	}
	a.note("S4", EventClaimed, "", c.Gateway)
	a.m.Due = c.Until.Add(ClaimGrace)
	if m.State != Delivered {
		a.become(Submitting, 0, leg.Cause)
	}
	return a.done()
}

// Order is what a sender, a recipient or an operator asked; nil: too late.
func (m *Message) Order(o Order, now time.Time) (*Message, Effects) {
	if o == Acknowledge {
		return m.Acknowledged("", time.Time{}, now)
	}
	if o == RetryFailed {
		return m.retry(now)
	}
	if !m.undecided() || m.Root == RootMO {
		return nil, Effects{}
	}
	a := m.advance(now)
	_, number := m.To.Number()
	switch o {
	case Cancel:
		a.note("", EventOrdered, Cancelled, "")
		a.settle(Failed, 0, Cancelled)
	case HoldApp:
		a.note("", EventOrdered, AppOnly, "")
		a.m.SMSPolicy = SMSNever
		a.m.Due = m.Expires
		a.become(Waiting, 0, AppOnly)
	case SMSNow:
		if !number {
			return nil, Effects{}
		}
		a.note("", EventOrdered, "", "SMS now")
		a.m.SMSPolicy = SMSOnly
		a.m.Due = now // not later: the attempts before it ask for no pause
		a.m.State, a.m.Reason, a.m.At = Accepted, "", now
	default:
		return nil, Effects{}
	}
	return a.done()
}

// assigned ends an SMS that came in once it was given to a user; nil: it was already.
func (m *Message) assigned(now time.Time) (*Message, Effects) {
	if m.To != Unmatched || !m.undecided() {
		return nil, Effects{}
	}
	a := m.advance(now)
	a.note("", EventOrdered, "", "assigned by the operator")
	a.settle(Delivered, 0, "")
	return a.done()
}

// retry opens a failed message again, under its key.
func (m *Message) retry(now time.Time) (*Message, Effects) {
	if m.State != Failed || !now.Before(m.Expires) || m.Root == RootMO {
		return nil, Effects{}
	}
	a := m.advance(now)
	a.note("", EventOrdered, "", "retried by the operator")
	if leg := a.m.SMS; leg != nil {
		leg.Attempts, leg.Holding, leg.Until = 0, false, time.Time{}
		for i := range leg.Segments {
			if s := leg.Segments[i].State; s != SegmentDelivered {
				leg.Segments[i] = Segment{}
			}
		}
	}
	a.m.Due = now // not later: the attempts before it ask for no pause
	a.m.Told = 0
	a.become(Accepted, 0, "")
	a.fx.Stand = In
	return a.done()
}

// open returns how many segments an attempt submits.
func (l *Leg) open() (n int) {
	for i := range l.Segments {
		if l.Segments[i].State == SegmentOpen {
			n++
		}
	}
	return n
}

// begun reports whether the carrier has some of the message, or may have.
func (l *Leg) begun() bool { return l != nil && l.open() < len(l.Segments) }

func (l *Leg) has(s SegmentState) bool {
	for i := range l.Segments {
		if l.Segments[i].State == s {
			return true
		}
	}
	return false
}

// sent reports whether the carrier has some of the message, or had.
func (l *Leg) sent() bool {
	return slices.ContainsFunc(l.Segments, func(s Segment) bool { return s.State >= SegmentTaken })
}

func (l *Leg) all(s SegmentState) bool {
	for i := range l.Segments {
		if l.Segments[i].State < s {
			return false
		}
	}
	return len(l.Segments) > 0
}
