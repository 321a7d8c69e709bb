package delivery

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"text/template"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/seed-7a41469f/godwit/sms"
)

var (
	_ sms.Desk = (*Engine)(nil)
	_ sms.Sink = (*Engine)(nil)
)

// newTemplate returns what makes the text of an SMS that goes out from an originator.
func newTemplate(text string) (func(m *Message, from string) string, error) {
	t, err := template.New("sms").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("delivery: Config.Template: %w", err)
	}
	type fields struct{ From, Text string }
	if err := t.Execute(&bytes.Buffer{}, fields{}); err != nil {
		return nil, fmt.Errorf("delivery: Config.Template: %w", err)
	}
	return func(m *Message, originator string) string {
		if m.Service || originator == string(m.From) { // the phone shows who it is from
			return string(m.Payload)
		}
		from := string(m.From)
		if _, number := m.From.Number(); number {
			from = "+" + from
		}
		var b strings.Builder
		if err := t.Execute(&b, fields{from, string(m.Payload)}); err != nil {
			return string(m.Payload) // it was executed before; only a failing writer could fail it
		}
		return b.String()
	}, nil
}

// Claim makes a durable claim on a message for one attempt through a gateway (sms.Desk): in one commit with what the attempt may cost, and with the
// conversation that the pair of numbers belongs to from now on.
func (e *Engine) Claim(ctx context.Context, ref sms.Ref, gateway string) (sms.MT, bool, error) {
	g := e.gateway(gateway)
	for {
		m, err := e.cfg.Store.Message(ctx, ID(ref))
		if errors.Is(err, ErrNotFound) || err == nil && (g == nil || !m.Claimable(time.Now())) {
			e.dlv.call(func(time.Time) { e.dlv.again(ID(ref), intent{}) }) // it may not know what an earlier try has written
			return sms.MT{}, false, nil
		}
		if err != nil {
			return sms.MT{}, false, err
		}
		w := e.wanted(m.ID)
		if !w.stands {
			return sms.MT{}, false, nil
		}
		c, err := e.draw(ctx, m, g)
		if err != nil {
			return sms.MT{}, false, err
		}
		if c.forbidden != "" {
			return sms.MT{}, false, e.refuse(ctx, m.ID, c.forbidden, c.evidence)
		}
		err = e.claim(ctx, m, c, w)
		var over *sms.OverLimit
		switch {
		case err == nil && c.next == nil:
			return sms.MT{}, false, nil
		case err == nil:
			e.claims.put(ref, c.next)
			return e.mt(c), true, nil
		case errors.As(err, &over):
			return sms.MT{}, false, e.refuse(ctx, m.ID, LimitReason(over.Key), "")
		case errors.Is(err, ErrConflict), errors.Is(err, sms.ErrTaken): // somebody was faster: look again
		default:
			return sms.MT{}, false, err
		}
	}
}

// claims are the messages as they were claimed, until their outcome is reported.
type claims struct {
	mu   sync.Mutex
	open map[sms.Ref]*Message
}

func (c *claims) put(ref sms.Ref, m *Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[sms.Ref]*Message{}
	}
	c.open[ref] = m
}

func (c *claims) get(ref sms.Ref) *Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open[ref]
}

func (c *claims) end(ref sms.Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, ref)
}

// between reports whether an MT is under way between the numbers of a report, which then may be about it.
func (c *claims) between(r sms.DLR) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.open {
		if l := m.SMS; l.Gateway == r.Gateway && l.From == r.From && string(m.To) == string(r.To) {
			return true
		}
	}
	return false
}

// A claim is what an attempt at a message is drawn up to be.
type claim struct {
	gateway   sms.Gateway
	settings  *settings // all of it is drawn up with the same
	from      originator
	text      string
	segments  []sms.Segment
	price     sms.Money
	forbidden Reason // the policy says no
	evidence  string // of that
	next      *Message
}

// digest tells whether a later attempt has the same text.
func (c *claim) digest() uint32 { return uint32(xxhash.Sum64String(c.text)) }

// draw draws up an attempt: originator, text, segments and price as they are at this gateway.
func (e *Engine) draw(ctx context.Context, m *Message, g sms.Gateway) (*claim, error) {
	s := e.now()
	from, err := e.originate(ctx, m, s, g.Abilities().Number, time.Now())
	if err != nil {
		return nil, err
	}
	c := &claim{gateway: g, settings: s, from: from, text: s.write(m, from.name)}
	to, _ := m.To.Number()
	switch { // since it was asked, or between two segments
	case !s.Policy.Allows(to):
		c.forbidden, c.evidence = PrefixDenied, denied
		return c, nil
	case e.optedOut(m, to):
		c.forbidden = OptedOut
		return c, nil
	}
	c.segments, err = g.Abilities().Split(c.text)
	if err != nil || len(c.segments) > s.MaxSegments {
		c.forbidden, c.evidence = TooLong, tooLong(len(c.segments), s.rules) // that it is text was asked before
		return c, nil
	}
	if m.SMS.begun() && (g.Name() != m.SMS.Gateway || len(c.segments) != len(m.SMS.Segments) || c.digest() != m.SMS.Digest) { // gateways or template were changed since
		c.forbidden, c.evidence = GatewayRefused, "the carrier has a part of it, and gateway or text are others now"
		return c, nil
	}
	c.price, _ = s.Policy.Prices.Of(to)
	return c, nil
}

// claim commits an attempt; c.next is the message then, nil when it is not claimable any more.
func (e *Engine) claim(ctx context.Context, m *Message, c *claim, w want) error {
	now := time.Now()
	next, fx := m.Claim(Claim{
		Gateway: c.gateway.Name(), From: c.from.name, Cause: w.cause, Pushes: w.pushes, Until: now.Add(max(c.settings.Response, c.gateway.Abilities().Response)), Segments: len(c.segments), Digest: c.digest(), Price: c.price,
		Evidence: c.from.evidence, NoWayBack: c.from.noWay,
	}, now)
	if next == nil {
		return nil
	}
	to, _ := m.To.Number()
	first := m.SMS == nil || m.SMS.Counted.IsZero()
	change := e.change(next, fx, now)
	change.Talk = c.from.talk
	change.Counts = c.settings.Policy.Reserve(m.From, to, next.SMS.open(), first, first && c.from.quick, now)
	if err := e.commit(ctx, change, fx); err != nil {
		return err
	}
	c.next = next
	return nil
}

// refuse has the policy's no stored.
func (e *Engine) refuse(ctx context.Context, id ID, reason Reason, evidence string) error {
	_, _, err := e.advance(ctx, id, func(m *Message, now time.Time) (*Message, Effects) {
		return m.Refused(reason, evidence, e.reachable(m.To), now)
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// A want is what the deliverer knows of a message that is to become an SMS.
type want struct {
	stands bool // the SMS is still wanted
	cause  Reason
	pushes []PushedTo
}

// wanted asks the deliverer, whether and why a message still is to become an SMS.
func (e *Engine) wanted(id ID) (w want) {
	found := make(chan want, 1)
	e.dlv.call(func(time.Time) { found <- e.dlv.wantOf(id) })
	select {
	case w = <-found:
	case <-e.ctx.Done():
	}
	return w
}

func (d *deliverer) wantOf(id ID) want {
	r := d.open[id]
	if r == nil || !r.wanted {
		return want{}
	}
	w := want{stands: true, cause: reasonOf(r.cause)}
	for _, s := range r.line.sessions {
		for i := range s.out {
			if f := &s.out[i]; f.id == id && f.kind == In && !f.withdrawn {
				w.pushes = append(w.pushes, PushedTo{Device: s.clientID, At: f.at})
			}
		}
	}
	return w
}

// mt is what is left to be submitted of a claimed message.
func (e *Engine) mt(c *claim) sms.MT {
	m := c.next
	to, _ := m.To.Number()
	left := make([]sms.Segment, 0, len(c.segments))
	for i, s := range c.segments {
		if m.SMS.Segments[i].State == SegmentOpen {
			left = append(left, s)
		}
	}
	return sms.MT{
		Ref: sms.Ref(m.ID), Attempt: m.SMS.Claims, From: m.SMS.From, To: to, Text: c.text, Segments: left, Count: len(c.segments),
		Until: m.SMS.Until, Validity: min(c.settings.Validity, time.Until(m.Expires)),
	}
}

// Report makes durable what became of a claim, with the gateway's ids, under which its reports will come (sms.Desk). Reports that came before are applied at once.
func (e *Engine) Report(ctx context.Context, mt sms.MT, gateway string, outcomes []sms.Outcome) error {
	err := e.answer(ctx, mt, gateway, outcomes)
	if err == nil {
		m := e.claims.get(mt.Ref)
		e.claims.end(mt.Ref)
		if m != nil {
			err = e.early(ctx, m)
		}
	}
	return err
}

func (e *Engine) answer(ctx context.Context, mt sms.MT, gateway string, outcomes []sms.Outcome) error {
	dlr := e.reports(gateway)
	for m := e.claims.get(mt.Ref); ; m = nil { // mostly nothing else has happened to it
		var err error
		if m == nil {
			m, err = e.cfg.Store.Message(ctx, ID(mt.Ref))
		}
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		now := time.Now()
		next, fx := m.Outcome(mt.Attempt, outcomes, dlr, now, e.now().rules)
		if next == nil { // an earlier call stored it, and may have failed then
			return e.meetAgain(ctx, m)
		}
		change := e.change(next, fx, now)
		change.Counts = e.givenBack(next, fx.Back)
		if dlr {
			change.Meetings = next.meetings(gateway)
		}
		err = e.commit(ctx, change, fx)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err == nil {
			e.submitted.note(change.Meetings)
			e.spent(next, fx.Spent)
			e.unknowns.update(next)
			err = e.met(ctx, change.Meetings)
		}
		return err
	}
}

// reports tells whether a gateway gives DLRs.
func (e *Engine) reports(gateway string) bool {
	g := e.gateway(gateway)
	return g != nil && g.Abilities().DLR
}

// gateway returns a gateway by its name; nil: it is not configured any more.
func (e *Engine) gateway(name string) sms.Gateway {
	for _, g := range e.gateways {
		if g.Name() == name {
			return g
		}
	}
	return nil
}

// meetings are what the submitter knows: under which ids of a gateway the segments of m are. One id for several segments stands for the whole message.
func (m *Message) meetings(gateway string) (all []sms.Meeting) {
	for i, s := range m.SMS.Segments {
		if s.ID == "" || s.State < SegmentTaken || s.State == SegmentDelivered {
			continue
		}
		same := func(o Segment) bool { return o.ID == s.ID }
		if slices.IndexFunc(m.SMS.Segments, same) < i {
			continue
		}
		segment := i + 1
		if slices.ContainsFunc(m.SMS.Segments[i+1:], same) {
			segment = 0
		}
		all = append(all, sms.Meeting{Gateway: gateway, ID: s.ID, Side: sms.Submitter, Mine: meetingPoint(m.ID, segment)})
	}
	return all
}

// met applies the reports that came before the submitter's side of their meeting was stored.
func (e *Engine) met(ctx context.Context, meetings []sms.Meeting) error {
	for _, mt := range meetings {
		if len(mt.Other) == 0 {
			continue
		}
		e.unknowns.met(mt.Gateway, mt.ID)
		id, segment := readMeetingPoint(mt.Mine)
		if err := e.report(ctx, id, segment, mt.ID, sms.DLRState(mt.Other[0]), string(mt.Other[1:])); err != nil {
			return err
		}
	}
	return nil
}

// meetingPoint is what the submitter knows of a gateway's message id: which segment of which message it is; 0: all of it.
func meetingPoint(id ID, segment int) []byte {
	return binary.BigEndian.AppendUint16(append([]byte(nil), id[:]...), uint16(segment))
}

func readMeetingPoint(point []byte) (id ID, segment int) {
	copy(id[:], point)
	return id, int(binary.BigEndian.Uint16(point[len(id):]))
}

// maxDetail is how much of a carrier's words about a report is kept.
const maxDetail = 200

// DLR takes a delivery report; it is durable when DLR returns nil (sms.Sink). A report whose id nobody knows is kept for the answer to its submit, and given to
// a message of unknown outcome when it can be no other's.
func (e *Engine) DLR(ctx context.Context, r sms.DLR) error {
	if r.State < sms.Enroute || r.State > sms.DeliveredSMS {
		return fmt.Errorf("a report of gateway %s has no known state (%d)", r.Gateway, r.State)
	}
	e.stats.DLRs[r.State].Add(1)
	r.Detail = r.Detail[:min(len(r.Detail), maxDetail)]
	if r.Ref != nil {
		return e.reportOf(ctx, r)
	}
	if point, ok := e.submitted.find(r.Gateway, r.ID); ok { // whose answer is durable: nobody needs to meet
		return e.report(ctx, point.id, point.segment, r.ID, r.State, r.Detail)
	}
	if r.ID != "" {
		change := Change{Meetings: []sms.Meeting{{Gateway: r.Gateway, ID: r.ID, Side: sms.Reporter, Mine: append([]byte{byte(r.State)}, r.Detail...)}}}
		if err := e.commit(ctx, change, Effects{}); err != nil {
			return err
		}
		if point := change.Meetings[0].Other; len(point) == len(ID{})+2 {
			id, segment := readMeetingPoint(point)
			return e.report(ctx, id, segment, r.ID, r.State, r.Detail)
		}
	}
	if id, segment, ok := e.unknowns.named(r, time.Now(), e.claims.between(r)); ok {
		return e.identified(ctx, id, segment, r)
	}
	return nil
}

// identified applies a report that can only be about one segment of unknown outcome, and from then on knows the gateway's id of it.
func (e *Engine) identified(ctx context.Context, id ID, segment int, r sms.DLR) error {
	if r.ID != "" {
		meeting := sms.Meeting{Gateway: r.Gateway, ID: r.ID, Side: sms.Submitter, Mine: meetingPoint(id, segment)}
		if err := e.commit(ctx, Change{Meetings: []sms.Meeting{meeting}}, Effects{}); err != nil {
			return err
		}
	}
	return e.report(ctx, id, segment, r.ID, r.State, r.Detail)
}

// early applies reports that came while an MT was under way between their numbers, and so could be about it: they were not, or its outcome is unknown.
func (e *Engine) early(ctx context.Context, m *Message) error {
	for _, r := range e.unknowns.takeEarly(m) {
		if id, segment, ok := e.unknowns.named(r.report, r.at, e.claims.between(r.report)); ok {
			if err := e.identified(ctx, id, segment, r.report); err != nil {
				return err
			}
		}
	}
	return nil
}

// reportOf applies a report that names our reference, which a gateway other than the one that has the message may name as well.
func (e *Engine) reportOf(ctx context.Context, r sms.DLR) error {
	_, _, err := e.advance(ctx, ID(*r.Ref), func(m *Message, now time.Time) (*Message, Effects) {
		if m.SMS == nil || m.SMS.Gateway != r.Gateway {
			return nil, Effects{}
		}
		return m.Report(r.Segment, r.ID, r.State, r.Detail, now, e.now().rules)
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

func (e *Engine) report(ctx context.Context, id ID, segment int, smsID string, state sms.DLRState, detail string) error {
	_, _, err := e.advance(ctx, id, func(m *Message, now time.Time) (*Message, Effects) {
		return m.Report(segment, smsID, state, detail, now, e.now().rules)
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
