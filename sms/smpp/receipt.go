package smpp

import (
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/linxGnu/gosmpp/pdu"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// The message types in esm_class (SMPP 3.4 §5.2.12).
const (
	messageType  = 0x3C
	typeMessage  = 0x00
	typeReceipt  = 0x04
	typeProgress = 0x20 // an intermediate notification
)

// messageStates are the values of message_state (SMPP 3.4 §5.2.28; 0 and 9 are of SMPP 5.0). UNKNOWN claims nothing, and so ends nothing.
var messageStates = map[byte]string{0: "SCHEDULED", 1: "ENROUTE", 2: "DELIVRD", 3: "EXPIRED", 4: "DELETED", 5: "UNDELIV", 6: "ACCEPTD", 7: "UNKNOWN", 8: "REJECTD", 9: "SKIPPED"}

// states are the words of receipts (SMPP 3.4 appendix B, and what SMSCs make of them).
var states = map[string]sms.DLRState{
	"DELIVRD": sms.DeliveredSMS, "DELIVERED": sms.DeliveredSMS,
	"EXPIRED": sms.Undelivered, "DELETED": sms.Undelivered, "UNDELIV": sms.Undelivered, "UNDELIVERABLE": sms.Undelivered, "UNDELIVERED": sms.Undelivered,
	"REJECTD": sms.Undelivered, "REJECTED": sms.Undelivered, "FAILED": sms.Undelivered, "SKIPPED": sms.Undelivered,
	"ACCEPTD": sms.Enroute, "ACCEPTED": sms.Enroute, "ENROUTE": sms.Enroute, "BUFFRED": sms.Enroute, "BUFFERED": sms.Enroute, "SCHEDULED": sms.Enroute,
	"UNKNOWN": sms.Enroute,
}

// A receipt is the text of a delivery receipt: id:… sub:… dlvrd:… submit date:… done date:… stat:… err:… text:… (SMPP 3.4 appendix B).
type receipt struct {
	id, done, stat, err string
	whole               bool // nothing but fields of a receipt, and enough of them that nobody would write it by chance
}

// receiptFields are its names. The text that follows the last is the SMS's, and is never looked at.
var receiptFields = []string{"id:", "sub:", "dlvrd:", "submit date:", "done date:", "stat:", "err:", "text:"}

// readReceipt reads what there is of a receipt: fields in any order and case, with or without values, and with blanks between.
func readReceipt(text string) (r receipt) {
	rest := blank(text)
	fields, strange := map[string]string{}, false
	for rest != "" {
		name, after := cutField(rest)
		if name == "text:" {
			break
		}
		if name == "" { // a value behind a blank, or something else
			_, after = cutWord(rest)
			rest, strange = blank(after), true
			continue
		}
		value, next := cutWord(after)
		if value == "" { // nothing, or a blank before it
			if other, _ := cutField(blank(next)); other == "" {
				value, next = cutWord(blank(next))
			}
		}
		if _, twice := fields[name]; !twice {
			fields[name] = value
		}
		rest = blank(next)
	}
	r = receipt{id: fields["id:"], done: fields["done date:"], stat: strings.ToUpper(fields["stat:"]), err: fields["err:"]}
	r.whole = !strange && r.id != "" && states[r.stat] != 0 && len(fields) >= 4
	return r
}

// blank takes off what separates fields; SMSCs end receipts with NUL.
func blank(s string) string { return strings.TrimLeft(s, " \t\r\n\x00") }

func cutWord(s string) (word, rest string) {
	if i := strings.IndexAny(s, " \t\r\n\x00"); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

func cutField(s string) (name, rest string) {
	for _, name := range receiptFields {
		if len(s) >= len(name) && strings.EqualFold(s[:len(name)], name) {
			return name, s[len(name):]
		}
	}
	return "", s
}

// readDate reads a date of a receipt: YYMMDDhhmm, with seconds, or with the century; zero: it is none.
func readDate(s string, zone *time.Location) time.Time {
	layouts := map[int][]string{10: {"0601021504"}, 12: {"060102150405"}, 14: {"20060102150405"}}[len(s)]
	if len(s) == 12 && strings.HasPrefix(s, "20") {
		layouts = []string{"200601021504"}
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t
		}
	}
	return time.Time{}
}

// dlr returns the report that a delivery is; is false: it is an MO. One that names no message has neither ID nor Reference.
func (g *Gateway) dlr(d delivery, now time.Time) (r sms.DLR, is bool) {
	text := readReceipt(receiptText(d))
	id, stat := string(d.tlvs[pdu.TagReceiptedMessageID]), ""
	if v := d.tlvs[pdu.TagMessageStateOption]; len(v) == 1 {
		stat = messageStates[v[0]]
	}
	switch kind := d.esmClass & messageType; {
	case kind == typeReceipt, kind == typeProgress:
	case id != "" && stat != "":
	case text.whole: // some SMSCs leave the type out. A phone may write this too: From and To are there for the sink to compare
	default:
		return r, false
	}
	if id == "" {
		id = text.id
	}
	if stat == "" {
		stat = text.stat
	}
	r = sms.DLR{
		Gateway: g.config.Name, ID: g.config.ReceiptID.normal(id), Reference: uint16(d.number(pdu.TagUserMessageReference)),
		From: d.destination.number(), State: sms.Enroute, At: now, Detail: detail(d, stat, text.err),
	}
	if to, err := contacts.ParseNumber(d.source.number()); err == nil {
		r.To = to
	}
	if s, known := states[stat]; known {
		r.State = s
	}
	if done := readDate(text.done, g.config.Zone); !done.IsZero() && done.Before(now) { // one in the future is of another zone
		r.At = done
	}
	return r, true
}

// receiptText returns the text of a receipt. It is ASCII, whatever the alphabet of the SMSC may be: an underscore in an id is one.
func receiptText(d delivery) string {
	_, text := d.segment()
	if d.coding == 0x08 {
		return decode(text, d.coding)
	}
	return string(text)
}

// detail returns what the carrier says about a report, for the trail.
func detail(d delivery, stat, code string) string {
	var parts []string
	if stat = printable(stat, longestCode); stat != "" {
		parts = append(parts, "stat:"+stat)
	}
	if code = printable(code, longestCode); code != "" {
		parts = append(parts, "err:"+code)
	}
	if v := d.tlvs[pdu.TagNetworkErrorCode]; len(v) == 3 {
		parts = append(parts, fmt.Sprintf("network_error_code:%d/%d", v[0], int(v[1])<<8|int(v[2])))
	}
	return strings.Join(parts, " ")
}

// printable keeps of a code what can be shown in a line, at most so many characters.
func printable(s string, most int) string {
	keep := func(r rune) rune {
		if r > ' ' && r <= '~' {
			return r
		}
		return -1
	}
	s = strings.Map(keep, s)
	return s[:min(len(s), most)]
}

// normal returns the one form of an id that responses and receipts share.
func (b IDBase) normal(id string) string {
	id = strings.ToLower(printable(id, longestID))
	digits, base := id, 10
	if b == Hex {
		digits, base = strings.TrimPrefix(id, "0x"), 16
	}
	if b != Text {
		if n, isNumber := new(big.Int).SetString(digits, base); isNumber && n.Sign() >= 0 {
			return n.String()
		}
	}
	if short := strings.TrimLeft(id, "0"); short != "" || id == "" {
		return short
	}
	return "0"
}

const (
	longestID   = 128 // SMPP 3.4 §5.2.23 has 64; what is longer is cut, the same on both sides
	longestCode = 20
)
