package hooks

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
	"github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// Reason codes (MQTT 5 §2.4).
const (
	codeUnspecified   byte = 0x80
	codeNotAuthorized byte = 0x87
	codeTopic         byte = 0x90
	codeWindow        byte = 0x93
	codePacketSize    byte = 0x95
	codeQuota         byte = 0x97
	codeProperty      byte = 0x99
)

const (
	maxCorrelation = 64  // octets of Correlation Data
	maxReply       = 256 // octets of a Response Topic
)

// noTopicOfOurs is refused like any topic that is nobody's to publish to; mochi lets it through to OnPublish, and no open topic begins with $.
const noTopicOfOurs = "$"

// errTooLarge ends the connection: of OnPacketRead's errors mochi heeds the rejection only.
var errTooLarge = fmt.Errorf("%w: %w", packets.ErrPacketTooLarge, packets.ErrRejectPacket)

// OnPacketRead refuses a packet that is larger than the CONNACK allowed: mochi v2.7.9 counts up to three octets of the fixed header too few. It brings
// to OnPublish the topic names that mochi drops before it, without an acknowledgement: those that begin with $SYS or $share. What ends the connection,
// such as a wildcard, still does.
func (h *Hook) OnPacketRead(_ *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	size := 1 + lengthSize(pk.FixedHeader.Remaining) + pk.FixedHeader.Remaining // MQTT 5 §3.1.2.11.4
	if most := h.server.Options.Capabilities.MaximumPacketSize; most > 0 && uint32(size) > most {
		return pk, errTooLarge
	}
	if pk.FixedHeader.Type == packets.Publish && strings.HasPrefix(pk.TopicName, "$") && !strings.ContainsAny(pk.TopicName, "+#") {
		pk.TopicName = noTopicOfOurs
	}
	return pk, nil
}

// OnPublish hands a publish to the engine. Whatever becomes of it, mochi neither acknowledges nor routes it: that is what Ignore with QoS 0 means.
// Errors are never returned but ErrRejectPacket, since mochi acknowledges after any other.
func (h *Hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c := connOf(cl)
	if c == nil {
		return h.foreign(cl, pk)
	}
	if h.isOpen(pk.TopicName) {
		return c.passOn(pk)
	}
	if !c.publish(&pk) {
		return pk, packets.ErrRejectPacket
	}
	pk.Ignore, pk.FixedHeader.Qos, pk.FixedHeader.Retain = true, 0, false
	return pk, nil
}

// foreign is a publish that comes from no connection of ours, such as the embedding program's own. It may go anywhere but to our topics, where it
// would look like a message from a user.
func (h *Hook) foreign(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if cl.Net.Inline && !isOurs(pk.TopicName) {
		return pk, nil
	}
	h.stats.refuse(RefusedNotAuthorized)
	return pk, packets.ErrRejectPacket
}

// isOurs reports whether the first level of a topic is one of the engine's.
func isOurs(topic string) bool {
	root, _, _ := strings.Cut(topic, "/")
	switch root {
	case "to", "app", "sms", "u":
		return true
	}
	return false
}

func (h *Hook) isOpen(topic string) bool {
	open := h.options().Open
	return len(open) > 0 && !isOurs(topic) && coveredBy(open, topic) && clean(topic) && !strings.ContainsAny(topic, "+#")
}

// passOn leaves a publish on an open topic to mochi, once nothing of ours is left that its acknowledgement could overtake.
func (c *conn) passOn(pk packets.Packet) (packets.Packet, error) {
	if pk.FixedHeader.Qos > 0 {
		held, ok := c.drained()
		c.held(held)
		if !ok {
			return pk, packets.ErrRejectPacket
		}
	}
	if !c.hook.options().Retain {
		pk.FixedHeader.Retain = false
	}
	return pk, nil
}

// publish is false when the connection ends.
func (c *conn) publish(pk *packets.Packet) bool {
	c.slowDown()
	switch pk.FixedHeader.Qos {
	case 0:
		return c.publish0(pk)
	case 2:
		if c.repeated(pk.PacketID) {
			return true
		}
	}
	s, held, ok := c.claim(pk.PacketID, pk.FixedHeader.Qos == 2)
	c.held(held)
	if !ok {
		return c.exceeded()
	}
	m, no := c.compose(pk.TopicName, pk.Payload, &pk.Properties)
	if m == nil {
		c.hook.stats.refuse(no.why)
		c.settle(s, no.code, delivery.ID{})
		return true
	}
	if m.Key.IsZero() {
		m.Origin = delivery.Origin{Device: c.clientID, PacketID: pk.PacketID, Digest: digest(pk.TopicName, pk.Payload)}
	}
	c.hook.engine.Publish(m, delivery.Publication{Device: c.device, Dup: pk.FixedHeader.Dup}, s)
	return true
}

func (c *conn) publish0(pk *packets.Packet) bool {
	m, no := c.compose(pk.TopicName, pk.Payload, &pk.Properties)
	if m == nil {
		c.hook.stats.refuse(no.why)
		return true
	}
	held, ok := c.claim0()
	c.held(held)
	if ok {
		c.hook.engine.Publish(m, delivery.Publication{Device: c.device}, &c.zero)
	}
	return ok
}

// exceeded ends the connection of a client that sends more than it may without an acknowledgement (MQTT 5 §3.3.4).
func (c *conn) exceeded() bool {
	if c.version >= 5 && !c.cl.Closed() {
		c.hook.stats.refuse(RefusedWindow)
		_ = c.hook.server.DisconnectClient(c.cl, packets.ErrReceiveMaximum)
	}
	return false
}

// digest tells apart publishes that have the same packet identifier.
func digest(topic string, payload []byte) uint64 {
	return xxhash.Sum64String(topic)*31 + xxhash.Sum64(payload)
}

// slowDown holds back a client that publishes faster than limits.send_rate.
func (c *conn) slowDown() {
	o := c.hook.options()
	if o.interval == 0 {
		return
	}
	wait := c.rate.take(time.Now(), o.interval, o.burst)
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.done:
	}
	c.held(wait)
}

// held tells the engine for how long nothing was read, which the device's pushes need not answer for.
func (c *conn) held(t time.Duration) {
	if t > 0 {
		c.device.Held(t)
	}
}

// pace is a token bucket: the moment up to which tokens are spent.
type pace struct{ spent time.Time }

// take spends one token and returns how long to wait for it.
func (p *pace) take(now time.Time, interval, burst time.Duration) time.Duration {
	if earliest := now.Add(-burst); p.spent.Before(earliest) {
		p.spent = earliest
	}
	p.spent = p.spent.Add(interval)
	return p.spent.Sub(now)
}

// A refusal is how what is no message is answered.
type refusal struct {
	code byte
	why  Refusal
}

var (
	noTopic      = refusal{codeTopic, RefusedTopic}
	noPermission = refusal{codeNotAuthorized, RefusedNotAuthorized}
	noProperty   = refusal{codeProperty, RefusedProperty}
)

// compose makes a message of what a client publishes; nil: it is none. The sender is the login.
func (c *conn) compose(topic string, payload []byte, p *packets.Properties) (*delivery.Message, refusal) {
	root, to, key, err := delivery.ParseTopic(topic)
	if errors.Is(err, delivery.ErrNotOurs) {
		return nil, noPermission
	}
	if err != nil {
		return nil, noTopic
	}
	m := &delivery.Message{From: c.user, To: to, Root: root, Payload: payload}
	m.Key.Text = key
	if c.version >= 5 && !c.properties(m, p) {
		return nil, noProperty
	}
	return m, refusal{}
}

// properties takes over the MQTT 5 properties; false: one of them has a value that is none.
func (c *conn) properties(m *delivery.Message, p *packets.Properties) bool {
	if p.PayloadFormatFlag && (p.PayloadFormat > 1 || p.PayloadFormat == 1 && !utf8.Valid(m.Payload)) {
		return false
	}
	if len(p.CorrelationData) > maxCorrelation {
		return false
	}
	m.Key.Correlation = p.CorrelationData
	if replyTo(c.user, p.ResponseTopic) {
		m.Reply = p.ResponseTopic
	}
	if p.MessageExpiryInterval > 0 {
		m.Expires = time.Now().Add(time.Duration(p.MessageExpiryInterval) * time.Second)
	}
	return len(p.User) == 0 || c.userProperties(m, p.User)
}

func (c *conn) userProperties(m *delivery.Message, user []packets.UserProperty) bool {
	for _, u := range user {
		if m.SetOption(u.Key, u.Val) != nil {
			return false
		}
	}
	return true
}

// replyTo reports whether receipts may go to a Response Topic: below the user's own.
func replyTo(user contacts.Address, topic string) bool {
	rest, ok := strings.CutPrefix(topic, inboxRoot)
	if !ok {
		return false
	}
	if rest, ok = strings.CutPrefix(rest, string(user)); !ok {
		return false
	}
	rest, ok = strings.CutPrefix(rest, "/receipt/")
	return ok && rest != "" && len(topic) <= maxReply && clean(rest) && !strings.ContainsAny(rest, "+#")
}
