package badger

import (
	"crypto/sha256"
	"encoding/binary"

	bdg "github.com/dgraph-io/badger/v4"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/store/internal/rule"
)

// The key spaces. Integers are big-endian, so that keys sort by position.
const (
	prefixMessage  = 'm' // bucket position random: a message, which is also its first inbox entry
	prefixNotice   = 'n' // bucket position: what one group told one user; the position is that of the last notice
	prefixKey      = 'k' // KeyID: id of the message that a sender's key names
	prefixIndex    = 'g' // position: the new messages of one group, for lists and retention; carries the group's last position
	prefixTick     = 's' // the last position of a group without new messages
	prefixSeen     = 'p' // user 0 device: how far a device has seen the inbox
	prefixFloor    = 'f' // user: what was forgotten
	prefixAgeFloor = 'F' // what is too old for any inbox
	prefixMeet     = 'd' // gateway, its message id, side: what submitter or reporter knows
	prefixTalk     = 'c' // peer 0 own number: whose conversation it is
	prefixCounter  = 'b' // key: what a counter stands at
	prefixTable    = 't' // key: a row of the contacts.Table
)

// Flags of a message record, in badger's user meta, which is read without the value.
const (
	flagOpen   = 1 << iota // not settled
	flagOrigin             // may have to answer a DUP
)

const (
	bucketLen  = 5
	messageLen = 1 + bucketLen + 8 + 3
	noticeLen  = 1 + bucketLen + 8
	indexLen   = 1 + 8
)

func appendBucket(b []byte, prefix byte, bucket uint64) []byte {
	b = append(b, prefix, byte(bucket>>32))
	return binary.BigEndian.AppendUint32(b, uint32(bucket))
}

func appendMessageKey(b []byte, id delivery.ID) []byte {
	b = append(b, prefixMessage)
	b = append(b, id[8:13]...)
	b = append(b, id[:8]...)
	return append(b, id[13:]...)
}

// messageID is the inverse of appendMessageKey.
func messageID(key []byte) (id delivery.ID) {
	copy(id[8:13], key[1:])
	copy(id[:8], key[1+bucketLen:])
	copy(id[13:], key[1+bucketLen+8:])
	return id
}

func appendPosition(b []byte, at delivery.Position) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(at))
}

// keyPosition returns the position in the key of a message or a notice record.
func keyPosition(key []byte) delivery.Position {
	return delivery.Position(binary.BigEndian.Uint64(key[1+bucketLen:]))
}

func appendSeenPrefix(b []byte, user contacts.Address) []byte {
	b = append(b, prefixSeen)
	b = append(b, user...)
	return append(b, 0)
}

// appendSeenKey hashes the device, since a client id may be longer than a key.
func appendSeenKey(b []byte, user contacts.Address, device string) []byte {
	sum := sha256.Sum256([]byte(device))
	return append(appendSeenPrefix(b, user), sum[:16]...)
}

func appendFloorKey(b []byte, user contacts.Address) []byte {
	return append(append(b, prefixFloor), user...)
}

func appendKeyKey(b []byte, id rule.KeyID) []byte { return append(append(b, prefixKey), id[:]...) }

// position reads a record that is nothing but a position, 0 when there is none.
func position(txn *bdg.Txn, key []byte) (at delivery.Position, err error) {
	err = get(txn, key, func(_ *bdg.Item, val []byte) error {
		if len(val) < 8 {
			return errRecord(key)
		}
		at = delivery.Position(binary.BigEndian.Uint64(val))
		return nil
	})
	return at, err
}

func (s *Store) position(key []byte) (at delivery.Position, err error) {
	err = s.view(func(txn *bdg.Txn) error {
		at, err = position(txn, key)
		return err
	})
	return at, err
}
