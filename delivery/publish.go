package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
)

// ErrStopped says that the engine takes nothing more.
var ErrStopped = errors.New("the broker is stopping")

// An Acceptor is told what became of a Publish, exactly once, in the order of the calls for one recipient lane, from a goroutine of the engine that
// it must not hold up. err nil: m is durable (m.ID is set). *Known: an earlier message stands for it, acknowledge as that one. Anything else: it was not stored.
type Acceptor interface {
	Accepted(m *Message, err error)
}

// A Publication is what the engine must know of a publish beyond the message. The zero value is for what comes without a device.
type Publication struct {
	Device *Device // the connection that it came by; nil: none
	Dup    bool
}

// Publish hands over a message; m belongs to the engine from then on. It sets Accepted, Expires (when zero) and the rest of the state, and clamps Wait. A
// name that nobody added, and a full inbox, are no errors: the message is accepted, and fails (no_such_name, inbox_full). It returns at once, except
// for a DUP that comes while messages of the time before the start are still being read: only afterwards it is known whether it is one of them.
func (e *Engine) Publish(m *Message, p Publication, a Acceptor) {
	if p.Dup && m.Origin.Device != "" {
		select {
		case <-e.recovered:
		case <-e.ctx.Done():
		}
	}
	if !e.lane.propose(e.publish(m, p, a, time.Now())) {
		a.Accepted(m, ErrStopped)
	}
}

func (e *Engine) publish(m *Message, pub Publication, a Acceptor, now time.Time) *proposal {
	s := e.now()
	now = now.Truncate(time.Microsecond)
	if end := now.Add(s.InboxAge); m.Expires.IsZero() || m.Expires.After(end) {
		m.Expires = end
	}
	if m.Wait > 0 {
		m.Wait = min(max(m.Wait, time.Second), s.AfterMax)
	}
	fail := Reason("")
	if _, number := m.To.Number(); !number && m.To != Unmatched && !e.cfg.Directory.Exists(m.To) {
		fail = NoSuchName
	}
	fx := m.Accept(now, fail)
	p := &proposal{acceptor: a, change: Change{Message: m, Limit: s.Inbox}, enters: fx.Enters}
	if len(fx.Tell) > 0 && e.subscribed(m.From) {
		p.change.Entries = m.receipts(fx.Tell, now)
	}
	device := ""
	if d := pub.Device; d != nil {
		device = d.c.ClientID
		if m.Origin.Device != "" {
			p.from = sender{device: d.key, connection: d.connection, dup: pub.Dup}
		}
	}
	if m.Root != RootMO && m.From != m.To && e.inboxes.others(m.From, device) {
		p.change.Entries = append(p.change.Entries, Entry{User: m.From, Kind: Sent, Peer: m.To, At: now, Except: device})
	}
	return p
}

// answer is an Acceptor that somebody waits for.
type answer chan error

func (a answer) Accepted(_ *Message, err error) { a <- err }

// Send is Publish for callers that wait for the answer. It returns the message as it was accepted, or *Known.
func (e *Engine) Send(ctx context.Context, m *Message) (*Message, error) {
	a := make(answer, 1)
	e.Publish(m, Publication{}, a)
	select {
	case err := <-a:
		return m, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// An Order is what a sender, a recipient or an operator may ask for a message on its way.
type Order uint8

// The orders.
const (
	SMSNow  Order = iota + 1 // skip the wait
	HoldApp                  // never as an SMS
	Cancel
	Acknowledge // by the recipient, over HTTP
	RetryFailed // an operator sends a failed message again, under its key
)

// ErrTooLate says that the message can no longer take an order.
var ErrTooLate = errors.New("too late for this message")

// A Link is a device's connection as the engine sees it. Its methods are called from one goroutine and must not block.
type Link interface {
	// Push appends a message to the connection's outgoing buffer; false when the buffer is full, and then nothing was appended. What p points to stays valid.
	Push(p *Push) bool
	// Flush tells that what was pushed should be written now.
	Flush()
	// Drop closes the connection, for instance because its token was revoked.
	Drop(cause error)
}

// ErrRevoked is a cause of Link.Drop.
var ErrRevoked = errors.New("the token was revoked")

// A Push is a PUBLISH towards a device.
type Push struct {
	Slot        uint16 // the packet identifier, 0x8000 to 0xFFFF; 0: QoS 0, nothing comes back
	Dup         bool   // sent before in this session
	Topic       string
	Payload     []byte
	ID          ID
	At          time.Time
	Via         string // "push" or "sms"; empty: not told
	Tag         []byte // Correlation Data
	InReplyTo   ID
	Expires     time.Time // zero: none
	Identifiers []uint32  // Subscription Identifiers of the filters that match
}

// A Connection is a device that has connected: after CONNECT was accepted, before its inbox is looked at.
type Connection struct {
	User       contacts.Address
	ClientID   string
	Token      string // id of the token that it logged in with; empty: none
	Version    byte   // MQTT protocol version
	Remembered bool   // persistent session: keeps its place
	Resumed    bool   // CONNACK said session present
	Window     int    // its Receive Maximum; 0: 65,535
	MaxPacket  uint32 // its Maximum Packet Size; 0: none
	Link       Link
}

// A Device is a connection of a user.
type Device struct {
	e          *Engine
	c          Connection
	key        uint64 // hash of user and client id
	connection uint32 // counts the connections of the device
	window     int
	s          *session // the deliverer's
}

// Connect announces a connection. A Resumed one gets its unacknowledged pushes again, under their slots.
func (e *Engine) Connect(c Connection) *Device {
	d := &Device{e: e, c: c, key: deviceKey(c.User, c.ClientID), window: e.now().Window}
	if c.Window > 0 {
		d.window = min(d.window, c.Window)
	}
	d.connection = e.origins.connected(d.key)
	e.dlv.post(event{kind: evConnect, dev: d})
	return d
}

// Subscribe tells all inbox filters of the device that are in force now, after the SUBACK (or the CONNACK of a resumed session) was written.
func (d *Device) Subscribe(filters []contacts.Filter) {
	d.e.dlv.post(event{kind: evSubscribe, dev: d, filters: append([]contacts.Filter(nil), filters...)})
}

// Ack tells that the device acknowledged a push; ok false: with a reason code of 0x80 or more.
func (d *Device) Ack(slot uint16, ok bool) {
	d.e.dlv.post(event{kind: evAck, dev: d, slot: slot, ok: ok})
}

// Held tells for how long the broker did not read from the device: its pushes get that much longer to be answered.
func (d *Device) Held(t time.Duration) { d.e.dlv.post(event{kind: evHeld, dev: d, held: t}) }

// Gone ends the connection. Calls for one that a newer connection of the same device replaced are harmless.
func (d *Device) Gone(l Loss) { d.e.dlv.post(event{kind: evGone, dev: d, loss: l}) }

// A Loss says how a connection ended.
type Loss uint8

// The ways.
const (
	Lost      Loss = iota + 1 // link, keepalive, DISCONNECT 0x04, closed by us
	LeftClean                 // DISCONNECT 0x00
	Replaced                  // taken over by a new connection of the same device
)

// Forgotten tells that the session of a remembered device ended (expired, clean start, retired): it has no place any more.
func (e *Engine) Forgotten(user contacts.Address, clientID string) {
	e.dlv.call(func(now time.Time) {
		if l := e.dlv.lines[user]; l != nil {
			if s := l.session(clientID); s != nil && s.dev == nil {
				l.drop(s)
				e.dlv.retireSoon(l, now)
			} else if s != nil {
				return // it is back already, with a session of its own
			}
		}
		e.inboxes.remove(user, clientID)
		e.lane.propose(&proposal{change: Change{Seen: []Seen{{User: user, Device: clientID, Forget: true}}}})
	})
}

// forgetSeen drops notices that all devices of a user have seen.
func (e *Engine) forgetSeen(user contacts.Address) {
	e.read(func() func(time.Time) {
		places, err := e.cfg.Store.Seen(e.ctx, user)
		if err == nil {
			err = e.cfg.Store.Forget(e.ctx, user, e.floor(user, places))
		}
		return func(time.Time) {
			if err != nil && e.ctx.Err() == nil {
				e.log.Error().Err(err).Msg("seen notices cannot be dropped; tried again later")
			}
		}
	})
}

// floor is the position that all remembered devices of a user have passed.
func (e *Engine) floor(user contacts.Address, places map[string]Position) Position {
	floor := places[""]
	if u, ok := e.cfg.Directory.User(user); ok {
		for _, d := range u.Devices {
			floor = min(floor, places[d.ClientID])
		}
	}
	return floor
}
