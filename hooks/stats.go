package hooks

import "sync/atomic"

// A Refusal is why something was refused; it is a label of godwit_refused_total.
type Refusal uint8

// The refusals.
const (
	RefusedTopic         Refusal = iota // topic, address or key malformed
	RefusedNotAuthorized                // not a topic for this client
	RefusedProperty                     // unknown value of a property
	RefusedWindow                       // Receive Maximum exceeded
	RefusedPacketSize                   // packet too large
	RefusedMalformed                    // not MQTT, or against its rules
	RefusedFilter                       // subscription
	RefusedWill
	RefusedLogin
	RefusedRevoked
	RefusedDevices   // too many devices of one user
	RefusedTakeovers // two devices that throw each other out
	RefusedClientID
	RefusedDisk
	RefusedStore
	refusals
)

// Refusals names them all, in the order of the constants.
var Refusals = [refusals]string{
	"topic", "not_authorized", "property", "window", "packet_size", "malformed", "filter", "will",
	"login", "revoked", "devices", "takeovers", "client_id", "disk", "store",
}

func (r Refusal) String() string { return Refusals[r] }

// Stats counts what the hooks did; its fields are read at any time.
type Stats struct {
	Refused [refusals]atomic.Uint64

	Connected atomic.Int64  // logged in now
	Takeovers atomic.Uint64 // sessions taken over by a new connection
	Slow      atomic.Uint64 // connections closed because they did not read
	Wills     atomic.Uint64 // wills handed over
}

func (s *Stats) refuse(r Refusal) { s.Refused[r].Add(1) }
