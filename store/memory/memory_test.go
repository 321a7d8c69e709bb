package memory_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/store/memory"
	"github.com/seed-7a41469f/godwit/store/storetest"
)

func open(testing.TB) storetest.Harness {
	s := memory.New()
	return storetest.Harness{
		Store:  s,
		Reopen: func(testing.TB) storetest.Store { s = s.Reopen(); return s },
		Crash:  func(testing.TB) storetest.Store { s = s.Crash(); return s },
		Full:   s.SetFull,
	}
}

func TestStore(t *testing.T) { storetest.Run(t, open) }

func BenchmarkStore(b *testing.B) { storetest.Bench(b, open) }

func letter(text string) *delivery.Message {
	return &delivery.Message{From: "ann", To: "bob", Payload: []byte(text), State: delivery.Accepted, Accepted: time.Now(), Due: time.Now()}
}

func texts(t *testing.T, s *memory.Store) (found []string) {
	t.Helper()
	entries, _, err := s.Inbox(t.Context(), "bob", 0, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		found = append(found, string(e.Message.Payload))
	}
	return found
}

func TestFaults(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name          string
		fault         memory.Fault
		err           error
		seen, crashed int // messages found before and after a crash
		dead          bool
	}{
		{"none", memory.Fault{}, nil, 2, 2, false},
		{"before the write", memory.Fault{Wrote: memory.Nothing, Err: broken}, broken, 0, 0, false},
		{"before the write, unnamed", memory.Fault{Wrote: memory.Nothing}, memory.ErrFault, 0, 0, false},
		{"after the write", memory.Fault{Wrote: memory.All, Err: broken}, broken, 2, 2, false},
		{"before the sync", memory.Fault{Wrote: memory.Unsynced, Err: broken}, broken, 2, 0, false},
		{"in the middle", memory.Fault{Wrote: memory.Torn, Keep: 1}, memory.ErrCrashed, 0, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := memory.New()
			s.Inject(c.fault)
			group := []delivery.Change{{Message: letter("1")}, {Message: letter("2")}}
			for _, err := range s.Commit(t.Context(), group) {
				if !errors.Is(err, c.err) {
					t.Fatalf("error %v, want %v", err, c.err)
				}
			}
			if _, err := s.Message(t.Context(), delivery.ID{}); c.dead != errors.Is(err, memory.ErrCrashed) {
				t.Fatalf("%v", err)
			}
			if !c.dead {
				if n := len(texts(t, s)); n != c.seen {
					t.Errorf("%d messages seen, want %d", n, c.seen)
				}
			}
			restarted := s.Crash()
			if n := len(texts(t, restarted)); n != c.crashed {
				t.Errorf("%d messages after a crash, want %d", n, c.crashed)
			}
		})
	}
}

func TestSameChangeAfterAFault(t *testing.T) {
	for _, wrote := range []memory.Extent{memory.Nothing, memory.All, memory.Unsynced} {
		s := memory.New()
		m := letter("once")
		talk, spent := &sms.Talk{Own: "1", Peer: "2", User: "ann", At: time.Now()}, []sms.Count{{Key: "day", Add: 3, Most: 3, Until: time.Now().Add(time.Hour)}}
		group := []delivery.Change{{Message: m, Entries: []delivery.Entry{{User: "ann", Kind: delivery.Receipt}}, Talk: talk, Counts: spent}}
		s.Inject(memory.Fault{Wrote: wrote, Err: memory.ErrFault})
		if errs := s.Commit(t.Context(), group); errs == nil || m.Rev != 0 || talk.Rev != 0 {
			t.Fatalf("extent %d: %v, revisions %d, %d", wrote, errs, m.Rev, talk.Rev)
		}
		if errs := s.Commit(t.Context(), group); errs != nil || talk.Rev == 0 || spent[0].Total != 3 {
			t.Fatalf("extent %d: %v, %+v, %+v", wrote, errs, talk, spent)
		}
		if found := texts(t, s.Crash()); len(found) != 1 {
			t.Errorf("extent %d: %q", wrote, found)
		}
	}
}

func TestCrashedStoreAnswersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		s.Inject(memory.Fault{Delay: time.Second})
		done := make(chan []error, 2)
		for range 2 { // one in its delay, one behind it
			go func() { done <- s.Commit(context.Background(), []delivery.Change{{Message: letter("x")}}) }()
		}
		synctest.Wait()
		restarted := s.Crash()
		for range 2 {
			if errs := <-done; len(errs) != 1 || !errors.Is(errs[0], memory.ErrCrashed) {
				t.Errorf("%v", errs)
			}
		}
		if found := texts(t, restarted); len(found) != 0 {
			t.Errorf("%q", found)
		}
	})
}

func TestDelayIsBubbleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		s.Inject(memory.Fault{Delay: time.Hour})
		start := time.Now()
		if errs := s.Commit(t.Context(), []delivery.Change{{Message: letter("x")}}); errs != nil {
			t.Fatal(errs)
		}
		if d := time.Since(start); d != time.Hour {
			t.Errorf("the commit took %s", d)
		}
	})
}
