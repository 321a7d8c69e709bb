package sms_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/seed-7a41469f/godwit/sms"
)

func TestSplit(t *testing.T) {
	a := func(n int) string { return strings.Repeat("a", n) }
	zh := func(n int) string { return strings.Repeat("字", n) }
	emoji := func(n int) string { return strings.Repeat("😀", n) }
	for _, c := range []struct {
		name   string
		text   string
		coding sms.Coding
		units  []int // septets or octets of each segment
	}{
		{"empty", "", sms.GSM7, []int{0}},
		{"160 septets", a(160), sms.GSM7, []int{160}},
		{"161 septets", a(161), sms.GSM7, []int{153, 8}},
		{"153 septets are still one", a(153), sms.GSM7, []int{153}},
		{"306 septets", a(306), sms.GSM7, []int{153, 153}},
		{"307 septets", a(307), sms.GSM7, []int{153, 153, 1}},
		{"459 septets", a(459), sms.GSM7, []int{153, 153, 153}},
		{"460 septets", a(460), sms.GSM7, []int{153, 153, 153, 1}},
		{"line feed, return and form feed are GSM 7", "a\r\nb\fc", sms.GSM7, []int{7}},
		{"tab goes as a space", "a\tb", sms.GSM7, []int{3}},
		{"80 extension characters", strings.Repeat("{", 80), sms.GSM7, []int{160}},
		{"81 extension characters", strings.Repeat("{", 81), sms.GSM7, []int{152, 10}},
		{"159 and a euro", a(159) + "€", sms.GSM7, []int{153, 8}},
		{"158 and a euro", a(158) + "€", sms.GSM7, []int{160}},
		{"euro across the seam goes to the next", a(152) + "€" + a(10), sms.GSM7, []int{152, 12}},
		{"euro ends before the seam", a(151) + "€" + a(10), sms.GSM7, []int{153, 10}},
		{"extension character across the second seam", a(153+152) + "]" + a(10), sms.GSM7, []int{153, 152, 12}},
		{"70 units", zh(70), sms.UCS2, []int{140}},
		{"71 units", zh(71), sms.UCS2, []int{134, 8}},
		{"134 units", zh(134), sms.UCS2, []int{134, 134}},
		{"135 units", zh(135), sms.UCS2, []int{134, 134, 2}},
		{"35 emoji", emoji(35), sms.UCS2, []int{140}},
		{"36 emoji", emoji(36), sms.UCS2, []int{132, 12}},
		{"emoji at unit 67/68 goes to the next", zh(66) + "😀" + zh(10), sms.UCS2, []int{132, 24}},
		{"emoji at unit 66/67 stays", zh(65) + "😀" + zh(10), sms.UCS2, []int{134, 20}},
		{"one character makes all UCS-2", a(69) + "ç", sms.UCS2, []int{140}},
		{"extension characters are one unit in UCS-2", strings.Repeat("{", 69) + "字", sms.UCS2, []int{140}},
		{"255 segments", a(255 * 153), sms.GSM7, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			segments, err := sms.Split(c.text)
			if err != nil {
				t.Fatal(err)
			}
			check(t, c.text, segments)
			if c.units == nil {
				return
			}
			if len(segments) != len(c.units) {
				t.Fatalf("%d segments, want %d", len(segments), len(c.units))
			}
			for i, s := range segments {
				if s.Units != c.units[i] || s.Coding != c.coding {
					t.Errorf("segment %d: %d in %s, want %d in %s", i+1, s.Units, s.Coding, c.units[i], c.coding)
				}
			}
		})
	}
}

func TestSplitRefuses(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       error
	}{
		{"invalid UTF-8", "caf\xe9", sms.ErrNotText},
		{"cut UTF-8", "字"[:2], sms.ErrNotText},
		{"NUL", "a\x00b", sms.ErrNotText},
		{"escape", "\x1b[31mred", sms.ErrNotText},
		{"bell", "\a", sms.ErrNotText},
		{"DEL", "\x7f", sms.ErrNotText},
		{"C1 control", "\u009b31m", sms.ErrNotText},
		{"256 segments", strings.Repeat("a", 255*153+1), sms.ErrTooLong},
		{"256 segments in UCS-2", strings.Repeat("字", 255*67+1), sms.ErrTooLong},
	} {
		t.Run(c.name, func(t *testing.T) {
			segments, err := sms.Split(c.text)
			if !errors.Is(err, c.want) || segments != nil {
				t.Errorf("got %d segments, %v, want %v", len(segments), err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), c.text) {
				t.Errorf("the error has the payload in it: %v", err)
			}
		})
	}
}

func TestForcing(t *testing.T) {
	for text, want := range map[string]rune{
		"": 0, "plain {€}\t\n": 0, "wait…": '…', "“quoted”": '“', "it’s ç": '’', "a😀": '😀', "ÀÁ": 'À',
	} {
		if got := sms.Forcing(text); got != want {
			t.Errorf("Forcing(%q) = %q, want %q", text, got, want)
		}
	}
}

// check holds for the segments of any text: nothing is lost, no segment is larger than its TPDU, none could have taken the next character.
func check(t rapid.TB, text string, segments []sms.Segment) {
	t.Helper()
	checkWith(t, text, segments, udh8)
}

func checkWith(t rapid.TB, text string, segments []sms.Segment, udh header) {
	t.Helper()
	var joined strings.Builder
	for i, s := range segments {
		joined.WriteString(s.Text)
		if s.Number != i+1 {
			t.Errorf("segment %d has number %d", i+1, s.Number)
		}
		if s.Coding != segments[0].Coding {
			t.Errorf("segment %d is in %s, the first in %s", i+1, s.Coding, segments[0].Coding)
		}
		octets, err := sms.Encode(s.Text, s.Coding)
		if err != nil {
			t.Fatalf("segment %d: %v", i+1, err)
		}
		if len(octets) != s.Units {
			t.Errorf("segment %d has %d units, says %d", i+1, len(octets), s.Units)
		}
		if sms.Decode(octets, s.Coding) != s.Text {
			t.Errorf("segment %d reads as another text", i+1)
		}
		if size := userData(octets, s.Coding, len(segments) > 1, udh); size > 140 {
			t.Errorf("segment %d has %d octets of user data", i+1, size)
		}
		if i > 0 {
			first, _ := utf8.DecodeRuneInString(s.Text)
			more, _ := sms.Encode(segments[i-1].Text+string(first), s.Coding)
			if userData(more, s.Coding, true, udh) <= 140 {
				t.Errorf("segment %d had room for %q", i, first)
			}
		}
	}
	if joined.String() != strings.ReplaceAll(text, "\t", " ") {
		t.Error("the segments joined are another text")
	}
}

// A header is a UDH that concatenates: its octets, and the bits that fill the septet it ends in.
type header struct{ octets, fill int }

var (
	udh8  = header{6, 1} // 3GPP TS 23.040 §9.2.3.24.1
	udh16 = header{7, 0} // 3GPP TS 23.040 §9.2.3.24.8
)

// userData returns the octets of a TPDU's user data, its header with it.
func userData(octets []byte, coding sms.Coding, concatenated bool, udh header) int {
	if !concatenated {
		udh = header{}
	}
	if coding == sms.GSM7 {
		return udh.octets + len(sms.Pack(octets, udh.fill))
	}
	return udh.octets + len(octets)
}

func TestSplitWith16BitReference(t *testing.T) {
	a := func(n int) string { return strings.Repeat("a", n) }
	zh := func(n int) string { return strings.Repeat("字", n) }
	wide := sms.Abilities{Reference16: true}
	for _, c := range []struct {
		name  string
		text  string
		units []int // septets or octets of each segment
	}{
		{"160 septets need no reference", a(160), []int{160}},
		{"161 septets", a(161), []int{152, 9}},
		{"304 septets", a(304), []int{152, 152}},
		{"305 septets", a(305), []int{152, 152, 1}},
		{"two segments of 153 become three", a(306), []int{152, 152, 2}},
		{"euro at septet 152/153 goes to the next", a(151) + "€" + a(10), []int{151, 12}},
		{"euro ends at septet 152", a(150) + "€" + a(10), []int{152, 10}},
		{"81 extension characters", strings.Repeat("{", 81), []int{152, 10}},
		{"70 units need no reference", zh(70), []int{140}},
		{"71 units", zh(71), []int{132, 10}},
		{"132 units", zh(132), []int{132, 132}},
		{"133 units", zh(133), []int{132, 132, 2}},
		{"emoji at unit 66/67 goes to the next", zh(65) + "😀" + zh(10), []int{130, 24}},
		{"emoji at unit 65/66 stays", zh(64) + "😀" + zh(10), []int{132, 20}},
		{"36 emoji", strings.Repeat("😀", 36), []int{132, 12}},
	} {
		t.Run(c.name, func(t *testing.T) {
			segments, err := wide.Split(c.text)
			if err != nil {
				t.Fatal(err)
			}
			checkWith(t, c.text, segments, udh16)
			var units []int
			for _, s := range segments {
				units = append(units, s.Units)
			}
			if !slices.Equal(units, c.units) {
				t.Errorf("units %v, want %v", units, c.units)
			}
		})
	}
	if _, err := wide.Split(a(255 * 152)); err != nil {
		t.Errorf("255 segments: %v", err)
	}
	if _, err := wide.Split(a(255*152 + 1)); !errors.Is(err, sms.ErrTooLong) {
		t.Errorf("256 segments: %v", err)
	}
	narrow, err := sms.Abilities{}.Split(a(306))
	if err != nil || len(narrow) != 2 {
		t.Errorf("with an 8-bit reference 306 septets are %d segments, %v", len(narrow), err)
	}
}

func TestSplitAnyText(t *testing.T) {
	gsm := rapid.StringOfN(rapid.SampledFrom([]rune("aé@Δ€{}[]~^|\\\f\n\t")), 0, 700, -1)
	ucs := rapid.StringOfN(rapid.SampledFrom([]rune("a字😀€{👍🏽\u200d")), 0, 400, -1)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(gsm, ucs).Draw(t, "text")
		segments, err := sms.Split(text)
		if err != nil {
			t.Fatal(err)
		}
		check(t, text, segments)
		wide, err := sms.Abilities{Reference16: true}.Split(text)
		if err != nil {
			t.Fatal(err)
		}
		checkWith(t, text, wide, udh16)
		if (segments[0].Coding == sms.UCS2) != (sms.Forcing(text) != 0) {
			t.Fatal("the coding is not what Forcing says")
		}
	})
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{"", "hello", strings.Repeat("€", 90), strings.Repeat("😀", 40), "\xff", "a\x1b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		segments, err := sms.Split(text)
		if err != nil {
			if !errors.Is(err, sms.ErrNotText) && !errors.Is(err, sms.ErrTooLong) {
				t.Fatalf("%v is neither ErrNotText nor ErrTooLong", err)
			}
			return
		}
		check(t, text, segments)
		var units []uint16
		for _, s := range segments {
			units = append(units, utf16.Encode([]rune(s.Text))...)
		}
		if string(utf16.Decode(units)) != strings.ReplaceAll(text, "\t", " ") {
			t.Fatal("a surrogate pair was split")
		}
	})
}

func BenchmarkSplit(b *testing.B) {
	text := strings.Repeat("The boiler in the cellar is leaking. ", 10)
	for b.Loop() {
		if _, err := sms.Split(text); err != nil {
			b.Fatal(err)
		}
	}
}
