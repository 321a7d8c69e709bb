package loadgen

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
)

// A Stamp is what a message says about itself.
type Stamp struct {
	Run    uint32 // so that messages left over from an earlier run are told apart
	Sender uint32
	Seq    uint64
	At     int64 // nanoseconds on the run's clock: when it was due
}

// StampSize is the length of an encoded Stamp: text, so that the message could go out as an SMS.
const StampSize = 2 * stampBytes

const stampBytes = 24

// Put writes the stamp to the front of a payload.
func (s Stamp) Put(payload []byte) {
	var b [stampBytes]byte
	binary.BigEndian.PutUint32(b[0:], s.Run)
	binary.BigEndian.PutUint32(b[4:], s.Sender)
	binary.BigEndian.PutUint64(b[8:], s.Seq)
	binary.BigEndian.PutUint64(b[16:], uint64(s.At))
	hex.Encode(payload, b[:])
}

// ReadStamp reads what Put wrote; false when the payload does not start with a stamp.
func ReadStamp(payload []byte) (Stamp, bool) {
	var b [stampBytes]byte
	if len(payload) < StampSize {
		return Stamp{}, false
	}
	if _, err := hex.Decode(b[:], payload[:StampSize]); err != nil {
		return Stamp{}, false
	}
	return Stamp{
		Run:    binary.BigEndian.Uint32(b[0:]),
		Sender: binary.BigEndian.Uint32(b[4:]),
		Seq:    binary.BigEndian.Uint64(b[8:]),
		At:     int64(binary.BigEndian.Uint64(b[16:])),
	}, true
}

const pad = "the quick brown fox jumps over the lazy dog; "

// newPayload returns a payload of size bytes whose front is left to a stamp.
func newPayload(size int) []byte {
	return bytes.Repeat([]byte(pad), size/len(pad)+1)[:size]
}
