package sms_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/seed-7a41469f/godwit/sms"
)

// TestGSM7Table compares both directions with the table of another implementation.
func TestGSM7Table(t *testing.T) {
	table := gsm7Table(t)
	if len(table) != 127+10 {
		t.Fatalf("the table has %d characters, want 137", len(table))
	}
	for octets, r := range table {
		if got := sms.Decode([]byte(octets), sms.GSM7); got != string(r) {
			t.Errorf("Decode(% X) = %q, want %q", octets, got, string(r))
		}
		got, err := sms.Encode(string(r), sms.GSM7)
		if err != nil || string(got) != octets {
			t.Errorf("Encode(%q) = % X, %v, want % X", string(r), got, err, octets)
		}
	}
}

// TestGSM7HasNothingElse: no other character of Unicode is taken for GSM 7.
func TestGSM7HasNothingElse(t *testing.T) {
	in := map[rune]bool{'\t': true} // goes as a space
	for _, r := range gsm7Table(t) {
		in[r] = true
	}
	for r := rune(1); r <= utf8.MaxRune; r++ {
		if utf8.ValidRune(r) && (sms.Forcing(string(r)) == 0) != in[r] {
			t.Errorf("Forcing(%U) = %U", r, sms.Forcing(string(r)))
		}
	}
}

func gsm7Table(t *testing.T) map[string]rune {
	t.Helper()
	f, err := os.Open("testdata/gsm0338.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table := map[string]rune{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		code, point, ok := strings.Cut(lines.Text(), "\t")
		if !ok {
			continue
		}
		octets, err1 := hex.DecodeString(code)
		r, err2 := strconv.ParseUint(point, 16, 32)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		table[string(octets)] = rune(r)
	}
	return table
}

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		name   string
		octets string
		coding sms.Coding
		want   string
	}{
		{"GSM 7 nothing", "", sms.GSM7, ""},
		{"GSM 7 lone ESC at the end", "a\x1b", sms.GSM7, "a "},
		{"GSM 7 only ESC", "\x1b", sms.GSM7, " "},
		{"GSM 7 ESC ESC", "a\x1b\x1bb", sms.GSM7, "a b"},
		{"GSM 7 ESC ESC ESC", "\x1b\x1b\x1b", sms.GSM7, "  "},
		{"GSM 7 ESC ESC does not escape what follows", "\x1b\x1b\x65", sms.GSM7, " e"},
		{"GSM 7 unknown escape shows the main table", "\x1bA\x1b\x00z", sms.GSM7, "A@z"},
		{"GSM 7 euro", "\x1b\x65", sms.GSM7, "€"},
		{"GSM 7 octet that is no septet", "a\x80b", sms.GSM7, "a\uFFFDb"},
		{"GSM 7 escape before an octet that is no septet", "\x1b\xFFb", sms.GSM7, " \uFFFDb"},
		{"UCS-2 nothing", "", sms.UCS2, ""},
		{"UCS-2 odd octets keep the rest", "\x4f\x60\x59", sms.UCS2, "你\uFFFD"},
		{"UCS-2 one octet", "\x00", sms.UCS2, "\uFFFD"},
		{"UCS-2 pair", "\xd8\x3d\xde\x00", sms.UCS2, "😀"},
		{"UCS-2 lone high surrogate", "\xd8\x3d\x00a", sms.UCS2, "\uFFFDa"},
		{"UCS-2 lone low surrogate", "\xde\x00\x00a", sms.UCS2, "\uFFFDa"},
		{"UCS-2 high surrogate at the end", "\x00a\xd8\x3d", sms.UCS2, "a\uFFFD"},
		{"UCS-2 two high, one low", "\xd8\x3d\xd8\x3d\xde\x00", sms.UCS2, "\uFFFD😀"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := sms.Decode([]byte(c.octets), c.coding); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestEncodeRefuses(t *testing.T) {
	for _, c := range []struct {
		name, text string
		coding     sms.Coding
	}{
		{"Chinese in GSM 7", "你好", sms.GSM7},
		{"small c with cedilla in GSM 7", "ç", sms.GSM7},
		{"escape", "\x1b", sms.GSM7},
		{"NUL in UCS-2", "a\x00", sms.UCS2},
		{"DEL", "\x7f", sms.UCS2},
		{"C1 control", "\u0085", sms.UCS2},
		{"invalid UTF-8", "a\xff", sms.UCS2},
		{"surrogate in UTF-8", "\xed\xa0\xbd", sms.UCS2},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := sms.Encode(c.text, c.coding); !errors.Is(err, sms.ErrNotText) {
				t.Errorf("got % X, %v, want ErrNotText", got, err)
			}
		})
	}
}

func TestEncodeTabIsSpace(t *testing.T) {
	for coding, want := range map[sms.Coding]string{sms.GSM7: "a b", sms.UCS2: "\x00a\x00 \x00b"} {
		if got, err := sms.Encode("a\tb", coding); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v", coding, got, err)
		}
	}
}

// TestPack has vectors that are found in handbooks and traces, so that both directions cannot be wrong together.
func TestPack(t *testing.T) {
	for _, c := range []struct {
		name, text string
		fill       int
		octets     string
	}{
		{"nothing", "", 0, ""},
		{"hellohello", "hellohello", 0, "e8329bfd4697d9ec37"},
		{"one septet", "A", 0, "41"},
		{"seven septets", "1234567", 0, "31d98c56b3dd00"},
		{"eight septets in seven octets", "12345678", 0, "31d98c56b3dd70"},
		{"behind a UDH", "A", 1, "82"},
		{"euro", "€", 0, "9b32"},
	} {
		t.Run(c.name, func(t *testing.T) {
			septets, err := sms.Encode(c.text, sms.GSM7)
			if err != nil {
				t.Fatal(err)
			}
			packed := sms.Pack(septets, c.fill)
			if got := hex.EncodeToString(packed); got != c.octets {
				t.Errorf("Pack = %s, want %s", got, c.octets)
			}
			if got := sms.Unpack(packed, len(septets), c.fill); !bytes.Equal(got, septets) {
				t.Errorf("Unpack = % X, want % X", got, septets)
			}
		})
	}
}

func TestUnpackTakesNoMoreThanThereIs(t *testing.T) {
	if got := sms.Unpack([]byte{0x41}, 200, 0); string(got) != "A" {
		t.Errorf("got %q", got)
	}
	if got := sms.Unpack(nil, 3, 1); len(got) != 0 {
		t.Errorf("got %q", got)
	}
	if got := sms.Unpack([]byte{0x41}, -1, 0); len(got) != 0 {
		t.Errorf("got %q", got)
	}
}

func TestPackedRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOfN(rapid.ByteRange(0, 0x7F), 0, 160).Draw(t, "septets")
		fill := rapid.IntRange(0, 6).Draw(t, "fill")
		packed := sms.Pack(in, fill)
		if len(packed) != (7*len(in)+fill+7)/8 {
			t.Fatalf("%d septets and %d bits are %d octets", len(in), fill, len(packed))
		}
		if out := sms.Unpack(packed, len(in), fill); !bytes.Equal(in, out) {
			t.Fatalf("% X came back as % X", in, out)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"", "\x1b", "\x1b\x1b", "a\x1b\x65", "\xd8\x3d\xde\x00", "\xde\x00\x01"} {
		f.Add([]byte(s), 3, 1)
	}
	f.Fuzz(func(t *testing.T, octets []byte, n, fill int) {
		gsm, ucs := sms.Decode(octets, sms.GSM7), sms.Decode(octets, sms.UCS2)
		if !utf8.ValidString(gsm) || !utf8.ValidString(ucs) {
			t.Fatalf("% X reads as no text: %q, %q", octets, gsm, ucs)
		}
		// An escape and its character become one; nothing else is lost.
		if chars := utf8.RuneCountInString(gsm); 2*chars < len(octets) || chars > len(octets) {
			t.Fatalf("%d octets read as %d characters: %q", len(octets), chars, gsm)
		}
		if units := len(utf16.Encode([]rune(ucs))); units != (len(octets)+1)/2 {
			t.Fatalf("%d octets read as %d units: %q", len(octets), units, ucs)
		}
		for _, s := range sms.Unpack(octets, n, fill&7) {
			if s > 0x7F {
				t.Fatalf("%X is no septet", s)
			}
		}
	})
}
