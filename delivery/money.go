package delivery

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// limits remember what counters stood at when they were last written: a hint by which the policy says no before an attempt is made. The store decides.
type limits struct {
	mu     sync.Mutex
	totals map[string]total
}

type total struct {
	value int64
	until time.Time
}

func newLimits() *limits { return &limits{totals: map[string]total{}} }

// learn takes what a commit has made of counters, or which of them refused it. It is called in the order of the commits, or what is known would not be the latest.
func (l *limits) learn(counts []sms.Count, err error) {
	var over *sms.OverLimit
	if len(counts) == 0 || err != nil && !errors.As(err, &over) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range counts {
		switch {
		case over != nil && c.Key == over.Key:
			l.totals[c.Key] = total{c.Total - c.Add, c.Until}
			return
		case over != nil:
		case c.Most > 0 || l.totals[c.Key] != (total{}):
			l.totals[c.Key] = total{c.Total, c.Until}
		}
	}
}

// over returns the limit that the counts would pass, as a reason; empty: none that is known of.
func (l *limits) over(counts []sms.Count) Reason {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range counts {
		if c.Most > 0 && l.totals[c.Key].value+c.Add > c.Most {
			return LimitReason(c.Key)
		}
	}
	return ""
}

// sweep forgets counters whose time is over.
func (l *limits) sweep(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, t := range l.totals {
		if !now.Before(t.until) {
			delete(l.totals, key)
		}
	}
}

// LimitReason is why a message is no SMS when the counter of a key is at its limit.
func LimitReason(key string) Reason {
	switch sms.LimitOf(key) {
	case sms.DayBudget:
		return BudgetDay
	case sms.MonthBudget:
		return BudgetMonth
	case sms.SenderDay:
		return RateSender
	case sms.RecipientDay:
		return RateRecipient
	case sms.PrefixHour:
		return RatePrefix
	}
	return LoopGuard
}

// facts are what the policy is asked with; it reads memory only.
func (e *Engine) facts(m *Message, registered bool, now time.Time) Facts {
	to, _ := m.To.Number()
	s := e.now()
	f := Facts{Registered: registered, OptedOut: e.optedOut(m, to)}
	switch {
	case !s.Policy.Allows(to):
		f.Denied = denied
	case e.dispatch != nil && !e.dispatch.Routed(to):
		f.Denied = "no route takes the number"
	}
	if segments, err := sms.Split(s.rules.text(m)); err == nil {
		f.Over = e.limits.over(s.Policy.Reserve(m.From, to, len(segments), m.SMS == nil || m.SMS.Counted.IsZero(), false, now))
	}
	return f
}

// denied is what is told of a prefix that Policy.Allows refuses.
const denied = "by sms.allow and sms.deny, or it has no price and there is a budget"

// optedOut reports whether a message may not go to a number because its owner wants no SMS.
func (e *Engine) optedOut(m *Message, to contacts.Number) bool {
	return e.cfg.OptOuts != nil && !m.Service && e.cfg.OptOuts.Out(to)
}

// givenBack are the counts that a finished attempt gives back.
func (e *Engine) givenBack(m *Message, b Back) (counts []sms.Count) {
	to, _ := m.To.Number()
	policy := e.now().Policy
	if n := len(m.SMS.Segments); b.Segments > 0 && n > 0 {
		each := sms.Money{Micros: m.SMS.Price.Micros / int64(n), Currency: m.SMS.Price.Currency} // as the claim booked it
		counts = policy.Release(m.From, to, b.Segments, each, false, b.Booked)
	}
	if !b.Counted.IsZero() {
		counts = append(counts, policy.Release(m.From, to, 0, sms.Money{}, true, b.Counted)...)
	}
	return counts
}

// spent counts what the carrier has, or may have.
func (e *Engine) spent(m *Message, segments int) {
	if n := len(m.SMS.Segments); n > 0 {
		e.stats.Spent.Add(m.SMS.Price.Micros / int64(n) * int64(segments))
	}
}

// Spend is what was booked on the budgets, and how much they are; a zero budget means that there is none.
type Spend struct {
	Day, Month             sms.Money
	DayBudget, MonthBudget sms.Money
}

// Spend returns what stands on the budgets now.
func (e *Engine) Spend(ctx context.Context) (Spend, error) {
	p, now := e.now().Policy, time.Now()
	totals, err := e.cfg.Store.Totals(ctx, sms.DayKey(now), sms.MonthKey(now))
	if err != nil {
		return Spend{}, err
	}
	currency := p.Prices.Currency
	return Spend{sms.Money{Micros: totals[0], Currency: currency}, sms.Money{Micros: totals[1], Currency: currency}, p.DayBudget, p.MonthBudget}, nil
}
