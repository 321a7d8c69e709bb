// Package console is a gateway that shows each SMS on a writer instead of sending it: for the first steps, demonstrations and tests.
//
// It takes everything, gives ids, reports delivery by itself when asked to, and lets somebody answer. What it writes is the SMS itself, with
// the whole number and text, as a phone would show it: it is no log, and must not be written into one.
//
// Nothing outlives the process: reports that are due when it ends never come.
package console

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// Config is how a Gateway works. Zero values mean the documented defaults.
type Config struct {
	Name string        // "console"
	Out  io.Writer     // os.Stdout
	JSON bool          // one object a line instead of a frame
	DLR  time.Duration // how long after an SMS its DLR says delivered; 0: there are no DLRs
}

// A Gateway shows what it is given.
type Gateway struct {
	config  Config
	run     string // makes the ids of this run different from those of others
	replies chan reply
	due     chan struct{} // wakes Run for reports

	mu      sync.Mutex // also for Out
	count   int
	reports []sms.DLR // At is when each is due; they are in that order
}

var _ sms.Gateway = (*Gateway)(nil)

// reply is an MO that waits for the sink.
type reply struct {
	mo   sms.MO
	done chan error
}

// retry is how long a report waits that the sink did not take.
const retry = time.Second

// New returns a Gateway.
func New(config Config) *Gateway {
	if config.Name == "" {
		config.Name = "console"
	}
	if config.Out == nil {
		config.Out = os.Stdout
	}
	var run [4]byte
	rand.Read(run[:])
	return &Gateway{config: config, run: hex.EncodeToString(run[:]), replies: make(chan reply), due: make(chan struct{}, 1)}
}

// Name implements sms.Gateway.
func (g *Gateway) Name() string { return g.config.Name }

// Abilities implements sms.Gateway.
func (g *Gateway) Abilities() sms.Abilities { return sms.Abilities{DLR: g.config.DLR > 0, Window: 16} }

// Submit shows mt, whole, in one write.
func (g *Gateway) Submit(ctx context.Context, mt sms.MT) []sms.Outcome {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	ids := make(map[int]string, len(mt.Segments))
	for _, s := range mt.Segments {
		ids[s.Number] = g.id()
	}
	shown := false
	outcomes := sms.SubmitEach(ctx, mt, func(_ context.Context, s sms.Segment) (string, error) {
		if !shown {
			shown = true
			if err := g.show(mt, ids, now); err != nil {
				return "", err
			}
		}
		return ids[s.Number], nil
	})
	g.report(outcomes, now)
	return outcomes
}

// id returns the next id. The lock is held.
func (g *Gateway) id() string {
	g.count++
	return fmt.Sprintf("%s-%d", g.run, g.count)
}

// report notes the DLRs that are due for what was taken. The lock is held.
func (g *Gateway) report(outcomes []sms.Outcome, now time.Time) {
	if g.config.DLR <= 0 {
		return
	}
	for _, o := range outcomes {
		if o.Err == nil {
			g.reports = append(g.reports, sms.DLR{Gateway: g.config.Name, ID: o.ID, State: sms.DeliveredSMS, At: now.Add(g.config.DLR)})
		}
	}
	select {
	case g.due <- struct{}{}:
	default:
	}
}

// Reply answers from a peer to one of our own numbers, and returns once the sink has taken it, or what the sink said. Run must be running.
func (g *Gateway) Reply(ctx context.Context, own, peer contacts.Number, text string) error {
	g.mu.Lock()
	mo := sms.MO{Gateway: g.config.Name, ID: g.id(), From: peer, To: own, Text: text, At: time.Now()}
	g.mu.Unlock()
	r := reply{mo, make(chan error, 1)}
	select {
	case g.replies <- r:
	case <-ctx.Done():
		return fmt.Errorf("an answer on gateway %s was not taken: %w", g.config.Name, ctx.Err())
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("whether an answer on gateway %s was taken is open: %w", g.config.Name, ctx.Err())
	}
}

// Run gives answers and reports to sink until ctx is done.
func (g *Gateway) Run(ctx context.Context, sink sms.Sink) error {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case r := <-g.replies:
			r.done <- sink.MO(ctx, r.mo)
		case <-g.due:
			wait.Reset(g.tell(ctx, sink))
		case <-wait.C:
			wait.Reset(g.tell(ctx, sink))
		}
	}
}

// tell gives the reports that are due to sink, and returns how long to wait for the next.
func (g *Gateway) tell(ctx context.Context, sink sms.Sink) time.Duration {
	for {
		r, wait := g.first()
		if wait > 0 {
			return wait
		}
		if err := sink.DLR(ctx, r); err != nil {
			return retry
		}
		g.mu.Lock()
		g.reports = g.reports[1:]
		g.mu.Unlock()
	}
}

// first returns the first report, and how long until it is due.
func (g *Gateway) first() (r sms.DLR, wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.reports) == 0 {
		return r, time.Hour // woken by the next SMS
	}
	return g.reports[0], time.Until(g.reports[0].At)
}
