package badger_test

import (
	"testing"

	"github.com/seed-7a41469f/godwit/store/badger"
)

// What was written comes from us, but a disk may give back anything.
func FuzzRecords(f *testing.F) {
	m := letter("text")
	m.Rev = 77
	f.Add(badger.MessageRecord(m))
	f.Add(badger.NoticeRecord(bob, "r"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) { badger.ParseAll(b) })
}
