package config

import (
	"encoding/json"

	"github.com/goccy/go-yaml"
)

// YAML writes the whole configuration as a file that Parse reads; secrets are stars.
func (c Config) YAML() ([]byte, error) { return yaml.Marshal(c) }

// MarshalJSON writes the keys and values of YAML.
func (c Config) MarshalJSON() ([]byte, error) {
	text, err := c.YAML()
	if err != nil {
		return nil, err
	}
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}
