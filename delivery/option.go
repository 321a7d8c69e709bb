package delivery

import (
	"errors"
	"fmt"
	"time"
)

// ErrOption is wrapped by the errors of Message.SetOption: on MQTT reason code 0x99 (MQTT 5 §3.4.2.1), over HTTP 400.
var ErrOption = errors.New("an option has no such value")

// The options of a message: user properties of a PUBLISH (MQTT 5 §3.3.2.3.7), fields over HTTP.
const (
	OptionSMS      = "sms"
	OptionAfter    = "after"
	OptionReceipts = "receipts"
)

const shortestWait = time.Second

var smsPolicies = map[string]SMSPolicy{"auto": SMSAuto, "never": SMSNever, "only": SMSOnly}

var receiptsWanted = map[string]Receipts{"none": ReceiptsNone, "final": ReceiptsFinal, "all": ReceiptsAll}

// SetOption sets what an option of a new message says; one that is none is passed over. It is called once To is set. A wait that is too short becomes the
// shortest; Publish clamps one that is too long. The error wraps ErrOption and says what is allowed.
func (m *Message) SetOption(name, value string) error {
	ok := true
	switch name {
	case OptionSMS:
		if m.SMSPolicy, ok = smsPolicies[value]; !ok {
			return fmt.Errorf("%w: sms is auto, never or only, not %.40q", ErrOption, value)
		}
		if _, number := m.To.Number(); !number && m.SMSPolicy == SMSOnly {
			return fmt.Errorf("%w: sms cannot be only where the recipient is a name, which never gets an SMS", ErrOption)
		}
	case OptionReceipts:
		if m.Receipts, ok = receiptsWanted[value]; !ok {
			return fmt.Errorf("%w: receipts is none, final or all, not %.40q", ErrOption, value)
		}
	case OptionAfter:
		wait, err := time.ParseDuration(value)
		if err != nil || wait < 0 {
			return fmt.Errorf("%w: after is how long to wait for the app, such as 30s or 5m, not %.40q", ErrOption, value)
		}
		m.Wait = max(wait, shortestWait)
	}
	return nil
}
