package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Load reads a file, or takes Default when path is empty, and what the environment (as of os.Environ) says. The error is Problems, or that of reading the file.
func Load(path string, environ []string) (Config, error) {
	if path == "" {
		cfg, r := Default(), &reader{origins: map[string]origin{}}
		return cfg, r.finish(&cfg, environ)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read the configuration: %w", err)
	}
	return Parse(path, text, environ)
}

// Parse is Load for the text of a file.
func Parse(path string, text []byte, environ []string) (Config, error) {
	cfg := defaults()
	r := &reader{dir: filepath.Dir(path), source: path, lines: strings.Split(string(text), "\n"), origins: map[string]origin{}}
	cfg.Data = Path(r.resolve(string(cfg.Data)))
	if !r.document(text, &cfg) {
		return Config{}, r.problems.sorted()
	}
	return cfg, r.finish(&cfg, environ)
}

// document reads the whole text; false when it is no YAML.
func (r *reader) document(text []byte, cfg *Config) bool {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		r.syntax(err)
		return false
	}
	for i, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case i > 0:
			r.fail("", r.at(doc.Body.GetToken()), "a configuration is one document; remove what follows ---")
		default:
			r.root(doc.Body, cfg)
		}
	}
	return true
}

func (r *reader) root(n ast.Node, cfg *Config) {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		r.section(n, reflect.ValueOf(cfg).Elem(), "")
	case *ast.NullNode, *ast.CommentGroupNode:
	default:
		r.fail("", r.at(n.GetToken()), "a configuration is made of sections: "+strings.Join(keysOf(reflect.TypeFor[Config]()), ", "))
	}
}

func (r *reader) syntax(err error) {
	var e yaml.Error
	if errors.As(err, &e) {
		r.fail("", r.at(e.GetToken()), e.GetMessage())
		return
	}
	r.fail("", origin{source: r.source}, err.Error())
}

// finish adds the environment and checks the whole.
func (r *reader) finish(cfg *Config, environ []string) error {
	r.environment(cfg, environ)
	for _, p := range check(*cfg) {
		r.fail(p.Key, r.originOf(p.Key), p.Message)
	}
	r.hideSecrets()
	return r.problems.sorted()
}

// hideSecrets keeps the column of what stands behind a secret in its line.
func (r *reader) hideSecrets() {
	for i := range r.problems {
		for _, secret := range r.secrets {
			if secret != "" {
				r.problems[i].Excerpt = strings.ReplaceAll(r.problems[i].Excerpt, secret, strings.Repeat("*", utf8.RuneCountInString(secret)))
			}
		}
	}
}

// originOf returns the place of a key, or of the section that it is missing in.
func (r *reader) originOf(path string) origin {
	for path != "" {
		if at, ok := r.origins[path]; ok {
			return at
		}
		if at, ok := r.origins[path+fileSuffix]; ok {
			return at
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return origin{source: r.source}
}

const envPrefix = "GODWIT_"

// environment reads GODWIT_SECTION__KEY. Names without two underscores belong to the client commands, except GODWIT_DATA.
func (r *reader) environment(cfg *Config, environ []string) {
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		rest, ours := strings.CutPrefix(name, envPrefix)
		if !ours || !strings.Contains(rest, "__") && rest != "DATA" {
			continue
		}
		r.place = origin{source: name}
		r.variable(reflect.ValueOf(cfg).Elem(), strings.Split(strings.ToLower(rest), "__"), "", value)
	}
	r.place = origin{}
}

func (r *reader) variable(v reflect.Value, names []string, path, value string) {
	if len(names) == 0 {
		r.setVariable(v, path, value)
		return
	}
	name := names[0]
	switch v.Kind() {
	case reflect.Struct:
		field, file := fieldOf(v, name)
		path = join(path, name)
		switch {
		case !field.IsValid():
			r.fail(path, r.place, unknownKey(path, keysOf(v.Type())))
		case file:
			delete(r.origins, strings.TrimSuffix(path, fileSuffix))
			r.secretFile(stringNode(value), field, path)
		default:
			r.variable(field, names[1:], path, value)
		}
	case reflect.Slice:
		i, err := strconv.Atoi(name)
		if err != nil || i < 0 || i >= v.Len() {
			r.fail(path, r.place, fmt.Sprintf("%q is not the number of an entry; there are %d, counted from 0", name, v.Len()))
			return
		}
		r.variable(v.Index(i), names[1:], fmt.Sprintf("%s[%d]", path, i), value)
	default:
		r.fail(join(path, name), r.place, "is not a key; "+path+" is one value")
	}
}

// setVariable reads text for a value, YAML for a list or a section.
func (r *reader) setVariable(v reflect.Value, path, value string) {
	if v.Kind() != reflect.Slice && v.Kind() != reflect.Struct {
		r.origins[path] = r.place
		r.set(value, v, path, r.place)
		return
	}
	file, err := parser.ParseBytes([]byte(value), 0)
	switch {
	case err != nil:
		r.fail(path, r.place, "is not YAML; write for example [a, b]")
	case len(file.Docs) != 1 || file.Docs[0].Body == nil:
		r.fail(path, r.place, "is a list or a section; write for example [a, b] or {key: value}")
	default:
		r.value(file.Docs[0].Body, v, path)
	}
}

func stringNode(text string) *ast.StringNode {
	return &ast.StringNode{BaseNode: &ast.BaseNode{}, Value: text}
}
