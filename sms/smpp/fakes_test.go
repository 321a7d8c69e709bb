package smpp_test

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/sms/smpp"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ours = "4915100000000"
	peer = contacts.Number("4915112345678")
)

// A sink notes what comes. Fail decides what it says about each.
type sink struct {
	mu      sync.Mutex
	dlrs    []sms.DLR
	mos     []sms.MO
	tries   int
	fail    func(try int) error
	changed chan struct{}
}

var _ sms.Sink = (*sink)(nil)

func newSink() *sink { return &sink{changed: make(chan struct{})} }

func (s *sink) DLR(_ context.Context, r sms.DLR) error {
	return s.note(func() { s.dlrs = append(s.dlrs, r) })
}
func (s *sink) MO(_ context.Context, m sms.MO) error {
	return s.note(func() { s.mos = append(s.mos, m) })
}

func (s *sink) note(what func()) error {
	s.mu.Lock()
	s.tries++
	fail, try := s.fail, s.tries
	s.mu.Unlock()
	if fail != nil {
		if err := fail(try); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	what()
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// wait waits until there are so many DLRs and MOs, and returns them.
func (s *sink) wait(t *testing.T, dlrs, mos int) ([]sms.DLR, []sms.MO) {
	t.Helper()
	ctx := soon(t)
	for {
		s.mu.Lock()
		d, m, changed := slices.Clone(s.dlrs), slices.Clone(s.mos), s.changed
		s.mu.Unlock()
		if len(d) >= dlrs && len(m) >= mos {
			if len(d) > dlrs || len(m) > mos {
				t.Fatalf("%d DLRs and %d MOs came, want %d and %d", len(d), len(m), dlrs, mos)
			}
			return d, m
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%d DLRs and %d MOs came, want %d and %d", len(d), len(m), dlrs, mos)
		}
	}
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// serve starts an SMSC. It checks at the end that nobody did anything against the standard.
func serve(t testing.TB, o smstest.SMPPOptions) *smstest.SMPP {
	s := smstest.NewSMPP(o)
	t.Cleanup(func() {
		s.Close()
		for _, v := range s.Violations() {
			t.Errorf("violation: %s", v)
		}
	})
	return s
}

// A running gateway.
type running struct {
	*smpp.Gateway
	*sink
	end func() // ends Run, and waits for it
}

// run starts a gateway to an SMSC, quicker than by default, and waits until it is bound, unless it cannot be.
func run(t testing.TB, s *smstest.SMPP, change func(*smpp.Config)) *running {
	t.Helper()
	r := launch(t, s.Addr, change)
	n := 1
	c := smpp.Config{}
	if change != nil {
		change(&c)
	}
	n = max(1, c.Sessions)
	if c.Pair {
		n *= 2
	}
	if err := s.Bound(soon(t), n); err != nil {
		t.Fatal(err)
	}
	return r
}

// launch starts a gateway.
func launch(t testing.TB, addr string, change func(*smpp.Config)) *running {
	t.Helper()
	c := smpp.Config{Name: "carrier", Addr: addr, SystemID: "godwit", Password: "secret", Enquire: 10 * time.Second, Response: 2 * time.Second,
		Backoff: 50 * time.Millisecond, Parts: time.Minute, Log: zerolog.New(zerolog.NewTestWriter(t))}
	if change != nil {
		change(&c)
	}
	g, err := smpp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, g)
}

func start(t testing.TB, g *smpp.Gateway) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Gateway: g, sink: newSink()}
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx, r.sink) }()
	r.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(r.end)
	return r
}

func ref(n int) (r sms.Ref) {
	binary.BigEndian.PutUint64(r[:], uint64(n)*0x9E3779B97F4A7C15)
	return r
}

// message is an MT of a text to peer.
func message(n int, text string) sms.MT { return split(n, text, sms.Abilities{}) }

func split(n int, text string, a sms.Abilities) sms.MT {
	segments, err := a.Split(text)
	if err != nil {
		panic(err)
	}
	return sms.MT{Ref: ref(n), Attempt: 1, From: ours, To: peer, Text: text, Segments: segments, Count: len(segments), Until: time.Now().Add(time.Hour)}
}

// classes are those of outcomes.
func classes(outcomes []sms.Outcome) (c []sms.Class) {
	for _, o := range outcomes {
		c = append(c, sms.ClassOf(o.Err))
	}
	return c
}

// want checks the classes of outcomes.
func want(t *testing.T, outcomes []sms.Outcome, classes_ ...sms.Class) {
	t.Helper()
	if got := classes(outcomes); !slices.Equal(got, classes_) {
		t.Errorf("outcomes %d, want %d: %+v", got, classes_, outcomes)
	}
}
