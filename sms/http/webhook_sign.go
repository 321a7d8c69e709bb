package smshttp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Signature is how a carrier signs its callbacks with the key that it shares with us: always HMAC-SHA256.
type Signature string

// The signatures. X-Signature is in hexadecimal digits, with or without "sha256=" before them.
const (
	SignedBody     Signature = "body"           // X-Signature is over the raw body
	SignedBodyTime Signature = "body+timestamp" // X-Signature is over the raw body and X-Timestamp (seconds), which follows it

	// These two do not sign the content: only TLS keeps others from changing it.
	SignedTime Signature = "timestamp" // the field sign is over the field timestamp (milliseconds), a line feed and the key, in Base64
	SignedJWT  Signature = "jwt"       // Authorization has a bearer token with HS256 (RFC 7519)
)

// How far the clock of a carrier may be off, which is how long a callback can be repeated at most.
const (
	drift    = 5 * time.Minute
	maxToken = time.Hour // a token may be good for so long
)

// A seal is what authenticates one callback. A callback with a time can be recognised when it comes a second time.
type seal struct {
	text  string
	until time.Time // zero: it has no time
}

// open returns the seal of a callback; false: it is missing, wrong or stale.
func (s Signature) open(key string, r *http.Request, body []byte, now time.Time) (seal, bool) {
	if key == "" {
		return seal{}, false
	}
	switch s {
	case SignedBody:
		given := r.Header.Get("X-Signature")
		return seal{text: given}, equalHex(given, mac(key, string(body)))
	case SignedBodyTime:
		given, at := r.Header.Get("X-Signature"), r.Header.Get("X-Timestamp")
		seconds, err := strconv.ParseInt(at, 10, 64)
		until, fresh := window(time.Unix(seconds, 0), now)
		return seal{given + at, until}, err == nil && fresh && equalHex(given, mac(key, string(body), at))
	case SignedTime:
		return openTime(key, r, body, now)
	case SignedJWT:
		return openJWT(key, r.Header.Get("Authorization"), now)
	}
	return seal{}, false
}

// window reports whether at is near enough to now, and until when it is.
func window(at, now time.Time) (until time.Time, fresh bool) {
	off := now.Sub(at)
	return at.Add(drift), -drift <= off && off <= drift
}

func equalHex(given string, want []byte) bool {
	got, err := hex.DecodeString(strings.TrimPrefix(given, "sha256="))
	return err == nil && hmac.Equal(got, want)
}

func openTime(key string, r *http.Request, body []byte, now time.Time) (seal, bool) {
	doc, err := document(r.Header.Get("Content-Type"), body, r.URL.Query())
	fields, ok := doc.(map[string]any)
	if err != nil || !ok {
		return seal{}, false
	}
	at, given := walk(fields, []step{{key: "timestamp"}}), walk(fields, []step{{key: "sign"}})
	if plain, err := url.QueryUnescape(given); err == nil && strings.Contains(given, "%") {
		given = plain // escaped once more than its carrier needs
	}
	milliseconds, err := strconv.ParseInt(at, 10, 64)
	until, fresh := window(time.UnixMilli(milliseconds), now)
	got, e := base64.StdEncoding.DecodeString(given)
	return seal{given + at, until}, err == nil && e == nil && fresh && hmac.Equal(got, mac(key, at, "\n", key))
}

func openJWT(key, authorization string, now time.Time) (seal, bool) {
	token, ok := strings.CutPrefix(authorization, "Bearer ")
	signed, signature, found := cutLast(token, ".")
	head, claims, dotted := strings.Cut(signed, ".")
	got, err := base64.RawURLEncoding.DecodeString(signature)
	if !ok || !found || !dotted || err != nil || !hmac.Equal(got, mac(key, signed)) {
		return seal{}, false
	}
	var header struct {
		Alg string `json:"alg"`
	}
	var claim struct {
		Exp float64 `json:"exp"` // RFC 7519 §2: a NumericDate may have a fraction
		Nbf float64 `json:"nbf"`
	}
	if !segment(head, &header) || header.Alg != "HS256" || !segment(claims, &claim) {
		return seal{}, false
	}
	unix := float64(now.Unix())
	late := unix > claim.Exp || claim.Exp > unix+maxToken.Seconds()
	return seal{token, now.Add(maxToken)}, !late && claim.Nbf <= unix+drift.Seconds()
}

func segment(text string, into any) bool {
	octets, err := base64.RawURLEncoding.DecodeString(text)
	return err == nil && json.Unmarshal(octets, into) == nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// replays remembers the callbacks that were taken while their time makes them good, so that one that comes again, from the carrier, which lost our
// answer, or from somebody else, is answered alike and not taken again. Only the process remembers; the sink knows repeated ids, too.
type replays struct {
	mu    sync.Mutex
	until map[[sha256.Size]byte]time.Time
}

const maxReplays = 4096

func digest(s seal, body []byte) [sha256.Size]byte {
	return sha256.Sum256(append([]byte(s.text+"\x00"), body...))
}

func (p *replays) seen(s seal, body []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.until[digest(s, body)]
	return ok
}

// taken notes a callback that was taken.
func (p *replays) taken(s seal, body []byte, now time.Time) {
	if s.until.IsZero() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until == nil {
		p.until = map[[sha256.Size]byte]time.Time{}
	}
	if len(p.until) >= maxReplays {
		maps.DeleteFunc(p.until, func(_ [sha256.Size]byte, until time.Time) bool { return now.After(until) })
	}
	if len(p.until) >= maxReplays {
		clear(p.until) // the sink knows repeated ids
	}
	p.until[digest(s, body)] = s.until
}
