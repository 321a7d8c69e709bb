package smpp_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/sms/smpp"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

// TestPair: a transmitter submits, a receiver gets the receipts.
func TestPair(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	g := run(t, s, func(c *smpp.Config) { c.Pair, c.Sessions, c.SystemType = true, 2, "sms" })
	const n = 40
	for i := range n {
		want(t, g.Submit(soon(t), message(i, "x")), 0)
	}
	g.wait(t, n, 0)
	g.end()
	submits := map[string]int{}
	for _, x := range s.Sessions() {
		submits[x.Command] += x.Submits
		if x.Command == "bind_transmitter" && x.Submits < n/4 || x.Type != "sms" || !x.Unbound {
			t.Errorf("%+v", x)
		}
	}
	if len(s.Sessions()) != 4 || submits["bind_transmitter"] != n || submits["bind_receiver"] != 0 {
		t.Errorf("%+v", s.Sessions())
	}
}

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
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	s := serve(t, smstest.SMPPOptions{TLS: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}})
	g := run(t, s, func(c *smpp.Config) { c.TLS = &tls.Config{RootCAs: roots} })
	want(t, g.Submit(soon(t), message(1, "x")), 0)
	g.wait(t, 1, 0)
	stranger := launch(t, s.Addr, func(c *smpp.Config) { c.TLS = &tls.Config{RootCAs: x509.NewCertPool()} })
	outcomes := stranger.Submit(soon(t), message(2, "x"))
	want(t, outcomes, sms.NotSent)
	if !strings.Contains(outcomes[0].Err.Error(), "certificate") {
		t.Error(outcomes[0].Err)
	}
}

// TestWrongPassword: an operator must act, and nothing is sent.
func TestWrongPassword(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{SystemID: "godwit", Password: "other"})
	g := launch(t, s.Addr, nil)
	outcomes := g.Submit(soon(t), message(1, "x"))
	want(t, outcomes, sms.Configuration)
	if err := outcomes[0].Err.Error(); !strings.Contains(err, "0x0e") || strings.Contains(err, "secret") {
		t.Error(err)
	}
	if g.Linked() || len(s.Tries()) != 0 {
		t.Error("it is linked")
	}
}

// TestPasswordMended: once an operator has acted, messages go out.
func TestPasswordMended(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	s.NextBind(2, smstest.BindFault{Status: 0x0E})
	g := launch(t, s.Addr, nil)
	want(t, g.Submit(soon(t), message(1, "x")), sms.Configuration)
	if err := s.Bound(soon(t), 1); err != nil {
		t.Fatal(err)
	}
	for ctx := soon(t); classes(g.Submit(ctx, message(1, "x")))[0] == sms.Configuration; {
		select {
		case <-ctx.Done():
			t.Fatal("it is not bound")
		case <-time.After(time.Millisecond):
		}
	}
	if n := len(s.Submits()); n != 1 {
		t.Errorf("%d submits were taken", n)
	}
}

// TestRefusedBinds are binds that fail otherwise: nothing is sent, and the next succeeds.
func TestRefusedBinds(t *testing.T) {
	for name, fault := range map[string]smstest.BindFault{
		"bound already": {Status: 0x05},
		"system error":  {Status: 0x08},
		"silent bind":   {Instead: smstest.NoAnswer},
		"closed":        {Instead: smstest.FIN},
		"reset":         {Instead: smstest.RST},
		"garbage":       {Instead: smstest.Garbage},
		"half a PDU":    {Instead: smstest.Truncated},
		"length":        {Instead: smstest.BadLength},
		"half-open":     {Instead: smstest.Silence},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, smstest.SMPPOptions{})
			s.NextBind(1, fault)
			g := launch(t, s.Addr, func(c *smpp.Config) { c.Response = 200 * time.Millisecond })
			want(t, g.Submit(soon(t), message(1, "x")), sms.NotSent)
			if err := s.Bound(soon(t), 1); err != nil {
				t.Fatal(err)
			}
			submitUntilTaken(t, g, message(1, "x"))
			if n := len(s.Tries()); n != 1 {
				t.Errorf("%d submits", n)
			}
		})
	}
}

// submitUntilTaken submits again and again while nothing is sent.
func submitUntilTaken(t testing.TB, g *running, mt sms.MT) {
	t.Helper()
	for ctx := soon(t); ctx.Err() == nil; {
		outcomes := g.Submit(ctx, mt)
		if classes(outcomes)[0] == 0 {
			return
		}
		if classes(outcomes)[0] != sms.NotSent {
			t.Errorf("%+v", outcomes)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
	t.Error("it was never taken")
}

// TestDownAtStart: while the SMSC cannot be reached nothing is sent, at once; when it comes, it is bound.
func TestDownAtStart(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	s.Stop()
	g := launch(t, s.Addr, nil)
	want(t, g.Submit(soon(t), message(1, "x")), sms.NotSent)
	begin := time.Now()
	want(t, g.Submit(soon(t), message(1, "x")), sms.NotSent)
	if d := time.Since(begin); d > time.Second {
		t.Errorf("it took %v to say so", d)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	submitUntilTaken(t, g, message(1, "x"))
}

// TestMidWindow is what may happen to the connection while submits wait for their answers: those are unknown, nothing is submitted twice, and
// afterwards everything goes on.
func TestMidWindow(t *testing.T) {
	const window = 8
	for name, c := range map[string]struct {
		instead smstest.Instead
		nacks   int
	}{
		"closed": {smstest.FIN, 0}, "reset": {smstest.RST, 0}, "half-open": {smstest.Silence, 0}, "half a PDU": {smstest.Truncated, 0},
		"garbage": {smstest.Garbage, 1}, "impossible length": {smstest.BadLength, 1}, "unbind": {smstest.Unbind, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, smstest.SMPPOptions{})
			g := run(t, s, func(c *smpp.Config) { c.Window, c.Response = window, 300*time.Millisecond })
			s.Next(window-1, smstest.SMPPFault{Instead: smstest.NoAnswer})
			s.Next(1, smstest.SMPPFault{Instead: c.instead})
			var unknown sync.WaitGroup
			for i := range window {
				unknown.Go(func() { want(t, g.Submit(soon(t), message(i, "x")), sms.Unknown) })
			}
			unknown.Wait()
			s.Clear()
			submitUntilTaken(t, g, message(window, "x"))
			seen := map[uint16]int{}
			for _, r := range s.Tries() {
				if seen[*r.Reference]++; seen[*r.Reference] > 1 {
					t.Errorf("%d was submitted twice", *r.Reference)
				}
			}
			x := s.Sessions()
			if len(seen) != window+1 || len(x) < 2 || !x[0].Gone && c.instead != smstest.Silence || x[0].Nacks > c.nacks {
				t.Errorf("%d messages in sessions %+v", len(seen), x)
			}
		})
	}
}

// TestUnbindWithAnswers: what the SMSC answers after its unbind counts.
func TestUnbindWithAnswers(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	g := run(t, s, nil)
	s.Next(1, smstest.SMPPFault{Instead: smstest.UnbindFirst})
	want(t, g.Submit(soon(t), message(1, "x")), 0)
	submitUntilTaken(t, g, message(2, "x"))
}

// TestUnknownCommand: it is refused with generic_nack, and the session stays.
func TestUnknownCommand(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	g := run(t, s, nil)
	s.Next(1, smstest.SMPPFault{Instead: smstest.UnknownCommand})
	want(t, g.Submit(soon(t), message(1, "x")), 0)
	for _, c := range []struct {
		command, answer, status uint32
	}{{0x15, 0x80000015, 0}, {0x0F0F, 0x80000000, 0x03}, {0x04, 0x80000000, 0x03}} {
		answer, status, err := s.Request(soon(t), c.command, nil)
		if err != nil || answer != c.answer || status != c.status {
			t.Errorf("0x%x is answered with 0x%x, 0x%x, %v", c.command, answer, status, err)
		}
	}
	if _, _, err := s.Request(soon(t), 0x102, []byte("\x01\x014915112345678\x00\x01\x01godwit\x00")); err != nil {
		t.Error(err)
	}
	want(t, g.Submit(soon(t), message(2, "x")), 0)
	if x := s.Sessions(); len(x) != 1 || x[0].Nacks != 3 {
		t.Errorf("%+v", x)
	}
}

// TestHalfOpenIdle: enquire_link finds out that nobody is there any more.
func TestHalfOpenIdle(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	g := run(t, s, func(c *smpp.Config) { c.Enquire, c.Response = 50*time.Millisecond, 100*time.Millisecond })
	s.Do(smstest.Silence)
	for ctx := soon(t); len(s.Sessions()) < 2; {
		select {
		case <-ctx.Done():
			t.Fatal("it was not noticed")
		case <-time.After(5 * time.Millisecond):
		}
	}
	submitUntilTaken(t, g, message(1, "x"))
	if n := len(s.Tries()); n != 1 {
		t.Errorf("%d submits", n)
	}
}

// TestEnquireBothWays: an idle session is kept by enquire_link of both sides.
func TestEnquireBothWays(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{Enquire: 10 * time.Millisecond, Idle: time.Second})
	g := run(t, s, func(c *smpp.Config) { c.Enquire = 10 * time.Millisecond })
	for ctx := soon(t); s.Sessions()[0].Enquired < 10; {
		select {
		case <-ctx.Done():
			t.Fatal("no enquire_link came")
		case <-time.After(5 * time.Millisecond):
		}
	}
	want(t, g.Submit(soon(t), message(1, "x")), 0)
	if n := len(s.Sessions()); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// TestRestarts: 50 restarts with submits under way leave no socket and no goroutine (goleak sees to that), and each submit is there once.
func TestRestarts(t *testing.T) {
	sockets := openFiles(t)
	t.Cleanup(func() {
		if now := openFiles(t); now > sockets {
			t.Errorf("%d files are open, %d were before", now, sockets)
		}
	})
	s := serve(t, smstest.SMPPOptions{})
	g := run(t, s, func(c *smpp.Config) { c.Sessions, c.Backoff = 2, 10*time.Millisecond })
	stop := make(chan struct{})
	var busy sync.WaitGroup
	var mu sync.Mutex
	count := map[sms.Class]int{}
	for worker := range 4 {
		busy.Go(func() {
			for i := worker; ; i += 4 {
				select {
				case <-stop:
					return
				default:
				}
				mt := message(i, "x")
				mt.To = contacts.Number(fmt.Sprintf("4915%09d", i))
				c := classes(g.Submit(context.Background(), mt))[0]
				mu.Lock()
				count[c]++
				mu.Unlock()
				if c != 0 && c != sms.NotSent && c != sms.Unknown {
					t.Errorf("%v", c)
				}
			}
		})
	}
	for i := range 50 {
		if err := s.Bound(soon(t), 2); err != nil {
			t.Fatalf("restart %d: %v", i, err)
		}
		s.Stop()
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	busy.Wait()
	seen := map[string]int{}
	for _, r := range s.Tries() {
		if seen[r.Dest.Addr]++; seen[r.Dest.Addr] > 1 {
			t.Errorf("%s was submitted twice", r.Dest.Addr)
		}
	}
	taken := len(s.Submits())
	if count[0] > taken || taken > count[0]+count[sms.Unknown] {
		t.Errorf("%d were taken, outcomes %v", taken, count)
	}
}

// openFiles counts the open files, sockets among them, where the system tells; 0: it does not.
func openFiles(t *testing.T) int {
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Logf("open sockets are not counted: %v", err)
	}
	return len(all)
}

// TestEndWaitsForAnswers: at the end what is under way is answered, and the session is unbound.
func TestEndWaitsForAnswers(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	g := run(t, s, nil)
	s.Next(1, smstest.SMPPFault{Late: 100 * time.Millisecond})
	outcome := make(chan []sms.Outcome, 1)
	go func() { outcome <- g.Submit(context.Background(), message(1, "x")) }()
	if _, err := s.Wait(soon(t), 1); err != nil {
		t.Fatal(err)
	}
	g.end()
	want(t, <-outcome, 0)
	if x := s.Sessions(); len(x) != 1 || !x[0].Unbound {
		t.Errorf("%+v", x)
	}
}

// TestNobodyReads: a write that is not taken ends within the response time-out. What was written in part is unknown, what was not begun is not sent.
func TestNobodyReads(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	bound := make(chan net.Conn, 8)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(bound)
				return
			}
			c.(*net.TCPConn).SetReadBuffer(4096)
			buf := make([]byte, 64)
			if n, _ := c.Read(buf); n > 16 {
				c.Write(framed(0x80000009, 0, 1, "smsc\x00"))
			}
			bound <- c
		}
	}()
	g := launch(t, l.Addr().String(), func(c *smpp.Config) { c.Window, c.Response, c.Concat = 400, time.Second, smpp.Payload })
	first := <-bound
	for ctx := soon(t); !g.Linked(); {
		select {
		case <-ctx.Done():
			t.Fatal("it is not bound")
		case first = <-bound:
		case <-time.After(time.Millisecond):
		}
	}
	var mu sync.Mutex
	count := map[sms.Class]int{}
	mt := message(1, strings.Repeat("x", 30000))
	begin := time.Now()
	together(400, 400, func(int) {
		c := classes(g.Submit(context.Background(), mt))[0]
		mu.Lock()
		defer mu.Unlock()
		count[c]++
	})
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("it took %v", d)
	}
	if count[sms.NotSent] == 0 || count[sms.Unknown] == 0 || count[sms.NotSent]+count[sms.Unknown] != 400 {
		t.Errorf("%v", count)
	}
	g.end()
	first.Close()
	l.Close()
	for c := range bound {
		c.Close()
	}
}

// TestWire: the wire log has what went over the wire, but no text, no password and no number in full; nor has the log.
func TestWire(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{SystemID: "godwit", Password: "secret"})
	var mu sync.Mutex
	var lines, log bytes.Buffer
	wire := sms.NewWire(func(line string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(&lines, line)
	})
	wire.Set(true)
	g := run(t, s, func(c *smpp.Config) { c.Wire, c.Log = wire, zerolog.New(&locked{&mu, &log}) })
	want(t, g.Submit(soon(t), message(1, strings.Repeat("geheim ", 30))), 0, 0)
	if _, err := s.MO(soon(t), smstest.MO{From: smstest.Phone(string(peer)), To: smstest.Phone(ours), Text: "geheim"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.MO(soon(t), smstest.MO{From: smstest.Address{TON: 2, NPI: 1, Addr: "015112345678"}, To: smstest.Phone(ours), Text: "geheim"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.MO(soon(t), smstest.MO{To: smstest.Phone(ours), Text: "geheim"}); err != nil {
		t.Fatal(err)
	}
	g.wait(t, 2, 2)
	g.end()
	mu.Lock()
	defer mu.Unlock()
	for _, part := range []string{"> bind_transceiver seq=1", "< bind_transceiver_resp seq=1 status=0x00", "segment=2/2", `from="+49…00" to="+49…78"`, "id=", "> deliver_sm_resp", "status=0x65", "> unbind"} {
		if !strings.Contains(lines.String(), part) {
			t.Errorf("%q is not in\n%s", part, lines.String())
		}
	}
	for _, part := range []string{"geheim", "secret", string(peer), ours, "15112345678"} {
		if strings.Contains(lines.String()+log.String(), part) {
			t.Errorf("%q is in\n%s%s", part, lines.String(), log.String())
		}
	}
}

type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
