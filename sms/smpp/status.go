package smpp

import (
	"fmt"

	"github.com/linxGnu/gosmpp/data"

	"github.com/seed-7a41469f/godwit/sms"
)

// A status is a command_status (SMPP 3.4 §5.1.3).
type status uint32

// The statuses that decide more than a class.
const (
	ok             = status(data.ESME_ROK)
	invalidLength  = status(data.ESME_RINVCMDLEN)
	invalidCommand = status(data.ESME_RINVCMDID)
	invalidBind    = status(data.ESME_RINVBNDSTS)
	submitFailed   = status(data.ESME_RSUBMITFAIL)
	refusedForNow  = status(data.ESME_RX_T_APPN)
	refusedForever = status(data.ESME_RX_P_APPN)
)

// submitFailedMost is how many attempts submitFailed leaves open.
const submitFailedMost = 2

// statuses says what a refusal means for the segment, by its command_status. What is not here is Temporary: reserved and vendor's codes
// (from 0x400) are most often a matter of load, and a refusal was certainly not taken, so that another try sends nothing twice.
var statuses = map[status]struct {
	class sms.Class
	text  string
}{
	0x01: {sms.Permanent, "message length is invalid"},
	0x02: {sms.Permanent, "command length is invalid"},
	0x03: {sms.Configuration, "the SMSC does not know the command"},
	0x04: {sms.NotSent, "the SMSC takes the session for one that may not submit; it is bound anew"},
	0x05: {sms.Temporary, "already bound: an older session is still open at the SMSC, or it allows fewer"},
	0x06: {sms.Permanent, "invalid priority flag"},
	0x07: {sms.Permanent, "invalid registered delivery flag"},
	0x08: {sms.Temporary, "system error of the SMSC"},
	0x0A: {sms.Permanent, "invalid source address"},
	0x0B: {sms.Permanent, "invalid destination address"},
	0x0D: {sms.Configuration, "bind failed: look at system_id, password and system_type"},
	0x0E: {sms.Configuration, "invalid password"},
	0x0F: {sms.Configuration, "invalid system_id"},
	0x14: {sms.Throttled, "message queue full"},
	0x15: {sms.Configuration, "invalid service_type: the account wants another than the default"},
	0x33: {sms.Permanent, "invalid number of destinations"},
	0x40: {sms.Permanent, "invalid destination flag"},
	0x43: {sms.Permanent, "invalid esm_class: choose another form of concatenation"},
	0x45: {sms.Temporary, "submit failed"},
	0x48: {sms.Permanent, "invalid type of number of the source address"},
	0x49: {sms.Permanent, "invalid numbering plan of the source address"},
	0x50: {sms.Permanent, "invalid type of number of the destination address"},
	0x51: {sms.Permanent, "invalid numbering plan of the destination address"},
	0x53: {sms.Configuration, "invalid system_type"},
	0x58: {sms.Throttled, "throttled: more than the account may submit"},
	0x61: {sms.Permanent, "invalid scheduled delivery time"},
	0x62: {sms.Permanent, "invalid validity period"},
	0x63: {sms.Permanent, "invalid predefined message"},
	0x64: {sms.Temporary, "temporary error of the receiver"},
	0x65: {sms.Permanent, "permanent error of the receiver"},
	0x66: {sms.Permanent, "rejected by the receiver"},
	0xC0: {sms.Permanent, "optional parameters are malformed"},
	0xC1: {sms.Configuration, "the SMSC refuses an optional parameter: choose another form of concatenation"},
	0xC2: {sms.Permanent, "invalid parameter length"},
	0xC3: {sms.Permanent, "an optional parameter is missing"},
	0xC4: {sms.Permanent, "invalid value of an optional parameter"},
	0xFE: {sms.Temporary, "delivery failure"},
	0xFF: {sms.Temporary, "unknown error of the SMSC"},
}

func (s status) String() string { return fmt.Sprintf("0x%02x", uint32(s)) }

// refusal is the error of a status other than ok; attempt counts the claims of the message, 0: it is no matter of a message.
func (s status) refusal(attempt int) *sms.Error {
	means, known := statuses[s]
	if !known {
		means.class, means.text = sms.Temporary, "refused with a code that SMPP 3.4 does not give a meaning"
	}
	if s == submitFailed && attempt > submitFailedMost {
		means.class = sms.Permanent
	}
	return sms.Fail(means.class, s.String(), means.text)
}
