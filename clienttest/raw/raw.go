// Package raw speaks MQTT 3.1.1 and 5 packet by packet, with as little between the caller and the socket as possible: packets are
// appended to the caller's buffer, many to a write, and read in batches without an allocation each. It is for load generators, fault
// loops and broken clients in tests, which must never be the bottleneck and must be able to say exactly what went over the wire; it
// keeps no session, answers nothing by itself and starts no goroutine. Phones use the client package.
package raw

import "encoding/binary"

// The two protocol levels that a Connect can announce.
const (
	V311 byte = 4
	V5   byte = 5
)

// Control packet types (MQTT 5 §2.1.2).
const (
	CONNECT    byte = 1
	CONNACK    byte = 2
	PUBLISH    byte = 3
	PUBACK     byte = 4
	SUBSCRIBE  byte = 8
	SUBACK     byte = 9
	PINGREQ    byte = 12
	PINGRESP   byte = 13
	DISCONNECT byte = 14
)

// Properties that this package writes or looks for (MQTT 5 §2.2.2.2).
const (
	propSessionExpiry  = 0x11
	propReceiveMaximum = 0x21
	propUserProperty   = 0x26
)

func appendVarint(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}
