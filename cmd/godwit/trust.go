package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-7a41469f/godwit/contacts"
)

// A trust is whom to believe over TLS, and by what certificate to be known.
type trust struct {
	caFile, certFile, keyFile string
}

// caFlag says whom to believe.
func (t *trust) caFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.caFile, "ca-file", "", "over TLS: believe only who is signed by the certificates in this PEM file (GODWIT_CA_FILE)")
	_ = cmd.MarkFlagFilename("ca-file", "pem", "crt", "cer") // only for completions; it fails for a flag that does not exist
}

// certFlags say by what certificate to be known. The key's flag is not --key, which is a message's.
func (t *trust) certFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.certFile, "cert", "", "over TLS: a client certificate to log in with, PEM (GODWIT_CERT)")
	cmd.Flags().StringVar(&t.keyFile, "cert-key", "", "its private key, PEM; without it the key stands in the certificate's file (GODWIT_KEY)")
	_ = cmd.MarkFlagFilename("cert", "pem", "crt", "cer")
	_ = cmd.MarkFlagFilename("cert-key", "pem", "key")
}

// environment completes what no flag says.
func (t *trust) environment() {
	t.caFile, t.certFile, t.keyFile = env(t.caFile, "GODWIT_CA_FILE"), env(t.certFile, "GODWIT_CERT"), env(t.keyFile, "GODWIT_KEY")
}

// config reads the files.
func (t trust) config() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.caFile != "" {
		text, err := os.ReadFile(t.caFile)
		if err != nil {
			return nil, usage("--ca-file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(text) {
			return nil, usage("--ca-file: %s has no certificate in PEM", t.caFile)
		}
	}
	if t.certFile == "" {
		return cfg, nil
	}
	pair, err := t.pair()
	if err != nil {
		return nil, err
	}
	cfg.Certificates = []tls.Certificate{pair}
	return cfg, nil
}

func (t trust) pair() (tls.Certificate, error) {
	key := t.keyFile
	if key == "" {
		key = t.certFile
	}
	pair, err := tls.LoadX509KeyPair(t.certFile, key)
	if err != nil {
		return pair, usage("--cert %s, --cert-key %s: %w", t.certFile, key, err)
	}
	return pair, nil
}

// subject is whom the client certificate names: its CN is an address.
func (t trust) subject() (contacts.Address, error) {
	pair, err := t.pair()
	if err != nil {
		return "", err
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return "", usage("--cert %s: %w", t.certFile, err)
	}
	address, err := contacts.ParseAddress(leaf.Subject.CommonName)
	if err != nil {
		return "", usage("--cert %s names %q, which is no address (%w); log in with --user and --token", t.certFile, leaf.Subject.CommonName, err)
	}
	return address, nil
}

// explain says what went wrong on the way to a server, and what to do. A certificate that is not believed is a server that cannot be
// reached; one of ours that the server does not believe is a wrong login.
func (t trust) explain(where string, err error) error {
	var f *failure
	if errors.As(err, &f) {
		return err
	}
	if alert, ok := tlsAlert(err); ok {
		if t.certFile != "" || strings.Contains(alert, "certificate required") {
			return failed("login", "%s refused the client certificate: %s", where, alert)
		}
		return unreachable("%s refused the TLS connection: %s", where, alert)
	}
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		return distrusted("%s: its certificate is signed by nobody who is trusted here; give --ca-file with the certificate of who signed it", where)
	case errors.As(err, &host):
		return distrusted("%s: its certificate is for %s, not for %s; connect by a name of the certificate", where, names(host.Certificate), host.Host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return distrusted("%s: its certificate %s", where, validity(invalid.Cert))
	case errors.As(err, &record):
		return unreachable("%s: nobody speaks TLS on this port", where)
	}
	return unreachable("%s: %w", where, err)
}

func distrusted(format string, args ...any) error {
	return &failure{exitConnect, "certificate", fmt.Errorf(format, args...)}
}

// tlsAlert returns what the other side ended the connection with (RFC 8446 §6).
func tlsAlert(err error) (alert string, ok bool) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return "", false
	}
	return strings.TrimPrefix(op.Err.Error(), "tls: "), true
}

// names are whom a certificate is for.
func names(c *x509.Certificate) string {
	all := c.DNSNames
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "nobody"
	}
	return strings.Join(all, ", ")
}

func validity(c *x509.Certificate) string {
	if now := time.Now(); now.Before(c.NotBefore) {
		return fmt.Sprintf("is not valid before %s; is the clock of this machine right?", c.NotBefore.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("expired on %s; who runs the broker must renew it", c.NotAfter.UTC().Format(time.RFC3339))
}
