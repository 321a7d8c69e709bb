package contacts_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-7a41469f/godwit/contacts"
)

var errTable = errors.New("the disk is on fire")

var _ contacts.Table = (*memTable)(nil)

// A memTable is a Table that fails on demand. What it holds is what a crash leaves.
type memTable struct {
	mu     sync.Mutex
	recs   map[string]memRecord
	rev    uint64
	writes [][]contacts.Write // calls of Write

	fail     int           // so many calls of Write fail
	failLate bool          // and yet write
	failScan bool          // Scan fails
	conflict string        // writes of this key conflict
	gate     chan struct{} // Write waits for an element, when it is not nil
	entered  chan struct{} // and says here that it does
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type memRecord struct {
	val []byte
	rev uint64
}

func newTable() *memTable { return &memTable{recs: map[string]memRecord{}} }

// crash returns the Table as the next process finds it.
func (t *memTable) crash() *memTable {
	t.mu.Lock()
	defer t.mu.Unlock()
	return &memTable{recs: maps.Clone(t.recs), rev: t.rev}
}

func (t *memTable) Scan(_ context.Context, prefix string, fn func(string, []byte, uint64) error) error {
	t.mu.Lock()
	recs, fail := maps.Clone(t.recs), t.failScan
	t.mu.Unlock()
	if fail {
		return errTable
	}
	for _, k := range slices.Sorted(maps.Keys(recs)) {
		if !strings.HasPrefix(k, prefix) {
			continue
		}
		if err := fn(k, recs[k].val, recs[k].rev); err != nil {
			return err
		}
	}
	return nil
}

func (t *memTable) Write(_ context.Context, writes []contacts.Write) ([]uint64, []error, error) {
	t.mu.Lock()
	gate, entered := t.gate, t.entered
	t.mu.Unlock()
	if gate != nil {
		entered <- struct{}{}
		<-gate
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writes = append(t.writes, writes)
	failing := t.fail > 0
	if failing {
		t.fail--
		if !t.failLate {
			return nil, nil, errTable
		}
	}
	revs, errs := make([]uint64, len(writes)), make([]error, len(writes))
	for i, w := range writes {
		revs[i], errs[i] = t.write(w)
	}
	if failing {
		return nil, nil, errTable
	}
	return revs, errs, nil
}

func (t *memTable) write(w contacts.Write) (uint64, error) {
	if t.recs[w.Key].rev != w.Rev || w.Key == t.conflict {
		return 0, contacts.ErrConflict
	}
	if w.Val == nil {
		delete(t.recs, w.Key)
		return 0, nil
	}
	t.rev++
	t.recs[w.Key] = memRecord{val: w.Val, rev: t.rev}
	return t.rev, nil
}

func (t *memTable) set(change func(*memTable)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(t)
}

// calls is how often Write was called.
func (t *memTable) calls() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.writes)
}

func (t *memTable) keys(prefix string) (keys []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range t.recs {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

func open(t testing.TB, table contacts.Table, cfg contacts.Config) *contacts.Directory {
	t.Helper()
	d, err := contacts.Open(context.Background(), table, cfg)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// a clock that tests turn.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 24, 10, 20, 30, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func add(t testing.TB, d *contacts.Directory, all ...contacts.Address) {
	t.Helper()
	for _, a := range all {
		if _, err := d.Add(context.Background(), a); err != nil {
			t.Fatalf("add: %v", err)
		}
	}
}

func issue(t testing.TB, d *contacts.Directory, a contacts.Address) (token, id string) {
	t.Helper()
	token, id, err := d.IssueToken(context.Background(), a, "phone")
	if err != nil {
		t.Fatalf("issue a token: %v", err)
	}
	return token, id
}

func remember(t testing.TB, d *contacts.Directory, a contacts.Address, dev contacts.Device) {
	t.Helper()
	if err := d.Remember(context.Background(), a, dev); err != nil {
		t.Fatalf("remember %s: %v", dev.ClientID, err)
	}
}

func clientIDs(d *contacts.Directory, a contacts.Address) (ids []string) {
	u, _ := d.User(a)
	for _, dev := range u.Devices {
		ids = append(ids, dev.ClientID)
	}
	return ids
}

// awayOf returns since when a device is away, and whether it is remembered.
func awayOf(d *contacts.Directory, a contacts.Address, clientID string) (time.Time, bool) {
	u, _ := d.User(a)
	for _, dev := range u.Devices {
		if dev.ClientID == clientID {
			return dev.Away, true
		}
	}
	return time.Time{}, false
}

// phone is a device with one subscription, as phones have it.
func phone(a contacts.Address, clientID string) contacts.Device {
	return contacts.Device{ClientID: clientID, Version: 4, Expiry: 30 * 24 * time.Hour, Filters: []contacts.Filter{{Topic: "u/" + string(a) + "/#", QoS: 1}}}
}
