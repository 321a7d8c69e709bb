package sms_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// desk is a sms.Desk that notes what it is asked; the functions may decide otherwise than yes.
type desk struct {
	claim  func(ref sms.Ref, gateway string) (ok bool, err error)
	mt     func(ref sms.Ref) sms.MT
	report func(mt sms.MT, gateway string, outcomes []sms.Outcome) error

	mu      sync.Mutex
	claims  []call
	reports []call
}

type call struct {
	ref      sms.Ref
	gateway  string
	at       time.Time
	outcomes []sms.Outcome
}

var _ sms.Desk = (*desk)(nil)

func (d *desk) Claim(_ context.Context, r sms.Ref, gateway string) (sms.MT, bool, error) {
	d.mu.Lock()
	d.claims = append(d.claims, call{ref: r, gateway: gateway, at: time.Now()})
	d.mu.Unlock()
	if d.claim != nil {
		if ok, err := d.claim(r, gateway); !ok || err != nil {
			return sms.MT{}, false, err
		}
	}
	if d.mt != nil {
		return d.mt(r), true, nil
	}
	return text(r, "hello"), true, nil
}

func (d *desk) Report(_ context.Context, mt sms.MT, gateway string, outcomes []sms.Outcome) error {
	if d.report != nil {
		if err := d.report(mt, gateway, outcomes); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reports = append(d.reports, call{mt.Ref, gateway, time.Now(), outcomes})
	return nil
}

func (d *desk) claimed() []call  { d.mu.Lock(); defer d.mu.Unlock(); return slices.Clone(d.claims) }
func (d *desk) reported() []call { d.mu.Lock(); defer d.mu.Unlock(); return slices.Clone(d.reports) }

// carrier is a sms.Gateway that takes everything in `takes`, or answers as told.
type carrier struct {
	name   string
	can    sms.Abilities
	takes  time.Duration
	answer func(mt sms.MT) error
	run    func(ctx context.Context) error

	mu    sync.Mutex
	under int
	most  int
	sent  []call
}

var _ sms.Gateway = (*carrier)(nil)

func (c *carrier) Name() string             { return c.name }
func (c *carrier) Abilities() sms.Abilities { return c.can }

func (c *carrier) Run(ctx context.Context, _ sms.Sink) error {
	if c.run != nil {
		return c.run(ctx)
	}
	<-ctx.Done()
	return ctx.Err()
}

func (c *carrier) Submit(ctx context.Context, mt sms.MT) []sms.Outcome {
	c.mu.Lock()
	c.under++
	c.most = max(c.most, c.under)
	c.sent = append(c.sent, call{ref: mt.Ref, at: time.Now()})
	c.mu.Unlock()
	defer func() { c.mu.Lock(); c.under--; c.mu.Unlock() }()
	if c.takes > 0 {
		select {
		case <-time.After(c.takes):
		case <-ctx.Done():
			return failed(mt, sms.Fail(sms.Unknown, "", "cut off"))
		}
	}
	c.mu.Lock()
	answer := c.answer
	c.mu.Unlock()
	if answer != nil {
		if err := answer(mt); err != nil {
			return failed(mt, err)
		}
	}
	var out []sms.Outcome
	for _, s := range mt.Segments {
		out = append(out, sms.Outcome{Segment: s.Number, ID: fmt.Sprintf("%s-%d", c.name, s.Number)})
	}
	return out
}

// mend makes the gateway take everything from now on.
func (c *carrier) mend() { c.mu.Lock(); defer c.mu.Unlock(); c.answer = nil }

func (c *carrier) submits() []call { c.mu.Lock(); defer c.mu.Unlock(); return slices.Clone(c.sent) }

func failed(mt sms.MT, err error) (out []sms.Outcome) {
	for _, s := range mt.Segments {
		out = append(out, sms.Outcome{Segment: s.Number, Err: err})
	}
	return out
}

func ref(n int) (r sms.Ref) {
	binary.BigEndian.PutUint64(r[:], uint64(n))
	return r
}

func num(r sms.Ref) int { return int(binary.BigEndian.Uint64(r[:])) }

func number(n int) contacts.Number { return contacts.Number(fmt.Sprintf("49151%08d", n)) }

func text(r sms.Ref, s string) sms.MT {
	segments, err := sms.Split(s)
	if err != nil {
		panic(err)
	}
	return sms.MT{Ref: r, To: number(num(r)), Text: s, Segments: segments, Count: len(segments), Until: time.Now().Add(time.Hour)}
}

func nums(calls []call) (n []int) {
	for _, c := range calls {
		n = append(n, num(c.ref))
	}
	return n
}

// start runs d in the bubble and returns what ends it and tells Run's error.
func start(t *testing.T, d *sms.Dispatcher) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx, nil) }()
	synctest.Wait()
	return func() error {
		cancel()
		return <-done
	}
}

// pass lets time go by in the bubble, and what is due happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}
