package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Check returns all that is wrong with a Config, as Problems; Load has done it.
func (c Config) Check() error { return check(c).sorted() }

func check(c Config) Problems {
	var ck checker
	ck.ranges(reflect.ValueOf(c), "")
	if c.Data == "" {
		ck.fail("data", "is the directory that messages are kept in; it cannot be empty")
	}
	ck.auth(c)
	ck.listen(c.Listen)
	ck.tls(c.Listen)
	ck.admin(c)
	ck.push(c.Push)
	ck.topics(c.Topics)
	if c.Cluster.NATS != "" {
		ck.fail("cluster.nats", "names a cluster, which this version does not have: it runs on one machine; leave it empty")
	}
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

func (c *checker) push(p Push) {
	if p.AfterMax < p.AckTimeout {
		c.fail("push.after_max", "%v is below push.ack_timeout (%v)", p.AfterMax, p.AckTimeout)
	}
}
