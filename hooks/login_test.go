package hooks_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/hooks"
	"github.com/seed-7a41469f/godwit/hooks/internal/rawmqtt"
)

// A door is a listener of an embedding program: mochi gets the connections as the net.Listener gives them.
type door struct {
	net.Listener
	goodbye func()
	work    sync.WaitGroup
}

var _ listeners.Listener = (*door)(nil)

func (d *door) Init(*slog.Logger) error { return nil }
func (d *door) ID() string              { return "door" }
func (d *door) Address() string         { return d.Addr().String() }
func (d *door) Protocol() string        { return "tcp" }

func (d *door) Serve(establish listeners.EstablishFn) {
	for {
		n, err := d.Accept()
		if err != nil {
			return
		}
		d.work.Go(func() { _ = establish("door", n) })
	}
}

func (d *door) Close(listeners.CloseFn) {
	_ = d.Listener.Close()
	d.goodbye()
	d.work.Wait()
}

// openDoor adds a listener whose connections are wrapped.
func (h *harness) openDoor(wrap func(net.Conn) net.Conn) (dial func(version byte) *rawmqtt.Client) {
	h.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	h.must(err)
	d := &door{Listener: wrapping{l, wrap}, goodbye: h.hook.Goodbye}
	h.must(h.server.AddListener(d))
	go d.Serve(h.server.EstablishConnection) // the server serves the others already
	return func(version byte) *rawmqtt.Client { return rawmqtt.Dial(h.t, d.Address(), version) }
}

type wrapping struct {
	net.Listener
	wrap func(net.Conn) net.Conn
}

func (w wrapping) Accept() (net.Conn, error) {
	n, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return w.wrap(n), nil
}

// A certified connection is what a listener of ours makes of a TLS connection; it counts what the hook tells the gate.
type certified struct {
	net.Conn
	cert       *x509.Certificate
	in, failed *atomic.Int64
}

func (c certified) Certificate() *x509.Certificate { return c.cert }
func (c certified) LoggedIn()                      { c.in.Add(1) }
func (c certified) LoginFailed()                   { c.failed.Add(1) }

// A wrapped connection is another hook's.
type wrapped struct{ net.Conn }

func (w wrapped) NetConn() net.Conn { return w.Conn }

// a certificate as the hooks get it: verified already.
func shown(name string, left time.Duration) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(left)}
}

// An issuer signs JWTs, and certificates.
type issuer struct{ ed25519.PrivateKey }

func newIssuer(t *testing.T) issuer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return issuer{key}
}

func (i issuer) verifier(t *testing.T) *contacts.Verifier {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(i.Public())
	if err == nil {
		var v *contacts.Verifier
		if v, err = contacts.NewVerifier(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), ""); err == nil {
			return v
		}
	}
	t.Fatal(err)
	return nil
}

func (i issuer) token(t *testing.T, a contacts.Address, left time.Duration) string {
	t.Helper()
	s, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"sub": string(a), "exp": time.Now().Add(left).Unix()}).SignedString(i.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (i issuer) certificate(t *testing.T, name string, authority bool, by *x509.Certificate, key crypto.Signer) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: authority, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if by == nil {
		by = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, key.Public(), i)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestJWTConnack(t *testing.T) {
	i, stranger := newIssuer(t), newIssuer(t)
	h := start(t, setup{people: contacts.Config{Verifier: i.verifier(t)}})
	dave := contacts.Address("4915112345604") // whom nobody has added
	good := i.token(t, dave, time.Hour)
	var in, failed atomic.Int64
	dial := h.openDoor(func(n net.Conn) net.Conn { return wrapped{certified{n, nil, &in, &failed}} })
	wrong := int64(0)
	for _, c := range []struct {
		name, user, password string
		v5, v3               byte
	}{
		{"right", string(dave), good, 0, 0},
		{"with a plus", "+" + string(dave), good, 0, 0},
		{"token of ours beside it", string(alice), h.tokens[alice], 0, 0},
		{"another's name", string(alice), good, 0x86, 0x04},
		{"expired", string(dave), i.token(t, dave, -time.Second), 0x86, 0x04},
		{"of somebody else's issuer", string(dave), stranger.token(t, dave, time.Hour), 0x86, 0x04},
		{"cut off", string(dave), good[:len(good)-10], 0x86, 0x04},
		{"60 KiB", string(dave), good + strings.Repeat("A", 60<<10), 0x86, 0x04},
	} {
		for version, want := range map[byte]byte{5: c.v5, 4: c.v3} {
			if ack := dial(version).Connect(rawmqtt.Hello(version, c.name, c.user, c.password)); ack.ReasonCode != want {
				t.Errorf("%s, version %d: CONNACK %#x, want %#x", c.name, version, ack.ReasonCode, want)
			}
			if want != 0 {
				wrong++
			}
		}
	}
	if in.Load() != 6 || failed.Load() != wrong {
		t.Errorf("the gate was told %d logins and %d failures, want 6 and %d", in.Load(), failed.Load(), wrong)
	}
	if !h.people.Registered(dave) {
		t.Error("the JWT has not registered its address")
	}
}

// A listener of the embedding program that speaks TLS, as mochi's own does.
func TestCertificateOfAStockListener(t *testing.T) {
	ours, others := newIssuer(t), newIssuer(t)
	authority, other := ours.certificate(t, "our CA", true, nil, ours), others.certificate(t, "another CA", true, nil, others)
	key := newIssuer(t)
	cert := func(c *x509.Certificate) tls.Certificate {
		return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key.PrivateKey}
	}
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	server := &tls.Config{
		Certificates: []tls.Certificate{cert(ours.certificate(t, "broker", false, authority, key))}, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven,
	}
	h := start(t, setup{})
	dial := h.openDoor(func(n net.Conn) net.Conn { return tls.Server(n, server) })
	connect := func(version byte, user, password string, c ...*x509.Certificate) (packets.Packet, error) {
		t.Helper()
		cfg := &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
		for _, one := range c { // shown even to who does not ask for one of its authority
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { pair := cert(one); return &pair, nil }
		}
		over := rawmqtt.Over(t, tls.Client(dial(version).Conn, cfg), version)
		_, _ = over.Write(over.Frame(rawmqtt.Hello(version, "phone", user, password))) // the server's alert comes when it reads
		return over.Read()
	}
	alices, erin := ours.certificate(t, string(alice), false, authority, key), ours.certificate(t, "erin", false, authority, key)
	for _, c := range []struct {
		name, user, password string
		cert                 *x509.Certificate
		v5, v3               byte
	}{
		{"by itself", "", "", alices, 0, 0},
		{"whatever the password is", string(alice), "nonsense", alices, 0, 0},
		{"an address that is new", "erin", "", erin, 0, 0},
		{"another's name", string(bob), "", alices, 0x86, 0x04},
		{"another's name with the right token", string(bob), h.tokens[bob], alices, 0x86, 0x04},
		{"no address", "", h.tokens[bob], ours.certificate(t, "Bob Example", false, authority, key), 0x86, 0x04},
		{"none shown", string(bob), h.tokens[bob], nil, 0, 0},
		{"none shown and no token", string(bob), "", nil, 0x86, 0x04},
	} {
		for version, want := range map[byte]byte{5: c.v5, 4: c.v3} {
			var certs []*x509.Certificate
			if c.cert != nil {
				certs = append(certs, c.cert)
			}
			if ack, err := connect(version, c.user, c.password, certs...); err != nil || ack.ReasonCode != want {
				t.Errorf("%s, version %d: CONNACK %#x, %v, want %#x", c.name, version, ack.ReasonCode, err, want)
			}
		}
	}
	if _, err := connect(5, "", "", others.certificate(t, string(alice), false, other, key)); err == nil {
		t.Error("a certificate of another authority was let in")
	}
	if !h.people.Registered("erin") {
		t.Error("the certificate has not registered its address")
	}
}

// Impersonation, and reading another's inbox, whatever the login rests on.
func TestNobodyActsAsAnother(t *testing.T) {
	i := newIssuer(t)
	h := start(t, setup{people: contacts.Config{Verifier: i.verifier(t)}})
	var in, failed atomic.Int64
	cert := h.openDoor(func(n net.Conn) net.Conn { return certified{n, shown(string(alice), time.Hour), &in, &failed} })
	b := h.listen(5, bob, "phone")
	for name, c := range map[string]struct {
		dial  func(byte) *rawmqtt.Client
		token string
	}{"token": {h.dial, h.tokens[alice]}, "JWT": {h.dial, i.token(t, alice, time.Hour)}, "certificate": {cert, "x"}} {
		for _, version := range []byte{4, 5} {
			if ack := c.dial(version).Connect(rawmqtt.Hello(version, "phone", string(bob), c.token)); ack.ReasonCode == 0 {
				t.Errorf("%s: logged in as another", name)
			}
			a := c.dial(version)
			if ack := a.Connect(rawmqtt.Hello(version, "phone", string(alice), c.token)); ack.ReasonCode != 0 { // bob's client id too
				t.Fatalf("%s: CONNACK %#x", name, ack.ReasonCode)
			}
			for f, owner := range filterTable([]contacts.Address{alice, bob, carol}) {
				if f == "" || strings.Contains(f, "\x00") || owner == alice {
					continue
				}
				if codes := a.Subscribe(1, f); codes[0] < 0x80 {
					t.Errorf("%s: subscribed to %q", name, f)
				}
			}
			for id, topic := range []string{"u/" + string(bob) + "/in/" + string(carol) + "/01ARZ3NDEKTSV4RRFFQ69G5FAV", "u/" + string(alice) + "/in/x/y"} {
				a.Publish(topic, "forged", 1, uint16(id+1))
				if ack := a.Expect(packets.Puback); version == 5 && ack.ReasonCode != 0x87 {
					t.Errorf("%s: published to %s: %#x", name, topic, ack.ReasonCode)
				}
			}
			a.Publish("to/"+string(bob), `{"from":"`+string(carol)+`"}`, 1, 9)
			a.Expect(packets.Puback)
			if got := b.Expect(packets.Publish); !strings.HasPrefix(got.TopicName, "u/"+string(bob)+"/in/"+string(alice)+"/") {
				t.Errorf("%s: came on %s", name, got.TopicName)
			} else {
				b.Ack(got.PacketID)
			}
			a.Raw(packets.Disconnect<<4, 0)
			a.ExpectClosed()
		}
	}
}

// A login that expires while connected ends as a loss: the will is sent.
func TestLoginExpiresWhileConnected(t *testing.T) {
	i := newIssuer(t)
	const left = time.Second
	for name, c := range map[string]struct{ jwt, will bool }{"certificate": {false, false}, "certificate, with a will": {false, true}, "JWT": {true, false}} {
		for _, version := range []byte{4, 5} {
			t.Run(fmt.Sprint(name, " ", version), func(t *testing.T) {
				t.Parallel()
				h := start(t, setup{people: contacts.Config{Verifier: i.verifier(t)}})
				stays, b := h.connect(version, alice, "by a token"), h.listen(version, bob, "b")
				var in, failed atomic.Int64
				dial, password, wait := h.dial, "", left
				if c.jwt {
					wait = 2 * time.Second // `exp` counts in seconds
					password = i.token(t, alice, wait)
				} else {
					cert := shown(string(alice), left)
					dial = h.openDoor(func(n net.Conn) net.Conn { return certified{n, cert, &in, &failed} })
				}
				hello := rawmqtt.Hello(version, "boiler", string(alice), password)
				if c.will {
					hello.Connect.WillFlag, hello.Connect.WillTopic, hello.Connect.WillPayload = true, "to/"+string(bob), []byte("I am locked out")
				}
				began, a := time.Now(), dial(version)
				if ack := a.Connect(hello); ack.ReasonCode != 0 {
					t.Fatalf("CONNACK %#x", ack.ReasonCode)
				}
				got := a.ExpectClosed()
				if took := time.Since(began); took > wait+3*time.Second {
					t.Errorf("closed after %v", took)
				}
				if version == 5 && (len(got) != 1 || got[0].FixedHeader.Type != packets.Disconnect || got[0].ReasonCode != 0xA0) || version < 5 && len(got) != 0 {
					t.Errorf("goodbye was %+v", got)
				}
				stays.Ping()
				if c.will {
					if got := b.Expect(packets.Publish); string(got.Payload) != "I am locked out" {
						t.Errorf("got %s", got.Payload)
					}
				}
				if ack := dial(version).Connect(hello); ack.ReasonCode != 0x86 && ack.ReasonCode != 0x04 {
					t.Errorf("with the expired login again: CONNACK %#x", ack.ReasonCode)
				}
			})
		}
	}
}

// Who is connected by what holds no more is gone within 5 s.
func TestWithdrawnLoginsAreGone(t *testing.T) {
	i, next := newIssuer(t), newIssuer(t)
	h := start(t, setup{people: contacts.Config{Verifier: i.verifier(t)}})
	by := func(version byte, a contacts.Address, clientID, password string) *rawmqtt.Client {
		t.Helper()
		c := h.dial(version)
		if ack := c.Connect(rawmqtt.Hello(version, clientID, string(a), password)); ack.ReasonCode != 0 {
			t.Fatalf("CONNACK %#x", ack.ReasonCode)
		}
		return c
	}
	gone := func(what string, c *rawmqtt.Client) {
		t.Helper()
		began := time.Now()
		got := c.ExpectClosed()
		if c.Version == 5 && (len(got) != 1 || got[0].ReasonCode != 0x87) || time.Since(began) > 5*time.Second {
			t.Errorf("%s: goodbye was %+v after %v", what, got, time.Since(began))
		}
	}
	byJWT, byJWT4 := by(5, alice, "jwt", i.token(t, alice, time.Hour)), by(4, alice, "jwt4", i.token(t, alice, time.Hour))
	byToken, other := by(5, alice, "token", h.tokens[alice]), by(5, bob, "b", i.token(t, bob, time.Hour))

	h.must(h.people.RevokeToken(t.Context(), alice, h.ids[alice]))
	gone("the token was revoked", byToken)
	byJWT.Ping()
	h.must(h.people.Remove(t.Context(), bob))
	gone("the user was removed", other)
	other = by(5, bob, "b", i.token(t, bob, time.Hour)) // for whom the issuer vouches still
	if h.must(h.people.Remove(t.Context(), bob)); h.people.Exists(bob) {
		t.Error("not removed")
	}
	gone("the user was removed again", other)

	h.people.SetVerifier(next.verifier(t))
	gone("the key was replaced", byJWT)
	gone("the key was replaced", byJWT4)
	by(5, alice, "jwt", next.token(t, alice, time.Hour)).Ping()
}

// Two devices that share a client id, and a login that is renewed: the second gets in until that is a ping-pong.
func TestTakeoverPingPongByJWT(t *testing.T) {
	i := newIssuer(t)
	h := start(t, setup{people: contacts.Config{Verifier: i.verifier(t)}})
	var latest *rawmqtt.Client
	for n := range 6 {
		before := latest
		latest = h.dial(5)
		if ack := latest.Connect(rawmqtt.Hello(5, "same", "", i.token(t, alice, time.Hour+time.Duration(n)*time.Second))); ack.ReasonCode != 0 {
			t.Fatalf("connection %d: CONNACK %#x", n, ack.ReasonCode)
		}
		if before != nil {
			if got := before.ExpectClosed(); len(got) != 1 || got[0].ReasonCode != 0x8E {
				t.Errorf("goodbye was %+v", got)
			}
		}
	}
	if ack := h.dial(5).Connect(rawmqtt.Hello(5, "same", "", i.token(t, alice, time.Hour))); ack.ReasonCode != 0x9F {
		t.Errorf("CONNACK %#x", ack.ReasonCode)
	}
	latest.Ping()
	if u := h.hook.Stats(); u.Refused[hooks.RefusedTakeovers].Load() != 1 {
		t.Error("not counted")
	}
}

// The timer of a login that lasts is stopped with its connection: it would hold all of that in memory for as long.
func TestNothingIsLeftOfAConnectionWhoseLoginLasts(t *testing.T) {
	h := start(t, setup{})
	freed := make(chan struct{})
	cert := shown(string(alice), 1000*time.Hour)
	dial := h.openDoor(func(n net.Conn) net.Conn {
		c := &certified{n, cert, new(atomic.Int64), new(atomic.Int64)}
		runtime.AddCleanup(c, func(freed chan struct{}) { close(freed) }, freed)
		return c
	})
	c := dial(5)
	if ack := c.Connect(rawmqtt.Hello(5, "a", "", "")); ack.ReasonCode != 0 {
		t.Fatalf("CONNACK %#x", ack.ReasonCode)
	}
	c.Close()
	for n := range 20 { // the places of queues are used again
		h.connect(5, bob, fmt.Sprint(n)).Close()
	}
	h.eventually("the connection is freed", func() bool {
		runtime.GC()
		select {
		case <-freed:
			return true
		default:
			return false
		}
	})
}
