package loadgen

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// FlowOptions shape the load of Flow; a zero field means what is noted.
type FlowOptions struct {
	Pairs    int           // 50
	Window   int           // messages in flight a sender: 64, at a rate 1024
	Payload  int           // bytes: 128
	Rate     float64       // messages a second of all senders together; 0: as fast as the windows allow
	Count    uint64        // messages of all senders together; 0: for Duration
	Warmup   time.Duration // not measured, but counted
	Duration time.Duration // 5 s
	Settle   time.Duration // how long nothing must move before what is missing is given up: 5 s

	Persistent     bool // receivers with persistent sessions, as phones have them
	ReceiptsToSelf bool // senders subscribe to their own receipts (Godwit's topics only)
}

func (o FlowOptions) withDefaults() (FlowOptions, error) {
	setDefault(&o.Pairs, 50)
	if o.Window == 0 && o.Rate > 0 {
		o.Window = 1024
	}
	setDefault(&o.Window, 64)
	setDefault(&o.Payload, 128)
	setDefault(&o.Duration, 5*time.Second)
	setDefault(&o.Settle, 5*time.Second)
	switch {
	case o.Payload < StampSize:
		return o, fmt.Errorf("a payload of %d bytes: the stamp alone takes %d", o.Payload, StampSize)
	case o.Pairs < 0 || o.Window < 0 || o.Window >= idSpace || o.Rate < 0:
		return o, fmt.Errorf("pairs %d, window %d, rate %g: negative, or more than %d in flight", o.Pairs, o.Window, o.Rate, idSpace-1)
	case o.Rate > 0 && o.Count > 0:
		return o, errors.New("a rate is offered for a duration, not for a count")
	}
	return o, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// FlowResult is what Flow measured.
type FlowResult struct {
	Pairs   int       `json:"pairs"`
	Window  int       `json:"window"`
	Payload int       `json:"payload"`
	Offered float64   `json:"offered_per_second,omitempty"`
	Costs   Costs     `json:"costs"`
	Latency Quantiles `json:"latency_ms"`
	LateBy  Quantiles `json:"generator_late_ms"` // at a rate: how late we were ourselves; part of Latency
	Tally   Tally     `json:"tally"`
}

// A flow is one run of Flow.
type flow struct {
	*pairs
	o     FlowOptions
	start int64 // on the clock
	late  Histogram
}

// Flow sends messages from senders to receivers and counts what becomes of each. The result is there whenever the error is nil; whether it is a
// good one, Tally.Check tells.
func Flow(ctx context.Context, t Target, o FlowOptions) (FlowResult, error) {
	o, err := o.withDefaults()
	if err != nil {
		return FlowResult{}, err
	}
	f := &flow{pairs: newPairs(ctx, t.withDefaults()), o: o}
	var c Costs
	if err = f.connect(); err == nil {
		c, err = f.measure()
	}
	if err = f.finish(err); err != nil {
		return FlowResult{}, err
	}
	r := FlowResult{Pairs: o.Pairs, Window: o.Window, Payload: o.Payload, Offered: o.Rate, Costs: c}
	r.Latency, r.LateBy, r.Tally = f.latency(), f.late.Quantiles(), f.tally()
	return r, f.forget(ctx)
}

// head is the time from connecting to the first message that is due.
const head = 50 * time.Millisecond

func (f *flow) connect() error {
	since := int64(f.o.Warmup) // begin adds the start
	for i := range f.o.Pairs {
		conn, err := f.target.dial(f.ctx, receiving, i, session{persistent: f.o.Persistent, buffer: receiverBuffer})
		if err != nil {
			return err
		}
		if err := conn.Subscribe(f.target.filter(i)); err != nil {
			conn.Drop()
			return fmt.Errorf("receiver %d: %w", i, err)
		}
		f.addReceiver(conn, i, f.o.Payload, since)
	}
	for i := range f.o.Pairs {
		if err := f.connectSender(i); err != nil {
			return err
		}
	}
	return nil
}

func (f *flow) connectSender(i int) error {
	conn, err := f.target.dial(f.ctx, sending, i, session{buffer: senderBuffer})
	if err != nil {
		return err
	}
	if f.o.ReceiptsToSelf {
		if err := conn.Subscribe("u/" + f.target.user(sending, i) + "/#"); err != nil {
			conn.Drop()
			return fmt.Errorf("sender %d: %w", i, err)
		}
	}
	s := f.addSender(conn, i, f.o.Payload, f.o.Window)
	if f.o.Rate > 0 {
		s.due = func(seq uint64) int64 { return f.due(seq, i) }
	}
	return nil
}

// due is when the message seq of sender i is due: the senders take turns.
func (f *flow) due(seq uint64, i int) int64 {
	n := float64(seq*uint64(f.o.Pairs) + uint64(i))
	return f.start + int64(n/f.o.Rate*float64(time.Second))
}

// measure sends, reads the counters after the warm-up and at the end of the sending, and waits for what is still on its way.
func (f *flow) measure() (Costs, error) {
	f.begin()
	sent := make(chan error, 1)
	go func() { sent <- f.send() }()
	from, err := f.readAfter(f.o.Warmup)
	if serr := <-sent; serr != nil || err != nil {
		return Costs{}, errors.Join(serr, err)
	}
	if f.o.Count > 0 {
		if err := f.settle(); err != nil {
			return Costs{}, err
		}
	}
	to, err := readCounters(f.target.PID, f.received())
	if err != nil {
		return Costs{}, err
	}
	if f.o.Count == 0 {
		err = f.settle()
	}
	return costs(from, to), err
}

// begin sets the moment from which due times and the warm-up count.
func (f *flow) begin() {
	f.start = f.clock.now() + int64(head)
	for _, r := range f.receivers {
		r.mu.Lock()
		r.since += f.start
		r.mu.Unlock()
	}
}

func (f *flow) readAfter(d time.Duration) (reading, error) {
	if err := sleep(f.ctx, time.Until(f.clock.time(f.start))+d); err != nil {
		return reading{}, err
	}
	return readCounters(f.target.PID, f.received())
}

// send returns when all is sent that the options ask for.
func (f *flow) send() error {
	if err := sleep(f.ctx, time.Until(f.clock.time(f.start))); err != nil {
		return err
	}
	if f.o.Rate > 0 {
		return f.offer()
	}
	limit, last := uint64(endless), false
	for i, s := range f.senders {
		if f.o.Count > 0 {
			limit, last = share(f.o.Count, f.o.Pairs, i), true
		}
		if err := s.allow(limit, last); err != nil {
			return err
		}
	}
	if last {
		return f.waitAnswered(f.o.Settle)
	}
	if err := sleep(f.ctx, f.o.Warmup+f.o.Duration); err != nil {
		return err
	}
	for _, s := range f.senders {
		s.stop()
	}
	return nil
}

// share is how many of count messages the i-th of n senders has.
func share(count uint64, n, i int) uint64 {
	return (count + uint64(n-1-i)) / uint64(n)
}

// offer makes the messages due one after another, whatever the broker does meanwhile.
func (f *flow) offer() error {
	total := uint64(f.o.Rate * (f.o.Warmup + f.o.Duration).Seconds())
	for k := range total {
		i := int(k % uint64(f.o.Pairs))
		seq := k / uint64(f.o.Pairs)
		at := f.due(seq, i)
		pause(time.Duration(at - f.clock.now()))
		if at >= f.start+int64(f.o.Warmup) {
			f.late.Record(time.Duration(f.clock.now() - at))
		}
		if err := f.senders[i].allow(seq+1, false); err != nil {
			return err
		}
		if f.ctx.Err() != nil {
			return context.Cause(f.ctx)
		}
	}
	for _, s := range f.senders {
		s.stop()
	}
	return nil
}

func (f *flow) settle() error {
	if err := f.waitAnswered(f.o.Settle); err != nil {
		return err
	}
	return f.waitReceived(f.o.Settle)
}

// forget leaves no session behind.
func (f *flow) forget(ctx context.Context) error {
	if !f.o.Persistent {
		return nil
	}
	for i := range f.o.Pairs {
		if err := f.target.forget(ctx, receiving, i); err != nil {
			return err
		}
	}
	return nil
}
