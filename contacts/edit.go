package contacts

import (
	"context"
	"fmt"
	"slices"
)

func noUser(a Address) error { return fmt.Errorf("user %s: %w", a.Mask(), ErrNoUser) }

// existing makes an edit fail with ErrNoUser where there is no user.
func existing(edit func(*draft) error) func(*draft) error {
	return func(dr *draft) error {
		if !dr.exists {
			return noUser(dr.Address)
		}
		return edit(dr)
	}
}

// Add registers a user, or returns ErrExists.
func (d *Directory) Add(ctx context.Context, a Address) (User, error) {
	var added User
	err := d.change(ctx, a, func(dr *draft) error {
		if dr.exists {
			return fmt.Errorf("user %s: %w", a.Mask(), ErrExists)
		}
		d.register(dr)
		added = dr.User
		return nil
	})
	if err != nil {
		return User{}, err
	}
	if u, ok := d.User(a); ok {
		return u, nil
	}
	return added, nil // and removed at once
}

func (d *Directory) register(dr *draft) {
	dr.exists, dr.Registered = true, d.cfg.Now()
	dr.tell(UserChanged, "", "")
}

// Remove forgets a user, or returns ErrNoUser. Its tokens answer ErrRevoked from then on.
func (d *Directory) Remove(ctx context.Context, a Address) error {
	return d.change(ctx, a, existing(func(dr *draft) error {
		dr.revoke = dr.Tokens
		dr.tell(UserRemoved, "", "")
		for _, dev := range dr.Devices {
			dr.tell(DeviceForgotten, "", dev.ClientID)
		}
		dr.exists = false
		return nil
	}))
}

// IssueToken makes a token for a user. The token itself is kept nowhere; its id is what RevokeToken takes. device is a label for people.
func (d *Directory) IssueToken(ctx context.Context, a Address, device string) (token, id string, err error) {
	token = newToken()
	b, _ := parseToken(token)
	t := Token{Hash: d.hash.sum(b), Device: device, Created: d.cfg.Now()}
	t.ID = idOf(t.Hash).String()
	err = d.change(ctx, a, existing(func(dr *draft) error {
		dr.Tokens = append(dr.Tokens, t)
		return nil
	}))
	if err != nil {
		return "", "", err
	}
	return token, t.ID, nil
}

// RevokeToken revokes a token of a user by its id, all of them when id is empty. ErrNoUser, ErrNoToken. After an error of the Table the
// token is still good, but may be found revoked at the next Open; the same goes for Remove and all tokens of the user.
func (d *Directory) RevokeToken(ctx context.Context, a Address, id string) error {
	return d.change(ctx, a, existing(func(dr *draft) error {
		keep := slices.DeleteFunc(slices.Clone(dr.Tokens), func(t Token) bool { return id == "" || t.ID == id })
		if id != "" && len(keep) == len(dr.Tokens) {
			return fmt.Errorf("user %s: %w", a.Mask(), ErrNoToken) // without the id: somebody may have given the token itself
		}
		for _, t := range dr.Tokens {
			if id == "" || t.ID == id {
				dr.revoke = append(dr.revoke, t)
				dr.tell(TokenRevoked, t.ID, "")
			}
		}
		dr.Tokens = keep
		return nil
	}))
}

// HasInbox notes that a user has subscribed to an inbox. Only the first time costs a write.
func (d *Directory) HasInbox(ctx context.Context, a Address) error {
	if d.Inbox(a) {
		return nil
	}
	return d.change(ctx, a, existing(func(dr *draft) error {
		if !dr.Inbox {
			dr.Inbox = true
			dr.tell(UserChanged, "", "")
		}
		return nil
	}))
}
