package loadgen

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest/raw"
)

// StormOptions shape the load of Storm; a zero field means what is noted.
type StormOptions struct {
	Clients int           // 5,000
	Clean   bool          // clean sessions; otherwise they resume the one they had
	Gap     time.Duration // between the loss of all connections and the storm: 1 s
	Timeout time.Duration // for all to be back: 60 s
}

// StormResult is what Storm measured.
type StormResult struct {
	Clients   int       `json:"clients"`
	Clean     bool      `json:"clean"`
	Seconds   float64   `json:"seconds"` // until the last CONNACK
	Connack   Quantiles `json:"connack_ms"`
	Retries   int64     `json:"retries"` // connects that were turned away or broke, and were tried again
	Resumed   int64     `json:"resumed"` // CONNACKs with session present
	SteadyRSS int64     `json:"steady_rss,omitempty"`
	PeakRSS   int64     `json:"peak_rss,omitempty"` // from the loss of the connections to the last CONNACK
	PeakRatio float64   `json:"peak_to_steady,omitempty"`
}

// Check returns an error when sessions were to be resumed and some were not.
func (r StormResult) Check() error {
	if !r.Clean && r.Resumed != int64(r.Clients) {
		return errors.New("not every client found its session again")
	}
	return nil
}

// Storm connects clients, drops all their connections without a word and has them all reconnect at once.
func Storm(ctx context.Context, t Target, o StormOptions) (StormResult, error) {
	setDefault(&o.Clients, 5_000)
	setDefault(&o.Gap, time.Second)
	setDefault(&o.Timeout, time.Minute)
	t = t.withDefaults()
	r := StormResult{Clients: o.Clients, Clean: o.Clean}
	before, err := connectAll(ctx, t, IdleOptions{Connections: o.Clients, Parallel: 64, Keepalive: 10 * time.Minute, Persistent: !o.Clean})
	if err == nil {
		err = r.steady(t.PID)
	}
	before.drop()
	if err != nil {
		return r, err
	}
	if err := sleep(ctx, o.Gap); err != nil {
		return r, err
	}
	s := &storm{target: t, o: o, gate: make(chan struct{})}
	if err := s.run(ctx, &r); err != nil {
		return r, err
	}
	return r, s.cleanUp(ctx)
}

func (r *StormResult) steady(pid int) (err error) {
	if pid == 0 {
		return nil
	}
	if r.SteadyRSS, _, err = memory(pid); err != nil {
		return err
	}
	return resetPeak(pid)
}

type storm struct {
	target  Target
	o       StormOptions
	gate    chan struct{}
	wg      sync.WaitGroup
	retries atomic.Int64
	resumed atomic.Int64
	mu      sync.Mutex
	connack Histogram
	failed  error
	conns   held
}

func (s *storm) run(ctx context.Context, r *StormResult) (err error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	for i := range s.o.Clients {
		s.wg.Go(func() { s.client(ctx, i) })
	}
	start := time.Now()
	close(s.gate)
	s.wg.Wait()
	defer s.conns.drop()
	r.Seconds = time.Since(start).Seconds()
	r.Connack, r.Retries, r.Resumed = s.connack.Quantiles(), s.retries.Load(), s.resumed.Load()
	if s.failed != nil {
		return s.failed
	}
	if s.target.PID != 0 {
		_, r.PeakRSS, err = memory(s.target.PID)
		r.PeakRatio = float64(r.PeakRSS) / float64(r.SteadyRSS)
	}
	return err
}

// client connects as soon as the gate opens, again and again until it has a CONNACK.
func (s *storm) client(ctx context.Context, i int) {
	<-s.gate
	start := time.Now()
	for {
		conn, err := s.target.dial(ctx, receiving, i, session{persistent: !s.o.Clean, keepalive: 10 * time.Minute, buffer: 128})
		if err == nil {
			s.connected(conn, time.Since(start))
			return
		}
		if sleep(ctx, 50*time.Millisecond) != nil {
			s.fail(err)
			return
		}
		s.retries.Add(1)
	}
}

func (s *storm) connected(conn *raw.Conn, took time.Duration) {
	if conn.Connack.SessionPresent {
		s.resumed.Add(1)
	}
	s.conns.add(conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connack.Record(took)
}

func (s *storm) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = err
	}
}

// cleanUp leaves no session behind.
func (s *storm) cleanUp(ctx context.Context) error {
	if s.o.Clean {
		return nil
	}
	for i := range s.o.Clients {
		if err := s.target.forget(ctx, receiving, i); err != nil {
			return err
		}
	}
	return nil
}
