package main_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/seed-7a41469f/godwit/delivery"
)

// An authority signs certificates for tests.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue(name, x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue makes a certificate, signed by the authority once there is one, and keeps it in NAME.pem with its key.
func (a *authority) issue(name string, c x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.fail(err)
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.Subject = pkix.Name{CommonName: name}
	if c.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, signer := &c, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, &c, parent, &key.PublicKey, signer)
	a.fail(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	a.fail(err)
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...)
	a.fail(os.WriteFile(a.file(name), text, 0o600))
	cert, err := x509.ParseCertificate(der)
	a.fail(err)
	return cert, key
}

func (a *authority) fail(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name+".pem") }

// server issues a certificate for this machine and returns what a server needs to show it.
func (a *authority) server(name string, c x509.Certificate) *tls.Config {
	a.t.Helper()
	if c.IPAddresses == nil && c.DNSNames == nil {
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	a.issue(name, c)
	pair, err := tls.LoadX509KeyPair(a.file(name), a.file(name))
	a.fail(err)
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}

// requiring has a server want a certificate that the authority has signed.
func (a *authority) requiring(cfg *tls.Config) *tls.Config {
	cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	cfg.ClientCAs.AddCert(a.cert)
	return cfg
}

// bridge leads TLS connections to a server that speaks none, and returns its address.
func bridge(t *testing.T, cfg *tls.Config, to string) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { couple(conn, to) })
		}
	})
	return l.Addr().String()
}

// couple copies in both directions until one ends.
func couple(conn net.Conn, to string) {
	defer conn.Close()
	if tc, ok := conn.(*tls.Conn); ok && tc.Handshake() != nil {
		return
	}
	inner, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer inner.Close()
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{conn, inner}, {inner, conn}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1])
			done <- struct{}{}
		}()
	}
	<-done
	conn.Close()
	inner.Close()
	<-done
}

// webBridge leads MQTT over WebSocket at /mqtt to a server that speaks none.
func webBridge(t *testing.T, to string, subprotocols ...string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/mqtt", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: subprotocols})
		if err != nil {
			return
		}
		couple(websocket.NetConn(context.Background(), c, websocket.MessageBinary), to)
	})
	mux.HandleFunc("/full", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"code":"too_many","detail":"too many connections from this address"}`)
	})
	return mux
}

func webServer(t *testing.T, h http.Handler, cfg *tls.Config) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = quiet
	s.TLS = cfg
	if cfg != nil {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// Each door of the client commands takes a message there and back.
func TestDoors(t *testing.T) {
	s := serve(t, "")
	ca := newAuthority(t, "ca")
	ca.issue("bo", x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	secure := ca.server("server", x509.Certificate{})
	web := webBridge(t, s.mqtt, "mqtt")
	godwit(t, s.op("user", "add", "bo")...).want(t, 0, "")
	for name, server := range map[string]string{
		"ws": "ws://" + webServer(t, web, nil), "ws with a path": "ws://" + webServer(t, web, nil) + "/mqtt",
		"mqtts": "mqtts://" + bridge(t, ca.requiring(secure.Clone()), s.mqtt), "wss": "wss://" + webServer(t, web, ca.requiring(secure.Clone())),
	} {
		t.Run(name, func(t *testing.T) {
			flags := []string{"--server", server, "--json"}
			if strings.Contains(server, "s://1") && !strings.HasPrefix(server, "ws://") {
				flags = append(flags, "--ca-file", ca.file("ca"), "--cert", ca.file("bo"))
			} else {
				flags = append(flags, "--user", "bo")
			}
			listening := inBackground(t, append([]string{"listen"}, flags...)...)
			receipts := objects[delivery.ReceiptBody](t, godwit(t, append([]string{"send", "--wait", "--sms", "never", "bo", name}, flags...)...).want(t, 0, ""))
			if last := receipts[len(receipts)-1]; last.State != "delivered" {
				t.Errorf("receipts: %+v", receipts)
			}
			listening.out.line(t, `"text":"`+name+`"`)
			if r := listening.interrupt(); r.exit != 0 || r.err != "" {
				t.Errorf("listen ends with %d: %s", r.exit, r.err)
			}
		})
	}
}

// What is wrong with a certificate is told, and what to do.
func TestCertificateProblems(t *testing.T) {
	s := serve(t, "")
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other")
	client := x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	other.issue("bo", client)
	ca.issue("NOBODY", client)
	ca.issue("expired", x509.Certificate{NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour), ExtKeyUsage: client.ExtKeyUsage})
	good := bridge(t, ca.server("server", x509.Certificate{}), s.mqtt)
	strict := bridge(t, ca.requiring(ca.server("strict", x509.Certificate{})), s.mqtt)
	strictWeb := webServer(t, webBridge(t, s.mqtt, "mqtt"), ca.requiring(ca.server("strict", x509.Certificate{})))
	named := bridge(t, ca.server("named", x509.Certificate{DNSNames: []string{"push.example.org"}}), s.mqtt)
	old := bridge(t, ca.server("old", x509.Certificate{NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}), s.mqtt)
	early := bridge(t, ca.server("early", x509.Certificate{NotBefore: time.Now().Add(time.Hour), NotAfter: time.Now().Add(2 * time.Hour)}), s.mqtt)
	oldWeb := webServer(t, http.NotFoundHandler(), ca.server("oldweb", x509.Certificate{NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}))
	for _, c := range []struct {
		name, args string
		exit       int
		err        string
	}{
		{"unknown authority", "send bo x --user ann --server mqtts://" + good, 3, "certificate: mqtts://" + good + ": its certificate is signed by nobody who is trusted here; give --ca-file"},
		{"another authority", "send bo x --user ann --server mqtts://" + good + " --ca-file " + other.file("other"), 3, "certificate: "},
		{"wrong host", "send bo x --user ann --server mqtts://" + named + " --ca-file " + ca.file("ca"), 3, "certificate: mqtts://" + named + ": its certificate is for push.example.org, not for 127.0.0.1"},
		{"expired", "send bo x --user ann --server mqtts://" + old + " --ca-file " + ca.file("ca"), 3, "certificate: mqtts://" + old + ": its certificate expired on "},
		{"not yet valid", "listen --user ann --server mqtts://" + early + " --ca-file " + ca.file("ca"), 3, "certificate: mqtts://" + early + ": its certificate is not valid before "},
		{"expired web", "listen --user ann --server wss://" + oldWeb + " --ca-file " + ca.file("ca"), 3, "certificate: wss://" + oldWeb + ": its certificate expired on "},
		{"expired operator", "user list --admin https://" + oldWeb + " --ca-file " + ca.file("ca"), 3, "certificate: https://" + oldWeb + ": its certificate expired on "},
		{"no TLS there", "send bo x --user ann --server mqtts://" + s.http, 3, "connect: mqtts://" + s.http + ": nobody speaks TLS on this port"},
		{"no client certificate", "send bo x --user ann --server mqtts://" + strict + " --ca-file " + ca.file("ca"), 1, "login: mqtts://" + strict + " refused the client certificate: certificate required"},
		{"a foreign one", "send bo x --server mqtts://" + strict + " --ca-file " + ca.file("ca") + " --cert " + other.file("bo"), 1, "login: mqtts://" + strict + " refused the client certificate: "},
		{"a foreign one, web", "send bo x --server wss://" + strictWeb + " --ca-file " + ca.file("ca") + " --cert " + other.file("bo"), 1, "login: wss://" + strictWeb + " refused the client certificate: "},
		{"an expired one", "send bo x --user bo --server mqtts://" + strict + " --ca-file " + ca.file("ca") + " --cert " + ca.file("expired"), 1, "login: "},
		{"no address", "send bo x --server mqtts://" + strict + " --cert " + ca.file("NOBODY"), 2, "usage: --cert " + ca.file("NOBODY") + " names \"NOBODY\", which is no address"},
		{"another's key", "send bo x --server mqtts://" + strict + " --cert " + ca.file("expired") + " --cert-key " + other.file("bo"), 2, "usage: --cert "},
	} {
		t.Run(c.name, func(t *testing.T) { godwit(t, strings.Fields(c.args)...).want(t, c.exit, c.err) })
	}
	t.Setenv("GODWIT_CERT", other.file("other"))
	t.Setenv("GODWIT_KEY", other.file("bo"))
	godwit(t, "send", "--server", "mqtts://"+strict, "bo", "x").want(t, 2, "usage: --cert "+other.file("other")+", --cert-key "+other.file("bo")+": ")
}

func TestNoWebSocketThere(t *testing.T) {
	s := serve(t, "")
	web := webServer(t, webBridge(t, s.mqtt, "mqtt"), nil)
	silent := webServer(t, webBridge(t, s.mqtt), nil)
	for _, c := range []struct {
		name, server string
		exit         int
		err          string
	}{
		{"another path", "ws://" + web + "/chat", 3, "connect: ws://" + web + "/chat: GET /chat is answered with 404 Not Found, so MQTT over WebSocket is not there"},
		{"no subprotocol", "ws://" + silent, 3, "connect: ws://" + silent + ": the server speaks WebSocket, but not MQTT over it"},
		{"refused", "ws://" + web + "/full", 1, "too_many: too many connections from this address"},
		{"no HTTP", "ws://" + s.mqtt, 3, "connect: ws://" + s.mqtt + ": "},
		{"no MQTT", "mqtt://" + web, 3, "connect: mqtt://" + web + " does not answer as an MQTT 5 broker: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			godwit(t, "send", "--user", "ann", "--server", c.server, "bo", "x").want(t, c.exit, c.err)
		})
	}
}

// The operator comes in by the HTTP port too, with the admin token, over TLS as well.
func TestOperatorByHTTP(t *testing.T) {
	s := serve(t, "auth: {mode: token}\nadmin: {token: letmein}")
	ca := newAuthority(t, "ca")
	target := &url.URL{Scheme: "http", Host: s.http}
	proxy := webServer(t, httputil.NewSingleHostReverseProxy(target), ca.server("server", x509.Certificate{}))
	godwit(t, "user", "list", "--admin", "http://"+s.http).want(t, 1, "unauthorized: ")
	t.Setenv("GODWIT_ADMIN_TOKEN", "wrong")
	godwit(t, "user", "list", "--admin", "http://"+s.http).want(t, 1, "unauthorized: ")
	t.Setenv("GODWIT_ADMIN_TOKEN", "letmein")
	godwit(t, "user", "add", "ann", "--admin", "http://"+s.http).want(t, 0, "")
	t.Setenv("GODWIT_ADMIN", "https://"+proxy)
	godwit(t, "user", "list").want(t, 3, "certificate: https://"+proxy+": its certificate is signed by nobody")
	t.Setenv("GODWIT_CA_FILE", ca.file("ca"))
	if r := godwit(t, "user", "list").want(t, 0, ""); !strings.HasPrefix(r.out, "ann\tyes\t") {
		t.Errorf("got %q", r.out)
	}
	stranger := webServer(t, http.NotFoundHandler(), nil)
	godwit(t, "user", "list", "--admin", "http://"+stranger).want(t, 1, "answer: http://"+stranger+" answers 404 Not Found as godwit does not")
}
