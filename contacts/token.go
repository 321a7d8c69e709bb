package contacts

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync"
)

const (
	tokenPrefix = "gw_" // so that secret scanners and people know one when they see it
	secretLen   = 32
)

// newToken returns a token in the form that its user gets: gw_ and 256 random bits.
func newToken() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}

var tokenEncoding = base64.RawURLEncoding.Strict()

// parseToken returns the 256 bits of a token.
func parseToken(s string) (b [32]byte, ok bool) {
	text, ok := strings.CutPrefix(s, tokenPrefix)
	if !ok || len(text) != tokenEncoding.EncodedLen(len(b)) {
		return b, false
	}
	var buf [43]byte
	copy(buf[:], text)
	n, err := tokenEncoding.Decode(b[:], buf[:])
	return b, err == nil && n == len(b)
}

// A hasher computes HMAC-SHA-256 (RFC 2104) under the Directory's key. Who does not know the key cannot aim at a hash, so looking one up in a
// map tells nothing by its timing. A plain hash, fast and not salted, is enough for 256 random bits: there is nothing to guess.
type hasher struct{ pool sync.Pool }

func newHasher(key []byte) *hasher {
	return &hasher{pool: sync.Pool{New: func() any { return &hashing{mac: hmac.New(sha256.New, key)} }}}
}

// A hashing has room for what goes in and comes out, so that a login costs no memory.
type hashing struct {
	mac     hash.Hash
	in, out [32]byte
}

func (h *hasher) sum(token [32]byte) [32]byte {
	s := h.pool.Get().(*hashing)
	defer h.pool.Put(s)
	s.in = token
	s.mac.Reset()
	s.mac.Write(s.in[:])
	s.mac.Sum(s.out[:0])
	s.in = [32]byte{}
	return s.out
}

// openHasher reads the key of the token hashes, or makes one where there is none yet.
func openHasher(ctx context.Context, t Table) (*hasher, error) {
	rev, val, err := get(ctx, t, secretKey)
	if err != nil {
		return nil, err
	}
	if rev == 0 {
		val = make([]byte, 1+secretLen)
		val[0] = recordVersion
		rand.Read(val[1:])
		_, errs, err := t.Write(ctx, []Write{{Key: secretKey, Val: val}})
		if err := errors.Join(append(errs, err)...); err != nil {
			return nil, err
		}
	}
	if len(val) != 1+secretLen || val[0] != recordVersion {
		return nil, fmt.Errorf("%w %q: without it no token can be recognised; restore the store from a backup", errRecord, secretKey)
	}
	return newHasher(val[1:]), nil
}
