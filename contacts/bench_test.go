package contacts_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
)

// A crowd is a Table of n users that are made up as they are read: each has a token and a phone.
type crowd struct {
	*memTable
	n int
}

func number(i int) contacts.Address { return contacts.Address(fmt.Sprintf("49151%08d", i)) }

func (c crowd) Scan(ctx context.Context, prefix string, fn func(string, []byte, uint64) error) error {
	if prefix != "user/" {
		return c.memTable.Scan(ctx, prefix, fn)
	}
	now := time.Now()
	for i := range c.n {
		a := number(i)
		dev := phone(a, fmt.Sprintf("android-%08x", i))
		dev.Away = now
		u := contacts.User{Registered: now, LastSeen: now, Inbox: true, Tokens: []contacts.Token{{Device: "phone", Created: now}}, Devices: []contacts.Device{dev}}
		rand.Read(u.Tokens[0].Hash[:])
		if err := fn("user/"+string(a), contacts.EncodeRecord(&u), 1); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkOpen tells what a user costs in memory (each with a token and a device), and how fast users are loaded.
func BenchmarkOpen(b *testing.B) {
	const n = 1_000_000
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		d := open(b, crowd{newTable(), n}, contacts.Config{})
		runtime.GC()
		runtime.ReadMemStats(&after)
		if !d.Registered(number(n / 2)) {
			b.Fatal("not loaded")
		}
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/user")
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*1e9/n, "ns/user")
}

func benchDirectory(b *testing.B) (*contacts.Directory, []contacts.Address) {
	const n = 100_000
	d := open(b, crowd{newTable(), n}, contacts.Config{})
	users := make([]contacts.Address, n)
	for i := range users {
		users[i] = number(i * 7919 % n)
	}
	b.ReportAllocs()
	return d, users
}

func BenchmarkRegistered(b *testing.B) {
	d, users := benchDirectory(b)
	for i := 0; b.Loop(); i++ {
		if !d.Registered(users[i%len(users)]) {
			b.Fatal("not registered")
		}
	}
}

func BenchmarkUser(b *testing.B) {
	d, users := benchDirectory(b)
	for i := 0; b.Loop(); i++ {
		if _, ok := d.User(users[i%len(users)]); !ok {
			b.Fatal("no user")
		}
	}
}

func BenchmarkLogin(b *testing.B) {
	d, _ := benchDirectory(b)
	add(b, d, anna)
	token, _ := issue(b, d, anna)
	for b.Loop() {
		if _, err := d.Login(ctx, string(anna), token); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReconnect is what a phone that comes back costs: nothing but its absence is news.
func BenchmarkReconnect(b *testing.B) {
	d, users := benchDirectory(b)
	devices := make([]contacts.Device, len(users))
	for i := range users {
		u, _ := d.User(users[i])
		devices[i] = u.Devices[0]
		devices[i].Away = time.Time{}
	}
	for i := 0; b.Loop(); i++ {
		a, dev := users[i%len(users)], devices[i%len(users)]
		if err := d.Remember(ctx, a, dev); err != nil {
			b.Fatal(err)
		}
		d.Connected(a, dev.ClientID)
		d.Disconnected(a, dev.ClientID)
	}
}

func BenchmarkExpireDevices(b *testing.B) {
	d, users := benchDirectory(b)
	for b.Loop() {
		if _, err := d.ExpireDevices(ctx, time.Now()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(users)), "ns/user")
}
