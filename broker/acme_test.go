package broker_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/config"
)

// acmeHost leads to 127.0.0.1 for the ACME server alone.
const acmeHost = "push.godwit.test"

// An acmeServer is Let's Encrypt's pebble, which really validates.
type acmeServer struct {
	t     *testing.T
	wfe   *httptest.Server // accepts from the start, answers once it serves
	roots *x509.CertPool
}

func newACMEServer(t *testing.T) *acmeServer {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	return &acmeServer{t: t, wfe: httptest.NewUnstartedServer(nil)}
}

// configure lets a broker get its certificate here.
func (s *acmeServer) configure(cfg *config.Config) {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "acme-ca.pem")
	probe := httptest.NewTLSServer(nil) // all have one certificate
	defer probe.Close()
	must(s.t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: probe.Certificate().Raw}), 0o600))
	cfg.Listen.TLS = config.TLS{Auto: acmeHost, ACME: "https://" + s.wfe.Listener.Addr().String() + "/dir", ACMECAFile: config.Path(file)}
}

// serve answers, and validates on these ports.
func (s *acmeServer) serve(http, tls string) {
	s.t.Helper()
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	authority := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: 24 * 3600}})
	validation := va.New(quiet, portOf(s.t, http), portOf(s.t, tls), false, s.names(), store)
	front := wfe.New(quiet, store, validation, authority, []string{"godwit.test"}, false, false, 1, 1)
	s.wfe.Config.Handler = front.Handler()
	s.wfe.StartTLS()
	s.t.Cleanup(s.wfe.Close)
	s.roots = x509.NewCertPool()
	s.roots.AddCert(authority.GetRootCert(0).Cert)
}

// names is a DNS server for which every name is 127.0.0.1.
func (s *acmeServer) names() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(s.t, err)
	server := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			answer.Answer = []dns.RR{&dns.A{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.IPv4(127, 0, 0, 1),
			}}
		}
		_ = w.WriteMsg(answer)
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.ActivateAndServe() }()
	s.t.Cleanup(func() {
		_ = server.Shutdown()
		<-ended
	})
	return l.Addr().String()
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	must(t, err)
	n, err := strconv.Atoi(port)
	must(t, err)
	return n
}

// nowhere is an address that nobody listens on.
func nowhere(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// shownAt returns the certificate that a TLS port shows; nil: none, or not one of these roots for the host, where there are any. Small devices do
// not say which host they want.
func shownAt(t *testing.T, address string, roots *x509.CertPool) *x509.Certificate {
	t.Helper()
	c, err := net.Dial("tcp", address)
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(patience)))
	s := tls.Client(c, &tls.Config{InsecureSkipVerify: true}) // and so no SNI; verified below
	if err := s.Handshake(); err != nil {
		return nil
	}
	chain := s.ConnectionState().PeerCertificates
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{DNSName: acmeHost, Roots: roots, Intermediates: between}); err != nil && roots != nil {
		return nil
	}
	return chain[0]
}

func TestCertificateByACME(t *testing.T) {
	for _, c := range []struct {
		name       string
		http, alpn func(*host) string // where it validates
		change     func(*config.Config)
	}{
		{"TLS-ALPN-01 on the HTTP port", func(h *host) string { return nowhere(h.t) }, func(h *host) string { return h.where.HTTP }, nil},
		{"TLS-ALPN-01 on the MQTT port", func(h *host) string { return nowhere(h.t) }, func(h *host) string { return h.where.MQTTS },
			func(cfg *config.Config) { cfg.Listen.HTTP = "" }},
		{"HTTP-01", func(h *host) string { return h.where.HTTP }, func(h *host) string { return nowhere(h.t) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			server, cfg := newACMEServer(t), testConfig(t)
			server.configure(&cfg)
			cfg.Listen.MQTTS = "127.0.0.1:0"
			if c.change != nil {
				c.change(&cfg)
			}
			h := start(t, cfg)
			if shownAt(t, h.where.MQTTS, nil) != nil {
				t.Error("a certificate before there is one")
			}
			server.serve(c.http(h), c.alpn(h))
			var leaf *x509.Certificate
			eventually(t, func() bool { leaf = shownAt(t, h.where.MQTTS, server.roots); return leaf != nil })
			if h.where.HTTP != "" && !shownAt(t, h.where.HTTP, server.roots).Equal(leaf) {
				t.Error("the HTTP port shows another certificate")
			}
			must(t, h.stop())
			if info, err := os.Stat(filepath.Join(string(cfg.Data), "acme")); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%v, %v", info, err)
			}
			server.wfe.Close() // what was got lasts
			h = start(t, cfg)
			eventually(t, func() bool {
				again := shownAt(t, h.where.MQTTS, server.roots)
				return again != nil && again.Equal(leaf)
			})
		})
	}
}

func TestCertificateByACMEIsRenewed(t *testing.T) {
	server, cfg := newACMEServer(t), testConfig(t)
	server.configure(&cfg)
	// It was got a day ago, and is good for ten minutes.
	old := clienttest.NewAuthority(t).Issue(acmeHost, time.Now().Add(10*time.Minute))
	cache := filepath.Join(string(cfg.Data), "acme")
	must(t, os.Mkdir(cache, 0o700))
	must(t, os.WriteFile(filepath.Join(cache, acmeHost), append(old.Key, old.Cert...), 0o600))
	h := start(t, cfg)
	eventually(t, func() bool { return shownAt(t, h.where.HTTP, nil) != nil })
	server.serve(nowhere(t), h.where.HTTP)
	eventually(t, func() bool { return shownAt(t, h.where.HTTP, server.roots) != nil })
}

// What fails is told, the rest of the broker serves, and a stop does not wait for the next try.
func TestCertificateByACMEThatIsNotGiven(t *testing.T) {
	server, cfg := newACMEServer(t), testConfig(t)
	server.configure(&cfg)
	cfg.Listen.MQTTS = "127.0.0.1:0"
	h := start(t, cfg)
	server.serve(nowhere(t), nowhere(t))
	eventually(t, func() bool { return strings.Contains(h.log.String(), "no certificate from the ACME server") })
	if shownAt(t, h.where.MQTTS, server.roots) != nil {
		t.Error("a certificate")
	}
	h.phone("ann")
	if h.get("/healthz", "", "", nil) != 200 {
		t.Error("HTTP does not answer")
	}
	began := time.Now()
	must(t, h.stop())
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the stop took %v", took)
	}
}
