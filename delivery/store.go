package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// A Store keeps messages until they are settled and beyond, and for each user what its devices have yet to see.
//
// A message is kept with its recipient, under an id that alone finds it, and is the first entry that stands for it in the recipient's inbox.
type Store interface {
	// Commit makes changes durable (synced to disk), each wholly or not at all, judged in their order, and returns an error for each, or nil for all:
	// nil, also when this very change was already written; ErrConflict: somebody advanced the message; *Known: the sender's key names an
	// earlier message; ErrFull: too many open messages in the recipient's inbox, for a new message only; ErrDisk: the free-space
	// watermark, for a new message only; sms.ErrTaken: somebody wrote the talk; *sms.OverLimit: a counter would pass its limit. They are asked in
	// this order. Any other error leaves open whether the change was written, and the same may be committed again.
	// It sets the ID (when it is zero, by Change.Identify), Rev and Stands of a new message, Rev of an advanced one and of a talk, each Entry's Position,
	// each meeting's Other and each count's Total.
	// A group has at most MaxGroup changes and MaxGroupBytes. Calls for different lanes may run at once, one at a time for each.
	Commit(ctx context.Context, changes []Change) []error
	// Message returns a message as it was a moment ago, or ErrNotFound. Commit decides whether it still is.
	Message(ctx context.Context, id ID) (*Message, error)
	// Inbox returns up to n entries of a user after a position, oldest first, and not before it knows all up to atLeast. Entries of kinds In, Seen and Sent
	// come with their Message; entries whose message is gone, or that no longer stand for it, are left out. next is where to go on: the position of the last
	// entry looked at, left out or not; when there was nothing more, the greater of after and atLeast.
	Inbox(ctx context.Context, user contacts.Address, after, atLeast Position, n int) (entries []Entry, next Position, err error)
	// Seen returns how far each device of a user has seen its inbox; "" is the user's own.
	Seen(ctx context.Context, user contacts.Address) (map[string]Position, error)
	// Recover calls fn with every message that is open (not Settled), and with every settled one accepted since `since` that has an Origin.
	// The order is that of acceptance for each recipient. The message is fn's to keep.
	Recover(ctx context.Context, since time.Time, fn func(*Message) error) error
	// Forget drops a user's notices up to a position, and the user's hold on messages there.
	Forget(ctx context.Context, user contacts.Address, upTo Position) error
	// Talks returns the conversations of a peer, one for each own number that has one, in their order.
	Talks(ctx context.Context, peer contacts.Number) ([]sms.Talk, error)
	// Totals returns what the counters stand at, in the order of their keys; 0 for one that is not there.
	Totals(ctx context.Context, keys ...string) ([]int64, error)
	// Prune deletes what is past its time; it may take long and works in small commits.
	Prune(ctx context.Context, now time.Time, keep Retention) error
	// List returns messages for people, newest first; it may lag. next is the q.Before of the following page, zero when there is none.
	List(ctx context.Context, q Query) (messages []*Message, next ID, err error)
}

// Limits of one Commit.
const (
	MaxGroup      = 4096
	MaxGroupBytes = 4 << 20
)

// Errors of a Store.
var (
	ErrConflict = errors.New("the message was advanced meanwhile")
	ErrFull     = errors.New("the inbox is full")
	ErrDisk     = errors.New("too little free disk space")
	ErrNotFound = errors.New("no such message")
)

// Known says that the sender's key names an earlier message to the same recipient, not older than 24 h.
type Known struct{ ID ID }

func (k *Known) Error() string { return fmt.Sprintf("the key names message %s", k.ID) }

// A Change advances a message, and tells users of it, in one write. Each part may be missing.
//
// That this very change was written already is seen by its message; without one by the position of its first entry, without that by its talk. What has
// none of them is written again: a meeting stays what it was then, but counts are added twice.
type Change struct {
	Message *Message // Rev 0: new; else written only if the stored one still has that Rev
	Entries []Entry
	Seen    []Seen
	Limit   int // new message: how many open messages its recipient's inbox may have, with it; 0: no limit

	Meetings []sms.Meeting // what one side knows of a gateway's message id, 64 KiB at most
	Talk     *sms.Talk     // written only if the stored one still has its Rev, with times to the microsecond
	Counts   []sms.Count   // added up within the change and the group too; a counter never goes below 0
}

// An Entry is one thing that devices of a user have yet to see.
//
// The record of a new message is itself the first entry of kind In in its recipient's inbox. A later In or Seen for the same message
// stands for it from then on instead of the earlier one: Commit records its Position in Message.Stands.
type Entry struct {
	Position Position
	User     contacts.Address
	Kind     Kind
	ID       ID               // the message it is about; zero in Change.Entries: that of Change.Message
	Peer     contacts.Address // the other side: sender of In and Seen, recipient of Sent
	At       time.Time
	Topic    string   // Receipt: the topic it goes to
	Body     []byte   // Receipt, Contact: the payload
	Tag      []byte   // Receipt: Correlation Data
	Except   string   // the device that it is not for: Sent is not for the device that sent
	Message  *Message // set by Inbox for In, Seen and Sent

	tells State // Receipt: of which state, until the message has its id
	open  *ref  // In, in a tail: the open message that points back here
}

// A Kind is what an Entry is.
type Kind uint8

// The kinds of entries.
const (
	In      Kind = iota + 1 // the message, as u/<me>/in/… or, RootMO, u/<me>/sms/…
	SeenSMS                 // it already reached the phone as an SMS: u/<me>/seen/…
	Sent                    // a copy for the sender's other devices: u/<me>/sent/…
	Receipt                 // u/<me>/receipt/…
)

// Seen says that a device has everything up to a position. Device "" is the user's own: acknowledged by some device, or settled.
type Seen struct {
	User   contacts.Address
	Device string
	Upto   Position
	Forget bool // the device is no longer remembered: drop its position
}

// Retention is how long what is kept.
type Retention struct {
	History   time.Duration // settled messages; 0: only until seen
	Keys      time.Duration // keys and origins: 24 h
	InboxAge  time.Duration // entries at all
	Notices   int           // notices (everything but In) a user
	NoticeAge time.Duration // 7 days
	Talks     time.Duration // conversations in which nothing went either way; 0: for ever
}

// A Query selects messages.
type Query struct {
	User   contacts.Address // From or To is this one; empty: any
	Peer   contacts.Address // and the other side this one; empty: any
	From   contacts.Address
	To     contacts.Address
	State  State // 0: any
	Before ID    // zero: from the newest
	Limit  int   // at most 1,000
}
