package badger

import (
	"encoding/binary"

	"github.com/seed-7a41469f/godwit/delivery"
)

// The index record of a group lists its new messages in their order, 14 octets each: enough for an id and to tell most of those that a query does
// not select. It makes lists and retention work by time, and costs one record a group instead of one a message.

// A listing is a message in an index record.
type listing struct {
	id   delivery.ID
	from uint64 // bucket of the sender
}

// appendListing appends a message whose position follows previous; the first one's is counted from the key's.
func appendListing(b []byte, l listing, previous delivery.Position) []byte {
	b = binary.AppendUvarint(b, uint64(l.id.Position()-previous))
	b = append(b, l.id[8:]...)
	b = append(b, byte(l.from>>32))
	return binary.BigEndian.AppendUint32(b, uint32(l.from))
}

// indexPosition returns the position in the key of an index record.
func indexPosition(key []byte) delivery.Position {
	return delivery.Position(binary.BigEndian.Uint64(key[1:]))
}

// parseIndex reads an index record: the last position of its group and the messages.
func parseIndex(key, val []byte) (last delivery.Position, found []listing, err error) {
	if len(key) < 9 {
		return 0, nil, errRecord(key)
	}
	at := indexPosition(key)
	r := reader{b: val}
	last = delivery.Position(r.uint64())
	for len(r.b) > 0 {
		at += delivery.Position(r.uvarint())
		var l listing
		binary.BigEndian.PutUint64(l.id[:], uint64(at))
		copy(l.id[8:], r.take(8))
		if bucket := r.take(bucketLen); bucket != nil {
			l.from = uint64(bucket[0])<<32 | uint64(binary.BigEndian.Uint32(bucket[1:]))
		}
		found = append(found, l)
	}
	if r.bad {
		return 0, nil, errRecord(key)
	}
	return last, found, nil
}
