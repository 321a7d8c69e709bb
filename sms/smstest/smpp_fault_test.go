package smstest_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/sms/smstest"
)

// take answers the next deliver_sm, and returns its body.
func (c *raw) take() []byte {
	c.t.Helper()
	f := c.next()
	if f.command != 5 {
		c.t.Fatalf("command 0x%08x came, want a deliver_sm", f.command)
	}
	c.put(0x80000005, 0, f.seq, []byte{0})
	return f.body
}

// silent checks that nothing comes for a while.
func (c *raw) silent() {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if f, err := c.read(); !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("%+v came, %v, want silence", f, err)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
}

// TestSMPPFaults: each fault once, and what is taken of it.
func TestSMPPFaults(t *testing.T) {
	const answered = 0x80000004
	for _, x := range []struct {
		name  string
		fault smstest.SMPPFault
		taken int
		see   func(c *raw, seq uint32)
	}{
		{"throttled", smstest.SMPPFault{Status: 0x58}, 0, func(c *raw, seq uint32) {
			if f := c.want(answered, 0x58, seq); len(f.body) != 0 {
				c.t.Errorf("a refusal has the body %q", f.body)
			}
		}},
		{"lost, and answered", smstest.SMPPFault{Lose: true}, 0, func(c *raw, seq uint32) { c.want(answered, 0, seq) }},
		{"swallowed", smstest.SMPPFault{Instead: smstest.NoAnswer}, 1, func(c *raw, _ uint32) { c.take() }},
		{"swallowed, no DLR", smstest.SMPPFault{Instead: smstest.NoAnswer, DLR: smstest.NoDLR}, 1, func(c *raw, _ uint32) { c.silent() }},
		{"nack", smstest.SMPPFault{Instead: smstest.Nack}, 0, func(c *raw, seq uint32) { c.want(0x80000000, 0x08, seq) }},
		{"nack 0x03", smstest.SMPPFault{Instead: smstest.Nack, Status: 3}, 0, func(c *raw, seq uint32) { c.want(0x80000000, 0x03, seq) }},
		{"FIN", smstest.SMPPFault{Instead: smstest.FIN}, 1, func(c *raw, _ uint32) {
			if _, err := c.read(); err != io.EOF {
				c.t.Error(err)
			}
		}},
		{"FIN before it is taken", smstest.SMPPFault{Instead: smstest.FIN, Lose: true}, 0, func(c *raw, _ uint32) { c.ended() }},
		{"RST", smstest.SMPPFault{Instead: smstest.RST}, 1, func(c *raw, _ uint32) {
			if _, err := c.read(); !errors.Is(err, syscall.ECONNRESET) {
				c.t.Error(err)
			}
		}},
		{"half-open", smstest.SMPPFault{Instead: smstest.Silence}, 1, func(c *raw, _ uint32) {
			c.send(0x15, nil)
			c.silent()
		}},
		{"truncated", smstest.SMPPFault{Instead: smstest.Truncated}, 1, func(c *raw, _ uint32) {
			if b, err := io.ReadAll(c.r); err != nil || len(b) != 14 || b[4] != 0x80 {
				c.t.Errorf("% x, %v", b, err)
			}
		}},
		{"garbage", smstest.SMPPFault{Instead: smstest.Garbage, DLR: smstest.NoDLR}, 1, func(c *raw, _ uint32) {
			if line, err := c.r.ReadString('\n'); !strings.HasPrefix(line, "HTTP/1.1") {
				c.t.Errorf("%q, %v", line, err)
			}
			c.put(0x80000000, 0x02, 0, nil) // is no violation then
		}},
		{"impossible length", smstest.SMPPFault{Instead: smstest.BadLength, DLR: smstest.NoDLR}, 1, func(c *raw, _ uint32) {
			b := make([]byte, 16)
			if _, err := io.ReadFull(c.r, b); err != nil || !bytes.HasPrefix(b, []byte{0, 0, 0, 4}) {
				c.t.Errorf("% x, %v", b, err)
			}
		}},
		{"malformed", smstest.SMPPFault{Instead: smstest.Malformed}, 1, func(c *raw, seq uint32) {
			if f := c.want(answered, 0, seq); bytes.Contains(f.body, []byte{0}) {
				c.t.Errorf("message_id %q ends", f.body)
			}
		}},
		{"unknown command", smstest.SMPPFault{Instead: smstest.UnknownCommand}, 1, func(c *raw, seq uint32) {
			f := c.want(0x0F0F, 0, 1)
			c.want(answered, 0, seq)
			c.put(0x80000000, 0x03, f.seq, nil)
		}},
		{"unbind", smstest.SMPPFault{Instead: smstest.Unbind, DLR: smstest.NoDLR}, 1, func(c *raw, _ uint32) {
			f := c.want(6, 0, 1)
			c.want(answered, 0x04, c.send(4, short(0, 0, "too late")))
			c.put(0x80000006, 0, f.seq, nil)
			c.ended()
		}},
		{"unbind, and the answer", smstest.SMPPFault{Instead: smstest.UnbindFirst, DLR: smstest.NoDLR}, 1, func(c *raw, seq uint32) {
			f := c.want(6, 0, 1)
			c.want(answered, 0, seq)
			c.put(0x80000006, 0, f.seq, nil)
			c.ended()
		}},
		{"late", smstest.SMPPFault{Late: 60 * time.Millisecond}, 1, func(c *raw, seq uint32) {
			begun := time.Now()
			c.want(0x80000015, 0, c.send(0x15, nil)) // is answered meanwhile
			if c.want(answered, 0, seq); time.Since(begun) < 40*time.Millisecond {
				c.t.Errorf("it took %v", time.Since(begun))
			}
		}},
		{"behind two others", smstest.SMPPFault{Behind: 2, DLR: smstest.NoDLR}, 3, func(c *raw, seq uint32) {
			two, three := c.send(4, body{text: "2"}.octets()), c.send(4, body{text: "3"}.octets())
			begun := time.Now()
			c.want(answered, 0, two)
			c.want(answered, 0, three)
			if c.want(answered, 0, seq); time.Since(begun) > 900*time.Millisecond {
				c.t.Error("it waited for nothing")
			}
		}},
		{"behind one that does not come", smstest.SMPPFault{Behind: 2, Late: 30 * time.Millisecond, DLR: smstest.NoDLR}, 2, func(c *raw, seq uint32) {
			two := c.send(4, body{text: "2"}.octets())
			c.want(answered, 0, two)
			c.want(answered, 0, seq)
		}},
		{"DLR before the answer", smstest.SMPPFault{DLR: smstest.Early}, 1, func(c *raw, seq uint32) {
			c.take()
			c.want(answered, 0, seq)
		}},
		{"DLR twice", smstest.SMPPFault{DLR: smstest.Twice}, 1, func(c *raw, seq uint32) {
			c.want(answered, 0, seq)
			if one, two := c.take(), c.take(); !bytes.Equal(one, two) {
				c.t.Errorf("%q and %q", one, two)
			}
		}},
		{"ACCEPTD after DELIVRD", smstest.SMPPFault{DLR: smstest.Disorder}, 1, func(c *raw, seq uint32) {
			c.want(answered, 0, seq)
			if one, two := c.take(), c.take(); !bytes.Contains(one, []byte("stat:DELIVRD")) || !bytes.Contains(two, []byte("stat:ACCEPTD")) {
				c.t.Errorf("%q and %q", one, two)
			}
		}},
		{"undelivered", smstest.SMPPFault{DLR: smstest.Undelivered}, 1, func(c *raw, seq uint32) {
			c.want(answered, 0, seq)
			if b := c.take(); !bytes.Contains(b, []byte("dlvrd:000")) || !bytes.Contains(b, []byte("stat:UNDELIV")) || b[len(b)-1] != 5 {
				c.t.Errorf("%q", b)
			}
		}},
		{"any states", smstest.SMPPFault{States: []string{"ENROUTE", "EXPIRED"}}, 1, func(c *raw, seq uint32) {
			c.want(answered, 0, seq)
			if one, two := c.take(), c.take(); one[len(one)-1] != 1 || two[len(two)-1] != 3 {
				c.t.Errorf("%q and %q", one, two)
			}
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			s := serveSMPP(t, smstest.SMPPOptions{})
			c := bound(t, s, transceiver)
			s.Next(1, x.fault)
			x.see(c, c.send(4, short(0, 0, "hello")))
			if got := s.Submits(); len(got) != x.taken {
				t.Errorf("%d taken, want %d", len(got), x.taken)
			}
			if r := s.Tries()[0]; r.Fault.Instead != x.fault.Instead || r.Text != "hello" {
				t.Errorf("the log says %+v", r)
			}
			if v := s.Violations(); len(v) != 0 {
				t.Errorf("violations %q", v)
			}
			s.Clear()
			next := bound(t, s, 2)
			next.want(answered, 0, next.send(4, short(0, 0, "after it")))
		})
	}
}

// TestReceipts: the ways in which SMSCs write receipts.
func TestReceipts(t *testing.T) {
	const tlvs = "\x00\x1e\x00\x04abc\x00\x04\x27\x00\x01\x02"
	for _, x := range []struct {
		name    string
		receipt smstest.Receipt
		class   byte
		text    string // with dates of 9s
		tlvs    string
	}{
		{"all", smstest.Receipt{}, 4, "id:abc sub:001 dlvrd:001 submit date:9999999999 done date:9999999999 stat:DELIVRD err:000 text:hello", tlvs},
		{"text only, esm_class 0", smstest.Receipt{Form: smstest.TextOnly, Plain: true}, 0,
			"id:abc sub:001 dlvrd:001 submit date:9999999999 done date:9999999999 stat:DELIVRD err:000 text:hello", ""},
		{"TLVs only", smstest.Receipt{Form: smstest.TLVsOnly}, 4, "", tlvs},
		{"seconds, decimal id, hexadecimal err, NUL", smstest.Receipt{Form: smstest.TextOnly, Seconds: true, ID: smstest.Decimal, Err: "0A1F", NUL: true}, 4,
			"id:2748 sub:001 dlvrd:001 submit date:999999999999 done date:999999999999 stat:DELIVRD err:0A1F text:hello\x00", ""},
		{"fields left out, padded id", smstest.Receipt{Form: smstest.TextOnly, ID: smstest.Padded, Leave: []string{"sub", "dlvrd", "submit date", "done date", "err", "text"}}, 4,
			"id:00000000000000002748 stat:DELIVRD", ""},
		{"a stranger", smstest.Receipt{Form: smstest.TLVsOnly, ID: smstest.HexPadded, Stranger: true}, 4, "", "\x00\x1e\x00\x110000001000000abc\x00\x04\x27\x00\x01\x02"},
		{"reference", smstest.Receipt{Form: smstest.TLVsOnly, ID: smstest.HexUpper, Reference: true}, 4, "",
			"\x00\x1e\x00\x04ABC\x00\x04\x27\x00\x01\x02\x02\x04\x00\x02\x12\x34"},
	} {
		s := serveSMPP(t, smstest.SMPPOptions{FirstID: 0xABC, Receipt: x.receipt})
		c := bound(t, s, transceiver)
		c.want(0x80000004, 0, c.send(4, short(0, 0, "hello", 2, 4, 0, 2, 0x12, 0x34)))
		got := c.take()
		const head = "\x00\x01\x014915112345678\x00\x01\x014915100000000\x00"
		want := head + string([]byte{x.class, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(x.text))}) + x.text + x.tlvs
		if len(got) != len(want) {
			t.Errorf("%s:\n%q, want\n%q", x.name, got, want)
			continue
		}
		for i := range got { // dates are any digits
			if want[i] == '9' && i > len(head)+10 && got[i] >= '0' && got[i] <= '9' {
				got[i] = '9'
			}
		}
		if string(got) != want {
			t.Errorf("%s:\n%q, want\n%q", x.name, got, want)
		}
	}
}

// TestRegisteredDelivery: receipts come as they were asked for (SMPP 3.4 §5.2.17), and without TLVs to a client of 3.3 (§3.4.1).
func TestRegisteredDelivery(t *testing.T) {
	s := serveSMPP(t, smstest.SMPPOptions{})
	c := dialRaw(t, s.Addr)
	c.want(0x80000009, 0, c.send(9, octets(t, "00 00 00 33 00 00 00")))
	for _, reg := range []byte{0, 2} {
		c.want(0x80000004, 0, c.send(4, body{reg: reg, text: "a"}.octets()))
	}
	s.Next(1, smstest.SMPPFault{DLR: smstest.Undelivered})
	c.want(0x80000004, 0, c.send(4, body{reg: 2, text: "a"}.octets()))
	if b := c.take(); !bytes.HasSuffix(b, []byte("stat:UNDELIV err:000 text:a")) {
		t.Errorf("%q", b)
	}
	c.silent()
}

// TestLimits: the window and the rate of the SMSC.
func TestLimits(t *testing.T) {
	s := serveSMPP(t, smstest.SMPPOptions{Window: 2, WindowStatus: 0x14, Latency: 200 * time.Millisecond})
	c := bound(t, s, 2)
	for range 3 {
		c.send(4, short(0, 0, "a"))
	}
	statuses := map[uint32]uint32{}
	for range 3 {
		f := c.next()
		statuses[f.seq] = f.status
	}
	if statuses[2] != 0 || statuses[3] != 0 || statuses[4] != 0x14 {
		t.Errorf("answered %v", statuses)
	}
	if x := s.Sessions()[0]; x.Most != 3 || x.Open != 0 || x.Submits != 3 {
		t.Errorf("session %+v", x)
	}
	s = serveSMPP(t, smstest.SMPPOptions{Rate: 0.01})
	c = bound(t, s, 2)
	c.want(0x80000004, 0, c.send(4, short(0, 0, "a")))
	c.want(0x80000004, 0x58, c.send(4, short(0, 0, "a")))
	if len(s.Submits()) != 1 || len(s.Tries()) != 2 {
		t.Errorf("%d taken of %d", len(s.Submits()), len(s.Tries()))
	}
}

// TestFaultsInTurnSMPP: Next before On, and Clear.
func TestFaultsInTurnSMPP(t *testing.T) {
	s := serveSMPP(t, smstest.SMPPOptions{})
	c := bound(t, s, 2)
	s.Next(2, smstest.SMPPFault{Status: 0x58})
	s.Next(1, smstest.SMPPFault{Status: 0x45})
	s.On(func(r smstest.Submitted) smstest.SMPPFault {
		if r.Text == "b" {
			return smstest.SMPPFault{Status: 0x0B}
		}
		return smstest.SMPPFault{}
	})
	var got []uint32
	for _, text := range []string{"a", "b", "b", "a", "b"} {
		c.send(4, short(0, 0, text))
		got = append(got, c.next().status)
	}
	s.Clear()
	c.send(4, short(0, 0, "b"))
	if got = append(got, c.next().status); !slices.Equal(got, []uint32{0x58, 0x58, 0x45, 0, 0x0B, 0}) {
		t.Errorf("answered %x", got)
	}
	for _, bad := range []smstest.SMPPFault{{Instead: "typo"}, {DLR: "typo"}, {States: []string{"TYPO"}}, {Receipt: &smstest.Receipt{Leave: []string{"typo"}}}, {Late: -1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v was taken", bad)
				}
			}()
			s.Next(1, bad)
		}()
	}
}

// TestRestart: Stop cuts, Start listens on the same port; the log stays, and what was not answered comes again.
func TestRestart(t *testing.T) {
	s := serveSMPP(t, smstest.SMPPOptions{})
	c := bound(t, s, transceiver)
	c.want(0x80000004, 0, c.send(4, short(0, 0, "a")))
	first := c.want(5, 0, 1)
	s.Stop()
	c.ended()
	if _, err := net.Dial("tcp", s.Addr); err == nil {
		t.Error("the port is open")
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err == nil {
		t.Error("it listens twice")
	}
	c = bound(t, s, transceiver)
	if b := c.take(); !bytes.Equal(b, first.body) {
		t.Errorf("%q came again, want %q", b, first.body)
	}
	c.want(0x80000004, 0, c.send(4, short(0, 0, "b")))
	c.take()
	if err := s.Quiet(soon(t)); err != nil {
		t.Fatal(err)
	}
	got := s.Submits()
	if len(got) != 2 || got[0].ID == got[1].ID || got[0].Conn == got[1].Conn {
		t.Errorf("taken %+v", got)
	}
	if d := s.Deliveries(); len(d) != 2 || d[0].Sent != 2 || !slices.Equal(d[0].Conns, []int{1, 2}) || !slices.Equal(d[0].Answers, []uint32{0}) || !d[0].Done {
		t.Errorf("deliveries %+v", d)
	}
}

// TestDo: what is done to all connections at once.
func TestDo(t *testing.T) {
	s := serveSMPP(t, smstest.SMPPOptions{Latency: 300 * time.Millisecond, Response: 300 * time.Millisecond})
	one, two := bound(t, s, 2), bound(t, s, transceiver)
	s.Do(smstest.RST)
	one.ended()
	two.ended()
	a := bound(t, s, 2)
	a.send(4, short(0, 0, "under way"))
	if _, err := s.Wait(soon(t), 1); err != nil {
		t.Fatal(err)
	}
	s.Do(smstest.Unbind)
	a.want(6, 0, 1)
	a.ended() // it did not answer the unbind, and its submit was not answered
	b := bound(t, s, transceiver)
	b.take() // the receipt
	s.Do(smstest.Silence)
	b.send(0x15, nil)
	b.silent()
	if err := s.Bound(soon(t), 0); err != nil {
		t.Error(err)
	}
}

// TestEnquire: the server asks whether the client lives, and cuts one that does not answer or is not heard of.
func TestEnquire(t *testing.T) {
	s := serveSMPP(t, smstest.SMPPOptions{Enquire: 20 * time.Millisecond, Response: 300 * time.Millisecond})
	c := bound(t, s, 2)
	c.put(0x80000015, 0, c.want(0x15, 0, 1).seq, nil) // and no other
	for f, err := c.read(); err == nil; f, err = c.read() {
		if f.command != 0x15 {
			t.Fatalf("%+v", f)
		}
	}
	if v := s.Violations(); len(v) == 0 || !strings.Contains(strings.Join(v, ""), "enquire_link 2 was not answered") || strings.Contains(strings.Join(v, ""), "enquire_link 1 ") {
		t.Errorf("violations %q", v)
	}
	s = serveSMPP(t, smstest.SMPPOptions{Idle: 30 * time.Millisecond, Response: 50 * time.Millisecond})
	bound(t, s, 2).ended()
	if v := s.Violations(); len(v) != 1 || !strings.Contains(v[0], "nothing came for 30ms") {
		t.Errorf("violations %q", v)
	}
}

// TestRequest: any request, and how its answer is judged.
func TestRequest(t *testing.T) {
	s := serveSMPP(t, smstest.SMPPOptions{})
	if _, _, err := s.Request(t.Context(), 0x103, nil); err == nil {
		t.Error("a request went nowhere")
	}
	c := bound(t, s, transceiver)
	ask := func(command uint32, answer func(f frame)) (uint32, uint32, error) {
		var group sync.WaitGroup
		defer group.Wait()
		group.Go(func() { answer(c.next()) })
		return s.Request(soon(t), command, []byte("x"))
	}
	command, status, err := ask(0x103, func(f frame) { c.put(0x80000103, 0, f.seq, []byte("id\x00")) })
	if command != 0x80000103 || status != 0 || err != nil {
		t.Errorf("data_sm: 0x%08x, 0x%02x, %v", command, status, err)
	}
	command, status, err = ask(0x7777, func(f frame) { c.put(0x80000000, 3, f.seq, nil) })
	if command != 0x80000000 || status != 3 || err != nil {
		t.Errorf("unknown: 0x%08x, 0x%02x, %v", command, status, err)
	}
	if _, _, err = ask(0x102, func(frame) {}); err != nil {
		t.Error(err)
	}
	if v := s.Violations(); len(v) != 0 {
		t.Errorf("violations %q", v)
	}
	if _, _, err = ask(5, func(frame) { c.Close() }); err == nil || !strings.Contains(err.Error(), "ended without an answer") {
		t.Error(err)
	}
	c = bound(t, s, transceiver)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := s.Request(ctx, 5, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	for i, x := range []struct {
		command, status uint32
		body            string
		violation       string
	}{
		{0x80000004, 0, "\x00", "deliver_sm 2 is answered with submit_sm_resp"},
		{0x80000005, 0, "id\x00", "deliver_sm_resp 3 has a message_id"},
		{0x80000005, 0, "", "deliver_sm_resp 4: message_id does not end"},
		{0x80000005, 0x64, "", ""},
	} {
		if i == 0 {
			c.next() // of the Request that was given up
		}
		before := len(s.Violations())
		if _, _, err := ask(5, func(f frame) { c.put(x.command, x.status, f.seq, []byte(x.body)) }); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(s.Violations()[before:], ""); !strings.Contains(got, x.violation) || x.violation == "" && got != "" {
			t.Errorf("violations %q, want %q", got, x.violation)
		}
	}
}

// TestTLS: the same over TLS, which RST and Stop cut too.
func TestTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s := serveSMPP(t, smstest.SMPPOptions{TLS: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, Log: &log})
	pool := x509.NewCertPool()
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(certificate)
	c := dialRaw(t, s.Addr)
	secure := tls.Client(c.Conn, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"})
	c.Conn = secure
	c.r.Reset(secure)
	c.want(0x80000009, 0, c.send(9, octets(t, "'godwit' 00 'secret' 00 00 34 00 00 00")))
	s.Next(1, smstest.SMPPFault{Instead: smstest.RST})
	c.send(4, short(0, 0, "hello"))
	if _, err := c.read(); !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	s.Close()
	if got := log.String(); !strings.Contains(got, "connection 1: < submit_sm sequence=2 status=0x00 octets=") || strings.Contains(got, "hello") || strings.Contains(got, "secret") {
		t.Errorf("log:\n%s", got)
	}
}

// TestManySubmits: with answers out of order and some lost, what is answered with an id was taken, and nothing twice.
func TestManySubmits(t *testing.T) {
	s := serveSMPP(t, smstest.SMPPOptions{Latency: time.Millisecond})
	s.On(func(r smstest.Submitted) smstest.SMPPFault {
		return []smstest.SMPPFault{{}, {Status: 0x58}, {Behind: 1}, {Late: 2 * time.Millisecond}, {DLR: smstest.Early}}[r.Sequence%5]
	})
	const n = 500
	c := bound(t, s, transceiver)
	go func() { // the reader answers; each writes whole PDUs with one Write
		var b []byte
		for i := range uint32(n) {
			p := short(0, 0, "a")
			for _, v := range []uint32{uint32(16 + len(p)), 4, 0, 2 + i} {
				b = binary.BigEndian.AppendUint32(b, v)
			}
			b = append(b, p...)
		}
		_, _ = c.Write(b)
	}()
	ids, refused, reports := map[string]bool{}, 0, 0
	for len(ids)+refused < n || reports < len(ids) {
		switch f := c.next(); {
		case f.command == 5:
			reports++
			c.put(0x80000005, 0, f.seq, []byte{0})
		case f.status == 0x58:
			refused++
		default:
			ids[string(f.body)] = true
		}
	}
	if refused != n/5 || len(s.Submits()) != n-n/5 {
		t.Errorf("%d refused, %d taken", refused, len(s.Submits()))
	}
	if err := s.Quiet(soon(t)); err != nil {
		t.Error(err)
	}
	if v := s.Violations(); len(v) != 0 {
		t.Errorf("violations %q", v)
	}
}
