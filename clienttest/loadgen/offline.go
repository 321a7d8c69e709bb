package loadgen

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// OfflineOptions shape the load of Offline; a zero field means what is noted.
type OfflineOptions struct {
	Receivers int           // 50, each with a sender
	Messages  uint64        // all together: 100,000
	Window    int           // 64
	Payload   int           // 128
	Settle    time.Duration // 5 s
}

// OfflineResult is what Offline measured.
type OfflineResult struct {
	Receivers int   `json:"receivers"`
	Stored    Costs `json:"stored"`  // from the first publish to the last PUBACK
	Drained   Costs `json:"drained"` // from the first reconnect to the last message
	Resumed   int   `json:"resumed"` // receivers whose CONNACK said session present
	Tally     Tally `json:"tally"`
}

// Offline stores messages for receivers with persistent sessions that are away, lets them all come back, and counts what they get.
func Offline(ctx context.Context, t Target, o OfflineOptions) (OfflineResult, error) {
	setDefault(&o.Receivers, 50)
	setDefault(&o.Messages, 100_000)
	setDefault(&o.Window, 64)
	setDefault(&o.Payload, 128)
	setDefault(&o.Settle, 5*time.Second)
	if o.Payload < StampSize {
		return OfflineResult{}, fmt.Errorf("a payload of %d bytes: the stamp alone takes %d", o.Payload, StampSize)
	}
	f := &offline{pairs: newPairs(ctx, t.withDefaults()), o: o}
	r := OfflineResult{Receivers: o.Receivers}
	err := f.introduce()
	if err == nil {
		r.Stored, err = f.store()
	}
	if err == nil {
		r.Drained, err = f.drain()
	}
	if err = f.finish(err); err != nil {
		return r, err
	}
	r.Resumed, r.Tally = f.resumed, f.tally()
	for i := range o.Receivers {
		if err := f.target.forget(ctx, receiving, i); err != nil {
			return r, err
		}
	}
	return r, nil
}

type offline struct {
	*pairs
	o       OfflineOptions
	resumed int
}

// introduce gives every receiver a session with its subscription, and leaves.
func (f *offline) introduce() error {
	for i := range f.o.Receivers {
		if err := f.target.introduce(f.ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// introduce replaces whatever session receiver i had by a new one with its subscription.
func (t Target) introduce(ctx context.Context, i int) error {
	if err := t.forget(ctx, receiving, i); err != nil {
		return err
	}
	conn, err := t.dial(ctx, receiving, i, session{persistent: true, buffer: 512})
	if err != nil {
		return err
	}
	err = conn.Subscribe(t.filter(i))
	return errors.Join(err, conn.Close())
}

func (f *offline) store() (Costs, error) {
	for i := range f.o.Receivers {
		conn, err := f.target.dial(f.ctx, sending, i, session{buffer: senderBuffer})
		if err != nil {
			return Costs{}, err
		}
		f.addSender(conn, i, f.o.Payload, f.o.Window)
	}
	from, err := readCounters(f.target.PID, 0)
	if err != nil {
		return Costs{}, err
	}
	for i, s := range f.senders {
		if err := s.allow(share(f.o.Messages, f.o.Receivers, i), true); err != nil {
			return Costs{}, err
		}
	}
	if err := f.waitAnswered(f.o.Settle); err != nil {
		return Costs{}, err
	}
	to, err := readCounters(f.target.PID, f.answers())
	return costs(from, to), err
}

func (f *offline) drain() (Costs, error) {
	from, err := readCounters(f.target.PID, 0)
	if err != nil {
		return Costs{}, err
	}
	for i := range f.o.Receivers {
		conn, err := f.target.dial(f.ctx, receiving, i, session{persistent: true, buffer: receiverBuffer})
		if err != nil {
			return Costs{}, err
		}
		if conn.Connack.SessionPresent {
			f.resumed++
		}
		f.addReceiver(conn, i, f.o.Payload, 0)
	}
	if err := f.waitReceived(f.o.Settle); err != nil {
		return Costs{}, err
	}
	to, err := readCounters(f.target.PID, f.received())
	return costs(from, to), err
}
