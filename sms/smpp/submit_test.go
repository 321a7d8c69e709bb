package smpp_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/sms/smpp"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

// TestSubmit is the life of an SMS: submit, answer, receipt.
func TestSubmit(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{SystemID: "godwit", Password: "secret", Receipt: smstest.Receipt{Reference: true}})
	g := run(t, s, nil)
	mt := message(1, "hello {world} €")
	mt.Validity = 24 * time.Hour
	outcomes := g.Submit(soon(t), mt)
	want(t, outcomes, 0)
	got := s.Submits()
	if len(got) != 1 {
		t.Fatalf("%d segments were taken", len(got))
	}
	r := got[0]
	if r.Text != mt.Text || r.Source != smstest.Phone(ours) || r.Dest != smstest.Phone(string(peer)) || r.Registered != 1 || r.Validity != "000001000000000R" ||
		r.DataCoding != 0 || r.Reference == nil || *r.Reference != mt.Ref.Reference(1) || r.Total != 1 {
		t.Errorf("submitted %+v", r)
	}
	dlrs, _ := g.wait(t, 1, 0)
	if d := dlrs[0]; d.Gateway != "carrier" || d.ID != outcomes[0].ID || d.ID == "" || d.State != sms.DeliveredSMS || d.Reference != mt.Ref.Reference(1) ||
		d.From != ours || d.To != peer || d.At.IsZero() || !strings.Contains(d.Detail, "stat:DELIVRD") {
		t.Errorf("DLR %+v", d)
	}
	if !g.Linked() {
		t.Error("it is not linked")
	}
	g.end()
	if g.Linked() {
		t.Error("it is linked after its end")
	}
	if x := s.Sessions(); len(x) != 1 || !x[0].Unbound || x[0].Command != "bind_transceiver" || x[0].Version != 0x34 {
		t.Errorf("sessions %+v", x)
	}
	want(t, g.Submit(soon(t), message(2, "late")), sms.NotSent)
}

// TestSegments is the table of what fits a segment, in every form.
func TestSegments(t *testing.T) {
	texts := []struct {
		name, text  string
		eight, wide int // segments with a reference of 8 and of 16 bits
	}{
		{"empty", "", 1, 1},
		{"160", strings.Repeat("a", 160), 1, 1}, {"161", strings.Repeat("a", 161), 2, 2},
		{"306", strings.Repeat("a", 306), 2, 3}, {"307", strings.Repeat("a", 307), 3, 3},
		{"459", strings.Repeat("a", 459), 3, 4}, {"460", strings.Repeat("a", 460), 4, 4},
		{"euro at the seam", strings.Repeat("a", 152) + "€" + strings.Repeat("b", 10), 2, 2},
		{"70", strings.Repeat("Ж", 70), 1, 1}, {"71", strings.Repeat("Ж", 71), 2, 2},
		{"134", strings.Repeat("Ж", 134), 2, 3}, {"135", strings.Repeat("Ж", 135), 3, 3},
		{"emoji at unit 67", strings.Repeat("Ж", 66) + "😀" + strings.Repeat("Ж", 10), 2, 2},
		{"35 emoji", strings.Repeat("😀", 35), 1, 1}, {"36 emoji", strings.Repeat("😀", 36), 2, 2},
	}
	for form, as := range map[smpp.Concat]smstest.Concat{smpp.UDH8: smstest.UDH8, smpp.UDH16: smstest.UDH16, smpp.SAR: smstest.SAR, smpp.Payload: smstest.Payload} {
		t.Run(string(as), func(t *testing.T) {
			s := serve(t, smstest.SMPPOptions{})
			g := run(t, s, func(c *smpp.Config) { c.Concat = form })
			seen := 0
			for i, c := range texts {
				mt := split(i+1, c.text, g.Abilities())
				n := c.eight
				if form == smpp.UDH16 || form == smpp.SAR {
					n = c.wide
				}
				if mt.Count != n {
					t.Errorf("%s: %d segments, want %d", c.name, mt.Count, n)
				}
				outcomes := g.Submit(soon(t), mt)
				want(t, outcomes, make([]sms.Class, n)...)
				if form == smpp.Payload {
					n = 1
				}
				got := s.Submits()[seen:]
				seen += n
				if len(got) != n {
					t.Fatalf("%s: %d submit_sm, want %d", c.name, len(got), n)
				}
				text := ""
				for j, r := range got {
					text += r.Text
					if r.Registered != 1 || *r.Reference != mt.Ref.Reference(j+1) {
						t.Errorf("%s: %+v", c.name, r)
					}
					wantRef := mt.Ref.Reference(0)
					if form == smpp.UDH8 {
						wantRef &= 0xFF
					}
					if mt.Count > 1 && (r.Concat != as || form != smpp.Payload && (r.Ref != wantRef || r.Segment != j+1 || r.Total != n)) {
						t.Errorf("%s: segment %d of %d as %s with reference %d", c.name, r.Segment, r.Total, r.Concat, r.Ref)
					}
				}
				if text != c.text {
					t.Errorf("%s: the text came as %q", c.name, text)
				}
			}
		})
	}
}

// TestOriginators are the numbering plans.
func TestOriginators(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	g := run(t, s, nil)
	for i, c := range []struct {
		from string
		want smstest.Address
	}{
		{ours, smstest.Phone(ours)},
		{"+" + ours, smstest.Phone(ours)},
		{"84444", smstest.Address{TON: 3, NPI: 0, Addr: "84444"}},
		{"Godwit 2", smstest.Address{TON: 5, NPI: 0, Addr: "Godwit 2"}},
		{"", smstest.Address{}},
	} {
		mt := message(i, "x")
		mt.From = c.from
		want(t, g.Submit(soon(t), mt), 0)
		if got := s.Submits()[i].Source; got != c.want {
			t.Errorf("%q goes as %+v, want %+v", c.from, got, c.want)
		}
	}
	other := run(t, s, func(c *smpp.Config) { c.Numbering.ShortCode = &smpp.Plan{TON: 0, NPI: 1} })
	mt := message(9, "x")
	mt.From = "84444"
	want(t, other.Submit(soon(t), mt), 0)
	if got := s.Submits()[5].Source; got != (smstest.Address{TON: 0, NPI: 1, Addr: "84444"}) {
		t.Errorf("a numbering of one's own goes as %+v", got)
	}
}

// TestSecondSegmentRefused: only it is submitted again.
func TestSecondSegmentRefused(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	g := run(t, s, nil)
	mt := message(1, strings.Repeat("a", 400))
	s.Next(1, smstest.SMPPFault{})
	s.Next(1, smstest.SMPPFault{Status: 0x45})
	outcomes := g.Submit(soon(t), mt)
	want(t, outcomes, 0, sms.Temporary, 0)
	again := mt
	again.Segments, again.Attempt = mt.Segments[1:2], 2
	s.Next(1, smstest.SMPPFault{Status: 0x45})
	want(t, g.Submit(soon(t), again), sms.Temporary)
	again.Attempt = 3
	s.Next(1, smstest.SMPPFault{Status: 0x45})
	want(t, g.Submit(soon(t), again), sms.Permanent)
	want(t, g.Submit(soon(t), again), 0)
	var numbers []int
	for _, r := range s.Submits() {
		numbers = append(numbers, r.Segment)
		if r.Total != 3 || r.Concat != smstest.UDH8 {
			t.Errorf("%+v", r)
		}
	}
	if fmt.Sprint(numbers) != "[1 3 2]" {
		t.Errorf("segments %v were taken", numbers)
	}
}

// TestWhatIsLeftIsNotWhole: segments that an earlier attempt left are never sent as the whole text again, nor made too long.
func TestWhatIsLeftIsNotWhole(t *testing.T) {
	for _, form := range []smpp.Concat{smpp.Payload, smpp.UDH16, smpp.SAR} {
		s := serve(t, smstest.SMPPOptions{})
		g := run(t, s, func(c *smpp.Config) { c.Concat = form })
		mt := message(1, strings.Repeat("a", 306)) // cut for another gateway
		mt.Segments = mt.Segments[1:]
		want(t, g.Submit(soon(t), mt), 0)
		if got := s.Submits(); len(got) != 1 || got[0].Concat != smstest.UDH8 || got[0].Segment != 2 || len(got[0].Text) != 153 {
			t.Errorf("%d: %+v", form, got)
		}
	}
}

// TestPayloadRefused: what becomes of the one submit_sm becomes of all segments.
func TestPayloadRefused(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	g := run(t, s, func(c *smpp.Config) { c.Concat = smpp.Payload })
	s.Next(1, smstest.SMPPFault{Status: 0x0B})
	if !g.Abilities().Whole {
		t.Error("it does not say that it takes messages whole")
	}
	mt := message(1, strings.Repeat("a", 400))
	want(t, g.Submit(soon(t), mt), sms.Permanent, sms.Permanent, sms.Permanent)
	outcomes := g.Submit(soon(t), mt)
	want(t, outcomes, 0, 0, 0)
	if outcomes[0].ID != outcomes[2].ID || outcomes[2].Segment != 3 {
		t.Errorf("%+v", outcomes)
	}
}

// TestRefusals are the answers that decide about a segment, and what is done with those behind it.
func TestRefusals(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	g := run(t, s, nil)
	long := strings.Repeat("a", 300)
	for i, c := range []struct {
		fault smstest.SMPPFault
		want  []sms.Class
	}{
		{smstest.SMPPFault{Status: 0x58}, []sms.Class{sms.Throttled, sms.NotSent}},
		{smstest.SMPPFault{Status: 0x14}, []sms.Class{sms.Throttled, sms.NotSent}},
		{smstest.SMPPFault{Status: 0x08}, []sms.Class{sms.Temporary, 0}},
		{smstest.SMPPFault{Status: 0x40C}, []sms.Class{sms.Temporary, 0}},
		{smstest.SMPPFault{Status: 0x0A}, []sms.Class{sms.Permanent, sms.NotSent}},
		{smstest.SMPPFault{Status: 0x0D}, []sms.Class{sms.Configuration, sms.NotSent}},
		{smstest.SMPPFault{Instead: smstest.Nack}, []sms.Class{sms.Temporary, 0}},
		{smstest.SMPPFault{Instead: smstest.Nack, Status: 0x03}, []sms.Class{sms.Configuration, sms.NotSent}},
		{smstest.SMPPFault{Instead: smstest.Malformed}, []sms.Class{0, 0}},
	} {
		s.Next(1, c.fault)
		outcomes := g.Submit(soon(t), message(i, long))
		want(t, outcomes, c.want...)
	}
	if n := len(s.Sessions()); n != 1 {
		t.Errorf("%d sessions were needed", n)
	}
}

// TestNotBoundForTheSMSC: 0x04 has the session bound anew, and nothing was sent.
func TestNotBoundForTheSMSC(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	g := run(t, s, nil)
	s.Next(1, smstest.SMPPFault{Status: 0x04})
	want(t, g.Submit(soon(t), message(1, "x")), sms.NotSent)
	want(t, g.Submit(soon(t), message(1, "x")), 0)
	if x := s.Sessions(); len(x) != 2 || !x[0].Unbound || len(s.Submits()) != 1 {
		t.Errorf("sessions %+v, submits %+v", x, s.Submits())
	}
}

// TestWindow: the window is never exceeded, with answers out of order and enquire_link all the time.
func TestWindow(t *testing.T) {
	const window, sessions, n = 5, 2, 400
	s := serve(t, smstest.SMPPOptions{Window: window, WindowStatus: 0x14, Latency: time.Millisecond, Enquire: 5 * time.Millisecond})
	s.On(func(r smstest.Submitted) smstest.SMPPFault {
		return smstest.SMPPFault{Behind: int(r.Sequence % 4), Late: 50 * time.Millisecond}
	})
	g := run(t, s, func(c *smpp.Config) {
		c.Window, c.Sessions, c.Enquire, c.Response = window, sessions, 5*time.Millisecond, 10*time.Second
	})
	if w := g.Abilities().Window; w != window*sessions {
		t.Errorf("Window %d", w)
	}
	together(3*window*sessions, n, func(i int) { want(t, g.Submit(soon(t), message(i, "x")), 0) })
	for _, x := range s.Sessions() {
		if x.Most > window || x.Most < window || x.Submits < n/4 || x.Enquired == 0 {
			t.Errorf("session %+v", x)
		}
	}
	if got := len(s.Tries()); got != n {
		t.Errorf("%d submits, want %d", got, n)
	}
}

// together calls do for 0 to n-1 in so many goroutines.
func together(goroutines, n int, do func(i int)) {
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for i := g; i < n; i += goroutines {
				do(i)
			}
		})
	}
	all.Wait()
}

// TestWindowOfTheSMSC: what exceeds its window, below ours, is throttled and certainly not taken.
func TestWindowOfTheSMSC(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{Window: 3, Latency: 5 * time.Millisecond})
	g := run(t, s, func(c *smpp.Config) { c.Window = 10 })
	var mu sync.Mutex
	count := map[sms.Class]int{}
	together(10, 100, func(i int) {
		c := classes(g.Submit(soon(t), message(i, "x")))[0]
		mu.Lock()
		defer mu.Unlock()
		count[c]++
	})
	if count[sms.Throttled] == 0 || count[0] != len(s.Submits()) || count[0]+count[sms.Throttled] != 100 {
		t.Errorf("%v, %d were taken", count, len(s.Submits()))
	}
}

// TestDispatched: throttling, a window of the SMSC below ours and restarts in the middle, with the dispatcher above. Each message is submitted once,
// unless the SMSC said that it did not take it.
func TestDispatched(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{Window: 4, Latency: time.Millisecond})
	g, err := smpp.New(smpp.Config{Name: "carrier", Addr: s.Addr, Window: 8, Response: 2 * time.Second, Backoff: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	s.Next(3, smstest.SMPPFault{Status: 0x58})
	const n = 200
	d := newDesk(n)
	dispatcher := sms.NewDispatcher([]sms.Gateway{g}, d, sms.Dispatch{})
	d.again = func(r sms.Ref) { dispatcher.Want(sms.Want{Ref: r, To: number(r), Priority: sms.Retry}) }
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- dispatcher.Run(ctx, newSink()) }()
	for i := range n {
		dispatcher.Want(sms.Want{Ref: ref(i), To: number(ref(i)), Priority: sms.Fresh})
	}
	for i := 1; i <= 3; i++ {
		if _, err := s.Wait(soon(t), i*n/4); err != nil {
			t.Fatal(err)
		}
		s.Stop()
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-d.done:
	case <-time.After(time.Minute):
		t.Error("not all have an end")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	taken, unknown := d.counts()
	seen := map[string]int{}
	for _, r := range s.Submits() {
		if seen[r.Dest.Addr]++; seen[r.Dest.Addr] > 1 {
			t.Errorf("a message was taken twice")
		}
	}
	if taken+unknown != n || len(seen) < taken || len(seen) > n {
		t.Errorf("%d were taken; outcomes: %d taken, %d unknown of %d", len(seen), taken, unknown, n)
	}
}

// TestExpired: nothing is written after Until.
func TestExpired(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	g := run(t, s, nil)
	mt := message(1, "x")
	mt.Until = time.Now().Add(-time.Millisecond)
	want(t, g.Submit(soon(t), mt), sms.NotSent)

	s.Next(1, smstest.SMPPFault{Late: 300 * time.Millisecond})
	long := message(2, strings.Repeat("a", 300))
	long.Until = time.Now().Add(150 * time.Millisecond)
	want(t, g.Submit(soon(t), long), 0, sms.NotSent)
	if n := len(s.Tries()); n != 1 {
		t.Errorf("%d submits, want 1", n)
	}
}

// TestExpiredInTheQueue: a message that waits for a place in the window is not written after its time.
func TestExpiredInTheQueue(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	g := run(t, s, func(c *smpp.Config) { c.Window = 1 })
	s.Next(1, smstest.SMPPFault{Late: 400 * time.Millisecond})
	first := make(chan []sms.Outcome, 1)
	go func() { first <- g.Submit(context.Background(), message(1, "x")) }()
	if _, err := s.Wait(soon(t), 1); err != nil {
		t.Fatal(err)
	}
	mt := message(2, "x")
	mt.Until = time.Now().Add(50 * time.Millisecond)
	want(t, g.Submit(soon(t), mt), sms.NotSent)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	want(t, g.Submit(ctx, message(3, "x")), sms.NotSent)
	want(t, <-first, 0)
	if n := len(s.Tries()); n != 1 {
		t.Errorf("%d submits, want 1", n)
	}
}

// TestSwallowedAnswer: written and not answered is unknown, and nothing more of the message is submitted. The late answer is dropped; the DLR comes.
func TestSwallowedAnswer(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{Receipt: smstest.Receipt{Reference: true}})
	g := run(t, s, func(c *smpp.Config) { c.Response = 200 * time.Millisecond })
	s.Next(1, smstest.SMPPFault{Instead: smstest.NoAnswer})
	mt := message(1, strings.Repeat("a", 300))
	want(t, g.Submit(soon(t), mt), sms.Unknown, sms.NotSent)
	dlrs, _ := g.wait(t, 1, 0)
	if dlrs[0].Reference != mt.Ref.Reference(1) {
		t.Errorf("DLR %+v", dlrs[0])
	}
	want(t, g.Submit(soon(t), message(2, "x")), 0) // the same session has answered an enquire_link
	s.Next(1, smstest.SMPPFault{Late: 300 * time.Millisecond})
	want(t, g.Submit(soon(t), message(3, "x")), sms.Unknown)
	late := time.NewTimer(10 * time.Second)
	for g.Late() == 0 {
		select {
		case <-late.C:
			t.Fatal("the late answer was not counted")
		case <-time.After(time.Millisecond):
		}
	}
	want(t, g.Submit(soon(t), message(4, "x")), 0)
	if x := s.Sessions(); len(x) != 1 || len(s.Tries()) != 4 {
		t.Errorf("%+v, %d tries", x, len(s.Tries()))
	}
}

// TestSequenceWraps: after 0x7fffffff comes 1 (SMPP 3.4 §5.1.4).
func TestSequenceWraps(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	g, err := smpp.New(smpp.Config{Name: "carrier", Addr: s.Addr})
	if err != nil {
		t.Fatal(err)
	}
	g.StartAt(0x7FFFFFFF - 2) // for the bind
	r := start(t, g)
	for i := range 4 {
		want(t, r.Submit(soon(t), message(i, "x")), 0)
	}
	var got []uint32
	for _, r := range s.Submits() {
		got = append(got, r.Sequence)
	}
	if fmt.Sprint(got) != fmt.Sprint([]uint32{0x7FFFFFFE, 0x7FFFFFFF, 1, 2}) {
		t.Errorf("sequence numbers %v", got)
	}
}
