package smstest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// SMPPOptions say how an SMPP server behaves. The zero value takes everybody, and everything that keeps to SMPP 3.4.
type SMPPOptions struct {
	Addr               string      // to listen on; empty: a free port of the loopback
	SystemID, Password string      // who may bind; empty: anybody, with any password
	TLS                *tls.Config // nil: plain TCP
	Log                io.Writer   // gets a line for each PDU, without texts, passwords and whole numbers; nil: none

	Window       int           // unanswered submits of one connection, above which they are refused; 0: no limit
	WindowStatus uint32        // with which command_status; 0: 0x58
	Rate         float64       // submits a second of all connections, a tenth of them at once, above which they are refused with 0x58; 0: no limit
	Latency      time.Duration // how long each submit takes to be answered

	FirstID    uint64        // the first message id; 0: one that cannot be read as decimal when it is written as hexadecimal
	ResponseID IDForm        // how ids are written in responses
	Receipt    Receipt       // how receipts are written
	Bind       time.Duration // how long a connection may take to bind; 0: 10 s
	Idle       time.Duration // a connection from which nothing came for so long is cut; 0: never
	Enquire    time.Duration // how often the server sends enquire_link; 0: never
	Response   time.Duration // how long the server waits for a response; 0: 5 s
	Retry      time.Duration // how long after a refusal, or after Response, a deliver_sm is sent again; 0: 100 ms
	Deliveries int           // unanswered deliver_sm of one connection; 0: 10
}

// An SMPP is an SMSC that speaks SMPP 3.4. It is strict: what a client does against the standard is refused as the standard says, and
// written down as a violation. What it took, and what waits to be delivered, outlives connections and Stop.
type SMPP struct {
	Addr string // host:port, the same after each Start

	o      SMPPOptions
	served sync.WaitGroup // the goroutines of one Start
	limit  *rate.Limiter
	logMu  sync.Mutex

	board
	listener   net.Listener
	sessions   map[int]*session // those that are connected
	past       []Session        // those that were
	connected  int              // counts connections
	log        []Submitted      // all submits, taken or not
	taken      int
	faults     []smppFaults
	decide     func(Submitted) SMPPFault
	binds      []bindFaults
	violations []string
	groups     map[string]group // what was taken of concatenated messages
	nextID     uint64
	held       bool
	deliveries []*delivery // all
	queue      queue       // those that are to be sent
	references uint16      // of long MOs
}

// NewSMPP starts a server; it panics when it cannot listen. Close stops it.
func NewSMPP(o SMPPOptions) *SMPP {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	s := newSMPP(o)
	if err := s.Start(); err != nil {
		panic(err.Error())
	}
	return s
}

// ServeSMPP is a server on listeners of one's own, for a process that is nothing else: control is where HTTP requests look and meddle, as
// SMPP.Control has them. It returns when control fails or is closed.
func ServeSMPP(l, control net.Listener, o SMPPOptions) error {
	s := newSMPP(o)
	s.serve(l)
	defer s.Close()
	web := &http.Server{Handler: s.Control(), ReadHeaderTimeout: 10 * time.Second}
	defer web.Close()
	if err := web.Serve(control); !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("smstest: control on %s: %w", control.Addr(), err)
	}
	return nil
}

func newSMPP(o SMPPOptions) *SMPP {
	orDefault(&o.WindowStatus, statusThrottled)
	orDefault(&o.Bind, 10*time.Second)
	orDefault(&o.Response, 5*time.Second)
	orDefault(&o.Retry, 100*time.Millisecond)
	orDefault(&o.Deliveries, 10)
	orDefault(&o.Log, io.Discard)
	if o.FirstID == 0 {
		var random [3]byte
		rand.Read(random[:])
		o.FirstID = 0xA<<28 | uint64(random[0])<<20 | uint64(random[1])<<12
	}
	if err := errors.Join(o.ResponseID.check(), o.Receipt.check()); err != nil {
		panic("smstest: " + err.Error())
	}
	s := &SMPP{Addr: o.Addr, o: o, board: newBoard(), sessions: map[int]*session{}, groups: map[string]group{}, nextID: o.FirstID}
	if o.Rate > 0 {
		s.limit = rate.NewLimiter(rate.Limit(o.Rate), max(1, int(o.Rate/10)))
	}
	return s
}

func orDefault[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// Start listens again at Addr after Stop. What waited to be delivered comes to who binds.
func (s *SMPP) Start() error {
	l, err := net.Listen("tcp", s.Addr)
	if err != nil {
		return fmt.Errorf("smstest: the SMPP server cannot listen: %w", err)
	}
	s.serve(l)
	return nil
}

func (s *SMPP) serve(l net.Listener) {
	if addr := l.Addr().String(); addr != s.Addr { // after Stop others may be reading it
		s.Addr = addr
	}
	if s.o.TLS != nil {
		l = tls.NewListener(l, s.o.TLS)
	}
	s.change(func() { s.listener = l })
	s.served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // by Stop
			}
			s.accept(l, c)
		}
	})
}

func (s *SMPP) accept(l net.Listener, c net.Conn) {
	s.change(func() {
		if s.listener != l {
			c.Close() // Stop was quicker
			return
		}
		s.connected++
		x := newSession(s, s.connected, c)
		s.sessions[x.ID] = x
		s.served.Go(x.run)
	})
}

// Stop closes the port and cuts all connections. What was submitted and what waits to be delivered stays.
func (s *SMPP) Stop() {
	s.change(func() {
		if s.listener != nil {
			s.listener.Close()
		}
		s.listener = nil
		for _, x := range s.sessions {
			x.cut(false)
		}
	})
	s.served.Wait()
}

// Close stops the server. What it knows can still be read.
func (s *SMPP) Close() { s.Stop() }

// Submits returns the segments that were taken, in their order.
func (s *SMPP) Submits() []Submitted {
	return slices.DeleteFunc(s.Tries(), func(r Submitted) bool { return !r.Taken })
}

// Tries returns all submits that came, those that were refused or forgotten too, in their order.
func (s *SMPP) Tries() (all []Submitted) {
	s.look(func() { all = slices.Clone(s.log) })
	return all
}

// Wait waits until n segments were taken, and returns all.
func (s *SMPP) Wait(ctx context.Context, n int) ([]Submitted, error) {
	err := s.await(ctx, func() bool { return s.taken >= n })
	got := s.Submits()
	if err != nil {
		return got, fmt.Errorf("%d segments were taken, not %d: %w", len(got), n, err)
	}
	return got, nil
}

// Violations returns what clients did against the standard, one sentence each. There is no number in full in it.
func (s *SMPP) Violations() (all []string) {
	s.look(func() { all = slices.Clone(s.violations) })
	return all
}

// A Session is a connection, as the server saw it.
type Session struct {
	ID       int    `json:"id"`      // counts connections from 1
	Command  string `json:"command"` // by which it is bound; empty: it is not
	SystemID string `json:"system_id"`
	Type     string `json:"system_type,omitempty"`
	Version  byte   `json:"interface_version"`
	Open     int    `json:"open"` // submits that are not answered
	Most     int    `json:"most"` // that there ever were
	Submits  int    `json:"submits"`
	Enquired int    `json:"enquired"` // enquire_link that came
	Nacks    int    `json:"nacks"`    // generic_nack that came
	Unbound  bool   `json:"unbound"`  // by an unbind of the client
	Gone     bool   `json:"gone"`     // the connection has ended
}

// Sessions returns all connections, those that ended too, in their order.
func (s *SMPP) Sessions() (all []Session) {
	s.look(func() {
		all = slices.Clone(s.past)
		for _, x := range s.sessions {
			all = append(all, x.Session)
		}
	})
	slices.SortFunc(all, func(a, b Session) int { return a.ID - b.ID })
	return all
}

// Bound waits until n connections are bound at once, those that are silent not counted.
func (s *SMPP) Bound(ctx context.Context, n int) error {
	bound := 0
	err := s.await(ctx, func() bool {
		bound = 0
		for _, x := range s.sessions {
			if x.Command != "" && !x.silent {
				bound++
			}
		}
		return bound == n
	})
	if err != nil {
		return fmt.Errorf("%d connections are bound, not %d: %w", bound, n, err)
	}
	return nil
}

// violation writes down what a client did against the standard. The lock is held.
func (s *SMPP) violation(conn int, format string, args ...any) {
	const enough = 10000 // a client that does nothing right need not fill the memory
	if len(s.violations) < enough {
		s.violations = append(s.violations, fmt.Sprintf("connection %d: ", conn)+fmt.Sprintf(format, args...))
	}
}

// logf writes a line to the log.
func (s *SMPP) logf(format string, args ...any) {
	if s.o.Log == io.Discard {
		return
	}
	s.logMu.Lock()
	defer s.logMu.Unlock()
	fmt.Fprintf(s.o.Log, time.Now().Format("15:04:05.000 ")+format+"\n", args...)
}

// live returns the connections, oldest first. The lock is held.
func (s *SMPP) live() []*session {
	return slices.SortedFunc(maps.Values(s.sessions), func(a, b *session) int { return a.ID - b.ID })
}
