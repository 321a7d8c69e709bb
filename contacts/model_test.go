package contacts_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-7a41469f/godwit/contacts"
)

// A model is what a Directory must look like after any changes, failures of its table and crashes.
type model struct {
	table   *memTable
	d       *contacts.Directory
	users   map[contacts.Address]*modelUser
	revoked []string
	maybe   []string // tokens that a failed write may have revoked
	doubt   bool     // a write failed and may have been done all the same: only Close puts that right
}

type modelUser struct {
	inbox   bool
	tokens  map[string]string // by id
	devices map[string]bool
}

func (m *model) open(t *rapid.T) {
	var err error
	if m.d, err = contacts.Open(ctx, m.table, contacts.Config{Devices: 3}); err != nil {
		t.Fatal(err)
	}
}

// do makes a change on a table that may fail, and reports whether it was made. Otherwise the error must be wrong or that of the table.
func (m *model) do(t *rapid.T, wrong error, change func() error) bool {
	fails := rapid.SampledFrom([]string{"no", "no", "yes", "late"}).Draw(t, "fails")
	m.table.set(func(mt *memTable) {
		mt.failLate = fails == "late"
		if fails != "no" {
			mt.fail = 1
		}
	})
	err := change()
	m.table.set(func(mt *memTable) { mt.fail = 0 })
	switch {
	case err == nil && wrong == nil:
		return true
	case errors.Is(err, errTable) && fails != "no":
		m.doubt = m.doubt || fails == "late"
	case wrong == nil || !errors.Is(err, wrong):
		t.Fatalf("got %v, want %v", err, wrong)
	}
	return false
}

func (m *model) user(t *rapid.T) (contacts.Address, *modelUser, error) {
	a := rapid.SampledFrom([]contacts.Address{anna, ben, "boiler"}).Draw(t, "user")
	if u := m.users[a]; u != nil {
		return a, u, nil
	}
	return a, nil, contacts.ErrNoUser
}

func (m *model) Add(t *rapid.T) {
	a, u, _ := m.user(t)
	var wrong error
	if u != nil {
		wrong = contacts.ErrExists
	}
	if m.do(t, wrong, func() error { _, err := m.d.Add(ctx, a); return err }) {
		m.users[a] = &modelUser{tokens: map[string]string{}, devices: map[string]bool{}}
	}
}

func (m *model) Remove(t *rapid.T) {
	a, u, wrong := m.user(t)
	if m.do(t, wrong, func() error { return m.d.Remove(ctx, a) }) {
		m.revoked = slices.AppendSeq(m.revoked, maps.Values(u.tokens))
		delete(m.users, a)
	} else if u != nil {
		m.maybe = slices.AppendSeq(m.maybe, maps.Values(u.tokens))
	}
}

func (m *model) Issue(t *rapid.T) {
	a, u, wrong := m.user(t)
	var token, id string
	if m.do(t, wrong, func() (err error) { token, id, err = m.d.IssueToken(ctx, a, "d"); return err }) {
		u.tokens[id] = token
	}
}

func (m *model) Revoke(t *rapid.T) {
	a, u, wrong := m.user(t)
	if u == nil || len(u.tokens) == 0 {
		return
	}
	id := rapid.SampledFrom(slices.Sorted(maps.Keys(u.tokens))).Draw(t, "token")
	if m.do(t, wrong, func() error { return m.d.RevokeToken(ctx, a, id) }) {
		m.revoked = append(m.revoked, u.tokens[id])
		delete(u.tokens, id)
	} else {
		m.maybe = append(m.maybe, u.tokens[id])
	}
}

func (m *model) Remember(t *rapid.T) {
	a, u, wrong := m.user(t)
	id := fmt.Sprint("d", rapid.IntRange(0, 4).Draw(t, "device"))
	if u != nil && !u.devices[id] && len(u.devices) == 3 {
		wrong = contacts.ErrDevices
	}
	if m.do(t, wrong, func() error { return m.d.Remember(ctx, a, phone(a, id)) }) {
		u.devices[id] = true
	}
}

func (m *model) Forget(t *rapid.T) {
	a, u, wrong := m.user(t)
	id := fmt.Sprint("d", rapid.IntRange(0, 4).Draw(t, "device"))
	if m.do(t, wrong, func() error { return m.d.ForgetDevice(ctx, a, id) }) {
		delete(u.devices, id)
	}
}

func (m *model) HasInbox(t *rapid.T) {
	a, u, wrong := m.user(t)
	if m.do(t, wrong, func() error { return m.d.HasInbox(ctx, a) }) {
		u.inbox = true
	}
}

// Crash goes on with what Write has returned, and with all devices connected again.
func (m *model) Crash(t *rapid.T) {
	crashed := m.table.crash()
	if err := m.d.Close(); err != nil {
		t.Fatal(err)
	}
	if m.doubt {
		crashed, m.doubt = m.table.crash(), false
	}
	m.table = crashed
	m.open(t)
	for a, u := range m.users {
		for id := range u.devices {
			m.d.Connected(a, id)
		}
		maps.DeleteFunc(u.tokens, func(_, token string) bool {
			_, err := m.d.Login(ctx, "", token)
			gone := errors.Is(err, contacts.ErrRevoked) && slices.Contains(m.maybe, token)
			if gone {
				m.revoked = append(m.revoked, token)
			}
			return gone
		})
	}
	m.maybe = nil
}

func (m *model) Check(t *rapid.T) {
	if got := len(slices.Collect(m.d.Users())); got != len(m.users) {
		t.Fatalf("%d users, want %d", got, len(m.users))
	}
	for a, want := range m.users {
		u, ok := m.d.User(a)
		if !ok || u.Inbox != want.inbox || len(u.Tokens) != len(want.tokens) || len(u.Devices) != len(want.devices) {
			t.Fatalf("%s is %+v, want %+v", a, u, want)
		}
		for _, dev := range u.Devices {
			if !want.devices[dev.ClientID] || !dev.Away.IsZero() {
				t.Fatalf("device %+v, want one of %v, connected", dev, want.devices)
			}
		}
		for id, token := range want.tokens {
			if l, err := m.d.Login(ctx, "", token); err != nil || l != (contacts.Login{Address: a, Token: id}) {
				t.Fatalf("login of %s: %+v, %v", a, l, err)
			}
		}
	}
	for _, token := range m.revoked {
		if _, err := m.d.Login(ctx, "", token); !errors.Is(err, contacts.ErrRevoked) {
			t.Fatalf("a revoked token: %v", err)
		}
	}
}

func TestDirectoryAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{table: newTable(), users: map[contacts.Address]*modelUser{}}
		m.open(t)
		defer func() { _ = m.d.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"add": m.Add, "remove": m.Remove, "issue": m.Issue, "revoke": m.Revoke, "remember": m.Remember, "forget": m.Forget,
			"inbox": m.HasInbox, "crash": m.Crash, "": m.Check,
		})
	})
}
