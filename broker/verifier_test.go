package broker_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/config"
)

// A JWT of the configured issuer logs in at the broker, and is all that does in mode jwt.
func TestJWTOfTheConfiguration(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "jwt.pem")
	write := func(text []byte) {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	token := func(audience string, left time.Duration) string {
		claims := jwt.MapClaims{"sub": "+4917604069001", "aud": audience, "exp": time.Now().Add(left).Unix()}
		s, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims).SignedString(private)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, mode := range []string{config.ModeToken, config.ModeJWT} {
		cfg := testConfig(t)
		cfg.Auth = config.Auth{Mode: mode, JWT: config.JWT{KeyFile: config.Path(file), Audience: "godwit"}}
		h := start(t, cfg)
		var added struct{ Token string }
		h.ask("POST", "/v1/admin/users", `{"address":"4917604069002"}`, &added)
		ours := byte(0)
		if mode == config.ModeJWT {
			ours = 0x86
		}
		for _, c := range []struct {
			name, user, password string
			want                 byte
		}{
			{"JWT", "4917604069001", token("godwit", time.Hour), 0},
			{"JWT alone", "", token("godwit", time.Hour), 0},
			{"another audience", "4917604069001", token("else", time.Hour), 0x86},
			{"expired", "4917604069001", token("godwit", -time.Second), 0x86},
			{"token of ours", "4917604069002", added.Token, ours},
		} {
			if got := tryLogin(t, h, c.user, c.password); got != c.want {
				t.Errorf("mode %s, %s: CONNACK %#x, want %#x", mode, c.name, got, c.want)
			}
		}
	}

	write(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der[:len(der)-1]}))
	cfg := testConfig(t)
	cfg.Auth = config.Auth{Mode: config.ModeJWT, JWT: config.JWT{KeyFile: config.Path(file)}}
	b, err := broker.New(cfg, broker.Options{SMS: io.Discard})
	if err == nil {
		err = b.Run(t.Context())
	}
	if err == nil || !strings.Contains(err.Error(), "auth.jwt.key_file") {
		t.Errorf("a damaged key: %v", err)
	}
}
