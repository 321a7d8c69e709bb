package delivery

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"text/template"
	"time"

	"github.com/seed-7a41469f/godwit/sms"
)

var (
	_ sms.Desk = (*Engine)(nil)
	_ sms.Sink = (*Engine)(nil)
)

// newTemplate returns what makes the text of an SMS of a message.
func newTemplate(text string) (func(m *Message) string, error) {
	t, err := template.New("sms").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("delivery: Config.Template: %w", err)
	}
	type fields struct{ From, Text string }
	if err := t.Execute(&bytes.Buffer{}, fields{}); err != nil {
		return nil, fmt.Errorf("delivery: Config.Template: %w", err)
	}
	return func(m *Message) string {
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

// Claim makes a durable claim on a message for one attempt through a gateway (sms.Desk).
func (e *Engine) Claim(ctx context.Context, ref sms.Ref, gateway string) (sms.MT, bool, error) {
	m, err := e.cfg.Store.Message(ctx, ID(ref))
	if errors.Is(err, ErrNotFound) {
		return sms.MT{}, false, nil
	}
	if err != nil {
		return sms.MT{}, false, err
	}
	segments, err := sms.Split(e.rules.text(m))
	if err != nil || !m.Claimable(time.Now()) {
		return sms.MT{}, false, nil
	}
	w := e.wanted(m.ID)
	if !w.stands {
		return sms.MT{}, false, nil
	}
	evidence, err := e.bind(ctx, m)
	if err != nil {
		return sms.MT{}, false, err
	}
	next, done, err := e.advance(ctx, m.ID, func(m *Message, now time.Time) (*Message, Effects) {
		return m.Claim(Claim{Gateway: gateway, From: e.cfg.Originator, Cause: w.cause, Pushes: w.pushes, Until: now.Add(e.cfg.Response), Segments: len(segments), Evidence: evidence}, now)
	})
	if errors.Is(err, ErrNotFound) || err == nil && !done {
		return sms.MT{}, false, nil
	}
	if err != nil {
		return sms.MT{}, false, err
	}
	return e.mt(next, segments), true, nil
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
	w := want{stands: true, cause: r.cause}
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
func (e *Engine) mt(m *Message, segments []sms.Segment) sms.MT {
	to, _ := m.To.Number()
	left := make([]sms.Segment, 0, len(segments))
	for i, s := range segments {
		if m.SMS.Segments[i].State == SegmentOpen {
			left = append(left, s)
		}
	}
	return sms.MT{
		Ref: sms.Ref(m.ID), Attempt: m.SMS.Claims, From: m.SMS.From, To: to, Text: e.rules.text(m), Segments: left, Count: len(segments),
		Until: m.SMS.Until, Validity: min(e.cfg.Validity, time.Until(m.Expires)),
	}
}

// Report makes durable what became of a claim (sms.Desk). Reports that came before the answer are applied at once.
func (e *Engine) Report(ctx context.Context, mt sms.MT, gateway string, outcomes []sms.Outcome) error {
	dlr := e.reports(gateway)
	m, _, err := e.advance(ctx, ID(mt.Ref), func(m *Message, now time.Time) (*Message, Effects) {
		return m.Outcome(mt.Attempt, outcomes, dlr, now, e.rules)
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil || !dlr {
		return err
	}
	return e.meet(ctx, m, gateway)
}

// reports tells whether a gateway gives DLRs.
func (e *Engine) reports(gateway string) bool {
	for _, g := range e.gateways {
		if g.Name() == gateway {
			return g.Abilities().DLR
		}
	}
	return false
}

// meet looks for reports that came before the gateway's answer was stored. After a crash it is done again for what is still without a report.
func (e *Engine) meet(ctx context.Context, m *Message, gateway string) error {
	if m.SMS == nil || m.SMS.Gateway != gateway {
		return nil
	}
	for i, s := range m.SMS.Segments {
		if s.ID == "" || s.State < SegmentTaken || s.State == SegmentDelivered {
			continue
		}
		early, err := e.cfg.Ledger.Meet(ctx, gateway, s.ID, sms.Submitter, meetingPoint(m.ID, i+1))
		if err != nil {
			return err
		}
		if early != nil {
			if err := e.report(ctx, m.ID, i+1, s.ID, sms.DLRState(early[0]), string(early[1:])); err != nil {
				return err
			}
		}
	}
	return nil
}

// meetingPoint is what the submitter knows of a gateway's message id: which segment of which message it is.
func meetingPoint(id ID, segment int) []byte {
	return binary.BigEndian.AppendUint16(append([]byte(nil), id[:]...), uint16(segment))
}

// DLR takes a delivery report; it is durable when DLR returns nil (sms.Sink).
func (e *Engine) DLR(ctx context.Context, r sms.DLR) error {
	if r.State < sms.Enroute || r.State > sms.DeliveredSMS {
		return fmt.Errorf("a report of gateway %s has no known state (%d)", r.Gateway, r.State)
	}
	e.stats.DLRs[r.State].Add(1)
	if r.Ref != nil {
		return e.report(ctx, ID(*r.Ref), r.Segment, r.ID, r.State, r.Detail)
	}
	point, err := e.cfg.Ledger.Meet(ctx, r.Gateway, r.ID, sms.Reporter, append([]byte{byte(r.State)}, r.Detail...))
	if err != nil || len(point) != len(ID{})+2 {
		return err // nobody knows the id yet: the answer to the submit will ask for it
	}
	return e.report(ctx, ID(point[:16]), int(binary.BigEndian.Uint16(point[16:])), r.ID, r.State, r.Detail)
}

func (e *Engine) report(ctx context.Context, id ID, segment int, smsID string, state sms.DLRState, detail string) error {
	_, _, err := e.advance(ctx, id, func(m *Message, now time.Time) (*Message, Effects) {
		return m.Report(segment, smsID, state, detail, now, e.rules)
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
