package sms

import "context"

// A Desk hands out claims and takes what became of them. It alone decides what an outcome means for a message. Its methods are called from
// several goroutines, never from two at once for the same number.
type Desk interface {
	// Claim makes a durable claim on the message for one attempt through a gateway and returns what to submit. ok false: there is nothing to
	// send any more (acknowledged, cancelled, expired, held). An error means that the store fails: the message stays wanted and is claimed later.
	Claim(ctx context.Context, ref Ref, gateway string) (mt MT, ok bool, err error)
	// Report makes durable what became of the claim: an Outcome for each of mt.Segments. It is called exactly once for each Claim that returned
	// ok, unless the process dies, and again while it fails. It may want the message again before it returns.
	Report(ctx context.Context, mt MT, gateway string, outcomes []Outcome) error
}

// A Priority says who goes first when not everything can go at once.
type Priority uint8

// The priorities, the first first.
const (
	Reply Priority = iota // an answer to an SMS of the peer
	Fresh                 // a first attempt
	Retry                 // any later one
	priorities
)
