package killloop

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Pair is a sender and a receiver, by number.
type Pair struct{ Sender, Receiver int }

func (p Pair) String() string { return fmt.Sprintf("sender %d to receiver %d,", p.Sender, p.Receiver) }

// A Ledger books what was acknowledged and what arrived, and finds the violations.
type Ledger struct {
	mu       sync.Mutex
	pairs    map[Pair]*account
	report   Report
	waiting  int           // acknowledged, not arrived
	complete chan struct{} // closed when waiting is 0; nil: nobody asked
	moved    uint64
}

type account struct {
	acked   map[uint64]bool
	arrived map[uint64]string // the broker's id on first delivery
	highest uint64            // one above the highest that has arrived
}

// A Report is what a kill loop found. Everything from Lost on is a violation.
type Report struct {
	Seed         uint64        `json:"seed"`
	Kills        int           `json:"kills"`
	SlowestStart time.Duration `json:"slowest_start_ns"`
	Acknowledged int           `json:"acknowledged"`
	Resent       int           `json:"resent"`
	Arrived      int           `json:"arrived"` // distinct
	Copies       int           `json:"copies"`  // arrived again under the same id
	Dropped      int           `json:"dropped"` // connections that ended although nobody was killed
	Lost         int           `json:"lost"`
	OutOfOrder   int           `json:"out_of_order"`
	CreatedTwice int           `json:"created_twice"`
	Misrouted    int           `json:"misrouted"`
	SessionsLost int           `json:"sessions_lost"`
	Refused      int           `json:"refused"`
	Strange      int           `json:"strange"`            // PUBACKs for nothing that was in flight
	Examples     []string      `json:"examples,omitempty"` // the first few of each kind
}

const maxExamples = 5

// NewLedger returns an empty ledger.
func NewLedger() *Ledger { return &Ledger{pairs: map[Pair]*account{}} }

func (l *Ledger) account(p Pair) *account {
	if l.pairs[p] == nil {
		l.pairs[p] = &account{acked: map[uint64]bool{}, arrived: map[uint64]string{}}
	}
	return l.pairs[p]
}

func (l *Ledger) violation(count *int, format string, args ...any) {
	*count++
	if *count <= maxExamples {
		l.report.Examples = append(l.report.Examples, fmt.Sprintf(format, args...))
	}
}

// Acknowledged books the PUBACK for a message.
func (l *Ledger) Acknowledged(p Pair, seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moved++
	a := l.account(p)
	if a.acked[seq] {
		return
	}
	a.acked[seq] = true
	l.report.Acknowledged++
	if _, ok := a.arrived[seq]; !ok {
		l.waiting++
	}
}

// Refused books a PUBACK with a reason that says no.
func (l *Ledger) Refused(p Pair, seq uint64, reason byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moved++
	l.violation(&l.report.Refused, "%v message %d was refused with 0x%02X", p, seq, reason)
}

// Strange books a PUBACK for a packet identifier that is not in use.
func (l *Ledger) Strange(sender int, packet uint16) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.violation(&l.report.Strange, "sender %d got a PUBACK for packet identifier %d, which is not in use", sender, packet)
}

// Arrived books a delivery; id is the broker's, "" where it gives none.
func (l *Ledger) Arrived(p Pair, seq uint64, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moved++
	a := l.account(p)
	if first, again := a.arrived[seq]; again {
		l.report.Copies++
		if first != id {
			l.violation(&l.report.CreatedTwice, "%v message %d arrived as %s and as %s", p, seq, first, id)
		}
		return
	}
	a.arrived[seq] = id
	l.report.Arrived++
	if seq+1 < a.highest {
		l.violation(&l.report.OutOfOrder, "%v message %d arrived first after message %d", p, seq, a.highest-1)
	}
	a.highest = max(a.highest, seq+1)
	if a.acked[seq] {
		l.waiting--
		l.check()
	}
}

// Misrouted books a delivery to a receiver that it was not for.
func (l *Ledger) Misrouted(receiver int, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.violation(&l.report.Misrouted, "receiver %d got %q", receiver, what)
}

// SessionLost books a CONNACK without session present where there had been a session with a subscription.
func (l *Ledger) SessionLost(receiver int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.violation(&l.report.SessionsLost, "receiver %d was told that it had no session", receiver)
}

// Complete returns a channel that is closed once everything acknowledged has arrived. Call it when no more acknowledgements come.
func (l *Ledger) Complete() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := make(chan struct{})
	l.complete = c
	l.check()
	return c
}

func (l *Ledger) check() {
	if l.complete != nil && l.waiting == 0 {
		close(l.complete)
		l.complete = nil
	}
}

func (l *Ledger) moves() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.moved
}

// Report counts what is lost by now.
func (l *Ledger) Report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report.Lost = 0
	for p, a := range l.pairs {
		for _, seq := range slices.Sorted(maps.Keys(a.acked)) {
			if _, ok := a.arrived[seq]; !ok {
				l.violation(&l.report.Lost, "%v message %d was acknowledged and never arrived", p, seq)
			}
		}
	}
	return l.report
}

// Check returns an error that names every kind of violation, with examples; a run in which nothing happened is one too.
func (r Report) Check() error {
	var found []string
	for _, v := range []struct {
		name  string
		count int
	}{
		{"lost", r.Lost},
		{"out of order", r.OutOfOrder},
		{"created twice", r.CreatedTwice},
		{"misrouted", r.Misrouted},
		{"sessions lost", r.SessionsLost},
		{"refused", r.Refused},
		{"strange acknowledgements", r.Strange},
	} {
		if v.count > 0 {
			found = append(found, fmt.Sprintf("%s: %d", v.name, v.count))
		}
	}
	switch {
	case len(found) > 0:
		return fmt.Errorf("of %d acknowledged messages over %d kills (seed %d), %s\n%s",
			r.Acknowledged, r.Kills, r.Seed, strings.Join(found, ", "), strings.Join(r.Examples, "\n"))
	case r.Acknowledged == 0:
		return fmt.Errorf("no message was acknowledged over %d kills: nothing was tested", r.Kills)
	}
	return nil
}
