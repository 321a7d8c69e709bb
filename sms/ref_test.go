package sms_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-7a41469f/godwit/sms"
)

func TestRefAsText(t *testing.T) {
	in := sms.Ref{0: 0x01, 15: 0xAF}
	text, err := json.Marshal(in)
	if err != nil || string(text) != `"010000000000000000000000000000af"` {
		t.Fatalf("got %s, %v", text, err)
	}
	var out sms.Ref
	if err := json.Unmarshal(text, &out); err != nil || out != in {
		t.Errorf("got %v, %v", out, err)
	}
	for _, bad := range []string{`""`, `"01"`, `"0100000000000000000000000000000g"`, `"010000000000000000000000000000af0"`, `"010000000000000000000000000000af00"`} {
		if err := json.Unmarshal([]byte(bad), &out); err == nil || out != in {
			t.Errorf("%s is read as %v", bad, out)
		}
	}
}

func TestReference(t *testing.T) {
	for _, c := range []struct {
		name    string
		ref     sms.Ref
		segment int
		want    uint16
	}{
		{"zero is never given", sms.Ref{}, 0, 0xFFFF},
		{"the low octets", sms.Ref{14: 0x12, 15: 0x34}, 0, 0x1234},
		{"a segment is so many behind", sms.Ref{14: 0x12, 15: 0x34}, 3, 0x1237},
		{"octets before count too", sms.Ref{13: 1}, 0, 31},
		{"the greatest", sms.Ref{14: 0xFF, 15: 0xFF}, 0, 0xFFFF},
		{"it wraps past zero", sms.Ref{14: 0xFF, 15: 0xFF}, 1, 1},
		{"it wraps", sms.Ref{14: 0xFF, 15: 0xFF}, 2, 2},
		{"what a carrier echoes after an upgrade must still be known", sms.Ref{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, 255, reference16(1, 255)},
	} {
		if got := c.ref.Reference(c.segment); got != c.want {
			t.Errorf("%s: %#04x, want %#04x", c.name, got, c.want)
		}
	}
}

// reference16 is Reference of the octets first, first+1, … written out: the sum of the big-endian words times powers of 31, modulo 65,536.
func reference16(first byte, segment int) uint16 {
	var sum, power uint64 = 0, 1
	for i := 14; i >= 0; i -= 2 {
		sum += power * (uint64(first+byte(i))<<8 | uint64(first+byte(i)+1))
		power *= 31
	}
	return uint16(sum + uint64(segment))
}

func TestReferencesOfSegmentsDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := sms.Ref(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "ref"))
		if rapid.Bool().Draw(t, "about to wrap") {
			r = sms.Ref{14: 0xFF, 15: byte(rapid.IntRange(0, 255).Draw(t, "low"))}
		}
		seen := map[uint16]int{}
		for segment := range sms.MaxSegments + 1 {
			got := r.Reference(segment)
			if got == 0 {
				t.Fatalf("segment %d has none", segment)
			}
			if other, ok := seen[got]; ok {
				t.Fatalf("segments %d and %d have %#04x both", other, segment, got)
			}
			seen[got] = segment
		}
	})
}

func FuzzRef(f *testing.F) {
	f.Add([]byte("010000000000000000000000000000af"))
	f.Add([]byte("0100"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var r sms.Ref
		if err := r.UnmarshalText(text); err != nil {
			if r != (sms.Ref{}) {
				t.Fatal("an error, and a reference")
			}
			return
		}
		if back, err := r.MarshalText(); err != nil || !bytes.EqualFold(back, text) {
			t.Fatalf("%q is written as %q, %v", text, back, err)
		}
	})
}
