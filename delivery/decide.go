package delivery

import "time"

// Rules are the settings that decisions depend on.
type Rules struct {
	AckTimeout   time.Duration
	OfflineGrace time.Duration
	MaxSegments  int
	NoGateway    bool // no SMS is possible at all
	Tries        int  // attempts that may end temporary
	RetryFirst   time.Duration
	RetryFactor  float64
	RetryMax     time.Duration
	UnknownHold  time.Duration
	Resend       bool // what an unknown outcome leads to after the hold
	DLRTimeout   time.Duration
	Reports      func(gateway string) bool // whether a gateway gives DLRs; nil: all do
	Text         func(m *Message) string   // what goes out as the SMS; nil: the payload
}

func (r Rules) reports(gateway string) bool { return r.Reports == nil || r.Reports(gateway) }

func (r Rules) text(m *Message) string {
	if r.Text == nil {
		return string(m.Payload)
	}
	return r.Text(m)
}

// ClaimGrace is how long after its Until a claim without an answer counts as unknown.
const ClaimGrace = 5 * time.Second

// Evidence is what is known about the recipient when a message is looked at.
type Evidence struct {
	Registered bool      // the number has proved itself and has not decayed
	Ready      bool      // a device is ready
	Pushed     time.Time // when the message was first written to a device, moved by the time in which we did not read from it; zero: not yet
	Settling   time.Time // until then a device that has just connected may still subscribe
	Lost       time.Time // the latest loss of a device; zero: none
	Left       bool      // the last device left with DISCONNECT 0x00
	Hold       time.Time // until when the brake holds fallbacks, at the latest; zero: it does not
}

// Question is what Decide must know of a message; it is kept in memory for open messages that nothing happens to.
type Question struct {
	Mode     Mode
	Number   bool // the recipient is a number
	State    State
	Accepted time.Time
	Expires  time.Time
	Reason   Reason
	Wait     time.Duration // `after`; 0: none given
}

// A Mode is which legs a message may take.
type Mode uint8

// The modes.
const (
	PushThenSMS Mode = iota
	PushOnly
	SMSOnlyMode
	Incoming // an MO: pushed only, and nobody is told
)

// Mode returns which legs the message may take.
func (m *Message) Mode() Mode {
	if m.Root == RootMO {
		return Incoming
	}
	if _, number := m.To.Number(); !number {
		return PushOnly
	}
	switch m.SMSPolicy {
	case SMSAuto:
		return PushThenSMS
	case SMSNever:
		return PushOnly
	case SMSOnly:
		return SMSOnlyMode
	}
	switch m.Root {
	case RootApp:
		return PushOnly
	case RootSMS:
		return SMSOnlyMode
	}
	return PushThenSMS
}

// Question returns what Decide must know of m.
func (m *Message) Question() Question {
	_, number := m.To.Number()
	return Question{Mode: m.Mode(), Number: number, State: m.State, Reason: m.Reason, Accepted: m.Accepted, Expires: m.Expires, Wait: m.Wait}
}

// An Answer is what Decide says.
type Answer struct {
	Do     Action
	Until  time.Time // Hold: look again then; zero: when something happens, or at Expires
	Reason Reason
}

// An Action is what is to be done with a message.
type Action uint8

// The actions.
const (
	Hold   Action = iota // nothing now
	Wait                 // becomes `waiting`: no SMS is allowed or possible
	Expire               // becomes `expired`
	GoSMS                // the SMS is due: the policy is asked (Message.Fallback)
)

// Decide answers what happens to a message that is accepted or waiting (docs/decision.md, "Decide").
func Decide(q Question, ev Evidence, now time.Time, r Rules) Answer {
	if !now.Before(q.Expires) {
		return Answer{Do: Expire, Reason: TimeRanOut}
	}
	if q.State == Waiting && q.Reason != GatewayDown {
		return Answer{Do: Hold}
	}
	switch q.Mode {
	case Incoming:
		return Answer{Do: Hold}
	case PushOnly:
		return decidePushOnly(q, ev, now, r)
	case SMSOnlyMode:
		return fallback("", r)
	}
	if !ev.Registered {
		return fallback(NotRegistered, r)
	}
	return decideRegistered(q, ev, now, r)
}

func decidePushOnly(q Question, ev Evidence, now time.Time, r Rules) Answer {
	if ev.Ready {
		return Answer{Do: Hold}
	}
	if !ev.Pushed.IsZero() && now.Before(ev.Pushed.Add(wait(q, r))) {
		return Answer{Do: Hold, Until: ev.Pushed.Add(wait(q, r))}
	}
	if now.Before(ev.Settling) {
		return Answer{Do: Hold, Until: ev.Settling}
	}
	if q.Number {
		return Answer{Do: Wait, Reason: AppOnly}
	}
	return Answer{Do: Wait, Reason: absence(ev)}
}

func decideRegistered(q Question, ev Evidence, now time.Time, r Rules) Answer {
	var answerBy time.Time
	if !ev.Pushed.IsZero() {
		if answerBy = ev.Pushed.Add(wait(q, r)); !now.Before(answerBy) {
			return braked(ev, NoAnswer, now, r)
		}
	}
	if ev.Ready {
		return Answer{Do: Hold, Until: answerBy}
	}
	if now.Before(ev.Settling) {
		return Answer{Do: Hold, Until: ev.Settling}
	}
	at := now
	switch {
	case q.Wait > 0:
		at = q.Accepted.Add(q.Wait)
	case !ev.Left && !ev.Lost.IsZero():
		at = ev.Lost.Add(r.OfflineGrace)
	}
	if !answerBy.IsZero() && answerBy.Before(at) {
		at = answerBy
	}
	if now.Before(at) {
		return Answer{Do: Hold, Until: at}
	}
	return braked(ev, absence(ev), now, r)
}

// absence says why no device is there to answer.
func absence(ev Evidence) Reason {
	switch {
	case !ev.Pushed.IsZero():
		return NoAnswer
	case ev.Left:
		return Left
	case ev.Lost.IsZero():
		return NoDevice
	}
	return Offline
}

// braked is a fallback that the brake may hold.
func braked(ev Evidence, cause Reason, now time.Time, r Rules) Answer {
	if now.Before(ev.Hold) {
		return Answer{Do: Hold, Until: ev.Hold, Reason: StormHold}
	}
	return fallback(cause, r)
}

func fallback(cause Reason, r Rules) Answer {
	if r.NoGateway {
		return Answer{Do: Wait, Reason: GatewayDown}
	}
	return Answer{Do: GoSMS, Reason: cause}
}

// wait is how long a written push may stay without an answer.
func wait(q Question, r Rules) time.Duration {
	if q.Wait > 0 {
		return q.Wait
	}
	return r.AckTimeout
}

// backoff is the pause before the attempt after n attempts.
func (r Rules) backoff(n int) time.Duration {
	d := float64(r.RetryFirst)
	for range n - 1 {
		if d *= r.RetryFactor; d >= float64(r.RetryMax) {
			return r.RetryMax
		}
	}
	return min(time.Duration(d), r.RetryMax)
}
