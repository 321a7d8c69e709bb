package api_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestNtfysJSON(t *testing.T) {
	for _, c := range []struct{ name, body, to, text string }{
		{"all", `{"topic":"4917604069001","message":"Disk has 5.1 GB left","title":"Low disk space","tags":["warning","cd"],"priority":4,"attach":"https://example.org/s.jpg","click":"https://example.org/admin","actions":[{"action":"view"}]}`,
			"4917604069001", "Low disk space\nDisk has 5.1 GB left\nhttps://example.org/admin"},
		{"message only", `{"topic":"boiler","message":"on"}`, "boiler", "on"},
		{"title only", `{"topic":"boiler","title":"on"}`, "boiler", "on"},
		{"the link is in the message", `{"topic":"boiler","message":"see https://example.org","click":"https://example.org"}`, "boiler", "see https://example.org"},
		{"priority as a word", `{"topic":"boiler","message":"on","priority":"urgent","markdown":true,"delay":"30m"}`, "boiler", "on"},
		{"our words", `{"to":"boiler","text":"on"}`, "boiler", "on"},
		{"no address", `{"message":"on"}`, "", "on"},
	} {
		got, err := api.ParseNtfy([]byte(c.body))
		if err != nil || got.To != c.to || got.Text != c.text || len(got.Fields) != 0 {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	got, err := api.ParseNtfy([]byte(`{"topic":"boiler","message":"on","after":"30s","key":"k"}`))
	if err != nil || got.Fields["after"] != "30s" || got.Fields["key"] != "k" {
		t.Errorf("options: %+v, %v", got, err)
	}
	for body, says := range map[string]string{
		`{"topic":"boiler"}`: "no text", `{"topic":"boiler","message":""}`: "no text", `{"topic":5,"message":"on"}`: "must be a string", `"on"`: "object was expected", ``: "object",
		`{"topic":"boiler","to":"oven","message":"on"}`: "given twice", `{"topic":"boiler","message":"on","sms":7}`: "must be a string",
	} {
		if got, err := api.ParseNtfy([]byte(body)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
}

// What monitoring programs send becomes one SMS that says what is the matter.
func TestAlerts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	keys := map[string]string{}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		template, _, _ := strings.Cut(filepath.Base(file), "-")
		got, err := api.ParseTemplate(template, body)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		golden := strings.TrimSuffix(file, ".json") + ".txt"
		if *update {
			if err := os.WriteFile(golden, []byte(got.Text+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil || got.Text+"\n" != string(want) {
			t.Errorf("%s:\n%s\nwant (%v)\n%s", file, got.Text, err, want)
		}
		if segments, err := sms.Split("+4917604069001: " + got.Text); err != nil || len(segments) != 1 {
			t.Errorf("%s: %d segments, %v", file, len(segments), err)
		}
		key := got.Fields["key"]
		if err := delivery.CheckKey(key); err != nil || keys[key] != "" {
			t.Errorf("%s: key %q (%v), which %q has too", file, key, err, keys[key])
		}
		keys[key] = file
	}
}

// A retry is the same message; a change in the group, or the same alert on another day, is another one.
func TestKeyOfAnAlert(t *testing.T) {
	body, err := os.ReadFile("testdata/alertmanager-firing.json")
	if err != nil {
		t.Fatal(err)
	}
	key := func(old, new string) string {
		got, err := api.ParseTemplate("alertmanager", bytes.ReplaceAll(body, []byte(old), []byte(new)))
		if err != nil {
			t.Fatal(err)
		}
		return got.Fields["key"]
	}
	first := key("", "")
	if again := key(`"receiver": "phone"`, `"receiver":"phone"`); again != first {
		t.Error("a retry has another key")
	}
	for what, other := range map[string]string{
		"resolved":      key(`"firing"`, `"resolved"`),
		"another alert": key("1c2d3e4f5a6b7c8d", "1c2d3e4f5a6b7c8e"),
		"another day":   key("2026-11-24", "2026-11-25"),
		"another group": key(`"groupKey": "{}`, `"groupKey": "{}/{a=\"b\"}`),
	} {
		if other == first {
			t.Errorf("%s: the same key", what)
		}
	}
}

func TestBodiesThatAreNoAlerts(t *testing.T) {
	for body, says := range map[string]string{
		"": "ends too early", "hello": "cannot be read", "{}": "no alerts", `{"alerts":[]}`: "no alerts", `{"alerts":"many"}`: "no webhook", `{"alerts":[{}]} x`: "follows", "\xff": "UTF-8",
		`{"alerts":[{"startsAt":"yesterday"}]}`: "no webhook",
	} {
		if got, err := api.ParseTemplate("alertmanager", []byte(body)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %+v, %v", body, got, err)
		}
	}
	if _, err := api.ParseTemplate("nagios", []byte("{}")); err == nil || !strings.Contains(err.Error(), "alertmanager and grafana") {
		t.Errorf("a template that there is not: %v", err)
	}
}

func FuzzTemplate(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Add([]byte(`{"topic":"boiler","title":"a","message":"b","click":"c","priority":5}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if got, err := api.ParseTemplate("grafana", body); err == nil && (got.Text == "" || len([]rune(got.Text)) > 160 || delivery.CheckKey(got.Fields["key"]) != nil) {
			t.Errorf("%+v", got)
		}
		if got, err := api.ParseNtfy(body); err == nil && got.Text == "" {
			t.Errorf("%+v", got)
		}
	})
}
