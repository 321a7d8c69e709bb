package smpp

import (
	"encoding/binary"

	"github.com/linxGnu/gosmpp/pdu"
)

// The information elements of concatenation (3GPP TS 23.040 §9.2.3.24).
const (
	elementConcat8  = 0x00
	elementConcat16 = 0x08
)

// A concatenation says which segment of which message it is.
type concatenation struct {
	form          Concat // UDH8, UDH16 or SAR: their references are different numbers
	reference     uint16
	total, number byte
}

// valid reports whether it names one of several segments; otherwise it is to be ignored (3GPP TS 23.040 §9.2.3.24.1).
func (c concatenation) valid() bool { return c.total > 1 && c.number >= 1 && c.number <= c.total }

// octets returns the user data header.
func (c concatenation) octets() []byte {
	if c.form == UDH16 {
		return []byte{6, elementConcat16, 4, byte(c.reference >> 8), byte(c.reference), c.total, c.number}
	}
	return []byte{5, elementConcat8, 3, byte(c.reference), c.total, c.number}
}

// splitHeader takes the user data header off user data. What is no header stays in the text, where it may be seen.
func splitHeader(octets []byte) (c concatenation, text []byte) {
	if len(octets) == 0 || int(octets[0]) >= len(octets) {
		return c, octets
	}
	length := int(octets[0])
	header, text := octets[1:1+length], octets[1+length:]
	for len(header) >= 2 {
		end := 2 + int(header[1])
		if end > len(header) {
			break
		}
		if e := readConcatenation(header[0], header[2:end]); e.valid() {
			c = e // of several the last counts (3GPP TS 23.040 §9.2.3.24)
		}
		header = header[end:]
	}
	return c, text
}

func readConcatenation(element byte, v []byte) (c concatenation) {
	switch {
	case element == elementConcat8 && len(v) == 3:
		return concatenation{UDH8, uint16(v[0]), v[1], v[2]}
	case element == elementConcat16 && len(v) == 4:
		return concatenation{UDH16, binary.BigEndian.Uint16(v), v[2], v[3]}
	}
	return c
}

const udhi = 0x40 // the user data header indicator in esm_class (SMPP 3.4 §5.2.12)

// segment returns which segment a delivery is, and its text; a concatenation that is not valid says that it is a whole message.
func (d delivery) segment() (c concatenation, text []byte) {
	text = d.octets
	if d.esmClass&udhi != 0 {
		c, text = splitHeader(text)
	}
	if c.valid() {
		return c, text
	}
	c = concatenation{form: SAR, reference: uint16(d.number(pdu.TagSarMsgRefNum)), total: byte(d.number(pdu.TagSarTotalSegments)), number: byte(d.number(pdu.TagSarSegmentSeqnum))}
	return c, text
}

// number returns an optional parameter that is an integer of up to two octets; 0: it is not there.
func (d delivery) number(tag pdu.Tag) (n int) {
	v := d.tlvs[tag]
	for _, o := range v[:min(2, len(v))] {
		n = n<<8 | int(o)
	}
	return n
}
