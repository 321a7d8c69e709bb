package contacts

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Login is who has logged in, and by what.
type Login struct {
	Address Address
	Token   string    // the id of a token of ours; empty: none
	Key     string    // the id of the public key that verified a JWT; empty: none
	Expires time.Time // the login holds until then: the `exp` of a JWT, the end of a certificate; zero: for ever
}

// Errors of Login.
var (
	ErrLogin   = errors.New("wrong user name or token")
	ErrRevoked = errors.New("the token was revoked")
)

// Login checks a user name and its password, a token of ours or a JWT; an empty user name leaves it to the token to say who it is. It does
// no I/O, except that it registers an address, durably, that is new in open mode or to whom a JWT was issued. ErrLogin, ErrRevoked.
//
// A token that is revoked at the same moment may still pass: who keeps the connection asks Valid once it can be found by a watcher.
func (d *Directory) Login(ctx context.Context, username, password string) (Login, error) {
	username = strings.TrimPrefix(username, "+") // as people write numbers
	if d.cfg.Open && username != "" {
		return d.openLogin(ctx, username)
	}
	if bits, ok := parseToken(password); ok && !d.cfg.JWTOnly {
		return d.tokenLogin(username, bits)
	}
	v := d.verifier.Load()
	if v == nil || password == "" {
		return Login{}, ErrLogin
	}
	l, err := v.verify(password, d.cfg.Now())
	if err != nil {
		return Login{}, err
	}
	return d.provenLogin(ctx, username, l)
}

// LoginCertificate logs a client in by its certificate, which the caller has verified: the common name is the address, a leading + forgiven.
// A user name must be equal to it, or empty. Like a JWT, it registers the address. ErrLogin.
func (d *Directory) LoginCertificate(ctx context.Context, cert *x509.Certificate, username string) (Login, error) {
	if now := d.cfg.Now(); now.Before(cert.NotBefore) || !now.Before(cert.NotAfter) {
		return Login{}, fmt.Errorf("%w: the certificate has expired, or is not valid yet", ErrLogin)
	}
	names := 0
	for _, n := range cert.Subject.Names {
		if n.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 3}) {
			names++
		}
	}
	a, err := ParseAddress(strings.TrimPrefix(cert.Subject.CommonName, "+"))
	switch {
	case names > 1:
		return Login{}, fmt.Errorf("%w: the certificate has %d common names", ErrLogin, names)
	case err != nil:
		return Login{}, fmt.Errorf("%w: the common name of the certificate is %w", ErrLogin, err)
	}
	return d.provenLogin(ctx, strings.TrimPrefix(username, "+"), Login{Address: a, Expires: cert.NotAfter.UTC()})
}

// SetVerifier replaces Config.Verifier from now on; nil: no JWT is accepted. Watchers are told, since logins by a JWT whose key is gone hold no
// more.
func (d *Directory) SetVerifier(v *Verifier) {
	d.verifier.Store(v)
	d.events.tell(Event{Kind: KeysChanged})
}

func (d *Directory) tokenLogin(username string, bits [32]byte) (Login, error) {
	hash := d.hash.sum(bits)
	id := idOf(hash)
	a, ok := d.mem.owner(id)
	if ok && a == "" {
		return Login{}, ErrRevoked
	}
	if !ok || username != "" && username != string(a) || !d.holds(a, hash) {
		return Login{}, ErrLogin
	}
	return Login{Address: a, Token: id.String()}, nil
}

// holds compares the whole hash, of which the id is a part.
func (d *Directory) holds(a Address, hash [32]byte) bool {
	acc, _, ok := d.mem.get(a)
	return ok && acc.body.holds(hash)
}

// Valid reports whether a login still holds: it has not expired, its user was not removed, nor was what it rests on.
func (d *Directory) Valid(l Login) bool {
	if !l.Expires.IsZero() && !d.cfg.Now().Before(l.Expires) {
		return false
	}
	if l.Key != "" && !d.verifier.Load().has(l.Key) {
		return false
	}
	if l.Token == "" {
		return d.Exists(l.Address)
	}
	id, err := parseTokenID(l.Token)
	if err != nil {
		return false
	}
	a, ok := d.mem.owner(id)
	return ok && a == l.Address
}

func (d *Directory) openLogin(ctx context.Context, username string) (Login, error) {
	a, err := ParseAddress(username)
	if err != nil {
		return Login{}, fmt.Errorf("%w: the user name is %w", ErrLogin, err)
	}
	return d.provenLogin(ctx, username, Login{Address: a})
}

// provenLogin registers the address of a login, unless it is registered.
func (d *Directory) provenLogin(ctx context.Context, username string, l Login) (Login, error) {
	if username != "" && username != string(l.Address) {
		return Login{}, fmt.Errorf("%w: the user name is another address", ErrLogin)
	}
	if acc, _, ok := d.mem.get(l.Address); ok && acc.body.registered() != 0 {
		return l, nil
	}
	err := d.change(ctx, l.Address, func(dr *draft) error {
		if !dr.exists || dr.Registered.IsZero() {
			d.register(dr)
		}
		return nil
	})
	if err != nil {
		return Login{}, err
	}
	return l, nil
}
