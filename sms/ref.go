package sms

import (
	"encoding/hex"
	"fmt"
)

// MarshalText writes the 32 hexadecimal digits of a Ref.
func (r Ref) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, r[:]), nil }

// UnmarshalText reads what MarshalText writes.
func (r *Ref) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(r) || len(text)%2 != 0 {
		return fmt.Errorf("a reference has %d hexadecimal digits, this has %d characters", 2*len(r), len(text))
	}
	var read Ref
	if _, err := hex.Decode(read[:], text); err != nil {
		return fmt.Errorf("a reference has %d hexadecimal digits: %w", 2*len(r), err)
	}
	*r = read
	return nil
}
