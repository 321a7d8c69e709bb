package sms

import (
	"encoding/binary"
	"unicode/utf16"
)

// encodeUCS2 returns big-endian UTF-16, which is what phones read UCS-2 as (3GPP TS 23.038 §6.2.3).
func encodeUCS2(text string) []byte {
	out := make([]byte, 0, 2*len(text))
	for _, r := range text {
		if hi, lo := utf16.EncodeRune(r); utf16.RuneLen(r) == 2 {
			out = binary.BigEndian.AppendUint16(out, uint16(hi))
			out = binary.BigEndian.AppendUint16(out, uint16(lo))
			continue
		}
		out = binary.BigEndian.AppendUint16(out, uint16(r))
	}
	return out
}

// decodeUCS2 never fails: a lone surrogate and half a unit at the end show as U+FFFD.
func decodeUCS2(in []byte) string {
	units := make([]uint16, 0, len(in)/2+1)
	for len(in) >= 2 {
		units = append(units, binary.BigEndian.Uint16(in))
		in = in[2:]
	}
	if len(in) == 1 {
		units = append(units, '\uFFFD')
	}
	return string(utf16.Decode(units))
}
