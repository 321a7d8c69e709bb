// Package smstest has SMSCs for tests, on real ports, with faults on demand: like net/http/httptest, a test is a real exchange in 20 lines.
// What was taken stands in a log that outlives whoever submitted it, and is what a test counts SMS by. Receipts (DLRs) and answers of phones
// (MOs) wait until they were taken, and come again until then: at least once.
//
// SMPP is a strict SMSC that speaks SMPP 3.4. It shares no code for it with the gateway that is tested, so that both cannot be wrong alike.
//
// Server speaks a small protocol of its own over HTTP, and Gateway is the way to it: POST /submit, GET /events, POST /ack for the gateway;
// GET /log (one JSON object a line), POST /mo?from=&to= with the text as body, POST /fault?n=&submit=&dlr=&for= for people.
//
// Both may be a process of their own, which curl can look at and meddle with while another process is under test: Serve, ServeSMPP.
package smstest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// Received is a segment that the server took.
type Received struct {
	ID       string    `json:"id"`
	Gateway  string    `json:"gateway"` // by which it came
	Ref      sms.Ref   `json:"ref"`
	Attempt  int       `json:"attempt"`
	Segment  int       `json:"segment"`
	Count    int       `json:"count"`
	From     string    `json:"from,omitempty"`
	To       string    `json:"to"`
	Text     string    `json:"text"` // of this segment
	Coding   string    `json:"coding"`
	Validity string    `json:"validity,omitempty"`
	At       time.Time `json:"at"`
	Fault    Submit    `json:"fault,omitempty"` // what the server did with it besides taking it

	echo bool
}

// A Server is an SMSC.
type Server struct {
	URL string // http://127.0.0.1:port

	http   *http.Server
	served sync.WaitGroup
	run    string // makes the ids of this server different from those of others

	board
	faults []faults
	decide func(Received) Fault
	log    []Received
	mos    []Text
	events []event // DLRs and MOs that no sink has taken
	count  int     // of ids and events
	first  string  // the gateway that asked first for events: it gets the MOs
}

// A Text is an SMS that a phone sent.
type Text struct{ From, To, Text string }

// faults is a fault for the next n segments; negative: for all.
type faults struct {
	n int
	Fault
}

// NewServer starts a server on a free port of the loopback; it panics when there is none. Close stops it.
func NewServer() *Server {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(fmt.Sprintf("smstest: no port to listen on: %v", err))
	}
	s := newServer(l)
	s.served.Go(func() { _ = s.http.Serve(l) }) // ends by Close, and says nothing else
	return s
}

// Serve is a server on a listener of one's own, for a process that is nothing else. It returns when the listener fails or is closed.
func Serve(l net.Listener) error {
	s := newServer(l)
	defer s.http.Close()
	if err := s.http.Serve(l); !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("smstest on %s: %w", l.Addr(), err)
	}
	return nil
}

func newServer(l net.Listener) *Server {
	var run [4]byte
	rand.Read(run[:])
	s := &Server{URL: "http://" + l.Addr().String(), run: hex.EncodeToString(run[:]), board: newBoard()}
	s.http = &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	return s
}

// Close stops the server and cuts its connections. Its log can still be read.
func (s *Server) Close() {
	s.http.Close()
	s.served.Wait()
}

// Gateway returns a gateway to the server.
func (s *Server) Gateway(name string) *Gateway { return NewGateway(name, s.URL) }

// Next has the next n segments meet a fault, after those of earlier calls; negative n: all, until Clear.
func (s *Server) Next(n int, f Fault) {
	if !f.valid() {
		panic(fmt.Sprintf("smstest: there is no fault %+v", f))
	}
	s.change(func() {
		if n != 0 {
			s.faults = append(s.faults, faults{n, f})
		}
	})
}

// On has decide say which fault a segment meets, when Next has none for it. The text is not known then. It is called by one goroutine at a time.
func (s *Server) On(decide func(Received) Fault) { s.change(func() { s.decide = decide }) }

// Clear ends all faults.
func (s *Server) Clear() { s.change(func() { s.faults, s.decide = nil, nil }) }

// Received returns all segments that were taken, in their order.
func (s *Server) Received() []Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// Wait waits until n segments were taken, and returns all.
func (s *Server) Wait(ctx context.Context, n int) ([]Received, error) {
	err := s.await(ctx, func() bool { return len(s.log) >= n })
	got := s.Received()
	if err != nil {
		return got, fmt.Errorf("%d segments were taken, not %d: %w", len(got), n, err)
	}
	return got, nil
}

// MO has a phone send a text to one of our own numbers, and returns its id. It comes through the gateway that ran first, until its sink has taken it.
func (s *Server) MO(from, to contacts.Number, text string) (id string) {
	s.change(func() {
		id = s.id()
		s.mos = append(s.mos, Text{From: string(from), To: string(to), Text: text})
		s.emit(event{Kind: mo, ID: id, From: string(from), To: string(to), Text: text})
	})
	return id
}

// MOs returns all SMS that phones sent, in their order.
func (s *Server) MOs() []Text {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mos)
}

// Quiet waits until every DLR and MO so far was taken.
func (s *Server) Quiet(ctx context.Context) error {
	open := 0
	if err := s.await(ctx, func() bool { open = len(s.events); return open == 0 }); err != nil {
		return fmt.Errorf("%d DLRs and MOs were not taken: %w", open, err)
	}
	return nil
}

// id returns a new id. The lock is held.
func (s *Server) id() string {
	s.count++
	return fmt.Sprintf("%s%06d", s.run, s.count)
}

// emit queues an event. The lock is held.
func (s *Server) emit(e event) {
	s.count++
	e.Seq, e.At = s.count, time.Now()
	s.events = append(s.events, e)
}

// fault returns what a segment meets.
func (s *Server) fault(r Received) (f Fault) {
	s.change(func() {
		if len(s.faults) > 0 {
			f = s.faults[0].Fault
			if s.faults[0].n--; s.faults[0].n == 0 {
				s.faults = s.faults[1:]
			}
			return
		}
		if s.decide != nil {
			f = s.decide(r)
		}
	})
	return f
}

// take puts a segment into the log and its DLRs on their way. It returns the id of the segment and the number of its last DLR.
func (s *Server) take(r Received, f Fault) (id string, last int) {
	s.change(func() {
		r.ID, r.At, r.Fault = s.id(), time.Now(), f.Submit
		s.log = append(s.log, r)
		for _, state := range f.DLR.states() {
			e := event{Kind: dlr, Gateway: r.Gateway, ID: r.ID, State: state}
			if r.echo {
				e.Ref, e.Segment = &r.Ref, r.Segment
			}
			s.emit(e)
		}
		id, last = r.ID, s.count
	})
	return id, last
}
