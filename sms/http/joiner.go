package smshttp

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// A part says which segment of which long message an MO is (3GPP TS 23.040 §9.2.3.24.1).
type part struct {
	reference     uint16
	count, number int // count 0: a message of its own
}

// concatenation reads a user data header; what it cannot read is no concatenation.
func concatenation(udh []byte) part {
	if len(udh) == 0 || int(udh[0]) != len(udh)-1 {
		return part{}
	}
	for ie := udh[1:]; len(ie) >= 2 && len(ie) >= 2+int(ie[1]); ie = ie[2+int(ie[1]):] {
		p, d := part{}, ie[2:2+int(ie[1])]
		switch {
		case ie[0] == 0x00 && len(d) == 3:
			p = part{reference: uint16(d[0]), count: int(d[1]), number: int(d[2])}
		case ie[0] == 0x08 && len(d) == 4:
			p = part{reference: uint16(d[0])<<8 | uint16(d[1]), count: int(d[2]), number: int(d[3])}
		}
		if p.number >= 1 && p.number <= p.count {
			return p
		}
	}
	return part{}
}

// octets are a text as Kannel gives it, with its coding (%c) and charset (%C).
type octets struct{ octets, coding, charset string }

// What a joiner is bounded by.
const (
	joinPatience = 5 * time.Minute // then what has come is given without the rest
	joinMemory   = time.Hour       // how long the segments of what was given are known
	joinMost     = 1000            // messages
)

// A joiner joins the segments of long MOs of a gateway whose carrier repeats a callback until it is taken: it takes none before the last one is there and
// the whole is stored, so nothing that it has in memory can be lost. When a segment does not come, the others are given as they are.
type joiner struct {
	mu   sync.Mutex
	long []*longMO // the oldest first
}

// A longMO is a message whose segments come one by one.
type longMO struct {
	from, to contacts.Number
	part     part // without number
	since    time.Time
	ids      []string // of the segments that came
	texts    []octets
	storing  bool
	stored   bool
}

// errAgain has the carrier call again.
var errAgain = errors.New("the other segments of the message are not there yet")

// take takes a segment: nil when the whole message, with it, is durable.
func (j *joiner) take(ctx context.Context, sink sms.Sink, m sms.MO, p part, text octets) error {
	l, stored := j.add(m, p, text, time.Now())
	if stored {
		return nil
	}
	if l == nil {
		return errAgain
	}
	m.ID, m.Text = l.joined()
	err := sink.MO(ctx, m)
	j.mu.Lock()
	defer j.mu.Unlock()
	l.storing, l.stored = false, err == nil
	return err
}

// add notes a segment. It returns the message when the caller is to store it, and says whether it was stored before.
func (j *joiner) add(m sms.MO, p part, text octets, now time.Time) (store *longMO, stored bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	l := j.find(m, p)
	if l == nil {
		j.forget(now)
		l = &longMO{from: m.From, to: m.To, part: p.message(), since: now, ids: make([]string, p.count), texts: make([]octets, p.count)}
		j.long = append(j.long, l)
	}
	if l.stored || l.storing {
		return nil, l.stored
	}
	l.ids[p.number-1], l.texts[p.number-1] = m.ID, text
	if slices.Contains(l.ids, "") && now.Sub(l.since) < joinPatience {
		return nil, false
	}
	l.storing = true
	return l, false
}

// find returns the message that a segment belongs to. References come again soon: a segment that has another id is of another message.
func (j *joiner) find(m sms.MO, p part) *longMO {
	for _, l := range j.long {
		if l.from != m.From || l.to != m.To || l.part != p.message() {
			continue
		}
		if have := l.ids[p.number-1]; have == m.ID || have == "" && !l.stored && !l.storing {
			return l
		}
	}
	return nil
}

// forget makes room.
func (j *joiner) forget(now time.Time) {
	kept := j.long[:0]
	for i, l := range j.long {
		if now.Sub(l.since) < joinMemory && len(j.long)-i < joinMost || l.storing {
			kept = append(kept, l)
		}
	}
	clear(j.long[len(kept):])
	j.long = kept
}

func (p part) message() part { p.number = 0; return p }

// joined returns the text, with an ellipsis for what did not come, and the id of the first segment that did: it stays the same when the carrier repeats
// itself. Octets are put together before they are read, for some phones cut a character in two.
func (l *longMO) joined() (id, text string) {
	var run octets
	for i, t := range l.texts {
		switch {
		case l.ids[i] == "" && strings.HasSuffix(text, "…") && run.octets == "":
		case l.ids[i] == "":
			text, run = text+run.String()+"…", octets{}
		case t.coding == run.coding && t.charset == run.charset:
			run.octets += t.octets
		default:
			text, run = text+run.String(), t
		}
		if id == "" {
			id = l.ids[i]
		}
	}
	return id, text + run.String()
}
