package smstest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A command_id (SMPP 3.4 §5.1.2.1); that of a response has its highest bit set.
const (
	cmdBindReceiver    uint32 = 0x01
	cmdBindTransmitter uint32 = 0x02
	cmdQuery           uint32 = 0x03
	cmdSubmit          uint32 = 0x04
	cmdDeliver         uint32 = 0x05
	cmdUnbind          uint32 = 0x06
	cmdReplace         uint32 = 0x07
	cmdCancel          uint32 = 0x08
	cmdBindTransceiver uint32 = 0x09
	cmdOutbind         uint32 = 0x0B
	cmdEnquireLink     uint32 = 0x15
	cmdSubmitMulti     uint32 = 0x21
	cmdAlert           uint32 = 0x102
	cmdData            uint32 = 0x103
	cmdResponse        uint32 = 1 << 31
	cmdGenericNack            = cmdResponse
)

// A command_status (SMPP 3.4 §5.1.3).
const (
	statusOK         uint32 = 0x00
	statusMsgLen     uint32 = 0x01 // ESME_RINVMSGLEN
	statusCmdLen     uint32 = 0x02 // ESME_RINVCMDLEN
	statusCmdID      uint32 = 0x03 // ESME_RINVCMDID
	statusBindState  uint32 = 0x04 // ESME_RINVBNDSTS
	statusBound      uint32 = 0x05 // ESME_RALYBND
	statusPriority   uint32 = 0x06 // ESME_RINVPRTFLG
	statusRegistered uint32 = 0x07 // ESME_RINVREGDLVFLG
	statusSystem     uint32 = 0x08 // ESME_RSYSERR
	statusSource     uint32 = 0x0A // ESME_RINVSRCADR
	statusDest       uint32 = 0x0B // ESME_RINVDSTADR
	statusPassword   uint32 = 0x0E // ESME_RINVPASWD
	statusSystemID   uint32 = 0x0F // ESME_RINVSYSID
	statusESMClass   uint32 = 0x43 // ESME_RINVESMCLASS
	statusSourceTON  uint32 = 0x48 // ESME_RINVSRCTON
	statusSourceNPI  uint32 = 0x49 // ESME_RINVSRCNPI
	statusDestTON    uint32 = 0x50 // ESME_RINVDSTTON
	statusDestNPI    uint32 = 0x51 // ESME_RINVDSTNPI
	statusThrottled  uint32 = 0x58 // ESME_RTHROTTLED
	statusSchedule   uint32 = 0x61 // ESME_RINVSCHED
	statusValidity   uint32 = 0x62 // ESME_RINVEXPIRY
	statusPermanent  uint32 = 0x65 // ESME_RX_P_APPN
	statusRejected   uint32 = 0x66 // ESME_RX_R_APPN
	statusOptStream  uint32 = 0xC0 // ESME_RINVOPTPARSTREAM
	statusParLen     uint32 = 0xC2 // ESME_RINVPARLEN
	statusMissing    uint32 = 0xC3 // ESME_RMISSINGOPTPARAM
	statusOptValue   uint32 = 0xC4 // ESME_RINVOPTPARAMVAL
)

// The tag of an optional parameter (SMPP 3.4 §5.3.1).
const (
	tagReceiptedID  uint16 = 0x001E
	tagReference    uint16 = 0x0204
	tagSARReference uint16 = 0x020C
	tagSARTotal     uint16 = 0x020E
	tagSARSegment   uint16 = 0x020F
	tagVersion      uint16 = 0x0210
	tagNetworkError uint16 = 0x0423
	tagPayload      uint16 = 0x0424
	tagState        uint16 = 0x0427
)

const (
	headerLen   = 16
	maxPDU      = 64<<10 + 512 // message_payload has up to 64 KiB
	version34   = 0x34
	maxSequence = 0x7FFFFFFF // SMPP 3.4 §5.1.4
)

// A pdu is one protocol data unit (SMPP 3.4 §3.2).
type pdu struct {
	command, status, sequence uint32
	body                      []byte
}

// errLength says that a command_length cannot be true: where the next PDU begins is unknown from then on.
var errLength = errors.New("impossible command_length")

// readPDU reads the next PDU. io.EOF: the peer ended between two of them.
func readPDU(r io.Reader) (p pdu, err error) {
	var h [headerLen]byte
	if _, err := io.ReadFull(r, h[:4]); err != nil {
		return p, err
	}
	n := binary.BigEndian.Uint32(h[:])
	if n < headerLen || n > maxPDU {
		return p, fmt.Errorf("%w 0x%08x", errLength, n)
	}
	if _, err := io.ReadFull(r, h[4:]); err != nil {
		return p, cutShort(err)
	}
	p = pdu{binary.BigEndian.Uint32(h[4:]), binary.BigEndian.Uint32(h[8:]), binary.BigEndian.Uint32(h[12:]), make([]byte, n-headerLen)}
	_, err = io.ReadFull(r, p.body)
	return p, cutShort(err)
}

func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// octets is the PDU as it is written.
func (p pdu) octets() []byte {
	out := make([]byte, 0, headerLen+len(p.body))
	for _, v := range []uint32{uint32(headerLen + len(p.body)), p.command, p.status, p.sequence} {
		out = binary.BigEndian.AppendUint32(out, v)
	}
	return append(out, p.body...)
}

// name is the command as the standard writes it.
func (p pdu) name() string {
	if p.command == cmdGenericNack {
		return "generic_nack"
	}
	name := map[uint32]string{cmdBindReceiver: "bind_receiver", cmdBindTransmitter: "bind_transmitter", cmdQuery: "query_sm", cmdSubmit: "submit_sm",
		cmdDeliver: "deliver_sm", cmdUnbind: "unbind", cmdReplace: "replace_sm", cmdCancel: "cancel_sm", cmdBindTransceiver: "bind_transceiver",
		cmdOutbind: "outbind", cmdEnquireLink: "enquire_link", cmdSubmitMulti: "submit_multi", cmdAlert: "alert_notification", cmdData: "data_sm"}[p.command&^cmdResponse]
	switch {
	case name == "":
		return fmt.Sprintf("command 0x%08x", p.command)
	case p.command&cmdResponse != 0:
		return name + "_resp"
	}
	return name
}

// A problem is what is wrong with a PDU, and the command_status that it is answered with; 0: it is only written down.
type problem struct {
	status uint32
	text   string
}

// A reader takes the fields of a body one after the other. The first that is not there or not well formed stays as its problem.
type reader struct {
	rest []byte
	bad  *problem
}

func (r *reader) fail(status uint32, format string, args ...any) {
	if r.bad == nil {
		r.bad = &problem{status, fmt.Sprintf(format, args...)}
	}
	r.rest = nil
}

func (r *reader) octet(field string) byte {
	if len(r.rest) == 0 {
		r.fail(statusCmdLen, "%s is missing", field)
		return 0
	}
	v := r.rest[0]
	r.rest = r.rest[1:]
	return v
}

// text takes a C-octet string of at most size octets with its NUL (SMPP 3.4 §3.1).
func (r *reader) text(field string, size int) string {
	for i, c := range r.rest {
		if c == 0 {
			s := string(r.rest[:i])
			if r.rest = r.rest[i+1:]; i+1 > size {
				r.fail(statusParLen, "%s has %d octets, at most %d are allowed", field, i+1, size)
			}
			return s
		}
	}
	r.fail(statusCmdLen, "%s does not end with NUL", field)
	return ""
}

func (r *reader) octets(field string, n int) []byte {
	if n > len(r.rest) {
		r.fail(statusCmdLen, "%s should have %d octets, %d are there", field, n, len(r.rest))
		return nil
	}
	v := r.rest[:n:n]
	r.rest = r.rest[n:]
	return v
}

// optional takes the optional parameters, which are the rest of a body (SMPP 3.4 §3.2.4.1).
func (r *reader) optional() map[uint16][]byte {
	tlvs := map[uint16][]byte{}
	for r.bad == nil && len(r.rest) > 0 {
		if len(r.rest) < 4 {
			r.fail(statusOptStream, "%d octets behind the last field are no optional parameter", len(r.rest))
			break
		}
		tag, n := binary.BigEndian.Uint16(r.rest), int(binary.BigEndian.Uint16(r.rest[2:]))
		r.rest = r.rest[4:]
		if n > len(r.rest) {
			r.fail(statusOptStream, "optional parameter 0x%04x should have %d octets, %d are there", tag, n, len(r.rest))
			break
		}
		if _, twice := tlvs[tag]; twice {
			r.fail(statusOptStream, "optional parameter 0x%04x is there twice", tag)
			break
		}
		tlvs[tag] = r.octets("", n)
	}
	return tlvs
}

// end is the problem of a body that must have been read to its end.
func (r *reader) end() *problem {
	if len(r.rest) > 0 {
		r.fail(statusCmdLen, "%d octets behind the last field", len(r.rest))
	}
	return r.bad
}

func appendText(b []byte, s string) []byte { return append(append(b, s...), 0) }

func appendTLV(b []byte, tag uint16, value ...byte) []byte {
	b = binary.BigEndian.AppendUint16(b, tag)
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	return append(b, value...)
}
