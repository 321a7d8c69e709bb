package spool_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest/gammu"
	"github.com/seed-7a41469f/godwit/sms"
)

func into(t testing.TB, dir, name, octets string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "inbox", name), []byte(octets), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestStrangeFileDoesNotBlockTheInbox: a file that cannot be put aside waits; SMS do not.
func TestStrangeFileDoesNotBlockTheInbox(t *testing.T) {
	dir, s := t.TempDir(), newSink()
	gammu.Folders(t, dir)
	into(t, dir, "other", "somebody took the name")
	into(t, dir, "AAA", "what is this?")
	into(t, dir, "IN20261124_100226_00_+4915112345678_00.txt", "hello")
	run(t, open(t, dir, time.Minute), s)
	s.wait(t, 1)
}

// TestKilledWhileItRemovesAnMO: what is left of a message that was taken is no other message.
func TestKilledWhileItRemovesAnMO(t *testing.T) {
	dir, s := t.TempDir(), newSink()
	gammu.Folders(t, dir)
	into(t, dir, "IN20261124_100227_00_+4915112345678_01.txt", "two") // part 00 was removed
	into(t, dir, "IN20261124_100228_00_+4915112345678_00.txt", "another")
	run(t, open(t, dir, time.Minute), s)
	s.wait(t, 1)
	time.Sleep(time.Second) // sleep: for what should not come
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mos) != 1 || s.mos[0].Text != "another" {
		t.Errorf("%+v", s.mos)
	}
}

// TestClockSetBackWhileTheModemSends: how long the modem was silent cannot be told then, so the SMS may have gone out.
func TestClockSetBackWhileTheModemSends(t *testing.T) {
	dir := t.TempDir()
	gammu.Folders(t, dir)
	g, m := open(t, dir, 4*time.Second), mt(t, 1, "x")
	smsd, done := fakeSMSD{t, dir}, make(chan struct{})
	go func() {
		defer close(done)
		name := smsd.found()
		smsd.read(name)
		path := filepath.Join(dir, "outbox", name)
		if err := os.Chtimes(path, time.Now().Add(time.Hour), time.Time{}); err != nil { // it was read at a time that is yet to come
			t.Error(err)
		}
		smsd.move(name, "error")
	}()
	if class := sms.ClassOf(g.Submit(t.Context(), m)[0].Err); class != sms.Unknown {
		t.Errorf("it is %v", class)
	}
	<-done
}
