package smstest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An SMPPFault is what the server does with a submit instead of taking it, answering at once and reporting it delivered. The parts may be combined.
type SMPPFault struct {
	Status  uint32        `json:"status,omitempty"`   // the command_status of the answer; unless 0 the segment is not taken
	Lose    bool          `json:"lose,omitempty"`     // the segment is not taken, whatever the answer says
	Instead Instead       `json:"instead,omitempty"`  // what goes out in place of the answer
	Late    time.Duration `json:"late,omitempty"`     // how long the answer, or what goes out for it, takes; in nanoseconds
	Behind  int           `json:"behind,omitempty"`   // out of order: it waits for so many later answers on its connection, at the latest until Late, or 1 s
	DLR     Report        `json:"dlr,omitempty"`      // which receipts come
	States  []string      `json:"states,omitempty"`   // the states of the receipts in their order, for instance ACCEPTD, DELIVRD; nil: as DLR has them
	DLRLate time.Duration `json:"dlr_late,omitempty"` // how long the receipts take
	Receipt *Receipt      `json:"receipt,omitempty"`  // how they are written; nil: as the options have it
}

// An Instead is what goes out in place of an answer.
type Instead string

// What may go out in place of an answer.
const (
	Answered       Instead = ""             // the answer
	NoAnswer       Instead = "none"         // nothing; the connection stays
	Nack           Instead = "nack"         // generic_nack with Status, or 0x08; the segment is not taken
	FIN            Instead = "fin"          // the connection is closed
	RST            Instead = "rst"          // the connection is reset
	Silence        Instead = "silence"      // half-open: nothing is read or written on the connection any more, enquire_link neither
	Truncated      Instead = "truncated"    // the first octets of the answer, and the connection is closed
	Garbage        Instead = "garbage"      // octets that are no SMPP
	BadLength      Instead = "length"       // a header with command_length 4
	Malformed      Instead = "malformed"    // the answer as a frame that is whole, but whose message_id does not end
	UnknownCommand Instead = "unknown"      // a request with a command_id that nobody knows, and then the answer
	Unbind         Instead = "unbind"       // unbind; neither this submit nor others under way are answered
	UnbindFirst    Instead = "unbind-first" // unbind, and then the answer
)

var insteads = []Instead{Answered, NoAnswer, Nack, FIN, RST, Silence, Truncated, Garbage, BadLength, Malformed, UnknownCommand, Unbind, UnbindFirst}

// takes reports whether a segment with this fault is taken.
func (f SMPPFault) takes() bool { return f.Status == 0 && !f.Lose && f.Instead != Nack }

// check returns what is wrong with a fault.
func (f SMPPFault) check() error {
	if !slices.Contains(insteads, f.Instead) {
		return fmt.Errorf("there is no fault %q", f.Instead)
	}
	if !(Fault{DLR: f.DLR}).valid() || f.Late < 0 || f.DLRLate < 0 || f.Behind < 0 {
		return fmt.Errorf("there is no fault %+v", f)
	}
	for _, state := range f.States {
		if messageStates[state] == 0 {
			return fmt.Errorf("there is no state %q of a message", state)
		}
	}
	if f.Receipt == nil {
		return nil
	}
	return f.Receipt.check()
}

// states are the states of the receipts, in their order.
func (f SMPPFault) states() []string {
	if f.States != nil {
		return f.States
	}
	return f.DLR.states()
}

// A BindFault is what the server does with a bind instead of taking it.
type BindFault struct {
	Status  uint32  `json:"status,omitempty"`  // the command_status of the answer: 0x0e wrong password, 0x0d failed, 0x05 bound already
	Instead Instead `json:"instead,omitempty"` // what goes out in place of the answer; NoAnswer: a silent bind
}

// smppFaults is a fault for the next n submits; negative: for all.
type smppFaults struct {
	n int
	SMPPFault
}

type bindFaults struct {
	n int
	BindFault
}

// Next has the next n submits meet a fault, after those of earlier calls; negative n: all, until Clear. It panics when there is no such fault.
func (s *SMPP) Next(n int, f SMPPFault) {
	if err := f.check(); err != nil {
		panic("smstest: " + err.Error())
	}
	s.change(func() {
		if n != 0 {
			s.faults = append(s.faults, smppFaults{n, f})
		}
	})
}

// On has decide say which fault a submit meets, when Next has none for it. It is called by one goroutine at a time, and must not call the server.
func (s *SMPP) On(decide func(Submitted) SMPPFault) { s.change(func() { s.decide = decide }) }

// NextBind has the next n binds meet a fault, after those of earlier calls; negative n: all, until Clear. It panics when there is no such fault.
func (s *SMPP) NextBind(n int, f BindFault) {
	if err := (SMPPFault{Instead: f.Instead}).check(); err != nil {
		panic("smstest: " + err.Error())
	}
	s.change(func() {
		if n != 0 {
			s.binds = append(s.binds, bindFaults{n, f})
		}
	})
}

// Clear ends all faults. Connections that are silent stay so.
func (s *SMPP) Clear() { s.change(func() { s.faults, s.decide, s.binds = nil, nil, nil }) }

// fault returns what a submit meets. The lock is held.
func (s *SMPP) fault(r Submitted) (f SMPPFault) {
	if len(s.faults) > 0 {
		f = s.faults[0].SMPPFault
		if s.faults[0].n--; s.faults[0].n == 0 {
			s.faults = s.faults[1:]
		}
		return f
	}
	if s.decide == nil {
		return f
	}
	if f = s.decide(r); f.check() != nil {
		panic("smstest: " + f.check().Error())
	}
	return f
}

// bindFault returns what a bind meets. The lock is held.
func (s *SMPP) bindFault() (f BindFault) {
	if len(s.binds) > 0 {
		f = s.binds[0].BindFault
		if s.binds[0].n--; s.binds[0].n == 0 {
			s.binds = s.binds[1:]
		}
	}
	return f
}

// Do does to all connections at once what a fault does instead of an answer: FIN, RST, Silence, Garbage, BadLength, UnknownCommand, Unbind.
func (s *SMPP) Do(what Instead) {
	var all []*session
	s.look(func() { all = s.live() })
	for _, x := range all {
		x.instead(what)
	}
}

// An IDForm is how the server writes a message id, which is a number.
type IDForm string

// The forms of an id. Response and receipt often differ in them.
const (
	Hex       IDForm = ""           // 1a2b
	HexUpper  IDForm = "HEX"        // 1A2B
	HexPadded IDForm = "hex-padded" // 0000000000001a2b
	Decimal   IDForm = "decimal"    // 6699
	Padded    IDForm = "padded"     // 00000000000000006699
)

// write is an id in its form.
func (f IDForm) write(id uint64) string {
	switch f {
	case HexUpper:
		return strings.ToUpper(strconv.FormatUint(id, 16))
	case HexPadded:
		return fmt.Sprintf("%016x", id)
	case Decimal:
		return strconv.FormatUint(id, 10)
	case Padded:
		return fmt.Sprintf("%020d", id)
	}
	return strconv.FormatUint(id, 16)
}

func (f IDForm) check() error {
	switch f {
	case Hex, HexUpper, HexPadded, Decimal, Padded:
		return nil
	}
	return fmt.Errorf("there is no form %q of an id", f)
}
