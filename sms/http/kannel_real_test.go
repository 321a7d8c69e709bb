package smshttp_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest/kannel"
	"github.com/seed-7a41469f/godwit/sms"
	smshttp "github.com/seed-7a41469f/godwit/sms/http"
)

// secret has what Kannel and URLs take for something else.
const secret = "s/e c%rét&=%d+"

// A stage is a Kannel, a gateway to it, and what comes back.
type stage struct {
	*kannel.Kannel
	gateway *smshttp.Kannel
	inbox   *inbox
}

// newStage starts them; key is what Kannel's get-url has as secret.
func newStage(t *testing.T, key string, fail int, parts bool) *stage {
	t.Helper()
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	base := srv.URL + "/gateway/kannel"
	s := &stage{inbox: newInbox(fail), Kannel: kannel.New(t, kannel.Config{Parts: parts, MOURL: base + "/mo?key=" +
		strings.ReplaceAll(url.QueryEscape(key), "%", "%%") + "&from=%p&to=%P&text=%b&coding=%c&charset=%C&udh=%u&time=%t&smsc=%i&id=%I"})}
	var err error
	s.gateway, err = smshttp.NewKannel(smshttp.KannelConfig{
		URL: s.SendURL, Username: s.Username, Password: s.Password, Secret: secret, CallbackURL: base,
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, s.gateway)
	dlr, mo := s.gateway.Callbacks(s.inbox)
	mux.Handle("/gateway/kannel/dlr", dlr)
	mux.Handle("/gateway/kannel/mo", mo)
	s.Start()
	return s
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestKannelMT: every kind of text arrives on the phone as it was sent, in the segments that were counted, and each segment is reported delivered.
func TestKannelMT(t *testing.T) {
	t.Parallel()
	s := newStage(t, secret, 0, false)
	cases := []struct{ name, text string }{
		{"GSM", "Tea? Grüße, ÄÖÜ ñ Δ £5 @"},
		{"extension", `^{}[]~\| and 5 €`},
		{"form feed", "a\fb"},
		{"160 septets", strings.Repeat("ä", 160)},
		{"80 euros", strings.Repeat("€", 80)},
		{"161 septets", strings.Repeat("a", 161)},
		{"euro at the seam", strings.Repeat("a", 152) + "€" + strings.Repeat("b", 20)},
		{"460 septets", strings.Repeat("ö", 460)},
		{"lines", strings.Repeat("one line\n", 20)},
		{"UCS-2", "Чай? 茶"},
		{"70 units", strings.Repeat("茶", 70)},
		{"71 units", strings.Repeat("茶", 71)},
		{"135 units", strings.Repeat("茶", 135)},
		{"emoji at unit 67", strings.Repeat("x", 66) + "😀" + strings.Repeat("y", 10)},
		{"36 emoji", strings.Repeat("😀", 36)},
	}
	seen, reports := 0, 0
	for n, tc := range cases {
		mt := text(t, byte(n), tc.text)
		ids := map[int]string{}
		for _, o := range s.gateway.Submit(t.Context(), mt) {
			if o.Err != nil {
				t.Fatalf("%s: segment %d: %v", tc.name, o.Segment, o.Err)
			}
			ids[o.Segment] = o.ID
		}
		got, err := s.Wait(soon(t), seen+mt.Count)
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if len(got) != seen+mt.Count {
			t.Fatalf("%s: %d MTs, want %d", tc.name, len(got)-seen, mt.Count)
		}
		if shown := show(t, got[seen:], mt); shown != tc.text {
			t.Errorf("%s: the phone shows %q, want %q", tc.name, shown, tc.text)
		}
		seen += mt.Count
		reports += mt.Count
		dlrs, _ := s.inbox.wait(t, func(dlrs []sms.DLR, _ []sms.MO) bool { return delivered(dlrs) >= reports })
		for _, r := range dlrs {
			if *r.Ref == mt.Ref && (ids[r.Segment] != r.ID || r.Gateway != "kannel" || time.Since(r.At).Abs() > time.Hour) {
				t.Errorf("%s: %+v, the answers gave %v", tc.name, r, ids)
			}
		}
	}
}

func delivered(dlrs []sms.DLR) int {
	seen := map[string]bool{}
	for _, r := range dlrs {
		if r.State == sms.DeliveredSMS {
			seen[r.ID] = true
		}
	}
	return len(seen)
}

// show puts the segments together, as a phone does by the UDH.
func show(t *testing.T, got []kannel.Message, mt sms.MT) string {
	t.Helper()
	parts := make([]string, mt.Count)
	for _, m := range got {
		if m.To != "+"+string(peer) || m.From != "+"+string(ours) {
			t.Errorf("from %s to %s", m.From, m.To)
		}
		number := 1
		if mt.Count > 1 {
			if len(m.UDH) != 6 || !slices.Equal(m.UDH[:3], []byte{5, 0, 3}) || m.UDH[3] != byte(mt.Ref.Reference(0)) || int(m.UDH[4]) != mt.Count {
				t.Fatalf("UDH % x", m.UDH)
			}
			number = int(m.UDH[5])
		}
		parts[number-1] += m.Text(mt.Segments[0].Coding == sms.UCS2)
	}
	return strings.Join(parts, "")
}

// TestKannelMOAnswered500Twice: what is typed into fakesmsc is taken once, though the store fails at first.
func TestKannelMOAnswered500Twice(t *testing.T) {
	t.Parallel()
	s := newStage(t, secret, 2, false)
	s.MO("4917604069003", "4917604069000", "Gladly, 5 € {ok}")
	_, mos := s.inbox.wait(t, func(_ []sms.DLR, mos []sms.MO) bool { return len(mos) > 0 })
	if m := mos[0]; m.From != peer || m.To != ours || m.Text != "Gladly, 5 € {ok}" || m.ID == "" || m.Gateway != "kannel" || time.Since(m.At).Abs() > time.Hour {
		t.Errorf("%+v", m)
	}
	if s.inbox.calls != 3 {
		t.Errorf("the sink was called %d times, want 3", s.inbox.calls)
	}
	if screens := s.Received(); len(screens) != 0 {
		t.Errorf("Kannel answered the phone: %+v", screens)
	}
}

// TestKannelMO: numbers and texts in every form.
func TestKannelMO(t *testing.T) {
	t.Parallel()
	s := newStage(t, secret, 0, false)
	for i, tc := range []struct{ from, to, text string }{
		{"4917604069003", "4917604069000", "plain"},
		{"+4917604069003", "004917604069000", "Grüße +1 %d & key=x#"},
		{"004917604069003", "+4917604069000", "茶 😀"},
		{"4917604069003", "4917604069000", "two\nlines"},
		{"4917604069003", "4917604069000", ""},
	} {
		s.MO(tc.from, tc.to, tc.text)
		_, mos := s.inbox.wait(t, func(_ []sms.DLR, mos []sms.MO) bool { return len(mos) > i })
		if m := mos[i]; m.From != peer || m.To != ours || m.Text != tc.text {
			t.Errorf("%+v, want %q", m, tc.text)
		}
	}
	s.MO("Bank", "4917604069000", "your balance")
	s.MOSegment("4917604069003", "4917604069000", []byte{5, 0, 3, 9, 2, 2}, "world")
	s.MOSegment("4917604069003", "4917604069000", []byte{5, 0, 3, 9, 2, 1}, "Hello ")
	_, mos := s.inbox.wait(t, func(_ []sms.DLR, mos []sms.MO) bool { return len(mos) > 6 })
	if a, b := mos[5], mos[6]; a.From != "Bank" || a.Text != "your balance" || b.From != peer || b.Text != "Hello world" {
		t.Errorf("%+v", mos[5:])
	}
}

// TestKannelMOInSegments: a Kannel that does not join long MOs. Nothing is taken before it is whole and stored.
func TestKannelMOInSegments(t *testing.T) {
	t.Parallel()
	s := newStage(t, secret, 1, true)
	s.MOSegment("4917604069003", "4917604069000", []byte{6, 8, 4, 1, 9, 3, 3}, "!")
	s.MOSegment("4917604069003", "4917604069000", []byte{6, 8, 4, 1, 9, 3, 1}, "Hello ")
	s.MOSegment("4917604069004", "4917604069000", []byte{6, 8, 4, 1, 9, 3, 2}, "of another phone")
	s.MOSegment("4917604069003", "4917604069000", []byte{6, 8, 4, 1, 9, 3, 2}, "world")
	_, mos := s.inbox.wait(t, func(_ []sms.DLR, mos []sms.MO) bool { return len(mos) > 0 })
	if len(mos) != 1 || mos[0].Text != "Hello world!" || mos[0].ID == "" {
		t.Errorf("%+v", mos)
	}
}

// TestKannelForgedSecret: with the wrong secret nothing reaches the sink.
func TestKannelForgedSecret(t *testing.T) {
	t.Parallel()
	refused := make(chan int, 100)
	s := newInbox(0)
	g, err := smshttp.NewKannel(smshttp.KannelConfig{URL: "http://127.0.0.1:1/", Username: "u", Password: "p", Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	_, mo := g.Callbacks(s)
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		mo.ServeHTTP(rec, r)
		w.WriteHeader(rec.Code)
		select {
		case refused <- rec.Code:
		default:
		}
	})
	k := kannel.Start(t, kannel.Config{MOURL: srv.URL + "/?key=guessed&from=%p&to=%P&text=%b&coding=%c&id=%I"})
	k.MO("4917604069003", "4917604069000", "STOP")
	for range 2 { // Kannel calls again
		select {
		case code := <-refused:
			if code != http.StatusForbidden {
				t.Errorf("%d", code)
			}
		case <-soon(t).Done():
			t.Fatal("Kannel did not call")
		}
	}
	if s.calls != 0 {
		t.Errorf("the sink was called %d times", s.calls)
	}
}

// TestKannelRestarts: while Kannel is away nothing is sent, and it works again once it is back.
func TestKannelRestarts(t *testing.T) {
	t.Parallel()
	s := newStage(t, secret, 0, false)
	if o := one(t, s.gateway, text(t, 1, "before")); o.Err != nil {
		t.Fatal(o.Err)
	}
	s.inbox.wait(t, func(dlrs []sms.DLR, _ []sms.MO) bool { return delivered(dlrs) == 1 })
	s.Stop()
	wantClass(t, one(t, s.gateway, text(t, 2, "away")), sms.NotSent)
	s.Start()
	if o := one(t, s.gateway, text(t, 3, "after")); o.Err != nil {
		t.Fatal(o.Err)
	}
	dlrs, _ := s.inbox.wait(t, func(dlrs []sms.DLR, _ []sms.MO) bool { return delivered(dlrs) == 2 })
	got, err := s.Wait(soon(t), 2)
	if err != nil || len(got) != 2 || got[0].Text(false) != "before" || got[1].Text(false) != "after" {
		t.Errorf("%+v, %v, %+v", got, err, dlrs)
	}
}

// TestKannelWrongPassword: the real Kannel says 403 and why.
func TestKannelWrongPassword(t *testing.T) {
	t.Parallel()
	k := kannel.Start(t, kannel.Config{})
	g, err := smshttp.NewKannel(smshttp.KannelConfig{URL: k.SendURL, Username: k.Username, Password: "wrong"})
	if err != nil {
		t.Fatal(err)
	}
	run(t, g)
	wantClass(t, one(t, g, text(t, 1, "Tea?")), sms.Configuration)
	if g.Abilities().DLR {
		t.Error("without a secret there are no DLRs")
	}
}
