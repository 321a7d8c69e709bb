package smpp

import (
	"context"
	"hash/fnv"
	"slices"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

const (
	intakes    = 64      // so many calls of the sink at once
	intakeRoom = 64      // deliveries that wait for each; more are refused for now
	joinRoom   = 1 << 20 // octets of unfinished long MOs that each keeps
)

// An intake takes the deliveries of a part of all sources, one after the other: so what comes from one phone stays in order, and the segments of a
// long MO meet on whatever session they come.
type intake struct {
	g    *Gateway
	jobs chan *job
	join *joiner
	sink sms.Sink
}

func newIntake(g *Gateway) *intake {
	return &intake{g: g, jobs: make(chan *job, intakeRoom), join: newJoiner(g.config.Parts, joinRoom)}
}

// intake returns the one that takes what comes from a source.
func (g *Gateway) intake(source address) *intake {
	h := fnv.New32a()
	h.Write([]byte(source.number()))
	return g.intakes[h.Sum32()%uint32(len(g.intakes))]
}

// offer hands a delivery over, unless too many wait.
func (in *intake) offer(j *job) bool {
	select {
	case in.jobs <- j:
		return true
	default:
		return false
	}
}

// run takes deliveries until ctx is done. What it keeps then was not acknowledged, and comes again.
func (in *intake) run(ctx context.Context, sink sms.Sink) {
	in.sink = sink
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-in.jobs:
			in.take(ctx, j)
		case <-tick.C:
			in.expire(ctx)
		}
		tick.Reset(in.next())
	}
}

// hold is how long the answer to a segment is held back: well within the time that SMSCs wait for it.
func (in *intake) hold() time.Duration { return in.g.config.Response / 3 }

// next is how long nothing needs to be done about what is kept.
func (in *intake) next() time.Duration {
	now := time.Now()
	wait := time.Hour
	for _, l := range in.join.long {
		wait = min(wait, l.due.Sub(now))
		for _, j := range l.held {
			wait = min(wait, j.at.Add(in.hold()).Sub(now))
		}
	}
	return max(0, wait)
}

// take gives a delivery to the sink, and answers it, or keeps it as a segment.
func (in *intake) take(ctx context.Context, j *job) {
	if r, is := in.g.dlr(j.delivery, j.at); is {
		j.answer(in.report(ctx, r))
		return
	}
	from := j.source.sender()
	if from == "" {
		in.g.config.Log.Warn().Str("gateway", in.g.config.Name).Msg("an MO was refused: it has no source address; have the SMSC send one with each")
		j.answer(refusedForever)
		return
	}
	c, octets := j.segment()
	if !c.valid() {
		j.answer(in.message(ctx, from, j.destination.number(), decode(octets, j.coding), j.at))
		return
	}
	k := longKey{string(from), j.destination.number(), c.form, c.reference, c.total}
	l, fate := in.join.add(k, c.number, j.coding, octets, j.at)
	j.octets, j.tlvs = nil, nil // the joiner has what is needed of them
	switch fate {
	case known:
		in.join.keep(l, j.at)
		j.answer(ok)
	case refused:
		j.answer(refusedForNow)
	case whole:
		l.held = append(l.held, j)
		in.store(ctx, l)
	case held:
		if len(l.held) >= 2*int(l.total) { // the SMSC repeats itself without waiting
			l.owed++
			j.answer(refusedForNow)
			break
		}
		l.held = append(l.held, j)
	}
	in.expire(ctx) // the phone may have come round to a reference
}

// store gives a long MO to the sink and answers what is held of it. What cannot be stored is tried again when a segment of it comes again, or after
// a hold.
func (in *intake) store(ctx context.Context, l *long) {
	st := in.message(ctx, contacts.Number(l.from), l.to, l.text(), l.begin)
	for _, j := range l.held {
		j.answer(st)
	}
	if st != ok {
		l.owed += len(l.held)
	}
	l.held = nil
	if now := time.Now(); st == ok {
		in.join.keep(l, now)
	} else {
		l.due = now.Add(in.hold())
	}
}

// expire refuses what was held for long enough, so that it comes again, and stores what was waited for in vain.
func (in *intake) expire(ctx context.Context) {
	now := time.Now()
	for _, l := range in.join.long {
		l.held = slices.DeleteFunc(l.held, func(j *job) bool {
			late := now.Sub(j.at) >= in.hold()
			if late {
				l.owed++
				j.answer(refusedForNow)
			}
			return late
		})
	}
	for _, l := range in.join.overdue(now) {
		in.store(ctx, l)
	}
}

// message gives an MO to the sink.
func (in *intake) message(ctx context.Context, from contacts.Number, to, text string, at time.Time) status {
	ctx, cancel := context.WithTimeout(ctx, in.g.config.Response)
	defer cancel()
	return in.outcome("MO", in.sink.MO(ctx, sms.MO{Gateway: in.g.config.Name, From: from, To: contacts.Number(to), Text: text, At: at}))
}

// report gives a DLR to the sink. One that names no message is of no use to anybody, and would only come again.
func (in *intake) report(ctx context.Context, r sms.DLR) status {
	if r.ID == "" && r.Reference == 0 {
		in.g.config.Log.Warn().Str("gateway", r.Gateway).Str("detail", r.Detail).Msg("a receipt names no message; it is dropped")
		return ok
	}
	ctx, cancel := context.WithTimeout(ctx, in.g.config.Response)
	defer cancel()
	return in.outcome("DLR", in.sink.DLR(ctx, r))
}

// outcome is the answer to what the sink said.
func (in *intake) outcome(what string, err error) status {
	if err == nil {
		return ok
	}
	in.g.logf("%s: the %s was not stored, the SMSC must send it again: %v", in.g.config.Name, what, err)
	return refusedForNow
}
