package contacts_test

import (
	"fmt"
	"testing"

	"github.com/seed-7a41469f/godwit/contacts"
)

func TestWatchersMayCallTheDirectory(t *testing.T) {
	d := open(t, newTable(), contacts.Config{})
	done := make(chan error, 1)
	d.Watch(func(e contacts.Event) {
		if e.Kind == contacts.TokenRevoked {
			done <- d.ForgetDevice(ctx, e.User, "pixel")
		}
	})
	add(t, d, anna)
	issue(t, d, anna)
	remember(t, d, anna, phone(anna, "pixel"))
	if err := d.RevokeToken(ctx, anna, ""); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if ids := clientIDs(d, anna); len(ids) != 0 {
		t.Fatalf("remembered %v", ids)
	}
}

func TestWatchersAreToldInOrderUntilTheyStop(t *testing.T) {
	d := open(t, newTable(), contacts.Config{})
	var first, second []contacts.Address
	stop := d.Watch(func(e contacts.Event) { first = append(first, e.User) })
	d.Watch(func(e contacts.Event) { second = append(second, e.User) })
	reached := make(chan struct{})
	d.Watch(func(e contacts.Event) {
		if e.User == "name-49" {
			close(reached)
		}
	})
	for i := range 50 {
		add(t, d, contacts.Address(fmt.Sprintf("name-%d", i)))
	}
	<-reached
	stop()
	add(t, d, anna)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if len(first) != 50 || len(second) != 51 || second[50] != anna {
		t.Fatalf("told %d and %d", len(first), len(second))
	}
	for i := range first {
		if want := contacts.Address(fmt.Sprintf("name-%d", i)); first[i] != want || second[i] != want {
			t.Fatalf("event %d is about %s and %s", i, first[i], second[i])
		}
	}
}

func TestEventKindsHaveNames(t *testing.T) {
	for k, want := range map[contacts.EventKind]string{contacts.TokenRevoked: "token revoked", contacts.UserChanged: "user changed", 200: "unknown"} {
		if got := k.String(); got != want {
			t.Errorf("%d is %q, want %q", k, got, want)
		}
	}
}
