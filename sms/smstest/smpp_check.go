package smstest

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
)

// A checker collects what is wrong with a submit_sm.
type checker struct {
	r        *Submitted
	payload  bool
	problems []problem
}

func (c *checker) add(status uint32, format string, args ...any) {
	c.problems = append(c.problems, problem{status, fmt.Sprintf(format, args...)})
}

// parameters reads the optional parameters that mean something here; others are ignored (SMPP 3.4 §3.3).
func (c *checker) parameters(tlvs map[uint16][]byte) {
	r := c.r
	number := func(tag uint16, size int) (n int) {
		v := tlvs[tag]
		if len(v) != size {
			c.add(statusParLen, "optional parameter 0x%04x has %d octets, want %d", tag, len(v), size)
			return 0
		}
		for _, o := range v {
			n = n<<8 | int(o)
		}
		return n
	}
	r.Segment, r.Total = 1, 1
	if _, ok := tlvs[tagReference]; ok {
		v := uint16(number(tagReference, 2))
		r.Reference = &v
	}
	sar := 0
	for _, tag := range []uint16{tagSARReference, tagSARTotal, tagSARSegment} {
		if _, ok := tlvs[tag]; ok {
			sar++
		}
	}
	if sar == 3 {
		c.concat(SAR, number(tagSARReference, 2), number(tagSARTotal, 1), number(tagSARSegment, 1))
	} else if sar > 0 {
		c.add(statusMissing, "of the three sar_ parameters %d are there", sar)
	}
	if payload, ok := tlvs[tagPayload]; ok {
		if len(r.Raw) > 0 {
			c.add(statusMsgLen, "both short_message and message_payload have something in them")
		}
		if r.Raw, c.payload = payload, true; r.Concat == Single {
			r.Concat = Payload
		}
	}
}

// concat has the segment be one of several.
func (c *checker) concat(how Concat, ref, total, segment int) {
	if c.r.Concat != Single && c.r.Concat != Payload {
		c.add(statusOptValue, "the segment is numbered twice, as %s and as %s", c.r.Concat, how)
	}
	if segment < 1 || segment > total {
		c.add(statusOptValue, "%s: there is no segment %d of %d", how, segment, total)
		segment, total = 1, 1
	}
	c.r.Concat, c.r.Ref, c.r.Segment, c.r.Total = how, uint16(ref), segment, total
}

// header takes the UDH off (3GPP TS 23.040 §9.2.3.24).
func (c *checker) header() {
	r := c.r
	if r.ESMClass&esmUDHI == 0 {
		return
	}
	if len(r.Raw) == 0 || int(r.Raw[0])+1 > len(r.Raw) {
		c.add(statusESMClass, "esm_class announces a UDH, but there is no whole one")
		return
	}
	n := int(r.Raw[0]) + 1
	r.UDH, r.Raw = r.Raw[:n], r.Raw[n:]
	for rest := r.UDH[1:]; len(rest) > 0; {
		if len(rest) < 2 || 2+int(rest[1]) > len(rest) {
			c.add(statusESMClass, "the UDH ends inside an information element")
			return
		}
		id, data := rest[0], rest[2:2+int(rest[1])]
		rest = rest[2+len(data):]
		switch {
		case id == 0x00 && len(data) == 3:
			c.concat(UDH8, int(data[0]), int(data[1]), int(data[2]))
		case id == 0x08 && len(data) == 4:
			c.concat(UDH16, int(binary.BigEndian.Uint16(data)), int(data[2]), int(data[3]))
		case id == 0x00 || id == 0x08:
			c.add(statusESMClass, "the information element 0x%02x of the UDH has %d octets", id, len(data))
		}
	}
}

// all checks the fields, in the order of the standard.
func (c *checker) all() {
	r := c.r
	c.source()
	c.dest()
	if kind := r.ESMClass & 0x3C; kind != 0 && kind != 0x08 && kind != 0x10 {
		c.add(statusESMClass, "esm_class 0x%02x is no type of message that an ESME submits (§5.2.12)", r.ESMClass)
	}
	if r.Priority > 3 {
		c.add(statusPriority, "priority_flag is %d, want 0 to 3 (§5.2.14)", r.Priority)
	}
	if err := checkTime(r.Schedule); err != nil {
		c.add(statusSchedule, "schedule_delivery_time: %v", err)
	}
	if err := checkTime(r.Validity); err != nil {
		c.add(statusValidity, "validity_period: %v", err)
	}
	if r.Registered&0x03 == 3 || r.Registered&0xE0 != 0 {
		c.add(statusRegistered, "registered_delivery 0x%02x has reserved bits (§5.2.17)", r.Registered)
	}
	c.size()
	c.seam()
}

// source checks the originator (SMPP 3.4 §5.2.5, 3GPP TS 23.040 §9.1.2.5).
func (c *checker) source() {
	a := c.r.Source
	switch {
	case a.TON > 6:
		c.add(statusSourceTON, "source_addr_ton %d is reserved", a.TON)
	case a.TON == 5:
		if a.NPI != 0 {
			c.add(statusSourceNPI, "source_addr_npi %d: a name has no numbering plan, want 0", a.NPI)
		}
		if a.Addr == "" || len(a.Addr) > 11 {
			c.add(statusSource, "source_addr: a name has 1 to 11 characters, this has %d", len(a.Addr))
		}
	case a.Addr != "":
		c.number("source_addr", a, statusSource, statusSourceNPI)
	}
}

// dest checks the recipient.
func (c *checker) dest() {
	switch a := c.r.Dest; {
	case a.TON > 6 || a.TON == 5:
		c.add(statusDestTON, "dest_addr_ton %d is no type of a number", a.TON)
	default:
		c.number("destination_addr", a, statusDest, statusDestNPI)
	}
}

// number checks digits and how they are to be read.
func (c *checker) number(field string, a Address, invalid, invalidNPI uint32) {
	masked := contacts.Number(a.Addr).Mask()
	switch {
	case a.Addr == "" || strings.Trim(a.Addr, "0123456789") != "":
		c.add(invalid, "%s %q is not all digits", field, masked)
	case a.TON == 1 && (len(a.Addr) < 7 || len(a.Addr) > 15 || a.Addr[0] == '0'):
		c.add(invalid, "%s %q is no international number (E.164), but its TON says so", field, masked)
	case a.TON == 3 && len(a.Addr) > 8:
		c.add(invalid, "%s %q is too long for a short code, but its TON says so", field, masked)
	}
	if a.NPI > 1 {
		c.add(invalidNPI, "%s: NPI %d is not E.164", field, a.NPI)
	}
	if a.TON == 1 && a.NPI != 1 {
		c.add(invalidNPI, "%s: NPI %d, but an international number has 1", field, a.NPI)
	}
}

// size checks that the segment fits a TPDU of 140 octets (3GPP TS 23.040 §9.2.3.24.1); what is in message_payload the SMSC cuts itself.
func (c *checker) size() {
	r := c.r
	if !c.payload && len(r.UDH)+len(r.Raw) > 254 {
		c.add(statusMsgLen, "sm_length is %d, at most 254 are allowed (§5.2.21)", len(r.UDH)+len(r.Raw))
	}
	if c.payload && r.Concat == Payload {
		return
	}
	header := len(r.UDH)
	if r.Concat == SAR {
		header = 6 // that the SMSC makes
	}
	bits, room := len(r.Raw)*8, (140-header)*8
	if alphabet(r.DataCoding) == codingGSM7 {
		bits = len(r.Raw) * 7
	}
	if bits > room {
		c.add(statusMsgLen, "the segment has %d octets of text and %d of UDH: more than a TPDU holds in data_coding %d", len(r.Raw), header, r.DataCoding)
	}
}

// seam checks that the text is whole characters.
func (c *checker) seam() {
	raw := c.r.Raw
	switch alphabet(c.r.DataCoding) {
	case codingGSM7:
		for _, septet := range raw {
			if septet > 0x7F {
				c.add(statusMsgLen, "0x%02x is no septet, but data_coding is %d", septet, c.r.DataCoding)
				break
			}
		}
		if len(raw) > 0 && raw[len(raw)-1] == 0x1B {
			c.add(0, "the segment ends with an escape")
		}
	case codingUCS2:
		if len(raw)%2 != 0 {
			c.add(statusMsgLen, "UCS-2 with %d octets, an odd number", len(raw))
		} else if len(raw) > 0 && raw[len(raw)-2]&0xFC == 0xD8 {
			c.add(0, "the segment ends inside a surrogate pair")
		}
	}
}

// checkTime returns what is wrong with a time, YYMMDDhhmmsstnnp (SMPP 3.4 §7.1.1); the empty one is none.
func checkTime(s string) error {
	if s == "" {
		return nil
	}
	if len(s) != 16 || strings.Trim(s[:15], "0123456789") != "" || !strings.Contains("+-R", s[15:]) {
		return fmt.Errorf("%q is not YYMMDDhhmmsstnnp", s)
	}
	if s[15] == 'R' {
		if s[12:15] != "000" {
			return fmt.Errorf("%q is relative, and so has no tenths and no quarters", s)
		}
		for i, most := range []string{"99", "12", "31", "23", "59", "59"} {
			if s[2*i:2*i+2] > most {
				return fmt.Errorf("%q: the digits %s are too large", s, s[2*i:2*i+2])
			}
		}
		return nil
	}
	at, err := time.Parse("060102150405", s[:12])
	if err != nil || s[13:15] > "48" {
		return fmt.Errorf("%q is no date", s)
	}
	offset := time.Duration(int(s[13]-'0')*10+int(s[14]-'0')) * 15 * time.Minute
	if s[15] == '+' {
		offset = -offset // the local time is ahead of UTC
	}
	if at.Add(offset).Before(time.Now().Add(-time.Minute)) {
		return fmt.Errorf("%q is over", s)
	}
	return nil
}
