package delivery

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// ErrNoGateway says that no gateway has the name.
var ErrNoGateway = errors.New("there is no such gateway")

// ErrDenied says that the policy has no SMS go to a number.
var ErrDenied = errors.New("SMS to this prefix are not allowed")

// Gateways returns how the gateways are doing, in their order.
func (e *Engine) Gateways() []sms.Status {
	if e.dispatch == nil {
		return nil
	}
	return e.dispatch.Status()
}

// Pause has a gateway take nothing new until Resume or the next start; what is under way ends, and others take over by the routes.
func (e *Engine) Pause(gateway string) error {
	if e.gateway(gateway) == nil {
		return ErrNoGateway
	}
	return e.dispatch.Pause(gateway)
}

// Resume ends a Pause.
func (e *Engine) Resume(gateway string) error {
	if e.gateway(gateway) == nil {
		return ErrNoGateway
	}
	return e.dispatch.Resume(gateway)
}

// OptOuts returns who wants no SMS; nil: the Config has none.
func (e *Engine) OptOuts() *sms.OptOuts { return e.cfg.OptOuts }

// tester is whose SMS an operator's test is, in the counters.
const tester contacts.Address = "operator"

// Test sends an SMS through one gateway at once, past the queue, to see that the link works. It is no message: it has no receipt and no conversation. It is booked on the
// budgets before it is submitted (*sms.OverLimit, ErrDenied), and price is what it cost.
func (e *Engine) Test(ctx context.Context, gateway string, to contacts.Number, text string) (outcomes []sms.Outcome, price sms.Money, err error) {
	g := e.gateway(gateway)
	if g == nil {
		return nil, price, ErrNoGateway
	}
	able, s, now := g.Abilities(), e.now(), time.Now()
	segments, err := able.Split(text)
	if err != nil {
		return nil, price, err
	}
	switch {
	case len(segments) > s.MaxSegments:
		return nil, price, fmt.Errorf("%w: %s", sms.ErrTooLong, tooLong(len(segments), s.rules))
	case !s.Policy.Allows(to):
		return nil, price, ErrDenied
	}
	counts := s.Policy.Reserve(tester, to, len(segments), true, false, now)
	if err := e.commit(ctx, Change{Counts: counts}, Effects{}); err != nil {
		return nil, price, err
	}
	mt := sms.MT{From: s.name(), To: to, Text: text, Segments: segments, Count: len(segments), Attempt: 1, Until: now.Add(max(s.Response, able.Response)), Validity: s.Validity}
	if able.Number != "" {
		mt.From = string(able.Number)
	} else if len(s.Numbers) > 0 && !s.named() {
		mt.From = string(s.Numbers[0])
	}
	_, _ = rand.Read(mt.Ref[:]) // it never fails
	e.claims.put(mt.Ref, &Message{To: contacts.Address(to), SMS: &Leg{Gateway: gateway, From: mt.From}})
	defer e.claims.end(mt.Ref)
	outcomes = g.Submit(ctx, mt)
	spent := 0
	var settled Change
	for _, o := range outcomes {
		class := sms.ClassOf(o.Err)
		if class == 0 || class == sms.Unknown {
			spent++
		}
		if class == 0 && o.ID != "" { // or its report might be taken for that of another SMS to the number
			settled.Meetings = append(settled.Meetings, sms.Meeting{Gateway: gateway, ID: o.ID, Side: sms.Submitter, Mine: meetingPoint(ID(mt.Ref), o.Segment)})
		}
	}
	each, _ := s.Policy.Prices.Of(to)
	price = each.Times(spent)
	e.stats.Spent.Add(price.Micros)
	if spent < len(segments) {
		settled.Counts = s.Policy.Release(tester, to, len(segments)-spent, each, spent == 0, now)
	}
	if err = e.commit(context.WithoutCancel(ctx), settled, Effects{}); err == nil {
		e.submitted.note(settled.Meetings)
	}
	return outcomes, price, err
}

// Unmatched returns SMS that came in and belong to no conversation, newest first, as Store.List does.
func (e *Engine) Unmatched(ctx context.Context, before ID, limit int) ([]*Message, ID, error) {
	return e.cfg.Store.List(ctx, Query{To: Unmatched, State: Accepted, Before: before, Limit: limit})
}

// ErrNoUser says that nobody has the address.
var ErrNoUser = errors.New("nobody has this address")

// Assign gives an SMS that came in without a conversation to a user, and with it what the peer writes next on that number. It returns the SMS as the user gets it, durable;
// ErrNotFound, ErrTooLate when it was assigned already, ErrNoUser, ErrFull.
func (e *Engine) Assign(ctx context.Context, id ID, to contacts.Address) (*Message, error) {
	if _, ok := e.cfg.Directory.User(to); !ok {
		return nil, ErrNoUser
	}
	from, err := e.cfg.Store.Message(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case from.To != Unmatched:
		return nil, ErrNotFound
	case from.State != Accepted:
		return nil, ErrTooLate
	}
	for {
		m := &Message{From: peerInTopic(from.From), To: to, Root: RootMO, Payload: from.Payload, Own: from.Own, Key: Key{Correlation: sum("assigned", id.String())}}
		talk, err := e.hand(ctx, from, to)
		if err != nil {
			return nil, err
		}
		err = e.take(ctx, m, talk, time.Now())
		var known *Known
		if errors.Is(err, sms.ErrTaken) {
			continue
		}
		if errors.As(err, &known) { // an earlier try got this far
			m, err = e.cfg.Store.Message(ctx, known.ID)
		}
		if err != nil {
			return nil, err
		}
		_, _, err = e.advance(ctx, id, func(m *Message, now time.Time) (*Message, Effects) { return m.assigned(now) })
		return m, err
	}
}

// peerInTopic is the sender of an SMS as a part of a topic: a carrier may give anything.
func peerInTopic(from contacts.Address) contacts.Address {
	return contacts.Address(strings.Map(func(r rune) rune {
		if strings.ContainsRune("+#/", r) || unicode.IsControl(r) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(string(from), "_")))
}

// hand returns the pair of numbers of an SMS as the user's, when it is no conversation of somebody else.
func (e *Engine) hand(ctx context.Context, m *Message, to contacts.Address) (*sms.Talk, error) {
	peer := contacts.Number(m.From)
	if _, err := contacts.ParseNumber(string(peer)); err != nil { // nobody can answer it
		return nil, nil
	}
	talks, err := e.cfg.Store.Talks(ctx, peer)
	if err != nil || !e.own(m.Own) {
		return nil, err
	}
	now := time.Now()
	s := e.now()
	talk, ok := allocate([]contacts.Number{m.Own}, talks, to, now, s.ReplyWindow, s.ReplyQuiet)
	if !ok {
		return nil, nil
	}
	talk.Peer, talk.User, talk.At = peer, to, now
	return &talk, nil
}
