package typo_test

import (
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/internal/typo"
)

func TestNearest(t *testing.T) {
	known := []string{"ack_timeout", "after_max", "window", "send", "serve"}
	for typed, want := range map[string]string{
		"ack_timout": "ack_timeout", "ACK_TIMEOUT": "ack_timeout", "windwo": "window", "sned": "send", "serv": "serve", "afer_max": "after_max",
		"colour": "", "": "", "x": "", "wndw": "", strings.Repeat("window", 1000): "",
	} {
		if got, ok := typo.Nearest(typed, known); got != want || ok != (want != "") {
			t.Errorf("%.20q: got %q, want %q", typed, got, want)
		}
	}
}

func FuzzNearest(f *testing.F) {
	f.Add("ack_timout")
	f.Fuzz(func(t *testing.T, s string) {
		if got, ok := typo.Nearest(s, []string{"ack_timeout"}); ok && got != "ack_timeout" {
			t.Error(got)
		}
	})
}
