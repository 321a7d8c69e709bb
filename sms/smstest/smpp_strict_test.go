package smstest_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/sms/smstest"
)

// body is the body of a submit_sm that tests spoil.
type body struct {
	source, dest               string // TON, NPI and address
	esm, priority, reg, coding byte
	schedule, validity         string
	text                       string
	length                     int // of short_message; 0: as text has it
	tail                       string
}

func (b body) octets() []byte {
	if b.source == "" {
		b.source = "\x01\x014915100000000"
	}
	if b.dest == "" {
		b.dest = "\x01\x014915112345678"
	}
	if b.length == 0 {
		b.length = len(b.text)
	}
	out := "\x00" + b.source + "\x00" + b.dest + "\x00" + string([]byte{b.esm, 0, b.priority}) + b.schedule + "\x00" + b.validity + "\x00" +
		string([]byte{b.reg, 0, b.coding, 0, byte(b.length)}) + b.text + b.tail
	return []byte(out)
}

// TestStrict: what a client does against the standard is answered as the standard says, and written down.
func TestStrict(t *testing.T) {
	s := serveSMPP(t, smstest.SMPPOptions{})
	c := bound(t, s, transceiver)
	udh := "\x05\x00\x03\x07\x02\x01"
	sar := "\x02\x0c\x00\x02\x00\x07" + "\x02\x0e\x00\x01\x02" + "\x02\x0f\x00\x01\x01"
	for _, x := range []struct {
		name      string
		body      body
		status    uint32
		violation string // empty: it is right
	}{
		{"160 septets", body{text: strings.Repeat("a", 160)}, 0, ""},
		{"161 septets", body{text: strings.Repeat("a", 161)}, 0x01, "more than a TPDU holds"},
		{"153 septets after a UDH", body{esm: 0x40, text: udh + strings.Repeat("a", 153)}, 0, ""},
		{"154 septets after a UDH", body{esm: 0x40, text: udh + strings.Repeat("a", 154)}, 0x01, "more than a TPDU holds"},
		{"152 septets after a UDH of 7 octets", body{esm: 0x40, text: "\x06\x08\x04\x00\x07\x02\x01" + strings.Repeat("a", 152)}, 0, ""},
		{"153 septets after a UDH of 7 octets", body{esm: 0x40, text: "\x06\x08\x04\x00\x08\x02\x01" + strings.Repeat("a", 153)}, 0x01, "more than a TPDU holds"},
		{"154 septets with sar", body{text: strings.Repeat("a", 154), tail: sar}, 0x01, "more than a TPDU holds"},
		{"70 units of UCS-2", body{coding: 8, text: strings.Repeat("\x4f\x60", 70)}, 0, ""},
		{"71 units of UCS-2", body{coding: 8, text: strings.Repeat("\x4f\x60", 71)}, 0x01, "more than a TPDU holds"},
		{"half a unit of UCS-2", body{coding: 8, text: "\x4f\x60\x4f"}, 0x01, "odd number"},
		{"a pair that is cut", body{coding: 8, text: "\xd8\x3d"}, 0, "surrogate pair"},
		{"an escape that is cut", body{text: "a\x1b"}, 0, "escape"},
		{"an octet that is no septet", body{text: "\x80"}, 0x01, "no septet"},
		{"data_coding 0xf5 is 8-bit data", body{coding: 0xF5, text: "\x80"}, 0, ""},
		{"no UDH", body{esm: 0x40}, 0x43, "no whole one"},
		{"a UDH that is longer than the segment", body{esm: 0x40, text: "\x05\x00\x03"}, 0x43, "no whole one"},
		{"a UDH that ends in an element", body{esm: 0x40, text: "\x04\x00\x03\x07\x02a"}, 0x43, "inside an information element"},
		{"an element of the wrong size", body{esm: 0x40, text: "\x04\x00\x02\x07\x02a"}, 0x43, "has 2 octets"},
		{"segment 3 of 2", body{esm: 0x40, text: "\x05\x00\x03\x09\x02\x03a"}, 0xC4, "no segment 3 of 2"},
		{"segment 0", body{esm: 0x40, text: "\x05\x00\x03\x09\x02\x00a"}, 0xC4, "no segment 0 of 2"},
		{"UDH and sar", body{esm: 0x40, text: udh + "a", tail: sar}, 0xC4, "numbered twice"},
		{"two of three sar_", body{text: "a", tail: sar[:11]}, 0xC3, "of the three sar_ parameters 2"},
		{"sar of the wrong size", body{text: "a", tail: "\x02\x0c\x00\x01\x07" + sar[6:]}, 0xC2, "0x020c has 1 octets"},
		{"message_payload", body{coding: 8, tail: "\x04\x24\x00\xa0" + strings.Repeat("\x4f\x60", 80)}, 0, ""},
		{"message_payload beside short_message", body{text: "a", tail: "\x04\x24\x00\x01b"}, 0x01, "both short_message and message_payload"},
		{"short_message is too short", body{text: "a", length: 2}, 0x02, "short_message should have 2 octets, 1 are there"},
		{"half a TLV", body{text: "a", tail: "\x04\x24"}, 0xC0, "no optional parameter"},
		{"a TLV that is too short", body{text: "a", tail: "\x04\x24\x00\x09b"}, 0xC0, "should have 9 octets"},
		{"a TLV twice", body{text: "a", tail: "\x02\x04\x00\x02aa\x02\x04\x00\x02bb"}, 0xC0, "twice"},
		{"a TLV that nobody knows", body{text: "a", tail: "\x14\x99\x00\x01x"}, 0, ""},
		{"a plus", body{dest: "\x01\x01+4915112345678"}, 0x0B, "not all digits"},
		{"no recipient", body{dest: "\x01\x01"}, 0x0B, "not all digits"},
		{"a national number as international", body{dest: "\x01\x01015112345678"}, 0x0B, "E.164"},
		{"a recipient of 21 digits", body{dest: "\x00\x01123456789012345678901"}, 0xC2, "at most 21 are allowed"},
		{"a name as recipient", body{dest: "\x05\x00Godwit"}, 0x50, "no type of a number"},
		{"international of another plan", body{dest: "\x01\x004915112345678"}, 0x51, "NPI 0"},
		{"a name as sender", body{source: "\x05\x00Godwit"}, 0, ""},
		{"a name with a plan", body{source: "\x05\x01Godwit"}, 0x49, "no numbering plan"},
		{"a name of 12", body{source: "\x05\x00GodwitGodwit"}, 0x0A, "1 to 11 characters"},
		{"a name as a number", body{source: "\x01\x01Godwit"}, 0x0A, "not all digits"},
		{"a short code as sender", body{source: "\x03\x0012345"}, 0, ""},
		{"a long short code", body{source: "\x03\x00123456789"}, 0x0A, "too long for a short code"},
		{"no sender", body{source: "\x00\x00"}, 0, ""},
		{"sender of a TON that is reserved", body{source: "\x07\x001"}, 0x48, "source_addr_ton 7"},
		{"a receipt", body{esm: 0x04}, 0x43, "no type of message"},
		{"priority 4", body{priority: 4}, 0x06, "priority_flag"},
		{"registered_delivery 3", body{reg: 3}, 0x07, "reserved bits"},
		{"a schedule that is no time", body{schedule: "tomorrow"}, 0x61, "YYMMDDhhmmsstnnp"},
		{"validity in seconds", body{validity: "3600"}, 0x62, "YYMMDDhhmmsstnnp"},
		{"validity with tenths", body{validity: "000001000000100R"}, 0x62, "no tenths"},
		{"validity of 25 hours", body{validity: "000000250000000R"}, 0x62, "too large"},
		{"validity that is over", body{validity: "200101000000000+"}, 0x62, "is over"},
		{"validity on day 32", body{validity: "990132000000000+"}, 0x62, "no date"},
		{"validity at a time", body{validity: time.Now().UTC().Add(time.Hour).Format("060102150405") + "000+"}, 0, ""},
		{"validity two hours west", body{validity: time.Now().UTC().Add(-time.Hour).Format("060102150405") + "008-"}, 0, ""},
		{"validity two hours east, and so over", body{validity: time.Now().UTC().Add(time.Hour).Format("060102150405") + "008+"}, 0x62, "is over"},
	} {
		before := len(s.Violations())
		c.want(0x80000004, x.status, c.send(4, x.body.octets()))
		got := s.Violations()[before:]
		if x.violation == "" && len(got) > 0 || x.violation != "" && (len(got) == 0 || !strings.Contains(got[0], x.violation)) {
			t.Errorf("%s: violations %q, want %q", x.name, got, x.violation)
		}
		if strings.Contains(strings.Join(got, ""), "15112345678") {
			t.Errorf("%s: a number in full: %q", x.name, got)
		}
	}
}

// TestStates: what the state of a session forbids, and how the header is checked (SMPP 3.4 §2.3, §5.1).
func TestStates(t *testing.T) {
	const closes, stays = true, false
	for _, x := range []struct {
		name      string
		do        func(c *raw)
		end       bool
		violation []string
	}{
		{"submit before a bind", func(c *raw) { c.want(0x80000004, 0x04, c.send(4, short(0, 0, "a"))) }, stays, []string{"submit_sm before a bind"}},
		{"submit by a receiver", func(c *raw) {
			c.want(0x80000001, 0, c.send(1, octets(c.t, "00 00 00 34 00 00 00")))
			c.want(0x80000004, 0x04, c.send(4, short(0, 0, "a")))
		}, stays, []string{"submit_sm by a receiver"}},
		{"bound twice", func(c *raw) {
			c.want(0x80000009, 0, c.send(9, octets(c.t, "00 00 00 34 00 00 00")))
			c.want(0x80000009, 0x05, c.send(9, octets(c.t, "00 00 00 34 00 00 00")))
		}, stays, []string{"bind_transceiver on a connection that is bound"}},
		{"a password of 9", func(c *raw) { c.want(0x80000002, 0xC2, c.send(2, octets(c.t, "00 '123456789' 00 00 34 00 00 00"))) },
			closes, []string{"password has 10 octets"}},
		{"half a bind", func(c *raw) { c.want(0x80000002, 0x02, c.send(2, octets(c.t, "'godwit'"))) }, closes, []string{"system_id does not end"}},
		{"a length of 15", func(c *raw) {
			c.write(octets(c.t, "0000000F 00000015 00000000 00000001"))
			c.want(0x80000000, 0x02, 0)
		}, closes, []string{"impossible command_length 0x0000000f"}},
		{"HTTP", func(c *raw) {
			c.write([]byte("GET / HTTP/1.1\r\n\r\n"))
			c.want(0x80000000, 0x02, 0)
		}, closes, []string{"impossible command_length 0x47455420"}},
		{"an unknown command", func(c *raw) { c.want(0x80000000, 0x03, c.send(0xFFFF, nil)) }, stays, []string{"command 0x0000ffff is not known"}},
		{"enquire_link with a body", func(c *raw) { c.want(0x80000015, 0, c.send(0x15, []byte{1})) }, stays, []string{"enquire_link has a body"}},
		{"sequence 0", func(c *raw) {
			c.put(0x15, 0, 0, nil)
			c.want(0x80000015, 0, 0)
		}, stays, []string{"sequence_number 0x00000000"}},
		{"sequence 0x80000000", func(c *raw) {
			c.put(0x15, 0, 1<<31, nil)
			c.want(0x80000015, 0, 1<<31)
		}, stays, []string{"sequence_number 0x80000000"}},
		{"sequences that rise with a gap and wrap", func(c *raw) {
			for _, n := range []uint32{5, 9, 0x7FFFFFFE, 0x7FFFFFFF, 1, 2} {
				c.put(0x15, 0, n, nil)
				c.want(0x80000015, 0, n)
			}
		}, stays, nil},
		{"a sequence that falls", func(c *raw) {
			for _, n := range []uint32{5, 4} {
				c.put(0x15, 0, n, nil)
				c.want(0x80000015, 0, n)
			}
		}, stays, []string{"sequence_number 4 after 5"}},
		{"a status in a request", func(c *raw) {
			c.put(0x15, 8, 1, nil)
			c.want(0x80000015, 0, 1)
		}, stays, []string{"command_status 0x08"}},
		{"an answer to nothing", func(c *raw) {
			c.put(0x80000005, 0, 77, []byte{0})
			c.want(0x80000015, 0, c.send(0x15, nil))
		}, stays, []string{"deliver_sm_resp 77 answers nothing"}},
		{"segments that do not belong together", func(c *raw) {
			c.want(0x80000009, 0, c.send(9, octets(c.t, "00 00 00 34 00 00 00")))
			c.want(0x80000004, 0, c.send(4, body{esm: 0x40, text: "\x05\x00\x03\x07\x03\x01a"}.octets()))
			c.want(0x80000004, 0, c.send(4, body{esm: 0x40, text: "\x05\x00\x03\x07\x02\x02a"}.octets()))
		}, stays, []string{"segment 2 of 2 with reference 7"}},
		{"one reference for two messages, one after the other", func(c *raw) {
			c.want(0x80000009, 0, c.send(9, octets(c.t, "00 00 00 34 00 00 00")))
			for _, text := range []string{"\x05\x00\x03\x07\x02\x02a", "\x05\x00\x03\x07\x02\x01a", "\x05\x00\x03\x07\x03\x01a"} {
				c.want(0x80000004, 0, c.send(4, body{esm: 0x40, text: text}.octets()))
			}
		}, stays, nil},
	} {
		t.Run(x.name, func(t *testing.T) {
			s := serveSMPP(t, smstest.SMPPOptions{})
			c := dialRaw(t, s.Addr)
			x.do(c)
			if x.end {
				c.ended()
			} else {
				c.want(0x80000015, 0, func() uint32 { c.put(0x15, 0, 1000, nil); return 1000 }())
			}
			v := slices.DeleteFunc(s.Violations(), func(v string) bool { return strings.Contains(v, "1000 after") })
			if len(v) != len(x.violation) {
				t.Fatalf("violations %q, want %q", v, x.violation)
			}
			for i, want := range x.violation {
				if !strings.Contains(v[i], want) {
					t.Errorf("violation %q, want %q", v[i], want)
				}
			}
		})
	}
}

// TestBinds: who may bind, and the faults of binds.
func TestBinds(t *testing.T) {
	s := serveSMPP(t, smstest.SMPPOptions{SystemID: "godwit", Password: "secret"})
	bind := func(login string) *raw {
		c := dialRaw(t, s.Addr)
		c.send(9, octets(t, login+" 00 34 00 00 00"))
		return c
	}
	const right = "'godwit' 00 'secret' 00"
	for _, x := range []struct {
		name, login string
		fault       smstest.BindFault
		status      uint32
	}{
		{"unknown", "'wodgit' 00 'secret' 00", smstest.BindFault{}, 0x0F},
		{"wrong password", "'godwit' 00 'Secret' 00", smstest.BindFault{}, 0x0E},
		{"failed", right, smstest.BindFault{Status: 0x0D}, 0x0D},
		{"bound already", right, smstest.BindFault{Status: 0x05}, 0x05},
	} {
		if x.fault != (smstest.BindFault{}) {
			s.NextBind(1, x.fault)
		}
		c := bind(x.login)
		if f := c.want(0x80000009, x.status, 1); len(f.body) != 0 {
			t.Errorf("%s: a refusal has the body %q", x.name, f.body)
		}
		if x.status != 0x05 {
			c.ended()
		}
	}
	for _, what := range []smstest.Instead{smstest.FIN, smstest.RST, smstest.Garbage, smstest.BadLength, smstest.Truncated} {
		s.NextBind(1, smstest.BindFault{Instead: what})
		c := bind(right)
		var header [16]byte
		n, err := c.r.Read(header[:])
		if cut := what == smstest.FIN || what == smstest.RST; (err != nil) != cut {
			t.Errorf("%s: %d octets, %v", what, n, err)
		}
	}
	s.NextBind(1, smstest.BindFault{Instead: smstest.NoAnswer})
	silent := bind(right)
	silent.want(0x80000015, 0, silent.send(0x15, nil)) // the bind was not answered
	if f := bind(right).want(0x80000009, 0, 1); string(f.body) != "smstest\x00\x02\x10\x00\x01\x34" {
		t.Errorf("bind_transceiver_resp %q", f.body)
	}
	if err := s.Bound(soon(t), 1); err != nil {
		t.Error(err)
	}
	if v := s.Violations(); len(v) != 0 {
		t.Errorf("violations %q", v)
	}
}

// TestBindDeadline: who does not bind, does not stay.
func TestBindDeadline(t *testing.T) {
	s := serveSMPP(t, smstest.SMPPOptions{Bind: 20 * time.Millisecond})
	dialRaw(t, s.Addr).ended()
	if v := s.Violations(); len(v) != 1 || !strings.Contains(v[0], "no bind came") {
		t.Errorf("violations %q", v)
	}
}

// FuzzSMPP: whatever comes, the server lives and says what was wrong.
func FuzzSMPP(f *testing.F) {
	s := smstest.NewSMPP(smstest.SMPPOptions{})
	f.Cleanup(s.Close)
	f.Add(uint32(4), short(0, 0, "a"))
	f.Add(uint32(4), body{esm: 0x40, text: "\x05\x00\x03\x07\x02\x01a"}.octets())
	f.Add(uint32(4), body{coding: 8, tail: "\x04\x24\x00\x02\x4f\x60"}.octets())
	f.Add(uint32(0x80000005), []byte{0})
	f.Add(uint32(0x103), []byte{})
	f.Fuzz(func(t *testing.T, command uint32, body []byte) {
		if len(body) > 1<<16 || command >= 1 && command <= 9 && command != 4 || command == 0x15 {
			return
		}
		c := bound(t, s, 2)
		defer c.Close()
		c.put(command, 0, 2, body)
		c.seq = 2
		switch {
		case command == 4:
			got := c.next()
			if got.command != 0x80000004 || got.status == 0 != (len(got.body) > 0) {
				t.Fatalf("answered %+v", got)
			}
		case command < 1<<31:
			c.want(0x80000000, 0x03, 2)
		}
		c.want(0x80000015, 0, c.send(0x15, nil))
	})
}

// FuzzSMPPStream: octets that are no PDUs do not keep others from being served.
func FuzzSMPPStream(f *testing.F) {
	s := smstest.NewSMPP(smstest.SMPPOptions{})
	f.Cleanup(s.Close)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), false)
	f.Add([]byte{0, 0, 0, 16, 0, 0, 0, 0x15, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 15}, true)
	f.Add([]byte{0, 0, 0xFF, 0xFF, 0, 0, 0, 4}, true)
	f.Fuzz(func(t *testing.T, stream []byte, first bool) {
		c := dialRaw(t, s.Addr)
		if first {
			c.want(0x80000009, 0, c.send(9, octets(t, "00 00 00 34 00 00 00")))
		}
		if _, err := c.Write(stream); err != nil {
			return // the server has closed already
		}
		c.Close()
		d := bound(t, s, 2)
		d.want(0x80000006, 0, d.send(6, nil))
		d.Close()
	})
}

// BenchmarkSMPP is what the server does at most: a client that writes 50 submits at a time.
func BenchmarkSMPP(b *testing.B) {
	s := smstest.NewSMPP(smstest.SMPPOptions{})
	defer s.Close()
	c, err := net.Dial("tcp", s.Addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	write := func(batch ...[]byte) {
		if _, err := c.Write(bytes.Join(batch, nil)); err != nil {
			b.Fatal(err)
		}
	}
	pdu := func(command, seq uint32, body []byte) []byte {
		head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(16+len(body))), command)
		return append(binary.BigEndian.AppendUint32(append(head, 0, 0, 0, 0), seq), body...)
	}
	answers := make([]byte, 16+8+5)
	write(pdu(2, 1, []byte("\x00\x00\x00\x34\x00\x00\x00")))
	if _, err := io.ReadFull(c, answers); err != nil {
		b.Fatal(err)
	}
	const window = 50
	answers = make([]byte, window*(16+9))
	seq := uint32(1)
	for b.Loop() {
		var batch [][]byte
		for range window {
			seq++
			batch = append(batch, pdu(4, seq, body{text: "hello"}.octets()))
		}
		write(batch...)
		if _, err := io.ReadFull(c, answers); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*window)/b.Elapsed().Seconds(), "submits/s")
}
