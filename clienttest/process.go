package clienttest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/config"
)

// A Process is a broker in a process of its own: the built `godwit serve` with a configuration file.
type Process struct {
	*Broker
	binary, file string
	cmd          *exec.Cmd // nil: it does not run
	exited       chan error
	read         int // of the log
}

// StartProcess starts a broker and stops it when the test ends; configure, which may be nil, changes its configuration.
func StartProcess(t testing.TB, configure func(*config.Config)) *Process {
	t.Helper()
	p := &Process{Broker: newBroker(t, configure), binary: Binary(t)}
	p.file = filepath.Join(string(p.cfg.Data), "godwit.yaml")
	t.Cleanup(p.Stop)
	p.Start()
	return p
}

// Start starts the broker again, after Stop or Kill, over the same data and on new ports.
func (p *Process) Start() {
	p.t.Helper()
	if err := p.write(); err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(p.binary, "serve", "--config", p.file)
	cmd.Env = cleanEnv()
	cmd.Stderr, cmd.Stdout = &p.log, io.Discard
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.cmd, p.exited = cmd, make(chan error, 1)
	go func() { p.exited <- cmd.Wait() }()
	p.awaitReady()
}

// Godwit runs a command of the program with the broker's configuration, and returns what it printed. It must end with exit status 0.
func (p *Process) Godwit(args ...string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), p.binary, append(args, "--config", p.file)...)
	cmd.Env = cleanEnv()
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("godwit %s: %v: %s", strings.Join(args, " "), err, complaint.String())
	}
	return string(out)
}

// write writes the configuration file, and a file for each secret of a gateway, since YAML shows none.
func (p *Process) write() error {
	text, err := p.cfg.YAML()
	if err != nil {
		return err
	}
	var file struct {
		SMS struct{ Gateways []map[string]any }
	}
	var all map[string]any
	if err := errors.Join(yaml.Unmarshal(text, &file), yaml.Unmarshal(text, &all)); err != nil {
		return err
	}
	for i, g := range p.cfg.SMS.Gateways {
		for key, secret := range map[string]config.Secret{"password": g.Password, "token": g.Token, "hmac": g.HMAC, "callback_secret": g.CallbackSecret} {
			if secret == "" {
				continue
			}
			name := fmt.Sprintf("%s-%d", key, i)
			if err := os.WriteFile(filepath.Join(string(p.cfg.Data), name), []byte(secret), 0o600); err != nil {
				return err
			}
			delete(file.SMS.Gateways[i], key)
			file.SMS.Gateways[i][key+"_file"] = name // relative to the configuration file
		}
	}
	all["sms"].(map[string]any)["gateways"] = file.SMS.Gateways
	if text, err = yaml.Marshal(all); err != nil {
		return err
	}
	return os.WriteFile(p.file, text, 0o600)
}

// cleanEnv is our environment without what changes a configuration.
func cleanEnv() (env []string) {
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "GODWIT_") {
			env = append(env, variable)
		}
	}
	return env
}

// awaitReady reads the log until it says where the broker listens.
func (p *Process) awaitReady() {
	p.t.Helper()
	end := time.After(Patience)
	for {
		lines, next, more := p.log.lines(p.read)
		p.read = next
		for _, line := range lines {
			var ready struct{ Message, MQTT, MQTTS, HTTP, Admin string }
			if json.Unmarshal([]byte(line), &ready) == nil && ready.Message == "ready" {
				p.listens(broker.Addresses{MQTT: ready.MQTT, MQTTS: ready.MQTTS, HTTP: ready.HTTP, Admin: ready.Admin})
				return
			}
		}
		select {
		case <-more:
		case err := <-p.exited:
			p.cmd = nil
			p.t.Fatalf("the broker ended before it was ready: %v", err)
		case <-end:
			p.t.Fatalf("the broker was not ready within %v", Patience)
		}
	}
}

// Kill kills the broker with SIGKILL and returns when it is gone.
func (p *Process) Kill() {
	p.t.Helper()
	p.end(syscall.SIGKILL)
}

// Stop asks the broker to stop with SIGTERM, and returns when it has ended, which must be with exit status 0.
func (p *Process) Stop() {
	p.t.Helper()
	if p.cmd == nil {
		return
	}
	if err := p.end(syscall.SIGTERM); err != nil {
		p.t.Errorf("the broker ended with: %v", err)
	}
}

func (p *Process) end(signal syscall.Signal) error {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Errorf("the broker ended by itself: %v", err)
	}
	p.cmd = nil
	return <-p.exited
}

// Restart is Stop and Start.
func (p *Process) Restart() {
	p.t.Helper()
	p.Stop()
	p.Start()
}
