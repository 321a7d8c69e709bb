package contacts

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	maxJWT     = 8 << 10 // octets of one that is looked at
	jwtLeeway  = 30 * time.Second
	minRSA     = 2048            // bits (RFC 7518 §3.3)
	latestDate = 253_402_300_799 // the last second of the year 9999: what is later does not fit everywhere
)

// A Verifier accepts JSON Web Tokens (RFC 7519) that were signed by one of its keys: EdDSA with Ed25519 (RFC 8037 §3.1) and RS256
// (RFC 7518 §3.3), nothing else. It does not change.
type Verifier struct {
	keys    map[string][]verifyingKey // by algorithm
	options []jwt.ParserOption
}

type verifyingKey struct {
	id  string // the beginning of the SHA-256 of its SubjectPublicKeyInfo
	key crypto.PublicKey
}

// NewVerifier reads public keys in PEM, at least one: PUBLIC KEY, RSA PUBLIC KEY, or a CERTIFICATE, of which only the key counts. With an
// audience, a token must name it in `aud`; without, `aud` is not looked at.
func NewVerifier(keys []byte, audience string) (*Verifier, error) {
	v := &Verifier{keys: map[string][]verifyingKey{}}
	blocks, n := bytes.Count(keys, []byte("-----BEGIN ")), 0
	for {
		var block *pem.Block
		if block, keys = pem.Decode(keys); block == nil {
			break
		}
		n++
		alg, k, err := readKey(block)
		if err != nil {
			return nil, fmt.Errorf("public keys for JWT: PEM block %d: %w", n, err)
		}
		v.keys[alg] = append(v.keys[alg], k)
	}
	switch {
	case blocks == 0:
		return nil, errors.New("public keys for JWT: there is none in PEM; a file with one has a line -----BEGIN PUBLIC KEY-----")
	case n != blocks: // pem.Decode passes over a damaged one
		return nil, fmt.Errorf("public keys for JWT: only %d of %d PEM blocks can be read; is one cut off?", n, blocks)
	}
	v.options = []jwt.ParserOption{
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg(), jwt.SigningMethodRS256.Alg()}), jwt.WithStrictDecoding(),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(jwtLeeway),
	}
	if audience != "" {
		v.options = append(v.options, jwt.WithAudience(audience))
	}
	return v, nil
}

func readKey(b *pem.Block) (alg string, k verifyingKey, err error) {
	if k.key, err = publicKey(b); err != nil {
		return "", k, err
	}
	switch key := k.key.(type) {
	case ed25519.PublicKey:
		alg = jwt.SigningMethodEdDSA.Alg()
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA {
			return "", k, fmt.Errorf("the RSA key has %d bits; %d are the least that are safe", bits, minRSA)
		}
		alg = jwt.SigningMethodRS256.Alg()
	default:
		return "", k, fmt.Errorf("it is a key of type %T; Ed25519 and RSA can be used", key)
	}
	der, err := x509.MarshalPKIXPublicKey(k.key)
	if err != nil {
		return "", k, fmt.Errorf("the %s cannot be used: %w", b.Type, err)
	}
	sum := sha256.Sum256(der)
	k.id = hex.EncodeToString(sum[:8])
	return alg, k, nil
}

func publicKey(b *pem.Block) (key crypto.PublicKey, err error) {
	switch {
	case strings.HasSuffix(b.Type, "PRIVATE KEY"):
		return nil, errors.New("it is a private key, which only the issuer of the tokens may have; openssl pkey -in KEY -pubout prints the public one")
	case b.Type == "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(b.Bytes)
	case b.Type == "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(b.Bytes)
	case b.Type == "CERTIFICATE":
		var cert *x509.Certificate
		if cert, err = x509.ParseCertificate(b.Bytes); err == nil {
			key = cert.PublicKey
		}
	default:
		return nil, fmt.Errorf("it is a %.40q; PUBLIC KEY, RSA PUBLIC KEY and CERTIFICATE can be read", b.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("the %s cannot be read: %w", b.Type, err)
	}
	return key, nil
}

// has reports whether a key is still one of the Verifier's; v may be nil.
func (v *Verifier) has(id string) bool {
	if v == nil {
		return false
	}
	for _, keys := range v.keys {
		if slices.ContainsFunc(keys, func(k verifyingKey) bool { return k.id == id }) {
			return true
		}
	}
	return false
}

// verify returns the login that a token stands for. Errors wrap ErrLogin, and say nothing that a stranger wrote.
func (v *Verifier) verify(token string, now time.Time) (Login, error) {
	if len(token) > maxJWT {
		return Login{}, fmt.Errorf("%w: the JWT has %d octets of at most %d", ErrLogin, len(token), maxJWT)
	}
	claims, signer := jwt.MapClaims{}, "" // a map, since the names of claims are case-sensitive (RFC 7519 §10.1.1)
	p := jwt.NewParser(append(slices.Clip(v.options), jwt.WithTimeFunc(func() time.Time { return now }))...)
	_, err := p.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		if _, ok := t.Header["crit"]; ok {
			return nil, jwt.ErrTokenUnverifiable // an extension that is not understood (RFC 7515 §4.1.11)
		}
		k, err := v.signer(t)
		signer = k.id
		return k.key, err
	})
	if err != nil {
		return Login{}, fmt.Errorf("%w: %s", ErrLogin, whyNot(err))
	}
	return loginOf(claims, signer, now)
}

// signer returns the key that signed a token, as far as that is to be found out here: the parser verifies it with that key.
func (v *Verifier) signer(t *jwt.Token) (verifyingKey, error) {
	keys := v.keys[t.Method.Alg()]
	if len(keys) == 1 {
		return keys[0], nil
	}
	text := t.Raw[:strings.LastIndexByte(t.Raw, '.')]
	for _, k := range keys {
		if t.Method.Verify(text, t.Signature, k.key) == nil {
			return k, nil
		}
	}
	return verifyingKey{}, jwt.ErrTokenSignatureInvalid
}

// loginOf reads the claims of a token whose signature is right.
func loginOf(claims jwt.MapClaims, signer string, now time.Time) (Login, error) {
	for _, name := range []string{"exp", "nbf", "iat"} {
		if s, _ := claims[name].(float64); s < 0 || s > latestDate {
			return Login{}, fmt.Errorf("%w: the date `%s` of the JWT is out of range", ErrLogin, name)
		}
	}
	exp, err := claims.GetExpirationTime()
	if err != nil || exp == nil || !now.Before(exp.Time) {
		return Login{}, fmt.Errorf("%w: the JWT has expired", ErrLogin) // the leeway is for clocks that are behind, not for this
	}
	sub, _ := claims["sub"].(string)
	a, err := ParseAddress(strings.TrimPrefix(sub, "+"))
	if err != nil {
		return Login{}, fmt.Errorf("%w: `sub` of the JWT is %w", ErrLogin, err)
	}
	return Login{Address: a, Key: signer, Expires: exp.UTC()}, nil
}

// whyNot says in our words what is wrong with a token: those of the library may quote it.
func whyNot(err error) string {
	for _, c := range []struct {
		err error
		why string
	}{
		{jwt.ErrTokenMalformed, "the password is neither a token of ours nor a JWT"},
		{jwt.ErrTokenSignatureInvalid, "the JWT is signed by none of the keys, or not with EdDSA or RS256"},
		{jwt.ErrTokenUnverifiable, "the JWT has an algorithm or an extension that is not accepted"},
		{jwt.ErrTokenRequiredClaimMissing, "the JWT lacks `exp`, or `aud` where one is wanted"},
		{jwt.ErrTokenExpired, "the JWT has expired"},
		{jwt.ErrTokenInvalidAudience, "the JWT is for another audience"},
		{jwt.ErrTokenNotValidYet, "the JWT is not valid yet"},
		{jwt.ErrTokenUsedBeforeIssued, "the JWT is from the future; are the clocks right?"},
	} {
		if errors.Is(err, c.err) {
			return c.why
		}
	}
	return "the claims of the JWT cannot be read"
}
