package delivery

import (
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// A Message is what one sender wants one recipient to get, and what has become of it: one record, one revision.
type Message struct {
	ID  ID
	Rev uint64 // 0: not stored yet

	// What was asked. It never changes.
	From, To  contacts.Address
	Root      Root
	SMSPolicy SMSPolicy
	Key       Key
	Reply     string        // Response Topic of the receipts, empty: u/<from>/receipt/<key or id>; RootMO: the id of the message that it answers
	Wait      time.Duration // `after`: how long to wait for an acknowledgement; 0: push.ack_timeout
	Receipts  Receipts
	Payload   []byte
	Accepted  time.Time
	Expires   time.Time
	Origin    Origin
	Own       contacts.Number // RootMO: our number that the peer wrote to
	Service   bool            // written by the broker itself: it passes budgets and caps, but neither opt-outs nor the template

	// What has become of it.
	State  State
	Reason Reason
	Via    Via
	At     time.Time // of the latest change
	Due    time.Time // when to look at it again, at the latest; a hint. Zero: settled
	Stands Position  // of the entry that stands for it in the recipient's inbox
	Told   uint16    // bit set of the receipt states that the sender was told
	SMS    *Leg      // nil: never claimed
	Trail  []Step
}

// A Key is the sender's own key of a message. Both empty: none.
type Key struct {
	Text        string // from the topic: 1 to 64 of A-Za-z0-9._-
	Correlation []byte // MQTT 5 Correlation Data, up to 64 octets, compared as it is
}

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k.Text == "" && len(k.Correlation) == 0 }

// An Origin is the PUBLISH that brought a message without a key, kept so that the same one sent again (DUP, MQTT 5 §3.3.1.1) is not a second message.
type Origin struct {
	Device   string // client id; empty: not from MQTT, QoS 0, or a key does the work
	PacketID uint16
	Digest   uint64 // of topic and payload
}

// A Root says by which topic or route a message came.
type Root uint8

// The roots.
const (
	RootTo  Root = iota + 1 // push, or SMS when that fails
	RootApp                 // never as an SMS
	RootSMS                 // straight to SMS
	RootMO                  // an SMS from the peer (u/<me>/sms/…): pushed only
)

// An SMSPolicy is the user property `sms`; it overrides the topic's root.
type SMSPolicy uint8

// The policies.
const (
	SMSByRoot SMSPolicy = iota
	SMSAuto
	SMSNever
	SMSOnly
)

// Receipts says which receipts the sender wants.
type Receipts uint8

// Which receipts.
const (
	ReceiptsDefault Receipts = iota // submitted and the final one
	ReceiptsNone
	ReceiptsFinal
	ReceiptsAll
)

// A State is where a message is. `pushing` is in memory only and appears in receipts alone.
type State uint8

// The states, in the words of the receipts.
const (
	Accepted State = iota + 1
	Pushing
	Waiting
	Submitting
	Submitted
	OutcomeUnknown
	Delivered
	Failed
	Expired
)

// A Via is the leg by which a message was delivered.
type Via uint8

// The legs.
const (
	ViaPush Via = iota + 1
	ViaSMS
)

// A Leg is what a message has done as an SMS.
type Leg struct {
	Attempts  int    // claims so far that used an attempt
	Claims    int    // claims so far, free ones too
	Gateway   string // of the latest claim
	Node      string
	From      string    // originator
	Until     time.Time // nothing is submitted after this; the claim without an answer is unknown from then on
	Cause     Reason    // why it became an SMS: not_registered, no_answer, …
	Segments  []Segment
	Price     sms.Money // of all segments; zero: not known
	Booked    time.Time // when the latest attempt was booked on the budgets
	Counted   time.Time // when it was counted as an SMS of its sender, recipient and prefix; zero: it is not
	Digest    uint32    // of the text that the segments are of
	Holding   bool      // a claim stands: DLRs and money are booked on it, also after a push was acknowledged
	Submitted time.Time
}

// A Segment is the state of one segment.
type Segment struct {
	ID    string // the gateway's
	State SegmentState
}

// A SegmentState is where a segment is; it never goes back.
type SegmentState uint8

// The states of a segment.
const (
	SegmentOpen        SegmentState = iota // not submitted, or certainly not taken
	SegmentUnknown                         // written and not answered
	SegmentTaken                           // the gateway took it
	SegmentUndelivered                     // a DLR says it ended without delivery
	SegmentDelivered                       // a DLR says delivered
)

// A Step is one line of a message's trail.
type Step struct {
	At       time.Time
	Step     string // S1 … S5, or empty
	Event    string
	Device   string
	Reason   Reason
	Evidence string
	Cost     sms.Money
}

// Settled reports whether nothing more will happen to the message by itself: it has no Due. A failed message may still become delivered before it
// expires, and a submitted one when its DLR comes after all.
func (m *Message) Settled() bool { return m.Due.IsZero() }
