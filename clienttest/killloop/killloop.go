// Package killloop checks the promise that a broker makes with a PUBACK, by breaking the broker: it starts a server, loads it, kills it with
// SIGKILL at a random moment, starts it again, and so on, while senders resend what was not acknowledged and receivers with persistent
// sessions write down what they get. At the end, after everything has been drained, it says whether an acknowledged message was lost,
// whether the order per sender and receiver was kept on first delivery, whether a message was created twice (the same payload under
// two ids of the broker), and whether a session was forgotten. It knows no more of the server than a command line and MQTT.
package killloop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed-7a41469f/godwit/clienttest/raw"
)

// A Config describes the server and what is done to it; a zero field means what is noted.
type Config struct {
	Command []string  // {port}, {port2} and {data} are replaced in it, in Env too
	Env     []string  // in addition to our own environment
	Data    string    // an empty directory
	Output  io.Writer // the server's; nil: dropped

	Kills    int           // 5
	UpMin    time.Duration // a kill comes between UpMin (100 ms) and UpMax (2 s) after the server was ready
	UpMax    time.Duration
	StartMax time.Duration // within which a started server must accept a client: 30 s
	Settle   time.Duration // how long nothing must arrive before what is missing is lost: 10 s
	Seed     uint64        // of the random moments; 0: a random one, which is reported

	Away       time.Duration // a receiver is away, and there, for up to this long in turn, so that the store has to keep something: 500 ms
	Senders    int           // 4
	Receivers  int           // 3
	Window     int           // unacknowledged messages a sender: 32
	Rate       int           // messages a second and sender: 1000
	Version    byte          // raw.V311
	UserPrefix string        // "kill-"; digits make the users numbers
	Password   string        // "kill"
}

func setDefault[T comparable](field *T, value T) { *field = cmp.Or(*field, value) }

func (c Config) withDefaults() (Config, error) {
	setDefault(&c.Kills, 5)
	setDefault(&c.UpMin, 100*time.Millisecond)
	setDefault(&c.UpMax, 2*time.Second)
	setDefault(&c.StartMax, 30*time.Second)
	setDefault(&c.Settle, 10*time.Second)
	setDefault(&c.Seed, rand.Uint64())
	setDefault(&c.Away, 500*time.Millisecond)
	setDefault(&c.Senders, 4)
	setDefault(&c.Receivers, 3)
	setDefault(&c.Window, 32)
	setDefault(&c.Rate, 1000)
	setDefault(&c.Version, raw.V311)
	setDefault(&c.UserPrefix, "kill-")
	setDefault(&c.Password, "kill")
	switch {
	case len(c.Command) == 0:
		return c, errors.New("kill loop: Command is empty: give the server's command line")
	case c.Data == "":
		return c, errors.New("kill loop: Data is empty: give a directory for {data}")
	case c.UpMax <= c.UpMin:
		return c, fmt.Errorf("kill loop: UpMax %s is not above UpMin %s", c.UpMax, c.UpMin)
	}
	return c, nil
}

// A user is the i-th sender ('s') or receiver ('r').
func (c Config) user(role byte, i int) string {
	if d := c.UserPrefix[0]; d >= '0' && d <= '9' {
		return fmt.Sprintf("%s%d%06d", c.UserPrefix, role%10, i)
	}
	return fmt.Sprintf("%s%c-%d", c.UserPrefix, role, i)
}

// Run kills the server c.Kills times and reports. The error says what kept it from finding out; what it found, Report.Check tells.
func Run(ctx context.Context, c Config) (Report, error) {
	c, err := c.withDefaults()
	if err != nil {
		return Report{}, err
	}
	l, err := newLoop(c)
	if err != nil {
		return Report{}, err
	}
	err = l.run(ctx)
	return l.report(), err
}

func (l *loop) report() Report {
	r := l.ledger.Report()
	r.Seed, r.Kills, r.SlowestStart = l.c.Seed, l.server.kills, l.server.slowest
	lives := r.Kills + 1
	for _, s := range l.senders {
		r.Resent += s.resent
		r.Dropped += max(s.connects-lives, 0)
	}
	for _, c := range l.receivers {
		r.Dropped += max(c.connects-c.aways-lives, 0)
	}
	return r
}

type loop struct {
	c         Config
	server    *server
	ledger    *Ledger
	senders   []*sender
	receivers []*receiver
	random    *rand.Rand
}

func newLoop(c Config) (*loop, error) {
	s, err := newServer(c)
	if err != nil {
		return nil, err
	}
	l := &loop{c: c, server: s, ledger: NewLedger(), random: rand.New(rand.NewPCG(c.Seed, 0))}
	for i := range c.Receivers {
		l.receivers = append(l.receivers, newReceiver(c, s.addr, i, l.ledger))
	}
	for i := range c.Senders {
		l.senders = append(l.senders, newSender(c, s.addr, i, l.ledger))
	}
	return l, nil
}

// run has the clients running until the server was killed often enough and has been drained.
func (l *loop) run(ctx context.Context) (err error) {
	if err := l.server.start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.server.stop()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, gctx := errgroup.WithContext(ctx)
	subscribed := make([]chan struct{}, len(l.receivers))
	for i, r := range l.receivers {
		subscribed[i] = make(chan struct{})
		g.Go(func() error { return r.run(gctx, subscribed[i]) })
	}
	g.Go(func() error {
		defer cancel() // the clients stop when the work is done
		if err := l.waitSubscribed(gctx, subscribed); err != nil {
			return err
		}
		for _, s := range l.senders {
			g.Go(func() error { return s.run(gctx) })
		}
		if err := l.killing(gctx); err != nil {
			return err
		}
		return l.drain(gctx)
	})
	return g.Wait()
}

func (l *loop) waitSubscribed(ctx context.Context, subscribed []chan struct{}) error {
	for _, c := range subscribed {
		select {
		case <-c:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (l *loop) killing(ctx context.Context) error {
	for range l.c.Kills {
		up := l.c.UpMin + time.Duration(l.random.Int64N(int64(l.c.UpMax-l.c.UpMin)))
		if err := l.server.waitUp(ctx, up); err != nil {
			return err
		}
		if err := l.server.kill(); err != nil {
			return err
		}
		if err := l.server.start(ctx); err != nil {
			return err
		}
	}
	return l.server.waitUp(ctx, l.c.UpMin)
}

// drain lets the senders finish and waits until what was acknowledged has arrived, or nothing more does.
func (l *loop) drain(ctx context.Context) error {
	for _, r := range l.receivers {
		r.stay()
	}
	for _, s := range l.senders {
		s.finish()
	}
	for _, s := range l.senders {
		if err := l.waitFor(ctx, s.done); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	if err := l.waitFor(ctx, l.ledger.Complete()); err != nil && !errors.Is(err, errStill) {
		return err
	}
	for _, r := range l.receivers {
		if err := r.await(ctx, l.c.Settle); err != nil {
			return err
		}
		if err := r.barrier(ctx, l.c.Settle); err != nil {
			return err
		}
	}
	return nil
}

var errStill = errors.New("nothing moved any more")

// waitFor waits for done; errStill when the ledger did not move for Settle.
func (l *loop) waitFor(ctx context.Context, done <-chan struct{}) error {
	tick := time.NewTicker(l.c.Settle)
	defer tick.Stop()
	for before := l.ledger.moves(); ; {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			now := l.ledger.moves()
			if now == before {
				return errStill
			}
			before = now
		}
	}
}
