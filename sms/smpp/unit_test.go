package smpp_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/sms/smpp"
)

func TestClassOfStatus(t *testing.T) {
	for _, c := range []struct {
		status  uint32
		attempt int
		class   sms.Class
	}{
		{0x58, 1, sms.Throttled}, {0x14, 1, sms.Throttled},
		{0x08, 1, sms.Temporary}, {0x64, 1, sms.Temporary}, {0xFF, 1, sms.Temporary}, {0x400, 1, sms.Temporary}, {0x4FF, 9, sms.Temporary},
		{0x45, 1, sms.Temporary}, {0x45, 2, sms.Temporary}, {0x45, 3, sms.Permanent},
		{0x0B, 1, sms.Permanent}, {0x06, 1, sms.Permanent}, {0x07, 1, sms.Permanent}, {0x62, 1, sms.Permanent}, {0x0A, 1, sms.Permanent},
		{0x0D, 0, sms.Configuration}, {0x0E, 0, sms.Configuration}, {0x0F, 0, sms.Configuration},
		{0x04, 1, sms.NotSent},
	} {
		err := smpp.Refusal(c.status, c.attempt)
		if err.Class != c.class {
			t.Errorf("0x%02x in attempt %d is %v, want %v", c.status, c.attempt, err.Class, c.class)
		}
		if !strings.HasPrefix(err.Code, "0x") || err.Text == "" {
			t.Errorf("0x%02x: %v", c.status, err)
		}
	}
}

func TestValidity(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want string
	}{
		{0, ""}, {-time.Second, ""},
		{time.Nanosecond, "000000000001000R"},
		{time.Second, "000000000001000R"},
		{61*time.Second + 1, "000000000102000R"},
		{24 * time.Hour, "000001000000000R"},
		{31 * 24 * time.Hour, "000031000000000R"},
		{32*24*time.Hour + time.Minute, "000102000100000R"},
		{365 * 24 * time.Hour, "010005000000000R"},
		{1 << 62, "010221000000000R"}, // 63 weeks
	} {
		if got := smpp.Validity(c.d); got != c.want {
			t.Errorf("%v: %q, want %q", c.d, got, c.want)
		}
	}
}

func TestNormalID(t *testing.T) {
	for _, c := range []struct {
		base     smpp.IDBase
		id, want string
	}{
		{smpp.Text, "00ABc-1\x00", "abc-1"}, {smpp.Text, " 000 ", "0"}, {smpp.Text, "", ""},
		{smpp.Hex, "0A1B", "2587"}, {smpp.Hex, "0x0a1b", "2587"}, {smpp.Hex, "a1b\x00", "2587"},
		{smpp.Decimal, "0002587", "2587"}, {smpp.Decimal, "-1", "-1"}, {smpp.Decimal, "0x12", "x12"},
		{smpp.Hex, "ffffffffffffffffffff", "1208925819614629174706175"},
		{smpp.Hex, "3f2a-zz", "3f2a-zz"}, // a Text after all
		{smpp.Decimal, strings.Repeat("9", 500), strings.Repeat("9", 128)},
	} {
		if got := c.base.Normal(c.id); got != c.want {
			t.Errorf("%d: %q becomes %q, want %q", c.base, c.id, got, c.want)
		}
	}
}

func TestReadReceipt(t *testing.T) {
	const dates = "submit date:2611241200 done date:2611241201"
	for _, c := range []struct {
		name, text string
		want       smpp.Fields
	}{
		{"standard", "id:0123 sub:001 dlvrd:001 " + dates + " stat:DELIVRD err:000 text:id:9 stat:X", smpp.Fields{"0123", "2611241201", "DELIVRD", "000", true}},
		{"seconds", "id:a submit date:261124120000 done date:261124120101 stat:UNDELIV err:04B text:", smpp.Fields{"a", "261124120101", "UNDELIV", "04B", true}},
		{"NUL", "id:7 sub:001 dlvrd:001 stat:EXPIRED\x00", smpp.Fields{"7", "", "EXPIRED", "", true}},
		{"upper case", "ID:7 SUB:001 DLVRD:001 SUBMIT DATE:1 DONE DATE:2 STAT:delivrd ERR:0 Text:x", smpp.Fields{"7", "2", "DELIVRD", "0", true}},
		{"empty fields", "id:7 sub: dlvrd: submit date: done date: stat:DELIVRD err: text:", smpp.Fields{"7", "", "DELIVRD", "", true}},
		{"blank before values", "id: 7 sub: 001 dlvrd: 001 done date: 2611241201 stat: DELIVRD", smpp.Fields{"7", "2611241201", "DELIVRD", "", true}},
		{"other order", "stat:REJECTD id:7 err:12 sub:000", smpp.Fields{"7", "", "REJECTD", "12", true}},
		{"missing fields", "id:7 stat:DELIVRD", smpp.Fields{"7", "", "DELIVRD", "", false}},
		{"strange state", "id:7 sub:001 dlvrd:001 stat:WHATEVR", smpp.Fields{"7", "", "WHATEVR", "", false}},
		{"words between", "id:7 and so sub:001 dlvrd:001 stat:DELIVRD", smpp.Fields{"7", "", "DELIVRD", "", false}},
		{"a person", "my id:7 is lost, stat!", smpp.Fields{ID: "7"}},
		{"twice", "id:7 id:8 sub:1 dlvrd:1 stat:DELIVRD stat:EXPIRED", smpp.Fields{"7", "", "DELIVRD", "", true}},
		{"nothing", "", smpp.Fields{}},
	} {
		if got := smpp.ReadReceipt(c.text); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestReadDate(t *testing.T) {
	want := time.Date(2026, 11, 24, 12, 1, 0, 0, time.UTC)
	for _, s := range []string{"2611241201", "261124120100", "202611241201", "20261124120100"} {
		if got := smpp.ReadDate(s, time.UTC); !got.Equal(want) {
			t.Errorf("%q is %v", s, got)
		}
	}
	for _, s := range []string{"", "2613241201", "26112412010", "today", "261124120199"} {
		if got := smpp.ReadDate(s, time.UTC); !got.IsZero() {
			t.Errorf("%q is %v, want none", s, got)
		}
	}
}

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		name   string
		coding byte
		octets string
		want   string
	}{
		{"GSM 7", 0x00, "hi \x1b\x65\x00", "hi €@"},
		{"GSM 7, lone escape", 0x00, "a\x1b", "a "},
		{"IA5", 0x01, "a_b@", "a_b@"},
		{"Latin-1", 0x03, "\xe4\xdf", "äß"},
		{"Cyrillic", 0x06, "\xbf\xe0\xd8", "При"},
		{"Hebrew", 0x07, "\xf9\xec", "של"},
		{"UCS-2", 0x08, "\xd8\x3d\xde\x00\x00!", "😀!"},
		{"UCS-2, lone surrogate and an odd octet", 0x08, "\xd8\x3d\x00!\x00", "\uFFFD!\uFFFD"},
		{"binary that is a text", 0x04, "plain", "plain"},
		{"binary", 0x02, "\x00\xff\x10", "00ff10"},
		{"class 1, GSM 7", 0xF1, "\x00", "@"},
		{"class 1, 8 bits", 0xF5, "\x01", "01"},
		{"class 0, UCS-2", 0x18, "\x00a", "a"},
		{"class 0, GSM 7", 0x10, "\x00", "@"},
		{"reserved", 0x0B, "x", "x"},
	} {
		if got := smpp.Decode([]byte(c.octets), c.coding); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// header is the user data header of a segment, with an 8-bit reference.
func header(ref, total, number byte) string { return string([]byte{5, 0, 3, ref, total, number}) }

// wide is the same with a 16-bit reference.
func wide(ref uint16, total, number byte) string {
	return string([]byte{6, 8, 4, byte(ref >> 8), byte(ref), total, number})
}

func TestJoiner(t *testing.T) {
	type step struct {
		from, octets string
		coding       byte
		after        time.Duration // since the beginning
		fate         string
	}
	const patience = time.Minute
	for _, c := range []struct {
		name  string
		steps []step
		want  []string
	}{
		{"in order", []step{{octets: header(1, 2, 1) + "a", fate: "held"}, {octets: header(1, 2, 2) + "b", fate: "whole"}}, []string{"ab"}},
		{"reordered", []step{{octets: header(1, 3, 3) + "c", fate: "held"}, {octets: header(1, 3, 1) + "a", fate: "held"}, {octets: header(1, 3, 2) + "b", fate: "whole"}}, []string{"abc"}},
		{"duplicated", []step{{octets: header(1, 2, 1) + "a", fate: "held"}, {octets: header(1, 2, 1) + "a", fate: "held"}, {octets: header(1, 2, 2) + "b", fate: "whole"},
			{octets: header(1, 2, 2) + "b", fate: "known"}, {octets: header(1, 2, 1) + "a", after: patience - 1, fate: "known"}}, []string{"ab"}},
		{"16-bit reference", []step{{octets: wide(0x101, 2, 1) + "a", fate: "held"}, {octets: wide(0x001, 2, 2) + "x", fate: "held"}, {octets: wide(0x101, 2, 2) + "b", fate: "whole"}}, []string{"ab"}},
		{"8 and 16 bits do not mix", []step{{octets: header(1, 2, 1) + "a", fate: "held"}, {octets: wide(1, 2, 2) + "b", fate: "held"}}, nil},
		{"two phones", []step{{from: "1", octets: header(1, 2, 1) + "a", fate: "held"}, {from: "2", octets: header(1, 2, 2) + "y", fate: "held"},
			{from: "1", octets: header(1, 2, 2) + "b", fate: "whole"}, {from: "2", octets: header(1, 2, 1) + "x", fate: "whole"}}, []string{"ab", "xy"}},
		{"a part lost", []step{{octets: header(1, 4, 1) + "a", fate: "held"}, {octets: header(1, 4, 4) + "d", fate: "held"}, {after: patience}}, []string{"a[…]d"}},
		{"the rest comes late", []step{{octets: header(1, 2, 1) + "a", fate: "held"}, {after: patience}, {octets: header(1, 2, 1) + "a", after: patience, fate: "known"},
			{octets: header(1, 2, 2) + "b", after: patience, fate: "held"}, {after: 2 * patience}}, []string{"a[…]", "[…]b"}},
		{"the reference comes round", []step{{octets: header(1, 2, 1) + "old", fate: "held"}, {octets: header(1, 2, 1) + "new ", after: 1, fate: "held"}, {after: 1},
			{octets: header(1, 2, 2) + "one", after: 2, fate: "whole"}}, []string{"old[…]", "new one"}},
		{"the reference comes round after a whole one", []step{{octets: header(1, 2, 1) + "a", fate: "held"}, {octets: header(1, 2, 2) + "b", fate: "whole"},
			{octets: header(1, 2, 1) + "c", fate: "held"}, {octets: header(1, 2, 2) + "b", fate: "whole"}}, []string{"ab", "cb"}},
		{"forgotten", []step{{octets: header(1, 2, 1) + "a", fate: "held"}, {octets: header(1, 2, 2) + "b", fate: "whole"}, {after: patience},
			{octets: header(1, 2, 1) + "a", after: patience, fate: "held"}}, []string{"ab"}},
		{"an escape cut", []step{{octets: header(1, 2, 1) + "5 \x1b", fate: "held"}, {octets: header(1, 2, 2) + "\x65", fate: "whole"}}, []string{"5 €"}},
		{"a surrogate pair cut", []step{{octets: header(1, 2, 1) + "\xd8\x3d", coding: 8, fate: "held"}, {octets: header(1, 2, 2) + "\xde\x00", coding: 8, fate: "whole"}}, []string{"😀"}},
		{"two codings", []step{{octets: header(1, 2, 1) + "a", fate: "held"}, {octets: header(1, 2, 2) + "\x00b", coding: 8, fate: "whole"}}, []string{"ab"}},
		{"no segment", []step{{octets: header(1, 0, 1), fate: "single"}, {octets: header(1, 2, 0), fate: "single"}, {octets: header(1, 2, 3), fate: "single"}, {octets: header(1, 1, 1), fate: "single"}}, nil},
		{"other elements", []step{{octets: "\x09\x05\x02ab" + "\x00\x03\x01\x02\x01" + "a", fate: "held"}, {octets: "\x0a\x00\x03\x01\x02\x02\x24\x03abc" + "b", fate: "whole"}}, []string{"ab"}},
		{"no header", []step{{octets: "\x7fabc", fate: "single"}, {octets: "", fate: "single"}, {octets: "\x05\x00\x09\x01\x02\x01x", fate: "single"}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			j, begin := smpp.NewJoiner(patience, 1<<20), time.Now()
			for i, s := range c.steps {
				now := begin.Add(s.after)
				if j.Expire(now); s.fate == "" {
					continue
				}
				if got := j.Add(s.from, []byte(s.octets), s.coding, now); got != s.fate {
					t.Errorf("step %d is %s, want %s", i, got, s.fate)
				}
			}
			if strings.Join(j.Stored, "|") != strings.Join(c.want, "|") {
				t.Errorf("stored %q, want %q", j.Stored, c.want)
			}
		})
	}
}

func TestJoinerHasLittleRoom(t *testing.T) {
	const room = 10000
	j, now := smpp.NewJoiner(time.Minute, room), time.Now()
	fates := map[string]int{}
	for ref := range 200 {
		fates[j.Add("1", []byte(header(byte(ref), 2, 1)+strings.Repeat("x", 134)), 0, now)]++
	}
	if counted, are := j.Kept(); counted > room || counted != are || fates["held"] == 0 || fates["refused"] == 0 {
		t.Fatalf("%d octets are kept (%d are), of %v", counted, are, fates)
	}
	j.Expire(now.Add(time.Minute))
	if got := j.Add("2", []byte(header(1, 2, 1)+strings.Repeat("y", 9000)), 0, now.Add(time.Minute)); got != "held" {
		t.Errorf("what is stored did not make room: %s", got)
	}
	if counted, are := j.Kept(); counted != are {
		t.Errorf("%d octets are counted, %d are there", counted, are)
	}
}

// body is the body of a deliver_sm.
func body(esm, coding byte, text string, tlvs ...byte) string {
	return "\x00\x01\x014915112345678\x00\x01\x014915100000000\x00" + string([]byte{esm, 0, 0, 0, 0, 0, 0, coding, 0, byte(len(text))}) + text + string(tlvs)
}

func framed(command, status, sequence uint32, body string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(16+len(body)))
	b = binary.BigEndian.AppendUint32(b, command)
	b = binary.BigEndian.AppendUint32(b, status)
	return append(binary.BigEndian.AppendUint32(b, sequence), body...)
}

func quiet(t testing.TB) *smpp.Gateway {
	g, err := smpp.New(smpp.Config{Name: "carrier", Addr: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func FuzzFrame(f *testing.F) {
	f.Add(framed(5, 0, 1, body(0x40, 0, header(1, 2, 1)+"a")))
	f.Add(framed(5, 0, 1, body(0, 8, "", 0x04, 0x24, 0, 2, 0, 'a')))
	f.Add(framed(5, 0, 1, body(0, 0, "x", 0x02, 0x0C, 0, 2, 0, 1, 0x02, 0x0E, 0, 1, 2, 0x02, 0x0F, 0, 1, 1)))
	f.Add(framed(5, 0, 1, body(4, 0, "id:1 sub:001 dlvrd:001 stat:DELIVRD", 0, 0x1E, 0, 2, '1', 0, 0x04, 0x27, 0, 1, 2)))
	f.Add(framed(0x103, 0, 1, "\x00\x01\x014915112345678\x00\x01\x014915100000000\x00\x00\x00\x00\x04\x24\x00\x01a"))
	f.Add(framed(0x80000004, 0, 1, "abc\x00"))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n"))
	g := quiet(f)
	f.Fuzz(func(t *testing.T, octets []byte) {
		n, err := g.ReadFrames(octets)
		if err == nil || n > len(octets)/16 {
			t.Errorf("%d PDUs in %d octets, %v", n, len(octets), err)
		}
	})
}

func FuzzReceipt(f *testing.F) {
	f.Add("id:0123 sub:001 dlvrd:001 submit date:2611241200 done date:2611241201 stat:DELIVRD err:000 text:x")
	f.Add("id: 7\x00stat:")
	f.Fuzz(func(t *testing.T, text string) {
		r := smpp.ReadReceipt(text)
		if r.Whole && (r.ID == "" || r.Stat == "") {
			t.Errorf("a receipt without id or state: %+v", r)
		}
		smpp.ReadDate(r.Done, time.UTC)
		for _, b := range []smpp.IDBase{smpp.Text, smpp.Hex, smpp.Decimal} {
			if once := b.Normal(r.ID); b == smpp.Text && b.Normal(once) != once {
				t.Errorf("%q is not normal", once)
			}
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte(header(1, 2, 1) + "a"))
	f.Add([]byte("\x09\x05\x02ab" + "\x00\x03\x01\x02\x01" + "a"))
	f.Fuzz(func(t *testing.T, octets []byte) {
		if _, text := smpp.SplitHeader(octets); !bytes.HasSuffix(octets, text) {
			t.Errorf("%x is no end of %x", text, octets)
		}
	})
}

// FuzzJoiner takes segments out of octets: four that say which, and what it adds.
func FuzzJoiner(f *testing.F) {
	f.Add([]byte{1, 2, 1, 0, 1, 2, 2, 0})
	f.Add([]byte{1, 3, 1, 0, 1, 3, 1, 1, 1, 3, 2, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		j, now := smpp.NewJoiner(time.Minute, 5000), time.Now()
		for len(script) >= 4 {
			now = now.Add(time.Duration(script[3]>>4) * 10 * time.Second)
			j.Expire(now)
			j.Add(string(script[3]&1+'0'), []byte(header(script[0], script[1], script[2])+string(script[3:4])), script[3]&8, now)
			script = script[4:]
			if counted, are := j.Kept(); counted != are || counted > 5000 {
				t.Fatalf("%d octets are counted, %d are there", counted, are)
			}
		}
		for _, text := range j.Stored {
			if !utf8.ValidString(text) {
				t.Errorf("%q is no text", text)
			}
		}
	})
}

func TestConfig(t *testing.T) {
	good := smpp.Config{Name: "carrier", Addr: "smsc.example:2775"}
	for name, change := range map[string]func(*smpp.Config){
		"Name":       func(c *smpp.Config) { c.Name = "" },
		"Addr":       func(c *smpp.Config) { c.Addr = "smsc.example" },
		"SystemID":   func(c *smpp.Config) { c.SystemID = "0123456789abcdef" },
		"Password":   func(c *smpp.Config) { c.Password = "geheim\x00" },
		"SystemType": func(c *smpp.Config) { c.SystemType = "ä" },
		"Sessions":   func(c *smpp.Config) { c.Sessions = -1 },
		"Window":     func(c *smpp.Config) { c.Window = 1e6 },
		"Rate":       func(c *smpp.Config) { c.Rate = -1 },
		"Enquire":    func(c *smpp.Config) { c.Enquire = -time.Second },
		"Response":   func(c *smpp.Config) { c.Response = 2 * time.Hour },
		"Backoff":    func(c *smpp.Config) { c.Backoff = -1 },
		"Parts":      func(c *smpp.Config) { c.Parts = 25 * time.Hour },
		"Concat":     func(c *smpp.Config) { c.Concat = 9 },
		"ResponseID": func(c *smpp.Config) { c.ResponseID = 9 },
		"ReceiptID":  func(c *smpp.Config) { c.ReceiptID = 9 },
	} {
		c := good
		change(&c)
		_, err := smpp.New(c)
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", name, err)
		}
	}
	g, err := smpp.New(good)
	if err != nil {
		t.Fatal(err)
	}
	if a := g.Abilities(); a.Window != 10 || !a.DLR || a.Whole || a.Reference16 || g.Name() != "carrier" || g.Linked() {
		t.Errorf("%+v", a)
	}
}

// TestGolden is a submit_sm by hand from SMPP 3.4 §4.4.1, but for the order of its optional parameter, of which there is one.
func TestGolden(t *testing.T) {
	mt := message(1, "hi €")
	mt.Validity = 24 * time.Hour
	got, err := quiet(t).SubmitSM(mt, mt.Segments[0])
	if err != nil {
		t.Fatal(err)
	}
	ref := mt.Ref.Reference(1)
	want := framed(4, 0, 1, "\x00\x01\x014915100000000\x00\x01\x014915112345678\x00\x00\x00\x00\x00000001000000000R\x00\x01\x00\x00\x00\x05hi \x1b\x65"+
		"\x02\x04\x00\x02"+string([]byte{byte(ref >> 8), byte(ref)}))
	if !bytes.Equal(got, want) {
		t.Errorf("%q, want\n%q", got, want)
	}
	for name, change := range map[string]func(*sms.MT){
		"a long originator":  func(mt *sms.MT) { mt.From = strings.Repeat("x", 21) },
		"no ASCII":           func(mt *sms.MT) { mt.From = "Käse" },
		"no recipient":       func(mt *sms.MT) { mt.To = "112" },
		"no GSM 7 character": func(mt *sms.MT) { mt.Segments[0].Text = "Ж" },
	} {
		mt := message(1, "hi")
		change(&mt)
		var e *sms.Error
		if _, err := quiet(t).SubmitSM(mt, mt.Segments[0]); !errors.As(err, &e) || e.Class != sms.Permanent {
			t.Errorf("%s: %v, want a permanent error", name, err)
		}
	}
}
