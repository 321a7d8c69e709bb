package contacts_test

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
)

func sampleUser() contacts.User {
	u := contacts.User{
		Registered: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), LastSeen: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC), Inbox: true,
		Tokens: []contacts.Token{{ID: "0102000000000000", Hash: [32]byte{1, 2, 31: 9}, Device: "Anna's phone", Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, {ID: "0000000000000000"}},
		Devices: []contacts.Device{
			{ClientID: "pixel", Version: 5, Expiry: (1<<32 - 1) * time.Second, Away: time.Date(2026, 11, 24, 10, 0, 7, 0, time.UTC), Filters: []contacts.Filter{
				{Topic: "u/4915112345678/#", QoS: 1, RetainAsPublished: true, NoLocal: true, RetainHandling: 2, Identifier: 268435455},
				{Topic: "u/4915112345678/in/+/+", QoS: 2},
			}},
			{ClientID: ""},
		},
	}
	return u
}

func TestRecordKeepsEverything(t *testing.T) {
	want := sampleUser()
	got, err := contacts.DecodeRecord(contacts.EncodeRecord(&want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func TestRecordRefusesDamage(t *testing.T) {
	u := sampleUser()
	whole := contacts.EncodeRecord(&u)
	for n := range whole {
		if _, err := contacts.DecodeRecord(whole[:n]); err == nil {
			t.Errorf("accepted without its last %d bytes", len(whole)-n)
		}
	}
	if _, err := contacts.DecodeRecord(append(bytes.Clone(whole), 0)); err == nil {
		t.Error("accepted with a byte behind it")
	}
	other := bytes.Clone(whole)
	other[0]++
	if _, err := contacts.DecodeRecord(other); err == nil {
		t.Error("accepted in another version")
	}
}

func FuzzRecord(f *testing.F) {
	u := sampleUser()
	f.Add(contacts.EncodeRecord(&u))
	f.Add(contacts.EncodeRecord(&contacts.User{}))
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x7f, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := contacts.DecodeRecord(b)
		if err != nil {
			return
		}
		again, err := contacts.DecodeRecord(contacts.EncodeRecord(&u))
		if err != nil || !reflect.DeepEqual(again, u) {
			t.Fatalf("%+v became %+v, %v", u, again, err)
		}
	})
}
