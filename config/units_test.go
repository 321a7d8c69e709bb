package config_test

import (
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/config"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "15s": 15 * time.Second, "10m": 10 * time.Minute, "30d": 720 * time.Hour, "1h30m": 90 * time.Minute, "1.5h": 90 * time.Minute,
		"2w": 336 * time.Hour, "250ms": 250 * time.Millisecond, "1d12h": 36 * time.Hour, "9223372036854775807ns": 1<<63 - 1,
	} {
		if got, err := config.ParseDuration(text); err != nil || got.Std() != want {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "15", "s", "-5s", "+5s", "5 s", "5S", "1y", "1e3s", "5s ", "0x5s", "１５s", "5sec", ".", ".s", "1..5s", "9223372036854775808ns", "99999999999d", "9999999999999999999999h", "292y"} {
		if got, err := config.ParseDuration(text); err == nil {
			t.Errorf("%q is accepted as %v", text, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]config.Size{
		"0": 0, "4096": 4096, "64KiB": 64 << 10, "1GiB": 1 << 30, "10MB": 10_000_000, "1.5KiB": 1536, "10 MB": 10_000_000, "2TiB": 2 << 40, "7B": 7,
	} {
		if got, err := config.ParseSize(text); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1kib", "64 K", "1e9", "NaN", "9000000TiB", "0x10", "1  KiB", "1PiB"} {
		if got, err := config.ParseSize(text); err == nil {
			t.Errorf("%q is accepted as %d", text, got)
		}
	}
}

func TestParseRate(t *testing.T) {
	for text, want := range map[string]config.Rate{"20/s": 20, "0.5/s": 0.5, "60/m": 1, "3600/h": 1, "0/s": 0, "50": 50, "0": 0} {
		if got, err := config.ParseRate(text); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "/s", "/", "-1", "20/", "20/d", "-1/s", "1e3/s", "Inf/s", "20/s/s", "20 /s"} {
		if got, err := config.ParseRate(text); err == nil {
			t.Errorf("%q is accepted as %v", text, got)
		}
	}
}

func TestUnitsAreWrittenShort(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{config.Duration(0).String(), "0s"}, {config.Duration(15 * time.Second).String(), "15s"}, {config.Duration(720 * time.Hour).String(), "30d"},
		{config.Duration(24 * time.Hour).String(), "24h"}, {config.Duration(48 * time.Hour).String(), "48h"}, {config.Duration(10 * time.Minute).String(), "10m"},
		{config.Duration(90 * time.Minute).String(), "1h30m"}, {config.Duration(1500 * time.Millisecond).String(), "1.5s"}, {config.Duration(3 * time.Microsecond).String(), "3us"},
		{config.Size(64 << 10).String(), "64KiB"}, {config.Size(1 << 30).String(), "1GiB"}, {config.Size(1000).String(), "1000"}, {config.Size(0).String(), "0"},
		{config.Rate(20).String(), "20/s"}, {config.Rate(0.5).String(), "30/m"}, {config.Rate(1.0 / 3600).String(), "1/h"}, {config.Rate(0.3e-5).String(), "3e-06/s"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"15s", "1h30m", "1.5h", "30d", "0", "1us"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := config.ParseDuration(s)
		if err != nil {
			return
		}
		if d < 0 {
			t.Fatalf("%q is negative: %v", s, d)
		}
		if again, err := config.ParseDuration(d.String()); err != nil || again != d {
			t.Errorf("%q is written %s and read as %d, %v; want %d", s, d, again, err, d)
		}
	})
}

func FuzzSize(f *testing.F) {
	for _, s := range []string{"64KiB", "1GiB", "1.5MB", "0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := config.ParseSize(s)
		if err != nil {
			return
		}
		if again, err := config.ParseSize(n.String()); n < 0 || err != nil || again != n {
			t.Errorf("%q is written %s and read as %d, %v; want %d", s, n, again, err, n)
		}
	})
}

func FuzzRate(f *testing.F) {
	for _, s := range []string{"20/s", "100/m", "1/h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := config.ParseRate(s); err == nil && !(r >= 0) {
			t.Errorf("%q is %v", s, float64(r))
		}
	})
}
