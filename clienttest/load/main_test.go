package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/clienttest/internal/standin"
	"github.com/seed-7a41469f/godwit/clienttest/killloop"
	"github.com/seed-7a41469f/godwit/clienttest/loadgen"
)

// TestMain is also the brokers that compare and kill start: they run this binary again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "mochi" {
		main()
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "standin" {
		if err := serveStandin(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func serveStandin(addr, data string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return (&standin.Broker{Journal: filepath.Join(data, "journal")}).Serve(ln)
}

// lying runs a broker that loses every seventh message until the test ends.
func lying(t *testing.T) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- (&standin.Broker{Faults: standin.Faults{Lose: 7}}).Serve(ln) }()
	t.Cleanup(func() {
		ln.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

func execute(t *testing.T, args ...string) (exit int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	exit = run(context.Background(), args, &out, &errs)
	return exit, out.String(), errs.String()
}

func TestUsageIsStatus2(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"pairs --nonsense", "nonsense"},
		{"pairs surplus", `"surplus"`},
		{"pairs --mqtt 4", `--mqtt "4"`},
		{"pairs --receipts none", "--mqtt 5"},
		{"pairs --topics mine", `--topics "mine"`},
		{"compare --mosquitto=", "nothing to compare"},
		{"kill", "command line"},
		{"doors --doors window", `"window"`},
	} {
		exit, _, stderr := execute(t, strings.Fields(c.args)...)
		if exit != 2 || !strings.Contains(stderr, c.want) {
			t.Errorf("load %s: exit status %d, %s", c.args, exit, stderr)
		}
	}
}

func TestWhatIsLostIsStatus1UnlessAllowed(t *testing.T) {
	args := []string{"pairs", "--addr", lying(t), "--pairs", "1", "--count", "700", "--settle", "200ms"}
	exit, stdout, stderr := execute(t, args...)
	if exit != 1 || !strings.Contains(stderr, "lost: 100") || !strings.Contains(stdout, "msg/s") {
		t.Errorf("exit status %d, %s%s", exit, stdout, stderr)
	}
	exit, stdout, stderr = execute(t, append(args, "--allow", "lost", "--json")...)
	var r loadgen.FlowResult
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || exit != 0 || r.Tally.Lost != 100 {
		t.Errorf("exit status %d, %v, %s%s", exit, err, stdout, stderr)
	}
}

func TestTokensAreThePasswords(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("load-s-0\tabc\nload-r-0\tdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := (&targetFlags{topics: "godwit", mqtt: "3.1.1", tokens: file}).target()
	if err != nil || got.Tokens["load-s-0"] != "abc" || got.Tokens["load-r-0"] != "def" {
		t.Errorf("%+v, %v", got.Tokens, err)
	}
	if err := os.WriteFile(file, []byte("load-s-0 abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readTokens(file); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Error(err)
	}
}

func TestCompareRunsBrokersInTurn(t *testing.T) {
	args := strings.Fields("compare --mosquitto= --mochi --rounds 2 --pairs 3 --windows 1,8 --rates 200 --duration 100ms --mqtt 5 --receipts none")
	if path, err := exec.LookPath("mosquitto"); err == nil {
		args[1] = "--mosquitto=" + path
	}
	exit, stdout, stderr := execute(t, args...)
	if exit != 0 || !strings.Contains(stdout, "| W=8 | mochi (no store) |") || strings.Count(stderr, "round 2  mochi") != 3 {
		t.Errorf("exit status %d\n%s%s", exit, stdout, stderr)
	}
}

func TestKill(t *testing.T) {
	args := append(strings.Fields("kill --kills 1 --up-max 300ms --json --"), os.Args[0], "standin", "127.0.0.1:{port}", "{data}")
	exit, stdout, stderr := execute(t, args...)
	var r killloop.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || exit != 0 || r.Kills != 1 || r.Acknowledged == 0 {
		t.Errorf("exit status %d, %v, %s%s", exit, err, stdout, stderr)
	}
}
