package smstest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Receipt is how an SMSC writes delivery receipts (SMPP 3.4 §4.6.1, appendix B). The zero value has the optional parameters and the text.
type Receipt struct {
	Form      ReceiptForm `json:"form,omitempty"`
	ID        IDForm      `json:"id,omitempty"`        // how the id is written
	Plain     bool        `json:"plain,omitempty"`     // esm_class is 0, so that only the rest tells it from an MO
	Seconds   bool        `json:"seconds,omitempty"`   // dates have 12 digits instead of 10
	Leave     []string    `json:"leave,omitempty"`     // fields of the text that are left out: "id", "sub", "dlvrd", "submit date", "done date", "stat", "err", "text"
	Err       string      `json:"err,omitempty"`       // the value of err; empty: 000
	NUL       bool        `json:"nul,omitempty"`       // the text ends with NUL
	Reference bool        `json:"reference,omitempty"` // user_message_reference comes back (§5.3.2.17)
	Stranger  bool        `json:"stranger,omitempty"`  // it has the id of a message that nobody submitted
}

// A ReceiptForm is what of a receipt is there.
type ReceiptForm string

// The forms.
const (
	TLVsAndText ReceiptForm = ""
	TLVsOnly    ReceiptForm = "tlvs" // receipted_message_id and message_state, and an empty short_message
	TextOnly    ReceiptForm = "text"
)

// messageStates are the states of a message, by their word (SMPP 3.4 §5.2.28, appendix B).
var messageStates = map[string]byte{"ENROUTE": 1, "DELIVRD": 2, "EXPIRED": 3, "DELETED": 4, "UNDELIV": 5, "ACCEPTD": 6, "UNKNOWN": 7, "REJECTD": 8}

var receiptFields = []string{"id", "sub", "dlvrd", "submit date", "done date", "stat", "err", "text"}

func (f Receipt) check() error {
	if f.Form != TLVsAndText && f.Form != TLVsOnly && f.Form != TextOnly {
		return fmt.Errorf("there is no form %q of a receipt", f.Form)
	}
	for _, field := range f.Leave {
		if !slices.Contains(receiptFields, field) {
			return fmt.Errorf("a receipt has no field %q", field)
		}
	}
	return f.ID.check()
}

// early reports whether the receipts go before the answer.
func (r Report) early() bool { return r == Early }

// report makes the receipts of a segment that was taken, as far as the client wants them (SMPP 3.4 §5.2.17). The lock is held.
func (s *SMPP) report(r *Submitted, due time.Time) (made []*delivery) {
	how := s.o.Receipt
	if r.Fault.Receipt != nil {
		how = *r.Fault.Receipt
	}
	for _, state := range r.Fault.states() {
		if wanted := r.Registered & 0x03; wanted == 0 || wanted == 2 && state == delivered {
			continue
		}
		id := how.ID.write(r.id)
		if how.Stranger {
			id = how.ID.write(r.id ^ 1<<36)
		}
		made = append(made, s.add(Delivery{Kind: dlr, ID: id, State: state}, how.body(r, id, state, true), how.body(r, id, state, false), due))
	}
	return made
}

// body is the body of the deliver_sm.
func (f Receipt) body(r *Submitted, id, state string, tlvs bool) []byte {
	class := byte(0x04) // SMSC delivery receipt (SMPP 3.4 §5.2.12)
	if f.Plain {
		class = 0
	}
	text := []byte{}
	if f.Form != TLVsOnly || !tlvs {
		text = f.text(r, id, state, time.Now())
	}
	b := deliverBody(r.Dest, r.Source, class, codingGSM7, text)
	if !tlvs {
		return b
	}
	if f.Form != TextOnly {
		b = appendTLV(b, tagReceiptedID, appendText(nil, id)...)
		b = appendTLV(b, tagState, messageStates[state])
	}
	if f.Reference && r.Reference != nil {
		b = appendTLV(b, tagReference, binary.BigEndian.AppendUint16(nil, *r.Reference)...)
	}
	return b
}

// text is a receipt as appendix B of SMPP 3.4 writes it.
func (f Receipt) text(r *Submitted, id, state string, now time.Time) []byte {
	layout := "0601021504"
	if f.Seconds {
		layout = "060102150405"
	}
	code, reached := f.Err, "000"
	orDefault(&code, "000")
	if state == delivered {
		reached = "001"
	}
	values := []string{id, "001", reached, r.At.UTC().Format(layout), now.UTC().Format(layout), state, code, firstWords(r.Text)}
	var fields []string
	for i, name := range receiptFields {
		if !slices.Contains(f.Leave, name) {
			fields = append(fields, name+":"+values[i])
		}
	}
	out := []byte(strings.Join(fields, " "))
	if f.NUL {
		out = append(out, 0)
	}
	return out
}

// firstWords is what a receipt quotes: 20 characters, in ASCII.
func firstWords(text string) string {
	runes := []rune(text)
	for i, r := range runes {
		if r < ' ' || r > '~' {
			runes[i] = '?'
		}
	}
	return string(runes[:min(len(runes), 20)])
}

// deliverBody is the body of a deliver_sm (SMPP 3.4 §4.6.1).
func deliverBody(source, dest Address, class, coding byte, short []byte) []byte {
	b := appendText(nil, "")
	for _, a := range []Address{source, dest} {
		b = appendText(append(b, a.TON, a.NPI), a.Addr)
	}
	b = append(b, class, 0, 0) // protocol_id, priority_flag
	b = append(b, 0, 0)        // schedule_delivery_time and validity_period are empty
	b = append(b, 0, 0, coding, 0, byte(len(short)))
	return append(b, short...)
}
