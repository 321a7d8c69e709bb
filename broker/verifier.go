package broker

import (
	"fmt"
	"os"

	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
)

// verifierOf reads the public keys of auth.jwt; nil: none is configured.
func verifierOf(j config.JWT) (*contacts.Verifier, error) {
	if j.KeyFile == "" {
		return nil, nil
	}
	keys, err := os.ReadFile(string(j.KeyFile))
	if err != nil {
		return nil, fmt.Errorf("auth.jwt.key_file: %w", err)
	}
	v, err := contacts.NewVerifier(keys, j.Audience)
	if err != nil {
		return nil, fmt.Errorf("auth.jwt.key_file: %s: %w", j.KeyFile, err)
	}
	return v, nil
}
