package badger_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/store/badger"
)

// stored returns a copy of a store with a hundred groups in its log, and the ids of their messages.
func stored(t *testing.T) (dir string, ids []delivery.ID) {
	t.Helper()
	dir = t.TempDir()
	s := open(t, dir, badger.Options{})
	for i := range 100 {
		m := letter(fmt.Sprintf("message number %d", i))
		commit(t, s, delivery.Change{Message: m})
		ids = append(ids, m.ID)
		if i%3 == 0 {
			m.State = delivery.Waiting
			commit(t, s, delivery.Change{Message: m}) // a group without new messages
		}
	}
	return copyDir(t, dir), ids
}

func TestDamageRaisesTheAlarm(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		alarm  bool
	}{
		{"none", func(*testing.T, string) {}, false},
		{"a flipped bit in the middle of the log", func(t *testing.T, dir string) {
			change(t, file(t, dir, "*.mem"), func(b []byte) []byte {
				at := bytes.Index(b, []byte("message number 50"))
				b[at] ^= 1
				return b
			})
		}, true},
		{"a log cut short", func(t *testing.T, dir string) {
			change(t, file(t, dir, "*.mem"), func(b []byte) []byte { return b[:bytes.Index(b, []byte("message number 99"))] })
		}, true},
		{"a log that is gone", func(t *testing.T, dir string) { os.Remove(file(t, dir, "*.mem")) }, true},
		{"no sequence file, as before its first sync", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "SEQUENCE")) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, ids := stored(t)
			c.damage(t, dir)
			var log buffer
			s := open(t, dir, badger.Options{Log: zerolog.New(&log)})
			if got := s.Alarm() != nil; got != c.alarm {
				t.Fatalf("alarm: %v", s.Alarm())
			}
			if n := strings.Count(log.String(), "messages were lost"); n != 1 && c.alarm || n != 0 && !c.alarm {
				t.Errorf("logged %d times", n)
			}
			if _, err := s.Message(t.Context(), ids[99]); c.alarm != errors.Is(err, delivery.ErrNotFound) {
				t.Errorf("the last message: %v", err)
			}
			commit(t, s, delivery.Change{Message: letter("accepting goes on")})
		})
	}
}

// A group that is missing in the middle, as when a log that is not the last one is damaged.
func TestGapRaisesTheAlarm(t *testing.T) {
	for _, tick := range []bool{false, true} { // groups with new messages and groups without leave their number in different records
		dir := t.TempDir()
		s := open(t, dir, badger.Options{})
		m := letter("x")
		commit(t, s, delivery.Change{Message: m})
		s.SkipGroup()
		if tick {
			commit(t, s, delivery.Change{Message: m})
		} else {
			commit(t, s, delivery.Change{Message: letter("y")})
		}
		commit(t, s, delivery.Change{Message: m})
		again := open(t, copyDir(t, dir), badger.Options{})
		if err := again.Alarm(); err == nil || !strings.Contains(err.Error(), "groups 2 to 2 of the store are missing") {
			t.Errorf("tick %v: alarm %v", tick, err)
		}
	}
}

// A buffer takes a log: badger writes it from its own goroutines too.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func change(t *testing.T, name string, fn func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, fn(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

// An empty .vlog or .mem is what a crash at the wrong moment leaves: badger's first Open fails, the second does not.
func TestEmptyFilesAfterACrash(t *testing.T) {
	for _, pattern := range []string{"*.vlog", "*.mem"} {
		t.Run(pattern, func(t *testing.T) {
			dir, ids := stored(t)
			next := map[string]string{"*.vlog": "000007.vlog", "*.mem": "00007.mem"}[pattern]
			if err := os.WriteFile(filepath.Join(dir, next), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			var log buffer
			s := open(t, dir, badger.Options{Log: zerolog.New(&log)})
			if !strings.Contains(log.String(), "trying once more") {
				t.Error("badger opened at once: this case is none any more")
			}
			if err := s.Alarm(); err != nil {
				t.Fatal(err)
			}
			for _, id := range ids {
				if _, err := s.Message(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, badger.Options{})
	_, err := badger.Open(dir)
	if !errors.Is(err, badger.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("%v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir, badger.Options{})
}

func TestClosedStore(t *testing.T) {
	s := open(t, t.TempDir(), badger.Options{})
	m := letter("x")
	commit(t, s, delivery.Change{Message: m})
	done := make(chan error)
	began := make(chan struct{})
	go func() {
		done <- s.Recover(t.Context(), m.Accepted, func(*delivery.Message) error {
			close(began)
			for { // until Close has begun, which must wait for this reader and yet answer it
				if _, err := s.Message(t.Context(), m.ID); err != nil {
					return err
				}
			}
		})
	}()
	<-began
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, badger.ErrClosed) {
		t.Errorf("%v", err)
	}
	if errs := s.Commit(t.Context(), []delivery.Change{{Message: letter("y")}}); len(errs) != 1 || !errors.Is(errs[0], badger.ErrClosed) {
		t.Errorf("%v", errs)
	}
	if _, _, err := s.Inbox(t.Context(), bob, 0, 0, 1); !errors.Is(err, badger.ErrClosed) {
		t.Errorf("%v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

func TestDiskSpace(t *testing.T) {
	const mib = 1 << 20
	var free atomic.Uint64
	total := uint64(100 << 30)
	opt := badger.Options{}.WithVolume(func() (uint64, uint64) { return free.Load(), total })
	dir := t.TempDir()
	ballast := filepath.Join(dir, "BALLAST")
	has := func() bool { _, err := os.Stat(ballast); return err == nil }

	free.Store(20 * mib)
	if _, err := badger.Open(dir, opt); err == nil || !strings.Contains(err.Error(), "20 MiB") {
		t.Fatalf("opened on a full disk: %v", err)
	}
	free.Store(50 << 30)
	s := open(t, dir, opt)
	if !has() {
		t.Fatal("no ballast was made")
	}
	m := letter("early")
	commit(t, s, delivery.Change{Message: m})

	at := func(n uint64) { free.Store(n); s.Measure() }
	post := func() error {
		if errs := s.Commit(t.Context(), []delivery.Change{{Message: letter("late")}}); errs != nil {
			return errs[0]
		}
		return nil
	}
	advance := func() error {
		m.Trail = append(m.Trail, delivery.Step{At: m.At, Event: "e"})
		if errs := s.Commit(t.Context(), []delivery.Change{{Message: m}}); errs != nil {
			return errs[0]
		}
		return nil
	}
	at(1<<30 + 1)
	if err := post(); err != nil {
		t.Fatalf("above the watermark: %v", err)
	}
	at(1<<30 - 1)
	if err := post(); !errors.Is(err, delivery.ErrDisk) {
		t.Fatalf("below the watermark: %v", err)
	}
	if err := advance(); err != nil || !has() {
		t.Fatalf("delivery below the watermark: %v, ballast %v", err, has())
	}
	at(31 * mib)
	if err := advance(); err != nil || has() {
		t.Fatalf("delivery on the ballast: %v, ballast %v", err, has())
	}
	at(15 * mib)
	if err := advance(); err == nil || errors.Is(err, delivery.ErrDisk) {
		t.Fatalf("no space at all: %v", err)
	}
	at(50 << 30)
	if err := post(); err != nil || !has() {
		t.Fatalf("with space again: %v, ballast %v", err, has())
	}
	if err := advance(); err != nil {
		t.Fatalf("what was refused can be committed again: %v", err)
	}

	// Opening on a full disk gives up the ballast.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	opt = badger.Options{}.WithVolume(func() (uint64, uint64) {
		if has() {
			return 1 * mib, total
		}
		return 60 * mib, total
	})
	s = open(t, dir, opt)
	if has() {
		t.Error("the ballast is still there")
	}
}

func TestWatermark(t *testing.T) {
	const mib, gib = 1 << 20, 1 << 30
	for _, c := range []struct {
		name        string
		total, free uint64
		option      int64
		refused     bool
	}{
		{"a large volume: 1 GiB", 1000 * gib, gib - 1, 0, true},
		{"a large volume: 1 GiB is enough", 1000 * gib, gib, 0, false},
		{"a middle one: 15 %", 2 * gib, 2*gib/100*15 - 1, 0, true},
		{"a middle one: 15 % is enough", 2 * gib, 2 * gib / 100 * 15, 0, false},
		{"a small one: two memtables", 100 * mib, 32 * mib, 0, false},
		{"as configured", 1000 * gib, 5*gib - 1, 5 * gib, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			opt := badger.Options{DiskFree: c.option}.WithVolume(func() (uint64, uint64) { return c.free, c.total })
			s := open(t, t.TempDir(), opt)
			errs := s.Commit(t.Context(), []delivery.Change{{Message: letter("x")}})
			if got := errs != nil && errors.Is(errs[0], delivery.ErrDisk); got != c.refused {
				t.Fatalf("%v", errs)
			}
		})
	}
}
