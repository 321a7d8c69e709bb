package sms_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

func TestSender(t *testing.T) {
	for name, c := range map[string]struct {
		given string
		want  contacts.Number
	}{
		"a name":                          {"My Bank", "My Bank"},
		"a name in other letters":         {"Банк é", "Банк é"},
		"a short code":                    {"22255", "22255"},
		"a number with blanks":            {"+49 151 12345678", "+49 151 12345678"},
		"national":                        {"0176 04069001", "0176 04069001"},
		"national, no trunk prefix":       {"2125551234", "02125551234"},
		"as long as a number can be":      {"212555123456789", "0212555123456789"},
		"longer than a number":            {"2125551234567890", "2125551234567890"},
		"blanks around it":                {"\t ACME \r\n", "ACME"},
		"nothing":                         {"", ""},
		"blanks only":                     {" \u00a0\n", ""},
		"too long":                        {strings.Repeat("é", 30), contacts.Number(strings.Repeat("é", 20))},
		"control characters":              {"A\x00C\x1b[2JM\x7fE", "A\ufffdC\ufffd[2JM\ufffdE"},
		"right to left":                   {"ACME\u202e1", "ACME\ufffd1"},
		"not UTF-8":                       {"Caf\xe9", "Caf\ufffd"},
		"a number but for a NUL":          {"49151\x0012345678", "49151\ufffd12345678"},
		"a number before what is cut off": {"4915112345678       ext. 9", "04915112345678"},
	} {
		if got := sms.Sender(c.given); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func FuzzSender(f *testing.F) {
	for _, s := range []string{"ACME", "2125551234", "4915112345678       x", "A\x00\xff", "", " "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, given string) {
		s := string(sms.Sender(given))
		if _, err := contacts.ParseNumber(s); err == nil {
			t.Errorf("%q became the number %q", given, s)
		}
		control := strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) })
		if utf8.RuneCountInString(s) > 20 || !utf8.ValidString(s) || control || strings.TrimSpace(s) != s || s == "" && strings.TrimSpace(given) != "" {
			t.Errorf("%q became %q", given, s)
		}
	})
}
