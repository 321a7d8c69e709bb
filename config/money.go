package config

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Money is an amount in one currency of ISO 4217, written as 0.075 EUR. It has the shape of sms.Money.
type Money struct {
	Micros   int64  // millionths of the currency's unit
	Currency string // empty: none is set
}

var (
	money    = regexp.MustCompile(`^([0-9]{1,12})(?:\.([0-9]{1,6}))? ([A-Z]{3})$`)
	errMoney = errors.New("is not an amount of money; write for example 50 EUR or 0.075 EUR, with the currency of ISO 4217 and at most 6 decimals")
)

// ParseMoney reads an amount that is not negative; an empty text is none.
func ParseMoney(s string) (Money, error) {
	if s == "" {
		return Money{}, nil
	}
	part := money.FindStringSubmatch(s)
	if part == nil {
		return Money{}, errMoney
	}
	units, _ := strconv.ParseInt(part[1], 10, 64) // 12 and 6 digits always fit
	micros, _ := strconv.ParseInt((part[2] + "000000")[:6], 10, 64)
	return Money{units*1e6 + micros, part[3]}, nil
}

// String writes the shortest form that ParseMoney reads.
func (m Money) String() string {
	if m.Currency == "" {
		return ""
	}
	amount := strconv.FormatInt(m.Micros/1e6, 10)
	if rest := m.Micros % 1e6; rest != 0 {
		amount += "." + strings.TrimRight(fmt.Sprintf("%06d", rest), "0")
	}
	return amount + " " + m.Currency
}

// MarshalText writes the form that ParseMoney reads.
func (m Money) MarshalText() ([]byte, error) { return []byte(m.String()), nil }
