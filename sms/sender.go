package sms

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed-7a41469f/godwit/contacts"
)

// longestSender is how many characters an address can have (SMPP 3.4 §5.2.8; 3GPP TS 23.040 §9.1.2.5 has fewer).
const longestSender = 20

// Sender is MO.From of an SMS that comes from no number in international form: a name, a short code or a national number, as the carrier gave it but for blanks
// around it, what cannot be printed (U+FFFD stands for it) and what is beyond 20 characters. Empty: there is none. A national number whose digits are those of
// somebody's international one gets a 0 before it, so that contacts.ParseNumber never takes it for that one (ITU-T E.164 §6: no country code begins with 0).
func Sender(given string) contacts.Number {
	runes := []rune(strings.TrimSpace(given))
	runes = runes[:min(len(runes), longestSender)]
	for i, r := range runes {
		if !unicode.IsGraphic(r) {
			runes[i] = utf8.RuneError
		}
	}
	s := strings.TrimSpace(string(runes))
	if _, err := contacts.ParseNumber(s); err == nil {
		s = "0" + s
	}
	return contacts.Number(s)
}
