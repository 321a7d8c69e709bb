package sms_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/seed-7a41469f/godwit/sms"
)

func TestWire(t *testing.T) {
	var lines []string
	w := sms.NewWire(func(line string) { lines = append(lines, line) })
	w.Logf("before")
	if w.On() {
		t.Error("it is on from the start")
	}
	w.Set(true)
	w.Logf("submit_sm %d to %s", 7, ann.Mask())
	w.Logf("%s", "100 %")
	if !w.On() {
		t.Error("it is off once it was set")
	}
	w.Set(false)
	w.Logf("after")
	if want := []string{"submit_sm 7 to +86…00", "100 %"}; !slices.Equal(lines, want) {
		t.Errorf("wrote %q, want %q", lines, want)
	}

	var none *sms.Wire
	none.Logf("nothing")
	if none.On() {
		t.Error("a nil one is on")
	}
}

func TestWireAtOnce(t *testing.T) {
	var mu sync.Mutex
	n := 0
	w := sms.NewWire(func(string) { mu.Lock(); n++; mu.Unlock() })
	w.Set(true)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 100 {
				w.Logf("line")
				w.Set(true)
			}
		})
	}
	all.Wait()
	if n != 400 {
		t.Errorf("%d lines, want 400", n)
	}
}

func BenchmarkWireOff(b *testing.B) {
	w := sms.NewWire(func(string) {})
	for b.Loop() {
		if w.On() {
			w.Logf("line %d", 1)
		}
	}
}
