package sms

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed-7a41469f/godwit/contacts"
)

// Dispatch is how a Dispatcher works. Zero values mean the documented defaults.
type Dispatch struct {
	// OnAlarm is told what an operator must mend at a gateway, each time it was tried in vain, and with a nil err once it works again. It must not block.
	OnAlarm func(gateway string, err error)
	// Routes by the prefix of the recipient: the longest that matches counts. None: all gateways, in their order.
	Routes []Route
	// Grace is how long what is under way may take once Run's ctx is done, 15 s: longer than a gateway's response time-out.
	Grace time.Duration
}

// A Dispatcher keeps in memory which gateway takes what next.
//
// A message goes to the first gateway of its route that it has not tried and that is not paused. It is claimed at the Desk only when
// that gateway has a window place and a rate token for it; until then it is only wanted. The answer frees the place. What became of the claim is
// reported before anything else is submitted to the same number, so messages to one number go out one after the other, in the order they were wanted.
//
// A gateway pauses when it asks for it (throttled), when nothing gets through to it or no answer comes back, and, longer, when an operator must act.
type Dispatcher struct {
	desk   Desk
	config Dispatch
	lanes  []*lane
	routes *routing

	mu      sync.Mutex
	backlog *backlog
	hold    time.Time     // nothing is claimed before: the Desk's store fails
	holding time.Duration // how long the latest hold was; 0: the store works
}

// How long to wait when the Desk's store fails, at first and at most.
const (
	firstHold = 100 * time.Millisecond
	mostHold  = 5 * time.Second
)

// NewDispatcher returns a Dispatcher that takes what is wanted, and submits nothing until Run. What is wrong with the gateways
// and the routes is told by Check, and by Run.
func NewDispatcher(gateways []Gateway, desk Desk, config Dispatch) *Dispatcher {
	if config.Grace == 0 {
		config.Grace = 15 * time.Second
	}
	if config.OnAlarm == nil {
		config.OnAlarm = func(string, error) {}
	}
	d := &Dispatcher{desk: desk, config: config}
	for i, g := range gateways {
		d.lanes = append(d.lanes, newLane(g, i))
	}
	d.routes = newRouting(d.names(), config.Routes)
	d.backlog = newBacklog(len(gateways), d.routes.paths)
	return d
}

// A Want is a message that is to be sent.
type Want struct {
	Ref      Ref
	To       contacts.Number
	Priority Priority
	Tried    []string // gateways to pass over; when they are all that may take it, each may again
	Only     string   // the gateway that has segments of it already: no other may take it. Empty, or none that exists: by the routes
}

// Want says that a message is to be sent. It never blocks, and once is enough until the message is claimed: a later call only changes
// the priority and the gateways. What no route takes waits until it is dropped.
func (d *Dispatcher) Want(w Want) {
	h := home{prio: w.Priority, path: d.routes.to(w.To), tried: d.mask(w.Tried)}
	if l := d.lane(w.Only); l != nil {
		h.path = l.index
	}
	d.mu.Lock()
	defer d.release()
	d.backlog.add(w.Ref, w.To, h)
}

// Another reports whether a gateway beside those that were tried may take what goes to a number. One that an operator has paused may not.
func (d *Dispatcher) Another(to contacts.Number, tried []string) bool {
	left := d.routes.paths[d.routes.to(to)].all &^ d.mask(tried)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.lanes {
		if l.held {
			left &^= 1 << l.index
		}
	}
	return left != 0
}

// Routed reports whether a route takes what goes to a number.
func (d *Dispatcher) Routed(to contacts.Number) bool { return d.routes.to(to) != d.routes.nowhere }

// First returns the name of the gateway that is tried first with what goes to a number: that of the route that an operator has not paused; empty: no route takes it.
func (d *Dispatcher) First(to contacts.Number) string {
	p := d.routes.paths[d.routes.to(to)]
	if len(p.use) == 0 {
		return ""
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range p.use {
		if !d.lanes[i].held {
			return d.lanes[i].name
		}
	}
	return d.lanes[p.use[0]].name
}

// Drop says that a message is no longer to be sent. One that is being claimed is not stopped by it.
func (d *Dispatcher) Drop(ref Ref) {
	d.mu.Lock()
	defer d.release()
	d.backlog.drop(ref)
}

// Waiting returns how many messages are wanted and not yet claimed.
func (d *Dispatcher) Waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.backlog.byRef)
}

// Run runs the gateways, each with sink, and submits what is wanted, until ctx is done or a gateway fails for good. Then it takes nothing
// more, and returns once what is under way was reported: an error says which outcome could not be. It is called once.
func (d *Dispatcher) Run(ctx context.Context, sink Sink) error {
	if err := d.Check(); err != nil {
		return err
	}
	taking, stop := context.WithCancel(ctx)
	defer stop()
	linked, unlink := context.WithCancel(context.WithoutCancel(ctx))
	defer unlink()
	submitting, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()

	var gateways, lanes errgroup.Group
	for _, l := range d.lanes {
		gateways.Go(func() error {
			err := l.gateway.Run(linked, sink)
			if err == nil || linked.Err() != nil && errors.Is(err, context.Canceled) {
				return nil
			}
			stop()
			return fmt.Errorf("gateway %s: %w", l.name, err)
		})
		lanes.Go(func() error { return d.drive(taking, submitting, l) })
	}
	<-taking.Done()
	defer time.AfterFunc(d.config.Grace, cut).Stop()
	err := lanes.Wait()
	unlink() // not before: a gateway needs its connection to get the answers
	return errors.Join(err, gateways.Wait())
}

// Check returns what is wrong with the gateways and the routes, naming it. Run does not start with it.
func (d *Dispatcher) Check() error {
	if len(d.lanes) == 0 || len(d.lanes) > 64 {
		return fmt.Errorf("a dispatcher takes 1 to 64 gateways, here are %d", len(d.lanes))
	}
	seen := map[string]bool{}
	for _, l := range d.lanes {
		if seen[l.name] {
			return fmt.Errorf("two gateways have the name %q: give each its own", l.name)
		}
		seen[l.name] = true
	}
	return checkRoutes(d.names(), d.config.Routes)
}

func (d *Dispatcher) names() (names []string) {
	for _, l := range d.lanes {
		names = append(names, l.name)
	}
	return names
}

// drive keeps one gateway busy. There are as many goroutines as MTs under way: those in the window, and as many times that as may wait to be recorded.
func (d *Dispatcher) drive(taking, submitting context.Context, l *lane) error {
	var under errgroup.Group
	for taking.Err() == nil {
		w, taken, wait := d.next(l, time.Now())
		if w == nil {
			idle(taking, l.wake, wait)
			continue
		}
		under.Go(func() error { return d.attempt(submitting, l, w, taken) })
	}
	return under.Wait()
}

// next takes what the gateway can have now, and says after how many pauses, or tells how long to wait; 0: until woken.
func (d *Dispatcher) next(l *lane, now time.Time) (w *wanted, taken int, wait time.Duration) {
	d.mu.Lock()
	defer func() {
		d.backlog.news &^= 1 << l.index // it asks again, waits for a time, or is woken by what holds it up
		d.release()
	}()
	d.repath(now)
	if l.held || l.full() {
		return nil, 0, 0
	}
	if ready := later(l.until, d.hold); now.Before(ready) {
		return nil, 0, ready.Sub(now)
	}
	token, wait := l.token(now)
	if wait > 0 {
		return nil, 0, wait
	}
	w = d.backlog.take(l.index)
	if w == nil {
		token.CancelAt(now)
		return nil, 0, 0
	}
	l.under++
	return w, l.pauses, 0
}

// repath tells the backlog which gateways are paused now. A gateway whose pause begins or ends looks again itself, so nobody else need tell.
func (d *Dispatcher) repath(now time.Time) {
	var held, paused uint64
	for _, l := range d.lanes {
		if l.held {
			held |= 1 << l.index
		}
		if l.paused(now) {
			paused |= 1 << l.index
		}
	}
	d.backlog.pause(held, paused)
}

// attempt claims, submits and reports one message.
func (d *Dispatcher) attempt(submitting context.Context, l *lane, w *wanted, taken int) error {
	mt, ok, err := d.desk.Claim(submitting, w.ref, l.name)
	if err != nil {
		d.putBack(l, w)
		return nil // the Desk has the error, and knows that its store fails
	}
	d.claimed(l, len(mt.Segments))
	if !ok {
		d.refused(l, w)
		return nil
	}
	outcomes := complete(mt, l.gateway.Submit(submitting, mt))
	if alarm, cause := d.answered(l, mt, taken, outcomes); alarm {
		d.config.OnAlarm(l.name, cause)
	}
	err = d.report(submitting, l, mt, outcomes)
	d.recorded(l, w)
	return err
}

// putBack ends an attempt that the Desk's store did not let begin, and holds everything for a while.
func (d *Dispatcher) putBack(l *lane, w *wanted) {
	now := time.Now()
	d.mu.Lock()
	defer d.release()
	d.left(l)
	d.backlog.putBack(w)
	if !now.Before(d.hold) { // of those that fail together only the first counts
		d.holding = min(max(2*d.holding, firstHold), mostHold)
		d.hold = now.Add(d.holding)
	}
}

// claimed notes that the store works, and charges the segments of a claim to the rate.
func (d *Dispatcher) claimed(l *lane, segments int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.holding = 0
	l.charge(time.Now(), segments-1)
}

// answered frees the place in the window, and has the gateway judged by its answer.
func (d *Dispatcher) answered(l *lane, mt MT, taken int, outcomes []Outcome) (alarm bool, cause error) {
	now := time.Now()
	d.mu.Lock()
	defer d.release()
	d.left(l) // it has places again, or a pause, to tell the backlog
	l.unrecorded++
	if class, _ := worst(outcomes); class == NotSent && !mt.Until.IsZero() && !now.Before(mt.Until) {
		return false, nil // its own time ran out; that says nothing about the gateway
	}
	return l.judge(now, taken, outcomes)
}

// report repeats itself while it fails: what was submitted must be recorded. It gives up only when the grace after Run's end is over.
func (d *Dispatcher) report(submitting context.Context, l *lane, mt MT, outcomes []Outcome) error {
	for wait := firstHold; ; wait = min(2*wait, mostHold) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(submitting), d.config.Grace)
		err := d.desk.Report(ctx, mt, l.name, outcomes)
		cancel()
		if err == nil {
			return nil
		}
		if submitting.Err() != nil {
			return fmt.Errorf("what became of an SMS through gateway %s was not recorded: %w", l.name, err)
		}
		idle(submitting, nil, wait)
	}
}

// refused ends an attempt that the Desk did not want.
func (d *Dispatcher) refused(l *lane, w *wanted) {
	d.mu.Lock()
	defer d.release()
	d.left(l)
	d.backlog.free(w.to)
}

// recorded ends an attempt whose outcome is durable.
func (d *Dispatcher) recorded(l *lane, w *wanted) {
	d.mu.Lock()
	defer d.release()
	l.unrecorded--
	d.backlog.news |= 1 << l.index
	d.backlog.free(w.to)
}

// left notes that a place in the window of a gateway became free.
func (d *Dispatcher) left(l *lane) {
	l.under--
	d.backlog.news |= 1 << l.index
}

// mask returns the bit set of gateways by their names. Others are none of ours, for instance removed from the configuration.
func (d *Dispatcher) mask(names []string) (m uint64) {
	for _, name := range names {
		if l := d.lane(name); l != nil {
			m |= 1 << l.index
		}
	}
	return m
}

func (d *Dispatcher) lane(name string) *lane {
	for _, l := range d.lanes {
		if l.name == name {
			return l
		}
	}
	return nil
}

// release unlocks, and wakes the gateways that have something new to take.
func (d *Dispatcher) release() {
	news := d.backlog.news
	d.backlog.news = 0
	d.mu.Unlock()
	for ; news != 0; news &= news - 1 {
		d.lanes[bits.TrailingZeros64(news)].signal()
	}
}

// complete makes up for a gateway that gave no outcome for a segment: then it is unknown, the only class that never sends twice.
func complete(mt MT, outcomes []Outcome) []Outcome {
	all := make([]Outcome, len(mt.Segments))
	for i, s := range mt.Segments {
		all[i] = Outcome{Segment: s.Number, Err: Fail(Unknown, "", "the gateway gave no outcome for the segment")}
		for _, o := range outcomes {
			if o.Segment == s.Number {
				all[i] = o
			}
		}
	}
	return all
}

// after is how long a gateway asked to wait.
func after(err error) time.Duration {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.After
	}
	return 0
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// idle returns when ctx is done, when woken, or when wait is over; 0: never.
func idle(ctx context.Context, wake <-chan struct{}, wait time.Duration) {
	var over <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-ctx.Done():
	case <-wake:
	case <-over:
	}
}
