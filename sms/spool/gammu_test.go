package spool_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-7a41469f/godwit/clienttest/gammu"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/sms/spool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	peer = contacts.Number("4915112345678")
	own  = contacts.Number("4915100000000")
)

// mt is a fresh message; n makes its reference.
func mt(t testing.TB, n byte, text string) sms.MT {
	t.Helper()
	segments, err := sms.Split(text)
	if err != nil {
		t.Fatal(err)
	}
	return sms.MT{Ref: sms.Ref{0xab, 15: n}, Attempt: 1, From: "Godwit", To: peer, Text: text, Segments: segments, Count: len(segments)}
}

func id(n byte) string { return fmt.Sprintf("ab0000000000000000000000000000%02x-1", n) }

// A sink takes what comes, but for the first refusals.
type sink struct {
	mu       sync.Mutex
	refusals int
	offered  []sms.MO
	dlrs     []sms.DLR
	mos      []sms.MO
	more     chan struct{}
}

func newSink() *sink { return &sink{more: make(chan struct{}, 100)} }

func (s *sink) take(keep func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusals > 0 {
		s.refusals--
		return errors.New("disk")
	}
	keep()
	s.more <- struct{}{}
	return nil
}

func (s *sink) DLR(_ context.Context, r sms.DLR) error {
	return s.take(func() { s.dlrs = append(s.dlrs, r) })
}

func (s *sink) MO(_ context.Context, m sms.MO) error {
	s.mu.Lock()
	s.offered = append(s.offered, m)
	s.mu.Unlock()
	return s.take(func() { s.mos = append(s.mos, m) })
}

// wait waits until n things were taken.
func (s *sink) wait(t testing.TB, n int) {
	t.Helper()
	end := time.After(gammu.Patience)
	for range n {
		select {
		case <-s.more:
		case <-end:
			s.mu.Lock()
			defer s.mu.Unlock()
			t.Fatalf("waited for %d, have %v %v", n, s.dlrs, s.mos)
		}
	}
}

func open(t testing.TB, dir string, response time.Duration) *spool.Gammu {
	t.Helper()
	g, err := spool.NewGammu(spool.GammuConfig{Name: "stick", Dir: dir, Number: own, Response: response})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// run runs a gateway until the function that it returns is called, or the test ends.
func run(t testing.TB, g *spool.Gammu, s sms.Sink) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx, s) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func files(t testing.TB, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Type().IsRegular() {
			all = append(all, e.Name())
		}
	}
	return all
}

// TestGammuSMSD goes through a real gammu-smsd with its dummy modem, both ways, with restarts of either side.
func TestGammuSMSD(t *testing.T) {
	gammu.Require(t)
	dir := t.TempDir()
	modem, s := gammu.Start(t, dir), newSink()
	g := open(t, dir, time.Minute)
	stop := run(t, g, s)
	if a := g.Abilities(); a != (sms.Abilities{Window: 1, Whole: true, Number: own, Response: time.Minute}) || g.Name() != "stick" {
		t.Errorf("%q can %+v", g.Name(), a)
	}

	texts := []string{"hello", "Grüße {€} @\n", "你好 😀", strings.Repeat("a", 161), strings.Repeat("字", 200) + "😀"}
	for i, text := range texts {
		m := mt(t, byte(i), text)
		for j, o := range g.Submit(t.Context(), m) {
			if o.Err != nil || o.ID != id(byte(i)) || o.Segment != j+1 {
				t.Errorf("%.10q: outcome %+v", text, o)
			}
		}
	}
	var want []gammu.Sent
	for _, text := range texts {
		want = append(want, gammu.Sent{To: peer, Text: text})
	}
	byText := func(a, b gammu.Sent) int { return strings.Compare(a.Text, b.Text) }
	got := modem.Sent()
	slices.SortFunc(got, byText)
	slices.SortFunc(want, byText)
	if !slices.Equal(got, want) || len(files(t, filepath.Join(dir, "outbox"))) != 0 {
		t.Errorf("sent %q, want %q; outbox %v", got, want, files(t, filepath.Join(dir, "outbox")))
	}

	s.mu.Lock()
	s.refusals = 2 // the store fails
	s.mu.Unlock()
	modem.Receive("+4915112345678", "Grüße 😀 €")
	s.wait(t, 1)
	modem.Receive("+4915112345678", "first half, ", "second half 😀")
	s.wait(t, 1)
	modem.Receive("PayPal", "nobody can answer")
	s.wait(t, 1)

	modem.Stop()
	brief := open(t, dir, 3*time.Second)
	if o := brief.Submit(t.Context(), mt(t, 50, "smsd does not run"))[0]; sms.ClassOf(o.Err) != sms.NotSent {
		t.Errorf("without smsd: %+v", o)
	}
	if left := files(t, filepath.Join(dir, "outbox")); len(left) != 0 {
		t.Errorf("left in the outbox: %v", left)
	}
	modem.Receive("+4915112345678", "after the restart")
	stop()
	modem.Start()
	modem.Await("the MO to wait in the inbox", func() bool { return len(files(t, filepath.Join(dir, "inbox"))) > 0 })
	again := newSink()
	run(t, open(t, dir, time.Minute), again) // our restart: what was sent is told again, and the MO comes
	again.wait(t, len(texts)+1)
	if o := g.Submit(t.Context(), mt(t, 51, "after the restart"))[0]; o.Err != nil {
		t.Errorf("after the restart: %+v", o)
	}

	var mos []string
	for _, m := range append(s.mos, again.mos...) {
		from := map[string]contacts.Number{"nobody can answer": "PayPal"}[m.Text]
		if from == "" {
			from = peer
		}
		if m.Gateway != "stick" || m.From != from || m.To != own || m.ID == "" || time.Since(m.At).Abs() > time.Hour {
			t.Errorf("MO %+v", m)
		}
		mos = append(mos, m.Text)
	}
	if !slices.Equal(mos, []string{"Grüße 😀 €", "first half, second half 😀", "nobody can answer", "after the restart"}) {
		t.Errorf("MOs %q", mos)
	}
	if len(s.offered) != 5 || s.offered[0] != s.offered[2] {
		t.Errorf("offered %+v, want the first three times alike", s.offered)
	}
	for _, r := range again.dlrs {
		if r.State != sms.Enroute || r.Ref == nil || r.Gateway != "stick" || !strings.HasSuffix(r.ID, "-1") {
			t.Errorf("report %+v", r)
		}
	}
	if left := files(t, filepath.Join(dir, "inbox")); len(left) != 0 {
		t.Errorf("left in the inbox: %v", left)
	}
}

// A fakeSMSD does by hand what smsd does.
type fakeSMSD struct {
	t   testing.TB
	dir string
}

// found waits for a file in the outbox and returns its name.
func (f fakeSMSD) found() string {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(gammu.Patience); time.Now().Before(end); <-ticker.C {
		entries, _ := os.ReadDir(filepath.Join(f.dir, "outbox"))
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), "OUT") {
				return e.Name()
			}
		}
	}
	f.t.Error("nothing came into the outbox")
	return ""
}

func (f fakeSMSD) read(name string) []byte {
	octets, err := os.ReadFile(filepath.Join(f.dir, "outbox", name))
	if err != nil {
		f.t.Error(err)
	}
	return octets
}

func (f fakeSMSD) move(name, to string) {
	if err := os.Rename(filepath.Join(f.dir, "outbox", name), filepath.Join(f.dir, to, name)); err != nil {
		f.t.Error(err)
	}
}

func (f fakeSMSD) refuse() {
	name := f.found()
	f.read(name)
	f.move(name, "error")
}

func TestSubmit(t *testing.T) {
	long := strings.Repeat("a", 200)
	for _, c := range []struct {
		name  string
		text  string
		smsd  func(f fakeSMSD) // nil: it does not run
		edit  func(m *sms.MT, cancel func())
		class sms.Class
		left  string // in the error folder
	}{
		{name: "sent", text: "Grüße 😀", smsd: func(f fakeSMSD) {
			name := f.found()
			octets := string(f.read(name))
			if octets != "\xfe\xff\x00G\x00r\x00\xfc\x00\xdf\x00e\x00 \xd8\x3d\xde\x00" || len(name) >= 100 || !strings.Contains(name, "_00_+4915112345678_") {
				f.t.Errorf("%s: %q", name, octets)
			}
			f.move(name, "sent")
		}},
		{name: "never read", class: sms.NotSent},
		{name: "refused", smsd: fakeSMSD.refuse, class: sms.Temporary, left: ".told"},
		{name: "refused, of two segments", text: long, smsd: fakeSMSD.refuse, class: sms.Unknown, left: ".told"},
		{name: "read and never moved", smsd: func(f fakeSMSD) { f.read(f.found()) }, class: sms.Unknown},
		{name: "removed by somebody", smsd: func(f fakeSMSD) { os.Remove(filepath.Join(f.dir, "outbox", f.found())) }, class: sms.Unknown},
		{name: "after its time", edit: func(m *sms.MT, _ func()) { m.Until = time.Now() }, class: sms.NotSent},
		{name: "its time runs out", edit: func(m *sms.MT, _ func()) { m.Until = time.Now().Add(300 * time.Millisecond) }, class: sms.NotSent},
		{name: "stopped", smsd: func(f fakeSMSD) { f.found() }, edit: func(_ *sms.MT, cancel func()) {
			time.AfterFunc(200*time.Millisecond, cancel)
		}, class: sms.NotSent},
		{name: "a part of a message", text: long, edit: func(m *sms.MT, _ func()) { m.Segments = m.Segments[:1] }, class: sms.NotSent},
		{name: "no text", edit: func(m *sms.MT, _ func()) { m.Text = "\x00" }, class: sms.Permanent},
		{name: "too long", text: strings.Repeat(long, 50), class: sms.Permanent},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			gammu.Folders(t, dir)
			g := open(t, dir, 4*time.Second)
			m := mt(t, 1, c.text+"x"[:map[bool]int{true: 1}[c.text == ""]])
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.edit != nil {
				c.edit(&m, cancel)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				if c.smsd != nil {
					c.smsd(fakeSMSD{t, dir})
				}
			}()
			outcomes := g.Submit(ctx, m)
			<-done
			if len(outcomes) != len(m.Segments) {
				t.Fatalf("outcomes %v", outcomes)
			}
			for _, o := range outcomes {
				if sms.ClassOf(o.Err) != c.class || o.Err == nil && o.ID != id(1) || o.Err != nil && strings.Contains(o.Err.Error(), string(peer)) {
					t.Errorf("outcome %+v, want %v", o, c.class)
				}
			}
			if left := files(t, filepath.Join(dir, "outbox")); len(left) != 0 && c.name != "read and never moved" {
				t.Errorf("left in the outbox: %v", left)
			}
			if left := files(t, filepath.Join(dir, "error")); len(left) != len(c.left)/5 || len(left) == 1 && !strings.HasSuffix(left[0], c.left) {
				t.Errorf("in the error folder: %v", left)
			}
		})
	}
}

// TestBlind: without access times nobody knows whether smsd has read a file.
func TestBlind(t *testing.T) {
	dir := t.TempDir()
	gammu.Folders(t, dir)
	g := open(t, dir, 2*time.Second)
	g.Blind()
	if o := g.Submit(t.Context(), mt(t, 1, "x"))[0]; sms.ClassOf(o.Err) != sms.Unknown {
		t.Errorf("outcome %+v", o)
	}
}

func TestRefusal(t *testing.T) {
	for _, c := range []struct {
		segments int
		took     time.Duration
		want     sms.Class
	}{{1, time.Second, sms.Temporary}, {1, 30 * time.Second, sms.Unknown}, {2, time.Second, sms.Unknown}} {
		if got := spool.Refusal(c.segments, c.took).Class; got != c.want {
			t.Errorf("%d segments after %v: %v, want %v", c.segments, c.took, got, c.want)
		}
	}
}

// TestOutboxRenameIsAtomic: whenever smsd finds a file, all of it is there.
func TestOutboxRenameIsAtomic(t *testing.T) {
	dir := t.TempDir()
	gammu.Folders(t, dir)
	g, smsd := open(t, dir, time.Minute), fakeSMSD{t, dir}
	for n := range byte(10) {
		m := mt(t, n, strings.Repeat("字", 1000))
		go func() {
			name := smsd.found()
			if size := len(smsd.read(name)); size != 2+2*1000 {
				t.Errorf("found %d octets", size)
			}
			smsd.move(name, "sent")
		}()
		if o := g.Submit(t.Context(), m)[0]; o.Err != nil {
			t.Errorf("outcome %+v", o)
		}
	}
}

// TestLate: what smsd does after a Submit has ended without knowing is reported by our reference.
func TestLate(t *testing.T) {
	for folder, want := range map[string]sms.DLRState{"sent": sms.Enroute, "error": sms.Undelivered} {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			dir, s := t.TempDir(), newSink()
			s.refusals = 1
			gammu.Folders(t, dir)
			g := open(t, dir, 8*time.Second) // half of it for the fake to read the file, on a slow machine
			run(t, g, s)
			smsd := fakeSMSD{t, dir}
			read := make(chan string, 1)
			go func() { name := smsd.found(); smsd.read(name); read <- name }()
			if o := g.Submit(t.Context(), mt(t, 1, "x"))[0]; sms.ClassOf(o.Err) != sms.Unknown || !strings.Contains(o.Err.Error(), "in time") {
				t.Fatalf("outcome %+v", o)
			}
			smsd.move(<-read, folder)
			s.wait(t, 1)
			if r := s.dlrs[0]; r.ID != id(1) || r.Ref == nil || *r.Ref != (sms.Ref{0xab, 15: 1}) || r.State != want {
				t.Errorf("report %+v", r)
			}
		})
	}
}

// TestRestart: files of an earlier process tell what became of them. One that stays in the outbox is taken out.
func TestRestart(t *testing.T) {
	dir, s := t.TempDir(), newSink()
	gammu.Folders(t, dir)
	name := func(n byte) string { return "OUTC20261124_100226_00_+4915112345678_" + id(n) + ".txt" }
	old := time.Now().Add(-2 * time.Hour)
	for path, age := range map[string]time.Time{
		"sent/" + name(1): {}, "error/" + name(2): {}, "outbox/" + name(3): {}, "outbox/." + name(4): old, "sent/" + name(5): old,
		"error/" + name(6) + ".told": {}, "error/" + name(7) + ".told": old, "sent/OUT4915187654321.txt": old,
	} {
		path = filepath.Join(dir, path)
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if !age.IsZero() {
			if err := os.Chtimes(path, age, age); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop := run(t, open(t, dir, 2*time.Second), s)
	s.wait(t, 2)
	for _, r := range s.dlrs {
		if want := map[string]sms.DLRState{id(1): sms.Enroute, id(2): sms.Undelivered}[r.ID]; r.State != want || want == 0 {
			t.Errorf("report %+v", r)
		}
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(gammu.Patience); len(files(t, filepath.Join(dir, "outbox"))) > 0; <-ticker.C {
		if time.Now().After(end) {
			t.Fatalf("left in the outbox: %v", files(t, filepath.Join(dir, "outbox")))
		}
	}
	if left := files(t, filepath.Join(dir, "sent")); !slices.Equal(left, []string{"OUT4915187654321.txt", name(1)}) {
		t.Errorf("left in the sent folder: %v", left)
	}
	if left := files(t, filepath.Join(dir, "error")); !slices.Equal(left, []string{name(2) + ".told", name(6) + ".told"}) {
		t.Errorf("left in the error folder: %v", left)
	}
	stop()
	again := newSink()
	stop = run(t, open(t, dir, 2*time.Second), again)
	again.wait(t, 1)
	stop()
	if len(again.dlrs) != 1 || again.dlrs[0].ID != id(1) {
		t.Errorf("after another restart: %+v", again.dlrs)
	}
}

func TestInbox(t *testing.T) {
	dir, s := t.TempDir(), newSink()
	gammu.Folders(t, dir)
	in := func(name, octets string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "inbox", name), []byte(octets), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in("IN20261124_100226_00_+4915112345678_00.txt", "\xfe\xff\x00a\x20\xac\x00\x00\x12\x34") // octets beyond the text
	in("IN20261124_100227_00_4915112345678_01.txt", "two")
	in("IN20261124_100227_00_4915112345678_00.txt", "one ")
	in("IN20261124_100228_00_004915112345678_00.txt", "\xff\xfea\x00=\xd8\x00\xde")
	in("IN20261124_100229_00_+4915112345678_00.txt", "caf\xe9")
	in("IN20261124_100230_00_+4915112345678_00.bin", "\x00\x01")
	in("IN20261124_100231_00__00.txt", "from nobody")
	in("README", "what is this?")
	in(".hidden", "x")
	run(t, open(t, dir, time.Minute), s)
	s.wait(t, 4)
	var texts []string
	for _, m := range s.mos {
		if m.From != peer || m.To != own {
			t.Errorf("MO %+v", m)
		}
		texts = append(texts, m.Text)
	}
	if want := []string{"a€", "one two", "a😀", "café"}; !slices.Equal(texts, want) {
		t.Errorf("texts %q, want %q", texts, want)
	}

	// A second SMS in the same second has the name of the first, which is gone; one that smsd reads twice has another.
	in("IN20261124_100226_00_+4915112345678_00.txt", "another")
	in("IN20261124_100226_01_+4915112345678_00.txt", "\xfe\xff\x00a\x20\xac")
	s.wait(t, 2)
	if ids := []string{s.mos[0].ID, s.mos[4].ID, s.mos[5].ID}; ids[0] == ids[1] || ids[0] != ids[2] {
		t.Errorf("ids %v", ids)
	}

	// One that is still being written is not read.
	path := filepath.Join(dir, "inbox", "IN20261124_100240_00_+4915112345678_00.txt")
	for i := range 4 {
		if err := os.WriteFile(path, []byte(strings.Repeat("half ", i)), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond) // sleep: so slowly does it grow
	}
	s.wait(t, 1)
	if m := s.mos[6]; m.Text != "half half half " {
		t.Errorf("text %q", m.Text)
	}
	if left := files(t, filepath.Join(dir, "inbox")); !slices.Equal(left, []string{".hidden"}) {
		t.Errorf("left in the inbox: %v", left)
	}
	if aside := files(t, filepath.Join(dir, "inbox", "other")); len(aside) != 3 {
		t.Errorf("put aside: %v", aside)
	}
}

// TestSenders: a name, a short code and a national number stay what they are, and the parts of a message belong together.
func TestSenders(t *testing.T) {
	dir, s := t.TempDir(), newSink()
	gammu.Folders(t, dir)
	want := map[string]contacts.Number{"My_Bank": "My_Bank", "22255": "22255", "015112345678": "015112345678", "+112": "+112",
		"A\x01\xff": "A\ufffd\ufffd", "4915112345678       x": "04915112345678", "a_name_of_far_more_than_20_characters": "a_name_of_far_more_t"}
	for sender := range want {
		into(t, dir, "IN20261124_100231_00_"+sender+"_00.txt", sender)
		into(t, dir, "IN20261124_100231_00_"+sender+"_01.txt", " and more")
	}
	run(t, open(t, dir, time.Minute), s)
	s.wait(t, len(want))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.mos {
		sender, whole := strings.CutSuffix(m.Text, " and more")
		if sender == "A\x01ÿ" { // the text is not UTF-8 and so Latin 1
			sender = "A\x01\xff"
		}
		if from, known := want[sender]; !whole || !known || m.From != from || m.To != own || m.ID == "" {
			t.Errorf("%q: from %q, want %q", m.Text, m.From, from)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "inbox", "other")); err == nil {
		t.Error("something was put aside")
	}
}

func TestNewGammu(t *testing.T) {
	dir := t.TempDir()
	gammu.Folders(t, dir)
	for _, c := range []struct {
		name   string
		config spool.GammuConfig
		want   string
	}{
		{"no folder", spool.GammuConfig{Name: "stick", Dir: filepath.Join(dir, "no"), Number: own}, "inbox folder"},
		{"one folder elsewhere", spool.GammuConfig{Name: "stick", Dir: dir, Sent: filepath.Join(dir, "no"), Number: own}, "sent folder"},
		{"no number", spool.GammuConfig{Name: "stick", Dir: dir}, "number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := spool.NewGammu(c.config); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "gateway stick") {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
	g := open(t, dir, time.Minute)
	if left := append(files(t, filepath.Join(dir, "outbox")), files(t, filepath.Join(dir, "inbox"))...); len(left) != 0 {
		t.Errorf("left by the check: %v", left)
	}
	if err := os.RemoveAll(filepath.Join(dir, "outbox")); err != nil {
		t.Fatal(err)
	}
	if o := g.Submit(t.Context(), mt(t, 1, "x"))[0]; sms.ClassOf(o.Err) != sms.Configuration {
		t.Errorf("without an outbox: %+v", o)
	}
}

func FuzzIncoming(f *testing.F) {
	f.Add("IN20261124_100226_00_+4915112345678_00.txt", []byte("\xfe\xff\x00a\xd8\x3d"))
	f.Add("IN20261124_100226_00_My_Bank_00.smsbackup", []byte("\xff\xfea"))
	f.Add("OUTC20261124_100226_00_+49_ab-1.txt", []byte("caf\xe9\x00"))
	f.Fuzz(func(t *testing.T, name string, octets []byte) {
		_, text, part, ok := spool.Incoming(name, octets)
		if strings.Contains(text, "\x00") || ok && (part < 0 || part > 99) {
			t.Errorf("%q, part %d", text, part)
		}
		spool.Outgoing(name)
	})
}
