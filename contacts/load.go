package contacts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Keys of the Table.
const (
	userPrefix    = "user/"    // + address: a record
	revokedPrefix = "revoked/" // + id of a token that is refused for ever: a mark
	secretKey     = "secret/token"
)

func userKey(a Address) string { return userPrefix + string(a) }

// load fills memory. A token that is marked as revoked is revoked, whatever a user's record says: the write of the record may have failed.
func (d *Directory) load(ctx context.Context) error {
	err := d.table.Scan(ctx, revokedPrefix, func(key string, _ []byte, _ uint64) error {
		id, err := parseTokenID(strings.TrimPrefix(key, revokedPrefix))
		if err == nil {
			d.mem.setOwner(id, "")
		}
		return err
	})
	if err != nil {
		return err
	}
	return d.table.Scan(ctx, userPrefix, func(key string, val []byte, rev uint64) error {
		a, err := ParseAddress(strings.TrimPrefix(key, userPrefix))
		if err != nil {
			return fmt.Errorf("the key of a user: %w; was it written by something else?", err)
		}
		return d.loadUser(a, record(val), rev)
	})
}

func (d *Directory) loadUser(a Address, r record, rev uint64) error {
	u, err := decode(r)
	if err != nil {
		return fmt.Errorf("user %s: %w; restore the store from a backup, or use the version of godwit that wrote it", a.Mask(), err)
	}
	s := d.mem.of(a)
	s.users[a] = account{rev: rev, body: r}
	n := len(u.Tokens)
	u.Tokens = slices.DeleteFunc(u.Tokens, d.mem.revoked)
	for i := range u.Tokens {
		d.mem.setOwner(idOf(u.Tokens[i].Hash), a)
	}
	if len(u.Tokens) < n {
		s.users[a] = account{rev: rev, body: encode(&u)}
		s.dirty[a] = struct{}{}
		ring(d.mem.changed)
	}
	return nil
}

var errFound = errors.New("found")

// get returns one record as it is in the Table; revision 0: there is none.
func get(ctx context.Context, t Table, key string) (rev uint64, val []byte, err error) {
	err = t.Scan(ctx, key, func(k string, v []byte, r uint64) error {
		if k != key {
			return nil
		}
		rev, val = r, append([]byte(nil), v...)
		return errFound
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return rev, val, err
}
