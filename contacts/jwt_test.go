package contacts_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/seed-7a41469f/godwit/contacts"
)

// An issuer signs tokens with an Ed25519 and an RSA key.
type issuer struct {
	ed  ed25519.PrivateKey
	rsa *rsa.PrivateKey
}

func newIssuer(t testing.TB) issuer {
	t.Helper()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	return issuer{ed, r}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pem is the public keys, as an operator has them in a file.
func (i issuer) pem(t testing.TB) []byte {
	t.Helper()
	return append(pkix8(t, i.ed.Public()), pkix8(t, i.rsa.Public())...)
}

func pkix8(t testing.TB, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	must(t, err)
	return block("PUBLIC KEY", der)
}

func block(typ string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der})
}

func sign(t testing.TB, m jwt.SigningMethod, key any, claims jwt.MapClaims, change ...func(*jwt.Token)) string {
	t.Helper()
	token := jwt.NewWithClaims(m, claims)
	for _, c := range change {
		c(token)
	}
	s, err := token.SignedString(key)
	must(t, err)
	return s
}

func (i issuer) sign(t testing.TB, claims jwt.MapClaims) string {
	t.Helper()
	return sign(t, jwt.SigningMethodEdDSA, i.ed, claims)
}

func verifier(t testing.TB, keys []byte, audience string) *contacts.Verifier {
	t.Helper()
	v, err := contacts.NewVerifier(keys, audience)
	must(t, err)
	return v
}

func TestJWTLogin(t *testing.T) {
	i, other, clock := newIssuer(t), newIssuer(t), newClock()
	now := clock.now()
	exp := now.Add(time.Hour).Truncate(time.Second)
	claims := func(change jwt.MapClaims) jwt.MapClaims {
		c := jwt.MapClaims{"sub": string(anna), "exp": exp.Unix(), "aud": "godwit"}
		for k, v := range change {
			if c[k] = v; v == nil {
				delete(c, k)
			}
		}
		return c
	}
	good := i.sign(t, claims(nil))
	parts := strings.Split(good, ".")
	encode := base64.RawURLEncoding.EncodeToString
	part := func(header string) string { return encode([]byte(header)) + "." + parts[1] }
	in := func(d time.Duration) int64 { return now.Add(d).Unix() }
	for _, c := range []struct {
		name, user, token string
		ok                bool
	}{
		{"Ed25519", string(anna), good, true},
		{"RS256", string(anna), sign(t, jwt.SigningMethodRS256, i.rsa, claims(nil)), true},
		{"alone, as Bearer", "", good, true},
		{"a plus in the user name", "+" + string(anna), good, true},
		{"a plus in sub", string(anna), i.sign(t, claims(jwt.MapClaims{"sub": "+" + string(anna)})), true},
		{"one audience of several", "", i.sign(t, claims(jwt.MapClaims{"aud": []string{"else", "godwit"}})), true},
		{"a clock that is a little behind", "", i.sign(t, claims(jwt.MapClaims{"iat": in(20 * time.Second), "nbf": in(20 * time.Second)})), true},
		{"claims of others", "", i.sign(t, claims(jwt.MapClaims{"iss": "us", "jti": "7", "email": map[string]any{"a": 1}})), true},

		{"another's user name", string(ben), good, false},
		{"expired", "", i.sign(t, claims(jwt.MapClaims{"exp": in(-time.Second)})), false},
		{"expires now: no leeway", "", i.sign(t, claims(jwt.MapClaims{"exp": in(0)})), false},
		{"no exp", "", i.sign(t, claims(jwt.MapClaims{"exp": nil})), false},
		{"exp 0", "", i.sign(t, claims(jwt.MapClaims{"exp": 0})), false},
		{"exp a string", "", i.sign(t, claims(jwt.MapClaims{"exp": "tomorrow"})), false},
		{"exp beyond all times", "", i.sign(t, claims(jwt.MapClaims{"exp": 1e300})), false},
		{"Exp is not exp", "", i.sign(t, claims(jwt.MapClaims{"exp": nil, "Exp": exp.Unix()})), false},
		{"not yet", "", i.sign(t, claims(jwt.MapClaims{"nbf": in(time.Minute)})), false},
		{"from the future", "", i.sign(t, claims(jwt.MapClaims{"iat": in(time.Minute)})), false},
		{"no audience", "", i.sign(t, claims(jwt.MapClaims{"aud": nil})), false},
		{"another audience", "", i.sign(t, claims(jwt.MapClaims{"aud": "godwits"})), false},
		{"an audience that is a number", "", i.sign(t, claims(jwt.MapClaims{"aud": 7})), false},
		{"no sub", string(anna), i.sign(t, claims(jwt.MapClaims{"sub": nil})), false},
		{"sub that is no address", "", i.sign(t, claims(jwt.MapClaims{"sub": "Anna"})), false},
		{"sub in full-width digits", "", i.sign(t, claims(jwt.MapClaims{"sub": "４９１５１１２３４５６７８"})), false},
		{"sub with a topic level", "", i.sign(t, claims(jwt.MapClaims{"sub": "boiler/#"})), false},
		{"sub a number of JSON", "", i.sign(t, claims(jwt.MapClaims{"sub": 4917098765421})), false},
		{"another's key", "", other.sign(t, claims(nil)), false},
		{"alg none", "", sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims(nil)), false},
		{"alg none, signature kept", "", part(`{"alg":"none","typ":"JWT"}`) + "." + parts[2], false},
		{"HS256 with the public key", "", sign(t, jwt.SigningMethodHS256, i.pem(t), claims(nil)), false},
		{"HS256 with the Ed25519 key's bytes", "", sign(t, jwt.SigningMethodHS256, []byte(i.ed.Public().(ed25519.PublicKey)), claims(nil)), false},
		{"PS256", "", sign(t, jwt.SigningMethodPS256, i.rsa, claims(nil)), false},
		{"RS512", "", sign(t, jwt.SigningMethodRS512, i.rsa, claims(nil)), false},
		{"RS256 in the header of an Ed25519 signature", "", part(`{"alg":"RS256","typ":"JWT"}`) + "." + parts[2], false},
		{"an unknown alg", "", part(`{"alg":"ES9000"}`) + "." + parts[2], false},
		{"a key of its own in the header", "", sign(t, jwt.SigningMethodEdDSA, other.ed, claims(nil), func(t *jwt.Token) {
			t.Header["jwk"] = map[string]string{"kty": "OKP", "crv": "Ed25519", "x": encode(other.ed.Public().(ed25519.PublicKey))}
		}), false},
		{"an extension that is critical", "", sign(t, jwt.SigningMethodEdDSA, i.ed, claims(nil), func(t *jwt.Token) { t.Header["crit"] = []string{"exp"} }), false},
		{"changed claims", "", parts[0] + "." + encode([]byte(`{"sub":"8613800138000","exp":9999999999,"aud":"godwit"}`)) + "." + parts[2], false},
		{"no signature", "", parts[0] + "." + parts[1] + ".", false},
		{"two parts", "", parts[0] + "." + parts[1], false},
		{"four parts", "", good + ".x", false},
		{"padding", "", good + "==", false},
		{"other spelling of the same signature", "", good[:len(good)-1] + respelled(good[len(good)-1]), false},
		{"Bearer in front", "", "Bearer " + good, false},
		{"larger than 8 KiB", "", i.sign(t, claims(jwt.MapClaims{"more": strings.Repeat("x", 8<<10)})), false},
		{"dots", "", strings.Repeat(".", 1<<20), false},
		{"nothing", string(anna), "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := newTable()
			d := open(t, table, contacts.Config{Verifier: verifier(t, i.pem(t), "godwit"), Now: clock.now})
			l, err := d.Login(ctx, c.user, c.token)
			if !c.ok {
				if !errors.Is(err, contacts.ErrLogin) || l != (contacts.Login{}) || d.Exists(anna) || d.Exists(ben) {
					t.Fatalf("got %+v, %v", l, err)
				}
				if len(err.Error()) > 200 || strings.Contains(err.Error(), "ES9000") {
					t.Fatalf("the error shows what a stranger wrote: %v", err)
				}
				return
			}
			if err != nil || l.Address != anna || l.Token != "" || l.Key == "" || !l.Expires.Equal(exp) || !d.Valid(l) || !d.Registered(anna) {
				t.Fatalf("got %+v, %v", l, err)
			}
			if !open(t, table.crash(), contacts.Config{Now: clock.now}).Registered(anna) {
				t.Fatal("the registration is not durable")
			}
		})
	}
}

func TestJWTLoginEnds(t *testing.T) {
	i, clock := newIssuer(t), newClock()
	table := newTable()
	d := open(t, table, contacts.Config{Verifier: verifier(t, i.pem(t), ""), Now: clock.now})
	token := i.sign(t, jwt.MapClaims{"sub": string(anna), "exp": clock.now().Add(time.Hour).Unix(), "aud": 7})
	logIn := func() contacts.Login {
		t.Helper()
		l, err := d.Login(ctx, "", token)
		if err != nil || !d.Valid(l) {
			t.Fatalf("%+v, %v", l, err)
		}
		return l
	}
	l := logIn()
	before := table.calls()
	if logIn(); table.calls() != before {
		t.Error("a second login costs a write")
	}

	must(t, d.Remove(ctx, anna))
	if d.Valid(l) {
		t.Error("valid after its user was removed")
	}
	if l = logIn(); !d.Registered(anna) { // the issuer still vouches for it
		t.Error("not registered again")
	}

	events := make(chan contacts.Event, 2)
	d.Watch(func(e contacts.Event) { events <- e })
	d.SetVerifier(verifier(t, append(newIssuer(t).pem(t), i.pem(t)...), "")) // an additional issuer
	if e := <-events; e.Kind != contacts.KeysChanged || !d.Valid(l) {
		t.Errorf("told %v, valid %v", e.Kind, d.Valid(l))
	}
	logIn()
	d.SetVerifier(verifier(t, pkix8(t, i.rsa.Public()), ""))
	if <-events; d.Valid(l) {
		t.Error("valid after its key was taken away")
	}
	if _, err := d.Login(ctx, "", token); !errors.Is(err, contacts.ErrLogin) {
		t.Errorf("logged in with a key that was taken away: %v", err)
	}
	d.SetVerifier(nil)
	if _, err := d.Login(ctx, "", token); !errors.Is(err, contacts.ErrLogin) {
		t.Errorf("logged in without any key: %v", err)
	}

	d.SetVerifier(verifier(t, i.pem(t), ""))
	l = logIn()
	clock.add(time.Hour)
	if d.Valid(l) {
		t.Error("valid after it expired")
	}
}

// auth.mode jwt.
func TestJWTOnly(t *testing.T) {
	i := newIssuer(t)
	table := newTable()
	both, err := contacts.Open(ctx, table, contacts.Config{Verifier: verifier(t, i.pem(t), "")})
	must(t, err)
	add(t, both, anna)
	ours, _ := issue(t, both, anna)
	theirs := i.sign(t, jwt.MapClaims{"sub": string(anna), "exp": time.Now().Add(time.Hour).Unix()})
	for _, token := range []string{ours, theirs} {
		if _, err := both.Login(ctx, string(anna), token); err != nil {
			t.Errorf("beside each other: %v", err)
		}
	}
	must(t, both.Close())

	d := open(t, table, contacts.Config{Verifier: verifier(t, i.pem(t), ""), JWTOnly: true})
	for _, user := range []string{string(anna), ""} {
		if _, err := d.Login(ctx, user, ours); !errors.Is(err, contacts.ErrLogin) {
			t.Errorf("a token of ours: %v", err)
		}
	}
	if _, err := d.Login(ctx, string(anna), theirs); err != nil {
		t.Error(err)
	}
	for _, cfg := range []contacts.Config{{JWTOnly: true}, {JWTOnly: true, Open: true, Verifier: verifier(t, i.pem(t), "")}} {
		if d, err := contacts.Open(ctx, newTable(), cfg); err == nil {
			_ = d.Close()
			t.Errorf("taken: %+v", cfg)
		}
	}
}

// In open mode any password will do, and what it says counts for nothing.
func TestOpenModeDoesNotLookAtJWTs(t *testing.T) {
	i := newIssuer(t)
	d := open(t, newTable(), contacts.Config{Open: true, Verifier: verifier(t, i.pem(t), "")})
	token := i.sign(t, jwt.MapClaims{"sub": string(anna), "exp": time.Now().Add(-time.Hour).Unix()})
	if l, err := d.Login(ctx, string(ben), token); err != nil || l != (contacts.Login{Address: ben}) {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestVerifierKeys(t *testing.T) {
	i := newIssuer(t)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	must(t, err)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(i.ed)
	must(t, err)
	cut := pkix8(t, i.ed.Public())
	for _, c := range []struct {
		name string
		pem  []byte
		err  string // empty: taken
	}{
		{"Ed25519 and RSA", i.pem(t), ""},
		{"PKCS #1", block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&i.rsa.PublicKey)), ""},
		{"a certificate", block("CERTIFICATE", certificate(t, i.rsa, "issuer").Raw), ""},
		{"words around", append([]byte("the key of our issuer\n"), append(i.pem(t), "\nand that was it\n"...)...), ""},
		{"CRLF", bytes.ReplaceAll(i.pem(t), []byte("\n"), []byte("\r\n")), ""},
		{"private key", block("PRIVATE KEY", private), "block 1: it is a private key"},
		{"private RSA key", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(i.rsa)), "it is a private key"},
		{"a private one after a public one", append(i.pem(t), block("PRIVATE KEY", private)...), "block 3: it is a private key"},
		{"1,024 bits", pkix8(t, weak.Public()), "1024 bits; 2048"},
		{"P-256", pkix8(t, curve.Public()), "*ecdsa.PublicKey; Ed25519 and RSA"},
		{"something else", block("DH PARAMETERS", []byte{1}), "DH PARAMETERS"},
		{"not DER", block("PUBLIC KEY", []byte("key")), "the PUBLIC KEY cannot be read"},
		{"cut off", append(pkix8(t, i.rsa.Public()), cut[:len(cut)-20]...), "only 1 of 2 PEM blocks"},
		{"empty", nil, "there is none in PEM"},
		{"a secret", []byte("hunter2"), "there is none in PEM"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := contacts.NewVerifier(c.pem, "")
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Fatalf("got %v, want %q", err, c.err)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Fatalf("the error shows the file: %v", err)
			}
		})
	}
}

// certificate returns one that is signed by its own key; the hooks and listeners verify, LoginCertificate does not.
func certificate(t testing.TB, key crypto.Signer, names ...string) *x509.Certificate {
	t.Helper()
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	for _, n := range names {
		template.Subject.ExtraNames = append(template.Subject.ExtraNames, pkix.AttributeTypeAndValue{Type: []int{2, 5, 4, 3}, Value: n})
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return cert
}

func TestLoginCertificate(t *testing.T) {
	i := newIssuer(t)
	table := newTable()
	d := open(t, table, contacts.Config{})
	for _, c := range []struct {
		name, user string
		cn         []string
		want       contacts.Address // empty: refused
	}{
		{"number", "", []string{string(anna)}, anna},
		{"name", "boiler", []string{"boiler"}, "boiler"},
		{"pluses", "+" + string(ben), []string{"+" + string(ben)}, ben},
		{"another's user name", string(ben), []string{string(anna)}, ""},
		{"no common name", string(anna), nil, ""},
		{"no address", "", []string{"Anna Example"}, ""},
		{"two common names", string(anna), []string{string(ben), string(anna)}, ""},
		{"topic level", "", []string{"boiler/#"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cert := certificate(t, i.ed, c.cn...)
			l, err := d.LoginCertificate(ctx, cert, c.user)
			if c.want == "" {
				if !errors.Is(err, contacts.ErrLogin) || l != (contacts.Login{}) {
					t.Fatalf("got %+v, %v", l, err)
				}
				return
			}
			if err != nil || l != (contacts.Login{Address: c.want, Expires: cert.NotAfter}) || !d.Valid(l) {
				t.Fatalf("got %+v, %v", l, err)
			}
			if !open(t, table.crash(), contacts.Config{}).Registered(c.want) {
				t.Fatal("the registration is not durable")
			}
		})
	}
	cert := certificate(t, i.ed, string(anna))
	for name, at := range map[string]time.Time{"expired": cert.NotAfter, "not yet": cert.NotBefore.Add(-time.Second)} {
		late := open(t, newTable(), contacts.Config{Now: func() time.Time { return at }})
		if _, err := late.LoginCertificate(ctx, cert, ""); !errors.Is(err, contacts.ErrLogin) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzJWT(f *testing.F) {
	i := newIssuer(f)
	d, err := contacts.Open(ctx, newTable(), contacts.Config{Verifier: verifier(f, i.pem(f), "godwit")})
	must(f, err)
	f.Cleanup(func() { _ = d.Close() })
	good := i.sign(f, jwt.MapClaims{"sub": string(anna), "exp": time.Now().Add(time.Hour).Unix(), "aud": "godwit"})
	f.Add(good)
	f.Add(sign(f, jwt.SigningMethodRS256, i.rsa, jwt.MapClaims{"sub": string(ben), "exp": 1}))
	f.Add(sign(f, jwt.SigningMethodHS256, i.pem(f), jwt.MapClaims{"sub": string(anna), "exp": 1 << 40}))
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		l, err := d.Login(ctx, "", token)
		if (err == nil) != (token == good) || err != nil && !errors.Is(err, contacts.ErrLogin) {
			t.Fatalf("%+v, %v", l, err)
		}
	})
}

// FuzzJWTClaims signs whatever claims there are: no claim may panic, outlive its time or be somebody who is none.
func FuzzJWTClaims(f *testing.F) {
	i := newIssuer(f)
	d, err := contacts.Open(ctx, newTable(), contacts.Config{Verifier: verifier(f, i.pem(f), "")})
	must(f, err)
	f.Cleanup(func() { _ = d.Close() })
	for _, s := range []string{
		`{"sub":"4917098765421","exp":9999999999}`, `{"sub":"+boiler","exp":1e18}`, `{"sub":"boiler","exp":1e3,"nbf":-1e300}`, `{"exp":[]}`, `[]`, `null`, `{"exp":{"exp":1}}`,
		`{"sub":"boiler","exp":253402300799.9,"iat":0.5,"aud":[1]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, claims []byte) {
		text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
		l, err := d.Login(ctx, "", text+"."+base64.RawURLEncoding.EncodeToString(ed25519.Sign(i.ed, []byte(text))))
		if err != nil {
			if !errors.Is(err, contacts.ErrLogin) {
				t.Fatal(err)
			}
			return
		}
		if a, err := contacts.ParseAddress(string(l.Address)); err != nil || a != l.Address || !l.Expires.After(time.Now()) || l.Expires.Year() > 9999 {
			t.Fatalf("%+v", l)
		}
	})
}

func FuzzVerifierKeys(f *testing.F) {
	f.Add(newIssuer(f).pem(f))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, keys []byte) {
		if v, err := contacts.NewVerifier(keys, ""); (v == nil) == (err == nil) {
			t.Fatalf("%v, %v", v, err)
		}
	})
}
