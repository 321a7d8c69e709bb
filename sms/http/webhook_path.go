package smshttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// A field says where a word stands in an answer or a callback: paths that are tried in turn, or, for what is no JSON, a regular expression with one group.
type field struct {
	paths  [][]step
	regexp *regexp.Regexp
}

// A step goes to a member of an object, or to an element of an array when there is no key.
type step struct {
	key   string
	index int
}

// parseField reads "$.a.b[0]['c']|$.d", a subset of JSONPath (RFC 9535 §2.3), or "/regular expression/"; nil for the empty text.
func parseField(text string) (*field, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > 2 && text[0] == '/' && text[len(text)-1] == '/' {
		re, err := regexp.Compile(text[1 : len(text)-1])
		if err == nil && re.NumSubexp() != 1 {
			err = fmt.Errorf("the regular expression has %d groups, it needs one: what is found", re.NumSubexp())
		}
		return &field{regexp: re}, err
	}
	f := &field{}
	for one := range strings.SplitSeq(text, "|") {
		steps, err := parsePath(strings.TrimSpace(one))
		if err != nil {
			return nil, fmt.Errorf("the path %q: %w", text, err)
		}
		f.paths = append(f.paths, steps)
	}
	return f, nil
}

var errPath = errors.New("write it as $.name, $.name[0] or $['name']")

func parsePath(text string) (steps []step, err error) {
	rest, ok := strings.CutPrefix(text, "$")
	if !ok {
		return nil, errPath
	}
	for rest != "" {
		var s step
		switch {
		case rest[0] == '.':
			end := strings.IndexAny(rest[1:], ".[") + 1
			if end == 0 {
				end = len(rest)
			}
			s.key, rest = rest[1:end], rest[end:]
			if s.key == "" || strings.ContainsAny(s.key, "*?@]'\" ") {
				return nil, errPath
			}
		case strings.HasPrefix(rest, "['"):
			var found bool
			if s.key, rest, found = strings.Cut(rest[2:], "']"); !found || s.key == "" {
				return nil, errPath
			}
		case rest[0] == '[':
			digits, after, found := strings.Cut(rest[1:], "]")
			n, e := strconv.ParseUint(digits, 10, 16)
			if !found || e != nil {
				return nil, errPath
			}
			s.index, rest = int(n), after
		default:
			return nil, errPath
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// in returns the word that stands there: a string, number or boolean that is not empty; "" when there is none.
func (f *field) in(doc any) string {
	if f == nil {
		return ""
	}
	for _, path := range f.paths {
		if word := walk(doc, path); word != "" {
			return word
		}
	}
	return ""
}

// inAnswer is in for an answer, of which only the octets are there.
func (f *field) inAnswer(body []byte) string {
	if f == nil {
		return ""
	}
	if f.regexp != nil {
		if found := f.regexp.FindSubmatch(body); found != nil {
			return string(found[1])
		}
		return ""
	}
	doc, err := parseJSON(body)
	if err != nil {
		return ""
	}
	return f.in(doc)
}

func walk(doc any, path []step) string {
	for _, s := range path {
		switch at := doc.(type) {
		case map[string]any:
			doc = nil
			if s.key != "" {
				doc = at[s.key]
			}
		case []any:
			doc = nil
			if s.key == "" && s.index < len(at) {
				doc = at[s.index]
			}
		default:
			return ""
		}
	}
	switch word := doc.(type) {
	case string:
		return word
	case json.Number:
		return word.String()
	case bool:
		return strconv.FormatBool(word)
	}
	return ""
}

// parseJSON reads one JSON text (RFC 8259) and nothing after it. Numbers keep their digits.
func parseJSON(text []byte) (doc any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON text")
	}
	return doc, nil
}

// document reads what a callback says: JSON, or the fields of a form and of the query as an object of strings.
func document(contentType string, body []byte, query url.Values) (any, error) {
	text := bytes.TrimSpace(body)
	if strings.Contains(contentType, "json") || len(text) > 0 && (text[0] == '{' || text[0] == '[') {
		doc, err := parseJSON(text)
		if err != nil {
			return nil, malformed("the body is no JSON: %s", describe(err))
		}
		return doc, nil
	}
	form, err := url.ParseQuery(string(text))
	if err != nil {
		return nil, malformed("the body is neither JSON nor a form")
	}
	doc := make(map[string]any, len(form)+len(query))
	for _, values := range []url.Values{query, form} {
		for name, v := range values {
			doc[name] = v[0]
		}
	}
	return doc, nil
}

// describe says where JSON is wrong without a word of it.
func describe(err error) string {
	if e := (*json.SyntaxError)(nil); errors.As(err, &e) {
		return fmt.Sprintf("syntax error at octet %d", e.Offset)
	}
	return "it ends early, or something follows"
}
