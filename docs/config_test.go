package docs_test

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/config"
)

var keyRow = regexp.MustCompile("(?m)^\\| `([a-z_.\\[\\]]+)` \\|(?: `([^`]*)`|[^|]*) \\| ")

func TestEveryKeyHasItsRow(t *testing.T) {
	documented := map[string]string{}
	for _, row := range keyRow.FindAllStringSubmatch(section(read(t, "configuration.md"), "## All keys"), -1) {
		documented[row[1]] = row[2]
	}
	defaults, err := config.Parse("godwit.yaml", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	real := map[string]string{}
	leaves(reflect.ValueOf(defaults), "", real)
	for key, value := range real {
		if told, ok := documented[key]; !ok {
			t.Errorf("configuration.md lacks %s", key)
		} else if told != value {
			t.Errorf("configuration.md says that %s is %q, it is %q", key, told, value)
		}
	}
	for key := range documented {
		if _, ok := real[key]; !ok {
			t.Errorf("configuration.md has %s, which is no key", key)
		}
	}
}

// leaves collects the keys of a configuration with their values as one writes them; lists and secrets count as empty.
func leaves(v reflect.Value, path string, into map[string]string) {
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		key := strings.TrimPrefix(path+"."+name, ".")
		field := v.Field(i)
		switch {
		case key == "sms.gateways":
			into[key], into[key+"[].name"], into[key+"[].kind"] = "", "", ""
		case field.Kind() == reflect.Struct:
			leaves(field, key, into)
		case field.Kind() == reflect.Slice:
			into[key] = ""
		default:
			into[key] = fmt.Sprint(field.Interface())
		}
	}
}

func TestExampleOfConfigurationIsValid(t *testing.T) {
	example := block(t, "configuration.md", "yaml")
	if _, err := config.Parse("godwit.yaml", []byte(example), nil); err != nil {
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
