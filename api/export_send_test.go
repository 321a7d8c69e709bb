package api

import (
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
)

// Parsed is what a body says, for tests from outside.
type Parsed struct {
	To, Text string
	Fields   map[string]string
}

func told(l letter, err error) (Parsed, error) {
	return Parsed{l.to, string(l.payload), l.fields}, err
}

// ParseBody reads the body of POST /to/{address}.
func ParseBody(contentType string, body []byte) (Parsed, error) {
	return told(parseBody(contentType, body))
}

// ParseNtfy reads the body of POST /to.
func ParseNtfy(body []byte) (Parsed, error) { return told(parseNtfy(body)) }

// ParseTemplate reads the body of a webhook.
func ParseTemplate(template string, body []byte) (Parsed, error) {
	return told(parseTemplate(template, body))
}

// Paces are the token buckets of users.
type Paces struct{ p paces }

// NewPaces returns those of a rate.
func NewPaces(perSecond float64) *Paces {
	p := &Paces{}
	p.p.set(perSecond)
	return p
}

// Take spends a token.
func (p *Paces) Take(user contacts.Address, now time.Time) (time.Duration, bool) {
	return p.p.take(user, now)
}

// Len returns how many users are remembered.
func (p *Paces) Len() int { return len(p.p.spent) }
