package delivery

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/seed-7a41469f/godwit/contacts"
)

// An ID names a message. It is a ULID: 48 bits of time in milliseconds and 16 bits that count within one make its Position, 40 bits are a
// hash of the recipient, so that a store finds the message by its id alone, and 24 are random.
type ID [16]byte

// A Position orders what stands in a user's inbox; it grows with every commit.
type Position uint64

// ErrID says that a string is no message id.
var ErrID = errors.New("not a message id: 26 characters of Crockford's base 32 are")

// NewID returns the id of a message to a recipient that is accepted at a position.
func NewID(at Position, to contacts.Address) (id ID) {
	var tail [8]byte
	binary.BigEndian.PutUint64(tail[:], Bucket(to))
	binary.BigEndian.PutUint64(id[:8], uint64(at))
	copy(id[8:13], tail[3:])
	rand.Read(id[13:])
	return id
}

// Bucket is the 40-bit hash of a user that message ids carry. Two users may share one.
func Bucket(user contacts.Address) uint64 { return xxhash.Sum64String(string(user)) >> 24 }

// Position returns the position at which the message was accepted.
func (id ID) Position() Position { return Position(binary.BigEndian.Uint64(id[:8])) }

// Bucket returns the Bucket of the recipient.
func (id ID) Bucket() uint64 {
	return uint64(id[8])<<32 | uint64(binary.BigEndian.Uint32(id[9:13]))
}

// Time returns when the message was accepted, to the millisecond.
func (id ID) Time() time.Time { return id.Position().Time() }

// IsZero reports whether id is not set.
func (id ID) IsZero() bool { return id == ID{} }

// Time returns the time in a position, to the millisecond.
func (p Position) Time() time.Time { return time.UnixMilli(int64(p >> 16)) }

// After returns the first position of a moment, or the next one when that has passed: positions never go back, whatever the clock does.
func (p Position) After(now time.Time) Position {
	if at := Position(now.UnixMilli()) << 16; at > p {
		return at
	}
	return p + 1
}

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// String returns the 26 characters of the ULID.
func (id ID) String() string {
	var b [26]byte
	hi, lo := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	for i := 25; i >= 0; i-- {
		b[i] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return string(b[:])
}

// ParseID reads what String writes; lower case is forgiven.
func ParseID(s string) (id ID, err error) {
	if len(s) != 26 || s[0] > '7' {
		return id, ErrID
	}
	var hi, lo uint64
	for i := range 26 {
		v := digit(s[i])
		if v > 31 {
			return ID{}, ErrID
		}
		hi = hi<<5 | lo>>59
		lo = lo<<5 | uint64(v)
	}
	binary.BigEndian.PutUint64(id[:8], hi)
	binary.BigEndian.PutUint64(id[8:], lo)
	return id, nil
}

func digit(c byte) byte {
	if c >= 'a' && c <= 'z' {
		c -= 'a' - 'A'
	}
	for i := range len(crockford) {
		if crockford[i] == c {
			return byte(i)
		}
	}
	return 255
}
