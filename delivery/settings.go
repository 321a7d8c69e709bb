package delivery

import (
	"errors"
	"reflect"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// parts are what an Engine is made of for good.
type parts struct {
	Store      Store
	Directory  *contacts.Directory
	OptOuts    *sms.OptOuts
	HasContact func(user contacts.Address, peer contacts.Number) bool
}

// settings are a Config, and what follows from it. They are never changed, only replaced: who decides something reads them once.
type settings struct {
	Config
	rules Rules
	write func(m *Message, from string) string // the text of an SMS that goes out from an originator
}

func (e *Engine) settings(c Config) (*settings, error) {
	s := &settings{Config: c}
	var err error
	s.write, err = newTemplate(c.Template)
	text := func(m *Message) string { // as far as it is known before a gateway is
		if _, number := m.From.Number(); number && c.Originator == OriginatorUser {
			return s.write(m, string(m.From))
		}
		return s.write(m, "")
	}
	s.rules = Rules{
		AckTimeout: c.AckTimeout, OfflineGrace: c.OfflineGrace, MaxSegments: c.MaxSegments, NoGateway: len(e.gateways) == 0, Tries: c.Retry.Tries,
		RetryFirst: c.Retry.First, RetryFactor: c.Retry.Factor, RetryMax: c.Retry.Max, UnknownHold: c.Unknown.Hold, Resend: c.Unknown.Resend,
		DLRTimeout: c.DLRTimeout, Text: text, Reports: e.reports,
	}
	return s, errors.Join(c.check(), err)
}

// now returns the settings in force.
func (e *Engine) now() *settings { return e.live.Load() }

// Apply gives an engine, also one that runs, the settings of another Config: all but Store, Directory, SMS, Gateways, Routes, OptOuts, HasContact, Log and
// Numbers, which stay what they are. An error names the field, and then nothing has changed.
//
// What is decided from now on is decided with the new settings, and every open message is looked at again: one that waits because a limit forbade its SMS
// (budgets, caps, prefixes, segments) is decided anew when these have changed. A claim keeps what it was made with, and gives back what it booked; a connection
// keeps its window.
func (e *Engine) Apply(c Config) error {
	e.applying.Lock()
	defer e.applying.Unlock()
	was := e.now()
	c.Store, c.Directory, c.OptOuts, c.HasContact, c.Log = was.Store, was.Directory, was.OptOuts, was.HasContact, was.Log
	c.SMS, c.Gateways, c.Routes, c.Numbers = was.SMS, was.Gateways, was.Routes, was.Numbers
	s, err := e.settings(c.withDefaults())
	if err != nil {
		return err
	}
	anew := !reflect.DeepEqual(was.Policy, s.Policy) || was.MaxSegments != s.MaxSegments || was.Template != s.Template || was.Originator != s.Originator
	e.live.Store(s)
	e.dlv.call(func(now time.Time) { e.dlv.apply(s, anew, now) })
	return nil
}

// apply takes new settings, and looks at every open message again.
func (d *deliverer) apply(s *settings, anew bool, now time.Time) {
	d.rules = s.rules
	d.brake.RestartGrace, d.brake.StormHold = s.RestartGrace, s.StormHold
	d.anew = d.anew || anew && d.recovering
	open := make([]*ref, 0, len(d.open))
	for _, r := range d.open {
		r.anew = r.anew || anew && (r.state == Accepted || r.state == Waiting) // what the old settings forbid may be on its way to the store
		open = append(open, r)
	}
	d.lookAgain(open, now)
}

// atOnce is how many messages are looked at before others have their turn.
const atOnce = 512

func (d *deliverer) lookAgain(open []*ref, now time.Time) {
	some := open[:min(len(open), atOnce)]
	for _, r := range some {
		d.consider(r, now)
	}
	if rest := open[len(some):]; len(rest) > 0 {
		d.call(func(now time.Time) { d.lookAgain(rest, now) })
	}
}

// ofLimits reports whether a reason is one that other settings may take away.
func ofLimits(r Reason) bool {
	switch r {
	case BudgetDay, BudgetMonth, RateSender, RateRecipient, RatePrefix, LoopGuard, PrefixDenied, TooLong:
		return true
	}
	return false
}

// Anew is a message that waits because a limit forbade its SMS, now that the limits are others: it is decided again, or waits for what forbids it now.
// nil: nothing changes.
func (m *Message) Anew(f Facts, now time.Time, r Rules) (*Message, Effects) {
	if m.State != Waiting || !ofLimits(m.Reason) {
		return nil, Effects{}
	}
	if reason, evidence := m.forbids(f, r); reason != "" {
		return m.Waits(reason, evidence, now)
	}
	a := m.advance(now)
	a.note("S4", EventOrdered, "", "decided anew: the limits were changed")
	a.m.Due = now // not its expiry: after an attempt it is when the next one may be
	a.m.State, a.m.Reason, a.m.At = Accepted, "", now
	return a.done()
}
