package sms

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// A Coding is the alphabet of a segment (3GPP TS 23.038 §4).
type Coding uint8

// The codings.
const (
	GSM7 Coding = iota
	UCS2
)

func (c Coding) String() string {
	if c == UCS2 {
		return "UCS-2"
	}
	return "GSM 7"
}

// ErrNotText is wrapped by the error of Split and Encode for what cannot be an SMS: invalid UTF-8, or a control character other
// than line feed, carriage return, form feed and tab.
var ErrNotText = errors.New("not a text that an SMS can carry")

// Encode returns the octets of a text: unpacked septets, one an octet, for GSM 7 (Pack packs them), big-endian UTF-16 for UCS-2.
// A tab goes as a space.
func Encode(text string, c Coding) ([]byte, error) {
	text, err := clean(text)
	if err != nil {
		return nil, err
	}
	if c == UCS2 {
		return encodeUCS2(text), nil
	}
	out, ok := encodeGSM7(text)
	if !ok {
		return nil, fmt.Errorf("%w: %U is not in the GSM 7 bit default alphabet, use UCS-2", ErrNotText, Forcing(text))
	}
	return out, nil
}

// Decode reads the octets of a text, in the form that Encode writes, and never fails: what cannot be read shows as a space or U+FFFD,
// and the rest stands.
func Decode(octets []byte, c Coding) string {
	if c == UCS2 {
		return decodeUCS2(octets)
	}
	return decodeGSM7(octets)
}

// Forcing returns the first character of a text that GSM 7 does not have, and that so makes the whole text UCS-2; 0: there is none.
func Forcing(text string) rune {
	for _, r := range text {
		if septetLen(r) == 0 && r != '\t' {
			return r
		}
	}
	return 0
}

// clean returns the text as an SMS shows it. No alphabet of SMS has a tab, and UCS-2 for the sake of one would halve the segments: a space.
func clean(text string) (string, error) {
	if !utf8.ValidString(text) {
		return "", fmt.Errorf("%w: it is not valid UTF-8", ErrNotText)
	}
	for i, r := range text {
		if control(r) {
			return "", fmt.Errorf("%w: control character %U at octet %d", ErrNotText, r, i)
		}
	}
	return strings.ReplaceAll(text, "\t", " "), nil
}

// control reports whether r is a control character (Unicode: Cc) that a phone would not show as intended.
func control(r rune) bool {
	switch r {
	case '\n', '\r', '\f', '\t':
		return false
	}
	return r < ' ' || r >= 0x7F && r <= 0x9F
}
