package api_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/api"
)

// longDigits is what may be a number; an error has none but the example.
var longDigits = regexp.MustCompile("[0-9]{7}")

func TestNumberOf(t *testing.T) {
	for _, c := range []struct{ name, text, region, want string }{
		{"canonical", "4917604069001", "", "4917604069001"},
		{"with +", "+4917604069001", "", "4917604069001"},
		{"grouped", "+49 (176) 0406-9001", "", "4917604069001"},
		{"as dialled, no region", "0176 04069001", "", ""},
		{"as dialled", "0176 40690012", "DE", "4917640690012"},
		{"as dialled abroad", "0049 176 40690012", "DE", "4917640690012"},
		{"as dialled abroad, from there", "011 49 176 40690012", "US", "4917640690012"},
		{"canonical at home", "4917640690012", "DE", "4917640690012"},
		{"canonical, of elsewhere", "4917640690012", "CN", "4917640690012"},
		{"without trunk prefix", "13812345678", "CN", "8613812345678"},
		{"with + is never national", "+13812345678", "CN", "13812345678"},
		{"canonical, of elsewhere, and a fixed line at home", "43664123456", "DE", "43664123456"},
		{"a mobile at home, and a number elsewhere", "15012345678", "CN", ""},
		{"the same with +", "+15012345678", "CN", "15012345678"},
		{"what no plan knows stays what it is", "4917604069001", "CN", "4917604069001"},
		{"no number", "hello", "DE", ""},
		{"too short", "12345", "DE", ""},
		{"a short code", "+12345", "", ""},
		{"empty", "", "CN", ""},
		{"full-width digits", "４９１７６０４０６９００１", "", ""},
		{"a line break", "4917604069001\n", "", "4917604069001"},
		{"a line break inside", "49176\n04069001", "DE", ""},
	} {
		got, err := api.ParseNumber("number", c.text, c.region)
		if string(got) != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.name, got, err, c.want)
		}
		var p *api.Problem
		if c.want == "" && (!errors.As(err, &p) || p.Status != 400 || !strings.HasPrefix(p.Detail, "number: ")) {
			t.Errorf("%s: %v is no bad request", c.name, err)
		}
		if err != nil && longDigits.MatchString(strings.ReplaceAll(err.Error(), "4915112345678", "")) {
			t.Errorf("%s: the error has a number in it: %v", c.name, err)
		}
	}
}

func FuzzParseNumber(f *testing.F) {
	for _, seed := range []string{"+49 176 04069001", "0176 04069001", "13812345678", "00", "+", "１２３"} {
		f.Add(seed, "CN")
	}
	f.Fuzz(func(t *testing.T, text, region string) {
		n, err := api.ParseNumber("number", text, region)
		if err != nil {
			return
		}
		if again, err := api.ParseNumber("number", "+"+string(n), region); err != nil || again != n {
			t.Errorf("%q in %q is %s, and that is %q, %v", text, region, n, again, err)
		}
	})
}
