package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// Config is what an Engine is made of. Zero values mean the documented defaults.
type Config struct {
	Store     Store               // required
	Directory *contacts.Directory // required
	SMS       sms.Gateway         // nil: no SMS is possible (gateway_down)
	Ledger    sms.Ledger          // nil: Store, when it is one
	Log       zerolog.Logger

	Originator  string            // own number (or a name of up to 11 characters) that SMS are sent from
	Numbers     []contacts.Number // our own numbers, to which answers come
	MaxSegments int               // 6

	AckTimeout   time.Duration // 15 s
	AfterMax     time.Duration // 10 min
	OfflineGrace time.Duration // 10 s
	RestartGrace time.Duration // 60 s; negative: none
	StormHold    time.Duration // 2 min
	Window       int           // pushes a device may have unacknowledged, 32
	Inbox        int           // open messages a recipient, 10,000
	InboxAge     time.Duration // 30 d
	History      time.Duration // 30 d; negative: only until seen
	Notices      int           // 1,000
}

// An Engine carries the decisions out.
type Engine struct{ cfg Config }

// New returns an Engine that does nothing until Run. What is wrong with cfg is told by Run, and by Check at once.
func New(cfg Config) *Engine { return &Engine{cfg: cfg} }

// Directory returns the Directory of the Config.
func (e *Engine) Directory() *contacts.Directory { return e.cfg.Directory }

// Check returns what is wrong with the Config, naming the field.
func (e *Engine) Check() error { return nil }

// Run works until ctx is done, then finishes what is under way: everything accepted is durable and told when it returns.
func (e *Engine) Run(ctx context.Context) error { panic("soon") }

// Recovered is closed once every open message of the store is known again; messages are accepted and pushed before.
func (e *Engine) Recovered() <-chan struct{} { panic("soon") }

// ErrStopped says that the engine takes nothing more.
var ErrStopped = errors.New("the broker is stopping")

// An Acceptor is told what became of a Publish, exactly once, in the order of the calls for one recipient lane, from a goroutine of the engine that
// it must not hold up. err nil: m is durable (m.ID is set). *Known: an earlier message stands for it, acknowledge as that one. Anything else: it was not stored.
type Acceptor interface {
	Accepted(m *Message, err error)
}

// Publish hands over a message that passed Validate; m belongs to the engine from then on. It sets Accepted, Expires (when zero) and the rest of the
// state. A name that nobody added, and a full inbox, are no errors: the message is accepted, and fails (no_such_name, inbox_full).
func (e *Engine) Publish(m *Message, p Publication, a Acceptor) { panic("soon") }

// A Publication is what the engine must know of a publish beyond the message. The zero value is for what comes without a device.
type Publication struct {
	Device *Device // the connection that it came by; nil: none
	Dup    bool
}

// Send is Publish for callers that wait for the answer.
func (e *Engine) Send(ctx context.Context, m *Message) (*Message, error) { panic("soon") }

// An Order is what a sender, a recipient or an operator may ask for a message on its way.
type Order uint8

// The orders.
const (
	SMSNow  Order = iota + 1 // skip the wait
	HoldApp                  // never as an SMS
	Cancel
	Acknowledge // by the recipient, over HTTP
	Retry       // an operator sends a failed message again, under its key
)

// ErrTooLate says that the message can no longer take an order.
var ErrTooLate = errors.New("too late for this message")

// Do gives an order and returns the message as it is after it, durable; ErrNotFound, ErrTooLate.
func (e *Engine) Do(ctx context.Context, id ID, o Order) (*Message, error) { panic("soon") }

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
type Device struct{}

// Connect announces a connection. A Resumed one gets its unacknowledged pushes again, under their slots.
func (e *Engine) Connect(c Connection) *Device { panic("soon") }

// Subscribe tells all inbox filters of the device that are in force now, after the SUBACK (or the CONNACK of a resumed session) was written.
func (d *Device) Subscribe(filters []contacts.Filter) { panic("soon") }

// Ack tells that the device acknowledged a push; ok false: with a reason code of 0x80 or more.
func (d *Device) Ack(slot uint16, ok bool) { panic("soon") }

// Held tells for how long the broker did not read from the device: its pushes get that much longer to be answered.
func (d *Device) Held(t time.Duration) { panic("soon") }

// Gone ends the connection. Calls for one that a newer connection of the same device replaced are harmless.
func (d *Device) Gone(l Loss) { panic("soon") }

// A Loss says how a connection ended.
type Loss uint8

// The ways.
const (
	Lost      Loss = iota + 1 // link, keepalive, DISCONNECT 0x04, closed by us
	LeftClean                 // DISCONNECT 0x00
	Replaced                  // taken over by a new connection of the same device
)

// Forgotten tells that the session of a remembered device ended (expired, clean start, retired): it has no place any more.
func (e *Engine) Forgotten(user contacts.Address, clientID string) { panic("soon") }
