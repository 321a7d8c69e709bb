package docs_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/config"
)

// A row of a table of keys: key, default (not for the keys of gateways), range, meaning.
var keyRow = regexp.MustCompile("(?m)^\\| `([a-z0-9_.\\[\\]]+)` \\|(?:( [^|]*)?\\|)?( [^|]*)?\\| [^|]+ \\|$")

// A told key is what the page or the code says of it.
type told struct{ value, bounds string }

func TestEveryKeyHasItsRow(t *testing.T) {
	documented := map[string]told{}
	for _, row := range keyRow.FindAllStringSubmatch(section(read(t, "configuration.md"), "## All keys"), -1) {
		documented[row[1]] = told{strings.Trim(row[2], " `"), strings.TrimSpace(strings.ReplaceAll(row[3], "`", ""))}
	}
	defaults, err := config.Parse("godwit.yaml", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	real := map[string]told{}
	leaves(reflect.ValueOf(defaults), "", real)
	for key, want := range real {
		if got, ok := documented[key]; !ok {
			t.Errorf("configuration.md lacks %s", key)
		} else if got != want {
			t.Errorf("configuration.md says that %s is %q and may be %q, it is %q and may be %q", key, got.value, got.bounds, want.value, want.bounds)
		}
	}
	for key := range documented {
		if _, ok := real[key]; !ok {
			t.Errorf("configuration.md has %s, which is no key", key)
		}
	}
}

// What SIGHUP changes is what the page says, key by key and section by section.
func TestLiveKeysAreDocumented(t *testing.T) {
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]+) \\|").FindAllStringSubmatch(section(read(t, "configuration.md"), "## Changing it while the broker runs"), -1) {
		for key := range strings.SplitSeq(row[1], ", ") {
			documented = append(documented, strings.Trim(key, "`"))
		}
	}
	live := broker.LiveKeys()
	slices.Sort(documented)
	slices.Sort(live)
	if !slices.Equal(documented, live) {
		t.Errorf("configuration.md has\n%v\nSIGHUP changes\n%v", documented, live)
	}
	keys := map[string]told{}
	leaves(reflect.ValueOf(config.Default()), "", keys)
	for _, key := range live {
		if _, ok := keys[key]; !ok && !slices.ContainsFunc(slices.Collect(maps.Keys(keys)), func(k string) bool { return strings.HasPrefix(k, key+".") }) {
			t.Errorf("%s is neither a key nor a section", key)
		}
	}
}

// leaves collects the keys of a configuration with their defaults and bounds, as one writes them. Those of list entries have none; their kinds do.
func leaves(v reflect.Value, path string, into map[string]told) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		key := strings.TrimPrefix(path+"."+name, ".")
		field := v.Field(i)
		_, text := field.Interface().(fmt.Stringer)
		switch {
		case field.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			into[key] = told{}
			leaves(reflect.Zero(f.Type.Elem()), key+"[]", into)
		case field.Kind() == reflect.Struct && !text:
			leaves(field, key, into)
		default:
			into[key] = told{asWritten(field, strings.Contains(key, "[]")), boundsOf(f.Tag)}
		}
	}
}

func asWritten(v reflect.Value, entry bool) string {
	switch list, ok := v.Interface().([]string); {
	case ok:
		return strings.Join(list, ", ")
	case entry || v.Kind() == reflect.Map:
		return ""
	}
	return fmt.Sprint(v.Interface())
}

func boundsOf(tag reflect.StructTag) string {
	if low := tag.Get("min"); low != "" {
		return low + " to " + tag.Get("max")
	}
	return strings.ReplaceAll(tag.Get("oneof"), "|", ", ")
}

func TestEveryKindHasItsRow(t *testing.T) {
	table := section(read(t, "configuration.md"), "## Kinds of gateways")
	var rows []string
	for _, k := range config.Kinds() {
		if k.Name == config.KindTest {
			continue
		}
		row := "| `" + k.Name + "` |" + cell(k.Required, nil) + "|" + cell(k.Optional, &k.Default) + "|"
		if like, ok := webhookLike(k); ok {
			row = "| `" + k.Name + "` |" + cell(k.Required, nil) + "| " + like + " |"
		}
		rows = append(rows, row)
	}
	if want := strings.Join(rows, "\n"); !strings.Contains(table, want) {
		t.Errorf("configuration.md lacks the rows\n%s", want)
	}
}

// cell lists keys, with their defaults.
func cell(keys []string, defaults *config.Gateway) string {
	words := make([]string, len(keys))
	for i, key := range keys {
		words[i] = "`" + key + "`"
		if defaults == nil {
			continue
		}
		if field := fieldOf(reflect.ValueOf(*defaults), key); !field.IsZero() {
			words[i] += fmt.Sprintf(" (`%v`)", field.Interface())
		}
	}
	if len(words) == 0 {
		return " "
	}
	return " " + strings.Join(words, ", ") + " "
}

func fieldOf(v reflect.Value, key string) reflect.Value {
	for i := range v.NumField() {
		if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ","); name == key {
			return v.Field(i)
		}
	}
	return reflect.Value{}
}

// webhookLike says what a preset has beside what it needs, when that is all that a webhook has.
func webhookLike(k config.Kind) (string, bool) {
	kinds := config.Kinds()
	webhook := kinds[slices.IndexFunc(kinds, func(k config.Kind) bool { return k.Name == config.KindWebhook })]
	all := func(k config.Kind) []string {
		return slices.Sorted(slices.Values(slices.Concat(k.Required, k.Optional)))
	}
	if k.Name == webhook.Name || !slices.Equal(all(k), all(webhook)) {
		return "", false
	}
	return fmt.Sprintf("what `webhook` has; `window` (`%d`)", k.Default.Window), true
}

// The examples of kinds are accepted with the files that they name, and every kind has one.
func TestExamplesOfGatewaysAreValid(t *testing.T) {
	file := regexp.MustCompile("[a-z]+_file: ([a-z-]+)")
	found := map[string]bool{}
	for _, example := range blocks(section(read(t, "configuration.md"), "## Kinds of gateways"), "yaml") {
		dir := t.TempDir()
		for _, name := range file.FindAllStringSubmatch(example, -1) {
			if err := os.WriteFile(filepath.Join(dir, name[1]), []byte("secret\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		text := "sms:\n  gateways:\n    " + strings.ReplaceAll(example, "\n", "\n    ")
		cfg, err := config.Parse(filepath.Join(dir, "godwit.yaml"), []byte(text), nil)
		if err != nil {
			t.Errorf("an example in configuration.md: %v", err)
		}
		for _, g := range cfg.SMS.Gateways {
			found[g.Kind] = true
		}
	}
	for _, k := range config.Kinds() {
		if !found[k.Name] && k.Name != config.KindTest {
			t.Errorf("configuration.md has no example of kind %s", k.Name)
		}
	}
}

// blocks returns the code blocks of a language in a text.
func blocks(text, language string) (found []string) {
	for _, part := range strings.Split(text, "```"+language+"\n")[1:] {
		code, _, _ := strings.Cut(part, "```")
		found = append(found, code)
	}
	return found
}

func TestExampleOfConfigurationIsValid(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"carrier-password", "twilio-token"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	example := block(t, "configuration.md", "yaml")
	if _, err := config.Parse(filepath.Join(dir, "godwit.yaml"), []byte(example), nil); err != nil {
		t.Errorf("the example in configuration.md: %v", err)
	}
}

func TestErrorOfConfigurationLooksAsDocumented(t *testing.T) {
	_, err := config.Parse("godwit.yaml", []byte("data: messages\n\npush:\n  ack_timout: 30s\n"), nil)
	if err == nil {
		t.Fatal("a misspelt key was accepted")
	}
	if text := read(t, "configuration.md"); !strings.Contains(text, "```\n"+err.Error()+"\n```") {
		t.Errorf("configuration.md shows another error than\n%v", err)
	}
}

// block returns the first code block of a language on a page.
func block(t *testing.T, page, language string) string {
	t.Helper()
	_, rest, ok := strings.Cut(read(t, page), "```"+language+"\n")
	if !ok {
		t.Fatalf("%s has no block of %s", page, language)
	}
	code, _, _ := strings.Cut(rest, "```")
	return code
}
