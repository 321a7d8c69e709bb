package smpp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/linxGnu/gosmpp/data"
	"github.com/linxGnu/gosmpp/pdu"
)

// A command is a command_id (SMPP 3.4 §5.1.2.1).
type command uint32

// The commands that a session meets.
const (
	genericNack       = command(0x80000000)
	bindReceiver      = command(data.BIND_RECEIVER)
	bindTransmitter   = command(data.BIND_TRANSMITTER)
	bindTransceiver   = command(data.BIND_TRANSCEIVER)
	submitSM          = command(data.SUBMIT_SM)
	deliverSM         = command(data.DELIVER_SM)
	dataSM            = command(data.DATA_SM)
	unbind            = command(data.UNBIND)
	enquireLink       = command(data.ENQUIRE_LINK)
	alertNotification = command(data.ALERT_NOTIFICATION)
)

// response returns the command that answers c.
func (c command) response() command { return c | genericNack }

func (c command) isResponse() bool { return c&genericNack != 0 }

func (c command) isBind() bool {
	return c == bindTransceiver || c == bindTransmitter || c == bindReceiver
}

var commands = map[command]string{bindReceiver: "bind_receiver", bindTransmitter: "bind_transmitter", bindTransceiver: "bind_transceiver", submitSM: "submit_sm",
	deliverSM: "deliver_sm", dataSM: "data_sm", unbind: "unbind", enquireLink: "enquire_link", alertNotification: "alert_notification"}

func (c command) String() string {
	name, known := commands[c&^genericNack]
	switch {
	case c == genericNack:
		return "generic_nack"
	case !known:
		return fmt.Sprintf("command 0x%08x", uint32(c))
	case c.isResponse():
		return name + "_resp"
	}
	return name
}

// A frame is a PDU as it came, with a body that is not read yet.
type frame struct {
	command  command
	status   status
	sequence uint32
	body     []byte
}

// How long a frame may be: a header, and a message_payload with all that goes with it (SMPP 3.4 §5.1.1, §5.3.2.32).
const (
	headerLength = 16
	longestFrame = 64<<10 + 1<<10
)

// errLength says that the octets are no SMPP, or that their order is lost: there is nothing to read on from.
var errLength = errors.New("impossible command_length")

// readFrame reads the next PDU. The error is errLength, or the connection's.
func readFrame(r io.Reader) (f frame, err error) {
	var header [headerLength]byte
	if _, err := io.ReadFull(r, header[:4]); err != nil {
		return f, err
	}
	length := binary.BigEndian.Uint32(header[:])
	if length < headerLength || length > longestFrame {
		return f, fmt.Errorf("%w %d", errLength, length)
	}
	if _, err := io.ReadFull(r, header[4:]); err != nil {
		return f, err
	}
	f.command = command(binary.BigEndian.Uint32(header[4:]))
	f.status = status(binary.BigEndian.Uint32(header[8:]))
	f.sequence = binary.BigEndian.Uint32(header[12:])
	f.body = make([]byte, length-headerLength)
	_, err = io.ReadFull(r, f.body)
	return f, err
}

// encode returns the octets of a PDU.
func encode(p pdu.PDU, sequence uint32) []byte {
	p.SetSequenceNumber(int32(sequence))
	b := pdu.NewBuffer(nil)
	p.Marshal(b)
	return b.Bytes()
}

// messageID reads the body of a submit_sm_resp. An SMSC that leaves it out, or its end, has taken the segment all the same.
func messageID(body []byte) string {
	for i, c := range body {
		if c == 0 {
			return string(body[:i])
		}
	}
	return string(body)
}

// A delivery is a deliver_sm or data_sm.
type delivery struct {
	frame
	source, destination address
	esmClass, coding    byte
	octets              []byte // short_message or message_payload
	tlvs                map[pdu.Tag][]byte
}

// An address is one as it stands in a PDU.
type address struct {
	Plan
	digits string // or a name
}

// errBody says that the body of a PDU is not what its command says.
var errBody = errors.New("malformed PDU")

// readDelivery reads the body of a deliver_sm or data_sm (SMPP 3.4 §4.6.1, §4.7.1). gosmpp's own reader is not used: it refuses all of it for a bad
// user data header, and forgets a data_coding that it does not know.
func readDelivery(f frame) (d delivery, err error) {
	r := &reader{b: pdu.NewBuffer(f.body)}
	d.frame = f
	r.text() // service_type
	d.source, d.destination = r.address(), r.address()
	d.esmClass = r.octet()
	if f.command == dataSM {
		r.octet() // registered_delivery
		d.coding = r.octet()
	} else {
		r.octets(2) // protocol_id, priority_flag
		r.text()    // schedule_delivery_time
		r.text()    // validity_period
		r.octets(2) // registered_delivery, replace_if_present_flag
		d.coding = r.octet()
		r.octet() // sm_default_msg_id
		d.octets = r.octets(int(r.octet()))
	}
	d.tlvs = r.tlvs()
	if r.err != nil {
		return d, fmt.Errorf("%w: %s: %w", errBody, f.command, r.err)
	}
	if payload, is := d.tlvs[pdu.TagMessagePayload]; is && len(d.octets) == 0 {
		d.octets = payload
	}
	return d, nil
}

// A reader reads fields until the first that is not there.
type reader struct {
	b   *pdu.ByteBuffer
	err error
}

func (r *reader) octets(n int) (v []byte) {
	if r.err == nil {
		v, r.err = r.b.ReadN(n)
	}
	return v
}

func (r *reader) octet() byte {
	if v := r.octets(1); len(v) == 1 {
		return v[0]
	}
	return 0
}

func (r *reader) text() (v string) {
	if r.err == nil {
		v, r.err = r.b.ReadCString()
	}
	return v
}

func (r *reader) address() (a address) {
	a.TON, a.NPI, a.digits = r.octet(), r.octet(), r.text()
	return a
}

// parameters are the optional ones that are looked at. What else there may be is not kept.
var parameters = map[pdu.Tag]bool{
	pdu.TagReceiptedMessageID: true, pdu.TagMessageStateOption: true, pdu.TagUserMessageReference: true, pdu.TagNetworkErrorCode: true,
	pdu.TagSarMsgRefNum: true, pdu.TagSarTotalSegments: true, pdu.TagSarSegmentSeqnum: true, pdu.TagMessagePayload: true,
}

// tlvs reads the optional parameters (SMPP 3.4 §3.2.4.1).
func (r *reader) tlvs() map[pdu.Tag][]byte {
	all := make(map[pdu.Tag][]byte)
	for rest := r.octets(r.b.Len()); r.err == nil && len(rest) > 0; {
		if len(rest) < 4 || len(rest)-4 < int(binary.BigEndian.Uint16(rest[2:])) {
			r.err = pdu.ErrBufferNotEnoughByteToRead
			break
		}
		tag, end := pdu.Tag(binary.BigEndian.Uint16(rest)), 4+int(binary.BigEndian.Uint16(rest[2:]))
		if parameters[tag] {
			all[tag] = bytes.Clone(rest[4:end])
		}
		rest = rest[end:]
	}
	return all
}
