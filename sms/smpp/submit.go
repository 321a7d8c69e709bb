package smpp

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/linxGnu/gosmpp/data"
	"github.com/linxGnu/gosmpp/pdu"

	"github.com/seed-7a41469f/godwit/sms"
)

// Submit implements sms.Gateway: a submit_sm for each segment, or one for all with Payload.
func (g *Gateway) Submit(ctx context.Context, mt sms.MT) []sms.Outcome {
	form := g.form(mt)
	if form == Payload {
		return g.submitWhole(ctx, mt)
	}
	return sms.SubmitEach(ctx, mt, func(ctx context.Context, s sms.Segment) (string, error) { return g.submit(ctx, mt, s, form) })
}

// form returns how mt is concatenated. What an earlier attempt left was cut for another gateway perhaps, or before the configuration was changed: what
// would send a segment again, or does not fit, goes with the header that always does.
func (g *Gateway) form(mt sms.MT) Concat {
	switch form := g.config.Concat; form {
	case Payload:
		if len(mt.Segments) == mt.Count {
			return Payload
		}
	case UDH16, SAR:
		for _, s := range mt.Segments {
			if s.Units > mostUnits[s.Coding] {
				return UDH8
			}
		}
		return form
	}
	return UDH8
}

// mostUnits is what a segment holds with a 16-bit reference, in septets or octets (3GPP TS 23.040 §9.2.3.24.8).
var mostUnits = [...]int{sms.GSM7: 152, sms.UCS2: 133}

// submitWhole submits all segments as one; what becomes of it becomes of each.
func (g *Gateway) submitWhole(ctx context.Context, mt sms.MT) []sms.Outcome {
	if len(mt.Segments) == 0 {
		return nil
	}
	whole := sms.Segment{Number: mt.Segments[0].Number, Text: mt.Text, Coding: mt.Segments[0].Coding}
	id, err := g.submit(ctx, mt, whole, Payload)
	outcomes := make([]sms.Outcome, len(mt.Segments))
	for i, s := range mt.Segments {
		outcomes[i] = sms.Outcome{Segment: s.Number, ID: id, Err: err}
	}
	return outcomes
}

// submit writes a submit_sm to the session whose turn it is, once, and waits for its answer.
func (g *Gateway) submit(ctx context.Context, mt sms.MT, segment sms.Segment, form Concat) (id string, err error) {
	p, err := g.submitSM(mt, segment, form)
	if err != nil {
		return "", err
	}
	s, failure := g.take(ctx, mt.Until)
	if failure != nil {
		return "", failure
	}
	defer g.free(s)
	answer, failure := s.ask(ctx, p, mt.Until)
	switch {
	case failure != nil && failure.Class == sms.Unknown:
		g.doubt(s)
		return "", failure
	case failure != nil:
		return "", failure
	case answer.status == invalidBind:
		g.rebind(s)
		fallthrough
	case answer.status != ok:
		return "", answer.status.refusal(mt.Attempt)
	}
	return g.config.ResponseID.normal(messageID(answer.body)), nil
}

// submitSM returns the submit_sm of a segment (SMPP 3.4 §4.4.1).
func (g *Gateway) submitSM(mt sms.MT, segment sms.Segment, form Concat) (*pdu.SubmitSM, error) {
	octets, err := sms.Encode(segment.Text, segment.Coding)
	if err != nil {
		return nil, sms.Fail(sms.Permanent, "", "the text cannot be encoded")
	}
	p := pdu.NewSubmitSM().(*pdu.SubmitSM)
	if p.SourceAddr, err = g.config.Numbering.originator(mt.From); err != nil {
		return nil, err
	}
	if p.DestAddr, err = g.config.Numbering.recipient(mt.To); err != nil {
		return nil, err
	}
	p.ValidityPeriod = validity(mt.Validity)
	p.RegisteredDelivery = data.SM_SMSC_RECEIPT_REQUESTED
	p.RegisterOptionalParam(integer(pdu.TagUserMessageReference, mt.Ref.Reference(segment.Number)))

	c := concatenation{form: form, reference: mt.Ref.Reference(0), total: byte(mt.Count), number: byte(segment.Number)}
	switch {
	case form == Payload && mt.Count > 1:
		p.RegisterOptionalParam(pdu.Field{Tag: pdu.TagMessagePayload, Data: octets})
		octets = nil
	case mt.Count <= 1:
	case form == SAR:
		p.RegisterOptionalParam(integer(pdu.TagSarMsgRefNum, c.reference))
		p.RegisterOptionalParam(pdu.Field{Tag: pdu.TagSarTotalSegments, Data: []byte{c.total}})
		p.RegisterOptionalParam(pdu.Field{Tag: pdu.TagSarSegmentSeqnum, Data: []byte{c.number}})
	default:
		p.EsmClass = udhi
		octets = append(c.octets(), octets...)
	}
	if err := p.Message.SetMessageDataWithEncoding(octets, codings[segment.Coding]); err != nil {
		return nil, sms.Fail(sms.Permanent, "", fmt.Sprintf("segment %d does not fit a submit_sm", segment.Number))
	}
	return p, nil
}

// codings are the values of data_coding (SMPP 3.4 §5.2.19). The SMSC's default alphabet is GSM 7, a septet an octet. What gosmpp would encode it never
// gets: the octets are ours.
var codings = [...]data.Encoding{sms.GSM7: data.GSM7BIT, sms.UCS2: data.UCS2}

func integer(tag pdu.Tag, n uint16) pdu.Field {
	return pdu.Field{Tag: tag, Data: binary.BigEndian.AppendUint16(nil, n)}
}

// validity returns a validity_period in relative format, YYMMDDhhmmss000R (SMPP 3.4 §7.1.1.2), rounded up to a second; empty, the SMSC's default, for 0.
func validity(d time.Duration) string {
	const day, month = 24 * time.Hour, 30 * 24 * time.Hour
	if d <= 0 {
		return ""
	}
	d = (min(d, 63*7*day) + time.Second - 1).Truncate(time.Second) // at most 63 weeks (3GPP TS 23.040 §9.2.3.12.1)
	months := time.Duration(0)
	if d > 31*day {
		months, d = d/month, d%month
	}
	return fmt.Sprintf("%02d%02d%02d%02d%02d%02d000R", months/12, months%12, d/day, d/time.Hour%24, d/time.Minute%60, d/time.Second%60)
}
