package contacts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Login is who has logged in, and with which token.
type Login struct {
	Address Address
	Token   string // its id; empty in open mode
}

// Errors of Login.
var (
	ErrLogin   = errors.New("wrong user name or token")
	ErrRevoked = errors.New("the token was revoked")
)

// Login checks a user name and its password, a token; an empty user name leaves it to the token to say who it is. It does no I/O, except
// that in open mode it registers an address that is new. ErrLogin, ErrRevoked.
//
// A token that is revoked at the same moment may still pass: who keeps the connection asks Valid once it can be found by a watcher.
func (d *Directory) Login(ctx context.Context, username, password string) (Login, error) {
	username = strings.TrimPrefix(username, "+") // as people write numbers
	if d.cfg.Open && username != "" {
		return d.openLogin(ctx, username)
	}
	bits, ok := parseToken(password)
	if !ok {
		return Login{}, ErrLogin
	}
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
	return ok && slices.ContainsFunc(must(acc.body).Tokens, func(t Token) bool { return t.Hash == hash })
}

// Valid reports whether a login still holds.
func (d *Directory) Valid(l Login) bool {
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
	if acc, _, ok := d.mem.get(a); ok && acc.body.registered() != 0 {
		return Login{Address: a}, nil
	}
	err = d.change(ctx, a, func(dr *draft) error {
		if !dr.exists || dr.Registered.IsZero() {
			d.register(dr)
		}
		return nil
	})
	if err != nil {
		return Login{}, err
	}
	return Login{Address: a}, nil
}
