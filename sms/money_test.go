package sms_test

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

func TestMoneyAsText(t *testing.T) {
	for _, c := range []struct {
		text   string
		micros int64
		back   string // what String makes of it
	}{
		{"50 EUR", 50_000_000, "50 EUR"},
		{"0 EUR", 0, "0 EUR"},
		{"0.075 EUR", 75_000, "0.075 EUR"},
		{"0.000001 CNY", 1, "0.000001 CNY"},
		{"0.10 USD", 100_000, "0.1 USD"},
		{"100 JPY", 100_000_000, "100 JPY"},
		{"007.50 EUR", 7_500_000, "7.5 EUR"},
		{"999999999999.999999 EUR", 999_999_999_999_999_999, "999999999999.999999 EUR"},
		{"123456789012.345678 EUR", 123_456_789_012_345_678, "123456789012.345678 EUR"},
	} {
		m, err := sms.ParseMoney(c.text)
		if err != nil || m.Micros != c.micros || m.String() != c.back {
			t.Errorf("%q is %d, %q, %v; want %d, %q", c.text, m.Micros, m, err, c.micros, c.back)
		}
	}
	for _, bad := range []string{"", "EUR", "50", "50EUR", "50 eur", "50 EURO", "-1 EUR", "+1 EUR", "1,5 EUR", "1.5. EUR", ".5 EUR", "5. EUR", "0.0000001 EUR",
		"1000000000000 EUR", "1e3 EUR", "50  EUR", " 50 EUR", "50 EUR\n", "50 €", "٥ EUR"} {
		if m, err := sms.ParseMoney(bad); err == nil || !strings.Contains(err.Error(), "0.075 EUR") {
			t.Errorf("%q is read as %v, %v", bad, m, err)
		}
	}
	for micros, want := range map[int64]string{
		-75_000: "-0.075 EUR", -1: "-0.000001 EUR", math.MaxInt64: "9223372036854.775807 EUR", math.MinInt64: "-9223372036854.775808 EUR",
	} {
		if got := (sms.Money{Micros: micros, Currency: "EUR"}).String(); got != want {
			t.Errorf("%d is %q, want %q", micros, got, want)
		}
	}
	if got := (sms.Money{}).String(); got != "" {
		t.Errorf("no money is %q", got)
	}
}

func FuzzParseMoney(f *testing.F) {
	for _, s := range []string{"50 EUR", "0.075 EUR", "0.000001 CNY", "999999999999.999999 EUR", "1.2.3 EUR"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := sms.ParseMoney(text)
		if err != nil {
			return
		}
		if again, err := sms.ParseMoney(m.String()); err != nil || again != m || m.Micros < 0 {
			t.Fatalf("%q is %d, and that %q, %v", text, m.Micros, again, err)
		}
	})
}

func TestMoneyTimes(t *testing.T) {
	for _, c := range []struct {
		micros int64
		n      int
		want   int64
	}{
		{75_000, 3, 225_000},
		{75_000, 0, 0},
		{0, 255, 0},
		{-75_000, 2, -150_000},
		{75_000, -2, -150_000},
		{math.MaxInt64, 1, math.MaxInt64},
		{math.MaxInt64/2 + 1, 2, math.MaxInt64},
		{math.MaxInt64, 255, math.MaxInt64},
		{1, math.MaxInt, math.MaxInt64},
		{2, math.MaxInt, math.MaxInt64},
		{math.MaxInt64, -2, math.MinInt64},
		{math.MinInt64, 2, math.MinInt64},
		{math.MinInt64, -1, math.MaxInt64},
		{-1, math.MinInt, math.MaxInt64},
		{math.MinInt64, 1, math.MinInt64},
	} {
		if got := (sms.Money{Micros: c.micros, Currency: "EUR"}).Times(c.n); got.Micros != c.want || got.Currency != "EUR" {
			t.Errorf("%d times %d is %d, want %d", c.n, c.micros, got.Micros, c.want)
		}
	}
}

func TestPrices(t *testing.T) {
	p := sms.Prices{Currency: "EUR", Micros: map[string]int64{"49": 75_000, "4915": 60_000, "491511": 0, "*": 120_000, "1": 10_000}}
	for to, want := range map[contacts.Number]int64{
		"4930123456": 75_000, "4915212345678": 60_000, "4915112345678": 0, "8613800138000": 120_000, "15005550006": 10_000,
	} {
		if got, ok := p.Of(to); !ok || got != (sms.Money{Micros: want, Currency: "EUR"}) {
			t.Errorf("%s costs %v, %v, want %d", to, got, ok, want)
		}
	}
	delete(p.Micros, "*")
	if got, ok := p.Of("8613800138000"); ok || got != (sms.Money{}) {
		t.Errorf("a number without a price costs %v", got)
	}
	if _, ok := (sms.Prices{}).Of("8613800138000"); ok {
		t.Error("no prices have one")
	}
}

func TestLongestPrefix(t *testing.T) {
	any := rapid.SliceOfN(rapid.StringMatching(`[1-9][0-9]{0,5}|\*`), 0, 20)
	rapid.Check(t, func(t *rapid.T) {
		prefixes, n := any.Draw(t, "prefixes"), rapid.StringMatching(`[1-9][0-9]{6,14}`).Draw(t, "number")
		want, found := "*", false
		has := map[string]bool{}
		for _, p := range prefixes {
			has[p] = true
			switch {
			case p == "*":
				found = true
			case strings.HasPrefix(n, p) && (want == "*" || len(p) > len(want)):
				want, found = p, true
			}
		}
		got, ok := sms.LongestPrefix(contacts.Number(n), func(p string) bool { return has[p] })
		if ok != found || ok && got != want {
			t.Fatalf("%s of %q: %q, %v, want %q, %v", n, prefixes, got, ok, want, found)
		}
	})
}

func TestCallingCode(t *testing.T) {
	for n, want := range map[contacts.Number]string{
		"15005550006": "1", "79161234567": "7", "4915112345678": "49", "8613800138000": "86", "33612345678": "33", "358401234567": "358", "35312345678": "353",
		"8801712345678": "880", "870123456789": "870", "882123456789": "882", "979123456789": "979", "2348012345678": "234", "27821234567": "27", "12": "12", "": "",
	} {
		if got := sms.CallingCode(n); got != want {
			t.Errorf("%s begins with %s, want %s", n, got, want)
		}
	}
}
