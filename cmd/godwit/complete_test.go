package main_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/picture"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

// program finds one of the system; without it a test says so and goes on, unless nothing may be left out.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("GODWIT_TEST_NO_SKIP") != "" && name != "zsh" && name != "fish" && name != "groff" {
		t.Fatal(err)
	}
	if err != nil {
		t.Logf("%s is not installed: what it would check is left out", name)
	}
	return path
}

// command runs one and returns all that it says.
func command(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s %v: %v: %s", name, args, err, out)
	}
	return string(out)
}

// offered are the completions of a command line, each with its description.
func offered(t *testing.T, args ...string) map[string]string {
	t.Helper()
	r := godwit(t, append([]string{"__complete"}, args...)...)
	if r.exit != 0 || !strings.HasPrefix(r.err, "Completion ended") {
		t.Fatalf("%v: exit %d, %s", args, r.exit, r.err)
	}
	found := map[string]string{}
	for line := range strings.Lines(r.out) {
		value, words, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !strings.HasPrefix(value, ":") {
			found[value] = words
		}
	}
	return found
}

func TestCompletionsOfValues(t *testing.T) {
	s, smsc := serveCarrier(t, "")
	godwit(t, s.op("user", "add", "4917604069001", "--device", "first")...).want(t, 0, "")
	godwit(t, s.op("user", "add", "boiler")...).want(t, 0, "")
	godwit(t, s.op("optout", "add", "+4917604069009", "--note", "asked\nby phone")...).want(t, 0, "")
	smsc.Next(1, smstest.Fault{Submit: smstest.Reject})
	godwit(t, s.as("boiler", "send", "--wait", "4917604069003", "x")...).want(t, 1, "failed: ")
	godwit(t, s.as("boiler", "send", "4917604069001", "x")...).want(t, 0, "")
	smsc.MO("4917604069008", ownNumber, "secret")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := smsc.Quiet(ctx); err != nil {
		t.Fatal(err)
	}
	failed := object[picture.Message](t, godwit(t, s.op("messages", "--state", "failed")...).want(t, 0, ""))
	t.Setenv("GODWIT_ADMIN", "unix:"+filepath.Join(filepath.Dir(s.file), "data", "admin.sock"))
	for _, c := range []struct {
		line string // ends with what is typed; _ for nothing
		want string // one that is offered, and a part of its description
		many int
	}{
		{"us", "user\tUsers", 1},
		{"user t", "token\tIssue", 1},
		{"user show 49", "4917604069001\t", 1},
		{"user show +49", "+4917604069001\t", 1},
		{"user show _", "boiler\t", 2},
		{"user token b", "boiler\t", 1},
		{"user token 4917604069001 --revoke _", "", 1},
		{"user add _", "", 0},
		{"send b", "boiler\t", 1},
		{"send boiler _", "", 0},
		{"send --user b", "boiler\t", 1},
		{"send --sms _", "never\tit waits", 3},
		{"send --receipts=f", "final\t", 1},
		{"messages --state f", "failed\tnothing", 1},
		{"messages --from b", "boiler\t", 1},
		{"gateway pause _", "carrier\tsmstest: works", 1},
		{"gateway wire carrier _", "on\t", 2},
		{"gateway test carrier _", "", 0},
		{"explain _", failed.ID + "\t", 3},
		{"retry _", failed.ID + "\t", 1},
		{"optout remove _", "4917604069009\t", 1},
		{"unmatched assign _", "", 1},
		{"completion z", "zsh\t", 1},
		{"help user s", "show\t", 5},
		{"health x", "", 0},
	} {
		args := strings.Fields(c.line)
		if last := len(args) - 1; args[last] == "_" {
			args[last] = ""
		}
		got := offered(t, args...)
		value, words, _ := strings.Cut(c.want, "\t")
		if have, ok := got[value]; c.want != "" && (!ok || !strings.HasPrefix(have, words)) || len(got) != c.many {
			t.Errorf("%s: %v, want %d with %q", c.line, got, c.many, c.want)
		}
		for _, words := range got {
			if strings.Contains(words, "secret") {
				t.Errorf("%s: a text is shown: %v", c.line, got)
			}
		}
	}
}

// Where no broker answers nothing is offered, and nothing is said.
func TestCompletionWithoutBroker(t *testing.T) {
	began := time.Now()
	for _, admin := range []string{"unix:/no/such/socket", "http://127.0.0.1:1", "nonsense"} {
		if got := offered(t, "user", "show", "--admin", admin, ""); len(got) != 0 {
			t.Errorf("%s: %v", admin, got)
		}
	}
	if got := offered(t, "user", "show", "--config", "/no/such/file", ""); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
}

// The scripts work in real shells, bash without the package bash-completion.
func TestCompletionScripts(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "godwit")
	command(t, "", "go", "build", "-o", bin, ".")
	t.Setenv("PATH", filepath.Dir(bin)+":"+os.Getenv("PATH"))
	if bash := program(t, "bash"); bash != "" {
		for _, c := range []struct{ words, want string }{
			{"'godwit' 'user' 'to'", "token"},
			{"'godwit' 'messages' '--state' 'del'", "delivered"},
			{"'godwit' 'messages' '--state' '=' 'exp'", "expired"},
			{"'godwit' 'messages' '--admin' 'unix' ':' '/no/such' '--state' 'wai'", "waiting"},
		} {
			script := "source <(godwit completion bash)\nCOMP_WORDS=(" + c.words + ") COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_TYPE=9\n__start_godwit 2>/dev/null\necho \"${COMPREPLY[@]}\"\n"
			if got := command(t, script, bash, "--norc", "--noprofile"); strings.TrimSpace(got) != c.want {
				t.Errorf("bash: %s: %q, want %q", c.words, got, c.want)
			}
		}
		if got := command(t, "godwit completion bash | head -1\ngodwit help | head -1 >/dev/null; godwit man | head -1 > /dev/null\n", bash, "--norc"); strings.Count(got, "\n") != 1 {
			t.Errorf("a pipe that is closed early: %q", got)
		}
	}
	if zsh := program(t, "zsh"); zsh != "" {
		command(t, "autoload -U compinit; compinit -D; source <(godwit completion zsh)\n", zsh, "-f")
	}
	if fish := program(t, "fish"); fish != "" {
		if got := command(t, "godwit completion fish | source; complete -C 'godwit user to'\n", fish, "--no-config"); !strings.HasPrefix(got, "token") {
			t.Errorf("fish: %q", got)
		}
	}
}
