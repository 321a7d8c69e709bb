package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args string
		exit int
		err  string
	}{
		{"sned", 2, "usage: unknown command \"sned\" for \"godwit\"\n\nDid you mean this?\n\tsend\n"},
		{"send --wiat", 2, "usage: unknown flag: --wiat; did you mean --wait?"},
		{"send --colour", 2, "usage: unknown flag: --colour; godwit help send shows what there is"},
		{"send --user ann 4917604069001", 2, "usage: accepts 2 arg(s), received 1"},
		{"send 4917604069001 hi", 2, "usage: who are you?"},
		{"send --user ann 12345 hi", 2, "address: \"12345\": "},
		{"send --user +12 4917604069001 hi", 2, "address: \"+12\": "},
		{"send --user ann ０ hi", 2, "address: "},
		{"send --user ann --sms maybe bo hi", 2, "usage: --sms \"maybe\" is none of auto, never, only"},
		{"send --user ann --receipts some bo hi", 2, "usage: --receipts \"some\" is none of none, final, all"},
		{"send --user ann --wait --receipts all bo hi", 2, "usage: --receipts goes without --wait"},
		{"send --user ann --after soon bo hi", 2, "usage: --after: \"soon\" is not a duration"},
		{"send --user ann --expires 10ms bo hi", 2, "usage: --expires 10ms: the shortest is 1s"},
		{"send --user ann --key a/b bo hi", 2, "usage: --key: a key is "},
		{"send --user ann --server nowhere bo hi", 2, "usage: --server \"nowhere\" is not a URL"},
		{"send --user ann --server http://127.0.0.1 bo hi", 2, "usage: --server http://127.0.0.1: the scheme is none of"},
		{"send --user ann --server ws://127.0.0.1/mqtt bo hi", 2, "usage: --server ws://127.0.0.1/mqtt: WebSocket is not in this version"},
		{"send --user ann --server mqtt://127.0.0.1:1 bo hi", 3, "connect: mqtt://127.0.0.1:1: "},
		{"listen --user ann --server mqtt://127.0.0.1:1", 3, "connect: mqtt://127.0.0.1:1: "},
		{"listen --user ann --count -1", 2, "usage: --count -1 is negative"},
		{"user", 2, "usage: godwit user needs one of: add, list, remove, show, token"},
		{"user ad", 2, "usage: godwit user has no command \"ad\"; did you mean add?"},
		{"user frobnicate", 2, "usage: godwit user has no command \"frobnicate\"; there are add, list, remove, show, token"},
		{"user add", 2, "usage: accepts 1 arg(s), received 0"},
		{"user add --admin unix:/no/such/socket 12345", 2, "address: "},
		{"user list --admin unix:/no/such/socket", 3, "connect: no broker answers on unix:/no/such/socket "},
		{"user list --admin http://127.0.0.1:1", 3, "connect: no broker answers on http://127.0.0.1:1 "},
		{"user list --admin nowhere", 2, "usage: --admin \"nowhere\" is none of"},
		{"user token --revoke a --all 4917604069001", 2, "usage: if any flags in the group"},
		{"user token --admin unix:/no/such/socket --revoke= ann", 2, "usage: --revoke needs the id of a token"},
		{"messages --limit 0", 2, "usage: --limit 0 is not a positive number"},
		{"messages --to x/y", 2, "address: "},
		{"explain x", 2, "usage: \"x\" is not a message id"},
		{"explain", 2, "usage: accepts 1 arg(s), received 0"},
		{"health --admin unix:/no/such/socket", 3, "connect: "},
		{"check --config /no/such/file", 2, "config: read the configuration: open /no/such/file"},
		{"serve --config /no/such/file", 2, "config: read the configuration: open /no/such/file"},
		{"demo now", 2, "usage: unknown command \"now\" for \"godwit demo\""},
	} {
		t.Run(c.args, func(t *testing.T) { godwit(t, strings.Fields(c.args)...).want(t, c.exit, c.err) })
	}
}

func TestHelpOfEveryCommand(t *testing.T) {
	for _, command := range []string{"demo", "serve", "check", "send", "listen", "user", "user add", "user list", "user show", "user remove", "user token", "messages", "explain", "retry", "gateway", "gateway list", "gateway test", "gateway pause", "gateway resume", "gateway wire", "optout", "optout list", "optout add", "optout remove", "unmatched", "unmatched list", "unmatched assign", "health", "version", "completion"} {
		r := godwit(t, append(strings.Fields(command), "--help")...).want(t, 0, "")
		if !strings.Contains(r.out, "Usage:") || strings.Contains(r.out, "soon") {
			t.Errorf("%s: %s", command, r.out)
		}
	}
}

func TestCompletions(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if r := godwit(t, "completion", shell).want(t, 0, ""); !strings.Contains(r.out, "godwit") {
			t.Errorf("%s: %q", shell, r.out)
		}
	}
	if r := godwit(t, "__complete", "user", "t").want(t, 0, "Completion ended"); !strings.Contains(r.out, "token") {
		t.Errorf("got %q", r.out)
	}
}

func TestVersion(t *testing.T) {
	if r := godwit(t, "version").want(t, 0, ""); !strings.HasPrefix(r.out, "godwit ") {
		t.Errorf("got %q", r.out)
	}
	v := object[struct{ Version, Commit, Go string }](t, godwit(t, "version", "--json").want(t, 0, ""))
	if v.Version == "" || !strings.HasPrefix(v.Go, "go1.") {
		t.Errorf("got %+v", v)
	}
}

func TestCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "godwit.yaml")
	if err := os.WriteFile(file, []byte("admin: {token: hunter2}\npush: {ack_timeout: 20s}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GODWIT_PUSH__WINDOW", "7")
	r := godwit(t, "check", "--config", file).want(t, 0, "")
	for _, want := range []string{`(?m)^  ack_timeout: 20s +# ` + file + `:2$`, `(?m)^  window: 7 +# GODWIT_PUSH__WINDOW$`, `(?m)^  storm_hold: 2m +# default$`, `(?m)^  token: "\*+" +# ` + file + `:1$`} {
		if !regexp.MustCompile(want).MatchString(r.out) {
			t.Errorf("%s does not match\n%s", want, r.out)
		}
	}
	got := object[struct {
		Config   map[string]any
		Origins  map[string]string
		Warnings []string
	}](t, godwit(t, "check", "--config", file, "--json").want(t, 0, ""))
	if push := got.Config["push"].(map[string]any); push["ack_timeout"] != "20s" || push["window"] != 7. || got.Config["admin"].(map[string]any)["token"] == "hunter2" {
		t.Errorf("got %v", got.Config)
	}
	if o := got.Origins; o["push.ack_timeout"] != file+":2" || o["push.window"] != "GODWIT_PUSH__WINDOW" || o["log.level"] != "default" || o["sms.gateways[0].kind"] != "default" {
		t.Errorf("got %v", o)
	}
	if got.Warnings == nil || len(got.Warnings) != 0 {
		t.Errorf("warnings %v", got.Warnings)
	}
	if r := godwit(t, "check").want(t, 0, ""); !regexp.MustCompile(`(?m)^  mode: open +# default$`).MatchString(r.out) {
		t.Errorf("without a file: %s", r.out)
	}
	if err := os.WriteFile(file, []byte("contacts: {presence: off}\nlisten: {mqtt: \":1883\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	godwit(t, "check", "--config", file).want(t, 0, "warning: "+file+":1: contacts.presence: does nothing in this version\nwarning: "+file+":2: listen.mqtt: :1883 can be reached")
	if got := object[struct {
		Config, Origins map[string]any
		Warnings        []string
	}](t, godwit(t, "check", "--config", file, "--json").want(t, 0, "")); len(got.Warnings) != 2 {
		t.Errorf("warnings %v", got.Warnings)
	}
	if err := os.WriteFile(file, []byte("push: {ack_timout: 20s}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	godwit(t, "check", "--config", file).want(t, 2, "config: \n"+file+":1:8: push.ack_timout: is not a key; did you mean ack_timeout?\n")
	const hook = "sms: {gateways: [{name: hook, kind: webhook, url: 'https://sms.example.org/', body: '{\"to\":{{.Too|json}},\"text\":{{.Text|json}}}'}]}\n"
	if err := os.WriteFile(file, []byte(hook), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"check", "serve"} {
		if r := godwit(t, command, "--config", file).want(t, 2, "config: \n"+file+":1:25: sms.gateways[0].name: hook: "); !strings.Contains(r.err, "Too") {
			t.Errorf("%s: %s", command, r.err)
		}
	}
}
