package main_test

import (
	"context"
	"crypto/tls"
	"io"
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

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/delivery"
)

// A shop makes the files of certificates, and servers that show them.
type shop struct {
	*clienttest.Authority
	t  *testing.T
	ca string // the file of its own certificate
}

func newShop(t *testing.T) shop {
	t.Helper()
	s := shop{clienttest.NewAuthority(t), t, filepath.Join(t.TempDir(), "ca.pem")}
	if err := os.WriteFile(s.ca, s.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

var tomorrow, yesterday, nextWeek = time.Now().Add(23 * time.Hour), time.Now().Add(-24 * time.Hour), time.Now().Add(7 * 24 * time.Hour)

// client makes the files of a client certificate.
func (s shop) client(name string, until time.Time) (cert, key string) {
	s.t.Helper()
	return s.Issue(name, until).Write(s.t, s.t.TempDir())
}

// server is what a server needs to show a certificate.
func (s shop) server(until time.Time) *tls.Config {
	s.t.Helper()
	return &tls.Config{Certificates: []tls.Certificate{s.Issue("server", until).TLS(s.t)}}
}

// strict is what a server needs to want one of its clients too.
func (s shop) strict() *tls.Config {
	s.t.Helper()
	cfg := s.server(tomorrow)
	cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, s.Pool()
	return cfg
}

// bridge leads TLS connections to a server that speaks none, and returns its address.
func bridge(t *testing.T, cfg *tls.Config, to string) string {
	return bridgeOn(t, "127.0.0.1", cfg, to)
}

func bridgeOn(t *testing.T, host string, cfg *tls.Config, to string) string {
	t.Helper()
	l, err := tls.Listen("tcp", host+":0", cfg)
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
	ca := newShop(t)
	cert, key := ca.client("bo", tomorrow)
	web := webBridge(t, s.mqtt, "mqtt")
	godwit(t, s.op("user", "add", "bo")...).want(t, 0, "")
	for name, server := range map[string]string{
		"HTTP port": "ws://" + s.http, "ws": "ws://" + webServer(t, web, nil), "ws with a path": "ws://" + webServer(t, web, nil) + "/mqtt",
		"mqtts": "mqtts://" + bridge(t, ca.strict(), s.mqtt), "wss": "wss://" + webServer(t, web, ca.strict()),
	} {
		t.Run(name, func(t *testing.T) {
			flags := []string{"--server", server, "--json"}
			if strings.HasPrefix(server, "mqtts:") || strings.HasPrefix(server, "wss:") {
				flags = append(flags, "--ca-file", ca.ca, "--cert", cert, "--cert-key", key)
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
	ca, other := newShop(t), newShop(t)
	foreign, foreignKey := other.client("bo", tomorrow)
	nobody, nobodyKey := ca.client("NOBODY", tomorrow)
	expired, expiredKey := ca.client("bo", yesterday)
	good, strict := bridge(t, ca.server(tomorrow), s.mqtt), bridge(t, ca.strict(), s.mqtt)
	strictWeb := webServer(t, webBridge(t, s.mqtt, "mqtt"), ca.strict())
	elsewhere := bridgeOn(t, "127.0.0.2", ca.server(tomorrow), s.mqtt)
	old, early := bridge(t, ca.server(yesterday), s.mqtt), bridge(t, ca.server(nextWeek), s.mqtt)
	oldWeb := webServer(t, http.NotFoundHandler(), ca.server(yesterday))
	for _, c := range []struct {
		name, args string
		exit       int
		err        string
	}{
		{"unknown authority", "send bo x --user ann --server mqtts://" + good, 3, "certificate: mqtts://" + good + ": its certificate is signed by nobody who is trusted here; give --ca-file"},
		{"another authority", "send bo x --user ann --server mqtts://" + good + " --ca-file " + other.ca, 3, "certificate: "},
		{"wrong host", "send bo x --user ann --server mqtts://" + elsewhere + " --ca-file " + ca.ca, 3, "certificate: mqtts://" + elsewhere + ": its certificate is for localhost, server, 127.0.0.1, not for 127.0.0.2"},
		{"expired", "send bo x --user ann --server mqtts://" + old + " --ca-file " + ca.ca, 3, "certificate: mqtts://" + old + ": its certificate expired on "},
		{"not yet valid", "listen --user ann --server mqtts://" + early + " --ca-file " + ca.ca, 3, "certificate: mqtts://" + early + ": its certificate is not valid before "},
		{"expired web", "listen --user ann --server wss://" + oldWeb + " --ca-file " + ca.ca, 3, "certificate: wss://" + oldWeb + ": its certificate expired on "},
		{"expired operator", "user list --admin https://" + oldWeb + " --ca-file " + ca.ca, 3, "certificate: https://" + oldWeb + ": its certificate expired on "},
		{"no TLS there", "send bo x --user ann --server mqtts://" + s.http, 3, "connect: mqtts://" + s.http + ": nobody speaks TLS on this port"},
		{"no client certificate", "send bo x --user ann --server mqtts://" + strict + " --ca-file " + ca.ca, 1, "login: mqtts://" + strict + " refused the client certificate: certificate required"},
		{"a foreign one", "send bo x --server mqtts://" + strict + " --ca-file " + ca.ca + " --cert " + foreign + " --cert-key " + foreignKey, 1, "login: mqtts://" + strict + " refused the client certificate: "},
		{"a foreign one, web", "send bo x --server wss://" + strictWeb + " --ca-file " + ca.ca + " --cert " + foreign + " --cert-key " + foreignKey, 1, "login: wss://" + strictWeb + " refused the client certificate: "},
		{"an expired one", "send bo x --user bo --server mqtts://" + strict + " --ca-file " + ca.ca + " --cert " + expired + " --cert-key " + expiredKey, 1, "login: "},
		{"no address", "send bo x --server mqtts://" + strict + " --cert " + nobody + " --cert-key " + nobodyKey, 2, "usage: --cert " + nobody + " names \"NOBODY\", which is no address"},
		{"another's key", "send bo x --server mqtts://" + strict + " --cert " + expired + " --cert-key " + foreignKey, 2, "usage: --cert "},
	} {
		t.Run(c.name, func(t *testing.T) { godwit(t, strings.Fields(c.args)...).want(t, c.exit, c.err) })
	}
	t.Setenv("GODWIT_CERT", expired)
	t.Setenv("GODWIT_KEY", foreignKey)
	godwit(t, "send", "--server", "mqtts://"+strict, "bo", "x").want(t, 2, "usage: --cert "+expired+", --cert-key "+foreignKey+": ")
}

// A broker with a certification authority lets in who has a certificate of it, by its name and without a token.
func TestLoginByCertificate(t *testing.T) {
	ca, other := newShop(t), newShop(t)
	cert, key := ca.Issue("server", tomorrow).Write(t, t.TempDir())
	t.Setenv("GODWIT_LISTEN__MQTTS", "127.0.0.1:0")
	t.Setenv("GODWIT_LISTEN__TLS__CERT_FILE", cert)
	t.Setenv("GODWIT_LISTEN__TLS__KEY_FILE", key)
	t.Setenv("GODWIT_LISTEN__TLS__CLIENT_CA_FILE", ca.ca)
	s := serve(t, "auth: {mode: token}")
	godwit(t, s.op("user", "add", "bo")...).want(t, 0, "")
	cert, key = ca.client("bo", tomorrow)
	foreign, foreignKey := other.client("bo", tomorrow)
	for _, c := range []struct {
		args []string
		exit int
		err  string
	}{
		{[]string{"--cert", cert, "--cert-key", key}, 0, ""},
		{[]string{"--cert", cert, "--cert-key", key, "--user", "bo"}, 0, ""},
		{[]string{"--cert", cert, "--cert-key", key, "--user", "ann"}, 1, "login: "},
		{[]string{"--cert", foreign, "--cert-key", foreignKey}, 1, "login: "},
		{[]string{"--user", "bo"}, 1, "login: "},
	} {
		godwit(t, append([]string{"send", "--server", "mqtts://" + s.mqtts, "--ca-file", ca.ca, "bo", "x"}, c.args...)...).want(t, c.exit, c.err)
	}
	got := object[arrival](t, godwit(t, "listen", "--json", "--count", "1", "--server", "mqtts://"+s.mqtts, "--ca-file", ca.ca, "--cert", cert, "--cert-key", key).want(t, 0, ""))
	if got.From != "bo" || got.Text != "x" {
		t.Errorf("got %+v", got)
	}
}

func TestNoWebSocketThere(t *testing.T) {
	s := serve(t, "")
	web := webServer(t, webBridge(t, s.mqtt, "mqtt"), nil)
	silent := webServer(t, webBridge(t, s.mqtt), nil)
	rude := rudeServer(t)
	for _, c := range []struct {
		name, server string
		exit         int
		err          string
	}{
		{"another path", "ws://" + web + "/chat", 3, "connect: ws://" + web + "/chat: GET /chat is answered with 404 Not Found, so MQTT over WebSocket is not there"},
		{"no subprotocol", "ws://" + silent, 3, "connect: ws://" + silent + ": the server speaks WebSocket, but not MQTT over it"},
		{"refused", "ws://" + web + "/full", 1, "too_many: too many connections from this address"},
		{"no HTTP", "ws://" + s.mqtt, 3, "connect: ws://" + s.mqtt + ": "},
		{"no MQTT", "mqtt://" + rude, 3, "connect: mqtt://" + rude + " does not answer as an MQTT 5 broker: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			godwit(t, "send", "--user", "ann", "--server", c.server, "bo", "x").want(t, c.exit, c.err)
		})
	}
}

// rudeServer says something else than MQTT to whoever comes.
func rudeServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_10.0\r\n")
			conn.Close()
		}
	}()
	return l.Addr().String()
}

// The operator comes in by the HTTP port too, with the admin token, over TLS as well.
func TestOperatorByHTTP(t *testing.T) {
	s := serve(t, "auth: {mode: token}\nadmin: {token: letmein}")
	ca := newShop(t)
	target := &url.URL{Scheme: "http", Host: s.http}
	proxy := webServer(t, httputil.NewSingleHostReverseProxy(target), ca.server(tomorrow))
	godwit(t, "user", "list", "--admin", "http://"+s.http).want(t, 1, "unauthorized: ")
	t.Setenv("GODWIT_ADMIN_TOKEN", "wrong")
	godwit(t, "user", "list", "--admin", "http://"+s.http).want(t, 1, "unauthorized: ")
	t.Setenv("GODWIT_ADMIN_TOKEN", "letmein")
	godwit(t, "user", "add", "ann", "--admin", "http://"+s.http).want(t, 0, "")
	t.Setenv("GODWIT_ADMIN", "https://"+proxy)
	godwit(t, "user", "list").want(t, 3, "certificate: https://"+proxy+": its certificate is signed by nobody")
	t.Setenv("GODWIT_CA_FILE", ca.ca)
	if r := godwit(t, "user", "list").want(t, 0, ""); !strings.HasPrefix(r.out, "ann\tyes\t") {
		t.Errorf("got %q", r.out)
	}
	stranger := webServer(t, http.NotFoundHandler(), nil)
	godwit(t, "user", "list", "--admin", "http://"+stranger).want(t, 1, "answer: http://"+stranger+" answers 404 Not Found as godwit does not")
}
