package smpp

import (
	"bytes"
	"time"

	"github.com/seed-7a41469f/godwit/sms"
)

// StartAt has the sessions of g begin with a sequence number.
func (g *Gateway) StartAt(sequence uint32) { g.first = sequence }

// Things that are tested by themselves.
var (
	Validity    = validity
	Decode      = decode
	SplitHeader = splitHeader
	ReadDate    = readDate
)

// Normal is IDBase.normal.
func (b IDBase) Normal(id string) string { return b.normal(id) }

// Refusal is the class of a command_status.
func Refusal(st uint32, attempt int) *sms.Error { return status(st).refusal(attempt) }

// Fields are those of a receipt.
type Fields struct {
	ID, Done, Stat, Err string
	Whole               bool
}

// ReadReceipt is readReceipt.
func ReadReceipt(text string) Fields {
	r := readReceipt(text)
	return Fields{r.id, r.done, r.stat, r.err, r.whole}
}

// ReadFrames reads PDUs, and what a session reads of each, and returns how many there were.
func (g *Gateway) ReadFrames(octets []byte) (n int, err error) {
	for r := bytes.NewReader(octets); ; n++ {
		f, err := readFrame(r)
		if err != nil {
			return n, err
		}
		f.line()
		messageID(f.body)
		if d, err := readDelivery(f); err == nil {
			c, text := d.segment()
			if c.valid() && len(text) > len(d.octets) {
				panic("a segment is longer than what it is taken from")
			}
			g.dlr(d, time.Now())
			decode(text, d.coding)
		}
	}
}

// SubmitSM returns the octets of the submit_sm of a segment.
func (g *Gateway) SubmitSM(mt sms.MT, s sms.Segment) ([]byte, error) {
	p, err := g.submitSM(mt, s, g.form(mt))
	if err != nil {
		return nil, err
	}
	return encode(p, 1), nil
}

// A Joiner is a joiner that stores at once what can be stored.
type Joiner struct {
	j *joiner
	// Stored are the texts.
	Stored []string
}

// NewJoiner returns a Joiner with room for so many octets.
func NewJoiner(patience time.Duration, room int) *Joiner {
	return &Joiner{j: newJoiner(patience, room)}
}

// Add takes user data with a header from a phone, and returns its fate, or "single".
func (j *Joiner) Add(from string, octets []byte, coding byte, now time.Time) string {
	c, text := splitHeader(octets)
	if !c.valid() {
		return "single"
	}
	l, fate := j.j.add(longKey{from, "", c.form, c.reference, c.total}, c.number, coding, text, now)
	if fate == whole {
		j.store(l, now)
	}
	return [...]string{held: "held", whole: "whole", known: "known", refused: "refused"}[fate]
}

func (j *Joiner) store(l *long, now time.Time) {
	j.Stored = append(j.Stored, l.text())
	j.j.keep(l, now)
}

// Expire stores what is overdue.
func (j *Joiner) Expire(now time.Time) {
	for _, l := range j.j.overdue(now) {
		j.store(l, now)
	}
}

// Kept returns the octets that are kept, as they are counted and as they are.
func (j *Joiner) Kept() (counted, are int) {
	for _, l := range j.j.long {
		for _, p := range l.pieces {
			are += len(p.octets) + pieceOverhead
		}
	}
	return j.j.kept, are
}
