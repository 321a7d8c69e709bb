package delivery

import (
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
)

// A line is what the deliverer knows of one user while devices are connected or messages are open: sessions, open messages, and the tail of the inbox.
// Like everything below it belongs to the deliverer's goroutine alone. There may be a great many: it is kept small.
type line struct {
	user     contacts.Address
	sessions []*session
	oldest   *ref // open messages, in the order of acceptance
	latest   *ref

	tail     []*Entry // the newest entries, while a device is connected
	tailBase int      // index of tail[0], counted from the line's beginning
	newest   Position // of what was committed to this inbox since the line began

	tailBytes int32
	queued    int32 // open messages whose SMS is due and must wait: later ones of the same sender wait for them
	notices   int32 // acknowledged since the latest Forget
	left      bool
	had       bool // a device was ready since the start
	dirty     bool // a place moved
	gone      bool
	seen      Position // acknowledged by some device
	seenKept  Position // in the store
	lost      moment
	settling  moment // until then the connection that replaced one may still be announced
	forgot    moment
	fire      moment
}

// Bounds of a tail. A device that is further behind reads the store.
const (
	maxTail      = 128
	maxTailBytes = 128 << 10
)

// A session is a device's place in the inbox, connected or remembered.
type session struct {
	line       *line
	clientID   string
	name       string // of the device, for the brake
	remembered bool
	dev        *Device // nil: not connected
	filters    filters
	counts     bool // had a filter that makes it ready: what it acknowledged counts for the user

	started  bool     // the place is known
	cursor   Position // everything up to here was pushed or passed over
	kept     Position // place in the store
	unkept   bool     // a new device: the place was never stored
	from     Position // notices up to here are for others
	behind   bool     // must read the store before the tail
	reading  bool
	page     []Entry
	pageEnd  Position
	pageLast bool
	tailMark int
	tailNext int // index in the line's tail

	out    []flight // written and not acknowledged, in order
	acked  []acked  // acknowledged, and not durably so yet
	resend map[Position]uint16
	upto   Position // resend: everything up to here was pushed before the resumption
	slot   uint16

	ready    bool
	deaf     bool
	settling time.Time
	answered Answered
	fire     time.Time
}

// An acked is a message whose acknowledgement is on its way to the store; the device's place must not pass it before.
type acked struct {
	id  ID
	pos Position
}

// A flight is a push that was written and is not acknowledged.
type flight struct {
	slot      uint16
	withdrawn bool // its message was claimed for SMS
	settled   bool // another device acknowledged it
	kind      Kind
	pos       Position
	id        ID
	m         *Message // In: as it was pushed
	at        time.Time
	wait      time.Duration
}

// A ref is an open message, as far as decisions need it. There may be a great many: it is kept small.
type ref struct {
	id         ID
	from       contacts.Address
	line       *line
	prev, next *ref
	m          *Message // nil: in the store only
	entry      *Entry   // in the line's tail
	accepted   moment
	expires    moment
	due        moment
	pushed     moment
	fire       moment
	wait       time.Duration // `after`
	tried      uint64        // bit set of the gateways, in this round
	size       uint32
	mode       Mode
	state      State
	reason     uint8 // its code
	cause      uint8 // code of the reason why it becomes an SMS
	number     bool  // its recipient is one
	busy       bool  // a proposal is on its way
	loading    bool
	wanted     bool
	held       bool
	released   bool // a claim was: due is when the next attempt may be
	behind     bool // an earlier message of the same sender goes first
	acked      bool // by a device; that is on its way to the store
	gone       bool
	anew       bool // the limits were changed: what waits because of one is decided again
}

// question is what Decide must know of the message.
func (d *deliverer) question(r *ref) Question {
	return Question{
		Mode: r.mode, Number: r.number, State: r.state, Accepted: d.clock.time(r.accepted), Expires: d.clock.time(r.expires), Reason: reasonOf(r.reason), Wait: r.wait,
	}
}

func (l *line) link(r *ref) {
	r.prev, r.next = l.latest, nil
	for r.prev != nil && r.prev.id.Position() > r.id.Position() { // recovered behind what came in meanwhile
		r.next = r.prev
		r.prev = r.prev.prev
	}
	if r.prev != nil {
		r.prev.next = r
	} else {
		l.oldest = r
	}
	if r.next != nil {
		r.next.prev = r
	} else {
		l.latest = r
	}
}

func (l *line) unlink(r *ref) {
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		l.oldest = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	} else {
		l.latest = r.prev
	}
}

// keep appends an entry to the tail while somebody is there to get it.
func (l *line) keep(e *Entry) bool {
	l.newest = max(l.newest, e.Position)
	connected := false
	for _, s := range l.sessions {
		connected = connected || s.dev != nil
	}
	if !connected {
		return false
	}
	l.tail = append(l.tail, e)
	l.tailBytes += e.bytes()
	return true
}

// leave ends what an open message knows of an entry that is in no tail.
func (e *Entry) leave() {
	if e.open != nil {
		e.open.entry, e.open = nil, nil
	}
}

func (e *Entry) bytes() int32 {
	n := len(e.Body) + 64
	if e.Message != nil {
		n += len(e.Message.Payload)
	}
	return int32(n)
}

// trim drops what every session has passed, and what is too much.
func (l *line) trim() {
	end := l.tailBase + len(l.tail)
	need := end
	for _, s := range l.sessions {
		if s.dev != nil {
			need = min(need, s.needs(end))
		}
	}
	n := 0
	for n < len(l.tail) && (l.tailBase+n < need || len(l.tail)-n > maxTail || l.tailBytes > maxTailBytes) {
		l.tailBytes -= l.tail[n].bytes()
		l.tail[n].leave()
		l.tail[n] = nil
		n++
	}
	if n == 0 {
		return
	}
	l.tailBase += n
	if l.tail = l.tail[n:]; len(l.tail) == 0 {
		l.tail = nil
	}
}

// needs returns the index of the first tail entry that the session may still want.
func (s *session) needs(end int) int {
	switch {
	case s.reading || s.behind && len(s.page) > 0 || s.pageLast:
		return s.tailMark
	case s.behind || !s.started:
		return end
	}
	return s.tailNext
}

// place is the position up to which the device has everything, durably: just before the oldest push that it may still acknowledge, or whose
// acknowledgement is not stored yet.
func (s *session) place() Position {
	place := s.cursor
	for i := range s.out {
		if f := &s.out[i]; !f.withdrawn {
			place = min(place, f.pos-1)
			break
		}
	}
	for i := range s.acked {
		place = min(place, s.acked[i].pos-1)
	}
	return place
}

// stored notes that the acknowledgement of a message is durable, or that there is nothing to store.
func (s *session) stored(id ID) {
	for i := range s.acked {
		if s.acked[i].id == id {
			s.acked = append(s.acked[:i], s.acked[i+1:]...)
			return
		}
	}
}

// take removes the flight under a slot.
func (s *session) take(slot uint16) (flight, bool) {
	for i := range s.out {
		if s.out[i].slot == slot {
			f := s.out[i]
			copy(s.out[i:], s.out[i+1:])
			s.out[len(s.out)-1] = flight{}
			s.out = s.out[:len(s.out)-1]
			return f, true
		}
	}
	return flight{}, false
}

// Slots are ours from here to 0xFFFF; below are those that the server itself may use.
const firstSlot = 0x8000

// nextSlot returns a packet identifier that is not in use.
func (s *session) nextSlot() uint16 {
	for {
		if s.slot++; s.slot < firstSlot {
			s.slot = firstSlot
		}
		if !s.inUse(s.slot) {
			return s.slot
		}
	}
}

func (s *session) inUse(slot uint16) bool {
	for i := range s.out {
		if s.out[i].slot == slot {
			return true
		}
	}
	for _, used := range s.resend {
		if used == slot {
			return true
		}
	}
	return false
}

// deadline is when the oldest unanswered push has waited long enough; zero: none is.
func (s *session) deadline() (at time.Time) {
	for i := range s.out {
		f := &s.out[i]
		if f.withdrawn {
			continue
		}
		if d := f.at.Add(f.wait); at.IsZero() || d.Before(at) {
			at = d
		}
	}
	return at
}

// disconnect keeps what a resumed session needs: which packet identifiers stand for which entries.
func (s *session) disconnect() {
	s.upto = max(s.upto, s.cursor) // what a resumption had not sent again yet stays to be sent
	place := s.place()
	for i := range s.out {
		if f := &s.out[i]; !f.withdrawn {
			if s.resend == nil {
				s.resend = map[Position]uint16{}
			}
			s.resend[f.pos] = f.slot
		}
	}
	s.cursor = place
	s.dev, s.filters, s.out = nil, filters{}, nil
	s.page, s.pageEnd, s.pageLast, s.reading, s.deaf, s.ready = nil, 0, false, false, false, false
	s.behind = true
}

// fits reports whether the device takes a message of about this size.
func (s *session) fits(size uint32) bool {
	return s.dev == nil || s.dev.c.MaxPacket == 0 || size+packetOverhead <= s.dev.c.MaxPacket
}

// packetOverhead is what a PUBLISH has beyond topic and payload, at most: fixed header, packet identifier, properties.
const packetOverhead = 224

// ready reports whether a device that takes messages of this size is ready.
func (l *line) ready(size uint32) bool {
	for _, s := range l.sessions {
		if s.ready && s.fits(size) {
			return true
		}
	}
	return false
}

func (l *line) session(clientID string) *session {
	for _, s := range l.sessions {
		if s.clientID == clientID {
			return s
		}
	}
	return nil
}

func (l *line) drop(s *session) {
	for i := range l.sessions {
		if l.sessions[i] == s {
			l.sessions = append(l.sessions[:i], l.sessions[i+1:]...)
			return
		}
	}
}
