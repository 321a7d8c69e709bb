package config

import (
	"fmt"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Check returns all that is wrong with a Config, as Problems; Load has done it.
func (c Config) Check() error { return check(c).sorted() }

func check(c Config) Problems {
	var ck checker
	ck.ranges(reflect.ValueOf(c), "")
	ck.auth(c)
	ck.listen(c.Listen)
	ck.admin(c)
	ck.push(c.Push)
	ck.sms(c.SMS)
	return ck.problems
}

type checker struct{ problems Problems }

func (c *checker) fail(key, format string, args ...any) {
	c.problems = append(c.problems, Problem{Key: key, Message: fmt.Sprintf(format, args...)})
}

// ranges checks the tags min, max and oneof of every field.
func (c *checker) ranges(v reflect.Value, path string) {
	switch {
	case v.Type() == gatewayType: // its kind says which keys count
	case isSection(v.Type()):
		for i := range v.NumField() {
			f := v.Type().Field(i)
			key := join(path, keyOf(f))
			c.bounds(v.Field(i), f.Tag, key)
			c.ranges(v.Field(i), key)
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			c.ranges(v.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
	}
}

func (c *checker) bounds(v reflect.Value, tag reflect.StructTag, key string) {
	if words := tag.Get("oneof"); words != "" && !slices.Contains(strings.Split(words, "|"), v.String()) {
		c.fail(key, "%q is none of %s", v.String(), strings.ReplaceAll(words, "|", ", "))
	}
	low, high := tag.Get("min"), tag.Get("max")
	if low == "" {
		return
	}
	// Written so that NaN, which is neither below nor above, is out of range.
	if !(number(v) >= bound(v.Type(), low) && number(v) <= bound(v.Type(), high)) {
		c.fail(key, "%v is out of range; allowed is %s to %s", v.Interface(), low, high)
	}
}

// number makes values of all ordered kinds comparable; the bounds are far below 2^53 of their units, apart from durations, whose error of 1 µs in 3,650 days is harmless.
func number(v reflect.Value) float64 {
	if v.CanInt() {
		return float64(v.Int())
	}
	return v.Float()
}

func bound(t reflect.Type, text string) float64 {
	v := reflect.New(t).Elem()
	if err := parse(text, v); err != nil {
		panic(fmt.Sprintf("config: the tag %q of a %s: %v", text, t, err)) // a tag of ours is wrong; the tests read them all
	}
	return number(v)
}

func (c *checker) auth(cfg Config) {
	if cfg.Data == "" {
		c.fail("data", "is the directory that messages are kept in; it cannot be empty")
	}
	if cfg.Auth.Mode != ModeOpen {
		return
	}
	for _, l := range []struct{ key, address string }{{"listen.mqtt", cfg.Listen.MQTT}, {"listen.http", cfg.Listen.HTTP}, {"listen.admin", cfg.Listen.Admin}} {
		if l.address == "" || strings.HasPrefix(l.address, "unix:") || badAddress(l.address) != nil || IsLoopback(l.address) {
			continue
		}
		c.fail("auth.mode", "open lets anybody in without a password, and %s (%s) can be reached from other machines; use auth.mode: token, or a loopback address such as 127.0.0.1:1883", l.key, l.address)
	}
}

func (c *checker) listen(l Listen) {
	c.address("listen.mqtt", l.MQTT)
	if l.HTTP != "" {
		c.address("listen.http", l.HTTP)
	}
	if l.Admin != "" && !strings.HasPrefix(l.Admin, "unix:") {
		c.address("listen.admin", l.Admin)
	}
	c.distinct(l)
	if l.PublicURL == "" {
		return
	}
	if u, err := url.Parse(l.PublicURL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		c.fail("listen.public_url", "%q is not a URL such as https://push.example.org", l.PublicURL)
	}
}

func (c *checker) admin(cfg Config) {
	if cfg.Socket() == "" && cfg.Listen.Admin != "" && cfg.Admin.Token == "" {
		c.fail("listen.admin", "an address needs a token: set admin.token_file, or use a socket (unix:)")
	}
}

func (c *checker) address(key, address string) {
	if err := badAddress(address); err != nil {
		c.fail(key, "%q is not an address; write host:port such as 127.0.0.1:1883, or :1883 for all interfaces", address)
	}
}

// distinct checks that no two listeners want the same address.
func (c *checker) distinct(l Listen) {
	taken := map[string]string{}
	for _, o := range []struct{ key, address string }{{"listen.mqtt", l.MQTT}, {"listen.http", l.HTTP}, {"listen.admin", l.Admin}} {
		place, ok := placeOf(o.address)
		if !ok {
			continue
		}
		if first, again := taken[place]; again {
			c.fail(o.key, "%q is the address of %s too; each listener needs a port of its own", o.address, first)
			continue
		}
		taken[place] = o.key
	}
}

// placeOf is the one spelling of an address; false when it is none, or has port 0, of which everybody gets another.
func placeOf(address string) (string, bool) {
	if strings.HasPrefix(address, "unix:") || badAddress(address) != nil {
		return "", false
	}
	host, port, _ := net.SplitHostPort(address)
	number, _ := strconv.ParseUint(port, 10, 16)
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "" // all interfaces
	} else if ip != nil {
		host = ip.String()
	}
	return net.JoinHostPort(strings.ToLower(host), strconv.FormatUint(number, 10)), number != 0
}

func badAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err
}

func (c *checker) push(p Push) {
	if p.AfterMax < p.AckTimeout {
		c.fail("push.after_max", "%v is below push.ack_timeout (%v)", p.AfterMax, p.AckTimeout)
	}
}
