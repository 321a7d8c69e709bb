// Package loadgen puts an MQTT broker under load and counts what becomes of every single message. Each message carries its run, sender,
// sequence and intended send time, so that loss, duplicates, order, damage and latency are exact and not sampled. Flow runs pairs of a
// sender and a receiver, with so many messages in flight (closed loop) or at an offered rate (open loop: latency counts from when
// a message was due, so a broker that stalls cannot hide it); Idle, Storm and Offline measure what their names say.
// It works against any broker: with Godwit's topics or with plain ones. The broker's own costs are read from /proc.
package loadgen

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest/raw"
)

// A Target is a broker and how its clients speak to it.
type Target struct {
	Addr       string
	TLS        *tls.Config       // nil: plain TCP
	Web        bool              // over WebSocket: Addr is that of the HTTP port
	Version    byte              // 0: raw.V311
	Plain      bool              // topics load/<i>, for brokers other than Godwit
	UserPrefix string            // "": "load-"; digits make the users numbers instead of names
	Password   string            // "": "load"
	Tokens     map[string]string // passwords of single users
	Receipts   string            // the user property of that name on every publish; MQTT 5 only
	PID        int               // the broker's process; 0: its costs are not measured
}

func (t Target) withDefaults() Target {
	if t.Version == 0 {
		t.Version = raw.V311
	}
	if t.UserPrefix == "" {
		t.UserPrefix = "load-"
	}
	if t.Password == "" {
		t.Password = "load"
	}
	return t
}

type role byte

const (
	sending   role = 1
	receiving role = 2
)

// user is the address of the i-th sender or receiver.
func (t Target) user(r role, i int) string {
	if c := t.UserPrefix[0]; c >= '0' && c <= '9' {
		return fmt.Sprintf("%s%d%06d", t.UserPrefix, r, i)
	}
	return fmt.Sprintf("%s%c-%d", t.UserPrefix, " sr"[r], i)
}

// topic is where sender i publishes for receiver i.
func (t Target) topic(i int) string {
	if t.Plain {
		return fmt.Sprintf("load/%d", i)
	}
	return "to/" + t.user(receiving, i)
}

// filter is the one subscription of a receiver.
func (t Target) filter(i int) string {
	if t.Plain {
		return t.topic(i)
	}
	return "u/" + t.user(receiving, i) + "/#"
}

func (t Target) template(i int) raw.Template {
	if t.Receipts == "" {
		return raw.NewTemplate(t.Version, t.topic(i), 1)
	}
	return raw.NewTemplate(t.Version, t.topic(i), 1, raw.UserProperty{Name: "receipts", Value: t.Receipts})
}

// A session says how long the broker is asked to remember the client.
type session struct {
	persistent bool
	keepalive  time.Duration
	buffer     int
}

const sessionExpiry = 24 * 60 * 60 // seconds; a session that its test could not end is gone after a day

func (t Target) dial(ctx context.Context, r role, i int, s session) (*raw.Conn, error) {
	user := t.user(r, i)
	c := raw.Connect{Version: t.Version, ClientID: user, Username: user, Password: t.Password, Clean: !s.persistent}
	c.Keepalive = uint16(s.keepalive / time.Second)
	if token, ok := t.Tokens[user]; ok {
		c.Password = token
	}
	if s.persistent {
		c.SessionExpiry = sessionExpiry
	}
	d := raw.Dialer{TLS: t.TLS, Web: t.Web, Buffer: s.buffer, Source: t.source(i)}
	return d.Dial(ctx, t.Addr, c)
}

const portsPerSource = 20_000

// source spreads more connections than one loopback address has ports over several.
func (t Target) source(i int) net.IP {
	host, _, _ := net.SplitHostPort(t.Addr)
	if i < portsPerSource || !net.ParseIP(host).IsLoopback() {
		return nil
	}
	return net.IPv4(127, 0, 0, byte(1+i/portsPerSource))
}

// forget ends a persistent session (MQTT 5 §3.1.2.4: a clean start discards it).
func (t Target) forget(ctx context.Context, r role, i int) error {
	conn, err := t.dial(ctx, r, i, session{buffer: 256})
	if err != nil {
		return err
	}
	return conn.Close()
}

// A clock tells nanoseconds since its base, from the monotonic clock: sender and receiver are one process.
type clock struct{ base time.Time }

func (c clock) now() int64 { return int64(time.Since(c.base)) }

func (c clock) time(at int64) time.Time { return c.base.Add(time.Duration(at)) }

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
