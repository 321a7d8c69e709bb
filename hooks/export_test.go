package hooks

import (
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// What tests from outside see of the inside.
var (
	Clean       = clean
	ValidFilter = validFilter
	Covers      = covers
	IsInbox     = isInbox
)

// AppendPush encodes a push for a client of a version with a Maximum Packet Size.
func AppendPush(version byte, maxPacket uint32, p *delivery.Push, now time.Time) ([]byte, bool) {
	return dialect{version: version, maxPacket: maxPacket}.appendPush(nil, p, now)
}

// AppendAck encodes a PUBACK.
func AppendAck(version byte, maxPacket uint32, problemInfo bool, packetID uint16, code byte, id delivery.ID) []byte {
	return dialect{version: version, maxPacket: maxPacket, problemInfo: problemInfo}.appendAck(nil, typePuback, packetID, code, id)
}

// Compose makes a message of a publish of a user; nil and a reason code: it is none.
func Compose(user contacts.Address, topic string, payload []byte, p *packets.Properties) (*delivery.Message, byte) {
	h := &Hook{}
	h.settings.Store(&settings{})
	c := &conn{hook: h, login: login{user: user}, dialect: dialect{version: 5}}
	m, no := c.compose(topic, payload, p)
	return m, no.code
}

// Engine is what the hook runs.
func (h *Hook) Engine() *delivery.Engine { return h.engine }
