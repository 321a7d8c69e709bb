package killloop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest/raw"
)

// A server is the process that is killed, on one port all the time.
type server struct {
	c       Config
	addr    string
	replace *strings.Replacer
	cmd     *exec.Cmd
	exited  chan struct{} // closed when the process is gone
	output  tail
	kills   int
	slowest time.Duration
}

func newServer(c Config) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	port2, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &server{c: c, addr: net.JoinHostPort("127.0.0.1", port)}
	s.replace = strings.NewReplacer("{port}", port, "{port2}", port2, "{data}", c.Data)
	return s, nil
}

// freePort looks below the ports that the system gives to outgoing connections: while the server is down, one of those, a client's connect to
// the server's own port included, could take its place.
func freePort() (port string, err error) {
	for range 100 {
		port = strconv.Itoa(20_000 + rand.IntN(10_000))
		var ln net.Listener
		if ln, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", port)); err == nil {
			return port, ln.Close()
		}
	}
	return "", fmt.Errorf("no free port between 20000 and 29999: %w", err)
}

// start starts the process and returns once it has accepted a client.
func (s *server) start(ctx context.Context) error {
	args := make([]string, len(s.c.Command))
	for i, a := range s.c.Command {
		args[i] = s.replace.Replace(a)
	}
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.Env = os.Environ()
	for _, e := range s.c.Env {
		s.cmd.Env = append(s.cmd.Env, s.replace.Replace(e))
	}
	s.output.reset()
	s.cmd.Stdout, s.cmd.Stderr = s.writer(), s.writer()
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	cmd, exited := s.cmd, make(chan struct{})
	s.exited = exited
	go func() {
		_ = cmd.Wait() // that it was killed is no news
		close(exited)
	}()
	if err := s.ready(ctx); err != nil {
		return errors.Join(err, s.stop())
	}
	s.slowest = max(s.slowest, time.Since(began))
	return nil
}

// retry is how long a client waits before it tries again to reach a server that is not there.
const retry = 10 * time.Millisecond

func (s *server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.c.StartMax)
	defer cancel()
	probe := raw.Connect{Version: s.c.Version, ClientID: "probe", Username: s.c.user('p', 0), Password: s.c.Password, Clean: true}
	for {
		conn, err := raw.Dialer{}.Dial(ctx, s.addr, probe)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-s.exited:
			return fmt.Errorf("the server ended before it accepted a client: %s", s.output.String())
		case <-ctx.Done():
			return fmt.Errorf("the server did not accept a client within %s: %w: %s", s.c.StartMax, err, s.output.String())
		case <-time.After(retry):
		}
	}
}

// waitUp waits for d; a server that ends by itself meanwhile is an error.
func (s *server) waitUp(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-s.exited:
		return fmt.Errorf("the server ended by itself: %s", s.output.String())
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *server) kill() error {
	s.kills++
	return s.stop()
}

// stop kills the process and waits until it is gone.
func (s *server) stop() error {
	err := s.cmd.Process.Kill()
	<-s.exited
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

func (s *server) writer() io.Writer {
	if s.c.Output == nil {
		return &s.output
	}
	return io.MultiWriter(&s.output, s.c.Output)
}
