package killloop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-7a41469f/godwit/clienttest/internal/standin"
	"github.com/seed-7a41469f/godwit/clienttest/killloop"
	"github.com/seed-7a41469f/godwit/clienttest/raw"
)

// TestMain is also the server: the kill loop starts this binary again.
func TestMain(m *testing.M) {
	if faults := os.Getenv("STANDIN_FAULTS"); faults != "" {
		if err := serve(faults, os.Args[1], os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func serve(faults, addr, data string) error {
	b := &standin.Broker{Journal: filepath.Join(data, "journal")}
	if err := json.Unmarshal([]byte(faults), &b.Faults); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return b.Serve(ln)
}

func config(t *testing.T, f standin.Faults) killloop.Config {
	t.Helper()
	faults, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return killloop.Config{
		Command: []string{os.Args[0], "127.0.0.1:{port}", "{data}"},
		Env:     []string{"STANDIN_FAULTS=" + string(faults)},
		Data:    t.TempDir(),
		UpMin:   50 * time.Millisecond,
		UpMax:   400 * time.Millisecond,
		Settle:  5 * time.Second,
	}
}

func TestAnHonestServerKeepsItsPromise(t *testing.T) {
	for name, version := range map[string]byte{"3.1.1": raw.V311, "5": raw.V5} {
		t.Run(name, func(t *testing.T) {
			c := config(t, standin.Faults{AckLate: 5 * time.Millisecond})
			c.Version = version
			r, err := killloop.Run(context.Background(), c)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Check(); err != nil {
				t.Error(err)
			}
			if r.Kills != 5 || r.Resent == 0 || r.Arrived < r.Acknowledged || r.Dropped != 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestEveryBrokenPromiseIsFound(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults standin.Faults
		found  func(killloop.Report) int
	}{
		{"acknowledged before stored", standin.Faults{AckEarly: true}, func(r killloop.Report) int { return r.Lost }},
		{"dropped", standin.Faults{Lose: 50}, func(r killloop.Report) int { return r.Lost }},
		{"created twice", standin.Faults{CreateTwice: true, AckLate: 10 * time.Millisecond}, func(r killloop.Report) int { return r.CreatedTwice }},
		{"out of order", standin.Faults{Swap: 50}, func(r killloop.Report) int { return r.OutOfOrder }},
		{"misrouted", standin.Faults{Misroute: 50}, func(r killloop.Report) int { return r.Misrouted }},
		{"sessions forgotten", standin.Faults{LoseSessions: true}, func(r killloop.Report) int { return r.SessionsLost }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, err := killloop.Run(context.Background(), config(t, c.faults))
			if err != nil {
				t.Fatal(err)
			}
			if c.found(r) == 0 || r.Check() == nil {
				t.Errorf("not found: %+v", r)
			}
		})
	}
}

func TestAServerThatCannotStartIsTold(t *testing.T) {
	c := config(t, standin.Faults{})
	c.Command[2] = "/nowhere"
	_, err := killloop.Run(context.Background(), c)
	if err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Error(err)
	}
}
