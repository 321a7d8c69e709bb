package smpp_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/sms/smpp"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

// A script is an SMSC that does what no server would: it reads and writes octets.
type script struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

// play has a script run with the first session of a gateway, which it returns with how to wait for the end of the script.
func play(t *testing.T, do func(c *script)) (g *running, end func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer l.Close()
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		s := &script{t, c, bufio.NewReader(c)}
		s.write(0x80000009, 0, s.want(9, 0), "smsc\x00")
		do(s)
	}()
	g = launch(t, l.Addr().String(), nil)
	return g, func() {
		select {
		case <-done:
		case <-soon(t).Done():
			t.Error("the script has not ended")
		}
	}
}

// want reads the next PDU, checks what it is, and returns its sequence number.
func (c *script) want(command, status uint32) (sequence uint32) {
	c.t.Helper()
	var h [16]byte
	if _, err := io.ReadFull(c.r, h[:]); err != nil {
		c.t.Errorf("want 0x%x: %v", command, err)
		return 0
	}
	io.CopyN(io.Discard, c.r, int64(binary.BigEndian.Uint32(h[:]))-16)
	if got, st := binary.BigEndian.Uint32(h[4:]), binary.BigEndian.Uint32(h[8:]); got != command || st != status {
		c.t.Errorf("0x%x with status 0x%x came, want 0x%x with 0x%x", got, st, command, status)
	}
	return binary.BigEndian.Uint32(h[12:])
}

func (c *script) write(command, status, sequence uint32, body string) {
	c.Write(framed(command, status, sequence, body))
}

// TestEqualSequenceNumbers: each side counts its own, and an answer is one only to its own command.
func TestEqualSequenceNumbers(t *testing.T) {
	g, end := play(t, func(c *script) {
		n := c.want(4, 0)
		c.write(5, 0, n, body(0, 0, "hello"))
		c.want(0x80000005, 0)
		c.write(0x80000015, 0, n, "")
		c.write(0x80000005, 0, n, "\x00")
		c.write(0x80000004, 0, n+1, "other\x00")
		c.write(0x8000FFFF, 0, n, "")
		c.write(0x80000000, 0x08, 0, "")
		c.write(0x80000004, 0, n, "mine\x00")
		c.write(0x80000000, 0, c.want(4, 0), "") // a refusal that gives no reason
		c.write(0x80000006, 0, c.want(6, 0), "")
	})
	outcomes := g.Submit(soon(t), message(1, "x"))
	want(t, outcomes, 0)
	if outcomes[0].ID != "mine" {
		t.Errorf("%+v", outcomes)
	}
	g.wait(t, 0, 1)
	want(t, g.Submit(soon(t), message(2, "x")), sms.Temporary)
	g.end()
	end()
}

// TestDeliveryDuringUnbind: what comes while the session ends is refused, so that it comes again, and the unbind is answered last.
func TestDeliveryDuringUnbind(t *testing.T) {
	g, end := play(t, func(c *script) {
		n := c.want(4, 0)
		c.write(6, 0, 7, "")
		for st := uint32(0); st == 0; { // until it has noticed
			c.write(5, 0, 8, body(0, 0, "hello"))
			var h [17]byte
			if _, err := io.ReadFull(c.r, h[:]); err != nil {
				t.Error(err)
				return
			}
			if st = binary.BigEndian.Uint32(h[8:]); st != 0 && st != 0x64 {
				t.Errorf("status 0x%x", st)
			}
		}
		c.write(0x80000004, 0, n, "id\x00")
		if n := c.want(0x80000006, 0); n != 7 {
			t.Errorf("unbind 7 is answered as %d", n)
		}
	})
	want(t, g.Submit(soon(t), message(1, "x")), 0)
	end()
}

// TestStopped: who stops waiting for an answer does not know what became of it.
func TestStopped(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	g := run(t, s, func(c *smpp.Config) { c.Concat = smpp.Payload })
	s.Next(1, smstest.SMPPFault{Instead: smstest.NoAnswer})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		s.Wait(soon(t), 1)
		cancel()
	}()
	long := message(1, strings.Repeat("a", 400))
	want(t, g.Submit(ctx, long), sms.Unknown, sms.Unknown, sms.Unknown)
	want(t, g.Submit(ctx, long), sms.NotSent, sms.NotSent, sms.NotSent)
	long.Until = time.Now().Add(-time.Second)
	want(t, g.Submit(soon(t), long), sms.NotSent, sms.NotSent, sms.NotSent)
	want(t, g.Submit(soon(t), sms.MT{}))
	if n := len(s.Tries()); n != 1 {
		t.Errorf("%d submits", n)
	}
}
