package smpp

import (
	"strings"
	"unicode"

	"github.com/linxGnu/gosmpp/pdu"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

const (
	international  = 1  // a type of number (SMPP 3.4 §5.2.5); 0 is unknown
	alphanumeric   = 5  // that of a name
	longestAddress = 20 // octets of source_addr and destination_addr (SMPP 3.4 §5.2.8, 5.2.9)
	longestShort   = 6  // digits of a short code
)

// originator returns the source address of what comes from a number, a short code or a name. None is left to the SMSC.
func (n Numbering) originator(from string) (a pdu.Address, err error) {
	from = strings.TrimPrefix(from, "+")
	if len(from) > longestAddress || strings.ContainsFunc(from, func(r rune) bool { return r < ' ' || r > '~' }) {
		return a, sms.Fail(sms.Permanent, "", "an originator has up to 20 characters of ASCII, and as a name 11")
	}
	var plan Plan
	switch {
	case from == "":
	case !isDigits(from):
		plan = *n.Alphanumeric
	case len(from) <= longestShort:
		plan = *n.ShortCode
	default:
		plan = *n.Number
	}
	return pdu.NewAddressWithTonNpiAddr(plan.TON, plan.NPI, from)
}

// recipient returns the destination address.
func (n Numbering) recipient(to contacts.Number) (a pdu.Address, err error) {
	if _, err := contacts.ParseNumber(string(to)); err != nil {
		return a, sms.Fail(sms.Permanent, "", "the recipient is no number in the form of E.164")
	}
	return pdu.NewAddressWithTonNpiAddr(n.Number.TON, n.Number.NPI, string(to))
}

// number returns a number as MT and MO have it: without what makes it international, where it is. A name stays as it is.
func (a address) number() string {
	d := strings.TrimSpace(a.digits)
	if a.TON == alphanumeric {
		return d
	}
	d = strings.TrimPrefix(d, "+")
	if a.TON <= international {
		d = strings.TrimPrefix(d, "00")
	}
	return d
}

// sender returns the source address of an MO, as sms.MO.From has it. Only what is called international, by its type or a +, or is of no known type can be an
// international number: a national or network specific one (and a name) may have the same digits as one of somebody else.
func (a address) sender() contacts.Number {
	plus := a.TON != alphanumeric && strings.HasPrefix(strings.TrimSpace(a.digits), "+")
	if a.TON <= international || plus {
		if n, err := contacts.ParseNumber(a.number()); err == nil {
			return n
		}
	}
	return sms.Sender(a.digits)
}

// mask returns an address for logs.
func (a address) mask() string {
	n := a.number()
	switch {
	case isDigits(n):
		return contacts.Number(n).Mask()
	case strings.ContainsFunc(n, unicode.IsDigit), len(n) > longestAddress, strings.ContainsFunc(n, unicode.IsControl):
		return "…"
	}
	return n
}

func isDigits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}
