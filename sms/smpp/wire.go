package smpp

import (
	"bytes"
	"fmt"
)

// trace writes a PDU of ours to the wire log, before it is written to the connection.
func (s *session) trace(octets []byte) {
	if !s.g.config.Wire.On() {
		return
	}
	if f, err := readFrame(bytes.NewReader(octets)); err == nil {
		s.g.logf("%s > %s", s.link.name, f.line())
	}
}

// traceFrame writes a PDU that came to the wire log.
func (s *session) traceFrame(f frame) {
	if s.g.config.Wire.On() {
		s.g.logf("%s < %s", s.link.name, f.line())
	}
}

// line describes a PDU without its texts, without secrets, and with no number in full.
func (f frame) line() string {
	line := fmt.Sprintf("%s seq=%d", f.command, f.sequence)
	switch {
	case f.command == submitSM.response() && f.status == ok:
		return line + fmt.Sprintf(" status=%s id=%.64q", f.status, messageID(f.body))
	case f.command.isResponse():
		return line + " status=" + f.status.String()
	case f.command != submitSM && f.command != deliverSM && f.command != dataSM:
		return line
	}
	d, err := readDelivery(f)
	if err != nil {
		return line + fmt.Sprintf(" malformed, %d octets", len(f.body))
	}
	line += fmt.Sprintf(" from=%q to=%q esm_class=0x%02x data_coding=0x%02x octets=%d", d.source.mask(), d.destination.mask(), d.esmClass, d.coding, len(d.octets))
	if c, _ := d.segment(); c.valid() {
		line += fmt.Sprintf(" segment=%d/%d", c.number, c.total)
	}
	return line
}
