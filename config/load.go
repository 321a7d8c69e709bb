package config

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Load reads a file, or takes Default when path is empty, and what the environment (as of os.Environ) says. The error is Problems, or that of reading the file.
func Load(path string, environ []string) (Config, error) { return configOf(Read(path, environ)) }

// Parse is Load for the text of a file.
func Parse(path string, text []byte, environ []string) (Config, error) {
	return configOf(parseSource(path, text, environ))
}

func configOf(s *Source, err error) (Config, error) {
	if s == nil {
		return Config{}, err
	}
	return s.Config, err
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
		if last := &r.problems[len(r.problems)-1]; bareStar.MatchString(last.Excerpt) {
			last.Message += `; a * stands in quotes: "*"`
		}
		return
	}
	r.fail("", origin{source: r.source}, err.Error())
}

var bareStar = regexp.MustCompile(`(^|[\s\[{,])\*`)

// finish adds the environment and the credentials, and checks the whole.
func (r *reader) finish(cfg *Config, environ []string) error {
	r.environment(cfg, environ)
	r.credentials(cfg, environ)
	unread := r.problems
	for _, p := range check(*cfg) {
		if unread.of(p.Key) {
			continue // what check says is about the default
		}
		r.fail(p.Key, r.originOf(p.Key), p.Message)
	}
	r.hideSecrets()
	return r.problems.sorted()
}

// hideSecrets covers the values of secrets in the lines that are shown, and logins in URLs everywhere, at their width.
func (r *reader) hideSecrets() {
	if len(r.problems) == 0 {
		return
	}
	values := []*regexp.Regexp{login}
	for _, key := range r.secrets {
		values = append(values, regexp.MustCompile(`((?:^|[\s,{"'])`+regexp.QuoteMeta(key)+`["']?\s*:\s*)("(?:[^"\\]|\\.)*"?|'(?:[^']|'')*'?|[^\s,}][^,}]*)`))
	}
	for i, p := range r.problems {
		r.problems[i].Message = cover(p.Message, login)
		r.problems[i].Excerpt = cover(p.Excerpt, values...)
	}
}

var login = regexp.MustCompile(`(://)([^/\s"'@]*)@`)

// cover hides what the second groups match.
func cover(text string, values ...*regexp.Regexp) string {
	for _, value := range values {
		text = value.ReplaceAllStringFunc(text, func(match string) string {
			part := value.FindStringSubmatch(match)
			return part[1] + strings.Repeat("*", utf8.RuneCountInString(part[2])) + match[len(part[1])+len(part[2]):]
		})
	}
	return text
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

// environment reads GODWIT_SECTION__KEY. Names without two underscores belong to the client commands, except GODWIT_DATA. An environment has no order:
// what is set as a whole comes before its parts.
func (r *reader) environment(cfg *Config, environ []string) {
	for _, variable := range slices.SortedStableFunc(slices.Values(environ), byDepth) {
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

// byDepth compares variables by how many levels their names have.
func byDepth(a, b string) int {
	depth := func(variable string) int {
		name, _, _ := strings.Cut(variable, "=")
		return strings.Count(name, "__")
	}
	return cmp.Compare(depth(a), depth(b))
}

// twice complains when a secret and its file both have a variable; other is the key of the one that was read before.
func (r *reader) twice(path, other string) bool {
	value, isFile := strings.CutSuffix(r.place.source, strings.ToUpper(fileSuffix))
	file := value + strings.ToUpper(fileSuffix)
	before := file
	if isFile {
		before = value
	}
	if r.origins[other].source != before {
		return false
	}
	r.fail(path, r.place, fmt.Sprintf("is given twice, as %s and as %s; keep one", value, file))
	return true
}

func (r *reader) variable(v reflect.Value, names []string, path, value string) {
	if len(names) == 0 {
		r.setVariable(v, path, value)
		return
	}
	name := names[0]
	switch {
	case isSection(v.Type()):
		field, file := fieldOf(v, name)
		path = join(path, name)
		switch {
		case !field.IsValid():
			r.fail(path, r.place, unknownKey(path, v, keysOf(v.Type())))
		case v.Type() == gatewayType && name == "kind":
			r.fail(path, r.place, "decides which keys there are; set it in the file, or set the whole list: GODWIT_SMS__GATEWAYS=[{name: a, kind: console}]")
		case file && r.twice(path, strings.TrimSuffix(path, fileSuffix)):
		case file:
			delete(r.origins, strings.TrimSuffix(path, fileSuffix))
			r.secretFile(stringNode(value), field, path)
		default:
			r.variable(field, names[1:], path, value)
		}
	case v.Kind() == reflect.Map:
		r.fail(join(path, name), r.place, path+" is set as a whole; write {key: value}")
	case v.Kind() == reflect.Slice:
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
	if v.Type() == secretType && r.twice(path, path+fileSuffix) {
		return
	}
	if !isSection(v.Type()) && v.Kind() != reflect.Slice && v.Kind() != reflect.Map {
		r.origins[path] = r.place
		delete(r.origins, path+fileSuffix)
		delete(r.files, path+fileSuffix)
		r.set(value, v, path, r.place)
		return
	}
	file, err := parser.ParseBytes([]byte(value), 0)
	switch {
	case err != nil:
		r.fail(path, r.place, "is not YAML; write for example [a, b]")
	case len(file.Docs) != 1 || file.Docs[0].Body == nil:
		r.fail(path, r.place, "is a list, a table or a section; write for example [a, b] or {key: value}")
	default:
		r.value(file.Docs[0].Body, v, path)
	}
}

func stringNode(text string) *ast.StringNode {
	return &ast.StringNode{BaseNode: &ast.BaseNode{}, Value: text}
}
