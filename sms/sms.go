// Package sms is the SMS side: what goes out (MT) and comes in (MO), encoding and segments, the seam to gateways, and the dispatcher
// that decides which gateway takes what next.
//
// A Gateway submits and says what became of each segment; a Sink takes delivery reports (DLRs) and MOs, and returns only once
// they are durable. Every failure has a Class, and the class alone decides what happens next.
//
// A message is sent in attempts. A Desk makes each durable as a claim before the gateway is called, and its outcome after: what the
// process died between is unknown, and is never sent twice by itself. A Dispatcher asks for a claim only when a gateway has a window
// place and a rate token for it. What is wanted is kept in memory only, for the Desk's store has it.
package sms

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
)

// A Ref names the message that an MT carries; it is opaque here.
type Ref [16]byte

// An MT is a mobile-terminated short message, or what is left to be sent of one.
type MT struct {
	Ref      Ref
	Attempt  int             // counts claims of this message from 1
	From     string          // originator: digits of a number, or an alphanumeric name of up to 11 characters
	To       contacts.Number //
	Text     string          // all of it
	Segments []Segment       // those to be submitted now: all of them, or the ones that an earlier attempt left
	Count    int             // segments of the whole message
	Until    time.Time       // nothing is written to the gateway after this
	Validity time.Duration   // how long the SMSC may try (3GPP TS 23.040 §9.2.3.12)
}

// An Outcome says what became of one segment. Err nil: the gateway took it under ID.
type Outcome struct {
	Segment int    // 1-based, as in Segment.Number
	ID      string // the gateway's message id; may be empty when the gateway gives none
	Err     error  // *Error, else it counts as Unknown
}

// A Gateway hands MTs to a carrier.
type Gateway interface {
	// Name is the gateway's name in configuration, metrics and trails.
	Name() string
	// Submit hands over the segments of mt and returns an Outcome for each, in their order. It returns within the response time-out and
	// is called from several goroutines. It never writes to the carrier after mt.Until, and after an unknown outcome it submits nothing more of mt.
	Submit(ctx context.Context, mt MT) []Outcome
	// Run keeps the gateway connected and gives what comes in to sink until ctx is done.
	Run(ctx context.Context, sink Sink) error
	// Abilities tells what the gateway can do.
	Abilities() Abilities
}

// Abilities of a gateway.
type Abilities struct {
	DLR         bool            // reports delivery
	Window      int             // MTs under way at once; 0: 1
	Rate        float64         // segments a second; 0: no limit
	Response    time.Duration   // how long a Submit may take; 0: as the others
	Whole       bool            // takes a message in one piece: the Outcomes of all its segments are the same
	Reference16 bool            // numbers concatenated messages with 16 bits, so that a segment holds less (3GPP TS 23.040 §9.2.3.24.8)
	Number      contacts.Number // its SMS come from this number whatever MT.From says, as a modem's do; empty: MT.From is what the peer sees
}

// A Sink takes what comes from gateways. It returns nil once the report or message is durable (or was already); otherwise the gateway must
// let the carrier send it again.
type Sink interface {
	DLR(ctx context.Context, r DLR) error
	MO(ctx context.Context, m MO) error
}

// A DLR is a delivery report of one segment (3GPP TS 23.040 §9.2.2.3, SMPP 3.4 §5.2.28).
type DLR struct {
	Gateway   string
	ID        string          // the gateway's message id, normalised by the gateway's package
	Ref       *Ref            // when the gateway echoes our own reference
	Segment   int             // with Ref; 0: the whole message
	Reference uint16          // user_message_reference, as Ref.Reference gave it (SMPP 3.4 §5.3.2.17); 0: none
	From      string          // originator of the SMS that is reported, as MT.From; empty: not told
	To        contacts.Number // its recipient; empty: not told
	State     DLRState
	At        time.Time
	Detail    string // the carrier's code or text, for the trail
}

// A DLRState is what a report says, ranked: a later report never lowers it, Delivered beats every other end.
type DLRState uint8

// The states of a report.
const (
	Enroute      DLRState = iota + 1 // on its way (ENROUTE, ACCEPTD, buffered)
	Undelivered                      // ended without delivery (UNDELIV, REJECTD, EXPIRED, DELETED)
	DeliveredSMS                     // DELIVRD
)

// An MO is a mobile-originated short message, whole: gateways join its segments.
type MO struct {
	Gateway string
	ID      string          // the gateway's id; empty: none
	From    contacts.Number // the peer's; or what Sender makes of a name, a short code or a national number: such an MO is nobody's answer, and the operator's
	To      contacts.Number // one of our own numbers
	Text    string
	At      time.Time
}

// A Class says what an error of a gateway means for the message.
type Class uint8

// The classes.
const (
	NotSent       Class = iota + 1 // certainly nothing was written: free retry
	Throttled                      // the gateway asks for a pause: no attempt used
	Temporary                      // retry with backoff
	Permanent                      // never will
	Configuration                  // credentials, account: an operator must act; messages wait
	Unknown                        // written and not answered
)

// An Error is a refusal or failure of a gateway.
type Error struct {
	Class Class
	Code  string        // the carrier's, e.g. "0x58" or "429"
	Text  string        // one line, no number and no payload in it
	After time.Duration // Throttled: how long to pause at least; 0: the default

	OptedOut bool // Permanent: the recipient told the carrier that it wants no more
}

func (e *Error) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("%s: %s", e.Class, e.Text)
	}
	return fmt.Sprintf("%s: %s (%s)", e.Class, e.Text, e.Code)
}

// ClassOf returns the class of a gateway's error; anything that is no *Error with a class is Unknown, nil is 0.
func ClassOf(err error) Class {
	if err == nil {
		return 0
	}
	var e *Error
	if errors.As(err, &e) && e.Class >= NotSent && e.Class <= Unknown {
		return e.Class
	}
	return Unknown
}

// A Meeting joins a submit and its reports, whichever comes first: what one side knows under (gateway, id) is kept, and what the other side has kept is
// learned. Of several values of one side the bytewise greatest stays. Kept for 7 days.
type Meeting struct {
	Gateway string
	ID      string
	Side    Side
	Mine    []byte
	Other   []byte // set when it is committed; nil: the other side was not there
}

// A Count adds to a counter that bounds what is spent, if the total stays within its limit.
type Count struct {
	Key   string    // names the counter, for instance "day 2026-11-24"
	Add   int64     // negative gives back, and is never refused
	Most  int64     // the total may not exceed it; 0: no limit
	Until time.Time // the counter is kept until then
	Total int64     // set when it is committed, and when it is refused: what it would have been
}

// An OverLimit error says which Count was refused. Nothing of its change was written.
type OverLimit struct{ Key string }

func (e *OverLimit) Error() string { return "over the limit: " + e.Key }

// A Side is whose a Meeting is.
type Side uint8

// The sides.
const (
	Submitter Side = iota + 1
	Reporter
)

// ErrTaken says that a Talk changed meanwhile.
var ErrTaken = errors.New("the pair of numbers was taken meanwhile")

// A Talk is the conversation that a pair (our number, peer's number) belongs to.
type Talk struct {
	Own, Peer contacts.Number
	User      contacts.Address // who wrote, and gets the answers
	Ref       Ref              // the latest message, for in_reply_to
	At        time.Time        // when something last went either way
	Heard     time.Time        // when the peer last wrote; zero: never
	Digest    uint64           // of what the peer last wrote, when nothing was sent since; 0: something was
	Rev       uint64           // 0: new
}

func (c Class) String() string {
	switch c {
	case NotSent:
		return "not sent"
	case Throttled:
		return "throttled"
	case Temporary:
		return "temporary"
	case Permanent:
		return "permanent"
	case Configuration:
		return "configuration"
	}
	return "unknown"
}
