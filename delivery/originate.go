package delivery

import (
	"context"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// What Config.Originator can be beside a name.
const (
	OriginatorPool = "pool" // one of Numbers
	OriginatorUser = "user" // the sender's own number
)

// noWayBack is the originator of an SMS that must not be answered, since the answer would reach somebody else.
const noWayBack = "godwit"

// An originator is what an SMS goes out from.
type originator struct {
	name     string
	talk     *sms.Talk // the conversation that answers come into, to be stored with the claim; nil: there is no way back, or it is another's
	evidence string
	noWay    string // why answers find no conversation
	quick    bool   // the sender answered an SMS of the peer faster than people do
}

// quickAnswer is within what time of the peer's SMS only machines answer.
const quickAnswer = 5 * time.Second

// originate decides what an SMS goes out from (docs/decision.md, "From which number"); fixed is the only number of a gateway that has one.
func (e *Engine) originate(ctx context.Context, m *Message, s *settings, fixed contacts.Number, now time.Time) (originator, error) {
	if m.SMS.begun() {
		return originator{name: m.SMS.From}, nil
	}
	own, name := s.Numbers, ""
	_, number := m.From.Number()
	switch {
	case fixed != "":
		own, name = []contacts.Number{fixed}, string(fixed)
	case m.Service:
		return originator{name: string(m.From)}, nil
	case s.Originator == OriginatorUser && number:
		return originator{name: string(m.From), evidence: "answers go to the sender's own phone"}, nil
	case len(own) == 0 || s.named():
		return originator{name: s.name(), noWay: "the originator is a name"}, nil
	default:
		name = noWayBack
	}
	if m.Service {
		return originator{name: name}, nil
	}
	peer, _ := m.To.Number()
	talks, err := e.cfg.Store.Talks(ctx, peer)
	if err != nil {
		return originator{}, err
	}
	talk, ok := allocate(own, talks, m.From, now, s.ReplyWindow, s.ReplyQuiet)
	if !ok {
		return originator{name: name, noWay: "the peer has another conversation with every number of ours"}, nil
	}
	if talk.User != m.From {
		talk.Heard = time.Time{}
	}
	from := originator{name: string(talk.Own), talk: &talk, quick: !talk.Heard.IsZero() && m.Accepted.Sub(talk.Heard) < quickAnswer && !m.Accepted.Before(talk.Heard)}
	talk.Peer, talk.User, talk.Ref, talk.At, talk.Digest = peer, m.From, sms.Ref(m.ID), now, 0
	return from, nil
}

// name is the originator of those that have no number.
func (c Config) name() string {
	if !c.named() {
		return noWayBack
	}
	return c.Originator
}

// named reports whether SMS go out from a name.
func (c Config) named() bool { return c.Originator != OriginatorPool && c.Originator != OriginatorUser }

// allocate picks the own number by which a user talks to a peer: the one that is theirs already, else one that nobody needs, else the one that was quiet longest, and
// for at least quiet. ok false: there is none, for nobody may get the answer that was meant for somebody else.
func allocate(own []contacts.Number, talks []sms.Talk, user contacts.Address, now time.Time, window, quiet time.Duration) (best sms.Talk, ok bool) {
	const theirs, free, silent, taken = 0, 1, 2, 3
	bestRank := taken
	for _, n := range own {
		t := sms.Talk{Own: n}
		for _, had := range talks {
			if had.Own == n {
				t = had
			}
		}
		age, rank := now.Sub(t.At), taken
		switch {
		case t.User == user:
			rank = theirs
		case t.User == "" || age >= window:
			rank = free
		case age >= quiet:
			rank = silent
		}
		better := rank < bestRank || rank == bestRank && rank != theirs && t.At.Before(best.At) || rank == bestRank && rank == theirs && t.At.After(best.At)
		if rank < taken && better {
			best, bestRank = t, rank
		}
	}
	return best, bestRank < taken
}
