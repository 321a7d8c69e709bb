package smstest_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/sms/smstest"
)

// A raw client writes and reads octets. It shares no code with the server.
type raw struct {
	t *testing.T
	net.Conn
	r   *bufio.Reader
	seq uint32
}

func dialRaw(t *testing.T, addr string) *raw {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return &raw{t: t, Conn: c, r: bufio.NewReader(c)}
}

// octets reads hexadecimal digits, and 'text' in quotes; blanks do not count.
func octets(t *testing.T, golden string) (out []byte) {
	t.Helper()
	for i, part := range strings.Split(golden, "'") {
		if i%2 == 1 {
			out = append(out, part...)
			continue
		}
		b, err := hex.DecodeString(strings.Join(strings.Fields(part), ""))
		if err != nil {
			t.Fatalf("%q: %v", golden, err)
		}
		out = append(out, b...)
	}
	return out
}

func (c *raw) write(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// send writes a PDU and returns its sequence number.
func (c *raw) send(command uint32, body []byte) uint32 {
	c.t.Helper()
	c.seq++
	c.put(command, 0, c.seq, body)
	return c.seq
}

func (c *raw) put(command, status, seq uint32, body []byte) {
	c.t.Helper()
	var b []byte
	for _, v := range []uint32{uint32(16 + len(body)), command, status, seq} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	c.write(append(b, body...))
}

// frame is a PDU as it came.
type frame struct {
	command, status, seq uint32
	body                 []byte
}

func (c *raw) next() frame {
	c.t.Helper()
	f, err := c.read()
	if err != nil {
		c.t.Fatalf("no PDU came: %v", err)
	}
	return f
}

func (c *raw) read() (f frame, err error) {
	var h [16]byte
	if _, err := io.ReadFull(c.r, h[:]); err != nil {
		return f, err
	}
	f = frame{binary.BigEndian.Uint32(h[4:]), binary.BigEndian.Uint32(h[8:]), binary.BigEndian.Uint32(h[12:]), make([]byte, binary.BigEndian.Uint32(h[:])-16)}
	_, err = io.ReadFull(c.r, f.body)
	return f, err
}

// want reads a PDU that must be so.
func (c *raw) want(command, status, seq uint32) frame {
	c.t.Helper()
	f := c.next()
	if f.command != command || f.status != status || f.seq != seq {
		c.t.Fatalf("command 0x%08x, status 0x%02x, sequence %d came, want 0x%08x, 0x%02x, %d", f.command, f.status, f.seq, command, status, seq)
	}
	return f
}

// ended checks that the connection ends.
func (c *raw) ended() {
	c.t.Helper()
	if f, err := c.read(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("the connection goes on: %+v, %v", f, err)
	}
}

// bound is a client that is bound by a command.
func bound(t *testing.T, s *smstest.SMPP, command uint32) *raw {
	t.Helper()
	c := dialRaw(t, s.Addr)
	c.want(command|1<<31, 0, c.send(command, octets(t, "'godwit' 00 'secret' 00 00 34 00 00 00")))
	return c
}

const transceiver = 9

// short is the body of a submit_sm of a text to the peer.
func short(esm, coding byte, text string, tlvs ...byte) []byte {
	b := []byte("\x00\x01\x014915100000000\x00\x01\x014915112345678\x00")
	b = append(b, esm, 0, 0, 0)
	b = append(b, "000001000000000R\x00"...)
	b = append(b, 1, 0, coding, 0, byte(len(text)))
	return append(append(b, text...), tlvs...)
}

func serveSMPP(t *testing.T, o smstest.SMPPOptions) *smstest.SMPP {
	s := smstest.NewSMPP(o)
	t.Cleanup(s.Close)
	return s
}

// TestGolden speaks octets that were written down by hand from SMPP 3.4: the bind_transmitter is the example of its §3.2.
func TestGolden(t *testing.T) {
	s := serveSMPP(t, smstest.SMPPOptions{SystemID: "SMPP3TEST", Password: "secret08", FirstID: 0x1A2B, ResponseID: smstest.HexUpper})
	c := dialRaw(t, s.Addr)
	for _, step := range []struct{ name, write, read string }{
		{"bind_transmitter", `0000002F 00000002 00000000 00000001 534D50503354455354 00 7365637265743038 00 5355424D495431 00 00 01 01 00`,
			`00000018 80000002 00000000 00000001 'smstest' 00`},
		{"enquire_link", `00000010 00000015 00000000 00000002`, `00000010 80000015 00000000 00000002`},
		{"submit_sm", `0000004C 00000004 00000000 00000003 00 05 00 'Godwit' 00 01 01 '4915112345678' 00 40 00 00 00 '000001000000000R' 00 00 00 08 00 08
			05 00 03 2A 02 01 4F60`, `00000015 80000004 00000000 00000003 '1A2B' 00`},
		{"cancel_sm, which is not known", `00000010 00000008 00000000 00000004`, `00000010 80000000 00000003 00000004`},
		{"unbind", `00000010 00000006 00000000 7FFFFFFF`, `00000010 80000006 00000000 7FFFFFFF`},
	} {
		c.write(octets(t, step.write))
		want := octets(t, step.read)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c.r, got); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got\n% x, want\n% x", step.name, got, want)
		}
	}
	c.ended()
	if err := s.Bound(soon(t), 0); err != nil {
		t.Fatal(err)
	}
	r := s.Submits()[0]
	if r.Source != (smstest.Address{TON: 5, Addr: "Godwit"}) || r.Concat != smstest.UDH8 || r.Ref != 0x2A || r.Segment != 1 || r.Total != 2 || r.Text != "你" {
		t.Errorf("submitted %+v", r)
	}
	if x := s.Sessions()[0]; x.Command != "bind_transmitter" || x.SystemID != "SMPP3TEST" || x.Type != "SUBMIT1" || x.Version != 0 || !x.Unbound || !x.Gone {
		t.Errorf("session %+v", x)
	}
	if v := s.Violations(); len(v) != 1 || !strings.Contains(v[0], "cancel_sm is not known") {
		t.Errorf("violations %q", v)
	}
}

// TestConversation is the life of a message: submit, answer, receipt, and an answer of the phone.
func TestConversation(t *testing.T) {
	s := serveSMPP(t, smstest.SMPPOptions{ResponseID: smstest.Decimal, FirstID: 0xABC})
	c := bound(t, s, transceiver)
	seq := c.send(4, short(0, 0, "hi \x1b\x65", 0x02, 0x04, 0, 2, 0x12, 0x34))
	if f := c.want(0x80000004, 0, seq); string(f.body) != "2748\x00" {
		t.Errorf("message_id %q", f.body)
	}
	f := c.want(5, 0, 1)
	if want := "\x00\x01\x014915112345678\x00\x01\x014915100000000\x00\x04"; !strings.HasPrefix(string(f.body), want) {
		t.Errorf("deliver_sm %q, want %q", f.body, want)
	}
	if !strings.Contains(string(f.body), "id:abc sub:001 dlvrd:001 submit date:") ||
		!strings.HasSuffix(string(f.body), "stat:DELIVRD err:000 text:hi ?\x00\x1e\x00\x04abc\x00\x04\x27\x00\x01\x02") {
		t.Errorf("receipt %q", f.body)
	}
	c.put(0x80000005, 0, f.seq, []byte{0})
	got, err := s.Wait(soon(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	if r := got[0]; r.ID != "2748" || r.Text != "hi €" || r.Dest != smstest.Phone("4915112345678") || *r.Reference != 0x1234 || r.Registered != 1 ||
		r.Validity != "000001000000000R" || r.Sequence != seq || r.Segment != 1 || r.Total != 1 || !r.Taken || r.Conn != 1 {
		t.Errorf("submitted %+v", r)
	}
	if err := s.Quiet(soon(t)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		statuses, err := s.MO(soon(t), smstest.MO{From: smstest.Phone("4915112345678"), To: smstest.Phone("4915100000000"), Text: "ja"})
		if err == nil && (len(statuses) != 1 || statuses[0] != 0x64) {
			err = errors.New("the MO was not refused")
		}
		done <- err
	}()
	f = c.want(5, 0, 2)
	if want := "\x00\x01\x014915112345678\x00\x01\x014915100000000\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02ja"; string(f.body) != want {
		t.Errorf("deliver_sm %q, want %q", f.body, want)
	}
	c.put(0x80000005, 0x64, f.seq, nil)
	if err := <-done; err != nil {
		t.Error(err)
	}
	c.put(0x80000005, 0, c.want(5, 0, 3).seq, []byte{0})
	if err := s.Quiet(soon(t)); err != nil {
		t.Fatal(err)
	}
	c.want(0x80000006, 0, c.send(6, nil))
	c.ended()
	if v := s.Violations(); len(v) != 0 {
		t.Errorf("violations %q", v)
	}
}
