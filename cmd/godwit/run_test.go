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
		{"sned", 2, "usage: godwit has no command \"sned\"; did you mean godwit send?\n"},
		{"send --wiat", 2, "usage: unknown flag: --wiat; did you mean --wait?"},
		{"send --colour", 2, "usage: unknown flag: --colour; godwit help send shows what there is"},
		{"send --user ann 4917604069001", 2, "usage: too few arguments for godwit send ADDRESS TEXT\n"},
		{"send 4917604069001 hi", 2, "usage: who are you?"},
		{"send --user ann 12345 hi", 2, "address: \"12345\": "},
		{"send --user +12 4917604069001 hi", 2, "address: \"+12\": "},
		{"send --user ann ０ hi", 2, "address: "},
		{"send --user ann --sms maybe bo hi", 2, "usage: --sms \"maybe\" is none of auto, never, only"},
		{"send --user ann --receipts some bo hi", 2, "usage: --receipts \"some\" is none of none, final, all"},
		{"send --user ann --wait --receipts all bo hi", 2, "usage: --receipts goes without --wait"},
		{"send --user ann --after soon bo hi", 2, "usage: --after \"soon\" is not a duration"},
		{"send --user ann --expires 10ms bo hi", 2, "usage: --expires 10ms: the shortest is 1s"},
		{"send --user ann --key a/b bo hi", 2, "usage: --key: a key is "},
		{"send --user ann --server nowhere bo hi", 2, "usage: --server \"nowhere\" is not a URL"},
		{"send --user ann --server http://127.0.0.1 bo hi", 2, "usage: --server http://127.0.0.1: the scheme is none of"},
		{"send --user ann --server mqtt://ann:hunter2@127.0.0.1 bo hi", 2, "usage: --server has a login in it; give that with --user and --token"},
		{"send --user ann --server mqtt://127.0.0.1/x bo hi", 2, "usage: --server mqtt://127.0.0.1/x: only ws:// and wss:// have a path"},
		{"send --user ann --server mqtts://127.0.0.1:1 --ca-file /no/such/file bo hi", 2, "usage: --ca-file: open /no/such/file"},
		{"send --user ann --server mqtts://127.0.0.1:1 --ca-file run_test.go bo hi", 2, "usage: --ca-file: run_test.go has no certificate in PEM"},
		{"send --server mqtts://127.0.0.1:1 --cert /no/such/file bo hi", 2, "usage: --cert /no/such/file, --cert-key /no/such/file: open /no/such/file"},
		{"send --cert /no/such/file bo hi", 2, "usage: --cert goes with mqtts:// and wss:// only"},
		{"send --user ann --server ws://127.0.0.1:1 bo hi", 3, "connect: ws://127.0.0.1:1: dial tcp 127.0.0.1:1: "},
		{"send --user ann --server wss://127.0.0.1:1 bo hi", 3, "connect: wss://127.0.0.1:1: "},
		{"send --user ann --server mqtts://127.0.0.1:1 bo hi", 3, "connect: mqtts://127.0.0.1:1: "},
		{"send --user ann --sms nevr bo hi", 2, "usage: --sms \"nevr\" is none of auto, never, only; did you mean never?"},
		{"send --user ann --receipts al bo hi", 2, "usage: --receipts \"al\" is none of none, final, all; did you mean all?"},
		{"send --user ann --expires 1e9d bo hi", 2, "usage: --expires \"1e9d\" is not a duration"},
		{"send --user ann --expires 60000d bo hi", 2, "usage: --expires 1440000h0m0s: the longest is 136 years"},
		{"send --user ann --timeout 1m bo hi", 2, "usage: --timeout goes with --wait"},
		{"send --user ann bo running late", 2, "usage: too many arguments for godwit send ADDRESS TEXT; quote a TEXT"},
		{"listen --count many", 2, "usage: --count \"many\" is no whole number"},
		{"listen --json=maybe", 2, "usage: --json \"maybe\" is no truth value"},
		{"--json gatway list --config x", 2, "usage: godwit has no command \"gatway\"; did you mean godwit gateway?"},
		{"gateway lst --config x", 2, "usage: godwit gateway has no command \"lst\"; did you mean godwit gateway list?"},
		{"messages explain", 2, "usage: \"explain\" is too much for godwit messages, which takes no argument; there is godwit explain"},
		{"messages --state faild", 2, "usage: --state \"faild\" is none of accepted, waiting, submitting, submitted, unknown, delivered, failed, expired; did you mean failed?"},
		{"gateway wire x onn", 2, "usage: \"onn\" is none of on, off; did you mean on?"},
		{"completion", 2, "usage: too few arguments for godwit completion SHELL"},
		{"completion zhs", 2, "usage: SHELL \"zhs\" is none of bash, zsh, fish, powershell; did you mean zsh?"},
		{"help sned", 2, "usage: godwit has no command \"sned\"; did you mean godwit send?"},
		{"help user ad", 2, "usage: godwit user has no command \"ad\"; did you mean godwit user add?"},
		{"help send x", 2, "usage: godwit send has no commands below it"},
		{"user list --admin unix:", 2, "usage: --admin unix: lacks the path"},
		{"user list --admin http://ann:hunter2@127.0.0.1:1", 2, "usage: --admin has a login in it"},
		{"user list --admin https://127.0.0.1:1 --ca-file /no/such/file", 2, "usage: --ca-file: open /no/such/file"},
		{"user list --admin https://127.0.0.1:1", 3, "connect: no broker answers on https://127.0.0.1:1 "},
		{"man /dev/null/x", 1, "output: "},
		{"send --user ann --server mqtt://127.0.0.1:1 bo hi", 3, "connect: mqtt://127.0.0.1:1: "},
		{"listen --user ann --server mqtt://127.0.0.1:1", 3, "connect: mqtt://127.0.0.1:1: "},
		{"listen --user ann --count -1", 2, "usage: --count -1 is negative"},
		{"user", 2, "usage: godwit user needs one of: add, list, remove, show, token"},
		{"user ad", 2, "usage: godwit user has no command \"ad\"; did you mean godwit user add?"},
		{"user frobnicate", 2, "usage: godwit user has no command \"frobnicate\"; there are add, list, remove, show, token"},
		{"user add", 2, "usage: too few arguments for godwit user add ADDRESS\n"},
		{"user add --admin unix:/no/such/socket 12345", 2, "address: "},
		{"user list --admin unix:/no/such/socket", 3, "connect: no broker answers on unix:/no/such/socket "},
		{"user list --admin http://127.0.0.1:1", 3, "connect: no broker answers on http://127.0.0.1:1 "},
		{"user list --admin nowhere", 2, "usage: --admin \"nowhere\" is none of"},
		{"user token --revoke a --all 4917604069001", 2, "usage: if any flags in the group"},
		{"user token --admin unix:/no/such/socket --revoke= ann", 2, "usage: --revoke needs the id of a token"},
		{"messages --limit 0", 2, "usage: --limit 0 is not a positive number"},
		{"messages --to x/y", 2, "address: "},
		{"explain x", 2, "usage: \"x\" is not a message id"},
		{"explain", 2, "usage: too few arguments for godwit explain ID\n"},
		{"health --admin unix:/no/such/socket", 3, "connect: "},
		{"check --config /no/such/file", 2, "config: read the configuration: open /no/such/file"},
		{"serve --config /no/such/file", 2, "config: read the configuration: open /no/such/file"},
		{"demo now", 2, "usage: \"now\" is too much for godwit demo, which takes no argument"},
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
