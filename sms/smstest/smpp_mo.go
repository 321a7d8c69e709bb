package smstest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf16"

	"github.com/seed-7a41469f/godwit/sms"
)

// An MO is a text that a phone sends to one of our own numbers.
type MO struct {
	From, To Address
	Text     string
	Coding   byte   // data_coding: 0 GSM 7, 3 Latin-1, 8 UCS-2; 0 becomes 8 for a text that GSM 7 does not have
	Concat   Concat // Single: one deliver_sm when it fits, else UDH8
	Ref      uint16 // of its segments; 0: the next
	Parts    []int  // which segments are sent, in this order, from 1: may repeat some and leave some out; nil: all in their order
	Size     int    // octets of a segment, which may cut inside a character; 0: as many whole characters as it holds
}

// Phone is the address of an international number.
func Phone(digits string) Address { return Address{TON: 1, NPI: 1, Addr: digits} }

// MO has a phone send a text. It returns when the client has answered each deliver_sm for the first time, with the command_status of each in the order of
// m.Parts. What was not taken is sent again after Retry, and what was not answered after Response or on the next connection, until it is: see Deliveries and Quiet.
func (s *SMPP) MO(ctx context.Context, m MO) ([]uint32, error) {
	sent, err := s.send(m)
	if err != nil {
		return nil, err
	}
	answered := func(d *delivery) bool { return len(d.Answers) > 0 }
	err = s.await(ctx, func() bool { return !slices.ContainsFunc(sent, func(d *delivery) bool { return !answered(d) }) })
	var statuses []uint32
	s.look(func() {
		for _, d := range sent {
			if answered(d) {
				statuses = append(statuses, d.Answers[0])
			}
		}
	})
	if err != nil {
		return statuses, fmt.Errorf("%d of %d deliver_sm were answered: %w", len(statuses), len(sent), err)
	}
	return statuses, nil
}

// Send is MO without waiting. It returns the id that the deliveries have.
func (s *SMPP) Send(m MO) (id string, err error) {
	sent, err := s.send(m)
	if err != nil || len(sent) == 0 {
		return "", err
	}
	return sent[0].ID, nil
}

func (s *SMPP) send(m MO) (sent []*delivery, err error) {
	if m.Coding == codingGSM7 && sms.Forcing(m.Text) != 0 {
		m.Coding = codingUCS2
	}
	if m.Ref == 0 {
		s.change(func() {
			s.references = s.references%255 + 1
			m.Ref = s.references
		})
	}
	bodies, err := m.bodies()
	if err != nil {
		return nil, err
	}
	order := m.Parts
	if order == nil {
		for i := range bodies {
			order = append(order, i+1)
		}
	}
	for _, part := range order {
		if part < 1 || part > len(bodies) {
			return nil, fmt.Errorf("smstest: the MO has no segment %d of %d", part, len(bodies))
		}
	}
	s.change(func() {
		now, id := time.Now(), "mo"+strconv.Itoa(len(s.deliveries)+1)
		for _, part := range order {
			sent = append(sent, s.add(Delivery{Kind: mo, ID: id, Part: part}, bodies[part-1], bodies[part-1], now))
		}
	})
	return sent, nil
}

// bodies are the deliver_sm of all segments.
func (m MO) bodies() ([][]byte, error) {
	header, how := 0, m.Concat
	switch how {
	case UDH8, SAR:
		header = 6
	case UDH16:
		header = 7
	case Single, Payload:
	default:
		return nil, fmt.Errorf("smstest: there is no way %q to send several segments", how)
	}
	segments, err := m.cut(header)
	if err != nil {
		return nil, err
	}
	if how == Single && len(segments) > 1 {
		how = UDH8
		if segments, err = m.cut(6); err != nil {
			return nil, err
		}
	}
	if len(segments) > 255 {
		return nil, fmt.Errorf("smstest: the MO has %d segments", len(segments))
	}
	bodies := make([][]byte, len(segments))
	for i, octets := range segments {
		bodies[i] = m.body(how, octets, byte(i+1), byte(len(segments)))
	}
	return bodies, nil
}

func (m MO) body(how Concat, octets []byte, segment, total byte) []byte {
	hi, lo := byte(m.Ref>>8), byte(m.Ref)
	switch how {
	case UDH8:
		return deliverBody(m.From, m.To, esmUDHI, m.Coding, append([]byte{5, 0x00, 3, lo, total, segment}, octets...))
	case UDH16:
		return deliverBody(m.From, m.To, esmUDHI, m.Coding, append([]byte{6, 0x08, 4, hi, lo, total, segment}, octets...))
	case SAR:
		b := deliverBody(m.From, m.To, 0, m.Coding, octets)
		b = appendTLV(b, tagSARReference, hi, lo)
		b = appendTLV(b, tagSARTotal, total)
		return appendTLV(b, tagSARSegment, segment)
	case Payload:
		return appendTLV(deliverBody(m.From, m.To, 0, m.Coding, nil), tagPayload, octets...)
	}
	return deliverBody(m.From, m.To, 0, m.Coding, octets)
}

// cut returns the octets of the segments beside a UDH.
func (m MO) cut(header int) (segments [][]byte, err error) {
	room := 140 - header
	switch alphabet(m.Coding) {
	case codingGSM7:
		room = (140 - header) * 8 / 7
	case codingUCS2:
		room &^= 1
	}
	if m.Concat == Payload {
		room = 64<<10 - 1
	}
	if m.Size > 0 {
		room = m.Size
	}
	segment := []byte{}
	for _, r := range m.Text {
		octets, err := encode(r, m.Coding)
		if err != nil {
			return nil, err
		}
		if m.Size == 0 && len(segment)+len(octets) > room {
			segments, segment = append(segments, segment), nil
		}
		for segment = append(segment, octets...); m.Size > 0 && len(segment) > room; segment = segment[room:] {
			segments = append(segments, segment[:room:room])
		}
	}
	return append(segments, segment), nil
}

// encode writes a character in a data_coding.
func encode(r rune, coding byte) ([]byte, error) {
	switch alphabet(coding) {
	case codingGSM7:
		return sms.Encode(string(r), sms.GSM7)
	case codingUCS2:
		var b []byte
		for _, unit := range utf16.Encode([]rune{r}) {
			b = append(b, byte(unit>>8), byte(unit))
		}
		return b, nil
	case codingLatin1:
		if r <= 0xFF {
			return []byte{byte(r)}, nil
		}
	}
	return nil, fmt.Errorf("smstest: %U is not in the alphabet of data_coding %d", r, coding)
}
