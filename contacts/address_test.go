package contacts_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/contacts"
)

func TestParseAddress(t *testing.T) {
	for _, c := range []struct {
		name, in string
		ok       bool
	}{
		{"German mobile", "4915112345678", true},
		{"Chinese mobile", "8613800138000", true},
		{"shortest, 7 digits", "1234567", true},
		{"longest, 15 digits", "123456789012345", true},
		{"6 digits", "123456", false},
		{"16 digits", "1234567890123456", false},
		{"empty", "", false},
		{"plus", "+4915112345678", false},
		{"00", "004915112345678", false},
		{"leading zero", "0151123456", false},
		{"tel:", "tel:4915112345678", false},
		{"tel:+", "tel:+4915112345678", false},
		{"spaces", "49 151 12345678", false},
		{"leading space", " 4915112345678", false},
		{"trailing newline", "4915112345678\n", false},
		{"trailing NUL", "4915112345678\x00", false},
		{"hyphens", "49-151-12345678", false},
		{"brackets", "49(0)15112345678", false},
		{"full-width digits", "４９１５１１２３４５６７８", false},
		{"one full-width digit", "491511234567８", false},
		{"Arabic-Indic digits", "٤٩١٥١١٢٣٤٥٦٧٨", false},
		{"superscript two", "4915112345²78", false},
		{"zero-width space", "49151\u200b12345678", false},
		{"zero-width joiner in front", "\u200d4915112345678", false},
		{"right-to-left override", "\u202e4915112345678", false},
		{"bidi isolate", "\u20684915112345678\u2069", false},
		{"byte order mark", "\ufeff4915112345678", false},
		{"no-break space", "49\u00a015112345678", false},
		{"soft hyphen", "49151\u00ad12345678", false},
		{"broken UTF-8", "49151\xff12345678", false},
		{"extension", "4915112345678;ext=1", false},
		{"hexadecimal", "0x4915112345", false},
		{"exponent", "491511e5678", false},
		{"letter behind digits", "4915112345678a", false},
		{"topic separator", "4915112345678/in", false},
		{"wildcard", "#", false},

		{"name", "boiler", true},
		{"one letter", "a", true},
		{"all that a name may have", "a0.9_z-", true},
		{"64 characters", "a" + strings.Repeat("b", 63), true},
		{"65 characters", "a" + strings.Repeat("b", 64), false},
		{"upper case", "Boiler", false},
		{"upper case inside", "boileR", false},
		{"dot in front", ".boiler", false},
		{"hyphen in front", "-boiler", false},
		{"space inside", "my boiler", false},
		{"separator in a name", "boiler/in", false},
		{"wildcard in a name", "boiler+", false},
		{"Cyrillic a", "bоiler", false},
		{"zero-width space in a name", "boil\u200ber", false},
		{"ligature", "boﬁler", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := contacts.ParseAddress(c.in)
			if (err == nil) != c.ok {
				t.Fatalf("%q: error %v, want accepted: %v", c.in, err, c.ok)
			}
			if c.ok && string(a) != c.in {
				t.Fatalf("%q became %q", c.in, a)
			}
			if !c.ok && (!errors.Is(err, contacts.ErrAddress) || a != "") {
				t.Fatalf("%q: %q, %v: not empty, or no ErrAddress", c.in, a, err)
			}
		})
	}
}

func TestMask(t *testing.T) {
	for in, want := range map[contacts.Address]string{"4915112345678": "+49…78", "1234567": "+12…67", "boiler": "boiler"} {
		if got := in.Mask(); got != want {
			t.Errorf("%q is masked as %q, want %q", in, got, want)
		}
	}
	if got := contacts.Number("112").Mask(); got != "…" {
		t.Errorf("what is too short for a number shows as %q", got)
	}
}

var addressPattern = regexp.MustCompile(`\A([1-9][0-9]{6,14}|[a-z][a-z0-9._-]{0,63})\z`)

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"", "4915112345678", "+49", "００", "boiler", "a\u200b", "1234567", "\xff", "0123456789"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := contacts.ParseAddress(s)
		if (err == nil) != addressPattern.MatchString(s) {
			t.Fatalf("%q: %v", s, err)
		}
		if err != nil {
			return
		}
		n, isNumber := a.Number()
		if _, err := contacts.ParseNumber(s); (err == nil) != isNumber {
			t.Fatalf("%q: number %v, %v", s, isNumber, err)
		}
		if _, err := contacts.ParseName(s); (err == nil) == isNumber {
			t.Fatalf("%q: a name and a number", s)
		}
		if isNumber && strings.Contains(a.Mask(), string(n)) {
			t.Fatalf("%q is shown in full", s)
		}
	})
}
