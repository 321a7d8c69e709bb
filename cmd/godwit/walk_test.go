package main_test

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/picture"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

// A walk calls a command with --json.
type walk struct {
	args   []string
	fields string // that each object has, as the design says; empty: a document, not JSON
	least  int    // objects; 0: exactly one
	human  bool   // it can be called again, and prints nothing but results then too
}

// commands are all there are, as help tells them.
func commands(t *testing.T, path ...string) (all []string) {
	t.Helper()
	r := godwit(t, append(path, "--help")...).want(t, 0, "")
	_, list, found := strings.Cut(r.out, "Available Commands:\n")
	if !found {
		return []string{strings.Join(path, " ")}
	}
	list, _, _ = strings.Cut(list, "\n\n")
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z]+) `).FindAllStringSubmatch(list, -1) {
		all = append(all, commands(t, append(slices.Clone(path), m[1])...)...)
	}
	return all
}

// Every command prints JSON with --json: one object a line, with the fields that are promised.
func TestEveryCommandSpeaksJSON(t *testing.T) {
	s, smsc := serveCarrier(t, "")
	client := func(command ...string) []string { return s.as("ann", command...) }
	op := func(command ...string) []string { return append(command, "--config", s.file) }
	godwit(t, s.op("user", "add", "cleo")...).want(t, 0, "")
	smsc.Next(1, smstest.Fault{Submit: smstest.Reject})
	godwit(t, client("send", "--wait", "4917604069003", "refused")...).want(t, 1, "failed: ")
	failed := object[picture.Message](t, godwit(t, s.op("messages")...).want(t, 0, ""))
	smsc.MO("4917604069008", ownNumber, "who is this?")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := smsc.Quiet(ctx); err != nil {
		t.Fatal(err)
	}
	const gateway = "name kind linked paused window under waiting wire"
	const message = "id to state at from created"
	table := map[string]walk{
		"user add":         {op("user", "add", "bo"), "address token id", 0, false},
		"user list":        {op("user", "list"), "address registered tokens devices", 2, true},
		"user show":        {op("user", "show", "ann"), "address registered tokens devices", 0, true},
		"user token":       {op("user", "token", "bo", "--device", "laptop"), "address token id", 0, true},
		"user remove":      {op("user", "remove", "bo"), "address removed", 0, false},
		"send":             {client("send", "cleo", "note"), "id to", 0, true},
		"listen":           {s.as("cleo", "listen", "--count", "1"), "topic id from text via at", 0, false},
		"messages":         {op("messages"), message, 2, true},
		"explain":          {op("explain", failed.ID), "message trail", 0, true},
		"retry":            {op("retry", failed.ID), message, 0, false},
		"gateway list":     {op("gateway", "list"), gateway, 1, true},
		"gateway test":     {op("gateway", "test", "carrier", "+4917604069003"), "gateway to taken segments", 0, true},
		"gateway pause":    {op("gateway", "pause", "carrier"), gateway, 0, true},
		"gateway resume":   {op("gateway", "resume", "carrier"), gateway, 0, true},
		"gateway wire":     {op("gateway", "wire", "carrier", "on"), gateway, 0, true},
		"optout add":       {op("optout", "add", "+4917604069003"), "number at", 0, false},
		"optout list":      {op("optout", "list"), "number at", 1, true},
		"optout remove":    {op("optout", "remove", "+4917604069003"), "number removed", 0, false},
		"unmatched list":   {op("unmatched", "list"), "id from to text at", 0, true},
		"unmatched assign": {nil, message, 0, false},
		"health":           {op("health"), "ready store disk recovery", 0, true},
		"check":            {op("check"), "", -1, true}, // its own test reads it
		"version":          {[]string{"version"}, "version go", 0, true},
		"man":              {[]string{"man", t.TempDir()}, "file", 20, true},
		"completion":       {[]string{"completion", "bash"}, "", -1, true},
		"help":             {[]string{"help"}, "", -1, true},
		"demo":             {nil, "", -1, false}, // its own test reads it
		"serve":            {nil, "", -1, false}, // it runs here: SMS as JSON, see TestSendBySMS
	}
	order := []string{"user add", "user token", "user show", "user list", "user remove", "send", "listen", "messages", "unmatched list", "unmatched assign", "explain", "retry", "gateway test", "optout add", "optout list", "optout remove"}
	known := commands(t)
	for name := range maps.Keys(table) {
		if !slices.Contains(known, name) {
			t.Errorf("there is no command %s", name)
		}
		if !slices.Contains(order, name) {
			order = append(order, name)
		}
	}
	for _, name := range known {
		if _, ok := table[name]; !ok {
			t.Errorf("the command %s is not walked; add it to the table", name)
		}
	}
	for _, name := range order {
		w := table[name]
		if name == "unmatched assign" {
			id := object[struct{ ID, From, To, Text, At string }](t, godwit(t, s.op("unmatched", "list")...).want(t, 0, "")).ID
			w.args = op("unmatched", "assign", id, "ann")
		}
		if w.args != nil {
			t.Run(name, func(t *testing.T) { w.walk(t) })
		}
	}
}

func (w walk) walk(t *testing.T) {
	r := godwit(t, append(w.args, "--json")...).want(t, 0, "")
	if w.fields != "" {
		all := objects[map[string]json.RawMessage](t, r)
		if w.least == 0 && len(all) != 1 || len(all) < w.least {
			t.Errorf("%d objects: %s", len(all), r.out)
		}
		for _, one := range all {
			for _, field := range strings.Fields(w.fields) {
				if _, ok := one[field]; !ok {
					t.Errorf("the field %s is missing: %v", field, slices.Sorted(maps.Keys(one)))
				}
			}
		}
	}
	if w.human {
		if r := godwit(t, w.args...).want(t, 0, ""); strings.Contains(r.out, "\x1b") {
			t.Errorf("colours in a pipe: %q", r.out)
		}
	}
}

// The pages are the same each time, and a formatter finds nothing to complain about.
func TestManualPages(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	first, second := filepath.Join(t.TempDir(), "new"), t.TempDir()
	names := strings.Fields(godwit(t, "man", first).want(t, 0, "").out)
	godwit(t, "man", second).want(t, 0, "")
	if !slices.Contains(names, filepath.Join(first, "godwit-user-token.1")) || !slices.Contains(names, filepath.Join(first, "godwit.1")) {
		t.Errorf("pages: %v", names)
	}
	for _, name := range names {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		again, err := os.ReadFile(filepath.Join(second, filepath.Base(name)))
		if err != nil || string(again) != string(page) {
			t.Errorf("%s is another page the second time: %v", name, err)
		}
		for _, part := range []string{".TH \"GODWIT", "Nov 2023", ".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION"} {
			if !strings.Contains(string(page), part) {
				t.Errorf("%s lacks %q", name, part)
			}
		}
	}
	if groff := program(t, "groff"); groff != "" {
		if out := command(t, "", groff, append([]string{"-man", "-Tutf8", "-ww", "-z"}, names...)...); out != "" {
			t.Errorf("groff: %s", out)
		}
	}
	if r := godwit(t, "man").want(t, 0, ""); !strings.Contains(r.out, "exit status is 0") {
		t.Errorf("godwit(1): %s", r.out)
	}
}
