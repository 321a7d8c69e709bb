package badger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	bdg "github.com/dgraph-io/badger/v4"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// errRecord says that a stored record cannot be read. Only the key space is named: the rest of a key may be an address.
func errRecord(key []byte) error {
	return fmt.Errorf("the store has a damaged record (key space %q)", key[:1])
}

// get calls fn with a record; nothing when there is none.
func get(txn *bdg.Txn, key []byte, fn func(item *bdg.Item, val []byte) error) error {
	item, err := txn.Get(key)
	if errors.Is(err, bdg.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return item.Value(func(val []byte) error { return fn(item, val) })
}

// A message record is the distance from the revision that it was made from (0: it is new), and the message as it encodes itself, less what the key
// says: without its id, and with revision and standing counted from the id's position. Each octet is written to disk several times.

const idLen = len(delivery.ID{})

func appendMessage(b []byte, m *delivery.Message, prev uint64) []byte {
	var distance uint64
	if prev != 0 {
		distance = m.Rev - prev
	}
	b = binary.AppendUvarint(b, distance)
	start, rev, stands := len(b), m.Rev, m.Stands
	m.Rev, m.Stands = rev-uint64(m.ID.Position()), stands-m.ID.Position()
	b, _ = m.AppendBinary(b) // a version, the id, the rest
	m.Rev, m.Stands = rev, stands
	n := copy(b[start+1:], b[start+1+idLen:])
	return b[:start+1+n]
}

// parseMessage reads the record of a message and the revision that it was made from.
func parseMessage(id delivery.ID, val []byte) (m *delivery.Message, prev uint64, err error) {
	distance, n := binary.Uvarint(val)
	if n <= 0 || n == len(val) {
		return nil, 0, errRecord([]byte{prefixMessage})
	}
	whole := records.Get().(*[]byte)
	defer records.Put(whole)
	*whole = append(append(append((*whole)[:0], val[n]), id[:]...), val[n+1:]...)
	m = new(delivery.Message)
	if err := m.UnmarshalBinary(*whole); err != nil {
		return nil, 0, err
	}
	m.Rev += uint64(id.Position())
	m.Stands += id.Position()
	if distance != 0 {
		prev = m.Rev - distance
	}
	return m, prev, nil
}

var records = sync.Pool{New: func() any { return new([]byte) }}

// message reads a message; ErrNotFound when there is none.
func message(txn *bdg.Txn, id delivery.ID) (m *delivery.Message, prev uint64, err error) {
	var buf [messageLen]byte
	err = get(txn, appendMessageKey(buf[:0], id), func(_ *bdg.Item, val []byte) error {
		m, prev, err = parseMessage(id, val)
		return err
	})
	if err == nil && m == nil {
		err = delivery.ErrNotFound
	}
	return m, prev, err
}

// A notice record is the user, whom others of the bucket must not see, the first position, and the notices.

func appendNoticeHead(b []byte, user contacts.Address, first delivery.Position) []byte {
	return appendPosition(appendString(b, string(user)), first)
}

// appendNotice appends an entry of a record that begins at first.
func appendNotice(b []byte, e *delivery.Entry, id delivery.ID, first delivery.Position) []byte {
	b = binary.AppendUvarint(b, uint64(e.Position-first))
	b = append(b, byte(e.Kind))
	b = append(b, id[:]...)
	b = appendString(b, string(e.Peer))
	b = binary.AppendVarint(b, e.At.UnixMicro())
	b = appendString(b, e.Topic)
	b = appendString(b, e.Body)
	b = appendString(b, e.Tag)
	return appendString(b, e.Except)
}

func appendString[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// noticeUser returns whose a notice record is.
func noticeUser(val []byte) contacts.Address {
	r := reader{b: val}
	return contacts.Address(r.octets())
}

// parseNotices reads a notice record; the entries share no memory with it.
func parseNotices(val []byte) (entries []delivery.Entry, err error) {
	r := reader{b: val}
	user, first := contacts.Address(r.octets()), delivery.Position(r.uint64())
	for len(r.b) > 0 {
		e := delivery.Entry{User: user}
		e.Position = first + delivery.Position(r.uvarint())
		e.Kind = delivery.Kind(r.byte())
		copy(e.ID[:], r.take(uint64(len(e.ID))))
		e.Peer = contacts.Address(r.octets())
		e.At = time.UnixMicro(r.varint())
		e.Topic = string(r.octets())
		e.Body, e.Tag = r.copied(), r.copied()
		e.Except = string(r.octets())
		entries = append(entries, e)
	}
	if r.bad || user == "" {
		return nil, errRecord([]byte{prefixNotice})
	}
	return entries, nil
}

// A reader takes fields off octets; bad once there were too few.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n uint64) (b []byte) {
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return nil
	}
	b, r.b = r.b[:n], r.b[n:]
	return b
}

func (r *reader) octets() []byte { return r.take(r.uvarint()) }

func (r *reader) copied() []byte {
	b := r.octets()
	if len(b) == 0 {
		return nil
	}
	return append([]byte(nil), b...)
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	r.skip(n)
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	r.skip(n)
	return v
}

// skip drops the n octets of a varint; none or fewer means that it was none.
func (r *reader) skip(n int) {
	if n <= 0 {
		r.b, r.bad = nil, true
		return
	}
	r.b = r.b[n:]
}
