package broker

import (
	"os"

	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
)

// verifierOf reads the public keys of auth.jwt; nil: none is configured. Its error is config.Problems.
func verifierOf(j config.JWT) (*contacts.Verifier, error) {
	if j.KeyFile == "" {
		return nil, nil
	}
	keys, err := os.ReadFile(string(j.KeyFile))
	if err != nil {
		return nil, config.Problems{{Key: "auth.jwt.key_file", Message: err.Error()}}
	}
	v, err := contacts.NewVerifier(keys, j.Audience)
	if err != nil {
		return nil, config.Problems{{Key: "auth.jwt.key_file", Message: string(j.KeyFile) + ": " + err.Error()}}
	}
	return v, nil
}
