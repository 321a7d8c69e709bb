package clienttest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/clienttest/leak"
	"github.com/seed-7a41469f/godwit/contacts"
)

// A witness is a test that notes what it is failed for.
type witness struct {
	testing.TB
	errors []string
}

func (w *witness) Errorf(format string, args ...any) {
	w.errors = append(w.errors, fmt.Sprintf(format, args...))
}

// TestALeakFailsTheTest plants in a broker's log what it must not have, and looks whether the test fails.
func TestALeakFailsTheTest(t *testing.T) {
	t.Setenv(leak.Variable, "") // these logs are not kept
	for _, c := range []struct {
		name string
		line func(s *clienttest.Server) string
		want string // empty: no leak
	}{
		{"nothing", func(*clienttest.Server) string { return "all is well with " + ann.Mask() }, ""},
		{"a sender's number", func(*clienttest.Server) string { return string(ann) }, "the number …01"},
		{"a recipient's number, in groups", func(*clienttest.Server) string { return "+49 176 0406 9003" }, "the number …03"},
		{"the number that an SMS came from", func(*clienttest.Server) string { return "from 4917604069055" }, "the number …55"},
		{"a payload", func(*clienttest.Server) string { return `{"payload":"Lunch at one"}` }, "Lunc… (12 octets)"},
		{"a payload that a phone got", func(*clienttest.Server) string { return "66696e65207769746820" + "6d65" }, "in hexadecimal"},
		{"a token", func(s *clienttest.Server) string { return s.Token(ann) }, "gw_"},
		{"what the test hides", func(*clienttest.Server) string { return "pw123" }, "pw123"},
	} {
		w := &witness{TB: t}
		t.Run(c.name, func(t *testing.T) {
			w.TB = t
			s := clienttest.NewServer(w, push(nil))
			s.Hide("pw123")
			a := s.Connect(clienttest.Login{User: ann})
			send(a, cleo, "k", "Lunch at one")
			a.Final("k")
			s.SMS.MO("4917604069055", clienttest.OurNumber, "who are you?")
			s.SMS.MO(contacts.Number(cleo), clienttest.OurNumber, "fine with me")
			a.Next("sms")
			if err := s.Log(c.line(s)); err != nil {
				t.Fatal(err)
			}
		})
		caught := slices.ContainsFunc(w.errors, func(e string) bool { return strings.Contains(e, c.want) })
		if c.want == "" && len(w.errors) > 0 || c.want != "" && !caught {
			t.Errorf("%s: the test is failed with %q, want %q", c.name, w.errors, c.want)
		}
	}
}
