package smshttp

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// twilioForm returns the parameters of a callback: those of the body, or of the query of a GET.
func twilioForm(r *http.Request, body []byte) (url.Values, error) {
	if r.Method == http.MethodPost {
		return url.ParseQuery(string(body))
	}
	return url.ParseQuery(r.URL.RawQuery)
}

// twilioSigned reports whether Twilio has signed a call of a URL of ours (Twilio: webhooks security). Which host the caller named does not count.
func twilioSigned(r *http.Request, ours string, body []byte, token string) bool {
	given := r.Header.Get("X-Twilio-Signature")
	form := url.Values{}
	if r.Method == http.MethodPost {
		var err error
		if form, err = url.ParseQuery(string(body)); err != nil {
			return false
		}
	}
	if r.URL.RawQuery != "" {
		ours += "?" + r.URL.RawQuery
	}
	right := false
	for _, as := range spellings(ours) {
		right = equal(given, twilioSignature(token, as, form)) || right
	}
	return right && token != ""
}

// spellings are the ways in which Twilio may write a URL that it signs: with or without the standard port, as its libraries know, and the overrides.
func spellings(ours string) []string {
	all := []string{ours}
	if u, err := url.Parse(ours); err == nil {
		port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
		switch u.Port() {
		case "":
			all = append(all, strings.Replace(ours, "//"+u.Host, "//"+u.Host+":"+port, 1))
		case port:
			all = append(all, strings.Replace(ours, "//"+u.Host, "//"+strings.TrimSuffix(u.Host, ":"+port), 1))
		}
	}
	for _, as := range all {
		all = append(all, as+twilioRetries)
	}
	return all
}

// twilioSignature is the base64 of the HMAC-SHA1 of the URL and the parameters, which are sorted by name and follow without separators. Of several values
// of one name each different one counts once.
func twilioSignature(token, address string, form url.Values) string {
	mac := hmac.New(sha1.New, []byte(token))
	mac.Write([]byte(address))
	for _, name := range slices.Sorted(maps.Keys(form)) {
		values := slices.Sorted(slices.Values(form[name]))
		for _, value := range slices.Compact(values) {
			mac.Write([]byte(name))
			mac.Write([]byte(value))
		}
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
