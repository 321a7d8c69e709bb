package smstest_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
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
	if f, err := c.read(); err == nil || errors.Is(err, errTimeout) {
		c.t.Fatalf("the connection goes on: %+v, %v", f, err)
	}
}

var errTimeout = net.ErrClosed

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

// TestGolden speaks octets that were written down by hand from SMPP 3.4: the bind_transmitter is the example of §3.2.2.
func TestGolden(t *testing.T) {
	s := serveSMPP(t, smstest.SMPPOptions{SystemID: "SMPP3TEST", Password: "secret08", FirstID: 0x1A2B})
	c := dialRaw(t, s.Addr)
	c.write(octets(t, `0000002F 00000002 00000000 00000001
		534D50503354455354 00 7365637265743038 00 5355424D495431 00 00 01 01 00`))
	got := make([]byte, 16+8)
	if _, err := io.ReadFull(c.r, got); err != nil {
		t.Fatal(err)
	}
	if want := octets(t, "00000018 80000002 00000000 00000001 'smstest' 00"); !bytes.Equal(got, want) {
		t.Errorf("bind_transmitter_resp\n% x, want\n% x", got, want)
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
