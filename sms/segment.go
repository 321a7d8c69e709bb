package sms

// A Segment is one short message of a text: what fits one TPDU (3GPP TS 23.040 §9.2.3.24).
type Segment struct {
	Number int    // from 1
	Text   string // the part of the text in it
	Coding Coding
	Units  int // septets (GSM 7) or octets (UCS-2), without the UDH
}

// A Coding is the alphabet of a segment (3GPP TS 23.038 §4).
type Coding uint8

// The codings.
const (
	GSM7 Coding = iota
	UCS2
)
