package sms

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/seed-7a41469f/godwit/contacts"
)

// Money is an amount in one currency.
type Money struct {
	Micros   int64  // millionths of the currency's unit
	Currency string // ISO 4217
}

// String returns the amount and the currency, as in "0.075 EUR"; "" for none.
func (m Money) String() string {
	if m.Currency == "" {
		return ""
	}
	sign, micros := "", uint64(m.Micros)
	if m.Micros < 0 {
		sign, micros = "-", -micros
	}
	amount := fmt.Sprintf("%s%d.%06d", sign, micros/1e6, micros%1e6)
	return strings.TrimSuffix(strings.TrimRight(amount, "0"), ".") + " " + m.Currency
}

var money = regexp.MustCompile(`^([0-9]{1,12})(?:\.([0-9]{1,6}))? ([A-Z]{3})$`)

// ParseMoney reads what String writes: an amount that is not negative, with at most 12 digits before and six behind the point, a blank and a currency.
func ParseMoney(text string) (Money, error) {
	part := money.FindStringSubmatch(text)
	if part == nil {
		return Money{}, fmt.Errorf("%q is no amount of money; write one like 0.075 EUR, with a currency of ISO 4217", text)
	}
	units, _ := strconv.ParseInt(part[1], 10, 64) // 12 digits always fit
	micros, _ := strconv.ParseInt((part[2] + "000000")[:6], 10, 64)
	return Money{Micros: units*1e6 + micros, Currency: part[3]}, nil
}

// Prices says what a segment costs by the prefix of its recipient. The zero value knows no price.
type Prices struct {
	Currency string
	Micros   map[string]int64 // by prefix of the number, digits; "*": all others
}

// Of returns what a segment to a number costs: the price of the longest prefix. ok false: there is none.
func (p Prices) Of(to contacts.Number) (price Money, ok bool) {
	key, ok := LongestPrefix(to, func(prefix string) bool { _, ok := p.Micros[prefix]; return ok })
	if !ok {
		return Money{}, false
	}
	return Money{Micros: p.Micros[key], Currency: p.Currency}, true
}

// LongestPrefix returns the longest prefix of a number that has is true for, "*" when none is but that.
func LongestPrefix(n contacts.Number, has func(prefix string) bool) (prefix string, ok bool) {
	for i := len(n); i > 0; i-- {
		if has(string(n[:i])) {
			return string(n[:i]), true
		}
	}
	return "*", has("*")
}

// Times returns n times the amount; what an int64 does not hold becomes the greatest or least that it does.
func (m Money) Times(n int) Money {
	micros := m.Micros * int64(n)
	if m.Micros != 0 && (micros/m.Micros != int64(n) || m.Micros == -1 && micros == math.MinInt64) {
		micros = math.MaxInt64
		if (m.Micros < 0) != (n < 0) {
			micros = math.MinInt64
		}
	}
	return Money{micros, m.Currency}
}

// CallingCode returns the country calling code that a number begins with (ITU-T E.164 §6.2.1).
func CallingCode(n contacts.Number) string {
	switch {
	case len(n) < 3:
		return string(n)
	case n[0] == '1' || n[0] == '7':
		return string(n[:1])
	case strings.Contains(twoDigitCodes, " "+string(n[:2])+" "):
		return string(n[:2])
	}
	return string(n[:3])
}

// twoDigitCodes are the assigned country codes of two digits (list of ITU-T E.164 assigned country codes).
const twoDigitCodes = " 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98 "
