package smshttp

import (
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/seed-7a41469f/godwit/contacts"
)

// The window of a gateway that has none configured.
const defaultWindow = 10

// httpURL reads a URL of the configuration, which has a host and no query: a query of our own is put behind it.
func httpURL(gateway, field, value string) (string, error) {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", fmt.Errorf("gateway %s: %s is no URL like https://host/path (http or https, without user, query and fragment)", gateway, field)
	}
	return strings.TrimSuffix(value, "/"), nil
}

// required says which field is empty.
func required(gateway string, fields ...[2]string) error {
	for _, f := range fields {
		if f[1] == "" {
			return fmt.Errorf("gateway %s: %s is missing", gateway, f[0])
		}
	}
	return nil
}

// international writes a number with the + by which a carrier knows that it is one (ITU-T E.123); a name or short code as it is.
func international(s string) string {
	if n, err := contacts.ParseNumber(s); err == nil {
		return "+" + string(n)
	}
	return s
}

// maskFrom is an originator for the wire log.
func maskFrom(s string) string {
	if n, err := contacts.ParseNumber(s); err == nil {
		return n.Mask()
	}
	return s
}

// oneLine is what a carrier said, for trails and logs: at most max octets, without what is not printable.
func oneLine(s string, max int) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	for len(s) > max {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}
