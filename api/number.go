package api

import (
	"strings"

	"github.com/nyaruka/phonenumbers"

	"github.com/seed-7a41469f/godwit/contacts"
)

// ParseNumber reads a number as a person writes it: in canonical form or with +, in any grouping, and with the region of sms.region also as one dials it at
// home. Digits alone are the canonical form, unless only a mobile of the region has them; those that may be both are refused, since a wrong guess is
// somebody else's phone. An error is a *Problem that begins with what.
func ParseNumber(what, text, region string) (contacts.Number, error) {
	bare := grouping.Replace(strings.TrimSpace(text))
	rest, plus := strings.CutPrefix(bare, "+")
	here, err := contacts.ParseNumber(rest)
	if plus || region == "" {
		if err != nil {
			return "", badRequest("%s: %v", what, err)
		}
		return here, nil
	}
	home, mobile, ok := nationalNumber(bare, region)
	switch {
	case err != nil && ok:
		return home, nil
	case err != nil:
		return "", badRequest("%s: %v; nor is it a number as one dials it in %s", what, err, region)
	case !mobile || home == here:
		return here, nil
	case exists(here):
		return "", badRequest("%s: these digits may be a mobile number of %s or an international one; write it with + and the country code", what, region)
	}
	return home, nil
}

// grouping are the signs that people put between digits (ITU-T E.123 §2).
var grouping = strings.NewReplacer(" ", "", "\u00a0", "", "-", "", ".", "", "/", "", "(", "", ")", "")

// nationalNumber reads a number as it is dialled in a region: with its trunk prefix or without, or abroad with the region's prefix for that.
func nationalNumber(text, region string) (n contacts.Number, mobile, ok bool) {
	p, err := phonenumbers.Parse(text, region)
	if err != nil || !phonenumbers.IsValidNumber(p) {
		return "", false, false
	}
	n, err = contacts.ParseNumber(strings.TrimPrefix(phonenumbers.Format(p, phonenumbers.E164), "+"))
	kind := phonenumbers.GetNumberType(p)
	return n, kind == phonenumbers.MOBILE || kind == phonenumbers.FIXED_LINE_OR_MOBILE, err == nil
}

// exists reports whether the numbering plans know such a number.
func exists(n contacts.Number) bool {
	p, err := phonenumbers.Parse("+"+string(n), "")
	return err == nil && phonenumbers.IsValidNumber(p)
}

// ParseAddress is ParseNumber for what may be a name too.
func ParseAddress(what, text, region string) (contacts.Address, error) {
	if name, err := contacts.ParseName(text); err == nil {
		return contacts.Address(name), nil
	}
	n, err := ParseNumber(what, text, region)
	return contacts.Address(n), err
}
