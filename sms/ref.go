package sms

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// MarshalText writes the 32 hexadecimal digits of a Ref.
func (r Ref) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, r[:]), nil }

// UnmarshalText reads what MarshalText writes.
func (r *Ref) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(r) || len(text)%2 != 0 {
		return fmt.Errorf("a reference has %d hexadecimal digits, this has %d characters", 2*len(r), len(text))
	}
	var read Ref
	if _, err := hex.Decode(read[:], text); err != nil {
		return fmt.Errorf("a reference has %d hexadecimal digits: %w", 2*len(r), err)
	}
	*r = read
	return nil
}

// Reference folds a Ref into the 16 bits by which carriers tell messages apart, never 0: that of a segment (from 1) is its user_message_reference
// (SMPP 3.4 §5.3.2.17), that of segment 0 the reference number that all segments of the message share (3GPP TS 23.040 §9.2.3.24.1, 8 bits of it, and .8).
func (r Ref) Reference(segment int) uint16 {
	var f uint16
	for i := 0; i < len(r); i += 2 {
		f = f*31 + binary.BigEndian.Uint16(r[i:])
	}
	const last = 0xFFFF // modulo which, from 1, so that no two of the segments that there may be share one
	return uint16((int(f)+segment+last-1)%last + 1)
}
