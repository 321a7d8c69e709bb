package clienttest

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/config"
)

// A Server is a broker in the test's own process.
type Server struct {
	*Broker
	cancel context.CancelFunc // nil: it does not run
	ended  chan error
}

// NewServer starts a broker and stops it when the test ends; configure, which may be nil, changes its configuration.
func NewServer(t testing.TB, configure func(*config.Config)) *Server {
	t.Helper()
	s := &Server{Broker: newBroker(t, configure)}
	t.Cleanup(s.Stop)
	s.Start()
	return s
}

// Start starts the broker again, after Stop, over the same data and on new ports.
func (s *Server) Start() {
	s.t.Helper()
	level, err := zerolog.ParseLevel(s.cfg.Log.Level)
	if err != nil {
		s.t.Fatal(err)
	}
	b, err := broker.New(s.cfg, broker.Options{Log: zerolog.New(&s.log).Level(level).With().Timestamp().Logger(), SMS: io.Discard})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.ended = cancel, make(chan error, 1)
	go func() { s.ended <- b.Run(ctx) }()
	select {
	case <-b.Ready():
		s.listens(b.Addresses())
	case err := <-s.ended:
		s.cancel = nil
		s.t.Fatalf("the broker did not start: %v", err)
	case <-time.After(Patience):
		s.t.Fatalf("the broker was not ready within %v", Patience)
	}
}

// Stop stops the broker gracefully, and returns when it has ended.
func (s *Server) Stop() {
	s.t.Helper()
	if s.cancel == nil {
		return
	}
	s.cancel()
	s.cancel = nil
	if err := <-s.ended; err != nil {
		s.t.Errorf("the broker ended with: %v", err)
	}
}

// Restart is Stop and Start.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.Start()
}
