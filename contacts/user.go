package contacts

import (
	"context"
	"errors"
	"time"
)

// A User is somebody or something that has an Address here.
type User struct {
	Address    Address
	Rev        uint64    // of the record; 0: not stored yet
	Registered time.Time // zero: the number has not proved itself, its owner has no app
	LastSeen   time.Time // the latest connection, kept to the hour; a registration decays from here
	Inbox      bool      // has subscribed to an inbox at least once: receipts make sense
	Tokens     []Token
	Devices    []Device // remembered: those with a persistent session
}

// A Token is a credential of a user. Only its keyed SHA-256 is kept.
type Token struct {
	ID      string // what --revoke takes
	Hash    [32]byte
	Device  string // a label
	Created time.Time
}

// A Device is an MQTT client id with a persistent session, remembered over disconnects and restarts.
type Device struct {
	ClientID string        // as the client gave it, without the user
	Version  byte          // MQTT protocol version: 4 (3.1.1) or 5
	Filters  []Filter      // its inbox subscriptions
	Expiry   time.Duration // Session Expiry Interval (MQTT 5 §3.1.2.11.2); 3.1.1: 30 days
	Away     time.Time     // since when it is not connected; zero: connected
}

// A Filter is one subscription.
type Filter struct {
	Topic             string
	QoS               byte
	RetainAsPublished bool
	NoLocal           bool
	RetainHandling    byte
	Identifier        uint32 // Subscription Identifier (MQTT 5 §3.8.2.1.2); 0: none
}

// ErrConflict says that the record was written by somebody else meanwhile.
var ErrConflict = errors.New("the record changed meanwhile")

// A Table keeps small records by key, durably. store/badger has one.
type Table interface {
	// Scan calls fn with every record whose key starts with prefix.
	Scan(ctx context.Context, prefix string, fn func(key string, val []byte, rev uint64) error) error
	// Write makes all writes durable in one commit, each for itself: errs[i] is nil or ErrConflict; revs[i] is the new revision.
	// Any other error is returned as err, and then it is open what was written.
	Write(ctx context.Context, writes []Write) (revs []uint64, errs []error, err error)
}

// A Write creates (Rev 0), replaces (Rev as read) or, with a nil Val, deletes a record.
type Write struct {
	Key string
	Val []byte
	Rev uint64
}
