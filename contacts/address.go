package contacts

import (
	"errors"
	"fmt"
)

// A Number is an E.164 number in canonical form: 7 to 15 ASCII digits, no leading zero, no "+".
type Number string

// A Name addresses something without a SIM, such as a boiler: [a-z][a-z0-9._-]{0,63}. It never gets an SMS.
type Name string

// An Address is a Number or a Name; it is also the MQTT username.
type Address string

// ErrAddress is wrapped by every error of ParseNumber, ParseName and ParseAddress.
var ErrAddress = errors.New("not an address")

const (
	minDigits = 7 // ITU-T E.164 leaves the minimum open; shorter ones are short codes
	maxDigits = 15
	maxName   = 64
)

// ParseNumber accepts the canonical form only (ITU-T E.164 §6).
func ParseNumber(s string) (Number, error) {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return "", fmt.Errorf("%w: byte %d of a number is not an ASCII digit; write it as 4915112345678, without +, 00 or spaces", ErrAddress, i+1)
		}
	}
	if len(s) < minDigits || len(s) > maxDigits {
		return "", fmt.Errorf("%w: a number has %d to %d digits, this has %d", ErrAddress, minDigits, maxDigits, len(s))
	}
	if s[0] == '0' {
		return "", fmt.Errorf("%w: a number starts with its country code, not with 0", ErrAddress)
	}
	return Number(s), nil
}

// ParseName accepts [a-z][a-z0-9._-]{0,63}.
func ParseName(s string) (Name, error) {
	if s == "" || len(s) > maxName {
		return "", fmt.Errorf("%w: a name has 1 to %d characters, this has %d", ErrAddress, maxName, len(s))
	}
	if !isLower(s[0]) {
		return "", fmt.Errorf("%w: a name starts with a letter a-z", ErrAddress)
	}
	for i := range len(s) {
		if c := s[i]; !isLower(c) && !isDigit(c) && c != '.' && c != '_' && c != '-' {
			return "", fmt.Errorf("%w: byte %d of a name is none of a-z 0-9 . _ -", ErrAddress, i+1)
		}
	}
	return Name(s), nil
}

// ParseAddress accepts a canonical Number or a Name.
func ParseAddress(s string) (Address, error) {
	switch {
	case s != "" && isDigit(s[0]):
		n, err := ParseNumber(s)
		return Address(n), err
	case s != "" && isLower(s[0]):
		n, err := ParseName(s)
		return Address(n), err
	}
	return "", fmt.Errorf("%w: it is a number such as 4915112345678, without + and spaces, or a name that starts with a letter a-z", ErrAddress)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isLower(c byte) bool { return c >= 'a' && c <= 'z' }

// Number returns the number that a is; false when a is a name.
func (a Address) Number() (Number, bool) {
	if a == "" || !isDigit(a[0]) {
		return "", false
	}
	return Number(a), true
}

// Mask is the form for logs: "+49…78" for a number, the name itself for a name.
func (a Address) Mask() string {
	if n, ok := a.Number(); ok {
		return n.Mask()
	}
	return string(a)
}

// Mask is the form for logs: "+49…78".
func (n Number) Mask() string {
	if len(n) < minDigits {
		return "…"
	}
	return "+" + string(n[:2]) + "…" + string(n[len(n)-2:])
}
