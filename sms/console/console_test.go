package console_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/sms/console"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func mt(t *testing.T, from, text string) sms.MT {
	t.Helper()
	segments, err := sms.Split(text)
	if err != nil {
		t.Fatal(err)
	}
	return sms.MT{From: from, To: "4915112345678", Text: text, Segments: segments, Count: len(segments), Until: time.Now().Add(time.Minute)}
}

func TestFrame(t *testing.T) {
	rest := mt(t, "4915100000000", strings.Repeat("字", 140))
	rest.Segments = rest.Segments[1:]
	hostile := mt(t, "Bo\x1biler", "x")
	hostile.Text = "red \x1b[31m\tand\u009b on\r\nnext"
	for _, c := range []struct {
		name string
		mt   sms.MT
		want string
	}{
		{"a short one", mt(t, "4915100000000", "Kettle is on\nTea?"),
			"┌─ SMS to +4915112345678 from +4915100000000 ── 1 segment, GSM 7 ── TIME\n│ Kettle is on\n│ Tea?\n└─ id ID\n"},
		{"from a name", mt(t, "Boiler", "{}"),
			"┌─ SMS to +4915112345678 from Boiler ── 1 segment, GSM 7 ── TIME\n│ {}\n└─ id ID\n"},
		{"without an originator", mt(t, "", "你好"),
			"┌─ SMS to +4915112345678 ── 1 segment, UCS-2 ── TIME\n│ 你好\n└─ id ID\n"},
		{"long", mt(t, "", strings.Repeat("a", 161)),
			"┌─ SMS to +4915112345678 ── 2 segments, GSM 7 ── TIME\n│ " + strings.Repeat("a", 161) + "\n└─ id ID ID\n"},
		{"the rest of a long one", rest,
			"┌─ SMS to +4915112345678 from +4915100000000 ── 2 of 3 segments, UCS-2 ── TIME\n│ " + strings.Repeat("字", 140) + "\n└─ id ID ID\n"},
		{"what would steer the terminal", hostile,
			"┌─ SMS to +4915112345678 from Bo\uFFFDiler ── 1 segment, GSM 7 ── TIME\n│ red \uFFFD[31m and\uFFFD on\n│ next\n└─ id ID\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			outcomes := console.New(console.Config{Out: &out}).Submit(t.Context(), c.mt)
			got := regexp.MustCompile(`\d\d:\d\d:\d\d`).ReplaceAllString(out.String(), "TIME")
			for _, o := range outcomes {
				if o.Err != nil || o.ID == "" || !strings.Contains(got, o.ID) {
					t.Errorf("outcome %+v", o)
				}
				got = regexp.MustCompile(regexp.QuoteMeta(o.ID)+`\b`).ReplaceAllString(got, "ID")
			}
			if got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	var out bytes.Buffer
	g := console.New(console.Config{Out: &out, JSON: true})
	outcomes := g.Submit(t.Context(), mt(t, "Boiler", strings.Repeat("é", 150)+"\n\"{}\""+strings.Repeat("a", 20)))
	g.Submit(t.Context(), mt(t, "", "second"))
	var got struct {
		From, To, Text, Coding string
		Count                  int
		Segments               []struct {
			Number int
			ID     string
		}
		At time.Time
	}
	lines := json.NewDecoder(&out)
	lines.DisallowUnknownFields()
	if err := lines.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.From != "Boiler" || got.To != "4915112345678" || len(got.Segments) != 2 || got.Count != 2 || got.Coding != "GSM 7" || time.Since(got.At) > time.Minute {
		t.Errorf("got %+v", got)
	}
	if got.Segments[1].ID != outcomes[1].ID || got.Segments[1].Number != 2 {
		t.Errorf("segments %v, outcomes %v", got.Segments, outcomes)
	}
	if err := lines.Decode(&got); err != nil || got.Text != "second" {
		t.Errorf("second line: %+v, %v", got, err)
	}
}

func TestIDsDifferBetweenRuns(t *testing.T) {
	seen := map[string]bool{}
	for range 3 {
		g := console.New(console.Config{Out: io.Discard})
		for range 10 {
			id := g.Submit(t.Context(), mt(t, "", "x"))[0].ID
			if seen[id] {
				t.Errorf("%s was given twice", id)
			}
			seen[id] = true
		}
	}
}

func TestWhatCannotBeShown(t *testing.T) {
	closed, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	defer w.Close()
	late := mt(t, "", "x")
	late.Until = time.Now()
	for _, c := range []struct {
		name string
		out  io.Writer
		mt   sms.MT
		want sms.Class
	}{
		{"a closed pipe", w, mt(t, "", strings.Repeat("a", 200)), sms.NotSent},
		{"written in part", half{}, mt(t, "", strings.Repeat("a", 200)), sms.Unknown},
		{"after its time", io.Discard, late, sms.NotSent},
	} {
		t.Run(c.name, func(t *testing.T) {
			outcomes := console.New(console.Config{Out: c.out, DLR: time.Nanosecond}).Submit(t.Context(), c.mt)
			if len(outcomes) != len(c.mt.Segments) || sms.ClassOf(outcomes[0].Err) != c.want {
				t.Errorf("got %v, want %v", outcomes, c.want)
			}
			for _, o := range outcomes[1:] {
				if sms.ClassOf(o.Err) != sms.NotSent {
					t.Errorf("got %v for a further segment", o.Err)
				}
			}
		})
	}
}

type half struct{}

func (half) Write(p []byte) (int, error) { return len(p) / 2, errors.New("no space left") }

// sink takes what comes, but for the first refusals.
type sink struct {
	mu       sync.Mutex
	refusals []error
	dlrs     []sms.DLR
	mos      []sms.MO
}

func (s *sink) DLR(_ context.Context, r sms.DLR) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refuse(); err != nil {
		return err
	}
	s.dlrs = append(s.dlrs, r)
	return nil
}

func (s *sink) MO(_ context.Context, m sms.MO) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refuse(); err != nil {
		return err
	}
	s.mos = append(s.mos, m)
	return nil
}

func (s *sink) refuse() (err error) {
	if len(s.refusals) > 0 {
		err, s.refusals = s.refusals[0], s.refusals[1:]
	}
	return err
}

func (s *sink) reported() []sms.DLR { s.mu.Lock(); defer s.mu.Unlock(); return slices.Clone(s.dlrs) }
func (s *sink) answered() []sms.MO  { s.mu.Lock(); defer s.mu.Unlock(); return slices.Clone(s.mos) }

// run has the gateway running in the bubble until the test ends.
func run(t *testing.T, g *console.Gateway, s sms.Sink) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx, s) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{refusals: []error{errors.New("disk")}}
		g := console.New(console.Config{Name: "screen", Out: io.Discard, DLR: 2 * time.Second})
		if a := g.Abilities(); !a.DLR || g.Name() != "screen" {
			t.Errorf("%q can %+v", g.Name(), a)
		}
		first := g.Submit(t.Context(), mt(t, "", strings.Repeat("a", 161)))
		begun := time.Now()
		run(t, g, s)
		<-time.After(time.Second)
		second := g.Submit(t.Context(), mt(t, "", "b"))
		synctest.Wait()
		if got := s.reported(); len(got) != 0 {
			t.Errorf("reported %v after a second", got)
		}
		<-time.After(10 * time.Second)
		synctest.Wait()
		got := s.reported()
		if len(got) != 3 {
			t.Fatalf("%d reports, want 3", len(got))
		}
		for i, id := range []string{first[0].ID, first[1].ID, second[0].ID} {
			if r := got[i]; r.ID != id || r.Gateway != "screen" || r.State != sms.DeliveredSMS || r.At.Sub(begun) < 2*time.Second {
				t.Errorf("report %d: %+v, want id %s", i, r, id)
			}
		}
	})
}

func TestNoReportsUnlessAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, g := &sink{}, console.New(console.Config{Out: io.Discard})
		run(t, g, s)
		g.Submit(t.Context(), mt(t, "", "x"))
		<-time.After(time.Hour)
		synctest.Wait()
		if got := s.reported(); g.Abilities().DLR || len(got) != 0 {
			t.Errorf("reported %v", got)
		}
	})
}

func TestReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := errors.New("disk")
		s := &sink{refusals: []error{nil, disk}}
		g := console.New(console.Config{Out: io.Discard})
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.Reply(soon, "4915100000000", "4915112345678", "anyone?"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without Run: %v", err)
		}
		run(t, g, s)
		if err := g.Reply(t.Context(), "4915100000000", "4915112345678", "on my way"); err != nil {
			t.Error(err)
		}
		got := s.answered()
		if len(got) != 1 {
			t.Fatalf("got %v", got)
		}
		if m := got[0]; m.To != "4915100000000" || m.From != "4915112345678" || m.Text != "on my way" || m.ID == "" || m.Gateway != "console" || m.At.IsZero() {
			t.Errorf("got %+v", m)
		}
		if err := g.Reply(t.Context(), "4915100000000", "4915112345678", "again"); !errors.Is(err, disk) {
			t.Errorf("a refused answer: %v", err)
		}
	})
}
