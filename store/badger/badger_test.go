package badger_test

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/store/badger"
	"github.com/seed-7a41469f/godwit/store/storetest"
)

const (
	ann contacts.Address = "4915112345678"
	bob contacts.Address = "8613800138000"
)

func open(t testing.TB, dir string, opt badger.Options) *badger.Store {
	t.Helper()
	s, err := badger.Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// copyDir copies a store as it lies on the disk at this moment, as kill -9 would leave it. A copy takes a while: when badger meanwhile made, dropped
// or listed a file, it is of no one moment, and taken again.
func copyDir(t testing.TB, dir string) string {
	t.Helper()
	for {
		to, before := t.TempDir(), layout(t, dir)
		complete := true
		for name := range before {
			complete = complete && copyFile(filepath.Join(dir, name), filepath.Join(to, name)) == nil
		}
		if complete && maps.Equal(before, layout(t, dir)) {
			return to
		}
	}
}

// layout returns the files of a store, of the list of tables with its size.
func layout(t testing.TB, dir string) map[string]int64 {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]int64{}
	for _, e := range entries {
		files[e.Name()] = 0
		if info, err := e.Info(); err == nil && e.Name() == "MANIFEST" {
			files[e.Name()] = info.Size()
		}
	}
	delete(files, "BALLAST")
	return files
}

// copyFile leaves the holes of logs as holes.
func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, bytes.TrimRight(b, "\x00"), 0o600)
	}
	if err == nil {
		err = os.Truncate(to, int64(len(b)))
	}
	return err
}

func harness(t testing.TB) storetest.Harness {
	var low atomic.Bool
	opt := badger.Options{}.WithVolume(func() (free, total uint64) {
		if low.Load() {
			return 40 << 20, 1 << 40
		}
		return 1 << 39, 1 << 40
	})
	dir := t.TempDir()
	s := open(t, dir, opt)
	again := func(t testing.TB, dir string) storetest.Store {
		s = open(t, dir, opt)
		if err := s.Alarm(); err != nil {
			t.Fatal(err)
		}
		return s
	}
	return storetest.Harness{
		Store: s,
		Reopen: func(t testing.TB) storetest.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return again(t, dir)
		},
		Crash: func(t testing.TB) storetest.Store { return again(t, copyDir(t, dir)) },
		Full:  func(full bool) { low.Store(full); s.Measure() },
	}
}

func TestStore(t *testing.T) { storetest.Run(t, harness) }

func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, func(t testing.TB) storetest.Harness {
		return storetest.Harness{Store: open(t, t.TempDir(), badger.Options{})}
	})
}

func letter(text string) *delivery.Message {
	now := time.Now()
	return &delivery.Message{From: ann, To: bob, Root: delivery.RootTo, Payload: []byte(text), State: delivery.Accepted, Accepted: now, At: now, Due: now}
}

func commit(t testing.TB, s *badger.Store, changes ...delivery.Change) {
	t.Helper()
	if errs := s.Commit(context.Background(), changes); errs != nil {
		t.Fatal(errs)
	}
}

func file(t testing.TB, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) == 0 {
		t.Fatalf("no %s in the store: %v", pattern, err)
	}
	return found[len(found)-1]
}

// Positions go on from the last one that was used, even when the clock says less.
func TestPositionsAfterTheClockWentBack(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, badger.Options{})
	m := letter("x")
	commit(t, s, delivery.Change{Message: m})
	s.Ahead(24 * time.Hour)
	commit(t, s, delivery.Change{Message: m}) // a group without a new message
	last := delivery.Position(m.Rev)
	for range 2 {
		s = open(t, copyDir(t, dir), badger.Options{})
		next := letter("y")
		told := []delivery.Entry{{User: ann, Kind: delivery.Receipt}}
		commit(t, s, delivery.Change{Message: next, Entries: told}) // one with
		if next.Stands <= last {
			t.Fatalf("%d follows %d", next.Stands, last)
		}
		dir, last = s.Dir(), told[0].Position
	}
}

// A report that comes again and again, or a counter that is asked, costs no sync.
func TestWhatChangesNothingWritesNothing(t *testing.T) {
	s := open(t, t.TempDir(), badger.Options{})
	met := []sms.Meeting{{Gateway: "g", ID: "1", Side: sms.Reporter, Mine: []byte("2 undelivered")}, {Gateway: "g", ID: "1", Side: sms.Submitter, Mine: []byte("m")}}
	spent := []sms.Count{{Key: "day", Add: 1, Most: 1, Until: time.Now().Add(time.Hour)}}
	commit(t, s, delivery.Change{Meetings: met, Counts: spent})
	before := s.Groups()
	met[0].Mine = []byte("1 enroute")
	commit(t, s, delivery.Change{Meetings: met, Counts: []sms.Count{{Key: "day"}, {Key: "none", Add: -1}}}, delivery.Change{Meetings: met})
	if errs := s.Commit(t.Context(), []delivery.Change{{Counts: spent}}); len(errs) != 1 || errs[0] == nil {
		t.Fatal(errs)
	}
	if n := s.Groups(); n != before {
		t.Errorf("%d groups were written", n-before)
	}
	met[0].Mine = []byte("3 delivered")
	commit(t, s, delivery.Change{Meetings: met})
	if n := s.Groups(); n != before+1 {
		t.Errorf("%d groups were written, want 1", n-before)
	}
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s := open(t, t.TempDir(), badger.Options{})
	commit(t, s, delivery.Change{Message: letter("x")})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, before)
}
