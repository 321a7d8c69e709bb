package broker

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"github.com/seed-7a41469f/godwit/config"
)

const (
	acmeTimeout    = 30 * time.Second // of one request
	acmeAnswer     = 1 << 20          // octets of one answer, at most
	acmePoll       = 5 * time.Second  // the longest between two looks at an order: a stop waits for it
	acmeRetries    = 5                // of one request
	acmeRetryMin   = time.Minute      // of a certificate that was not given; autocert forgets a failure after a minute
	acmeRetryMax   = time.Hour        // CAs count failures: Let's Encrypt allows 5 an hour
	acmeLook       = time.Hour        // whether the certificate was renewed
	acmeLateBefore = 7 * 24 * time.Hour
)

// automatic gets the certificate of one host by ACME (RFC 8555) and renews it. Handshakes never ask the CA for one: a stranger could have it asked
// until it refuses.
type automatic struct {
	host      string
	cas       *x509.CertPool // nil: the system's
	manager   *autocert.Manager
	challenge *tls.Config     // for the CA that validates by TLS-ALPN-01 (RFC 8737)
	got       atomic.Bool     // a certificate
	ctx       context.Context // of all requests; it ends with run
	cancel    context.CancelFunc
	log       zerolog.Logger
}

func newAutomatic(cfg config.Config, log zerolog.Logger) (*automatic, error) {
	t := cfg.Listen.TLS
	a := &automatic{host: t.Auto, log: log}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	if t.ACMECAFile != "" {
		var err error
		if a.cas, err = loadCAs("listen.tls.acme_ca_file", t.ACMECAFile); err != nil {
			return nil, err
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: a.cas}
	transport.DisableKeepAlives = true // a few requests in two months
	a.manager = &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(filepath.Join(string(cfg.Data), "acme")), HostPolicy: a.allowed,
		Client: &acme.Client{
			DirectoryURL: t.ACME, UserAgent: "godwit", RetryBackoff: a.backoff,
			HTTPClient: &http.Client{Timeout: acmeTimeout, Transport: &acmeTransport{a, transport}},
		},
	}
	a.challenge = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: a.manager.GetCertificate, NextProtos: []string{acme.ALPNProto}}
	return a, nil
}

// allowed is a HostPolicy: the CA asks with the port where that is not 80.
func (a *automatic) allowed(_ context.Context, host string) error {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host != a.host {
		return fmt.Errorf("%q is not the host of listen.tls.auto", host)
	}
	return nil
}

// challenges answers HTTP-01 (RFC 8555 §8.3) before anything else is looked at.
func (a *automatic) challenges(next http.Handler) http.Handler { return a.manager.HTTPHandler(next) }

// hello asks the manager for the one certificate there is, whatever the client's hello says: many devices name no host, and one that cannot
// do ECDSA must not have a second one made.
func (a *automatic) hello() *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{
		ServerName: a.host, SupportedVersions: []uint16{tls.VersionTLS13}, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
		SupportedCurves: []tls.CurveID{tls.CurveP256}, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	}
}

func (a *automatic) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if !a.got.Load() {
		return nil, errors.New("there is no certificate from the ACME server yet")
	}
	return a.manager.GetCertificate(a.hello())
}

// run gets the certificate, tries again until there is one, and tells when it is renewed, or should have been, until ctx is done.
func (a *automatic) run(ctx context.Context) error {
	defer a.cancel()
	defer context.AfterFunc(ctx, a.cancel)()
	var leaf *x509.Certificate
	retry := acmeRetryMin
	for {
		wait := acmeLook
		switch cert, err := a.manager.GetCertificate(a.hello()); {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			a.log.Error().Err(err).Str("host", a.host).Str("acme", a.manager.Client.DirectoryURL).Stringer("again_in", retry).
				Msg("no certificate from the ACME server: the host's name must lead to this machine, whose port 443 or 80 must lead to listen.http, or 443 to listen.mqtts")
			wait, retry = retry, min(4*retry, acmeRetryMax)
		default:
			a.got.Store(true)
			retry = acmeRetryMin
			a.tell(cert.Leaf, leaf)
			leaf = cert.Leaf
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

func (a *automatic) tell(leaf, before *x509.Certificate) {
	switch {
	case before == nil || !leaf.Equal(before):
		a.log.Info().Str("host", a.host).Time("expires", leaf.NotAfter).Msg("certificate from the ACME server")
	case time.Until(leaf.NotAfter) < acmeLateBefore:
		a.log.Error().Str("host", a.host).Time("expires", leaf.NotAfter).Str("acme", a.manager.Client.DirectoryURL).
			Msg("the certificate has not been renewed: see that the ACME server still reaches this machine")
	}
}

// backoff is how long to wait before a request is sent again.
func (a *automatic) backoff(n int, _ *http.Request, _ *http.Response) time.Duration {
	if n > acmeRetries || a.ctx.Err() != nil {
		return -1
	}
	return min(time.Second<<n, acmePoll)
}

// An acmeTransport ends what is under way with the broker: the manager knows no context.
type acmeTransport struct {
	a    *automatic
	next http.RoundTripper
}

func (t *acmeTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(t.a.ctx, cancel)()
	resp, err := t.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, acmeAnswer))
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && resp.StatusCode < 300 && s > int(acmePoll/time.Second) {
		resp.Header.Set("Retry-After", strconv.Itoa(int(acmePoll/time.Second)))
	}
	return resp, nil
}
