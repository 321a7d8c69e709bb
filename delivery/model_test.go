package delivery_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
)

// The model drives the pure core as the engine does, with everything that can go wrong in between: changes that are proposed on an old revision, claims
// whose answer is lost, reports in any order, a crash at any moment. After each action it checks the invariants of docs/decision.md. A bug can be
// seeded, to see that the checks would notice it.
type model struct {
	choose func(n int) int // 0 … n-1
	bug    string
	rules  delivery.Rules
	now    time.Time

	stored  *delivery.Message // what is on disk
	rev     uint64
	pending []proposal // changes on their way to the disk
	claims  []*claim   // gateway calls under way

	pushed     time.Time
	registered bool
	ready      bool
	lost       time.Time
	puback     bool // a device acknowledged, and no crash came since
	acked      bool // that is on disk
	submits    []int
	delivered  []bool // DLR delivered was on disk
	unknowns   int    // recorded unknown windows
	booked     int    // segments whose price is
	told       map[delivery.State]int
}

type proposal struct {
	base  uint64
	next  *delivery.Message
	fx    delivery.Effects
	ack   bool
	claim *claim
	again func(m *delivery.Message) (*delivery.Message, delivery.Effects)
}

// A claim is a gateway call: it submits at most once, some time before until.
type claim struct {
	number    int
	segments  []int
	until     time.Time
	submitted bool
	outcomes  []sms.Outcome
}

const segments = 2

func newModel(choose func(int) int, bug string) *model {
	m := &model{
		choose: choose, bug: bug, now: time.UnixMilli(1_700_000_000_000), told: map[delivery.State]int{},
		submits: make([]int, segments), delivered: make([]bool, segments), registered: choose(3) > 0,
		rules: delivery.Rules{AckTimeout: 15 * time.Second, OfflineGrace: 10 * time.Second, MaxSegments: 6, Tries: 3, RetryFirst: 5 * time.Second, RetryFactor: 2,
			RetryMax: time.Minute, UnknownHold: 2 * time.Minute, Resend: choose(4) == 0, DLRTimeout: time.Hour},
	}
	root := []delivery.Root{delivery.RootTo, delivery.RootTo, delivery.RootTo, delivery.RootApp, delivery.RootSMS}[choose(5)]
	msg := &delivery.Message{From: ann, To: bob, Root: root, Payload: make([]byte, 200), Receipts: delivery.Receipts(choose(4)),
		Expires: m.now.Add([]time.Duration{time.Minute, time.Hour, 720 * time.Hour}[choose(3)])}
	for i := range msg.Payload {
		msg.Payload[i] = 'x'
	}
	fx := msg.Accept(m.now, "")
	msg.ID = delivery.NewID(1, bob)
	m.rev, msg.Rev, m.stored = 1, 1, msg
	m.tell(msg, fx)
	return m
}

// tell counts receipts and checks that each has its event (I8).
func (m *model) tell(msg *delivery.Message, fx delivery.Effects) {
	for _, s := range fx.Tell {
		m.told[s]++
	}
}

// propose computes a next state now, to be committed later.
func (m *model) propose(ack bool, c *claim, step func(x *delivery.Message) (*delivery.Message, delivery.Effects)) {
	next, fx := step(m.stored)
	if next == nil {
		return
	}
	m.puback = m.puback || ack
	m.pending = append(m.pending, proposal{base: m.rev, next: next, fx: fx, ack: ack, claim: c, again: step})
}

// commit lets one pending change reach the disk, or lose its race.
func (m *model) commit() error {
	if len(m.pending) == 0 {
		return nil
	}
	i := m.choose(len(m.pending))
	p := m.pending[i]
	m.pending = append(m.pending[:i], m.pending[i+1:]...)
	if p.base != m.rev && m.bug != "no compare-and-set" {
		if p.claim == nil && !(p.ack && m.bug == "an acknowledgement lost in a race") { // done again on what is there now
			m.propose(p.ack, nil, p.again)
		}
		return nil
	}
	before := m.stored
	if p.claim != nil && before.State == delivery.Delivered && before.Via == delivery.ViaPush && before.SMS == nil {
		return fmt.Errorf("I5: a claim after an acknowledged push")
	}
	m.rev++
	p.next.Rev = m.rev
	m.stored = p.next
	m.acked = m.acked || p.ack
	m.tell(p.next, p.fx)
	if p.next.State == delivery.OutcomeUnknown && before.State != delivery.OutcomeUnknown {
		m.unknowns++
	}
	m.booked -= p.fx.Back.Segments
	if m.bug == "money given back too early" && p.fx.Spent > 0 && p.next.State == delivery.OutcomeUnknown {
		m.booked -= p.fx.Spent
	}
	if p.claim != nil {
		p.claim.number = p.next.SMS.Claims
		for i, s := range p.next.SMS.Segments {
			if s.State == delivery.SegmentOpen {
				p.claim.segments = append(p.claim.segments, i+1)
			}
		}
		m.booked += len(p.claim.segments)
		m.claims = append(m.claims, p.claim)
	}
	return m.check(before)
}

// check tells which invariant the step from before to what is stored now breaks.
func (m *model) check(before *delivery.Message) error {
	now := m.stored
	final := func(s delivery.State) bool {
		return s == delivery.Delivered || s == delivery.Failed || s == delivery.Expired
	}
	if final(before.State) && now.State != before.State && !(before.State == delivery.Failed && now.State == delivery.Delivered) {
		return fmt.Errorf("I1: the final state %v became %v", before.State, now.State)
	}
	if now.State == delivery.Delivered && before.State == delivery.Delivered && before.Via != now.Via {
		return fmt.Errorf("I1: delivered via %v became via %v", before.Via, now.Via)
	}
	if now.State == delivery.Delivered && now.Via == delivery.ViaPush && !m.acked {
		return fmt.Errorf("I8: delivered by push, and no device acknowledged")
	}
	if now.State == delivery.Delivered && now.Via == delivery.ViaSMS {
		for i, d := range m.delivered {
			if !d {
				return fmt.Errorf("I8: delivered by SMS, and segment %d has no report", i+1)
			}
		}
	}
	if now.State == delivery.Submitted {
		for i, n := range m.submits {
			if n == 0 && !m.delivered[i] {
				return fmt.Errorf("I8: submitted, and segment %d never was", i+1)
			}
		}
	}
	if m.told[delivery.Delivered] > 1 {
		return fmt.Errorf("I1: told delivered %d times", m.told[delivery.Delivered])
	}
	for _, s := range []delivery.State{delivery.Accepted, delivery.Waiting, delivery.Submitting, delivery.OutcomeUnknown} {
		if m.told[s] > 1 {
			return fmt.Errorf("I8: told %v %d times", s, m.told[s])
		}
	}
	most := 1
	if m.rules.Resend {
		most += m.unknowns
	}
	for i, n := range m.submits {
		if n > most {
			return fmt.Errorf("I4: segment %d was submitted %d times, with %d unknown windows", i+1, n, m.unknowns)
		}
	}
	spent := 0
	for _, n := range m.submits {
		spent += n
	}
	if spent > m.booked {
		return fmt.Errorf("I6: the carrier has %d segments, and %d are booked", spent, m.booked)
	}
	latest := now.Expires
	if m.now.After(latest) {
		latest = m.now
	}
	if now.Due.After(latest.Add(m.rules.DLRTimeout)) {
		return fmt.Errorf("I1: it is looked at only at %v, and expires at %v", now.Due, now.Expires)
	}
	return nil
}

// act does one thing that can happen.
func (m *model) act() error {
	switch m.choose(12) {
	case 0:
		m.now = m.now.Add([]time.Duration{time.Millisecond, 5 * time.Second, 16 * time.Second, 3 * time.Minute, 2 * time.Hour}[m.choose(5)])
	case 1:
		if m.ready = !m.ready; !m.ready {
			m.lost = m.now
		}
	case 2:
		if m.ready && m.pushed.IsZero() && (m.stored.State == delivery.Accepted || m.stored.State == delivery.Waiting) {
			m.pushed = m.now
		}
	case 3:
		if !m.pushed.IsZero() {
			m.propose(true, nil, func(x *delivery.Message) (*delivery.Message, delivery.Effects) {
				return x.Acknowledged("phone", m.pushed, m.now)
			})
		}
	case 4, 5:
		m.look()
	case 6:
		m.submit()
	case 7:
		m.answer()
	case 8:
		m.report()
	case 9:
		m.crash()
	case 10:
		if m.choose(4) == 0 {
			o := []delivery.Order{delivery.SMSNow, delivery.HoldApp, delivery.Cancel}[m.choose(3)]
			m.propose(false, nil, func(x *delivery.Message) (*delivery.Message, delivery.Effects) { return x.Order(o, m.now) })
		}
	case 11:
		return m.commit()
	}
	return nil
}

// look is the deliverer's: what does the message need now?
func (m *model) look() {
	x := m.stored
	if x.Settled() {
		return
	}
	if x.State != delivery.Accepted && x.State != delivery.Waiting {
		next, fx := x.Overdue(m.now, m.rules)
		if next == nil && fx.Want {
			m.claim()
		}
		if next != nil {
			m.propose(false, nil, func(x *delivery.Message) (*delivery.Message, delivery.Effects) { return x.Overdue(m.now, m.rules) })
		}
		return
	}
	ev := delivery.Evidence{Registered: m.registered, Ready: m.ready, Pushed: m.pushed, Lost: m.lost}
	switch ans := delivery.Decide(x.Question(), ev, m.now, m.rules); ans.Do {
	case delivery.Wait:
		m.propose(false, nil, func(x *delivery.Message) (*delivery.Message, delivery.Effects) { return x.Waits(ans.Reason, "", m.now) })
	case delivery.Expire:
		m.propose(false, nil, func(x *delivery.Message) (*delivery.Message, delivery.Effects) { return x.Expire(m.now) })
	case delivery.GoSMS:
		if x.SMS == nil || !m.now.Before(x.Due) {
			m.claim()
		}
	}
}

func (m *model) claim() {
	c := &claim{until: m.now.Add(10 * time.Second)}
	if m.bug == "double submit" && m.stored.State == delivery.Submitting {
		return
	}
	m.propose(false, c, func(x *delivery.Message) (*delivery.Message, delivery.Effects) {
		return x.Claim(delivery.Claim{Gateway: "g", Cause: delivery.NoAnswer, Until: c.until, Segments: segments}, m.now)
	})
}

// submit is a gateway that writes to the carrier, or certainly does not.
func (m *model) submit() {
	for _, c := range m.claims {
		if c.submitted || !m.now.Before(c.until) {
			continue
		}
		c.submitted = true
		for _, s := range c.segments {
			o := sms.Outcome{Segment: s}
			switch m.choose(8) {
			case 0:
				o.Err = &sms.Error{Class: sms.NotSent}
			case 1:
				o.Err = &sms.Error{Class: sms.Temporary}
			case 2:
				o.Err = &sms.Error{Class: sms.Unknown}
				m.submits[s-1] += m.choose(2)
			case 3:
				o.Err = &sms.Error{Class: sms.Permanent}
			default:
				o.ID = fmt.Sprint("id", s)
				m.submits[s-1]++
			}
			c.outcomes = append(c.outcomes, o)
		}
		if m.bug == "double submit" {
			m.submits[0]++
		}
		return
	}
}

// answer is the gateway's answer on its way to the disk.
func (m *model) answer() {
	for i, c := range m.claims {
		if !c.submitted {
			continue
		}
		m.claims = append(m.claims[:i], m.claims[i+1:]...)
		m.propose(false, nil, func(x *delivery.Message) (*delivery.Message, delivery.Effects) {
			return x.Outcome(c.number, c.outcomes, true, m.now, m.rules)
		})
		return
	}
}

// report is a DLR of something that the carrier has, in any order and as often as it likes.
func (m *model) report() {
	s := m.choose(segments)
	if m.submits[s] == 0 {
		return
	}
	state := []sms.DLRState{sms.Enroute, sms.Undelivered, sms.DeliveredSMS}[m.choose(3)]
	if state == sms.DeliveredSMS {
		m.delivered[s] = true
	}
	if m.bug == "a report reopens a final state" && m.stored.State == delivery.Failed {
		next := *m.stored
		next.State = delivery.Submitted
		m.pending = append(m.pending, proposal{base: m.rev, next: &next})
		return
	}
	m.propose(false, nil, func(x *delivery.Message) (*delivery.Message, delivery.Effects) {
		return x.Report(s+1, "", state, "", m.now, m.rules)
	})
}

// crash forgets everything that is not on disk. What a gateway was told stays told.
func (m *model) crash() {
	m.pending, m.pushed, m.ready, m.lost = nil, time.Time{}, false, time.Time{}
	m.claims, m.puback = nil, false
}

// finish lets everything run out, and checks that the message ends.
func (m *model) finish() error {
	m.ready = false
	for len(m.pending) > 0 {
		if err := m.commit(); err != nil {
			return err
		}
	}
	if m.puback && m.stored.State != delivery.Delivered && m.stored.State != delivery.Expired && m.now.Before(m.stored.Expires) {
		return fmt.Errorf("I1: a device acknowledged, and the message is %v", m.stored.State)
	}
	for range 100 {
		if m.stored.Settled() && len(m.pending) == 0 {
			break
		}
		m.now = m.now.Add(time.Minute)
		if m.stored.Due.After(m.now) {
			m.now = m.stored.Due
		}
		if m.bug != "a lost timer" {
			m.look()
		}
		for len(m.pending) > 0 {
			if err := m.commit(); err != nil {
				return err
			}
		}
		if m.stored.State == delivery.Accepted && m.stored.SMS == nil && !m.now.Before(m.stored.Expires) {
			continue
		}
		m.claims = nil // no gateway answers any more
	}
	if !m.stored.Settled() {
		return fmt.Errorf("I1: it never ends: %v, due %v, now %v", m.stored.State, m.stored.Due, m.now)
	}
	if m.acked && m.stored.State != delivery.Delivered {
		return fmt.Errorf("I1: acknowledged, and ends as %v", m.stored.State)
	}
	return nil
}

func (m *model) run(steps int) error {
	if m.bug == "acknowledged before stored" {
		m.acked = m.choose(4) == 0
	}
	for range steps {
		if err := m.act(); err != nil {
			return err
		}
	}
	return m.finish()
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		choose := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "choice") }
		m := newModel(choose, "")
		if err := m.run(60); err != nil {
			m.stored.Payload = nil
			t.Fatalf("%v\nmessage: %+v\nleg: %+v", err, m.stored, m.stored.SMS)
		}
	})
}

// The checks notice what they are there for.
func TestModelFindsSeededBugs(t *testing.T) {
	for _, bug := range []string{
		"no compare-and-set", "double submit", "a report reopens a final state", "an acknowledgement lost in a race", "a lost timer", "acknowledged before stored",
		"money given back too early",
	} {
		t.Run(bug, func(t *testing.T) {
			for seed := range uint64(20_000) {
				r := rand.New(rand.NewPCG(seed, 1))
				if err := newModel(r.IntN, bug).run(60); err != nil {
					t.Logf("run %d: %v", seed, err)
					return
				}
			}
			t.Fatal("20,000 runs did not notice it")
		})
	}
}
