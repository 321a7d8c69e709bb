package sms

import (
	"errors"
	"fmt"
	"slices"

	"github.com/seed-7a41469f/godwit/contacts"
)

// A Route says which gateways may take what goes to a prefix, and in which order they are tried.
type Route struct {
	Prefix string   // of the recipient's number: digits, or "*" for all others
	Use    []string // names of gateways
}

// routing is the routes of a Dispatcher as it follows them. The first paths are those to one gateway only, by its index; then comes the one to none, of
// numbers that no route matches; prefixes with the same gateways share one.
type routing struct {
	paths    []path
	nowhere  int
	byPrefix map[string]int
}

// A path is gateways in the order in which they are tried.
type path struct {
	use []int  // indexes of gateways
	all uint64 // bit set of them
}

// none is no gateway.
const none = -1

// choose returns the gateway that takes what was tried in vain at some: the first of the others that is not paused. Those that an operator holds may take
// nothing, and when only they were not tried, each of the rest may again; for one that pauses by itself it is worth to wait.
func (p path) choose(tried, held, paused uint64) int {
	if p.all&^(tried|held) == 0 {
		tried = 0
	}
	for _, i := range p.use {
		if (tried|held|paused)&(1<<i) == 0 {
			return i
		}
	}
	return none
}

func newRouting(names []string, routes []Route) *routing {
	r := &routing{byPrefix: map[string]int{}, nowhere: len(names)}
	var all []int
	for i := range names {
		all = append(all, i)
		r.paths = append(r.paths, newPath([]int{i}))
	}
	r.paths = append(r.paths, path{})
	if len(routes) == 0 {
		r.add("*", all)
	}
	for _, route := range routes {
		var use []int
		for _, name := range route.Use {
			if i := slices.Index(names, name); i >= 0 {
				use = append(use, i)
			}
		}
		r.add(route.Prefix, use)
	}
	return r
}

func newPath(use []int) path {
	p := path{use: use}
	for _, i := range use {
		p.all |= 1 << i
	}
	return p
}

func (r *routing) add(prefix string, use []int) {
	i := slices.IndexFunc(r.paths, func(p path) bool { return slices.Equal(p.use, use) })
	if i < 0 {
		i = len(r.paths)
		r.paths = append(r.paths, newPath(use))
	}
	r.byPrefix[prefix] = i
}

// to returns the path to a number: that of the longest prefix.
func (r *routing) to(n contacts.Number) int {
	prefix, ok := LongestPrefix(n, func(prefix string) bool { _, ok := r.byPrefix[prefix]; return ok })
	if !ok {
		return r.nowhere
	}
	return r.byPrefix[prefix]
}

// checkRoutes returns what is wrong with routes between gateways of these names.
func checkRoutes(names []string, routes []Route) error {
	var errs []error
	seen := map[string]bool{}
	for i, r := range routes {
		wrong := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("route %d, to prefix %q: %w", i+1, r.Prefix, fmt.Errorf(format, args...)))
		}
		if r.Prefix != "*" && !isPrefix(r.Prefix) {
			wrong("a prefix is 1 to 15 digits of an international number, without + and not beginning with 0, or \"*\" for all others")
		}
		if seen[r.Prefix] {
			wrong("another route has the same prefix: make them one")
		}
		seen[r.Prefix] = true
		if len(r.Use) == 0 {
			wrong("it names no gateway to use; there are %q", names)
		}
		for j, name := range r.Use {
			if !slices.Contains(names, name) {
				wrong("there is no gateway %q; there are %q", name, names)
			}
			if slices.Contains(r.Use[:j], name) {
				wrong("it names the gateway %q twice", name)
			}
		}
	}
	return errors.Join(errs...)
}

// isPrefix reports whether s may begin an E.164 number.
func isPrefix(s string) bool {
	if s == "" || len(s) > 15 || s[0] == '0' {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
