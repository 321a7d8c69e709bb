package raw

import (
	"encoding/binary"
	"fmt"
)

// Publish is a PUBLISH packet; Topic and Payload point into the frame.
type Publish struct {
	Topic   []byte
	Payload []byte
	ID      uint16 // 0 at QoS 0
	QoS     byte
	Dup     bool
}

// Connack is a CONNACK packet.
type Connack struct {
	SessionPresent bool
	Reason         byte
	ReceiveMaximum uint16 // 65535 when the server set none
}

// Publish parses a PUBLISH.
func (f Frame) Publish(version byte) (Publish, error) {
	p := Publish{QoS: f.Flags >> 1 & 3, Dup: f.Flags&8 != 0}
	d := decoder{b: f.Body}
	p.Topic = d.bytes()
	if p.QoS > 0 {
		p.ID = d.uint16()
	}
	if version == V5 {
		d.take(d.varint())
	}
	p.Payload = d.b
	return p, d.err("PUBLISH")
}

// Puback parses a PUBACK; a reason of 0x80 and above is a refusal.
func (f Frame) Puback() (id uint16, reason byte, err error) {
	d := decoder{b: f.Body}
	id = d.uint16()
	if len(d.b) > 0 {
		reason = d.b[0]
	}
	return id, reason, d.err("PUBACK")
}

// Connack parses a CONNACK.
func (f Frame) Connack(version byte) (Connack, error) {
	d := decoder{b: f.Body}
	c := Connack{SessionPresent: d.byte()&1 != 0, Reason: d.byte(), ReceiveMaximum: 65535}
	if version == V5 && len(d.b) > 0 {
		props := decoder{b: d.take(d.varint())}
		for len(props.b) > 0 {
			id, value := props.property()
			if id == propReceiveMaximum && len(value) == 2 {
				c.ReceiveMaximum = binary.BigEndian.Uint16(value)
			}
		}
		d.bad = d.bad || props.bad
	}
	return c, d.err("CONNACK")
}

// Suback parses a SUBACK; a code of 0x80 and above is a refusal.
func (f Frame) Suback(version byte) (id uint16, codes []byte, err error) {
	d := decoder{b: f.Body}
	id = d.uint16()
	if version == V5 {
		d.take(d.varint())
	}
	return id, d.b, d.err("SUBACK")
}

// Connect parses a CONNECT without a will.
func (f Frame) Connect() (Connect, error) {
	var c Connect
	d := decoder{b: f.Body}
	d.bytes()
	c.Version = d.byte()
	flags := d.byte()
	c.Clean = flags&0x02 != 0
	c.Keepalive = d.uint16()
	if c.Version == V5 {
		d.take(d.varint())
	}
	c.ClientID = string(d.bytes())
	d.bad = d.bad || flags&0x04 != 0
	if flags&0x80 != 0 {
		c.Username = string(d.bytes())
	}
	if flags&0x40 != 0 {
		c.Password = string(d.bytes())
	}
	return c, d.err("CONNECT")
}

// Subscribe parses a SUBSCRIBE for one filter.
func (f Frame) Subscribe(version byte) (id uint16, filter string, err error) {
	d := decoder{b: f.Body}
	id = d.uint16()
	if version == V5 {
		d.take(d.varint())
	}
	filter = string(d.bytes())
	d.byte()
	return id, filter, d.err("SUBSCRIBE")
}

// A decoder reads fields from the front of b. Once something was missing it is bad, and reads zeroes.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if n > len(d.b) {
		d.bad, d.b = true, nil
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if v := d.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (d *decoder) uint16() uint16 {
	if v := d.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (d *decoder) bytes() []byte { return d.take(int(d.uint16())) }

func (d *decoder) varint() int {
	n := 0
	for shift := 0; shift <= 21; shift += 7 {
		c := d.byte()
		n |= int(c&0x7F) << shift
		if c < 0x80 {
			return n
		}
	}
	d.bad = true
	return 0
}

// property reads one property; its value is returned for fixed sizes and single strings (MQTT 5 §2.2.2.2).
func (d *decoder) property() (id byte, value []byte) {
	switch id = d.byte(); id {
	case 0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A:
		value = d.take(1)
	case 0x13, 0x21, 0x22, 0x23:
		value = d.take(2)
	case 0x02, 0x11, 0x18, 0x27:
		value = d.take(4)
	case 0x0B:
		d.varint()
	case 0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F:
		value = d.bytes()
	case propUserProperty:
		d.bytes()
		d.bytes()
	default:
		d.bad, d.b = true, nil
	}
	return id, value
}

func (d *decoder) err(packet string) error {
	if d.bad {
		return fmt.Errorf("%w: %s is cut short or has an unknown part", ErrMalformed, packet)
	}
	return nil
}
