package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-7a41469f/godwit/clienttest/loadgen"
)

// doorNames are the ways in: MQTT over TCP, WebSocket, TLS, and WebSocket over TLS.
var doorNames = []string{"tcp", "ws", "tls", "wss"}

// tlsConfig is godwitConfig with TLS on both ports.
const tlsConfig = `data: {dir}/data
auth: {mode: open}
listen:
  mqtts: "127.0.0.1:{port}"
  http: "127.0.0.1:{port2}"
  tls: {cert_file: "%s", key_file: "%s"}
limits: {connects_per_address: 100000/s, disk_free: 64MiB}
log: {level: warn}
`

// A doorResult is what Idle measured by one door.
type doorResult struct {
	Door string `json:"door"`
	loadgen.IdleResult
}

func newDoors() *cobra.Command {
	var run smsRun
	var o loadgen.IdleOptions
	var names []string
	cmd := &cobra.Command{
		Use:   "doors",
		Short: "What an idle connection costs by each door: idle, with a new broker for each of " + strings.Join(doorNames, ", "),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			for _, name := range names {
				if !slices.Contains(doorNames, name) {
					return fmt.Errorf("%w: --doors %q: %s", errUsage, name, strings.Join(doorNames, ", "))
				}
			}
			binary, remove, err := run.binary(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, remove()) }()
			run.godwit = binary
			var all []doorResult
			for _, name := range names {
				r, err := run.idle(cmd, name, o)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				all = append(all, doorResult{name, r})
			}
			return run.print(cmd, all, doorsTable(all))
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&run.godwit, "godwit", "", "the `PATH` of the godwit binary (default: built for the run)")
	fs.StringVar(&run.dir, "dir", "", "a `DIRECTORY` for the brokers' data (default: the system's temporary one)")
	fs.BoolVar(&run.json, "json", false, "print one JSON array")
	fs.StringSliceVar(&names, "doors", doorNames, "which, in turn")
	addIdle(fs, &o)
	return cmd
}

// idle measures one door of a new broker.
func (run *smsRun) idle(cmd *cobra.Command, door string, o loadgen.IdleOptions) (r loadgen.IdleResult, err error) {
	g, err := newGodwit(run.godwit, "")
	if err != nil {
		return r, err
	}
	var trust *tls.Config
	if door == "tls" || door == "wss" {
		dir, err := os.MkdirTemp(run.dir, "certificate-")
		if err != nil {
			return r, err
		}
		defer os.RemoveAll(dir)
		cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		if trust, err = certify(cert, key); err != nil {
			return r, err
		}
		g.config = fmt.Sprintf(tlsConfig, cert, key)
		g.tls = trust
	}
	p, err := g.start(cmd.Context(), run.dir)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	t := p.target
	if door == "ws" || door == "wss" {
		t.Addr, t.Web = p.http, true
	}
	return loadgen.Idle(cmd.Context(), t, o)
}

// certify writes a certificate for 127.0.0.1 and its key, and returns what trusts it alone. Sessions are not resumed: each connection shakes hands whole.
func certify(cert, key string) (*tls.Config, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "load"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600),
	)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return &tls.Config{RootCAs: pool}, nil
}

func doorsTable(all []doorResult) table {
	t := table{head: append([]string{"door"}, idleTable(loadgen.IdleResult{}).head...)}
	for _, d := range all {
		t.rows = append(t.rows, append([]string{d.Door}, idleTable(d.IdleResult).rows[0]...))
	}
	return t
}
