package smpp_test

import (
	"bufio"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/sms/smpp"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

// scripted has a script run with the first session of a gateway.
func scripted(t *testing.T, change func(*smpp.Config), do func(c *script)) (g *running) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
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
	return launch(t, l.Addr().String(), change)
}

// TestSegmentRefusedForNowComesLate: an SMSC that delivers one at a time comes back to the segment that was refused for now when its schedule says so, which may
// be long after the message was stored.
func TestSegmentRefusedForNowComesLate(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{Deliveries: 1, Retry: time.Second})
	g := run(t, s, func(c *smpp.Config) { c.Response, c.Parts = 300*time.Millisecond, 400*time.Millisecond })
	text := strings.Repeat("late ", 50)
	if _, err := s.MO(soon(t), smstest.MO{From: smstest.Phone(string(peer)), To: smstest.Phone(ours), Text: text, Concat: smstest.UDH8}); err != nil {
		t.Fatal(err)
	}
	g.wait(t, 0, 1)
	if err := s.Quiet(soon(t)); err != nil {
		t.Error(err)
	}
	if _, mos := g.wait(t, 0, 1); mos[0].Text != text {
		t.Errorf("%q", mos[0].Text)
	}
}

// TestUnbindWhileWeAsk: nothing is submitted once the SMSC has unbound, also while it owes us an answer to an enquire_link.
func TestUnbindWhileWeAsk(t *testing.T) {
	unbound, end := make(chan struct{}), make(chan struct{})
	g := scripted(t, func(c *smpp.Config) { c.Enquire, c.Response = 100*time.Millisecond, 3*time.Second }, func(c *script) {
		c.want(0x15, 0)
		c.write(6, 0, 7, "")
		c.write(0x15, 0, 8, "")
		c.want(0x80000015, 0) // it has read the unbind
		close(unbound)
		<-end
	})
	<-unbound
	want(t, g.Submit(soon(t), message(1, "x")), sms.NotSent)
	close(end)
}

// TestStrangeParametersTakeNoRoom: what nobody reads of a segment is not kept while its answer is held back.
func TestStrangeParametersTakeNoRoom(t *testing.T) {
	var tlvs []byte
	for tag := range 16000 { // of the vendor
		tlvs = append(tlvs, 0x80|byte(tag>>8), byte(tag), 0, 0)
	}
	const phones = 300
	sent, end := make(chan struct{}), make(chan struct{})
	g := scripted(t, func(c *smpp.Config) { c.Response = 30 * time.Second }, func(c *script) {
		for i := range phones {
			b := strings.Replace(body(0x40, 0, header(1, 2, 1)+"a", tlvs...), "4915112345678", fmt.Sprintf("4915112%06d", i), 1)
			c.write(5, 0, uint32(i+10), b)
		}
		c.write(0x15, 0, 5, "")
		c.want(0x80000015, 0)
		close(sent)
		<-end
	})
	<-sent
	time.Sleep(300 * time.Millisecond) // sleep: until the intakes have taken them
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > 20<<20 {
		t.Errorf("%d segments of one character take %d MiB", phones, m.HeapAlloc>>20)
	}
	close(end)
	runtime.KeepAlive(g)
}
