package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/crypto/acme"

	"github.com/seed-7a41469f/godwit/config"
)

// lookEvery is how often a handshake looks whether the files have changed.
const lookEvery = time.Second

// An identity is what the TLS doors show, and whose certificates they accept: the files of listen.tls, read again when they change, or what ACME
// gave. Files that cannot be used are told once and leave in use what was.
type identity struct {
	files config.TLS
	auto  *automatic // nil: cert_file and key_file
	log   zerolog.Logger

	mu     sync.Mutex
	looked time.Time
	stamp  string // of the files when they were read
	using  atomic.Pointer[shown]
}

// shown is what is in use; it does not change.
type shown struct {
	mqtt, http *tls.Config
	leaf       *x509.Certificate // nil: ACME's
}

// newIdentity reads the files; nil: no certificate is configured.
func newIdentity(cfg config.Config, log zerolog.Logger) (*identity, error) {
	t := cfg.Listen.TLS
	if t.CertFile == "" && t.Auto == "" {
		return nil, nil
	}
	i := &identity{files: t, log: log.With().Str("part", "tls").Logger()}
	if t.Auto != "" {
		var err error
		if i.auto, err = newAutomatic(cfg, i.log); err != nil {
			return nil, err
		}
	}
	return i, i.read(i.stampNow())
}

// read reads the files now; called with mu held. After an error what was read before stays in use.
func (i *identity) read(stamp string) error {
	i.stamp, i.looked = stamp, time.Now() // whatever comes of it: it is tried once
	s, err := i.load()
	if err != nil {
		return err
	}
	i.using.Store(s)
	return nil
}

// look reads the files again when they have changed. Handshakes call it, so that nothing runs while nobody connects.
func (i *identity) look() {
	if !i.mu.TryLock() {
		return // somebody looks
	}
	defer i.mu.Unlock()
	if time.Since(i.looked) < lookEvery {
		return
	}
	i.looked = time.Now()
	stamp := i.stampNow()
	if stamp == i.stamp {
		return
	}
	if err := i.read(stamp); err != nil {
		i.log.Error().Err(err).Msg("the new certificate files cannot be used; those read before stay in use until the files are right")
		return
	}
	event := i.log.Info()
	if leaf := i.using.Load().leaf; leaf != nil {
		event = event.Strs("names", leaf.DNSNames).Time("expires", leaf.NotAfter)
	}
	event.Msg("certificate files read again")
}

// stampNow changes when one of the files does.
func (i *identity) stampNow() string {
	var b strings.Builder
	for _, file := range []config.Path{i.files.CertFile, i.files.KeyFile, i.files.ClientCAFile} {
		if info, err := os.Stat(string(file)); err == nil {
			fmt.Fprintf(&b, "%d %d", info.Size(), info.ModTime().UnixNano())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (i *identity) load() (*shown, error) {
	s := &shown{mqtt: &tls.Config{MinVersion: tls.VersionTLS12}}
	if i.auto != nil {
		s.mqtt.GetCertificate = i.auto.certificate
	} else {
		pair, err := loadPair(i.files)
		if err != nil {
			return nil, err
		}
		s.mqtt.Certificates, s.leaf = []tls.Certificate{pair}, pair.Leaf
	}
	s.http = s.mqtt.Clone()
	s.http.NextProtos = []string{"http/1.1"} // a WebSocket's handshake is HTTP/1.1's
	if i.files.ClientCAFile == "" {
		return s, nil
	}
	// On MQTT alone: a browser would ask its user which certificate to show.
	cas, err := loadCAs("listen.tls.client_ca_file", i.files.ClientCAFile)
	if err != nil {
		return nil, err
	}
	s.mqtt.ClientAuth, s.mqtt.ClientCAs = tls.VerifyClientCertIfGiven, cas
	return s, nil
}

func loadPair(t config.TLS) (tls.Certificate, error) {
	cert, err := os.ReadFile(string(t.CertFile))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("listen.tls.cert_file: %w", err)
	}
	key, err := os.ReadFile(string(t.KeyFile))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("listen.tls.key_file: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("listen.tls.cert_file (%s) and key_file (%s): %w; both are PEM, and the first certificate is the key's", t.CertFile, t.KeyFile, err)
	}
	return pair, nil
}

func loadCAs(key string, file config.Path) (*x509.CertPool, error) {
	pem, err := os.ReadFile(string(file))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	cas := x509.NewCertPool()
	if !cas.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: there is no certificate in %s; it must be PEM", key, file)
	}
	return cas, nil
}

// forMQTT and forHTTP are for one door each.
func (i *identity) forMQTT() *tls.Config {
	return i.config(func(s *shown) *tls.Config { return s.mqtt })
}
func (i *identity) forHTTP() *tls.Config {
	return i.config(func(s *shown) *tls.Config { return s.http })
}

// config asks for what is in use at each handshake.
func (i *identity) config(of func(*shown) *tls.Config) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if i.auto != nil && slices.Equal(hello.SupportedProtos, []string{acme.ALPNProto}) {
			return i.auto.challenge, nil // RFC 8737 §3
		}
		i.look()
		return of(i.using.Load()), nil
	}}
}

// badCertificate reports whether a handshake failed because of the certificate that the client showed.
func badCertificate(c *tls.Conn, err error) bool {
	var wrong *tls.CertificateVerificationError
	return errors.As(err, &wrong) || len(c.ConnectionState().PeerCertificates) > 0
}
