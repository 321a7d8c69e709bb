package hooks

import (
	"strings"
	"unicode/utf8"

	"github.com/seed-7a41469f/godwit/contacts"
)

const (
	maxFilter   = 512 // octets of a topic filter
	maxFilters  = 64  // subscriptions a device
	maxClientID = 128 // octets; a client id never becomes a file name, but it is kept with the user
	inboxRoot   = "u/"
)

// clean reports whether s has no control characters and no code points that are none (MQTT 5 §1.5.4: a receiver may refuse them).
func clean(s string) bool {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c < 0x20 || c == 0x7F {
				return false
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || r < 0xA0 || r&0xFFFE == 0xFFFE || r >= 0xFDD0 && r <= 0xFDEF {
			return false
		}
		i += n
	}
	return true
}

// validFilter reports whether s is a topic filter (MQTT 5 §4.7.1): wildcards stand alone in their level, # only in the last.
func validFilter(s string) bool {
	if s == "" || len(s) > maxFilter || !clean(s) {
		return false
	}
	for level, more := "", true; more; {
		level, s, more = strings.Cut(s, "/")
		if strings.ContainsAny(level, "+#") && len(level) > 1 || level == "#" && more {
			return false
		}
	}
	return true
}

// covers reports whether every topic that filter matches is matched by outer.
func covers(outer, filter string) bool {
	if strings.HasPrefix(filter, "$") != strings.HasPrefix(outer, "$") {
		return false // wildcards do not match topics that begin with $ (MQTT 5 §4.7.2)
	}
	for {
		o, outerRest, outerMore := strings.Cut(outer, "/")
		f, filterRest, filterMore := strings.Cut(filter, "/")
		switch {
		case o == "#":
			return true
		case f == "#" || o != "+" && o != f:
			return false
		case !filterMore:
			return !outerMore || outerRest == "#" // sport/# matches sport too (MQTT 5 §4.7.1.2)
		case !outerMore:
			return false
		}
		outer, filter = outerRest, filterRest
	}
}

// isInbox reports whether a filter is wholly below the user's own prefix.
func isInbox(user contacts.Address, filter string) bool {
	rest, ok := strings.CutPrefix(filter, inboxRoot)
	if !ok {
		return false
	}
	rest, ok = strings.CutPrefix(rest, string(user))
	return ok && len(rest) > 1 && rest[0] == '/'
}

// coveredBy reports whether one of the open filters covers a topic or filter.
func coveredBy(open []string, filter string) bool {
	for _, o := range open {
		if covers(o, filter) {
			return true
		}
	}
	return false
}
