package broker_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/clienttest"
)

// serveTLS serves one user, and whom certificates of the authority name.
func serveTLS(t *testing.T, l *broker.Listener) (*node, *clienttest.Authority) {
	t.Helper()
	ca := clienttest.NewAuthority(t)
	l.TLS = &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{ca.Issue("broker", time.Now().Add(time.Hour)).TLS(t)},
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: ca.Pool(),
	}
	return serve(t, l), ca
}

// hand shakes hands over a connection.
func hand(c net.Conn, ca *clienttest.Authority, change func(*tls.Config)) (*tls.Conn, error) {
	cfg := &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}
	if change != nil {
		change(cfg)
	}
	s := tls.Client(c, cfg)
	return s, s.Handshake()
}

func TestTLSHandshakes(t *testing.T) {
	n, ca := serveTLS(t, &broker.Listener{})
	with := func(issuer *clienttest.Authority, name string, until time.Duration) func(*tls.Config) {
		pair := issuer.Issue(name, time.Now().Add(until)).TLS(t)
		return func(cfg *tls.Config) { // whatever the server asks for
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
	}
	old := func(change func(*tls.Config), version uint16) func(*tls.Config) {
		return func(cfg *tls.Config) {
			if change != nil {
				change(cfg)
			}
			cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS10, version
		}
	}
	const refused = 0xFF
	right := with(ca, string(alice), time.Hour)
	for _, c := range []struct {
		name     string
		change   func(*tls.Config)
		password string
		want     byte // CONNACK
	}{
		{"no certificate and the token", nil, n.token, 0},
		{"no certificate and a wrong token", nil, "guess", 0x86},
		{"a certificate", right, "whatever", 0},
		{"a certificate, TLS 1.2", old(right, tls.VersionTLS12), "whatever", 0},
		{"a certificate of somebody else", with(ca, "4915112345699", time.Hour), n.token, 0x86},
		{"an expired one", with(ca, string(alice), -time.Minute), n.token, refused},
		{"another authority's", with(clienttest.NewAuthority(t), string(alice), time.Hour), n.token, refused},
		{"another authority's, TLS 1.2", old(with(clienttest.NewAuthority(t), string(alice), time.Hour), tls.VersionTLS12), n.token, refused},
		{"TLS 1.1", old(nil, tls.VersionTLS11), n.token, refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := n.Stats().RefusedHello.Load()
			s, err := hand(n.dial(t), ca, c.change)
			if err == nil && c.want != refused {
				if got := n.connect(t, s, "phone", c.password); got != c.want {
					t.Errorf("CONNACK %#x", got)
				}
				return
			}
			if err == nil { // with TLS 1.3 a client learns it when it reads
				_, err = s.Read(make([]byte, 1))
			}
			if err == nil || c.want != refused {
				t.Fatalf("got %v", err)
			}
			eventually(t, func() bool { return n.Stats().RefusedHello.Load() == before+1 })
		})
	}
	for name, text := range map[string][]byte{
		"garbage":                     bytes.Repeat([]byte{0xA5}, 64),
		"MQTT without TLS":            n.hello("plain", n.token),
		"half a record of a megabyte": {0x16, 3, 1, 0xFF, 0xFF, 1, 0x0F, 0xFF, 0xFF},
	} {
		t.Run(name, func(t *testing.T) {
			c := n.dial(t)
			must(t, c.SetDeadline(time.Now().Add(5*time.Second)))
			_, err := c.Write(text)
			must(t, err)
			if !closed(c) {
				t.Error("still open")
			}
		})
	}
}

func TestHandshakeEndsWithTheConnectDeadline(t *testing.T) {
	n, ca := serveTLS(t, &broker.Listener{ConnectTimeout: 200 * time.Millisecond})
	silent, half := n.dial(t), n.dial(t)
	_, err := half.Write([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3})
	must(t, err)
	shaken, err := hand(n.dial(t), ca, nil)
	must(t, err)
	for _, c := range []net.Conn{silent, half, shaken} {
		if !closed(c) {
			t.Error("still open")
		}
	}
	if n.hook.Stats().Connected.Load() != 0 {
		t.Error("counted as connected")
	}
}

// A wrong certificate is a wrong password: guessing closes the door to its address.
func TestWrongCertificatesAreFailedLogins(t *testing.T) {
	n, ca := serveTLS(t, &broker.Listener{Visitors: &broker.Visitors{FailedLogins: 3}})
	foreign := clienttest.NewAuthority(t).Issue(string(alice), time.Now().Add(time.Hour)).TLS(t)
	eventually(t, func() bool { // three within a second
		if s, err := hand(n.dial(t), ca, func(cfg *tls.Config) {
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &foreign, nil }
		}); err == nil {
			_, _ = s.Read(make([]byte, 1))
		}
		return n.Stats().RefusedAddress.Load() > 0
	})
}

// cramped are connections that the kernel takes little for.
type cramped struct{ net.Listener }

func (l cramped) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(4096)
	}
	return c, err
}

// TLS cannot be written past its lock, as a TCP connection is: a device that does not read has a goroutine wait for it, and nobody else.
func TestSlowReaderOverTLSHoldsUpNobody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	n, ca := serveTLS(t, &broker.Listener{Net: cramped{l}})
	login := func(id string) *tls.Conn {
		s, err := hand(n.dial(t), ca, nil)
		must(t, err)
		if code := n.connect(t, s, id, n.token); code != 0 {
			t.Fatalf("CONNACK %#x", code)
		}
		return s
	}
	var slow []net.Conn
	for i := range 8 { // more than there are writers
		c := n.dial(t)
		must(t, c.(*net.TCPConn).SetReadBuffer(4096))
		s, err := hand(c, ca, nil)
		must(t, err)
		n.connect(t, s, fmt.Sprint("slow", i), n.token)
		filter := "u/" + string(alice) + "/#"
		_, err = s.Write(append([]byte{0x82, byte(len(filter) + 6), 0, 1, 0, 0, byte(len(filter))}, append([]byte(filter), 1)...))
		must(t, err)
		_, err = io.ReadFull(s, make([]byte, 6)) // SUBACK
		must(t, err)
		slow = append(slow, s)
	}
	good := login("good")
	topic, payload := "to/"+string(alice), make([]byte, 30_000)
	size := 2 + len(topic) + 2 + 1 + len(payload)
	for id := range byte(8) {
		packet := append([]byte{0x32, byte(size&0x7F) | 0x80, byte(size>>7&0x7F) | 0x80, byte(size >> 14), 0, byte(len(topic))}, topic...)
		_, err := good.Write(append(append(packet, 0, id+1, 0), payload...))
		must(t, err)
		var head [2]byte
		_, err = io.ReadFull(good, head[:])
		must(t, err)
		_, err = io.CopyN(io.Discard, good, int64(head[1])) // PUBACK
		must(t, err)
	}
	ping(t, good)
	began := time.Now()
	for i := range slow { // a takeover closes them, and does not wait for them to read
		login(fmt.Sprint("slow", i))
		ping(t, good)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the takeovers took %v", took)
	}
}

// crypto/tls would wait 5 s for the peer to take its close_notify, and who closes holds locks.
func TestCloseDoesNotWaitForTheReader(t *testing.T) {
	ca := clienttest.NewAuthority(t)
	ours, theirs := net.Pipe() // takes nothing that is not read
	t.Cleanup(func() { theirs.Close() })
	shaken := make(chan error, 1)
	go func() {
		_, err := hand(theirs, ca, func(cfg *tls.Config) { cfg.MaxVersion = tls.VersionTLS12 }) // no tickets to read afterwards
		shaken <- err
	}()
	c, err := broker.Secured(ours, &tls.Config{Certificates: []tls.Certificate{ca.Issue("broker", time.Now().Add(time.Hour)).TLS(t)}})
	must(t, errors.Join(err, <-shaken))
	began := time.Now()
	_ = c.Close()
	if took := time.Since(began); took > time.Second {
		t.Errorf("took %v", took)
	}
}

// The bound is that of an address; it must not keep out others.
func TestHalfOpenHandshakesKeepNobodyOut(t *testing.T) {
	n, ca := serveTLS(t, &broker.Listener{Visitors: &broker.Visitors{PerAddress: 1000}})
	const addresses, each = 4, 1200
	refused := 0
	for a := range addresses {
		from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(10+a))}
		for i := range each {
			c, err := (&net.Dialer{LocalAddr: from}).Dial("tcp", n.Address())
			if err != nil {
				t.Skipf("%d sockets: %v", a*each+i, err)
			}
			defer c.Close()
			if i%2 == 0 {
				_, _ = c.Write([]byte{0x16, 3, 1, 2, 0, 1})
			}
		}
		refused += each - 1000
	}
	s, err := hand(n.dial(t), ca, nil)
	must(t, err)
	if code := n.connect(t, s, "good", n.token); code != 0 {
		t.Fatalf("CONNACK %#x", code)
	}
	ping(t, s)
	if got := n.Stats().RefusedAddress.Load(); got != uint64(refused) {
		t.Errorf("%d refused, not %d", got, refused)
	}
}
