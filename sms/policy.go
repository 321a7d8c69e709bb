package sms

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
)

// A Policy says which SMS may go out, how many, and for how much. The zero value lets all out. It is pure: who asks keeps the counters.
type Policy struct {
	Prices                 Prices // of a segment
	DayBudget, MonthBudget Money  // by days and months of UTC; no currency: none, an amount of 0: nothing that costs

	SenderDay    int // messages of one sender a day of UTC; 0: no limit, here and below
	RecipientDay int // messages to one number a day
	PrefixHour   int // messages to one country calling code an hour
	LoopHour     int // messages an hour from one sender to one number whose SMS came just before

	Allow []string // prefixes of numbers, "*" for any; the longest match of both lists decides, and a tie denies. Nil: any number
	Deny  []string
}

// Check returns what is wrong with a Policy, naming the field.
func (p Policy) Check() error {
	var errs []error
	wrong := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %w", field, fmt.Errorf(format, args...)))
	}
	for _, b := range []struct {
		field string
		Money
	}{{"DayBudget", p.DayBudget}, {"MonthBudget", p.MonthBudget}} {
		switch {
		case b.Micros < 0:
			wrong(b.field, "%v is negative", b.Money)
		case b.Currency != "" && b.Currency != p.Prices.Currency:
			wrong(b.field, "%v is not in the currency of the prices, %q: a budget counts in it", b.Money, p.Prices.Currency)
		case b.Currency == "" && b.Micros != 0:
			wrong(b.field, "the amount has no currency")
		}
	}
	for prefix, micros := range p.Prices.Micros {
		if prefix != "*" && !isPrefix(prefix) {
			wrong("Prices", "%q is no prefix: digits, or \"*\"", prefix)
		}
		if micros < 0 {
			wrong("Prices", "that of %q is negative", prefix)
		}
	}
	for _, l := range []struct {
		field    string
		prefixes []string
	}{{"Allow", p.Allow}, {"Deny", p.Deny}} {
		for _, prefix := range l.prefixes {
			if prefix != "*" && !isPrefix(prefix) {
				wrong(l.field, "%q is no prefix: digits, or \"*\"", prefix)
			}
		}
	}
	for _, c := range []struct {
		field string
		most  int
	}{{"SenderDay", p.SenderDay}, {"RecipientDay", p.RecipientDay}, {"PrefixHour", p.PrefixHour}, {"LoopHour", p.LoopHour}} {
		if c.most < 0 {
			wrong(c.field, "%d is negative", c.most)
		}
	}
	return errors.Join(errs...)
}

// Allows reports whether SMS may go to a number: by its prefix, and because what they cost is known where a budget is set.
func (p Policy) Allows(to contacts.Number) bool {
	if p.DayBudget.Currency != "" || p.MonthBudget.Currency != "" {
		if _, ok := p.Prices.Of(to); !ok {
			return false
		}
	}
	allowed := longestMatch(to, p.Allow)
	if p.Allow == nil {
		allowed = 0
	}
	return allowed > longestMatch(to, p.Deny)
}

// longestMatch returns the length of the longest of the prefixes that a number has: 0 for "*", -1 when it has none.
func longestMatch(n contacts.Number, prefixes []string) int {
	longest := -1
	for _, prefix := range prefixes {
		if prefix == "*" {
			longest = max(longest, 0)
		} else if strings.HasPrefix(string(n), prefix) {
			longest = max(longest, len(prefix))
		}
	}
	return longest
}

// A Limit is what a counter counts against.
type Limit uint8

// The limits of a Policy.
const (
	DayBudget Limit = iota + 1
	MonthBudget
	SenderDay
	RecipientDay
	PrefixHour
	LoopHour
)

// The first words of the counters' keys.
var limitWords = map[string]Limit{
	"day": DayBudget, "month": MonthBudget, "sender": SenderDay, "recipient": RecipientDay, "prefix": PrefixHour, "loop": LoopHour,
}

// LimitOf returns which limit the counter of a key is for, as Reserve named it; 0: none of them.
func LimitOf(key string) Limit {
	word, _, _ := strings.Cut(key, " ")
	return limitWords[word]
}

// DayKey returns the key of the counter of what is spent on the day of t in UTC, in millionths of the currency's unit.
func DayKey(t time.Time) string { return "day " + dayOf(t) }

// MonthKey returns the key of the counter of what is spent in the month of t in UTC, likewise.
func MonthKey(t time.Time) string { return "month " + t.UTC().Format("2006-01") }

func dayOf(t time.Time) string  { return t.UTC().Format(time.DateOnly) }
func hourOf(t time.Time) string { return t.UTC().Format("2006-01-02T15") }

// Reserve returns the counters that an attempt at so many segments adds to: what it costs, and when it is the first of its message also the message,
// with loop as one that answers too fast. They are kept for a day longer than what they count. The first of them that is over its limit says no.
func (p Policy) Reserve(from contacts.Address, to contacts.Number, segments int, first, loop bool, now time.Time) []Count {
	return p.counts(from, to, segments, first, loop, now)
}

// Release returns what gives back a reservation, or a part of it: with the time at which it was made, the segments that were not sent, what each was booked
// with, and first when none of the message was. What loop counted stays counted.
func (p Policy) Release(from contacts.Address, to contacts.Number, segments int, each Money, first bool, at time.Time) []Count {
	p.DayBudget, p.MonthBudget = Money{}, Money{}
	p.Prices = Prices{Currency: each.Currency, Micros: map[string]int64{"*": each.Micros}}
	counts := p.counts(from, to, segments, first, false, at)
	for i := range counts {
		counts[i].Add, counts[i].Most = -counts[i].Add, 0
	}
	return counts
}

func (p Policy) counts(from contacts.Address, to contacts.Number, segments int, first, loop bool, now time.Time) (counts []Count) {
	now = now.UTC()
	year, month, day := now.Date()
	tomorrow := time.Date(year, month, day+1, 0, 0, 0, 0, time.UTC)
	const kept = 24 * time.Hour

	if price, _ := p.Prices.Of(to); price.Micros > 0 && segments > 0 {
		cost := min(price.Times(segments).Micros, mostMicros)
		nextMonth := time.Date(year, month+1, 1, 0, 0, 0, 0, time.UTC)
		counts = append(counts, spend(DayKey(now), cost, p.DayBudget, tomorrow.Add(kept)), spend(MonthKey(now), cost, p.MonthBudget, nextMonth.Add(kept)))
	}
	if !first {
		return counts
	}
	one := func(most int, until time.Time, words ...string) {
		if most > 0 {
			counts = append(counts, Count{Key: strings.Join(words, " "), Add: 1, Most: int64(most), Until: until.Add(kept)})
		}
	}
	nextHour := now.Truncate(time.Hour).Add(time.Hour)
	one(p.SenderDay, tomorrow, "sender", string(from), dayOf(now))
	one(p.RecipientDay, tomorrow, "recipient", string(to), dayOf(now))
	one(p.PrefixHour, nextHour, "prefix", CallingCode(to), hourOf(now))
	if loop {
		one(p.LoopHour, nextHour, "loop", string(from), string(to), hourOf(now))
	}
	return counts
}

// mostMicros is the most that one attempt adds, so that a counter below its limit cannot overflow: more than any amount that ParseMoney reads.
const mostMicros = 1 << 62

// spend counts a cost that is not 0 against a budget.
func spend(key string, cost int64, budget Money, until time.Time) Count {
	c := Count{Key: key, Add: cost, Most: budget.Micros, Until: until}
	if budget.Currency != "" && budget.Micros == 0 { // Most 0 would be no limit; 2 never fit into 1
		c.Add, c.Most = max(cost, 2), 1
	}
	return c
}
