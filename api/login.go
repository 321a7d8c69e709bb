package api

import (
	"errors"
	"net/http"

	"github.com/seed-7a41469f/godwit/contacts"
)

// A Refusal is why HTTP refused a request; it is a label of godwit_refused_total.
type Refusal uint8

// The refusals.
const (
	RefusedHTTPLogin   Refusal = iota // a wrong or missing token
	RefusedHTTPAddress                // a network address of which too many logins failed
	RefusedInsecure                   // a token that others could read
	RefusedHost                       // a Host that is not ours
	RefusedOrigin                     // a web page of somebody else
	RefusedTopic                      // a message whose address or key is malformed
	RefusedProperty                   // a message with an option that has no such value
	RefusedPacketSize                 // a message larger than limits.packet
	RefusedMalformed                  // a request that is no message
	RefusedDisk                       // a message while the disk is low
	RefusedStore                      // a message or login that could not be stored
	refusals
)

// Refusals names them all, in the order of the constants. What MQTT refuses too has the same name there (hooks.Refusals).
var Refusals = [refusals]string{
	"http_login", "http_address", "http_insecure", "host", "origin", "topic", "property", "packet_size", "malformed", "disk", "store",
}

// Refused returns how often there was one since the start.
func (a *API) Refused(r Refusal) uint64 { return a.refused[r].Load() }

func (a *API) refuse(w http.ResponseWriter, r *http.Request, why Refusal, p *Problem) {
	a.refused[why].Add(1)
	a.Fail(w, r, p)
}

// Login says who asks: by an address and its token (Basic, RFC 7617), or by a token or JWT alone (Bearer, RFC 6750). An error is a *Problem: 401, 429, or 503
// when the store fails.
func (a *API) Login(r *http.Request) (contacts.Login, error) {
	if p := a.tooMany(r); p != nil {
		return contacts.Login{}, p
	}
	user, password, ok := credentials(r)
	if !ok {
		a.refused[RefusedHTTPLogin].Add(1)
		return contacts.Login{}, unauthorized("log in with Basic (address and token) or Bearer (token)")
	}
	l, err := a.cfg.People.Login(r.Context(), user, password)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, contacts.ErrRevoked):
		a.failed(r)
		return contacts.Login{}, unauthorized("the token was revoked; the operator issues a new one with: godwit user token")
	case errors.Is(err, contacts.ErrLogin):
		a.failed(r)
		return contacts.Login{}, unauthorized("wrong address or token")
	}
	a.refused[RefusedStore].Add(1)
	a.cfg.Log.Error().Err(err).Msg("a login failed")
	return contacts.Login{}, NewProblem(http.StatusServiceUnavailable, CodeUnavailable, "the store fails; try again")
}

func unauthorized(detail string) *Problem {
	p := NewProblem(http.StatusUnauthorized, CodeUnauthorized, "%s", detail).With("WWW-Authenticate", `Basic realm="godwit", charset="UTF-8"`)
	p.header.Add("WWW-Authenticate", `Bearer realm="godwit"`)
	return p
}

// credentials reads the Authorization header; two of them are none.
func credentials(r *http.Request) (user, password string, ok bool) {
	if len(r.Header.Values("Authorization")) != 1 {
		return "", "", false
	}
	if token, ok := bearer(r); ok {
		return "", token, token != ""
	}
	user, password, ok = r.BasicAuth()
	return user, password, ok
}

// failed counts a login that failed. One without a token is no guess.
func (a *API) failed(r *http.Request) {
	a.refused[RefusedHTTPLogin].Add(1)
	if a.cfg.LoginFailed != nil && r.Header.Get("Authorization") != "" {
		a.cfg.LoginFailed(r)
	}
}

// tooMany refuses an address of which too many logins have failed, whatever it brings now: else guessing would go on.
func (a *API) tooMany(r *http.Request) *Problem {
	if a.cfg.Blocked == nil || !a.cfg.Blocked(r) {
		return nil
	}
	a.refused[RefusedHTTPAddress].Add(1)
	return NewProblem(http.StatusTooManyRequests, CodeTooMany, "too many logins from this address failed; wait a second").With("Retry-After", "1")
}

func (a *API) blocked(w http.ResponseWriter, r *http.Request) bool {
	p := a.tooMany(r)
	if p != nil {
		a.Fail(w, r, p)
	}
	return p != nil
}
