package smpp

import (
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"github.com/seed-7a41469f/godwit/sms"
)

// decode reads a text by its data_coding (SMPP 3.4 §5.2.19). It never fails.
func decode(octets []byte, coding byte) string {
	switch {
	case coding == 0x00:
		return sms.Decode(octets, sms.GSM7)
	case coding == 0x01, coding == 0x03: // IA5 is the half of Latin-1 that the others agree on
		return charset(octets, charmap.ISO8859_1)
	case coding == 0x06:
		return charset(octets, charmap.ISO8859_5)
	case coding == 0x07:
		return charset(octets, charmap.ISO8859_8)
	case coding == 0x08:
		return sms.Decode(octets, sms.UCS2)
	case coding&0xF0 == 0x10: // a message class, with the alphabet in bits 3 and 2 (3GPP TS 23.038 §4)
		return decode(octets, []byte{0x00, 0x04, 0x08, 0x04}[coding>>2&3])
	case coding&0xF0 == 0xF0: // a message class, with the alphabet in bit 2
		return decode(octets, coding&0x04)
	}
	return show(octets)
}

func charset(octets []byte, m *charmap.Charmap) string {
	var b strings.Builder
	for _, o := range octets {
		b.WriteRune(m.DecodeByte(o))
	}
	return b.String()
}

// show returns octets of which nobody says what they are: as text where they are one, else in hexadecimal.
func show(octets []byte) string {
	text := string(octets)
	if utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' }) {
		return text
	}
	return hex.EncodeToString(octets)
}
