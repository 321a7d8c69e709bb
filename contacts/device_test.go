package contacts_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
)

func TestTheNinthDevice(t *testing.T) {
	clock := newClock()
	d := open(t, newTable(), contacts.Config{Now: clock.now})
	events := make(chan contacts.Event, 10)
	add(t, d, anna)
	for i := range 8 {
		remember(t, d, anna, phone(anna, fmt.Sprint("d", i)))
		d.Connected(anna, fmt.Sprint("d", i))
	}
	d.Watch(func(e contacts.Event) { events <- e })

	ninth := phone(anna, "ninth")
	if err := d.Remember(ctx, anna, ninth); !errors.Is(err, contacts.ErrDevices) {
		t.Fatalf("eight are connected: %v", err)
	}
	if got := len(clientIDs(d, anna)); got != 8 {
		t.Fatalf("%d devices", got)
	}
	remember(t, d, anna, phone(anna, "d3")) // one of the eight may come again

	for _, i := range []int{5, 2, 6} {
		d.Disconnected(anna, fmt.Sprint("d", i))
		clock.add(time.Second)
	}
	d.Connected(anna, "d5") // it was the longest away, and is back
	remember(t, d, anna, ninth)
	if e := <-events; e != (contacts.Event{Kind: contacts.DeviceForgotten, User: anna, Device: "d2"}) {
		t.Fatalf("told %+v", e)
	}
	if ids := clientIDs(d, anna); len(ids) != 8 || slices.Contains(ids, "d2") || !slices.Contains(ids, "ninth") {
		t.Fatalf("remembered %v", ids)
	}
}

func TestTwoUsersMayHaveTheSameClientID(t *testing.T) {
	d := open(t, newTable(), contacts.Config{})
	add(t, d, anna, ben)
	remember(t, d, anna, phone(anna, "phone"))
	remember(t, d, ben, phone(ben, "phone"))
	d.Disconnected(anna, "phone")
	a, _ := awayOf(d, anna, "phone")
	b, _ := awayOf(d, ben, "phone")
	if a.IsZero() || !b.IsZero() {
		t.Fatalf("Anna's is away since %v, Ben's since %v", a, b)
	}
}

func TestRememberReplaces(t *testing.T) {
	table := newTable()
	d := open(t, table, contacts.Config{})
	add(t, d, anna)
	dev := phone(anna, "pixel")
	remember(t, d, anna, dev)
	for name, change := range map[string]func(*contacts.Device){
		"version": func(d *contacts.Device) { d.Version = 5 },
		"expiry":  func(d *contacts.Device) { d.Expiry = time.Minute },
		"filter":  func(d *contacts.Device) { d.Filters = append(d.Filters, contacts.Filter{Topic: "u/x/in/+/+", QoS: 2}) },
		"option":  func(d *contacts.Device) { d.Filters[0].Identifier = 9 },
	} {
		dev.Filters = slices.Clone(dev.Filters)
		change(&dev)
		before := table.calls()
		remember(t, d, anna, dev)
		remember(t, d, anna, dev) // no news, no write
		if table.calls() != before+1 {
			t.Errorf("%s: %d writes", name, table.calls()-before)
		}
		u, _ := open(t, table.crash(), contacts.Config{}).User(anna)
		u.Devices[0].Away = time.Time{}
		if len(u.Devices) != 1 || !reflect.DeepEqual(u.Devices[0], dev) {
			t.Errorf("%s: after a crash %+v", name, u.Devices)
		}
	}
	if err := d.Remember(ctx, ben, dev); !errors.Is(err, contacts.ErrNoUser) {
		t.Errorf("of nobody: %v", err)
	}
}

func TestForgetDevice(t *testing.T) {
	table := newTable()
	d := open(t, table, contacts.Config{})
	events := make(chan contacts.Event, 10)
	add(t, d, anna)
	remember(t, d, anna, phone(anna, "pixel"))
	d.Watch(func(e contacts.Event) { events <- e })
	for range 2 {
		if err := d.ForgetDevice(ctx, anna, "pixel"); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.ForgetDevice(ctx, ben, "pixel"); !errors.Is(err, contacts.ErrNoUser) {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	close(events)
	var told []contacts.Event
	for e := range events {
		told = append(told, e)
	}
	if want := []contacts.Event{{Kind: contacts.DeviceForgotten, User: anna, Device: "pixel"}}; !slices.Equal(told, want) {
		t.Fatalf("told %+v", told)
	}
	if ids := clientIDs(open(t, table.crash(), contacts.Config{}), anna); len(ids) != 0 {
		t.Fatalf("remembered after a crash: %v", ids)
	}
}

func TestPresenceIsWrittenLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newTable()
		d := open(t, table, contacts.Config{})
		add(t, d, anna)
		remember(t, d, anna, phone(anna, "pixel"))
		before := table.calls()
		for range 100 {
			d.Connected(anna, "pixel")
			d.Connected(anna, "guest") // a clean session
			d.Disconnected(anna, "guest")
			d.Disconnected(anna, "pixel")
		}
		left := time.Now()
		if table.calls() != before {
			t.Fatalf("%d writes at once", table.calls()-before)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if table.calls() != before+1 {
			t.Fatalf("%d writes in the end", table.calls()-before)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if table.calls() != before+1 {
			t.Fatalf("%d writes without news", table.calls()-before)
		}
		d2 := open(t, table.crash(), contacts.Config{})
		if away, _ := awayOf(d2, anna, "pixel"); !away.Equal(left) {
			t.Fatalf("after a crash away since %v, want %v", away, left)
		}
		if u, _ := d2.User(anna); !u.LastSeen.Equal(left.Truncate(time.Hour)) || len(u.Devices) != 1 {
			t.Fatalf("after a crash %+v", u)
		}
	})
}

func TestPresenceIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, late := range []bool{false, true} {
			table := newTable()
			d := open(t, table, contacts.Config{})
			add(t, d, anna)
			dev := phone(anna, "pixel")
			remember(t, d, anna, dev)
			table.set(func(m *memTable) { m.fail, m.failLate = 3, late })
			d.Disconnected(anna, "pixel")
			left := time.Now()
			time.Sleep(30 * time.Second)
			synctest.Wait()
			if away, _ := awayOf(open(t, table.crash(), contacts.Config{}), anna, "pixel"); !away.Equal(left) {
				t.Fatalf("after the table recovered away since %v, want %v", away, left)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestCloseTellsWhatItCouldNotWrite(t *testing.T) {
	table := newTable()
	d := open(t, table, contacts.Config{})
	add(t, d, anna)
	remember(t, d, anna, phone(anna, "pixel"))
	d.Disconnected(anna, "pixel")
	table.set(func(m *memTable) { m.fail = 1 })
	if err := d.Close(); !errors.Is(err, errTable) {
		t.Fatalf("got %v", err)
	}
}

// What comes in while a record is being written must survive in memory and reach the table.
func TestPresenceDuringAWrite(t *testing.T) {
	clock := newClock()
	table := newTable()
	d := open(t, table, contacts.Config{Now: clock.now})
	add(t, d, anna)
	for _, id := range []string{"comes", "goes"} {
		remember(t, d, anna, phone(anna, id))
	}
	d.Disconnected(anna, "comes")
	gate, entered := make(chan struct{}), make(chan struct{})
	table.set(func(m *memTable) { m.gate, m.entered = gate, entered })

	done := make(chan error)
	go func() { done <- d.Remember(ctx, anna, phone(anna, "new")) }()
	<-entered
	clock.add(2 * time.Hour)
	d.Connected(anna, "comes")
	d.Disconnected(anna, "goes")
	went := clock.now()
	d.Disconnected(anna, "new") // gone before it was remembered
	clock.add(time.Second)
	table.set(func(m *memTable) { m.gate, m.entered = nil, nil })
	close(gate)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	remembered := clock.now()
	check := func(d *contacts.Directory, when string, comes time.Time) {
		t.Helper()
		for id, want := range map[string]time.Time{"comes": comes, "goes": went, "new": remembered} {
			if away, ok := awayOf(d, anna, id); !ok || !away.Equal(want) {
				t.Errorf("%s, %q is remembered %v, away since %v, want %v", when, id, ok, away, want)
			}
		}
		if u, _ := d.User(anna); !u.LastSeen.Equal(went.Truncate(time.Hour)) {
			t.Errorf("%s, last seen %v", when, u.LastSeen)
		}
	}
	check(d, "in memory", time.Time{})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	clock.add(time.Hour)
	check(open(t, table.crash(), contacts.Config{Now: clock.now}), "after a crash", clock.now())
}

func TestADeviceThatWentBeforeItWasRememberedIsWrittenAsAway(t *testing.T) {
	clock := newClock()
	table := newTable()
	d := open(t, table, contacts.Config{Now: clock.now})
	add(t, d, anna)
	d.Connected(anna, "any")
	if err := d.HasInbox(ctx, anna); err != nil { // writes that connection as well
		t.Fatal(err)
	}
	gate, entered := make(chan struct{}), make(chan struct{}, 2)
	table.set(func(m *memTable) { m.gate, m.entered = gate, entered })
	done := make(chan error)
	go func() { done <- d.Remember(ctx, anna, phone(anna, "pixel")) }()
	<-entered
	d.Disconnected(anna, "pixel")
	went := clock.now()
	close(gate)
	if err := errors.Join(<-done, d.Close()); err != nil {
		t.Fatal(err)
	}
	clock.add(time.Hour)
	if away, _ := awayOf(open(t, table.crash(), contacts.Config{Now: clock.now}), anna, "pixel"); !away.Equal(went) {
		t.Fatalf("away since %v, want %v", away, went)
	}
}

func TestADeviceIsAwaySinceTheFirstDisconnect(t *testing.T) {
	clock := newClock()
	d := open(t, newTable(), contacts.Config{Now: clock.now})
	add(t, d, anna)
	remember(t, d, anna, phone(anna, "pixel"))
	went := clock.now()
	for range 2 {
		d.Disconnected(anna, "pixel")
		clock.add(time.Minute)
	}
	if away, _ := awayOf(d, anna, "pixel"); !away.Equal(went) {
		t.Fatalf("away since %v, want %v", away, went)
	}
	late := phone(anna, "late")
	late.Away = went
	remember(t, d, anna, late)
	d.Connected(anna, "pixel")
	late.Away = clock.now() // it went, and says so itself
	remember(t, d, anna, late)
	if away, _ := awayOf(d, anna, "late"); !away.Equal(clock.now()) {
		t.Fatalf("away since %v, want %v", away, clock.now())
	}
}

// A device that was refused holds nothing.
func TestARefusedDeviceIsNotConnected(t *testing.T) {
	clock := newClock()
	d := open(t, newTable(), contacts.Config{Now: clock.now, Devices: 1})
	add(t, d, anna)
	remember(t, d, anna, phone(anna, "only"))
	if err := d.Remember(ctx, anna, phone(anna, "refused")); !errors.Is(err, contacts.ErrDevices) {
		t.Fatal(err)
	}
	d.Disconnected(anna, "only")
	clock.add(90 * 24 * time.Hour)
	if d.Registered(anna) {
		t.Fatal("the refused device keeps the registration")
	}
}

func TestNothingOfAFailedFlushIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1200 // several writes
		table := newTable()
		d := open(t, table, contacts.Config{})
		for i := range n {
			a := number(i)
			add(t, d, a)
			remember(t, d, a, phone(a, "pixel"))
			d.Disconnected(a, "pixel")
		}
		left := time.Now()
		table.set(func(m *memTable) { m.fail = 1 })
		time.Sleep(30 * time.Second)
		synctest.Wait()
		d2 := open(t, table.crash(), contacts.Config{})
		for i := range n {
			if away, _ := awayOf(d2, number(i), "pixel"); !away.Equal(left) {
				t.Fatalf("user %d is away since %v, want %v", i, away, left)
			}
		}
	})
}

func TestExpireDevices(t *testing.T) {
	clock := newClock()
	table := newTable()
	d := open(t, table, contacts.Config{Now: clock.now})
	add(t, d, anna, ben)
	short := phone(anna, "short")
	short.Expiry = time.Minute
	remember(t, d, anna, short)
	remember(t, d, anna, phone(anna, "long"))
	stays := phone(ben, "stays")
	stays.Expiry = time.Minute
	remember(t, d, ben, stays)
	events := make(chan contacts.Event, 10)
	d.Watch(func(e contacts.Event) { events <- e })
	d.Disconnected(anna, "short")
	d.Disconnected(anna, "long")

	expire := func(after time.Duration, want ...string) {
		t.Helper()
		clock.add(after)
		told, err := d.ExpireDevices(ctx, clock.now())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range told {
			if e.Kind != contacts.DeviceForgotten || e.User != anna || e != <-events {
				t.Fatalf("told %+v", e)
			}
			got = append(got, e.Device)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("after %v: %v, want %v", after, got, want)
		}
	}
	expire(59 * time.Second)
	expire(time.Second, "short")
	expire(time.Minute)

	clock.add(30 * 24 * time.Hour)
	table.set(func(m *memTable) { m.fail = 1 })
	if told, err := d.ExpireDevices(ctx, clock.now()); !errors.Is(err, errTable) || len(told) != 0 {
		t.Fatalf("on a failing table: %v, %v", told, err)
	}
	expire(0, "long")
	if ids := clientIDs(open(t, table.crash(), contacts.Config{}), anna); len(ids) != 0 {
		t.Fatalf("remembered after a crash: %v", ids)
	}
}

// Devices that were connected when the broker crashed are away from the restart on, and a row of crashes does not keep them for ever.
func TestDevicesAfterACrash(t *testing.T) {
	clock := newClock()
	table := newTable()
	d := open(t, table, contacts.Config{Now: clock.now})
	add(t, d, anna)
	dev := phone(anna, "pixel")
	dev.Expiry = time.Hour
	remember(t, d, anna, dev)
	remember(t, d, anna, phone(anna, "tablet"))
	clock.add(10 * time.Hour)

	table = table.crash()
	restart := clock.now()
	d = open(t, table, contacts.Config{Now: clock.now, Devices: 2})
	for _, id := range []string{"pixel", "tablet"} {
		if away, _ := awayOf(d, anna, id); !away.Equal(restart) {
			t.Fatalf("%s is away since %v, want %v", id, away, restart)
		}
	}
	d.Connected(anna, "tablet")
	if away, _ := awayOf(d, anna, "tablet"); !away.IsZero() {
		t.Fatalf("connected, and away since %v", away)
	}
	clock.add(6 * time.Minute)
	if told, err := d.ExpireDevices(ctx, clock.now()); err != nil || len(told) != 0 {
		t.Fatalf("expired %v, %v", told, err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}

	clock.add(30 * time.Minute)
	d = open(t, table.crash(), contacts.Config{Now: clock.now, Devices: 2})
	if away, _ := awayOf(d, anna, "pixel"); !away.Equal(restart) {
		t.Fatalf("after another restart it is away since %v, want %v", away, restart)
	}
	clock.add(24 * time.Minute)
	told, err := d.ExpireDevices(ctx, clock.now())
	if err != nil || len(told) != 1 || told[0].Device != "pixel" {
		t.Fatalf("an hour after the first restart: %v, %v", told, err)
	}
	remember(t, d, anna, phone(anna, "new"))
	remember(t, d, anna, phone(anna, "newer")) // in the place of the tablet, which never came back
	if ids := clientIDs(d, anna); !slices.Equal(ids, []string{"new", "newer"}) {
		t.Fatalf("remembered %v", ids)
	}
}

func TestASessionRunsOutAfterACrash(t *testing.T) {
	clock := newClock()
	table := newTable()
	d := open(t, table, contacts.Config{Now: clock.now})
	add(t, d, anna)
	dev := phone(anna, "pixel")
	dev.Expiry = time.Minute
	remember(t, d, anna, dev)
	d = open(t, table.crash(), contacts.Config{Now: clock.now})
	for _, want := range []int{0, 1, 0} {
		told, err := d.ExpireDevices(ctx, clock.now())
		if err != nil || len(told) != want {
			t.Fatalf("expired %v, %v", told, err)
		}
		clock.add(time.Minute)
	}
}

func TestAReconnectStormCostsNoWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 5000
		table := newTable()
		d := open(t, table, contacts.Config{Open: true})
		users := make([]contacts.Address, n)
		errs := make(chan error, n)
		for i := range users {
			users[i] = contacts.Address(fmt.Sprintf("49151%07d", i))
			go func() {
				_, err := d.Login(ctx, string(users[i]), "")
				errs <- errors.Join(err, d.Remember(ctx, users[i], phone(users[i], "pixel")))
			}()
		}
		for range n {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		before := table.calls()
		for _, a := range users {
			d.Disconnected(a, "pixel")
		}
		for _, a := range users {
			if _, err := d.Login(ctx, string(a), ""); err != nil {
				t.Fatal(err)
			}
			d.Connected(a, "pixel")
			remember(t, d, a, phone(a, "pixel"))
		}
		if table.calls() != before {
			t.Fatalf("%d writes", table.calls()-before)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if got := table.calls() - before; got > n/256 {
			t.Fatalf("%d writes afterwards", got)
		}
	})
}
