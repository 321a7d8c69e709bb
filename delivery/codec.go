package delivery

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// The record of a message: a version byte, then every field in a fixed order. Numbers are varints, strings and octets carry their length, times
// are microseconds since the message was accepted, and 0 stands for a missing one. A new version appends; it never moves a field.
const recordVersion = 1

// ErrRecord says that octets are no record of a message.
var ErrRecord = errors.New("not a message record, or one of a newer version")

// AppendBinary appends the record of m to b. It never fails.
func (m *Message) AppendBinary(b []byte) ([]byte, error) {
	w := writer{b: append(b, recordVersion), epoch: m.Accepted}
	w.b = append(w.b, m.ID[:]...)
	w.uint(m.Rev)
	w.str(string(m.From))
	w.str(string(m.To))
	w.b = append(w.b, byte(m.Root), byte(m.SMSPolicy), byte(m.Receipts), byte(m.State), byte(m.Via), reasonCode(m.Reason))
	w.str(m.Key.Text)
	w.octets(m.Key.Correlation)
	w.str(m.Reply)
	w.uint(uint64(m.Wait / time.Microsecond))
	w.octets(m.Payload)
	w.uint(uint64(m.Accepted.UnixMicro()))
	w.time(m.Expires)
	w.str(m.Origin.Device)
	if m.Origin.Device != "" {
		w.uint(uint64(m.Origin.PacketID))
		w.b = binary.BigEndian.AppendUint64(w.b, m.Origin.Digest)
	}
	w.time(m.At)
	w.time(m.Due)
	w.uint(uint64(m.Stands))
	w.uint(uint64(m.Told))
	w.leg(m.SMS)
	w.uint(uint64(len(m.Trail)))
	for i := range m.Trail {
		w.step(&m.Trail[i])
	}
	if m.Own != "" || m.Service || m.SMS != nil {
		w.str(string(m.Own))
		w.bool(m.Service)
		if m.SMS != nil {
			w.time(m.SMS.Booked)
			w.time(m.SMS.Counted)
			w.uint(uint64(m.SMS.Digest))
		}
	}
	return w.b, nil
}

// UnmarshalBinary reads what AppendBinary wrote; m shares no memory with b.
func (m *Message) UnmarshalBinary(b []byte) error {
	if len(b) < 17 || b[0] != recordVersion {
		return ErrRecord
	}
	*m = Message{}
	copy(m.ID[:], b[1:])
	r := reader{b: b[17:]}
	m.Rev = r.uint()
	m.From = contacts.Address(r.str())
	m.To = contacts.Address(r.str())
	m.Root, m.SMSPolicy, m.Receipts = Root(r.byte()), SMSPolicy(r.byte()), Receipts(r.byte())
	m.State, m.Via, m.Reason = State(r.byte()), Via(r.byte()), r.reason()
	m.Key.Text = r.str()
	m.Key.Correlation = r.octets()
	m.Reply = r.str()
	m.Wait = time.Duration(r.uint()) * time.Microsecond
	m.Payload = r.octets()
	m.Accepted = time.UnixMicro(int64(r.uint()))
	r.epoch = m.Accepted
	m.Expires = r.time()
	if m.Origin.Device = r.str(); m.Origin.Device != "" {
		m.Origin.PacketID = uint16(r.uint())
		m.Origin.Digest = r.fixed64()
	}
	m.At, m.Due = r.time(), r.time()
	m.Stands = Position(r.uint())
	m.Told = uint16(r.uint())
	m.SMS = r.leg()
	if n := r.count(); n > 0 {
		m.Trail = make([]Step, n)
		for i := range m.Trail {
			r.step(&m.Trail[i])
		}
	}
	if len(r.b) > 0 {
		m.Own = contacts.Number(r.str())
		m.Service = r.byte() == 1
		if m.SMS != nil {
			m.SMS.Booked, m.SMS.Counted = r.time(), r.time()
			m.SMS.Digest = uint32(r.uint())
		}
	}
	if r.bad {
		return ErrRecord
	}
	return nil
}

type writer struct {
	b     []byte
	epoch time.Time
}

func (w *writer) uint(v uint64)   { w.b = binary.AppendUvarint(w.b, v) }
func (w *writer) str(s string)    { w.uint(uint64(len(s))); w.b = append(w.b, s...) }
func (w *writer) octets(o []byte) { w.uint(uint64(len(o))); w.b = append(w.b, o...) }

func (w *writer) bool(v bool) {
	if v {
		w.b = append(w.b, 1)
		return
	}
	w.b = append(w.b, 0)
}

// time writes microseconds since the epoch as zig-zag, shifted by one so that 0 is "none".
func (w *writer) time(t time.Time) {
	if t.IsZero() {
		w.uint(0)
		return
	}
	d := t.UnixMicro() - w.epoch.UnixMicro()
	w.uint(uint64(d<<1) ^ uint64(d>>63) + 1)
}

func (w *writer) money(m sms.Money) {
	w.str(m.Currency)
	if m.Currency != "" {
		w.uint(uint64(m.Micros<<1) ^ uint64(m.Micros>>63))
	}
}

func (w *writer) leg(l *Leg) {
	if l == nil {
		w.b = append(w.b, 0)
		return
	}
	w.b = append(w.b, 1)
	if l.Holding {
		w.b[len(w.b)-1] |= 2
	}
	w.uint(uint64(l.Attempts))
	w.uint(uint64(l.Claims))
	w.str(l.Gateway)
	w.str(l.Node)
	w.str(l.From)
	w.time(l.Until)
	w.b = append(w.b, reasonCode(l.Cause))
	w.money(l.Price)
	w.time(l.Submitted)
	w.uint(uint64(len(l.Segments)))
	for _, s := range l.Segments {
		w.b = append(w.b, byte(s.State))
		w.str(s.ID)
	}
}

func (w *writer) step(s *Step) {
	w.time(s.At)
	w.str(s.Step)
	if i := slices.Index(knownEvents, s.Event); i >= 0 {
		w.b = append(w.b, byte(i+1))
	} else {
		w.b = append(w.b, 0)
		w.str(s.Event)
	}
	w.str(s.Device)
	w.b = append(w.b, reasonCode(s.Reason))
	w.str(s.Evidence)
	w.money(s.Cost)
}

type reader struct {
	b     []byte
	epoch time.Time
	bad   bool
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) take() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	o := r.b[:n]
	r.b = r.b[n:]
	return o
}

func (r *reader) str() string { return string(r.take()) }

func (r *reader) octets() []byte { return append([]byte(nil), r.take()...) }

func (r *reader) fixed64() uint64 {
	if len(r.b) < 8 {
		r.bad, r.b = true, nil
		return 0
	}
	v := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

// count reads how many elements follow; each takes at least one octet.
func (r *reader) count() int {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *reader) time() time.Time {
	v := r.uint()
	if v == 0 {
		return time.Time{}
	}
	v--
	return time.UnixMicro(r.epoch.UnixMicro() + (int64(v>>1) ^ -int64(v&1)))
}

func (r *reader) money() (m sms.Money) {
	if m.Currency = r.str(); m.Currency != "" {
		v := r.uint()
		m.Micros = int64(v>>1) ^ -int64(v&1)
	}
	return m
}

func (r *reader) reason() Reason {
	i := int(r.byte())
	if i > len(Reasons) {
		r.bad = true
		return ""
	}
	return reasonOf(uint8(i))
}

func (r *reader) leg() *Leg {
	flags := r.byte()
	if flags == 0 {
		return nil
	}
	l := &Leg{Holding: flags&2 != 0}
	l.Attempts, l.Claims = int(r.uint()), int(r.uint())
	l.Gateway, l.Node, l.From = r.str(), r.str(), r.str()
	l.Until = r.time()
	l.Cause = r.reason()
	l.Price = r.money()
	l.Submitted = r.time()
	if n := r.count(); n > 0 {
		l.Segments = make([]Segment, n)
		for i := range l.Segments {
			l.Segments[i].State = SegmentState(r.byte())
			l.Segments[i].ID = r.str()
		}
	}
	return l
}

func (r *reader) step(s *Step) {
	s.At = r.time()
	s.Step = r.str()
	switch i := int(r.byte()); {
	case i == 0:
		s.Event = r.str()
	case i <= len(knownEvents):
		s.Event = knownEvents[i-1]
	default:
		r.bad = true
	}
	s.Device = r.str()
	s.Reason = r.reason()
	s.Evidence = r.str()
	s.Cost = r.money()
}

// reasonOf is the reason of a code.
func reasonOf(code uint8) Reason {
	if code == 0 {
		return ""
	}
	return Reasons[code-1].Reason
}

// reasonCode is the place of a reason in Reasons, from 1; 0 is none. Reasons are only ever appended.
func reasonCode(r Reason) byte {
	if r == "" {
		return 0
	}
	for i := range Reasons {
		if Reasons[i].Reason == r {
			return byte(i + 1)
		}
	}
	return 0
}
