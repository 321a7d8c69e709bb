package hooks

import (
	"encoding/binary"
	"time"

	"github.com/seed-7a41469f/godwit/delivery"
)

// First bytes of the packets that we write ourselves (MQTT 5 §2.1.2).
const (
	typePublish    byte = 0x30
	typePuback     byte = 0x40
	typePubrec     byte = 0x50
	typeDisconnect byte = 0xE0
)

// Identifiers of properties (MQTT 5 §2.2.2.2).
const (
	propMessageExpiry          byte = 0x02
	propCorrelationData        byte = 0x09
	propSubscriptionIdentifier byte = 0x0B
	propUser                   byte = 0x26
)

const (
	userID        = "id"
	userAt        = "at"
	userVia       = "via"
	userInReplyTo = "in_reply_to"

	ulid       = 26 // characters of an id
	timeFormat = "2006-01-02T15:04:05.000Z07:00"
	timeLength = len("2006-01-02T15:04:05.000Z")
)

func userSize(key string, value int) int { return 1 + 2 + len(key) + 2 + value }

func appendString(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

func appendUser(b []byte, key, value string) []byte {
	return appendString(appendString(append(b, propUser), key), value)
}

// appendLength appends a Variable Byte Integer (MQTT 5 §1.5.5).
func appendLength(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

func lengthSize(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// A dialect is what a client told in its CONNECT about the packets that it takes.
type dialect struct {
	version     byte
	window      uint16 // its Receive Maximum; 0: none
	maxPacket   uint32 // its Maximum Packet Size; 0: none
	problemInfo bool   // user properties and reason strings are welcome in acknowledgements (MQTT 5 §3.1.2.11.7)
}

func (d dialect) fits(size int) bool { return d.maxPacket == 0 || uint32(size) <= d.maxPacket }

// appendAck appends a PUBACK or PUBREC. On 3.1.1 it has no reason code: a refusal looks like success (MQTT 3.1.1 §3.4).
func (d dialect) appendAck(b []byte, typ byte, packetID uint16, code byte, id delivery.ID) []byte {
	const long = 2 + 4 + 1 + 2 + len(userID) + 2 + ulid
	hi, lo := byte(packetID>>8), byte(packetID)
	switch {
	case d.version < 5 || code == 0 && (id.IsZero() || !d.problemInfo || !d.fits(long)):
		return append(b, typ, 2, hi, lo)
	case code != 0:
		return append(b, typ, 3, hi, lo, code) // without properties the length may be left out (MQTT 5 §3.4.2.2.1)
	}
	props := userSize(userID, ulid)
	b = append(b, typ, byte(4+props), hi, lo, code, byte(props))
	return appendUser(b, userID, id.String())
}

// The property length may be left out (MQTT 5 §3.14.2.2.1), but some clients do not read a DISCONNECT without it.
func appendDisconnect(b []byte, code byte) []byte { return append(b, typeDisconnect, 2, code, 0) }

// appendPush appends the PUBLISH of a push; ok false: it is larger than the client takes, and nothing was appended.
func (d dialect) appendPush(b []byte, p *delivery.Push, now time.Time) (out []byte, ok bool) {
	head, size := typePublish, 2+len(p.Topic)+len(p.Payload)
	if p.Slot != 0 {
		head |= 1 << 1
		size += 2
	}
	if p.Dup {
		head |= 1 << 3
	}
	needed, wanted := 0, 0
	if d.version >= 5 {
		needed, wanted = neededSize(p), wantedSize(p)
	}
	all := func(props int) int {
		if d.version >= 5 {
			props += lengthSize(props)
		}
		return size + props
	}
	frame := func(props int) int { return 1 + lengthSize(all(props)) + all(props) }
	if !d.fits(frame(needed + wanted)) {
		wanted = 0
		if !d.fits(frame(needed)) {
			return b, false
		}
	}
	b = appendLength(append(b, head), all(needed+wanted))
	b = appendString(b, p.Topic)
	if p.Slot != 0 {
		b = binary.BigEndian.AppendUint16(b, p.Slot)
	}
	if d.version >= 5 {
		b = appendLength(b, needed+wanted)
		b = appendNeeded(b, p, now)
		if wanted > 0 {
			b = appendWanted(b, p)
		}
	}
	return append(b, p.Payload...), true
}

// neededSize counts the properties that a push is not sent without.
func neededSize(p *delivery.Push) (n int) {
	if !p.Expires.IsZero() {
		n += 1 + 4
	}
	if len(p.Tag) > 0 {
		n += 1 + 2 + len(p.Tag)
	}
	for _, id := range p.Identifiers {
		n += 1 + lengthSize(int(id))
	}
	return n
}

func appendNeeded(b []byte, p *delivery.Push, now time.Time) []byte {
	if !p.Expires.IsZero() {
		b = append(b, propMessageExpiry)
		b = binary.BigEndian.AppendUint32(b, secondsLeft(p.Expires, now))
	}
	if len(p.Tag) > 0 {
		b = append(b, propCorrelationData)
		b = binary.BigEndian.AppendUint16(b, uint16(len(p.Tag)))
		b = append(b, p.Tag...)
	}
	for _, id := range p.Identifiers {
		b = appendLength(append(b, propSubscriptionIdentifier), int(id))
	}
	return b
}

// secondsLeft is the Message Expiry Interval: what is left of it, rounded up so that it is never 0.
func secondsLeft(expires, now time.Time) uint32 {
	left := (expires.Sub(now) + time.Second - 1) / time.Second
	return uint32(min(max(left, 1), 1<<32-1))
}

// wantedSize counts the properties that are left out when the packet would be too large for the client.
func wantedSize(p *delivery.Push) (n int) {
	if !p.ID.IsZero() {
		n += userSize(userID, ulid)
	}
	if !p.At.IsZero() {
		n += userSize(userAt, timeLength)
	}
	if p.Via != "" {
		n += userSize(userVia, len(p.Via))
	}
	if !p.InReplyTo.IsZero() {
		n += userSize(userInReplyTo, ulid)
	}
	return n
}

func appendWanted(b []byte, p *delivery.Push) []byte {
	if !p.ID.IsZero() {
		b = appendUser(b, userID, p.ID.String())
	}
	if !p.At.IsZero() {
		b = appendString(append(b, propUser), userAt)
		b = binary.BigEndian.AppendUint16(b, uint16(timeLength))
		b = p.At.UTC().AppendFormat(b, timeFormat)
	}
	if p.Via != "" {
		b = appendUser(b, userVia, p.Via)
	}
	if !p.InReplyTo.IsZero() {
		b = appendUser(b, userInReplyTo, p.InReplyTo.String())
	}
	return b
}
