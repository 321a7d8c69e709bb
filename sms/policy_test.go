package sms_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

func euros(micros int64) sms.Money { return sms.Money{Micros: micros, Currency: "EUR"} }

var prices = sms.Prices{Currency: "EUR", Micros: map[string]int64{"49": 75_000, "*": 120_000}}

func TestPolicyAllows(t *testing.T) {
	all := []string{"*"}
	german := sms.Prices{Currency: "EUR", Micros: map[string]int64{"49": 75_000}}
	for _, c := range []struct {
		name   string
		policy sms.Policy
		to     contacts.Number
		want   bool
	}{
		{"nothing set", sms.Policy{}, "4915112345678", true},
		{"nothing set but what is denied", sms.Policy{Deny: []string{"870"}}, "870123456789", false},
		{"nothing set but what is denied, another", sms.Policy{Deny: []string{"870"}}, "4915112345678", true},
		{"an empty list allows none", sms.Policy{Allow: []string{}}, "4915112345678", false},
		{"any, less what is denied", sms.Policy{Allow: all, Deny: []string{"979", "49190"}}, "49190123456", false},
		{"any, less what is denied, another", sms.Policy{Allow: all, Deny: []string{"979", "49190"}}, "4919112345", true},
		{"one country", sms.Policy{Allow: []string{"49"}}, "8613800138000", false},
		{"one country, there", sms.Policy{Allow: []string{"49"}}, "4915112345678", true},
		{"a tie denies", sms.Policy{Allow: []string{"49"}, Deny: []string{"49"}}, "4915112345678", false},
		{"a tie of all denies", sms.Policy{Allow: all, Deny: all}, "4915112345678", false},
		{"the longer allows", sms.Policy{Allow: []string{"4915"}, Deny: []string{"49"}}, "4915112345678", true},
		{"the longer denies", sms.Policy{Allow: []string{"49"}, Deny: []string{"4915"}}, "4915112345678", false},
		{"all denied but one country", sms.Policy{Allow: []string{"49"}, Deny: all}, "4915112345678", true},
		{"the order of a list means nothing", sms.Policy{Allow: []string{"4915", "4"}, Deny: []string{"491", "49"}}, "4915112345678", true},
		{"no price and no budget", sms.Policy{Prices: german}, "8613800138000", true},
		{"no price and a budget a day", sms.Policy{Prices: german, DayBudget: euros(1)}, "8613800138000", false},
		{"no price and a budget a month", sms.Policy{Prices: german, MonthBudget: euros(1)}, "8613800138000", false},
		{"a price and a budget", sms.Policy{Prices: german, MonthBudget: euros(1)}, "4915112345678", true},
		{"no price and a budget of nothing", sms.Policy{Prices: german, DayBudget: euros(0)}, "8613800138000", false},
	} {
		if got := c.policy.Allows(c.to); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// said is a Count in one line.
func said(counts []sms.Count) string {
	var lines []string
	for _, c := range counts {
		lines = append(lines, fmt.Sprintf("%s: %+d of %d until %s", c.Key, c.Add, c.Most, c.Until.Format("2006-01-02T15:04 MST")))
	}
	return strings.Join(lines, "\n")
}

func TestPolicyReserves(t *testing.T) {
	const ann, to = "4915100000001", "4915112345678"
	capped := sms.Policy{SenderDay: 500, RecipientDay: 200, PrefixHour: 2000, LoopHour: 5}
	free, cheap := sms.Prices{Currency: "EUR", Micros: map[string]int64{"*": 0}}, sms.Prices{Currency: "EUR", Micros: map[string]int64{"*": 1}}
	budgeted := sms.Policy{Prices: prices, DayBudget: euros(50_000_000), MonthBudget: euros(800_000_000)}
	noon := time.Date(2026, 11, 24, 12, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		name     string
		policy   sms.Policy
		segments int
		first    bool
		loop     bool
		now      time.Time
		want     string
	}{
		{"nothing set, nothing counted", sms.Policy{}, 3, true, true, noon, ""},
		{"prices without a budget are counted", sms.Policy{Prices: prices}, 1, true, false, noon,
			"day 2026-11-24: +75000 of 0 until 2026-11-26T00:00 UTC\nmonth 2026-11: +75000 of 0 until 2026-12-02T00:00 UTC"},
		{"budgets", budgeted, 3, true, false, noon,
			"day 2026-11-24: +225000 of 50000000 until 2026-11-26T00:00 UTC\nmonth 2026-11: +225000 of 800000000 until 2026-12-02T00:00 UTC"},
		{"budgets count each attempt", budgeted, 1, false, false, noon,
			"day 2026-11-24: +75000 of 50000000 until 2026-11-26T00:00 UTC\nmonth 2026-11: +75000 of 800000000 until 2026-12-02T00:00 UTC"},
		{"no segment costs nothing", budgeted, 0, false, false, noon, ""},
		{"a price of 0 costs nothing", sms.Policy{Prices: free, DayBudget: euros(0)}, 1, false, false, noon, ""},
		{"a budget of 0 is passed by anything", sms.Policy{Prices: cheap, DayBudget: euros(0), MonthBudget: euros(5)}, 1, false, false, noon,
			"day 2026-11-24: +2 of 1 until 2026-11-26T00:00 UTC\nmonth 2026-11: +1 of 5 until 2026-12-02T00:00 UTC"},
		{"caps", capped, 3, true, false, noon, "sender 4915100000001 2026-11-24: +1 of 500 until 2026-11-26T00:00 UTC\n" +
			"recipient 4915112345678 2026-11-24: +1 of 200 until 2026-11-26T00:00 UTC\nprefix 49 2026-11-24T12: +1 of 2000 until 2026-11-25T13:00 UTC"},
		{"caps count messages, not attempts", capped, 3, false, true, noon, ""},
		{"a loop", sms.Policy{LoopHour: 5}, 3, true, true, noon, "loop 4915100000001 4915112345678 2026-11-24T12: +1 of 5 until 2026-11-25T13:00 UTC"},
		{"days are those of UTC", budgeted, 1, false, false, time.Date(2026, 12, 1, 0, 30, 0, 0, time.FixedZone("CET", 3600)),
			"day 2026-11-30: +75000 of 50000000 until 2026-12-02T00:00 UTC\nmonth 2026-11: +75000 of 800000000 until 2026-12-02T00:00 UTC"},
		{"hours are those of UTC", sms.Policy{PrefixHour: 9}, 1, true, false, time.Date(2026, 11, 24, 18, 15, 0, 0, time.FixedZone("IST", 5*3600+1800)),
			"prefix 49 2026-11-24T12: +1 of 9 until 2026-11-25T13:00 UTC"},
		{"the last moment of a day", sms.Policy{SenderDay: 9}, 1, true, false, time.Date(2026, 11, 24, 23, 59, 59, 999_999_999, time.UTC),
			"sender 4915100000001 2026-11-24: +1 of 9 until 2026-11-26T00:00 UTC"},
		{"midnight", sms.Policy{SenderDay: 9}, 1, true, false, time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC),
			"sender 4915100000001 2026-11-25: +1 of 9 until 2026-11-27T00:00 UTC"},
		{"the last hour of a year", capped, 3, true, false, time.Date(2026, 12, 31, 23, 59, 0, 0, time.UTC),
			"sender 4915100000001 2026-12-31: +1 of 500 until 2027-01-02T00:00 UTC\n" +
				"recipient 4915112345678 2026-12-31: +1 of 200 until 2027-01-02T00:00 UTC\nprefix 49 2026-12-31T23: +1 of 2000 until 2027-01-02T00:00 UTC"},
		{"the end of a year", budgeted, 1, false, false, time.Date(2026, 12, 31, 23, 59, 0, 0, time.UTC),
			"day 2026-12-31: +75000 of 50000000 until 2027-01-02T00:00 UTC\nmonth 2026-12: +75000 of 800000000 until 2027-01-02T00:00 UTC"},
		{"the end of a short month", budgeted, 1, false, false, time.Date(2027, 1, 31, 10, 0, 0, 0, time.UTC),
			"day 2027-01-31: +75000 of 50000000 until 2027-02-02T00:00 UTC\nmonth 2027-01: +75000 of 800000000 until 2027-02-02T00:00 UTC"},
		{"a leap day", budgeted, 1, false, false, time.Date(2028, 2, 29, 10, 0, 0, 0, time.UTC),
			"day 2028-02-29: +75000 of 50000000 until 2028-03-02T00:00 UTC\nmonth 2028-02: +75000 of 800000000 until 2028-03-02T00:00 UTC"},
	} {
		if got := said(c.policy.Reserve(ann, to, c.segments, c.first, c.loop, c.now)); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func TestPolicyDoesNotOverflow(t *testing.T) {
	p := sms.Policy{Prices: sms.Prices{Currency: "EUR", Micros: map[string]int64{"*": math.MaxInt64}}, DayBudget: euros(math.MaxInt64), MonthBudget: euros(0)}
	for _, c := range p.Reserve("ann", "4915112345678", 255, true, false, time.Now()) {
		if c.Add <= 1e18 || c.Add > math.MaxInt64/2+1 {
			t.Errorf("%s: %d", c.Key, c.Add)
		}
	}
}

func TestPolicyReleases(t *testing.T) {
	number := rapid.StringMatching(`[1-9][0-9]{6,14}`)
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 3)
		p := sms.Policy{Prices: prices, DayBudget: euros(1), LoopHour: 1}
		p.SenderDay, p.RecipientDay, p.PrefixHour = limit.Draw(t, "sender"), limit.Draw(t, "recipient"), limit.Draw(t, "prefix")
		to, n, first := contacts.Number(number.Draw(t, "to")), rapid.IntRange(0, 255).Draw(t, "segments"), rapid.Bool().Draw(t, "first")
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "at"), 0)
		totals := map[string]int64{}
		for _, c := range p.Reserve("ann", to, n, first, true, at) {
			totals[c.Key] += c.Add
		}
		some := rapid.IntRange(0, n).Draw(t, "segments first")
		each, _ := p.Prices.Of(to)
		p.Prices, p.DayBudget = sms.Prices{}, euros(0) // others since
		for _, c := range append(p.Release("ann", to, some, each, first, at), p.Release("ann", to, n-some, each, false, at)...) {
			if c.Most != 0 || c.Add >= 0 {
				t.Fatalf("%+v may be refused", c)
			}
			totals[c.Key] += c.Add
		}
		for key, total := range totals {
			if loop := sms.LimitOf(key) == sms.LoopHour; total != 0 && !loop || total != 1 && loop {
				t.Fatalf("%s: %d is left", key, total)
			}
		}
	})
}

func TestLimitOf(t *testing.T) {
	p := sms.Policy{Prices: prices, SenderDay: 1, RecipientDay: 1, PrefixHour: 1, LoopHour: 1}
	want := []sms.Limit{sms.DayBudget, sms.MonthBudget, sms.SenderDay, sms.RecipientDay, sms.PrefixHour, sms.LoopHour}
	now := time.Now()
	counts := p.Reserve("ann", "4915112345678", 1, true, true, now)
	if len(counts) != len(want) || counts[0].Key != sms.DayKey(now) || counts[1].Key != sms.MonthKey(now) {
		t.Fatalf("counted %v", counts)
	}
	for i, c := range counts {
		if got := sms.LimitOf(c.Key); got != want[i] {
			t.Errorf("%q is limit %d, want %d", c.Key, got, want[i])
		}
	}
	for _, key := range []string{"", "days 2026-11-24", "Day 2026-11-24"} {
		if got := sms.LimitOf(key); got != 0 {
			t.Errorf("%q is limit %d", key, got)
		}
	}
}

func TestPolicyCheck(t *testing.T) {
	good := sms.Policy{Prices: prices, DayBudget: euros(0), MonthBudget: euros(1), SenderDay: 1, Allow: []string{"*", "49"}, Deny: []string{"870"}}
	for _, p := range []sms.Policy{{}, good} {
		if err := p.Check(); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
	for want, p := range map[string]sms.Policy{
		"DayBudget: 1 USD is not in the currency of the prices": {Prices: prices, DayBudget: sms.Money{Micros: 1e6, Currency: "USD"}},
		"MonthBudget: -0.000001 EUR is negative":                {Prices: prices, MonthBudget: euros(-1)},
		"DayBudget: the amount has no currency":                 {DayBudget: sms.Money{Micros: 1}},
		`Prices: "+49" is no prefix`:                            {Prices: sms.Prices{Currency: "EUR", Micros: map[string]int64{"+49": 1}}},
		`Prices: that of "49" is negative`:                      {Prices: sms.Prices{Currency: "EUR", Micros: map[string]int64{"49": -1}}},
		`Allow: "0049" is no prefix`:                            {Allow: []string{"0049"}},
		`Deny: "" is no prefix`:                                 {Deny: []string{"870", ""}},
		"LoopHour: -1 is negative":                              {LoopHour: -1},
	} {
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}
