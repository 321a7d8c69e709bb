package sms_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/store/memory"
)

const ann contacts.Number = "8613800138000"

var (
	stopped = sms.OptOut{Number: ann, Word: "STOP", Gateway: "carrier", At: time.Date(2026, 11, 24, 12, 30, 0, 5000, time.UTC), Note: "by SMS"}
	errDisk = errors.New("the disk is on fire")
)

// flaky is a Table whose Write fails, before or after it has written.
type flaky struct {
	contacts.Table
	before, after, scan bool
}

func (f *flaky) Write(ctx context.Context, writes []contacts.Write) ([]uint64, []error, error) {
	if f.before {
		return nil, nil, errDisk
	}
	revs, errs, err := f.Table.Write(ctx, writes)
	if f.after {
		return nil, nil, errDisk
	}
	return revs, errs, err
}

func (f *flaky) Scan(ctx context.Context, prefix string, fn func(string, []byte, uint64) error) error {
	if f.scan {
		return errDisk
	}
	return f.Table.Scan(ctx, prefix, fn)
}

func open(t *testing.T, table contacts.Table) *sms.OptOuts {
	t.Helper()
	o, err := sms.OpenOptOuts(t.Context(), table)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func add(t *testing.T, o *sms.OptOuts, out sms.OptOut) {
	t.Helper()
	if err := o.Add(t.Context(), out); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, o *sms.OptOuts, n contacts.Number, want bool) {
	t.Helper()
	if was, err := o.Remove(t.Context(), n); err != nil || was != want {
		t.Fatalf("removed: %v, %v; want %v", was, err, want)
	}
}

func TestOptOutsOutliveACrash(t *testing.T) {
	store := memory.New()
	o := open(t, store.Table())
	if o.Out(ann) || len(o.List("", 10)) != 0 {
		t.Fatal("somebody is out at the start")
	}
	add(t, o, stopped)
	add(t, o, sms.OptOut{Number: ann, Word: "UNSUBSCRIBE", At: time.Now()}) // the first stays
	add(t, o, sms.OptOut{Number: ann + "1", At: stopped.At})                // begins with the other
	store = store.Crash()
	o = open(t, store.Table())
	if got := o.List("", 10); len(got) != 2 || got[0] != stopped || !o.Out(ann) || o.Out("8613800138001") {
		t.Fatalf("after a crash: %+v", got)
	}
	remove(t, o, ann, true)
	remove(t, o, ann, false)
	store = store.Crash()
	o = open(t, store.Table())
	if o.Out(ann) || !o.Out(ann+"1") {
		t.Fatalf("after a removal and a crash: %+v", o.List("", 10))
	}
	add(t, o, sms.OptOut{Number: ann, Word: "TD", At: stopped.At})
	if got := open(t, store.Table()).List("", 1); len(got) != 1 || got[0].Word != "TD" {
		t.Fatalf("opted out again: %+v", got)
	}
}

func TestOptOutsWhenTheTableFails(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after bool
	}{{"before it writes", true, false}, {"after it has written", false, true}} {
		t.Run(c.name, func(t *testing.T) {
			table := &flaky{Table: memory.New().Table()}
			o := open(t, table)
			fails := func() { table.before, table.after = c.before, c.after }
			works := func() { table.before, table.after, table.scan = false, false, false }

			fails()
			if err := o.Add(t.Context(), stopped); !errors.Is(err, errDisk) || strings.Contains(err.Error(), string(ann)) {
				t.Fatalf("got %v", err)
			}
			table.scan = true
			if err := o.Add(t.Context(), stopped); !errors.Is(err, errDisk) {
				t.Fatalf("in doubt and not to be read: %v", err)
			}
			works()
			add(t, o, stopped)
			if got := open(t, table).List("", 10); len(got) != 1 || got[0] != stopped || !o.Out(ann) {
				t.Fatalf("%+v", got)
			}
			fails()
			if _, err := o.Remove(t.Context(), ann); !errors.Is(err, errDisk) {
				t.Fatalf("got %v", err)
			}
			works()
			if _, err := o.Remove(t.Context(), ann); err != nil {
				t.Fatal(err)
			}
			if o.Out(ann) || open(t, table).Out(ann) {
				t.Error("still out")
			}

			fails()
			if err := o.Add(t.Context(), stopped); !errors.Is(err, errDisk) {
				t.Fatalf("got %v", err)
			}
			works()
			remove(t, o, ann, c.after) // what an Add may have left is found
			if open(t, table).Out(ann) {
				t.Error("out after the next start")
			}
		})
	}
}

func TestOptOutsOfTwoWriters(t *testing.T) {
	table := memory.New().Table()
	a, b := open(t, table), open(t, table)
	add(t, a, stopped)
	if err := b.Add(t.Context(), sms.OptOut{Number: ann}); !errors.Is(err, contacts.ErrConflict) {
		t.Fatalf("got %v", err)
	}
	add(t, b, sms.OptOut{Number: ann})
	if got := b.List("", 1); len(got) != 1 || got[0] != stopped {
		t.Errorf("%+v", got)
	}
}

func TestOptOutsRefuse(t *testing.T) {
	table := memory.New().Table()
	for _, n := range []contacts.Number{"", "+4915112345678", "12345", "ann", "0049151123456"} {
		if err := open(t, table).Add(t.Context(), sms.OptOut{Number: n}); !errors.Is(err, contacts.ErrAddress) {
			t.Errorf("%q: %v", n, err)
		}
	}
	late := sms.OptOut{Number: ann, At: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}
	if err := open(t, table).Add(t.Context(), late); err == nil || strings.Contains(err.Error(), string(ann)) {
		t.Errorf("a time that cannot be written: %v", err)
	}
	for key, val := range map[string]string{"optout/ann": "{}", "optout/" + string(ann): "{", "optout/8613800138001": `{"at":"yesterday"}`} {
		table := memory.New().Table()
		if _, _, err := table.Write(t.Context(), []contacts.Write{{Key: key, Val: []byte(val)}}); err != nil {
			t.Fatal(err)
		}
		if _, err := sms.OpenOptOuts(t.Context(), table); err == nil || !strings.Contains(err.Error(), "opt-out") || strings.Contains(err.Error(), string(ann)) {
			t.Errorf("%s = %s: %v", key, val, err)
		}
	}
}

func TestOptOutsListInPages(t *testing.T) {
	o := open(t, memory.New().Table())
	for i := range 25 {
		add(t, o, sms.OptOut{Number: number(24 - i), At: stopped.At})
	}
	var got []contacts.Number
	for after, pages := contacts.Number(""), 0; ; pages++ {
		page := o.List(after, 10)
		if len(page) == 0 {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
		for _, out := range page {
			got = append(got, out.Number)
		}
		after = page[len(page)-1].Number
	}
	for i, n := range got {
		if len(got) != 25 || n != number(i) {
			t.Fatalf("%d of %d is %s", i, len(got), n)
		}
	}
	if len(o.List("", 0)) != 0 || len(o.List("", -1)) != 0 {
		t.Error("none asked for, some given")
	}
}

// TestOptOutsBesideUsers has opt-outs in the table of a Directory.
func TestOptOutsBesideUsers(t *testing.T) {
	store := memory.New()
	add(t, open(t, store.Table()), stopped)
	dir, err := contacts.Open(t.Context(), store.Table(), contacts.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Add(t.Context(), contacts.Address(ann)); err != nil {
		t.Fatal(err)
	}
	if err := dir.Close(); err != nil {
		t.Fatal(err)
	}
	if got := open(t, store.Crash().Table()).List("", 10); len(got) != 1 || got[0] != stopped {
		t.Errorf("%+v", got)
	}
}

func TestOptOutsAtOnce(t *testing.T) {
	o := open(t, memory.New().Table())
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 20 {
				if err := o.Add(t.Context(), sms.OptOut{Number: number(j), Word: fmt.Sprint(i)}); err != nil {
					t.Error(err)
				}
				if !o.Out(number(j)) {
					t.Error("added, and not out")
				}
				o.List("", 5)
			}
		})
	}
	all.Wait()
	if got := len(o.List("", 100)); got != 20 {
		t.Errorf("%d are out, want 20", got)
	}
}

func BenchmarkOptOut(b *testing.B) {
	o, err := sms.OpenOptOuts(b.Context(), memory.New().Table())
	if err != nil {
		b.Fatal(err)
	}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			o.Out(ann)
		}
	})
}
