package broker_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/config"
)

// tlsConfig is a broker with a certificate in files.
func tlsConfig(t *testing.T) (config.Config, *clienttest.Authority, string) {
	t.Helper()
	cfg, ca, dir := testConfig(t), clienttest.NewAuthority(t), t.TempDir()
	cert, key := ca.Issue("first", time.Now().Add(time.Hour)).Write(t, dir)
	cfg.Listen.MQTTS, cfg.Listen.TLS.CertFile, cfg.Listen.TLS.KeyFile = "127.0.0.1:0", config.Path(cert), config.Path(key)
	return cfg, ca, dir
}

// secure dials the TLS port and returns the name of its certificate.
func (h *host) secure(ca *clienttest.Authority, change func(*tls.Config)) (*tls.Conn, string, error) {
	h.t.Helper()
	c, err := net.Dial("tcp", h.where.MQTTS)
	must(h.t, err)
	h.t.Cleanup(func() { c.Close() })
	must(h.t, c.SetDeadline(time.Now().Add(patience)))
	s, err := hand(c, ca, change)
	if err != nil {
		return s, "", err
	}
	return s, s.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

// logIn connects in open mode.
func logIn(t *testing.T, c net.Conn) byte {
	t.Helper()
	return (&node{}).connect(t, c, "phone", "x")
}

func TestCertificateFilesAreReadAgain(t *testing.T) {
	cfg, ca, dir := tlsConfig(t)
	h := start(t, cfg)
	stays, name, err := h.secure(ca, nil)
	if err != nil || name != "first" || logIn(t, stays) != 0 {
		t.Fatalf("%q, %v", name, err)
	}
	ca.Issue("second", time.Now().Add(time.Hour)).Write(t, dir)
	eventually(t, func() bool { _, name, err = h.secure(ca, nil); return err == nil && name == "second" })
	ping(t, stays)

	// A new certificate whose key has not come yet, and will not.
	must(t, os.WriteFile(filepath.Join(dir, "cert.pem"), ca.Issue("third", time.Now().Add(time.Hour)).Cert, 0o600))
	eventually(t, func() bool {
		_, name, err = h.secure(ca, nil)
		must(t, err)
		return strings.Contains(h.log.String(), "cannot be used")
	})
	if _, err := h.broker.Reload(cfg); err == nil || !strings.Contains(err.Error(), "listen.tls.cert_file") {
		t.Errorf("Reload: %v", err)
	}
	if _, name, err = h.secure(ca, nil); err != nil || name != "second" {
		t.Errorf("shows %q, %v", name, err)
	}
	if n := strings.Count(h.log.String(), "cannot be used"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	ca.Issue("fourth", time.Now().Add(time.Hour)).Write(t, dir)
	_, err = h.broker.Reload(cfg)
	must(t, err)
	if _, name, err = h.secure(ca, nil); err != nil || name != "fourth" {
		t.Errorf("shows %q, %v", name, err)
	}
	ping(t, stays)
}

// Also one that resumes its session must be signed by an authority of now.
func TestClientAuthoritiesAreReadAgain(t *testing.T) {
	cfg, ca, dir := tlsConfig(t)
	file := filepath.Join(dir, "clients.pem")
	must(t, os.WriteFile(file, ca.PEM, 0o600))
	cfg.Listen.TLS.ClientCAFile = config.Path(file)
	h := start(t, cfg)
	pair, sessions := ca.Issue(string(alice), time.Now().Add(time.Hour)).TLS(t), tls.NewLRUClientSessionCache(1)
	try := func() (*tls.Conn, error) {
		s, _, err := h.secure(ca, func(c *tls.Config) {
			c.ClientSessionCache = sessions
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		})
		if err == nil && logIn(t, s) != 0 {
			t.Error("refused after the handshake")
		}
		return s, err
	}
	_, err := try()
	must(t, err)
	resumed, err := try()
	if err != nil || !resumed.ConnectionState().DidResume {
		t.Fatalf("not resumed: %v", err)
	}
	must(t, os.WriteFile(file, clienttest.NewAuthority(t).PEM, 0o600))
	_, err = h.broker.Reload(cfg)
	must(t, err)
	s, _, err := h.secure(ca, func(c *tls.Config) {
		c.ClientSessionCache = sessions
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	})
	if err == nil {
		_, err = s.Read(make([]byte, 1))
	}
	if err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
		t.Errorf("got %v", err)
	}
	ping(t, resumed)
}

func TestCertificateFilesThatCannotBeUsed(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*config.TLS)
		want  string
	}{
		"no such file":       {func(c *config.TLS) { c.CertFile += "x" }, "listen.tls.cert_file"},
		"no such key":        {func(c *config.TLS) { c.KeyFile += "x" }, "listen.tls.key_file"},
		"the key of another": {func(c *config.TLS) { c.CertFile, c.KeyFile = c.KeyFile, c.CertFile }, "listen.tls.cert_file"},
		"no authority":       {func(c *config.TLS) { c.ClientCAFile = c.KeyFile }, "listen.tls.client_ca_file"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, _, _ := tlsConfig(t)
			c.spoil(&cfg.Listen.TLS)
			if _, err := broker.New(cfg, broker.Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// One port, two ways to speak.
func TestHTTPPortSpeaksTLSToo(t *testing.T) {
	before := goleak.IgnoreCurrent()
	cfg, ca, _ := tlsConfig(t)
	cfg.Listen.MQTT = ""
	h := start(t, cfg)
	var silent []net.Conn
	for range 50 { // they wait for the deadline, and nobody for them
		c, err := net.Dial("tcp", h.where.HTTP)
		must(t, err)
		silent = append(silent, c)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}, ForceAttemptHTTP2: true}
	client := &http.Client{Transport: transport, Timeout: patience}
	for _, scheme := range []string{"http", "https"} {
		resp, err := client.Get(scheme + "://" + h.where.HTTP + "/healthz")
		must(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		must(t, errors.Join(err, resp.Body.Close()))
		if resp.StatusCode != 200 || resp.ProtoMajor != 1 || (resp.TLS != nil) != (scheme == "https") {
			t.Errorf("%s: %s over %s", scheme, resp.Status, resp.Proto)
		}
	}
	for name, text := range map[string]string{"garbage": "\xA5\xA5\r\n\r\n", "half a hello": "\x16\x03\x01\xFF\xFF\x01"} {
		c, err := net.Dial("tcp", h.where.HTTP)
		must(t, err)
		must(t, c.SetDeadline(time.Now().Add(patience)))
		_, err = c.Write([]byte(text))
		must(t, errors.Join(err, c.(*net.TCPConn).CloseWrite()))
		if !closed(c) {
			t.Errorf("%s: still open", name)
		}
		must(t, c.Close())
	}
	if _, _, err := h.secure(ca, nil); err != nil {
		t.Error(err)
	}
	transport.CloseIdleConnections()
	for _, c := range silent {
		must(t, c.Close())
	}
	must(t, h.stop())
	goleak.VerifyNone(t, before)
}

// What the handlers are told of a request's connection.
func TestRequestsOverTLSKnowIt(t *testing.T) {
	ca := clienttest.NewAuthority(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- broker.ServeTLS(ctx, l, &tls.Config{Certificates: []tls.Certificate{ca.Issue("broker", time.Now().Add(time.Hour)).TLS(t)}},
			http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.TLS != nil {
					w.Header().Set("Version", tls.VersionName(r.TLS.Version))
				}
				w.Header().Set("From", r.RemoteAddr)
			}))
	}()
	t.Cleanup(func() { stop(); must(t, <-served) })
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}, DisableKeepAlives: true}}
	for scheme, want := range map[string]string{"http": "", "https": "TLS 1.3"} {
		resp, err := client.Get(scheme + "://" + l.Addr().String())
		must(t, err)
		must(t, resp.Body.Close())
		if got := resp.Header.Get("Version"); got != want || !strings.HasPrefix(resp.Header.Get("From"), "127.0.0.1:") {
			t.Errorf("%s: %v", scheme, resp.Header)
		}
	}
}
