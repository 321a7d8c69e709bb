package smstest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const peer = contacts.Number("4915112345678")

func mt(t *testing.T, n byte, text string) sms.MT {
	t.Helper()
	segments, err := sms.Split(text)
	if err != nil {
		t.Fatal(err)
	}
	return sms.MT{Ref: sms.Ref{15: n}, Attempt: 1, From: "4915100000000", To: peer, Text: text, Segments: segments, Count: len(segments),
		Until: time.Now().Add(time.Minute), Validity: time.Hour}
}

// sink takes what comes, but for the first refusals.
type sink struct {
	mu       sync.Mutex
	refusals int
	dlrs     []sms.DLR
	mos      []sms.MO
	came     chan sms.MO // the MOs too, unless nil
}

func (s *sink) DLR(_ context.Context, r sms.DLR) error {
	return s.take(func() { s.dlrs = append(s.dlrs, r) })
}

func (s *sink) MO(_ context.Context, m sms.MO) error {
	return s.take(func() {
		s.mos = append(s.mos, m)
		if s.came != nil {
			s.came <- m
		}
	})
}

func (s *sink) take(keep func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusals > 0 {
		s.refusals--
		return errors.New("disk")
	}
	keep()
	return nil
}

func (s *sink) states(id string) (states []sms.DLRState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.dlrs {
		if r.ID == id {
			states = append(states, r.State)
		}
	}
	return states
}

// network is a server, a gateway to it that runs, and its sink.
func network(t *testing.T) (*smstest.Server, *smstest.Gateway, *sink) {
	srv, s := smstest.NewServer(), &sink{}
	t.Cleanup(srv.Close)
	g := srv.Gateway("carrier")
	run(t, g, s)
	return srv, g, s
}

func run(t *testing.T, g *smstest.Gateway, s sms.Sink) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx, s) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestTaken(t *testing.T) {
	srv, g, s := network(t)
	long := strings.Repeat("{\"é\"}\n", 50)
	out := g.Submit(t.Context(), mt(t, 7, long))
	got, err := srv.Wait(soon(t), len(out))
	if err != nil {
		t.Fatal(err)
	}
	joined := ""
	for i, r := range got {
		joined += r.Text
		if out[i].Err != nil || out[i].ID != r.ID || out[i].Segment != i+1 {
			t.Errorf("outcome %+v, received %+v", out[i], r)
		}
		if r.Ref != (sms.Ref{15: 7}) || r.Segment != i+1 || r.Count != len(out) || r.To != string(peer) || r.From != "4915100000000" ||
			r.Gateway != "carrier" || r.Attempt != 1 || r.Coding != "GSM 7" || r.Validity != "1h0m0s" || r.At.IsZero() || r.Fault != "" {
			t.Errorf("received %+v", r)
		}
	}
	if joined != long || len(out) < 3 {
		t.Errorf("%d segments with the text %q", len(out), joined)
	}
	if err := srv.Quiet(soon(t)); err != nil {
		t.Fatal(err)
	}
	for _, o := range out {
		if got := s.states(o.ID); !slices.Equal(got, []sms.DLRState{sms.DeliveredSMS}) {
			t.Errorf("%s is reported %v", o.ID, got)
		}
	}
	if empty := g.Submit(t.Context(), mt(t, 8, "")); empty[0].Err != nil {
		t.Errorf("the empty text: %v", empty[0].Err)
	}
}

func TestFaults(t *testing.T) {
	const class0 = sms.Class(0)
	deliv, undeliv, enroute := sms.DeliveredSMS, sms.Undelivered, sms.Enroute
	for _, c := range []struct {
		name  string
		fault smstest.Fault
		class sms.Class
		taken int
		dlrs  []sms.DLRState
	}{
		{"refuse", smstest.Fault{Submit: smstest.Refuse}, sms.NotSent, 0, nil},
		{"throttle", smstest.Fault{Submit: smstest.Throttle, For: 3 * time.Second}, sms.Throttled, 0, nil},
		{"busy", smstest.Fault{Submit: smstest.Busy}, sms.Temporary, 0, nil},
		{"reject", smstest.Fault{Submit: smstest.Reject}, sms.Permanent, 0, nil},
		{"lock", smstest.Fault{Submit: smstest.Lock}, sms.Configuration, 0, nil},
		{"swallow", smstest.Fault{Submit: smstest.Swallow}, sms.Unknown, 1, []sms.DLRState{deliv}},
		{"swallow, and no DLR", smstest.Fault{Submit: smstest.Swallow, DLR: smstest.NoDLR}, sms.Unknown, 1, nil},
		{"lose", smstest.Fault{Submit: smstest.Lose}, sms.Unknown, 0, nil},
		{"slow", smstest.Fault{Submit: smstest.Slow, For: 50 * time.Millisecond}, class0, 1, []sms.DLRState{deliv}},
		{"no DLR", smstest.Fault{DLR: smstest.NoDLR}, class0, 1, nil},
		{"undelivered", smstest.Fault{DLR: smstest.Undelivered}, class0, 1, []sms.DLRState{undeliv}},
		{"twice", smstest.Fault{DLR: smstest.Twice}, class0, 1, []sms.DLRState{deliv, deliv}},
		{"disorder", smstest.Fault{DLR: smstest.Disorder}, class0, 1, []sms.DLRState{deliv, enroute}},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv, g, s := network(t)
			srv.Next(1, c.fault)
			begun := time.Now()
			out := g.Submit(t.Context(), mt(t, 1, "hello"))
			if got := sms.ClassOf(out[0].Err); got != c.class {
				t.Errorf("%v is %v, want %v", out[0].Err, got, c.class)
			}
			if c.fault.Submit == smstest.Slow && time.Since(begun) < c.fault.For {
				t.Errorf("it took %v", time.Since(begun))
			}
			if e := (*sms.Error)(nil); c.fault.Submit == smstest.Throttle && (!errors.As(out[0].Err, &e) || e.After != c.fault.For) {
				t.Errorf("%+v has not the pause", out[0].Err)
			}
			if out[0].Err != nil && strings.Contains(out[0].Err.Error(), string(peer)) {
				t.Errorf("the error has the number in it: %v", out[0].Err)
			}
			taken := srv.Received()
			if len(taken) != c.taken {
				t.Fatalf("%d taken, want %d", len(taken), c.taken)
			}
			if err := srv.Quiet(soon(t)); err != nil {
				t.Fatal(err)
			}
			for _, r := range taken {
				if r.Fault != c.fault.Submit {
					t.Errorf("the log says %q", r.Fault)
				}
				if got := s.states(r.ID); !slices.Equal(got, c.dlrs) {
					t.Errorf("reported %v, want %v", got, c.dlrs)
				}
			}
			if out := g.Submit(t.Context(), mt(t, 2, "after it")); out[0].Err != nil {
				t.Errorf("the next: %v", out[0].Err)
			}
		})
	}
}

func TestDLRBeforeTheAnswer(t *testing.T) {
	srv, g, s := network(t)
	srv.Next(-1, smstest.Fault{DLR: smstest.Early})
	for n := range byte(3) {
		s.mu.Lock()
		s.refusals = 2 // so that the report takes longer than an answer would
		s.mu.Unlock()
		out := g.Submit(t.Context(), mt(t, n, "hello"))
		if got := s.states(out[0].ID); !slices.Equal(got, []sms.DLRState{sms.DeliveredSMS}) {
			t.Fatalf("when %s was answered it had the reports %v", out[0].ID, got)
		}
	}
}

func TestFaultsInTurn(t *testing.T) {
	srv, g, _ := network(t)
	srv.Next(2, smstest.Fault{Submit: smstest.Busy})
	srv.Next(1, smstest.Fault{Submit: smstest.Swallow})
	srv.On(func(r smstest.Received) smstest.Fault {
		if r.Segment == 2 {
			return smstest.Fault{Submit: smstest.Busy}
		}
		return smstest.Fault{}
	})
	classes := func(text string) (got []sms.Class) {
		for _, o := range g.Submit(t.Context(), mt(t, 1, text)) {
			got = append(got, sms.ClassOf(o.Err))
		}
		return got
	}
	long := strings.Repeat("a", 400)
	if got := classes(long); !slices.Equal(got, []sms.Class{sms.Temporary, sms.Temporary, sms.Unknown}) {
		t.Errorf("first %v", got)
	}
	if got := classes(long); !slices.Equal(got, []sms.Class{0, sms.Temporary, 0}) {
		t.Errorf("then %v", got)
	}
	srv.Clear()
	if got := classes(long); !slices.Equal(got, []sms.Class{0, 0, 0}) {
		t.Errorf("after Clear %v", got)
	}
}

func TestNothingIsSentWhenNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	out := smstest.NewGateway("gone", "http://"+l.Addr().String()).Submit(t.Context(), mt(t, 1, strings.Repeat("a", 200)))
	for _, o := range out {
		if sms.ClassOf(o.Err) != sms.NotSent {
			t.Errorf("%v", o.Err)
		}
	}
}

// TestTimeOut: an answer that does not come in time leaves it unknown; a server that never asks for the text was sent nothing.
func TestTimeOut(t *testing.T) {
	srv, g, _ := network(t)
	g.Timeout = 100 * time.Millisecond
	srv.Next(1, smstest.Fault{Submit: smstest.Slow, For: time.Minute})
	if out := g.Submit(t.Context(), mt(t, 1, "x")); sms.ClassOf(out[0].Err) != sms.Unknown {
		t.Errorf("slow: %v", out[0].Err)
	}
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	deaf := smstest.NewGateway("deaf", "http://"+mute.Addr().String())
	deaf.Timeout = 100 * time.Millisecond
	if out := deaf.Submit(t.Context(), mt(t, 1, "x")); sms.ClassOf(out[0].Err) != sms.NotSent {
		t.Errorf("mute: %v", out[0].Err)
	}
}

func TestWhatIsNoSegment(t *testing.T) {
	_, g, _ := network(t)
	large := mt(t, 1, "x")
	large.Segments[0].Text = strings.Repeat("a", 161)
	second := mt(t, 1, strings.Repeat("a", 200))
	second.Segments[0].Text += "a"
	short := mt(t, 1, "x")
	short.To = "110"
	for name, mt := range map[string]sms.MT{"161 septets": large, "154 septets in a long one": second, "short code": short} {
		if out := g.Submit(t.Context(), mt); sms.ClassOf(out[0].Err) != sms.Permanent {
			t.Errorf("%s: %v", name, out[0].Err)
		}
	}
}

func TestAnswersComeUntilTaken(t *testing.T) {
	srv, _, s := network(t)
	s.mu.Lock()
	s.refusals = 3
	s.mu.Unlock()
	id := srv.MO(peer, "4915100000000", "wer ist da? 👋")
	if err := srv.Quiet(soon(t)); err != nil {
		t.Fatal(err)
	}
	if len(s.mos) != 1 {
		t.Fatalf("got %v", s.mos)
	}
	if m := s.mos[0]; m.ID != id || m.From != peer || m.To != "4915100000000" || m.Text != "wer ist da? 👋" || m.Gateway != "carrier" || m.At.IsZero() {
		t.Errorf("got %+v", m)
	}
}

// TestSubmitterDies: what waits at the server comes to the next process of the same name.
func TestSubmitterDies(t *testing.T) {
	srv := smstest.NewServer()
	defer srv.Close()
	dies, s := srv.Gateway("carrier"), &sink{refusals: 1 << 30}
	stop := run(t, dies, s)
	out := dies.Submit(t.Context(), mt(t, 1, "x"))
	srv.MO(peer, "4915100000000", "y")
	stop()
	if len(s.dlrs)+len(s.mos) != 0 {
		t.Fatalf("it took %v, %v", s.dlrs, s.mos)
	}
	next := &sink{}
	run(t, smstest.NewGateway("carrier", srv.URL), next)
	if err := srv.Quiet(soon(t)); err != nil {
		t.Fatal(err)
	}
	if len(next.states(out[0].ID)) != 1 || len(next.mos) != 1 {
		t.Errorf("the next got %v, %v", next.dlrs, next.mos)
	}
	if len(srv.Received()) != 1 {
		t.Errorf("the log has %d segments", len(srv.Received()))
	}
}

func TestTwoGateways(t *testing.T) {
	srv, a, sa := network(t)
	sa.mu.Lock()
	sa.refusals = 1
	sa.mu.Unlock()
	first := a.Submit(t.Context(), mt(t, 1, "x"))
	if err := srv.Quiet(soon(t)); err != nil {
		t.Fatal(err)
	}
	b, sb := srv.Gateway("other"), &sink{}
	b.Echo = true
	run(t, b, sb)
	second := b.Submit(t.Context(), mt(t, 2, "y"))
	srv.MO(peer, "4915100000000", "to the first")
	if err := srv.Quiet(soon(t)); err != nil {
		t.Fatal(err)
	}
	if len(sa.states(first[0].ID)) != 1 || len(sb.states(second[0].ID)) != 1 || len(sa.dlrs)+len(sb.dlrs) != 2 {
		t.Errorf("reports %v and %v", sa.dlrs, sb.dlrs)
	}
	if len(sa.mos) != 1 || len(sb.mos) != 0 {
		t.Errorf("answers %v and %v", sa.mos, sb.mos)
	}
	if r := sa.dlrs[0]; r.Ref != nil {
		t.Errorf("a report echoes the reference unasked: %+v", r)
	}
	if r := sb.dlrs[0]; r.Ref == nil || *r.Ref != (sms.Ref{15: 2}) || r.Segment != 1 {
		t.Errorf("a report without the reference: %+v", r)
	}
}

// TestServe drives a server as another process would: by its URL only.
func TestServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- smstest.Serve(l) }()
	base := "http://" + l.Addr().String()
	g, s := smstest.NewGateway("carrier", base), &sink{came: make(chan sms.MO, 1)}
	stop := run(t, g, s)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	post := func(path, body string) (status int) {
		resp, err := client.Post(base+path, "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	if got := post("/fault?n=1&submit=swallow&dlr=none", ""); got != http.StatusNoContent {
		t.Errorf("POST /fault: %d", got)
	}
	if out := g.Submit(t.Context(), mt(t, 1, "one")); sms.ClassOf(out[0].Err) != sms.Unknown {
		t.Errorf("swallowed: %v", out[0].Err)
	}
	post("/fault?n=-1&submit=lock", "")
	post("/fault?n=0", "")
	if out := g.Submit(t.Context(), mt(t, 2, "zwei")); out[0].Err != nil {
		t.Error(out[0].Err)
	}
	if got := post("/mo?from=4915112345678&to=4915100000000", "antwort"); got != http.StatusOK {
		t.Errorf("POST /mo: %d", got)
	}
	for _, bad := range []string{"/fault?n=x", "/fault?n=1&submit=typo", "/fault?n=1&dlr=typo", "/fault?n=1&for=1", "/mo?from=1&to=2"} {
		if got := post(bad, ""); got != http.StatusBadRequest {
			t.Errorf("POST %s: %d", bad, got)
		}
	}
	resp, err := client.Get(base + "/log")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for line := range strings.Lines(string(body)) {
		var r smstest.Received
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		texts = append(texts, fmt.Sprint(r.Text, r.Ref[15], r.Fault))
	}
	if !slices.Equal(texts, []string{"one1swallow", "zwei2"}) {
		t.Errorf("the log has %q", texts)
	}
	select {
	case <-s.came:
	case <-soon(t).Done():
		t.Error("the answer did not come")
	}
	stop()
	l.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestNextRefusesWhatIsNoFault(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("it was taken")
		}
	}()
	srv := smstest.NewServer()
	defer srv.Close()
	srv.Next(1, smstest.Fault{Submit: "typo"})
}

// TestManyAtOnce: with a server that fails at random, each segment is taken as often as the outcomes say.
func TestManyAtOnce(t *testing.T) {
	srv, g, s := network(t)
	kinds := []smstest.Submit{smstest.Take, smstest.Refuse, smstest.Busy, smstest.Swallow, smstest.Lose, smstest.Throttle}
	srv.On(func(r smstest.Received) smstest.Fault {
		return smstest.Fault{Submit: kinds[int(r.Ref[15])%len(kinds)]}
	})
	var group sync.WaitGroup
	for n := range byte(120) {
		m := mt(t, n, "hello")
		group.Go(func() {
			want := map[smstest.Submit]sms.Class{smstest.Refuse: sms.NotSent, smstest.Busy: sms.Temporary, smstest.Swallow: sms.Unknown,
				smstest.Lose: sms.Unknown, smstest.Throttle: sms.Throttled}[kinds[int(n)%len(kinds)]]
			if out := g.Submit(t.Context(), m); sms.ClassOf(out[0].Err) != want {
				t.Errorf("%v is not %v", out[0].Err, want)
			}
		})
	}
	group.Wait()
	got, err := srv.Wait(soon(t), 40)
	if err != nil || len(got) != 40 {
		t.Fatalf("%d taken, %v, want 20 answered and 20 swallowed", len(got), err)
	}
	if err := srv.Quiet(soon(t)); err != nil {
		t.Fatal(err)
	}
	if len(s.dlrs) != 40 {
		t.Errorf("%d reports", len(s.dlrs))
	}
}

func FuzzSubmission(f *testing.F) {
	srv := smstest.NewServer()
	f.Cleanup(srv.Close)
	client := &http.Client{Transport: &http.Transport{}}
	f.Cleanup(client.CloseIdleConnections)
	f.Add("gateway=a&ref=00000000000000000000000000000001&attempt=1&segment=1&count=1&to=4915112345678&coding=GSM+7", `{"text":"x"}`)
	f.Add("", "")
	f.Fuzz(func(t *testing.T, query, body string) {
		u, err := url.Parse(srv.URL + "/submit")
		if err != nil {
			t.Fatal(err)
		}
		u.RawQuery = url.PathEscape(query)
		if q, err := url.ParseQuery(query); err == nil {
			u.RawQuery = q.Encode()
		}
		before := len(srv.Received())
		resp, err := client.Post(u.String(), "application/json", strings.NewReader(body))
		if err != nil {
			return // aborted: the body was no text
		}
		defer resp.Body.Close()
		if taken := len(srv.Received()) - before; (resp.StatusCode == http.StatusOK) != (taken == 1) || resp.StatusCode >= 500 {
			t.Fatalf("%s with %d taken", resp.Status, taken)
		}
	})
}
