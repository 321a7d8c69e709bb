package raw

import "encoding/binary"

// Connect is a CONNECT packet. SessionExpiry (seconds) and ReceiveMaximum are sent on MQTT 5 only, and only when not 0.
type Connect struct {
	Version        byte
	ClientID       string
	Username       string
	Password       string
	Clean          bool
	Keepalive      uint16
	SessionExpiry  uint32
	ReceiveMaximum uint16
}

// Append appends the packet to b.
func (c Connect) Append(b []byte) []byte {
	body := appendString(nil, "MQTT")
	body = append(body, c.Version, c.flags())
	body = binary.BigEndian.AppendUint16(body, c.Keepalive)
	if c.Version == V5 {
		body = append(body, c.properties()...)
	}
	body = appendString(body, c.ClientID)
	if c.Username != "" {
		body = appendString(body, c.Username)
		body = appendString(body, c.Password)
	}
	return appendPacket(b, CONNECT<<4, body)
}

func (c Connect) flags() (f byte) {
	if c.Clean {
		f |= 0x02
	}
	if c.Username != "" {
		f |= 0xC0
	}
	return f
}

func (c Connect) properties() []byte {
	var p []byte
	if c.SessionExpiry != 0 {
		p = binary.BigEndian.AppendUint32(append(p, propSessionExpiry), c.SessionExpiry)
	}
	if c.ReceiveMaximum != 0 {
		p = binary.BigEndian.AppendUint16(append(p, propReceiveMaximum), c.ReceiveMaximum)
	}
	return append(appendVarint(nil, len(p)), p...)
}

// AppendConnack appends a CONNACK to b.
func AppendConnack(b []byte, version byte, sessionPresent bool, reason byte) []byte {
	body := []byte{0, reason}
	if sessionPresent {
		body[0] = 1
	}
	if version == V5 {
		body = append(body, 0)
	}
	return appendPacket(b, CONNACK<<4, body)
}

// AppendSubscribe appends a SUBSCRIBE for one filter to b.
func AppendSubscribe(b []byte, version byte, id uint16, filter string, qos byte) []byte {
	body := binary.BigEndian.AppendUint16(nil, id)
	if version == V5 {
		body = append(body, 0)
	}
	return appendPacket(b, SUBSCRIBE<<4|2, append(appendString(body, filter), qos))
}

// AppendSuback appends a SUBACK with one code to b.
func AppendSuback(b []byte, version byte, id uint16, code byte) []byte {
	body := binary.BigEndian.AppendUint16(nil, id)
	if version == V5 {
		body = append(body, 0)
	}
	return appendPacket(b, SUBACK<<4, append(body, code))
}

// AppendPuback appends a PUBACK that says success to b; its short form is the same in both versions (MQTT 5 §3.4.2.1).
func AppendPuback(b []byte, id uint16) []byte {
	return append(b, PUBACK<<4, 2, byte(id>>8), byte(id))
}

// AppendPingreq appends a PINGREQ to b.
func AppendPingreq(b []byte) []byte { return append(b, PINGREQ<<4, 0) }

// AppendPingresp appends a PINGRESP to b.
func AppendPingresp(b []byte) []byte { return append(b, PINGRESP<<4, 0) }

// AppendDisconnect appends a DISCONNECT to b; its short form means a normal one in both versions (MQTT 5 §3.14.2.1).
func AppendDisconnect(b []byte) []byte { return append(b, DISCONNECT<<4, 0) }

func appendPacket(b []byte, first byte, body []byte) []byte {
	return append(appendVarint(append(b, first), len(body)), body...)
}

// A Template is everything of a PUBLISH that stays the same from message to message, encoded once.
type Template struct {
	qos   byte
	topic []byte // with its length
	props []byte // with their length; empty on 3.1.1
}

// UserProperty is a name and a value (MQTT 5 §3.3.2.3.7).
type UserProperty struct{ Name, Value string }

// NewTemplate returns the template of publishes to topic; 3.1.1 has no user properties, there they are left out.
func NewTemplate(version byte, topic string, qos byte, props ...UserProperty) Template {
	t := Template{qos: qos, topic: appendString(nil, topic)}
	if version != V5 {
		return t
	}
	var p []byte
	for _, u := range props {
		p = appendString(appendString(append(p, propUserProperty), u.Name), u.Value)
	}
	t.props = append(appendVarint(nil, len(p)), p...)
	return t
}

// Append appends a PUBLISH to b. The packet identifier is left out at QoS 0.
func (t Template) Append(b []byte, id uint16, dup bool, payload []byte) []byte {
	first := PUBLISH<<4 | t.qos<<1
	if dup {
		first |= 0x08
	}
	n := len(t.topic) + len(t.props) + len(payload)
	if t.qos > 0 {
		n += 2
	}
	b = appendVarint(append(b, first), n)
	b = append(b, t.topic...)
	if t.qos > 0 {
		b = append(b, byte(id>>8), byte(id))
	}
	b = append(b, t.props...)
	return append(b, payload...)
}
