package hooks

import (
	"errors"
	"time"

	"github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// Packet identifiers of pushes are the engine's slots, from firstSlot up. Those of what mochi routes on open topics stay below wrapFrom.
const (
	firstSlot = 0x8000
	wrapFrom  = 0x7000
)

var _ delivery.Link = (*conn)(nil)

// Push implements delivery.Link.
func (c *conn) Push(p *delivery.Push) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return false
	}
	if !c.room(len(p.Topic) + len(p.Payload)) {
		return false
	}
	out, ok := c.appendPush(c.buffer(), p, time.Now())
	c.out = out
	return ok
}

// Flush implements delivery.Link.
func (c *conn) Flush() {
	c.mu.Lock()
	c.wake()
	c.mu.Unlock()
}

// OnPacketProcessed takes what a client answered, after mochi has.
func (h *Hook) OnPacketProcessed(cl *mqtt.Client, pk packets.Packet, err error) {
	switch pk.FixedHeader.Type {
	case packets.Puback, packets.Subscribe, packets.Unsubscribe, packets.Disconnect:
	default:
		return
	}
	c := connOf(cl)
	if c == nil || c.device == nil || err != nil {
		return
	}
	switch pk.FixedHeader.Type {
	case packets.Puback:
		if pk.PacketID >= firstSlot {
			c.device.Ack(pk.PacketID, pk.ReasonCode < codeUnspecified)
		}
	case packets.Subscribe:
		c.device.Subscribe(c.filters())
	case packets.Unsubscribe:
		c.unsubscribed()
	case packets.Disconnect:
		c.leftClean = c.reason(&pk) == 0
	}
}

// reason is the reason code of a DISCONNECT. mochi v2.7.9 does not read one that comes without a property length (MQTT 5 §3.14.2.1), but it was
// the last octet that came; where that is not to be had the worse is assumed, a loss.
func (c *conn) reason(pk *packets.Packet) byte {
	if c.version < 5 || pk.FixedHeader.Remaining != 1 {
		return pk.ReasonCode
	}
	if l, ok := c.Conn.(interface{ LastOctet() byte }); ok {
		return l.LastOctet()
	}
	return packets.CodeDisconnectWillMessage.Code
}

// filters returns the inbox subscriptions that are in force.
func (c *conn) filters() []contacts.Filter {
	var filters []contacts.Filter
	for _, s := range c.cl.State.Subscriptions.GetAll() {
		if isInbox(c.user, s.Filter) {
			filters = append(filters, contacts.Filter{
				Topic: s.Filter, QoS: s.Qos, RetainAsPublished: s.RetainAsPublished, NoLocal: s.NoLocal,
				RetainHandling: s.RetainHandling, Identifier: uint32(s.Identifier),
			})
		}
	}
	return sorted(filters)
}

// OnQosPublish keeps the packet identifiers of what mochi routes away from ours.
func (h *Hook) OnQosPublish(cl *mqtt.Client, pk packets.Packet, _ int64, _ int) {
	if pk.FixedHeader.Type != packets.Publish {
		return
	}
	for id := uint32(pk.PacketID); id >= wrapFrom; {
		next, err := cl.NextPacketID()
		if err != nil {
			return
		}
		id = next
	}
}

// drop ends a connection with a reason code.
func (h *Hook) drop(c *conn, code packets.Code) {
	_ = h.server.DisconnectClient(c.cl, code) // that it is closed already is no error here
}

func dropCode(cause error) packets.Code {
	var code packets.Code
	switch {
	case errors.Is(cause, delivery.ErrRevoked):
		return packets.ErrNotAuthorized
	case errors.As(cause, &code):
		return code
	}
	return packets.ErrAdministrativeAction
}
