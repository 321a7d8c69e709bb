package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Duration is written as 15s, 1h30m, 30d or 2w; 0 needs no unit.
type Duration time.Duration

// A Size is a number of bytes, written as 64KiB, 1GiB, 10MB or 4096.
type Size int64

// A Rate is a number of events a second, written as 20/s, 100/m or 1/h; a number alone is one a second.
type Rate float64

// A Path is the name of a file; relative ones count from the directory of the configuration file.
type Path string

// A Secret is told to nobody: String, YAML and JSON show stars. Its key may be given with _file, and then names a file that holds it.
type Secret string

const masked = "********"

var (
	errDuration = errors.New("is not a duration; write for example 15s, 10m, 1h30m or 30d")
	errLong     = errors.New("is too long for a duration")
	errSize     = errors.New("is not a size; write for example 64KiB, 10MB, 1GiB or a number of bytes")
	errRate     = errors.New("is not a rate; write for example 20/s, 100/m or 1/h")
)

type unit[T any] struct {
	name string
	of   T
}

// ParseDuration reads a Duration.
func ParseDuration(s string) (Duration, error) {
	if s == "0" {
		return 0, nil
	}
	if s == "" {
		return 0, errDuration
	}
	var sum time.Duration
	for s != "" {
		num, rest := cutNumber(s)
		name := rest[:len(rest)-len(strings.TrimLeft(rest, "abcdefghijklmnopqrstuvwxyz"))]
		part, err := amount(num, name)
		if err != nil {
			return 0, errDuration
		}
		if sum > math.MaxInt64-part {
			return 0, errLong
		}
		sum += part
		s = rest[len(name):]
	}
	return Duration(sum), nil
}

// amount reads what time.ParseDuration reads, and days and weeks.
func amount(num, name string) (time.Duration, error) {
	hours := time.Duration(1)
	switch name {
	case "d":
		name, hours = "h", 24
	case "w":
		name, hours = "h", 7*24
	}
	if num == "" {
		return 0, errDuration
	}
	d, err := time.ParseDuration(num + name)
	if err != nil || d > math.MaxInt64/hours {
		return 0, errDuration
	}
	return d * hours, nil
}

// String writes the shortest form: days from 3 days on, else hours, minutes and seconds.
func (d Duration) String() string {
	t := time.Duration(d)
	if t == 0 {
		return "0s"
	}
	if t%(24*time.Hour) == 0 && t >= 72*time.Hour {
		return strconv.FormatInt(int64(t/(24*time.Hour)), 10) + "d"
	}
	s := t.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return strings.ReplaceAll(s, "µ", "u")
}

// Std returns the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

var sizes = []unit[int64]{
	{"", 1}, {"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
}

// ParseSize reads a Size.
func ParseSize(s string) (Size, error) {
	num, name := cutNumber(s)
	per, ok := find(sizes, strings.TrimPrefix(name, " "))
	value, err := strconv.ParseFloat(num, 64)
	if err != nil || !ok {
		return 0, errSize
	}
	n, err := times(num, value, per)
	if err != nil {
		return 0, errors.New("is too large for a size")
	}
	return Size(n), nil
}

// String writes the largest binary unit that divides the size.
func (s Size) String() string {
	for _, u := range []unit[int64]{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if s != 0 && int64(s)%u.of == 0 {
			return strconv.FormatInt(int64(s)/u.of, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

var rates = []unit[float64]{{"s", 1}, {"m", 60}, {"h", 3600}}

// ParseRate reads a Rate.
func ParseRate(s string) (Rate, error) {
	num, name, given := strings.Cut(s, "/")
	if !given {
		name = "s"
	}
	per, ok := find(rates, name)
	if digits, rest := cutNumber(num); !ok || rest != "" || digits == "" {
		return 0, errRate
	}
	value, err := strconv.ParseFloat(num, 64)
	if err != nil {
		return 0, errRate
	}
	return Rate(value / per), nil
}

// String writes the rate a second, or a minute or an hour when that is a whole number.
func (r Rate) String() string {
	for _, u := range rates {
		if v := float64(r) * u.of; math.Abs(v-math.Round(v)) < 1e-9 {
			return strconv.FormatFloat(math.Round(v), 'f', -1, 64) + "/" + u.name
		}
	}
	return strconv.FormatFloat(float64(r), 'g', -1, 64) + "/s"
}

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// MarshalText writes the form that ParseDuration reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// MarshalText writes the form that ParseSize reads.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalText writes the form that ParseRate reads.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// MarshalText hides the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// cutNumber splits a decimal number without sign or exponent from what follows it.
func cutNumber(s string) (num, rest string) {
	rest = strings.TrimLeft(s, "0123456789.")
	return s[:len(s)-len(rest)], rest
}

func find[T any](units []unit[T], name string) (of T, ok bool) {
	for _, u := range units {
		if u.name == name {
			return u.of, true
		}
	}
	return of, false
}

// times multiplies, and refuses what does not fit.
func times(num string, value float64, per int64) (int64, error) {
	if n, err := strconv.ParseInt(num, 10, 64); err == nil {
		if n > math.MaxInt64/per {
			return 0, fmt.Errorf("%s is too large", num)
		}
		return n * per, nil
	}
	if product := value * float64(per); product < math.MaxInt64 {
		return int64(product), nil
	}
	return 0, fmt.Errorf("%s is too large", num)
}
