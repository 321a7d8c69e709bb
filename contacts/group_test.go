package contacts_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
)

// together carries out changes in their order and in one write.
func together(t *testing.T, d *contacts.Directory, table *memTable, changes ...func() error) []error {
	t.Helper()
	gate, entered := make(chan struct{}), make(chan struct{}, 1)
	table.set(func(m *memTable) { m.gate, m.entered = gate, entered })
	errs := make([]error, len(changes))
	go func() { _, _ = d.Add(ctx, "first") }()
	<-entered
	before := table.calls()
	for i, change := range changes {
		go func() { errs[i] = change() }()
		synctest.Wait() // it waits in the queue
	}
	table.set(func(m *memTable) { m.gate, m.entered = nil, nil })
	close(gate)
	synctest.Wait()
	if got := table.calls() - before; got > 2 {
		t.Fatalf("%d writes", got-1)
	}
	return errs
}

func TestConcurrentChangesShareAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 200
		table := newTable()
		d := open(t, table, contacts.Config{})
		add(t, d, anna)
		var changes []func() error
		for i := range n {
			changes = append(changes,
				func() error { _, err := d.Add(ctx, contacts.Address(fmt.Sprintf("name-%d", i))); return err },
				func() error { _, _, err := d.IssueToken(ctx, anna, "many"); return err })
		}
		if err := errors.Join(together(t, d, table, changes...)...); err != nil {
			t.Fatal(err)
		}
		if u, _ := d.User(anna); len(u.Tokens) != n || len(slices.Collect(d.Users())) != n+2 {
			t.Fatalf("%d tokens, %d users", len(u.Tokens), len(slices.Collect(d.Users())))
		}
	})
}

func TestChangesOfOneUserInOneWrite(t *testing.T) {
	var token string
	addAnna := func(d *contacts.Directory) func() error {
		return func() error { _, err := d.Add(ctx, anna); return err }
	}
	issueAnna := func(d *contacts.Directory) func() error {
		return func() (err error) { token, _, err = d.IssueToken(ctx, anna, ""); return err }
	}
	removeAnna := func(d *contacts.Directory) func() error {
		return func() error { return d.Remove(ctx, anna) }
	}
	type change = func(*contacts.Directory) func() error
	for _, c := range []struct {
		name    string
		before  []change
		changes []change
		want    []error
		exists  bool
		login   error
	}{
		{"add, issue", nil, []change{addAnna, issueAnna}, []error{nil, nil}, true, nil},
		{"add, add", nil, []change{addAnna, addAnna, issueAnna}, []error{nil, contacts.ErrExists, nil}, true, nil},
		{"came and went", nil, []change{addAnna, issueAnna, removeAnna, removeAnna}, []error{nil, nil, nil, contacts.ErrNoUser}, false, contacts.ErrRevoked},
		{"came and went without a token", []change{addAnna, issueAnna, removeAnna}, []change{addAnna, removeAnna}, []error{nil, nil}, false, contacts.ErrRevoked},
		{"went and came", []change{addAnna, issueAnna}, []change{removeAnna, addAnna}, []error{nil, nil}, true, contacts.ErrRevoked},
		{"went, came and went", []change{addAnna, issueAnna}, []change{removeAnna, addAnna, removeAnna}, []error{nil, nil, nil}, false, contacts.ErrRevoked},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table := newTable()
				d := open(t, table, contacts.Config{})
				for _, change := range c.before {
					if err := change(d)(); err != nil {
						t.Fatal(err)
					}
				}
				var changes []func() error
				for _, change := range c.changes {
					changes = append(changes, change(d))
				}
				for i, err := range together(t, d, table, changes...) {
					if !errors.Is(err, c.want[i]) {
						t.Errorf("change %d: %v, want %v", i, err, c.want[i])
					}
				}
				for _, d := range []*contacts.Directory{d, open(t, table.crash(), contacts.Config{})} {
					if _, err := d.Login(ctx, "", token); !errors.Is(err, c.login) || d.Exists(anna) != c.exists {
						t.Errorf("login: %v, exists: %v", err, d.Exists(anna))
					}
				}
			})
		})
	}
}

// A number that changes hands takes nothing of the old owner along.
func TestTheNewOwnerStartsAfresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newTable()
		d := open(t, table, contacts.Config{Decay: time.Hour})
		add(t, d, anna)
		d.Connected(anna, "pixel")
		together(t, d, table, func() error { return d.Remove(ctx, anna) }, func() error { _, err := d.Add(ctx, anna); return err })
		if u, _ := d.User(anna); !u.LastSeen.IsZero() {
			t.Errorf("last seen %v", u.LastSeen)
		}
		time.Sleep(2 * time.Hour)
		if d.Registered(anna) {
			t.Error("the old owner's connection keeps the registration")
		}
	})
}

// What an op was told rests on the ops before it: when their write fails, so has it.
func TestAFailedGroupFailsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newTable()
		d := open(t, table, contacts.Config{})
		add(t, d, ben)
		one := func() error { _, err := d.Add(ctx, anna); return err }
		other := func() error { _, err := d.Add(ctx, ben); return err }
		gate, entered := make(chan struct{}), make(chan struct{}, 2)
		table.set(func(m *memTable) { m.gate, m.entered = gate, entered })
		go func() { _ = d.HasInbox(ctx, ben) }()
		<-entered
		errs := make([]error, 3)
		for i, change := range []func() error{one, one, other} {
			go func() { errs[i] = change() }()
			synctest.Wait()
		}
		gate <- struct{}{} // the inbox is written,
		<-entered
		table.set(func(m *memTable) { m.fail = 1 }) // the rest is not
		close(gate)
		synctest.Wait()
		if !errors.Is(errs[0], errTable) || !errors.Is(errs[1], errTable) || !errors.Is(errs[2], contacts.ErrExists) {
			t.Fatalf("got %v", errs)
		}
	})
}
