package smstest_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

// desk is the least that a Desk may be: it sends what is left of a message until every segment was taken, may have been, or never will be.
type desk struct {
	dispatcher *sms.Dispatcher
	ended      chan sms.Ref

	mu       sync.Mutex
	messages map[sms.Ref]*message
}

type message struct {
	mt    sms.MT // the segments that are left
	tried []string
	taken map[string]bool // ids
	lost  int             // segments of which nobody knows
	no    bool            // refused for good
}

var _ sms.Desk = (*desk)(nil)

func (d *desk) Claim(_ context.Context, ref sms.Ref, _ string) (sms.MT, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.messages[ref]
	m.mt.Attempt++
	m.mt.Until = time.Now().Add(10 * time.Second)
	return m.mt, len(m.mt.Segments) > 0, nil
}

func (d *desk) Report(_ context.Context, mt sms.MT, gateway string, outcomes []sms.Outcome) error {
	d.mu.Lock()
	m := d.messages[mt.Ref]
	var left []sms.Segment
	for i, o := range outcomes {
		switch sms.ClassOf(o.Err) {
		case 0:
			m.taken[o.ID] = true
		case sms.Unknown:
			m.lost++
		case sms.Permanent:
			m.no = true
		default:
			left = append(left, mt.Segments[i])
		}
	}
	m.mt.Segments = left
	again := len(left) > 0 && !m.no && m.lost == 0
	m.tried = append(m.tried, gateway)
	if len(m.tried) == 2 {
		m.tried = nil
	}
	tried := m.tried
	d.mu.Unlock()
	if again {
		d.dispatcher.Want(sms.Want{Ref: mt.Ref, To: mt.To, Priority: sms.Retry, Tried: tried})
		return nil
	}
	d.ended <- mt.Ref
	return nil
}

// TestDispatchThroughBadNetworks sends many messages through two networks that fail in every way, over real sockets, and counts at the
// networks: no segment was taken twice, and what the desk knows is what happened.
func TestDispatchThroughBadNetworks(t *testing.T) {
	const messages = 150
	var servers []*smstest.Server
	var gateways []sms.Gateway
	for _, name := range []string{"first", "second"} {
		srv := smstest.NewServer()
		t.Cleanup(srv.Close)
		dice := rand.New(rand.NewPCG(uint64(len(name)), 7))
		kinds := []smstest.Submit{smstest.Refuse, smstest.Busy, smstest.Throttle, smstest.Swallow, smstest.Lose}
		rolls := 0
		srv.On(func(smstest.Received) smstest.Fault {
			// Each pause of a gateway lasts, so those that cause one are rare.
			if rolls++; rolls%40 == 0 {
				return smstest.Fault{Submit: kinds[dice.IntN(len(kinds))], For: time.Millisecond}
			}
			if dice.IntN(6) == 0 {
				return smstest.Fault{Submit: smstest.Busy}
			}
			return smstest.Fault{DLR: []smstest.Report{smstest.Delivered, smstest.Twice, smstest.Early, smstest.Disorder}[dice.IntN(4)]}
		})
		servers, gateways = append(servers, srv), append(gateways, srv.Gateway(name))
	}
	desk := &desk{ended: make(chan sms.Ref, messages), messages: map[sms.Ref]*message{}}
	desk.dispatcher = sms.NewDispatcher(gateways, desk, sms.Dispatch{})
	s := &sink{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- desk.dispatcher.Run(ctx, s) }()

	for n := range byte(messages) {
		m := mt(t, n, strings.Repeat("ab€ ", 10+int(n)))
		m.To = contacts.Number("491511234567" + string(rune('0'+n%10)))
		desk.mu.Lock()
		desk.messages[m.Ref] = &message{mt: m, taken: map[string]bool{}}
		desk.mu.Unlock()
		desk.dispatcher.Want(sms.Want{Ref: m.Ref, To: m.To, Priority: sms.Fresh})
	}
	limit, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	for n := range messages {
		select {
		case <-desk.ended:
		case <-limit.Done():
			t.Fatalf("%d of %d messages came to an end, %d wait", n, messages, desk.dispatcher.Waiting())
		}
	}
	for _, srv := range servers {
		if err := srv.Quiet(limit); err != nil {
			t.Error(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}

	count(t, desk, s, servers)
}

// count compares what the desk knows with what the networks did.
func count(t *testing.T, desk *desk, s *sink, servers []*smstest.Server) {
	type segment struct {
		ref    sms.Ref
		number int
	}
	taken, swallowed := map[segment]int{}, map[sms.Ref]int{}
	for _, srv := range servers {
		for _, r := range srv.Received() {
			taken[segment{r.Ref, r.Segment}]++
			if r.Fault == smstest.Swallow {
				swallowed[r.Ref]++
			} else if !desk.messages[r.Ref].taken[r.ID] {
				t.Errorf("segment %d of %d was taken as %s, and the desk does not know", r.Segment, r.Ref[15], r.ID)
			}
			if got := s.states(r.ID); len(got) == 0 || got[0] != sms.DeliveredSMS {
				t.Errorf("%s is reported %v", r.ID, got)
			}
		}
	}
	for g, n := range taken {
		if n > 1 {
			t.Errorf("segment %d of %d was taken %d times", g.number, g.ref[15], n)
		}
	}
	whole := 0
	for ref, m := range desk.messages {
		if len(m.taken) == m.mt.Count {
			whole++
		} else if m.lost == 0 && !m.no {
			t.Errorf("message %d ended with %d of %d segments", ref[15], len(m.taken), m.mt.Count)
		}
		if swallowed[ref] > m.lost {
			t.Errorf("message %d: %d segments swallowed, %d unknown", ref[15], swallowed[ref], m.lost)
		}
	}
	if whole < len(desk.messages)/2 {
		t.Errorf("only %d of %d messages went out whole", whole, len(desk.messages))
	}
}

// TestNetworkDown: nothing is lost while nobody takes anything, and all of it goes out once somebody does.
func TestNetworkDown(t *testing.T) {
	srv := smstest.NewServer()
	defer srv.Close()
	srv.Next(-1, smstest.Fault{Submit: smstest.Refuse})
	desk := &desk{ended: make(chan sms.Ref, 50), messages: map[sms.Ref]*message{}}
	desk.dispatcher = sms.NewDispatcher([]sms.Gateway{srv.Gateway("carrier")}, desk, sms.Dispatch{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- desk.dispatcher.Run(ctx, &sink{}) }()
	for n := range byte(50) {
		m := mt(t, n, "hello")
		desk.mu.Lock()
		desk.messages[m.Ref] = &message{mt: m, taken: map[string]bool{}}
		desk.mu.Unlock()
		desk.dispatcher.Want(sms.Want{Ref: m.Ref, To: m.To, Priority: sms.Fresh})
	}
	short, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	if got, err := srv.Wait(short, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a network that refuses took %d, %v", len(got), err)
	}
	srv.Clear()
	got, err := srv.Wait(soon(t), 50)
	if err != nil {
		t.Error(err)
	}
	// All go to one number: the fresh ones in the order they were wanted, then those that were tried in vain, in theirs.
	descents := 0
	for n := range got[1:] {
		if got[n+1].Ref[15] < got[n].Ref[15] {
			descents++
		}
	}
	if descents > 1 {
		t.Errorf("the order broke %d times", descents)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
