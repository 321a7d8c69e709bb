// Package delivery decides what happens to a message, and carries it out: pushed to a device that acknowledges it, or sent as an SMS.
//
// The decisions are pure functions without a clock, goroutine or I/O: Decide and the methods of Message that return its next state, the line (one
// user's devices) and the Brake. The state tables are in docs/decision.md.
//
// The Engine carries them out. A lane gathers changes and commits them in groups; only then is anybody told. The deliverer, one goroutine that
// never blocks, owns every user's line and every timer; reads of the store come back to it as events. On a conflict the message is read again, and
// decided again: compare-and-set is what makes one of two the winner.
//
// It guarantees: a publish is acknowledged after it is durable, and from then on ends in exactly one terminal state, whatever crashes; a push
// counts when a device acknowledges it, and at no other moment; an SMS is claimed durably before the gateway is called.
package delivery
