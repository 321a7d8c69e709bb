package smshttp

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// maxCallback is how many octets the body of a callback may have.
const maxCallback = 64 << 10

// errMalformed is wrapped by what take returns for a call that cannot be read, and that need not come again.
var errMalformed = errors.New("malformed callback")

// errNoUse is wrapped by what take returns for a call that is understood and that nobody could do anything with: it is acknowledged, so that it
// does not come again, and logged.
var errNoUse = errors.New("dropped")

// malformed returns an error that wraps errMalformed. Its text goes to the log and the caller: no number and no text of a message in it.
func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errMalformed, fmt.Sprintf(format, args...))
}

// noUse returns an error that wraps errNoUse, for the log: no number and no text of a message in it.
func noUse(why string) error { return fmt.Errorf("%w: %s", errNoUse, why) }

// A callback handles what a carrier calls: GET or POST, with a body of at most 64 KiB. It fails closed.
type callback struct {
	what      string                                                        // "gateway twilio: dlr", for the log
	authentic func(r *http.Request, body []byte) bool                       // whether the carrier made the call; else it is answered 403
	take      func(ctx context.Context, r *http.Request, body []byte) error // nil: durable; errMalformed: 400; errNoUse: acknowledged; else 503
	answer    func(w http.ResponseWriter)                                   // to what was taken; nil: 204
	log       zerolog.Logger
	noise     rate.Sometimes // what strangers cause must not flood the log
}

func newCallback(c *callback) http.Handler {
	c.noise = rate.Sometimes{First: 3, Interval: 10 * time.Second}
	return c
}

// ServeHTTP implements http.Handler.
func (c *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "a callback is GET or POST", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCallback))
	if err != nil {
		status := http.StatusBadRequest
		if e := (*http.MaxBytesError)(nil); errors.As(err, &e) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, "the body cannot be read, or has more than 64 KiB", status)
		return
	}
	if !c.authentic(r, body) {
		c.noise.Do(func() {
			c.log.Warn().Str("callback", c.what).Msg("refused a callback without the right secret or signature: compare the carrier's settings with ours")
		})
		http.Error(w, "the secret or signature is missing or wrong", http.StatusForbidden)
		return
	}
	err = c.take(r.Context(), r, body)
	if errors.Is(err, errNoUse) {
		c.log.Warn().Str("callback", c.what).Err(err).Msg("acknowledged a callback that is of no use")
		err = nil
	}
	switch {
	case err == nil && c.answer != nil:
		c.answer(w)
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, errMalformed):
		c.noise.Do(func() { c.log.Warn().Str("callback", c.what).Err(err).Msg("refused a callback that cannot be read") })
		http.Error(w, err.Error(), http.StatusBadRequest)
	case errors.Is(err, errAgain):
		http.Error(w, err.Error()+", call again", http.StatusServiceUnavailable)
	default:
		c.log.Error().Str("callback", c.what).Err(err).Msg("a callback could not be stored: the carrier must call again")
		http.Error(w, "it could not be stored, call again", http.StatusServiceUnavailable)
	}
}

// keyed authenticates by ?key=<secret>. Without a secret every call is refused.
func keyed(secret string) func(*http.Request, []byte) bool {
	return func(r *http.Request, _ []byte) bool { return secret != "" && equal(r.URL.Query().Get("key"), secret) }
}

// equal compares in a time that tells nothing of the secret, its length included.
func equal(given, secret string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// number reads a number as carriers write it: with +, 00 or neither before the country code. A + that was not escaped in a query reads as a blank.
func number(s string) (contacts.Number, error) {
	s = strings.TrimSpace(s)
	if rest, ok := strings.CutPrefix(s, "+"); ok {
		s = rest
	} else if rest, ok := strings.CutPrefix(s, "00"); ok {
		s = rest
	}
	return contacts.ParseNumber(s)
}

// sender reads where an MO comes from, as sms.MO.From has it; empty: nothing is there.
func sender(s string) contacts.Number {
	if n, err := number(s); err == nil {
		return n
	}
	return sms.Sender(s)
}

// moNumbers reads where an MO comes from, and the number that it went to. own is what the gateway's number is configured to be, for carriers that tell none or a
// short code.
func moNumbers(from, to string, own contacts.Number) (peer, ours contacts.Number, err error) {
	if peer = sender(from); peer == "" {
		return "", "", malformed("an MO that does not say where it comes from")
	}
	if ours, err = number(to); err != nil {
		if own == "" {
			return "", "", malformed("the number that an MO went to is not in international form: configure the gateway's own number")
		}
		ours = own
	}
	return peer, ours, nil
}
