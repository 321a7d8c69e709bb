package loadgen

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed-7a41469f/godwit/clienttest/raw"
)

// IdleOptions shape the load of Idle; a zero field means what is noted.
type IdleOptions struct {
	Connections int           // 10,000
	Parallel    int           // how many connect at a time: 64
	Keepalive   time.Duration // 10 min; nobody pings
	Hold        time.Duration // how long they stay before the memory is read: 2 s
	Persistent  bool
}

// IdleResult is what Idle measured.
type IdleResult struct {
	Connections   int     `json:"connections"`
	Seconds       float64 `json:"seconds"` // until all were connected and subscribed
	RSSBefore     int64   `json:"rss_before"`
	RSSAfter      int64   `json:"rss_after"`
	PerConnection float64 `json:"bytes_per_connection"`
}

// Idle opens connections with one subscription each and reports what the broker's resident set grew by.
func Idle(ctx context.Context, t Target, o IdleOptions) (r IdleResult, err error) {
	setDefault(&o.Connections, 10_000)
	setDefault(&o.Parallel, 64)
	setDefault(&o.Keepalive, 10*time.Minute)
	setDefault(&o.Hold, 2*time.Second)
	t = t.withDefaults()
	if t.PID == 0 {
		return r, errors.New("the memory of idle connections is that of a process: give its pid")
	}
	r.Connections = o.Connections
	if r.RSSBefore, _, err = memory(t.PID); err != nil {
		return r, err
	}
	start := time.Now()
	held, err := connectAll(ctx, t, o)
	defer held.drop()
	if err != nil {
		return r, err
	}
	r.Seconds = time.Since(start).Seconds()
	if err := sleep(ctx, o.Hold); err != nil {
		return r, err
	}
	if r.RSSAfter, _, err = memory(t.PID); err != nil {
		return r, err
	}
	r.PerConnection = float64(r.RSSAfter-r.RSSBefore) / float64(o.Connections)
	return r, nil
}

// held are connections that nobody reads from.
type held struct {
	mu    sync.Mutex
	conns []*raw.Conn
}

func (h *held) add(c *raw.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns = append(h.conns, c)
}

func (h *held) drop() {
	for _, c := range h.conns {
		c.Drop()
	}
	h.conns = nil
}

// connectAll opens and subscribes o.Connections receivers, o.Parallel at a time.
func connectAll(ctx context.Context, t Target, o IdleOptions) (*held, error) {
	h := &held{}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(o.Parallel)
	for i := range o.Connections {
		g.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			conn, err := t.dial(ctx, receiving, i, session{persistent: o.Persistent, keepalive: o.Keepalive, buffer: 128})
			if err != nil {
				return err
			}
			h.add(conn)
			if err := conn.Subscribe(t.filter(i)); err != nil {
				return fmt.Errorf("receiver %d: %w", i, err)
			}
			return nil
		})
	}
	return h, g.Wait()
}
