package hooks_test

import (
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/hooks"
)

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		outer, filter string
		want          bool
	}{
		{"t/#", "t/#", true}, {"t/#", "t/a/b", true}, {"t/#", "t/+/b/#", true}, {"t/#", "t", true}, {"t/#", "tt/x", false}, {"t/#", "#", false},
		{"t/#", "+/a", false}, {"t/+", "t/a", true}, {"t/+", "t/+", true}, {"t/+", "t/#", false}, {"t/+", "t/a/b", false}, {"t/+", "t", false},
		{"t/+/x", "t/a/x", true}, {"t/+/x", "t/a/y", false}, {"t/a", "t/+", false}, {"t/a", "t/a", true}, {"t/a", "t/a/", false},
		{"t/a/#", "t/a", true}, {"t/+/#", "t", false}, {"a/b", "$a/b", false}, {"#", "$SYS/x", false}, {"#", "a", true}, {"t/#", "t//", true},
	} {
		if got := hooks.Covers(c.outer, c.filter); got != c.want {
			t.Errorf("%s covers %s: %v", c.outer, c.filter, got)
		}
	}
}

func TestControlCharacters(t *testing.T) {
	for _, bad := range []string{"\x00", "a\x1f", "\x7f", "\u0080", "x\u009fy", "\ufffe", "\uffff", "\U0001fffe", "\ufdd0", "\xff", "a\xc0\x80"} {
		if hooks.Clean(bad) || hooks.ValidFilter("t/"+bad) {
			t.Errorf("%q passes", bad)
		}
	}
	for _, good := range []string{"", "phone", "Jürgens Gerät", "手机", "📱", "a b", "\u00a0", "\ufffd"} {
		if !hooks.Clean(good) {
			t.Errorf("%q is refused", good)
		}
	}
}

// No filter that gets through reaches into another's inbox.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{"u/4915112345601/#", "u/+/#", "#", "$share/g/u/4915112345601/#", "u/4915112345601/in/+/+", "t/#"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, filter string) {
		open := hooks.Covers("t/#", filter)
		if !hooks.ValidFilter(filter) || !hooks.IsInbox(alice, filter) && !open {
			return
		}
		if hooks.IsInbox(alice, filter) && (!strings.HasPrefix(filter, "u/"+string(alice)+"/") || hooks.IsInbox(bob, filter)) {
			t.Fatalf("%q", filter)
		}
		if open && !strings.HasPrefix(filter, "t/") && filter != "t" {
			t.Fatalf("%q counts as open", filter)
		}
	})
}
