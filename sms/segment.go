package sms

import (
	"errors"
	"fmt"
	"unicode/utf16"
)

// A Segment is one short message of a text: what fits one TPDU (3GPP TS 23.040 §9.2.3.24).
type Segment struct {
	Number int    // from 1
	Text   string // the part of the text in it
	Coding Coding
	Units  int // septets (GSM 7) or octets (UCS-2), without the UDH
}

// What a segment holds: 140 octets of user data; a concatenated one less the UDH of 6 octets with an 8-bit reference (3GPP TS 23.040 §9.2.3.24.1).
const (
	singleSeptets = 160
	concatSeptets = 153 // 48 bits of UDH and one of padding are 7 septets
	singleOctets  = 140
	concatOctets  = 134

	concatSeptets16 = 152 // a 16-bit reference makes the UDH 7 octets (3GPP TS 23.040 §9.2.3.24.8)
	concatOctets16  = 132 // 133 less the odd one
)

// MaxSegments is how many segments the UDH can count (3GPP TS 23.040 §9.2.3.24.1).
const MaxSegments = 255

// ErrTooLong is wrapped by the error of Split for a text that needs more than MaxSegments.
var ErrTooLong = errors.New("too long for an SMS")

// Split cuts a text into the segments that carry it, in GSM 7 when every character is in that alphabet, else in UCS-2. It cuts between
// characters: never between an escape and what it escapes, nor inside a surrogate pair. A tab becomes a space; line feed, carriage return
// and form feed stand in GSM 7 and stay. The empty text is one empty segment. The error wraps ErrNotText or ErrTooLong.
func Split(text string) ([]Segment, error) { return split(text, concatSeptets, concatOctets) }

// Split is the package's Split for a gateway: with a 16-bit reference a segment holds less.
func (a Abilities) Split(text string) ([]Segment, error) {
	if a.Reference16 {
		return split(text, concatSeptets16, concatOctets16)
	}
	return Split(text)
}

func split(text string, concatSeptets, concatOctets int) ([]Segment, error) {
	text, err := clean(text)
	if err != nil {
		return nil, err
	}
	coding, size, single, concat := GSM7, septetLen, singleSeptets, concatSeptets
	if Forcing(text) != 0 {
		coding, size, single, concat = UCS2, octetLen, singleOctets, concatOctets
	}
	total := 0
	for _, r := range text {
		total += size(r)
	}
	if total <= single {
		return []Segment{{Number: 1, Text: text, Coding: coding, Units: total}}, nil
	}
	segments := cut(text, coding, size, concat)
	if len(segments) > MaxSegments {
		return nil, fmt.Errorf("%w: it needs %d segments, one message has at most %d", ErrTooLong, len(segments), MaxSegments)
	}
	return segments, nil
}

// cut fills segment after segment with as many characters as fit.
func cut(text string, coding Coding, size func(rune) int, limit int) []Segment {
	segments := make([]Segment, 0, len(text)/limit+1)
	from, units := 0, 0
	end := func(to int) {
		segments = append(segments, Segment{Number: len(segments) + 1, Text: text[from:to], Coding: coding, Units: units})
		from, units = to, 0
	}
	for i, r := range text {
		n := size(r)
		if units+n > limit {
			end(i)
		}
		units += n
	}
	end(len(text))
	return segments
}

// octetLen returns how many octets a character takes in UCS-2.
func octetLen(r rune) int { return 2 * utf16.RuneLen(r) }
