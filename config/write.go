package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
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

// widest is how far right the comments of YAML are moved by a long line before them.
const widest = 60

// YAML writes the configuration as Config.YAML does, with the origin of each value behind it.
func (s *Source) YAML() ([]byte, error) {
	text, err := s.Config.YAML()
	if err != nil {
		return nil, err
	}
	keys, err := keysByLine(text)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	column := 0
	for i, line := range lines {
		if width := utf8.RuneCountInString(line); keys[i+1] != "" && width <= widest {
			column = max(column, width)
		}
	}
	var b strings.Builder
	for i, line := range lines {
		b.WriteString(line)
		if key := keys[i+1]; key != "" {
			fmt.Fprintf(&b, "%s  # %s", strings.Repeat(" ", max(0, column-utf8.RuneCountInString(line))), s.Origin(key))
		}
		b.WriteByte('\n')
	}
	return []byte(b.String()), nil
}

// Origins returns where the value of each key comes from, as Origin tells it; the entries of lists are numbered: sms.gateways[0].name.
func (s *Source) Origins() (map[string]string, error) {
	text, err := s.Config.YAML()
	if err != nil {
		return nil, err
	}
	keys, err := keysByLine(text)
	if err != nil {
		return nil, err
	}
	origins := make(map[string]string, len(keys))
	for _, key := range keys {
		origins[key] = s.Origin(key)
	}
	return origins, nil
}

// keysByLine finds the values in a text that Config.YAML wrote: the path of each by its line, from 1.
func keysByLine(text []byte) (map[int]string, error) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, err
	}
	keys := map[int]string{}
	for _, doc := range file.Docs {
		valuesBelow(doc.Body, "", 0, keys)
	}
	return keys, nil
}

// valuesBelow notes the lines of all single values, and of empty lists and tables; line is where the key of the node stands.
func valuesBelow(n ast.Node, path string, line int, keys map[int]string) {
	if pairs, ok := pairsOf(n); ok && len(pairs) > 0 {
		for _, kv := range pairs {
			if name, ok := scalar(kv.Key); ok {
				valuesBelow(kv.Value, join(path, name), kv.Key.GetToken().Position.Line, keys)
			}
		}
		return
	}
	if list, ok := n.(*ast.SequenceNode); ok && len(list.Values) > 0 {
		for i, item := range list.Values {
			valuesBelow(item, fmt.Sprintf("%s[%d]", path, i), start(item).Position.Line, keys)
		}
		return
	}
	keys[line] = path
}
