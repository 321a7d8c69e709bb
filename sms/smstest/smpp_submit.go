package smstest

import (
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/seed-7a41469f/godwit/sms"
)

// A Submitted is a submit_sm that the server read (SMPP 3.4 §4.4.1).
type Submitted struct {
	ID       string `json:"id,omitempty"` // as the response has it; empty: it was not taken
	Conn     int    `json:"conn"`         // Session.ID of the connection by which it came
	Sequence uint32 `json:"sequence"`
	Taken    bool   `json:"taken"`
	Status   uint32 `json:"status,omitempty"` // command_status of the answer, if there was to be one

	ServiceType string  `json:"service_type,omitempty"`
	Source      Address `json:"source"`
	Dest        Address `json:"dest"`
	ESMClass    byte    `json:"esm_class"`
	ProtocolID  byte    `json:"protocol_id,omitempty"`
	Priority    byte    `json:"priority_flag,omitempty"`
	Schedule    string  `json:"schedule_delivery_time,omitempty"`
	Validity    string  `json:"validity_period,omitempty"`
	Registered  byte    `json:"registered_delivery"`
	DataCoding  byte    `json:"data_coding"`
	Reference   *uint16 `json:"user_message_reference,omitempty"`

	Concat  Concat `json:"concat,omitempty"` // how the message is one of several segments; empty: it is not
	Ref     uint16 `json:"ref,omitempty"`    // that all segments share
	Segment int    `json:"segment"`          // from 1
	Total   int    `json:"total"`

	Text string    `json:"text"`          // of this segment
	UDH  []byte    `json:"udh,omitempty"` // with its length octet
	Raw  []byte    `json:"raw"`           // short_message or message_payload without the UDH
	At   time.Time `json:"at"`

	Fault SMPPFault `json:"fault"` // that it met

	id uint64
}

// An Address is a number or name with its type of number and numbering plan indicator (SMPP 3.4 §5.2.5, §5.2.6).
type Address struct {
	TON  byte   `json:"ton"`
	NPI  byte   `json:"npi"`
	Addr string `json:"addr"`
}

// A Concat is a way to make one message of several segments.
type Concat string

// The ways.
const (
	Single  Concat = ""        // it is one segment; for an MO: as UDH8 when it needs several
	UDH8    Concat = "udh8"    // 8-bit reference in the UDH (3GPP TS 23.040 §9.2.3.24.1)
	UDH16   Concat = "udh16"   // 16-bit reference in the UDH (3GPP TS 23.040 §9.2.3.24.8)
	SAR     Concat = "sar"     // sar_msg_ref_num, sar_total_segments, sar_segment_seqnum (SMPP 3.4 §5.3.2.22 to 24)
	Payload Concat = "payload" // message_payload has all of it (SMPP 3.4 §5.3.2.32)
)

const esmUDHI = 0x40 // SMPP 3.4 §5.2.12

// readSubmit reads the body of a submit_sm and returns what is wrong with it.
func readSubmit(body []byte) (r Submitted, problems []problem) {
	in := &reader{rest: body}
	address := func(field string) Address {
		return Address{in.octet(field + "_addr_ton"), in.octet(field + "_addr_npi"), in.text(field+"_addr", 21)}
	}
	r.ServiceType = in.text("service_type", 6)
	r.Source, r.Dest = address("source"), address("dest")
	r.ESMClass, r.ProtocolID, r.Priority = in.octet("esm_class"), in.octet("protocol_id"), in.octet("priority_flag")
	r.Schedule, r.Validity = in.text("schedule_delivery_time", 17), in.text("validity_period", 17)
	r.Registered = in.octet("registered_delivery")
	replace := in.octet("replace_if_present_flag")
	r.DataCoding = in.octet("data_coding")
	in.octet("sm_default_msg_id")
	r.Raw = in.octets("short_message", int(in.octet("sm_length")))
	tlvs := in.optional()
	if bad := in.end(); bad != nil {
		return r, []problem{*bad}
	}
	c := &checker{r: &r}
	if replace > 1 {
		c.add(statusSystem, "replace_if_present_flag is %d, want 0 or 1", replace)
	}
	c.parameters(tlvs)
	c.header()
	c.all()
	r.Text = decode(r.Raw, r.DataCoding)
	return r, c.problems
}

// alphabets of data_coding (SMPP 3.4 §5.2.19).
const (
	codingGSM7   = 0
	codingASCII  = 1
	codingLatin1 = 3
	codingUCS2   = 8
)

// alphabet is the data_coding of which a message class has been taken away (3GPP TS 23.038 §4).
func alphabet(coding byte) byte {
	switch {
	case coding&0xF0 == 0xF0:
		return coding & 0x04 // 8-bit data, or the default alphabet
	case coding&0xD0 == 0x10:
		return coding & 0x0C
	}
	return coding
}

// decode reads a text in its data_coding; what is no text becomes hexadecimal digits.
func decode(octets []byte, coding byte) string {
	switch alphabet(coding) {
	case codingGSM7:
		return sms.Decode(octets, sms.GSM7)
	case codingUCS2:
		return sms.Decode(octets, sms.UCS2)
	case codingASCII, codingLatin1:
		runes := make([]rune, len(octets))
		for i, o := range octets {
			runes[i] = rune(o)
		}
		return string(runes)
	}
	return hex.EncodeToString(octets)
}

// submit answers a submit_sm.
func (x *session) submit(p pdu) {
	s := x.s
	r, problems := readSubmit(p.body)
	r.Conn, r.Sequence, r.At = x.ID, p.sequence, time.Now()
	s.change(func() {
		x.Submits++
		x.Open++
		x.Most = max(x.Most, x.Open)
		r.Status = x.refusal(&r, problems)
		if r.Status == 0 {
			r.Fault = s.fault(r)
			r.Status = r.Fault.Status
			if r.Fault.takes() {
				s.take(&r)
			}
		}
		s.log = append(s.log, r)
	})
	x.answer(r)
}

// refusal returns the command_status of a submit that is not taken whatever the faults are; 0: it is. The lock is held.
func (x *session) refusal(r *Submitted, problems []problem) (status uint32) {
	s := x.s
	if status = x.mayRequest(cmdSubmit); status != 0 {
		return status
	}
	for _, p := range problems {
		s.violation(x.ID, "submit_sm %d: %s", r.Sequence, p.text)
		if status == 0 {
			status = p.status
		}
	}
	switch {
	case status != 0:
		return status
	case s.o.Window > 0 && x.Open > s.o.Window:
		return s.o.WindowStatus
	case s.limit != nil && !s.limit.Allow():
		return statusThrottled
	}
	return 0
}

// take gives a segment its id. The lock is held.
func (s *SMPP) take(r *Submitted) {
	r.Taken, r.id = true, s.nextID
	r.ID = s.o.ResponseID.write(r.id)
	s.nextID++
	s.taken++
	s.join(r)
}

// A group is what came of a concatenated message.
type group struct {
	total  int
	coding byte
	reg    byte
	seen   [4]uint64 // of segment numbers 0 to 255
	left   int
}

// join writes down when a segment does not fit those of its message that came before: a phone would show nonsense. The lock is held.
func (s *SMPP) join(r *Submitted) {
	if r.Total < 2 {
		return
	}
	key := r.Source.Addr + "\x00" + r.Dest.Addr + "\x00" + string(r.Concat) + string(binary.BigEndian.AppendUint32(nil, uint32(r.Ref)<<16|uint32(uint16(r.Conn))))
	g, known := s.groups[key]
	if !known {
		g = group{total: r.Total, coding: r.DataCoding, reg: r.Registered, left: r.Total}
	}
	if g.total != r.Total || g.coding != r.DataCoding || g.reg != r.Registered {
		s.violation(r.Conn, "submit_sm %d: segment %d of %d with reference %d, data_coding %d and registered_delivery %d does not belong to those before it, of %d, %d and %d",
			r.Sequence, r.Segment, r.Total, r.Ref, r.DataCoding, r.Registered, g.total, g.coding, g.reg)
	}
	if bit := uint64(1) << (r.Segment % 64); g.seen[r.Segment/64]&bit == 0 {
		g.seen[r.Segment/64] |= bit
		g.left--
	}
	if s.groups[key] = g; g.left <= 0 {
		delete(s.groups, key) // the next message may have the same reference
	}
}
