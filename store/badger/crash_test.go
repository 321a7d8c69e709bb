package badger_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/store/badger"
)

var kills = flag.Int("godwit.kills", 5, "how often the crash test kills a process")

const crashDir = "GODWIT_TEST_CRASH_DIR" // set: this process is the one to be killed

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		fmt.Fprintln(os.Stderr, commitForEver(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// commitForEver accepts and settles messages, and tells of each once it is durable: "n" a new one, "s" a settled one.
func commitForEver(dir string) error {
	s, err := badger.Open(dir, badger.Options{}.WithTabledEvery(20*time.Millisecond))
	if err != nil {
		return err
	}
	if err := s.Alarm(); err != nil {
		return err
	}
	failed := make(chan error)
	for lane := range 3 {
		go func() { failed <- commitLane(s, lane) }()
	}
	return <-failed
}

func commitLane(s *badger.Store, lane int) error {
	to := contacts.Address(fmt.Sprintf("lane%d", lane))
	var earlier []*delivery.Message
	for i := 0; ; i++ {
		var group []delivery.Change
		for _, m := range earlier {
			m.State, m.Due = delivery.Delivered, time.Time{}
			group = append(group, delivery.Change{Message: m, Entries: []delivery.Entry{{User: ann, Kind: delivery.Receipt, Body: []byte("r")}}})
		}
		var fresh []*delivery.Message
		for range 1 + i%40 {
			m := letter(strings.Repeat("x", i*37%3000))
			m.To = to
			fresh = append(fresh, m)
			spent := []sms.Count{{Key: string(to), Add: 1, Until: time.Now().Add(time.Hour)}}
			group = append(group, delivery.Change{Message: m, Limit: 1000, Counts: spent})
		}
		if errs := s.Commit(context.Background(), group); errs != nil {
			return errors.Join(errs...)
		}
		var told strings.Builder
		for _, m := range earlier {
			fmt.Fprintln(&told, "s", m.ID)
		}
		for _, m := range fresh {
			fmt.Fprintln(&told, "n", m.ID)
		}
		fmt.Print(told.String())
		earlier = fresh
	}
}

// TestKill kills a process that commits, again and again, and looks for everything that it said was durable.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	promised := map[delivery.ID]bool{} // id: settled
	for range *kills {
		killOne(t, dir, promised)
		s := open(t, dir, badger.Options{})
		if err := s.Alarm(); err != nil {
			t.Fatal(err)
		}
		for id, settled := range promised {
			m, err := s.Message(t.Context(), id)
			if err != nil || settled && !m.Settled() {
				t.Fatalf("message %s, settled %v: %+v, %v", id, settled, m, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d messages were promised", len(promised))
	checkOrder(t, open(t, dir, badger.Options{}), promised)
}

func killOne(t *testing.T, dir string, promised map[delivery.ID]bool) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var problem strings.Builder
	child.Stderr = &problem
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	enough := 500 + len(promised)%1777
	for lines := bufio.NewScanner(out); lines.Scan(); {
		what, name, _ := strings.Cut(lines.Text(), " ")
		id, err := delivery.ParseID(name)
		if err != nil {
			break // the last line may be cut off
		}
		promised[id] = what == "s"
		if enough--; enough == 0 {
			killed = child.Process.Kill() == nil
		}
	}
	child.Wait()
	if !killed {
		t.Fatalf("the child ended by itself: %s", problem.String())
	}
}

// checkOrder looks whether each lane's inbox has every promised message once, in the order of acceptance, and whether each was counted once.
func checkOrder(t *testing.T, s *badger.Store, promised map[delivery.ID]bool) {
	t.Helper()
	found := 0
	for lane := range 3 {
		user, stored := fmt.Sprintf("lane%d", lane), int64(0)
		for after := delivery.Position(0); ; {
			entries, next, err := s.Inbox(t.Context(), contacts.Address(user), after, 0, 500)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if e.ID.Position() <= after {
					t.Fatalf("%s comes after %d", e.ID, after)
				}
				after = e.ID.Position()
				if _, ok := promised[e.ID]; ok {
					found++
				}
			}
			if next == after && len(entries) == 0 {
				break
			}
			stored += int64(len(entries))
			after = next
		}
		if counted, err := s.Totals(t.Context(), user); err != nil || counted[0] != stored {
			t.Errorf("%s has %d messages and counted %d, %v", user, stored, counted, err)
		}
	}
	if found != len(promised) {
		t.Fatalf("%d messages found, %d were promised", found, len(promised))
	}
}
