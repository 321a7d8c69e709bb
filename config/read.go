package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/seed-7a41469f/godwit/internal/typo"
)

const fileSuffix = "_file"

var (
	secretType  = reflect.TypeFor[Secret]()
	pathType    = reflect.TypeFor[Path]()
	moneyType   = reflect.TypeFor[Money]()
	gatewayType = reflect.TypeFor[Gateway]()
)

// An origin is the place that a value comes from.
type origin struct {
	source       string
	line, column int
}

// A reader puts the nodes of a YAML document into a Config and remembers where each key stands.
type reader struct {
	dir      string // relative paths count from here
	source   string // file or variable that is being read
	place    origin // overrides the tokens' own places: a variable has one line
	lines    []string
	origins  map[string]origin
	secrets  []string          // keys whose values are not shown in an excerpt
	files    map[string]string // files that secrets were read from, by key
	problems Problems
}

func (r *reader) fail(path string, at origin, message string) {
	p := Problem{Key: path, Message: message, Source: at.source, Line: at.line, Column: at.column}
	if at.line > 0 && at.line <= len(r.lines) {
		p.Excerpt = r.lines[at.line-1]
	}
	r.problems = append(r.problems, p)
}

func (r *reader) at(t *token.Token) origin {
	if r.place != (origin{}) || t == nil || t.Position == nil {
		return r.place
	}
	return origin{source: r.source, line: t.Position.Line, column: t.Position.Column}
}

// value reads a node into v; path is its key.
func (r *reader) value(n ast.Node, v reflect.Value, path string) {
	at := r.at(start(n))
	r.origins[path] = at
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		r.fail(path, at, "anchors, aliases and tags are not used here; write the value itself")
		return
	case *ast.NullNode:
		if !isSection(v.Type()) {
			r.fail(path, at, "has no value; leave the key out for its default, or write \"\" for an empty text")
		}
		return
	}
	switch {
	case isSection(v.Type()):
		r.section(n, v, path)
	case v.Kind() == reflect.Slice:
		r.list(n, v, path)
	case v.Kind() == reflect.Map:
		r.table(n, v, path)
	default:
		if text, ok := scalar(n); ok {
			r.set(text, v, path, at)
		} else {
			r.fail(path, at, "is one value, not a list or a section")
		}
	}
}

// section reads a mapping into a struct.
func (r *reader) section(n ast.Node, v reflect.Value, path string) {
	pairs, ok := pairsOf(n)
	if !ok {
		r.fail(path, r.at(n.GetToken()), "is a section with keys: "+strings.Join(keysOf(v.Type()), ", "))
		return
	}
	keys := keysOf(v.Type())
	if g, ok := v.Addr().Interface().(*Gateway); ok {
		keys = r.kind(pairs, g)
	}
	known := withFiles(v.Type(), keys)
	for _, kv := range pairs {
		name, ok := r.key(kv, path)
		if !ok {
			continue
		}
		at, full := r.at(kv.Key.GetToken()), join(path, name)
		if !slices.Contains(known, name) {
			r.unknown(kv, v, full, keys)
			continue
		}
		field, file := fieldOf(v, name)
		if file {
			r.secretFile(kv.Value, field, full)
			continue
		}
		if _, twice := r.origins[full+fileSuffix]; twice && field.Type() == secretType {
			r.fail(full, at, fmt.Sprintf("is given twice, as %s and as %s%s; keep one", name, name, fileSuffix))
			continue
		}
		r.value(kv.Value, field, full)
	}
}

// kind gives a gateway the defaults of the kind that its entry names, and returns the keys of that kind.
func (r *reader) kind(pairs []*ast.MappingValueNode, g *Gateway) []string {
	for _, kv := range pairs {
		if name, _ := scalar(kv.Key); name != "kind" {
			continue
		}
		word, _ := scalar(kv.Value)
		if k, ok := kindOf(word); ok {
			*g = DefaultGateway(word, "")
			return k.keys()
		}
	}
	return keysOf(gatewayType)
}

// unknown tells of a key that is none here. Its value is not shown when it may be a secret.
func (r *reader) unknown(kv *ast.MappingValueNode, v reflect.Value, path string, keys []string) {
	_, name := cutLast(path)
	near, _ := typo.Nearest(name, keysOf(v.Type()))
	if field, _ := fieldOf(v, near); field.IsValid() && field.Type() == secretType {
		r.secrets = append(r.secrets, name)
	}
	r.fail(path, r.at(kv.Key.GetToken()), unknownKey(path, v, keys))
}

// table reads a mapping of free keys into a map, which it replaces.
func (r *reader) table(n ast.Node, v reflect.Value, path string) {
	pairs, ok := pairsOf(n)
	if !ok {
		r.fail(path, r.at(n.GetToken()), "is a table; write for example {key: value}")
		return
	}
	r.forget(path)
	v.SetZero()
	if len(pairs) > 0 {
		v.Set(reflect.MakeMapWithSize(v.Type(), len(pairs)))
	}
	for _, kv := range pairs {
		name, ok := r.key(kv, path)
		if !ok {
			continue
		}
		item, key := reflect.New(v.Type().Elem()).Elem(), reflect.ValueOf(name)
		if v.MapIndex(key).IsValid() {
			r.fail(join(path, name), r.at(kv.Key.GetToken()), "stands here twice")
			continue
		}
		if item.Type() == secretType {
			r.secrets = append(r.secrets, name)
		}
		r.value(kv.Value, item, join(path, name))
		v.SetMapIndex(key, item)
	}
}

// pairsOf returns the keys and values of a mapping; ok false: it is none.
func pairsOf(n ast.Node) (pairs []*ast.MappingValueNode, ok bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	return nil, false
}

// start returns the token that a node begins with; a mapping that is not in braces begins with its first key.
func start(n ast.Node) *token.Token {
	if m, ok := n.(*ast.MappingNode); ok && m.IsFlowStyle {
		return n.GetToken()
	}
	if pairs, ok := pairsOf(n); ok && len(pairs) > 0 {
		return pairs[0].Key.GetToken()
	}
	return n.GetToken()
}

// key returns the name of a pair, and complains when it has none.
func (r *reader) key(kv *ast.MappingValueNode, path string) (name string, ok bool) {
	if name, ok = scalar(kv.Key); !ok {
		r.fail(path, r.at(kv.Key.GetToken()), `a key is a plain word, or a text in quotes such as "*"`)
	}
	return name, ok
}

// list reads a sequence into a slice, which it replaces.
func (r *reader) list(n ast.Node, v reflect.Value, path string) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		r.fail(path, r.at(n.GetToken()), "is a list; write for example [a, b]")
		return
	}
	r.forget(path)
	v.SetZero()
	if len(seq.Values) > 0 {
		v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values)))
	}
	for i, item := range seq.Values {
		r.value(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
}

// forget drops the places of what a list or table held before.
func (r *reader) forget(path string) {
	maps.DeleteFunc(r.origins, func(key string, _ origin) bool {
		return strings.HasPrefix(key, path+"[") || strings.HasPrefix(key, path+".")
	})
}

// secretFile reads the file that key_file names into the Secret field of key.
func (r *reader) secretFile(n ast.Node, field reflect.Value, path string) {
	at := r.at(n.GetToken())
	name, ok := scalar(n)
	if !ok {
		r.fail(path, at, "is the name of a file")
		return
	}
	if _, twice := r.origins[strings.TrimSuffix(path, fileSuffix)]; twice {
		key := strings.TrimSuffix(path, fileSuffix)
		r.fail(path, at, fmt.Sprintf("is given twice, as %s and as %s; keep one", key, path))
		return
	}
	r.origins[path] = at
	if name == "" {
		return
	}
	r.files[path] = r.resolve(name)
	secret, err := readSecret(r.files[path])
	if err != nil {
		r.fail(path, at, err.Error())
		return
	}
	field.SetString(secret)
}

// readSecret reads the file of a secret, without the line end.
func readSecret(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" {
		return "", errors.New("the file is empty; it holds the secret in one line")
	}
	return secret, nil
}

func (r *reader) resolve(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(r.dir, name)
}

// set reads the text of one value.
func (r *reader) set(text string, v reflect.Value, path string, at origin) {
	next := reflect.New(v.Type()).Elem()
	if err := parse(text, next); err != nil {
		if v.Type() == secretType {
			text = masked
		}
		r.fail(path, at, fmt.Sprintf("%q %s", text, err))
		return
	}
	v.Set(next)
	if v.Type() == pathType {
		v.SetString(r.resolve(text))
	}
}

func parse(text string, v reflect.Value) (err error) {
	switch p := v.Addr().Interface().(type) {
	case *Duration:
		*p, err = ParseDuration(text)
	case *Size:
		*p, err = ParseSize(text)
	case *Rate:
		*p, err = ParseRate(text)
	case *Money:
		*p, err = ParseMoney(text)
	case *bool:
		if *p = text == "true"; !*p && text != "false" {
			return errors.New("is neither true nor false")
		}
	case *int:
		if *p, err = strconv.Atoi(strings.ReplaceAll(text, "_", "")); err != nil {
			return fmt.Errorf("is not a whole number")
		}
	case *float64:
		if *p, err = strconv.ParseFloat(text, 64); err != nil {
			return fmt.Errorf("is not a number")
		}
	default:
		v.SetString(text)
	}
	return err
}

// scalar returns the text of a node as it was written: a number with a leading zero, or a country like NO, stays what it is.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// fieldOf finds the field of a key; file says that the key is the _file variant of a secret.
func fieldOf(v reflect.Value, key string) (field reflect.Value, file bool) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if keyOf(f) == key {
			return v.Field(i), false
		}
		if f.Type == secretType && keyOf(f)+fileSuffix == key {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// isSection reports whether a value of the type is written as keys with values.
func isSection(t reflect.Type) bool { return t.Kind() == reflect.Struct && t != moneyType }

func keysOf(t reflect.Type) []string {
	keys := make([]string, t.NumField())
	for i := range keys {
		keys[i] = keyOf(t.Field(i))
	}
	return keys
}

func keyOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
