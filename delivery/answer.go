package delivery

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// Unmatched is to whom SMS are addressed that came in and belong to no conversation, or to one whose user has a full inbox: no user can have this address.
const Unmatched contacts.Address = "?"

const (
	moRepeat   = 10 * time.Second // within what time the same text on the same numbers is the same SMS, when the gateway gives no ids
	rememberMO = 30 * day         // how much longer than ReplyWindow it is known who last wrote to a peer
)

// MO takes an SMS that came in; it is durable when MO returns nil (sms.Sink). Where it goes: docs/decision.md, "An SMS that comes in".
func (e *Engine) MO(ctx context.Context, mo sms.MO) error {
	if mo.To == "" {
		mo.To = e.soleNumber(mo.Gateway)
	}
	stop, err := e.optOut(ctx, mo)
	if err != nil {
		return err
	}
	for full := false; ; {
		talks, err := e.cfg.Store.Talks(ctx, mo.From)
		if err != nil {
			return err
		}
		now := time.Now()
		m, talk, result := e.place(mo, talks, now)
		if full && m != nil {
			m.To, m.Reply, result = Unmatched, "", MOUnmatched
		}
		if result == MORepeated {
			e.stats.mo(mo.Gateway, result)
			return nil
		}
		err = e.take(ctx, m, talk, now)
		var known *Known
		switch {
		case errors.As(err, &known):
			result = MORepeated
		case errors.Is(err, sms.ErrTaken):
			continue
		case errors.Is(err, ErrFull): // it is not lost: the operator has it
			full = true
			continue
		case err != nil:
			return err
		case stop:
			result = MOStop
		}
		if m.To != Unmatched && result != MORepeated {
			e.answered.note(m.To, mo.From, now)
		}
		e.stats.mo(mo.Gateway, result)
		return nil
	}
}

// place decides where an SMS goes, and what its pair of numbers is afterwards.
func (e *Engine) place(mo sms.MO, talks []sms.Talk, now time.Time) (m *Message, talk *sms.Talk, result int) {
	t := sms.Talk{Own: mo.To, Peer: mo.From}
	var last sms.Talk // who wrote to the peer last
	for _, had := range talks {
		if had.Own == mo.To {
			t = had
		}
		if had.User != "" && had.At.After(last.At) {
			last = had
		}
	}
	digest := xxhash.Sum64String(mo.Gateway+"\x00"+mo.Text) | 1
	if mo.ID == "" && t.Digest == digest && now.Sub(t.Heard) < moRepeat {
		return nil, nil, MORepeated
	}
	m = &Message{From: contacts.Address(mo.From), To: Unmatched, Root: RootMO, Payload: []byte(mo.Text), Own: mo.To}
	if mo.ID != "" {
		m.Key.Correlation = sum("mo", mo.Gateway, mo.ID)
		digest = 0
	}
	result = MOUnmatched
	window := e.now().ReplyWindow
	_, err := contacts.ParseNumber(string(mo.From)) // a name or a short code is nobody's peer
	switch {
	case !e.own(mo.To) || err != nil:
		e.log.Warn().Str("gateway", mo.Gateway).Str("to", mo.To.Mask()).Msg("an SMS came in that can be nobody's answer: it is kept in the unmatched list")
		if mo.To == "" || mo.From == "" {
			return m, nil, MOUnmatched
		}
	case t.User != "" && now.Sub(t.At) < window:
		m.To, m.Reply, result = t.User, ID(t.Ref).String(), MOConversation
		t.At = now
	case last.User != "" && now.Sub(last.At) < window+rememberMO && e.cfg.HasContact != nil && e.cfg.HasContact(last.User, mo.From):
		m.To, result = last.User, MOContact
	}
	t.Heard, t.Digest = now, digest
	return m, &t, result
}

// take accepts an SMS that came in, and what its pair of numbers is afterwards, in one commit.
func (e *Engine) take(ctx context.Context, m *Message, talk *sms.Talk, now time.Time) error {
	a := make(answer, 1)
	p := e.publish(m, Publication{}, a, now)
	p.change.Talk = talk
	if m.To == Unmatched {
		p.change.Limit = 0
	}
	if !e.lane.propose(p) {
		return ErrStopped
	}
	select {
	case err := <-a:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// optOut acts on a stop word: it is confirmed once, then nothing is sent to the number any more. Both are durable on return.
func (e *Engine) optOut(ctx context.Context, mo sms.MO) (stop bool, err error) {
	out := e.cfg.OptOuts
	if out == nil || !e.own(mo.To) || !sms.IsStop(mo.Text, e.now().StopWords) {
		return false, nil
	}
	if _, err := contacts.ParseNumber(string(mo.From)); err != nil || out.Out(mo.From) {
		return true, nil
	}
	confirmation := &Message{
		From: contacts.Address(mo.To), To: contacts.Address(mo.From), Root: RootSMS, Receipts: ReceiptsNone, Service: true,
		Key: Key{Correlation: sum("stop", string(mo.To), string(mo.From))}, Payload: []byte(sms.StopConfirmation(mo.Text)),
	}
	var known *Known
	if _, err := e.Send(ctx, confirmation); err != nil && !errors.As(err, &known) {
		return true, err
	}
	return true, out.Add(ctx, sms.OptOut{Number: mo.From, Word: strings.TrimSpace(mo.Text), Gateway: mo.Gateway, At: time.Now()})
}

// own reports whether a number is one of ours.
func (e *Engine) own(n contacts.Number) bool {
	_, ok := e.numbers[n]
	return ok && n != ""
}

// soleNumber is the number that an SMS came to when its gateway does not say: the gateway's, or the only one that we have.
func (e *Engine) soleNumber(gateway string) contacts.Number {
	if g := e.gateway(gateway); g != nil && g.Abilities().Number != "" {
		return g.Abilities().Number
	}
	if own := e.now().Numbers; len(own) == 1 {
		return own[0]
	}
	return ""
}

// sum is a key of fixed length: 16 octets of hash.
func sum(parts ...string) []byte {
	all := strings.Join(parts, "\x00")
	b := binary.BigEndian.AppendUint64(nil, xxhash.Sum64String(all))
	return binary.BigEndian.AppendUint64(b, xxhash.Sum64String("\x00"+all))
}
