package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-7a41469f/godwit/clienttest/loadgen"
	"github.com/seed-7a41469f/godwit/clienttest/raw"
)

// targetFlags are what all commands against a running broker have in common.
type targetFlags struct {
	addr, topics, mqtt, receipts, userPrefix, password, tokens, ca string
	pid                                                            int
	allow                                                          []string
	json                                                           bool
}

func (f *targetFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.addr, "addr", "127.0.0.1:1883", "the broker's `HOST:PORT`")
	fs.StringVar(&f.topics, "topics", "godwit", "godwit (to/<address>, u/<me>/#) or plain (load/<i>)")
	fs.StringVar(&f.userPrefix, "user-prefix", "load-", "the users' addresses start with it; digits make them numbers")
	fs.StringVar(&f.password, "password", "load", "of every user that --tokens does not name")
	fs.StringVar(&f.tokens, "tokens", "", "a `FILE` with an address, a tab and a token a line")
	fs.StringVar(&f.ca, "ca", "", "speak TLS and trust the certificates in this PEM `FILE`")
	fs.IntVar(&f.pid, "pid", 0, "the broker's process, to measure its processor time and memory")
	fs.StringSliceVar(&f.allow, "allow", nil, "faults that do not make the run fail: "+strings.Join(loadgen.Faults, ","))
	fs.BoolVar(&f.json, "json", false, "print one JSON object")
	addMQTT(cmd, &f.mqtt, &f.receipts)
}

func addMQTT(cmd *cobra.Command, mqtt, receipts *string) {
	cmd.Flags().StringVar(mqtt, "mqtt", "3.1.1", "protocol version, 3.1.1 or 5")
	cmd.Flags().StringVar(receipts, "receipts", "", "the user property receipts on every publish: none, final or all (MQTT 5)")
}

func (f *targetFlags) target() (t loadgen.Target, err error) {
	t = loadgen.Target{Addr: f.addr, UserPrefix: f.userPrefix, Password: f.password, Receipts: f.receipts, PID: f.pid}
	if t.Version, err = version(f.mqtt, f.receipts); err != nil {
		return t, err
	}
	switch f.topics {
	case "plain":
		t.Plain = true
	case "godwit":
	default:
		return t, fmt.Errorf("%w: --topics %q: godwit or plain", errUsage, f.topics)
	}
	if f.ca != "" {
		if t.TLS, err = trust(f.ca); err != nil {
			return t, err
		}
	}
	if f.tokens != "" {
		t.Tokens, err = readTokens(f.tokens)
	}
	return t, err
}

func version(mqtt, receipts string) (byte, error) {
	switch {
	case mqtt == "5":
		return raw.V5, nil
	case mqtt != "3.1.1":
		return 0, fmt.Errorf("%w: --mqtt %q: 3.1.1 or 5", errUsage, mqtt)
	case receipts != "":
		return 0, fmt.Errorf("%w: --receipts is a user property: it needs --mqtt 5", errUsage)
	}
	return raw.V311, nil
}

func trust(file string) (*tls.Config, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	return &tls.Config{RootCAs: pool, ClientSessionCache: tls.NewLRUClientSessionCache(0)}, nil
}

func readTokens(file string) (map[string]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	tokens := map[string]string{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		if lines.Text() == "" {
			continue
		}
		address, token, ok := strings.Cut(lines.Text(), "\t")
		if !ok {
			return nil, fmt.Errorf("%s, line %d: an address, a tab and a token were expected", file, n)
		}
		tokens[address] = token
	}
	return tokens, lines.Err()
}
