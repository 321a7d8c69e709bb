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
	if len(s) < minDigits || len(s) > maxDigits {
		return "", fmt.Errorf("%w: a number has %d to %d digits, this has %d characters", ErrAddress, minDigits, maxDigits, len(s))
	}
	if s[0] == '0' {
		return "", fmt.Errorf("%w: a number starts with its country code, not with 0", ErrAddress)
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return "", fmt.Errorf("%w: character %d of a number is not an ASCII digit", ErrAddress, i+1)
		}
	}
	return Number(s), nil
}

// ParseName accepts [a-z][a-z0-9._-]{0,63}.
func ParseName(s string) (Name, error) {
	if s == "" || len(s) > maxName {
		return "", fmt.Errorf("%w: a name has 1 to %d characters, this has %d", ErrAddress, maxName, len(s))
	}
	if s[0] < 'a' || s[0] > 'z' {
		return "", fmt.Errorf("%w: a name starts with a letter a-z", ErrAddress)
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return "", fmt.Errorf("%w: character %d of a name is none of a-z 0-9 . _ -", ErrAddress, i+1)
		}
	}
	return Name(s), nil
}

// ParseAddress accepts a canonical Number or a Name.
func ParseAddress(s string) (Address, error) {
	if s != "" && s[0] >= '0' && s[0] <= '9' {
		n, err := ParseNumber(s)
		return Address(n), err
	}
	n, err := ParseName(s)
	return Address(n), err
}

// Number returns the number that a is; false when a is a name.
func (a Address) Number() (Number, bool) {
	if a == "" || a[0] < '0' || a[0] > '9' {
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
