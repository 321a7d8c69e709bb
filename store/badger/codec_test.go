package badger_test

import (
	"testing"

	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/store/badger"
)

// What was written comes from us, but a disk may give back anything.
func FuzzRecords(f *testing.F) {
	m := letter("text")
	m.Rev = 77
	f.Add(badger.MessageRecord(m))
	f.Add(badger.NoticeRecord(bob, "r"))
	f.Add(badger.TalkRecord(sms.Talk{User: ann, Ref: sms.Ref{1}, At: m.At, Digest: 1 << 63, Rev: 9}))
	f.Add(badger.CounterRecord(12345, m.At))
	f.Add(badger.MeetingRecord(m.At, "\x03DELIVRD"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := badger.ParseAll(b); err != nil {
			t.Error(err)
		}
	})
}
