package delivery

import (
	"time"

	"github.com/seed-7a41469f/godwit/sms"
)

// atItMost is for how long after its time a gateway's answer is waited for that is still to return: a gateway that never returns must not hold a message for ever.
const atItMost = 10 * time.Minute

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// consider asks what happens to an open message, and has it done.
func (d *deliverer) consider(r *ref, now time.Time) {
	if r.busy || r.gone || r.loading {
		return
	}
	switch r.state {
	case Submitting, Submitted, OutcomeUnknown, Delivered:
		due := d.clock.time(r.due)
		_, orphan := d.orphans[r.id]
		if orphan {
			due = now
		}
		if now.Before(due.Add(atItMost)) && d.e.claims.get(sms.Ref(r.id)) != nil {
			due = later(due, now.Add(time.Second)) // no claim is without an answer while its gateway is still at it
		}
		if now.Before(due) {
			d.scheduleRef(r, due)
			return
		}
		d.act(r, intent{kind: intentLook}, now, func(m *Message) (*Message, Effects) {
			if orphan {
				return m.Orphaned(now, d.rules)
			}
			return m.Overdue(now, d.rules)
		})
		return
	}
	ev := d.evidence(r, now)
	if r.anew = r.anew && (r.state != Waiting || ofLimits(reasonOf(r.reason))); r.anew && r.state == Waiting {
		if d.decideAnew(r, ev.Registered, now); r.busy || r.loading {
			return
		}
	}
	ans := Decide(d.question(r), ev, now, d.rules)
	if ans.Do != GoSMS {
		r.queue(r.released, false)
	}
	if ans.Do != GoSMS && r.wanted {
		r.wanted = false
		d.e.drop(r.id)
	}
	d.hold(r, ans.Reason == StormHold)
	look := intent{kind: intentLook}
	switch ans.Do {
	case Hold:
		d.scheduleHold(r, ev, ans, now)
	case Wait:
		d.act(r, look, now, func(m *Message) (*Message, Effects) { return m.Waits(ans.Reason, "", now) })
	case Expire:
		d.act(r, look, now, func(m *Message) (*Message, Effects) { return m.Expire(now) })
	case GoSMS:
		r.cause = reasonCode(ans.Reason)
		d.goSMS(r, ev.Registered, now)
	}
}

// scheduleHold looks at the message again in time. One that a ready device has, or will have, needs no timer of its own before its device falls deaf.
func (d *deliverer) scheduleHold(r *ref, ev Evidence, ans Answer, now time.Time) {
	at := d.clock.time(r.expires)
	if !ans.Until.IsZero() && ans.Until.Before(at) {
		at = ans.Until
	}
	if ev.Ready && at.After(now.Add(d.wait(r))) {
		return
	}
	d.scheduleRef(r, at)
}

// goSMS wants an SMS for the message, when the policy allows it and the next attempt may be.
func (d *deliverer) goSMS(r *ref, registered bool, now time.Time) {
	if r.wanted {
		d.scheduleRef(r, d.clock.time(r.expires))
		return
	}
	if due := d.clock.time(r.due); r.released && now.Before(due) {
		d.scheduleRef(r, due)
		return
	}
	if first := r.ahead(); first != nil {
		at := now
		if fire := d.clock.time(first.fire); fire.After(at) {
			at = fire
		}
		r.queue(r.released, true)
		d.scheduleRef(r, at.Add(time.Millisecond))
		return
	}
	r.queue(r.released, false)
	d.act(r, intent{kind: intentLook}, now, func(m *Message) (*Message, Effects) {
		next, fx := m.Fallback(d.e.facts(m, registered, now), now, d.rules)
		if next == nil && fx.Want {
			d.want(r, m)
			d.scheduleRef(r, d.clock.time(r.expires))
			r.m = nil // a great many may wait: whoever needs it reads it
		}
		return next, Effects{Tell: fx.Tell, Stand: fx.Stand}
	})
}

// decideAnew asks the policy again about a message that waits because of a limit.
func (d *deliverer) decideAnew(r *ref, registered bool, now time.Time) {
	r.anew = r.m == nil // then it is read first, and considered again
	d.act(r, intent{kind: intentLook}, now, func(m *Message) (*Message, Effects) { return m.Anew(d.e.facts(m, registered, now), now, d.rules) })
}

// wait is how long a written push of the message may stay without an answer.
func (d *deliverer) wait(r *ref) time.Duration { return wait(Question{Wait: r.wait}, d.rules) }

func (d *deliverer) want(r *ref, m *Message) {
	r.wanted = true
	prio := sms.Fresh // also when nothing was sent so far: the order of a sender's messages must survive an outage
	switch {
	case m.SMS != nil && m.SMS.Attempts > 0:
		prio = sms.Retry
	case d.e.answered.recently(m.From, m.To, time.Now()):
		prio = sms.Reply
	}
	d.e.want(m, prio, r.tried)
}

// act applies a step to the message, which is read first when it is not in memory.
func (d *deliverer) act(r *ref, in intent, now time.Time, step func(m *Message) (*Message, Effects)) {
	if r.m == nil {
		r.loading = true
		d.e.load(r.id, func(m *Message, now time.Time) {
			r.loading = false
			switch {
			case r.gone:
			case m.Settled():
				d.close(r, m, now)
			default:
				d.update(r, m)
				r.m = m
				d.consider(r, now)
				if m.State != Accepted {
					r.m = nil
				}
			}
		})
		return
	}
	next, fx := step(r.m)
	if next != nil {
		d.propose(next, fx, in, now)
		return
	}
	if fx.Want && !r.wanted { // partly submitted
		d.want(r, r.m)
		d.scheduleRef(r, d.clock.time(r.expires))
	}
}

// evidence is what the line, the directory and the brake know about the recipient of r.
func (d *deliverer) evidence(r *ref, now time.Time) Evidence {
	l := r.line
	ev := Evidence{Registered: d.e.cfg.Directory.Registered(l.user), Ready: l.ready(r.size), Pushed: d.clock.time(r.pushed), Lost: d.clock.time(l.lost), Left: l.left, Settling: d.clock.time(l.settling)}
	for _, s := range l.sessions {
		if s.dev != nil && s.settling.After(ev.Settling) {
			ev.Settling = s.settling
		}
	}
	if ev.Hold = d.brake.Hold(l.had, now); ev.Ready || r.mode == Incoming {
		return ev
	}
	if ev.Lost.IsZero() && !ev.Left {
		if u, ok := d.e.cfg.Directory.User(l.user); ok {
			if ev.Lost = u.LastSeen; ev.Lost.IsZero() && len(u.Devices) > 0 {
				ev.Lost = u.Registered
			}
		}
	}
	return ev
}

// hold notes whether the brake holds the message.
func (d *deliverer) hold(r *ref, held bool) {
	if held && !r.held {
		r.held = true
		d.held[r] = struct{}{}
		d.e.stats.Held.Add(1)
	} else if !held {
		d.release(r)
	}
}

func (d *deliverer) release(r *ref) {
	if r.held {
		r.held = false
		delete(d.held, r)
		d.e.stats.Held.Add(-1)
	}
}
