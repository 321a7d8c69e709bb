package leak_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/clienttest/leak"
)

const (
	number  = "4915112345601"
	payload = "Lunch at one, \"sharp\"?\n" + "This part a log cuts."
)

// TestSeededLeaks plants a number and a payload in every form that a logger may give them, and what only looks alike.
func TestSeededLeaks(t *testing.T) {
	var structured strings.Builder
	log := zerolog.New(&structured)
	log.Info().Str("text", payload).Msg("")
	for _, c := range []struct {
		name, log string
		leaks     int
	}{
		{"nothing", `{"level":"info","mqtt":"127.0.0.1:40123","message":"ready"}`, 0},
		{"masked", `{"user":"+49…01"}`, 0},
		{"another number", "4915112345699", 0},
		{"a time", "2026-11-24T10:02:26.020Z 151.123", 0},
		{"digits of two fields", `{"a":1511234,"b":5601}`, 0},
		{"in full", "user " + number, 1},
		{"in a topic", "u/" + number + "/in/x", 1},
		{"with a plus", "+" + number + ":", 1},
		{"in groups", "+49 151 1234-5601", 1},
		{"as at home", "(0151) 123 456 01", 1},
		{"in dots", "49.151.12345601", 1},
		{"payload", "got " + payload, 1},
		{"payload, cut", payload[:30] + "…", 1},
		{"payload by zerolog", structured.String(), 1},
		{"payload by %q", fmt.Sprintf("%q", payload), 1},
		{"payload by %x", fmt.Sprintf("%x", payload), 1},
		{"payload by %v", fmt.Sprint([]byte(payload)), 1},
		{"payload in base64", base64.StdEncoding.EncodeToString([]byte(payload)), 1},
		{"both", number + " wrote " + payload, 2},
	} {
		found := leak.Find(c.log, []string{number, "+" + number[:5], "boiler"}, []string{payload, "short", ""})
		if len(found) != c.leaks {
			t.Errorf("%s: found %q, want %d", c.name, found, c.leaks)
		}
		for _, f := range found {
			if strings.Contains(f, number) || strings.Contains(f, payload[:10]) {
				t.Errorf("%s: what was found is told in full: %s", c.name, f)
			}
		}
	}
}

// TestLogsOfARun has .ci/logs look through logs, with and without a leak.
func TestLogsOfARun(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		if os.Getenv("GODWIT_TEST_NO_SKIP") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	script, err := filepath.Abs("../../.ci/logs")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, log string
		status    int
	}{
		{"clean", `{"level":"info","user":"+49…01","took":49.1511234,"mqtt":"127.0.0.1:49151","free":10737418240,"message":"ready"}`, 0},
		{"number", `{"level":"info","user":"4915112345601"}`, 1},
		{"grouped", `{"level":"info","user":"+49 151 1234-5601"}`, 1},
		{"of our own", `{"level":"info","from":"4917604069000"}`, 1},
		{"a token", `{"level":"info","token":"gw_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`, 1},
		{"a packet", `{"level":"warn","packet":{"TopicName":"to/x","Payload":"aGVsbG8="}}`, 1},
		{"no logs at all", "", 1},
	} {
		dir := t.TempDir()
		t.Setenv(leak.Variable, dir)
		leak.Keep(t, c.log)
		out, err := exec.CommandContext(t.Context(), script, dir).CombinedOutput()
		status := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			status = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if status != c.status {
			t.Errorf("%s: exit status %d, want %d: %s", c.name, status, c.status, out)
		}
	}
}
