package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// A Source is a configuration as it was read: it knows where each value comes from.
type Source struct {
	Config Config

	r *reader
}

// Read is Load, and keeps where each value comes from.
func Read(path string, environ []string) (*Source, error) {
	if path == "" {
		return read(newReader("", nil), Default(), nil, environ)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return parseSource(path, text, environ)
}

func parseSource(path string, text []byte, environ []string) (*Source, error) {
	r := newReader(path, text)
	cfg := defaults()
	cfg.Data = Path(r.resolve(string(cfg.Data)))
	return read(r, cfg, text, environ)
}

func newReader(path string, text []byte) *reader {
	r := &reader{source: path, origins: map[string]origin{}, files: map[string]string{}, secrets: secretKeys()}
	if path != "" {
		r.dir, r.lines = filepath.Dir(path), strings.Split(string(text), "\n")
	}
	return r
}

// read reads the text of a file, when there is one, and what the environment says, over cfg.
func read(r *reader, cfg Config, text []byte, environ []string) (*Source, error) {
	s := &Source{Config: cfg, r: r}
	if r.source != "" && !r.document(text, &s.Config) {
		r.hideSecrets()
		return nil, r.problems.sorted()
	}
	return s, r.finish(&s.Config, environ)
}

// Origin returns where the value of a key comes from: default, the file with its line, a variable of the environment, or a credential.
func (s *Source) Origin(key string) string {
	if at, ok := s.r.origins[key+fileSuffix]; ok {
		return at.String()
	}
	return s.r.origins[key].String()
}

// String is how an origin is shown.
func (o origin) String() string {
	switch {
	case o.line > 0:
		return fmt.Sprintf("%s:%d", o.source, o.line)
	case o.source != "":
		return o.source
	}
	return "default"
}

// Place gives problems that were found after reading, by whoever uses the configuration, their place in the file.
func (s *Source) Place(problems Problems) error {
	placed := &reader{source: s.r.source, lines: s.r.lines, origins: s.r.origins, secrets: s.r.secrets}
	for _, p := range problems {
		placed.fail(p.Key, placed.originOf(p.Key), p.Message)
	}
	placed.hideSecrets()
	return placed.problems.sorted()
}

// credentialsDirectory is where a service manager leaves secrets (systemd.exec(5), LoadCredential=).
const credentialsDirectory = "CREDENTIALS_DIRECTORY"

// credentials reads the secrets that have neither a value nor a file from the files that are named by their keys, a gateway's by its name:
// admin.token, sms.gateways.carrier.password.
func (r *reader) credentials(cfg *Config, environ []string) {
	i := slices.IndexFunc(environ, func(v string) bool { return strings.HasPrefix(v, credentialsDirectory+"=") })
	if i < 0 {
		return
	}
	dir := strings.TrimPrefix(environ[i], credentialsDirectory+"=")
	if dir == "" {
		return
	}
	secretsBelow(reflect.ValueOf(cfg).Elem(), "", "", func(v reflect.Value, path, name string) { r.credential(v, path, name, dir) })
}

// secretsBelow visits all secrets; name is the path with gateways by their names. Those of a table cannot be set.
func secretsBelow(v reflect.Value, path, name string, visit func(v reflect.Value, path, name string)) {
	switch {
	case v.Type() == secretType:
		visit(v, path, name)
	case isSection(v.Type()):
		for i := range v.NumField() {
			key := keyOf(v.Type().Field(i))
			secretsBelow(v.Field(i), join(path, key), join(name, key), visit)
		}
	case v.Kind() == reflect.Map && v.Type().Elem() == secretType:
		for _, key := range v.MapKeys() {
			secretsBelow(v.MapIndex(key), join(path, key.String()), join(name, key.String()), visit)
		}
	case v.Kind() == reflect.Slice && v.Type().Elem() == gatewayType:
		for i := range v.Len() {
			secretsBelow(v.Index(i), fmt.Sprintf("%s[%d]", path, i), join(name, v.Index(i).FieldByName("Name").String()), visit)
		}
	}
}

func (r *reader) credential(v reflect.Value, path, name, dir string) {
	if v.String() != "" || !v.CanSet() || r.problems.of(path) || filepath.Base(name) != name {
		return
	}
	at := origin{source: "credential " + name}
	secret, err := readSecret(filepath.Join(dir, name))
	if os.IsNotExist(err) {
		return
	}
	r.origins[path] = at
	delete(r.origins, path+fileSuffix)
	if err != nil {
		r.fail(path, at, err.Error())
		return
	}
	v.SetString(secret)
}
