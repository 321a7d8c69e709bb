package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest/loadgen"
	"github.com/seed-7a41469f/godwit/clienttest/raw"
)

// A contender is a broker that compare starts. {port}, {port2} and {dir} are replaced in its command and configuration.
type contender struct {
	name    string
	plain   bool
	config  string // written to {dir}/config
	command []string
	tls     *tls.Config // of the clients; nil: plain TCP
}

// mosquittoConfig lifts the limits that would make it drop messages, and keeps nothing on disk.
const mosquittoConfig = `listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_inflight_messages 0
max_queued_messages 0
max_queued_bytes 0
set_tcp_nodelay true
log_type error
`

// godwitConfig lifts the limits that are there for people, and nothing else: every message is on disk before it is acknowledged.
const godwitConfig = `data: {dir}/data
auth: {mode: open}
listen: {mqtt: "127.0.0.1:{port}", http: "127.0.0.1:{port2}"}
limits: {send_rate: 1000000/s, inbox: 1000000, connects_per_address: 100000/s, disk_free: 64MiB}
log: {level: warn}
`

func newMosquitto(path string) contender {
	return contender{name: "mosquitto (not durable)", plain: true, config: mosquittoConfig, command: []string{path, "-c", "{dir}/config"}}
}

func newStockMochi() (contender, error) {
	self, err := os.Executable()
	return contender{name: "mochi (no store)", plain: true, command: []string{self, "mochi", "--addr", "127.0.0.1:{port}"}}, err
}

func newGodwit(path, configFile string) (contender, error) {
	c := contender{name: "godwit (durable)", config: godwitConfig, command: []string{path, "serve", "--config", "{dir}/config"}}
	if configFile == "" {
		return c, nil
	}
	b, err := os.ReadFile(configFile)
	c.config = string(b)
	return c, err
}

// A process is a contender that runs.
type process struct {
	target loadgen.Target
	cmd    *exec.Cmd
	output bytes.Buffer // read only after the process has ended
	exited chan error
	dir    string
	http   string // where Godwit answers HTTP
}

// start starts a contender with nothing in its directory, and returns once it accepts clients.
func (c contender) start(ctx context.Context, parent string) (*process, error) {
	dir, err := os.MkdirTemp(parent, "compare-")
	if err != nil {
		return nil, err
	}
	port, err1 := freePort()
	port2, err2 := freePort()
	replace := strings.NewReplacer("{port}", port, "{port2}", port2, "{dir}", dir)
	err3 := os.WriteFile(filepath.Join(dir, "config"), []byte(replace.Replace(c.config)), 0o600)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	var args []string
	for _, a := range c.command {
		args = append(args, replace.Replace(a))
	}
	p := &process{cmd: exec.Command(args[0], args[1:]...), exited: make(chan error, 1), dir: dir, http: net.JoinHostPort("127.0.0.1", port2)}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	go func() { p.exited <- p.cmd.Wait() }()
	p.target = loadgen.Target{Addr: net.JoinHostPort("127.0.0.1", port), TLS: c.tls, Plain: c.plain, PID: p.cmd.Process.Pid}
	if err := p.ready(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	return p, nil
}

const startMax = 30 * time.Second

func (p *process) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	probe := raw.Connect{Version: raw.V311, ClientID: "probe", Username: "probe", Password: "probe", Clean: true}
	for {
		conn, err := raw.Dialer{TLS: p.target.TLS}.Dial(ctx, p.target.Addr, probe)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.exited:
			return fmt.Errorf("it ended before it accepted a client: %s", p.output.String())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("it did not accept a client within %s: %w", startMax, err), p.stop())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

const stopMax = 10 * time.Second

// stop ends the process, by force when it does not go by itself, and removes its directory.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.exited:
	case <-time.After(stopMax):
		if err := p.cmd.Process.Kill(); err != nil {
			return err
		}
		<-p.exited
		return fmt.Errorf("%s did not stop within %s of SIGTERM", p.cmd.Path, stopMax)
	}
	return os.RemoveAll(p.dir)
}

func freePort() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(ln.Addr().String())
	return port, errors.Join(err, ln.Close())
}
