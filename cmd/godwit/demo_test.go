package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/picture"
)

func TestDemoTakesTheFivePaths(t *testing.T) {
	t.Setenv("TMPDIR", shortTemp(t))
	paths := objects[picture.Path](t, godwit(t, "demo", "--once", "--json").want(t, 0, ""))
	if len(paths) != 5 {
		t.Fatalf("%d paths", len(paths))
	}
	for i, want := range []struct{ root, state, via, reason string }{
		{"to", "delivered", "push", ""}, {"to", "delivered", "sms", "not_registered"}, {"to", "delivered", "sms", "no_answer"}, {"to", "delivered", "sms", "offline"}, {"mo", "delivered", "push", ""},
	} {
		m := paths[i].Message
		if m.Root != want.root || m.State != want.state || m.Via != want.via || string(m.Reason) != want.reason || len(paths[i].Trail) == 0 {
			t.Errorf("path %d: %+v, want %+v", i+1, m, want)
		}
	}
	leftovers(t)
}

func TestDemoIsTold(t *testing.T) {
	t.Setenv("TMPDIR", shortTemp(t))
	demo := inBackground(t, "demo")
	demo.out.line(t, "Ctrl-C ends it")
	text := demo.out.String()
	for _, want := range []string{
		"1  Pushed", "2  Not registered", "3  No answer", "4  Offline", "5  Reply by SMS", "├━━ app ━", "╰┈┈ SMS ┈", "├┈┈ app ┈", "╰━━ SMS ━", "not needed", "has no app",
		"did not answer in 2.0 s", "offline", "an SMS came in", "SMS network  ✉ from 4917604069000 to +4917604069003", "Bo's phone   u/4917604069002/in/", "mosquitto_pub -h 127.0.0.1 -p ", "curl -s http://127.0.0.1:",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not told", want)
		}
	}
	// It is the real broker: what it says to try works.
	server := strings.Fields(text[strings.Index(text, "--server "):])[1]
	admin := strings.Fields(text[strings.Index(text, "--admin "):])[1]
	godwit(t, "send", "--server", server, "--user", "boiler", "--wait", "4917604069003", "Cellar is at 4 degrees").want(t, 0, "")
	demo.out.line(t, "boiler: Cellar is at 4 degrees")
	godwit(t, "messages", "--admin", admin).want(t, 0, "")
	if r := demo.interrupt(); r.exit != 0 || r.err != "" {
		t.Errorf("it ends with %d: %s", r.exit, r.err)
	}
	leftovers(t)
}

// shortTemp is a directory for temporary files whose name leaves room for that of a socket.
func shortTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func leftovers(t *testing.T) {
	t.Helper()
	if left, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Ctrl-C at any moment ends it cleanly.
func TestDemoInterrupted(t *testing.T) {
	for _, moment := range []string{"Godwit demo", "1  Pushed", "SMS network  ✉", "3  No answer", "4  Offline"} {
		t.Run(moment, func(t *testing.T) {
			t.Setenv("TMPDIR", shortTemp(t))
			demo := inBackground(t, "demo")
			demo.out.line(t, moment)
			if r := demo.interrupt(); r.exit != 0 || r.err != "" {
				t.Errorf("it ends with %d: %s", r.exit, r.err)
			}
			leftovers(t)
		})
	}
}
