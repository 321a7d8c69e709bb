package contacts_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
)

const (
	anna = contacts.Address("4917098765421")
	ben  = contacts.Address("8613800138000")
)

var ctx = context.Background()

func TestAUserIsAddedAndRemoved(t *testing.T) {
	table, clock := newTable(), newClock()
	d := open(t, table, contacts.Config{Now: clock.now})

	if d.Exists(anna) || d.Registered(anna) {
		t.Fatal("known before it was added")
	}
	u, err := d.Add(ctx, anna)
	if err != nil || u.Address != anna || u.Rev == 0 || !u.Registered.Equal(clock.now()) || !u.LastSeen.IsZero() {
		t.Fatalf("added %+v, %v", u, err)
	}
	if !d.Exists(anna) || !d.Registered(anna) {
		t.Fatal("not known after it was added")
	}
	if _, err := d.Add(ctx, anna); !errors.Is(err, contacts.ErrExists) {
		t.Fatalf("added twice: %v", err)
	}
	if err := d.Remove(ctx, anna); err != nil {
		t.Fatal(err)
	}
	if _, ok := d.User(anna); ok || d.Exists(anna) || d.Registered(anna) {
		t.Fatal("known after it was removed")
	}
	if err := d.Remove(ctx, anna); !errors.Is(err, contacts.ErrNoUser) {
		t.Fatalf("removed twice: %v", err)
	}
	if keys := table.keys("user/"); len(keys) != 0 {
		t.Fatalf("left in the table: %v", keys)
	}
	add(t, d, anna)
}

func TestWhatIsDoneOutlivesACrash(t *testing.T) {
	table, clock := newTable(), newClock()
	d := open(t, table, contacts.Config{Now: clock.now})
	add(t, d, anna, "boiler", ben)
	token, _ := issue(t, d, anna)
	gone, goneID := issue(t, d, anna)
	bens, _ := issue(t, d, ben)
	remember(t, d, anna, contacts.Device{ClientID: "pixel", Version: 5, Expiry: time.Hour, Away: clock.now(), Filters: []contacts.Filter{{Topic: "u/#", QoS: 1, Identifier: 7}}})
	for _, err := range []error{d.HasInbox(ctx, anna), d.RevokeToken(ctx, anna, goneID), d.Remove(ctx, ben)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := slices.Collect(d.Users())

	d2 := open(t, table.crash(), contacts.Config{Now: clock.now})
	if got := slices.Collect(d2.Users()); !reflect.DeepEqual(got, want) || len(got) != 2 {
		t.Fatalf("after the crash: %+v\nbefore: %+v", got, want)
	}
	if l, err := d2.Login(ctx, string(anna), token); err != nil || l.Address != anna {
		t.Fatalf("the token after the crash: %+v, %v", l, err)
	}
	for _, revoked := range []string{gone, bens} {
		if _, err := d2.Login(ctx, "", revoked); !errors.Is(err, contacts.ErrRevoked) {
			t.Fatalf("a revoked token after the crash: %v", err)
		}
	}
}

func TestUsersComeInOrder(t *testing.T) {
	d := open(t, newTable(), contacts.Config{})
	add(t, d, "boiler", ben, "4930123456", anna)
	var got []contacts.Address
	for u := range d.Users() {
		got = append(got, u.Address)
	}
	if want := []contacts.Address{anna, "4930123456", ben, "boiler"}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for range d.Users() {
		break
	}
}

func TestARegistrationDecays(t *testing.T) {
	const day = 24 * time.Hour
	clock := newClock()
	d := open(t, newTable(), contacts.Config{Now: clock.now})
	changed := make(chan contacts.Event, 10)
	add(t, d, anna)
	d.Watch(func(e contacts.Event) { changed <- e })

	clock.add(90*day - time.Second)
	if !d.Registered(anna) {
		t.Fatal("decayed too early")
	}
	clock.add(time.Second)
	if d.Registered(anna) {
		t.Fatal("not decayed after 90 days without a connection")
	}
	d.Connected(anna, "any")
	if !d.Registered(anna) {
		t.Fatal("not registered again by a connection")
	}
	if e := <-changed; e.Kind != contacts.UserChanged || e.User != anna {
		t.Fatalf("told %+v", e)
	}
	clock.add(200 * day)
	if !d.Registered(anna) {
		t.Fatal("decayed while connected")
	}
	d.Disconnected(anna, "any")
	clock.add(89 * day)
	if !d.Registered(anna) {
		t.Fatal("the decay does not begin with the end of the last connection")
	}
	clock.add(day)
	if d.Registered(anna) {
		t.Fatal("not decayed after the last connection")
	}
}

// A number may have a record without having proved itself.
func TestNotRegistered(t *testing.T) {
	table := newTable()
	table.recs["user/"+string(anna)] = memRecord{contacts.EncodeRecord(&contacts.User{}), 1}
	d := open(t, table, contacts.Config{Open: true})
	var told []contacts.Event
	d.Watch(func(e contacts.Event) { told = append(told, e) })
	d.Connected(anna, "any")
	if !d.Exists(anna) || d.Registered(anna) {
		t.Fatalf("exists %v, registered %v", d.Exists(anna), d.Registered(anna))
	}
	if _, err := d.Login(ctx, string(anna), ""); err != nil || !d.Registered(anna) {
		t.Fatalf("in open mode a login registers it: %v", err)
	}
	if err := d.Close(); err != nil || len(told) != 1 || told[0].Kind != contacts.UserChanged {
		t.Fatalf("told %+v, %v", told, err)
	}
}

func TestARemovedUserIsNotConnected(t *testing.T) {
	clock := newClock()
	d := open(t, newTable(), contacts.Config{Now: clock.now})
	add(t, d, anna)
	d.Connected(anna, "pixel")
	if err := d.Remove(ctx, anna); err != nil {
		t.Fatal(err)
	}
	add(t, d, anna)
	clock.add(90 * 24 * time.Hour)
	if d.Registered(anna) {
		t.Fatal("the old owner's connection keeps the registration")
	}
}

func TestHasInboxWritesOnce(t *testing.T) {
	table := newTable()
	d := open(t, table, contacts.Config{})
	add(t, d, anna)
	if d.Inbox(anna) {
		t.Fatal("an inbox before the first subscription")
	}
	before := table.calls()
	for range 3 {
		if err := d.HasInbox(ctx, anna); err != nil {
			t.Fatal(err)
		}
	}
	if u, _ := d.User(anna); !u.Inbox || !d.Inbox(anna) || table.calls() != before+1 {
		t.Fatalf("inbox %v, %d writes", u.Inbox, table.calls()-before)
	}
	if err := d.HasInbox(ctx, ben); !errors.Is(err, contacts.ErrNoUser) {
		t.Fatalf("of nobody: %v", err)
	}
}

func TestAFailedWriteChangesNothing(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("written anyway %v", late), func(t *testing.T) {
			table := newTable()
			d := open(t, table, contacts.Config{})
			add(t, d, anna)
			token, id := issue(t, d, anna)
			remember(t, d, anna, phone(anna, "pixel"))
			before, _ := d.User(anna)

			for name, change := range map[string]func() error{
				"add":    func() error { _, err := d.Add(ctx, ben); return err },
				"remove": func() error { return d.Remove(ctx, anna) },
				"issue":  func() error { _, _, err := d.IssueToken(ctx, anna, ""); return err },
				"revoke": func() error { return d.RevokeToken(ctx, anna, id) },
				"device": func() error { return d.Remember(ctx, anna, phone(anna, "tablet")) },
				"forget": func() error { return d.ForgetDevice(ctx, anna, "pixel") },
				"inbox":  func() error { return d.HasInbox(ctx, anna) },
			} {
				table.set(func(m *memTable) { m.fail, m.failLate = 1, late })
				err := change()
				if !errors.Is(err, errTable) || strings.Contains(err.Error(), string(anna)) {
					t.Fatalf("%s: %v", name, err)
				}
				if now, _ := d.User(anna); !reflect.DeepEqual(now, before) || d.Exists(ben) {
					t.Fatalf("%s failed and changed memory: %+v\nbefore %+v", name, now, before)
				}
				if _, err := d.Login(ctx, "", token); err != nil {
					t.Fatalf("after %s the token is not good: %v", name, err)
				}
			}

			// The next changes succeed, although the table may have more than we know.
			add(t, d, ben)
			if err := d.HasInbox(ctx, anna); err != nil {
				t.Fatal(err)
			}
			want := slices.Collect(d.Users())
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if got := slices.Collect(open(t, table.crash(), contacts.Config{}).Users()); len(got) != len(want) || !got[0].Inbox || len(got[0].Devices) != 1 {
				t.Fatalf("reopened: %+v\nwant %+v", got, want)
			}
		})
	}
}

// A failed Add that was written nevertheless must not come back as a user that nobody knows.
func TestAFailedWriteIsPutRight(t *testing.T) {
	table := newTable()
	d := open(t, table, contacts.Config{})
	table.set(func(m *memTable) { m.fail, m.failLate = 1, true })
	if _, err := d.Add(ctx, anna); !errors.Is(err, errTable) {
		t.Fatal(err)
	}
	if keys := table.keys("user/"); len(keys) != 1 {
		t.Fatalf("the fake did not write: %v", keys)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if keys := table.keys("user/"); len(keys) != 0 {
		t.Fatalf("left behind: %v", keys)
	}
}

func TestAnotherWriterIsNoticed(t *testing.T) {
	table := newTable()
	d := open(t, table, contacts.Config{})
	add(t, d, anna, ben)
	table.set(func(m *memTable) { m.conflict = "user/" + string(anna) })
	err := d.HasInbox(ctx, anna)
	if !errors.Is(err, contacts.ErrConflict) || !strings.Contains(err.Error(), "only writer") || d.Inbox(anna) {
		t.Fatalf("inbox %v, %v", d.Inbox(anna), err)
	}
	if err := d.HasInbox(ctx, ben); err != nil {
		t.Fatalf("another user: %v", err)
	}
}

func TestARecordHasALimit(t *testing.T) {
	d := open(t, newTable(), contacts.Config{})
	add(t, d, anna)
	dev := phone(anna, "greedy")
	for i := range 1000 {
		dev.Filters = append(dev.Filters, contacts.Filter{Topic: fmt.Sprintf("u/%s/in/%0100d/+", anna, i)})
	}
	if err := d.Remember(ctx, anna, dev); !errors.Is(err, contacts.ErrTooLarge) {
		t.Fatalf("remembered: %v", err)
	}
	remember(t, d, anna, phone(anna, "modest"))
}

func TestOpenRefusesWhatItCannotRead(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  contacts.Config
		fill func(*memTable)
		want string
	}{
		{"damaged user", contacts.Config{}, func(m *memTable) { m.recs["user/"+string(anna)] = memRecord{[]byte{1, 2, 3}, 1} }, "+49…21"},
		{"no address", contacts.Config{}, func(m *memTable) { m.recs["user/+49"] = memRecord{[]byte{1}, 1} }, "key of a user"},
		{"short secret", contacts.Config{}, func(m *memTable) { m.recs["secret/token"] = memRecord{[]byte{1, 2}, 1} }, "secret/token"},
		{"no revoked token", contacts.Config{}, func(m *memTable) { m.recs["revoked/x"] = memRecord{[]byte{1}, 1} }, "16 hexadecimal"},
		{"scan fails", contacts.Config{}, func(m *memTable) { m.failScan = true }, "on fire"},
		{"secret cannot be written", contacts.Config{}, func(m *memTable) { m.fail = 1 }, "on fire"},
		{"negative decay", contacts.Config{Decay: -1}, func(*memTable) {}, "Config.Decay"},
		{"negative devices", contacts.Config{Devices: -1}, func(*memTable) {}, "Config.Devices"},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := newTable()
			c.fill(table)
			_, err := contacts.Open(ctx, table, c.cfg)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), string(anna)) {
				t.Fatalf("got %v, want something about %q", err, c.want)
			}
		})
	}
}

func TestClose(t *testing.T) {
	d := open(t, newTable(), contacts.Config{})
	add(t, d, anna)
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Add(ctx, ben); !errors.Is(err, contacts.ErrClosed) {
		t.Fatalf("added after Close: %v", err)
	}
	if _, err := d.ExpireDevices(ctx, time.Now()); err != nil {
		t.Fatalf("nothing to expire: %v", err)
	}
}

func TestACallerMayGiveUp(t *testing.T) {
	table := newTable()
	d := open(t, table, contacts.Config{})
	table.set(func(m *memTable) { m.gate, m.entered = make(chan struct{}), make(chan struct{}, 10) })
	within, cancel := context.WithCancel(ctx)
	done := make(chan error)
	go func() { _, err := d.Add(within, anna); done <- err }()
	<-table.entered
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	// One that had given up before its turn is not carried out.
	if _, err := d.Add(within, ben); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	close(table.gate)
	if err := d.Close(); err != nil || d.Exists(ben) || !d.Exists(anna) {
		t.Fatalf("%v, ben %v, anna %v", err, d.Exists(ben), d.Exists(anna))
	}
}
