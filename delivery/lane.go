package delivery

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/sms"
)

// A proposal is a change that waits for its group, and who must be told what became of it.
type proposal struct {
	change   Change
	acceptor Acceptor // of a publish
	from     sender
	intent   intent     // of an advance: what to do again when somebody else advanced the message first
	answer   chan error // of a caller that waits; has room for one
	fresh    bool       // the message is new
	enters   bool       // it enters a new state, or the one it is in became final
	patient  bool       // nobody waits for it
	failed   string     // the gateway whose attempt came to nothing
	bytes    int
}

// A lane is one order of commits: what comes in while a group is written makes up the next group (group commit). One goroutine runs it.
type lane struct {
	store   Store
	origins *origins
	stats   *Stats
	log     zerolog.Logger
	behind  func() bool // the deliverer is: acknowledgements wait for it, so that senders are held back

	mu      sync.Mutex
	queue   []*proposal
	hurried bool // something in it is not patient
	closed  bool
	wake    chan struct{}
	timer   *time.Timer // of the patience

	started    time.Time // of the latest commit
	complained time.Time
	last       int // how many changes it had
	batch      []*proposal
	changes    []Change
	results    []result
}

// A result says what became of a proposal.
type result struct {
	p   *proposal
	err error
}

const (
	linger        = time.Millisecond       // between the starts of two commits, under load
	lingerFrom    = 8                      // changes in the latest group from which there is load
	storeRetry    = 200 * time.Millisecond // between tries of what must not be lost
	patienceTime  = 4 * time.Millisecond   // that what nobody waits for may wait for company
	patientMost   = 256                    // changes that wait patiently
	expectedBytes = 512                    // of a record, without its payload
)

func newLane(store Store, o *origins, stats *Stats, log zerolog.Logger) *lane {
	return &lane{store: store, origins: o, stats: stats, log: log, wake: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
}

// propose queues p; false when the lane is closed.
func (l *lane) propose(p *proposal) bool {
	p.bytes = expectedBytes
	if m := p.change.Message; m != nil {
		p.fresh = m.Rev == 0
		p.bytes += len(m.Payload)
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	l.queue = append(l.queue, p)
	wake := len(l.queue) == 1 || len(l.queue) == patientMost || !p.patient && !l.hurried
	l.hurried = l.hurried || !p.patient
	l.mu.Unlock()
	if wake {
		signal(l.wake)
	}
	return true
}

// close lets the lane end once its queue is empty.
func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	signal(l.wake)
}

// signal wakes whoever waits on a channel that has room for one, or will wait next.
func signal(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// run commits until the lane is closed and empty. What must not be lost is tried until stop, then given up.
func (l *lane) run(stop <-chan struct{}, deliver func([]result)) {
	for l.wait() {
		l.take()
		for l.behind() {
			time.Sleep(linger)
		}
		if l.last >= lingerFrom {
			if d := linger - time.Since(l.started); d > 0 {
				time.Sleep(d)
				l.take()
			}
		}
		for !l.commit(deliver) {
			select {
			case <-time.After(storeRetry):
				l.take()
			case <-stop:
				l.abandon(deliver)
			}
		}
	}
}

// wait returns when there is something to commit; false: nothing more will come. What is patient waits a moment for what somebody waits for, and goes
// along with it: half of all syncs are saved when messages come one by one.
func (l *lane) wait() bool {
	if len(l.batch) > 0 {
		return true
	}
	var patience <-chan time.Time
	for {
		l.mu.Lock()
		waiting, hurried, closed := len(l.queue), l.hurried, l.closed
		l.mu.Unlock()
		switch {
		case hurried, waiting >= patientMost, closed && waiting > 0:
			return true
		case closed:
			return false
		case waiting > 0 && patience == nil:
			l.timer.Reset(patienceTime)
			patience = l.timer.C
		}
		select {
		case <-l.wake:
		case <-patience:
			return true
		}
	}
}

// take moves what waits into the batch, as far as a group goes.
func (l *lane) take() {
	l.mu.Lock()
	defer l.mu.Unlock()
	bytes := 0
	for _, p := range l.batch {
		bytes += p.bytes
	}
	n := 0
	for n < len(l.queue) && len(l.batch)+n < MaxGroup && (bytes+l.queue[n].bytes <= MaxGroupBytes || len(l.batch)+n == 0) {
		bytes += l.queue[n].bytes
		n++
	}
	l.batch = append(l.batch, l.queue[:n]...)
	rest := copy(l.queue, l.queue[n:])
	clear(l.queue[rest:])
	l.queue = l.queue[:rest]
	l.hurried = rest > 0
}

// commit writes the batch and tells everybody; false when something in it must be tried again, which is then the batch.
func (l *lane) commit(deliver func([]result)) bool {
	now := time.Now()
	l.started, l.last = now, len(l.batch)
	l.changes, l.results = l.changes[:0], l.results[:0]
	later := map[*proposal]*Message{} // the same PUBLISH twice in one group
	written := l.batch[:0:0]
	for _, p := range l.batch {
		if known, first := l.origins.seen(p, now); first != nil {
			later[p] = first
		} else if !known.IsZero() {
			l.results = append(l.results, result{p, &Known{known}})
		} else {
			l.changes = append(l.changes, p.change)
			written = append(written, p)
		}
	}
	var errs []error
	if len(l.changes) > 0 {
		errs = l.store.Commit(context.Background(), l.changes)
		l.stats.commit(time.Since(now), len(l.changes))
	}
	var retry []*proposal
	for i, p := range written {
		var err error
		if errs != nil {
			err = errs[i]
		}
		p.change.Entries = l.changes[i].Entries
		if next := l.judge(p, err, now); next != nil {
			retry = append(retry, next)
			continue
		}
		l.results = append(l.results, result{p, err})
	}
	for p, first := range later {
		if first.Rev == 0 {
			l.results = append(l.results, result{p, errors.New("the same publish was refused in this group")})
		} else {
			l.results = append(l.results, result{p, &Known{first.ID}})
		}
	}
	l.origins.settle()
	deliver(l.results)
	clear(l.batch)
	l.batch = append(l.batch[:0], retry...)
	for _, p := range retry {
		if p.change.Message == nil || p.change.Message.Rev != 0 || !p.change.Message.Settled() {
			return false // the store failed; what is merely another record for it can go at once
		}
	}
	return true
}

// judge returns the proposal that must be made instead of p, or nil when err is its answer.
func (l *lane) judge(p *proposal, err error, now time.Time) *proposal {
	if err == nil {
		return nil
	}
	var known *Known
	var over *sms.OverLimit
	switch {
	case errors.Is(err, ErrConflict), errors.Is(err, ErrDisk), errors.As(err, &known), errors.Is(err, sms.ErrTaken), errors.As(err, &over):
		return nil
	case errors.Is(err, ErrFull) && p.change.Message.Root == RootMO:
		return nil // whoever brought it finds another place
	case errors.Is(err, ErrFull):
		m := p.change.Message
		fx := m.Accept(now, InboxFull)
		p.change = Change{Message: m, Entries: m.receipts(fx.Tell, now)}
		return p
	case p.acceptor != nil || p.answer != nil:
		return nil // the caller can be told
	}
	if now.Sub(l.complained) > time.Second {
		l.complained = now
		l.log.Error().Err(err).Msg("the store fails; what it must not lose is tried again")
	}
	return p
}

// abandon answers what could not be stored before the end.
func (l *lane) abandon(deliver func([]result)) {
	l.results = l.results[:0]
	for _, p := range l.batch {
		l.results = append(l.results, result{p, ErrStopped})
	}
	deliver(l.results)
	l.batch = l.batch[:0]
}
