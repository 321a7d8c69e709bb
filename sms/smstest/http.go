package smstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// event is a DLR or an MO on its way to a gateway.
type event struct {
	Seq     int       `json:"seq"`
	Kind    string    `json:"kind"`
	Gateway string    `json:"gateway,omitempty"`
	ID      string    `json:"id"`
	Ref     *sms.Ref  `json:"ref,omitempty"`
	Segment int       `json:"segment,omitempty"`
	State   string    `json:"state,omitempty"`
	From    string    `json:"from,omitempty"`
	To      string    `json:"to,omitempty"`
	Text    string    `json:"text,omitempty"`
	At      time.Time `json:"at"`
}

// The kinds of events, and the states of DLRs.
const (
	dlr = "dlr"
	mo  = "mo"

	enroute     = "ACCEPTD"
	delivered   = "DELIVRD"
	undelivered = "UNDELIV"
)

// content is the body of a submit.
type content struct {
	Text string `json:"text"`
}

// answer is the body of an answer to a submit.
type answer struct {
	ID    string        `json:"id,omitempty"`
	Code  string        `json:"code,omitempty"`
	Text  string        `json:"text,omitempty"`
	After time.Duration `json:"after,omitempty"` // in nanoseconds
}

const (
	maxText = 4 << 10          // octets: a segment has fewer
	poll    = 20 * time.Second // how long GET /events waits for something to say
	early   = 5 * time.Second  // how long an answer waits for its DLR to be taken
)

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /submit", s.submit)
	mux.HandleFunc("GET /events", s.next)
	mux.HandleFunc("POST /ack", s.ack)
	mux.HandleFunc("GET /log", s.dump)
	mux.HandleFunc("POST /mo", s.phone)
	mux.HandleFunc("POST /fault", s.meddle)
	return mux
}

// submit takes a segment. What it is stands in the query, so that a fault is decided before the text is read.
func (s *Server) submit(w http.ResponseWriter, r *http.Request) {
	in, err := received(r.URL.Query())
	if err != nil {
		reply(w, http.StatusUnprocessableEntity, answer{Code: "malformed", Text: err.Error()})
		return
	}
	f := s.fault(in)
	if f.Submit == Refuse {
		abort(w)
		return
	}
	var c content
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxText)).Decode(&c); err != nil {
		abort(w)
		return
	}
	if in.Text = c.Text; !fits(in) {
		reply(w, http.StatusUnprocessableEntity, answer{Code: "0x01", Text: "the segment is larger than a TPDU"})
		return
	}
	if status, a := refusal(f); status != 0 {
		reply(w, status, a)
		return
	}
	if f.Submit == Lose {
		abort(w)
		return
	}
	id, last := s.take(in, f)
	if f.DLR == Early {
		s.acknowledged(r.Context(), last)
	}
	if f.Submit == Swallow {
		abort(w)
		return
	}
	if f.Submit == Slow {
		wait(r.Context(), f.For)
	}
	reply(w, http.StatusOK, answer{ID: id})
}

// received reads a segment from a query, all but its text.
func received(q url.Values) (r Received, err error) {
	number := func(name string) int {
		n, e := strconv.Atoi(q.Get(name))
		if e != nil && err == nil {
			err = fmt.Errorf("%s is no number", name)
		}
		return n
	}
	r = Received{Gateway: q.Get("gateway"), From: q.Get("from"), To: q.Get("to"), Coding: q.Get("coding"), Validity: q.Get("validity"),
		Attempt: number("attempt"), Segment: number("segment"), Count: number("count"), echo: q.Get("echo") != ""}
	if e := r.Ref.UnmarshalText([]byte(q.Get("ref"))); e != nil {
		err = errors.Join(err, e)
	}
	if _, e := contacts.ParseNumber(r.To); e != nil {
		err = errors.Join(err, e)
	}
	if r.Segment < 1 || r.Segment > r.Count {
		err = errors.Join(err, fmt.Errorf("there is no segment %d of %d", r.Segment, r.Count))
	}
	return r, err
}

// fits reports whether the text is one segment in its coding, beside the UDH when there are several.
func fits(r Received) bool {
	coding, limit := sms.GSM7, 160
	if r.Count > 1 {
		limit = 153
	}
	if r.Coding == sms.UCS2.String() {
		coding, limit = sms.UCS2, 140
		if r.Count > 1 {
			limit = 134
		}
	}
	octets, err := sms.Encode(r.Text, coding)
	return err == nil && len(octets) <= limit
}

// refusal returns the answer of a fault that refuses; 0: it does not.
func refusal(f Fault) (status int, a answer) {
	switch f.Submit {
	case Throttle:
		return http.StatusTooManyRequests, answer{Code: "0x58", Text: "too fast", After: f.For}
	case Busy:
		return http.StatusServiceUnavailable, answer{Code: "0x08", Text: "system error"}
	case Reject:
		return http.StatusUnprocessableEntity, answer{Code: "0x0b", Text: "invalid destination"}
	case Lock:
		return http.StatusUnauthorized, answer{Code: "0x0e", Text: "wrong password"}
	}
	return 0, a
}

// acknowledged waits until the event was taken, or for a while.
func (s *Server) acknowledged(ctx context.Context, seq int) {
	ctx, cancel := context.WithTimeout(ctx, early)
	defer cancel()
	_ = s.await(ctx, func() bool { return !slices.ContainsFunc(s.events, func(e event) bool { return e.Seq == seq }) })
}

// next gives a gateway what waits for it, as soon as there is something.
func (s *Server) next(w http.ResponseWriter, r *http.Request) {
	gateway := r.URL.Query().Get("gateway")
	ctx, cancel := context.WithTimeout(r.Context(), poll)
	defer cancel()
	waiting := []event{}
	_ = s.await(ctx, func() bool {
		if s.first == "" {
			s.first = gateway
		}
		for _, e := range s.events {
			if e.Gateway == gateway || e.Kind == mo && s.first == gateway {
				waiting = append(waiting, e)
			}
		}
		return len(waiting) > 0
	})
	reply(w, http.StatusOK, waiting)
}

// ack forgets events that a sink has taken.
func (s *Server) ack(w http.ResponseWriter, r *http.Request) {
	taken := map[string]bool{}
	for _, seq := range r.URL.Query()["seq"] {
		taken[seq] = true
	}
	s.change(func() {
		s.events = slices.DeleteFunc(s.events, func(e event) bool { return taken[strconv.Itoa(e.Seq)] })
	})
	w.WriteHeader(http.StatusNoContent)
}

// dump writes the log, one object a line.
func (s *Server) dump(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/jsonl")
	out := json.NewEncoder(w)
	for _, r := range s.Received() {
		if out.Encode(r) != nil {
			return // the reader has gone
		}
	}
}

// phone has a phone answer.
func (s *Server) phone(w http.ResponseWriter, r *http.Request) {
	from, err1 := contacts.ParseNumber(r.URL.Query().Get("from"))
	to, err2 := contacts.ParseNumber(r.URL.Query().Get("to"))
	text, err3 := io.ReadAll(http.MaxBytesReader(w, r.Body, maxText))
	if err := errors.Join(err1, err2, err3); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	reply(w, http.StatusOK, answer{ID: s.MO(from, to, string(text))})
}

// meddle is Next and, with n=0, Clear.
func (s *Server) meddle(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	n, err := strconv.Atoi(q.Get("n"))
	f := Fault{Submit: Submit(q.Get("submit")), DLR: Report(q.Get("dlr"))}
	if d := q.Get("for"); d != "" && err == nil {
		f.For, err = time.ParseDuration(d)
	}
	switch {
	case err != nil || !f.valid():
		http.Error(w, "want n=<segments>, submit=, dlr= (words of package smstest) and for=<duration>", http.StatusBadRequest)
		return
	case n == 0:
		s.Clear()
	default:
		s.Next(n, f)
	}
	w.WriteHeader(http.StatusNoContent)
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // whoever asked has gone
}

// abort closes the connection without an answer, and without reading on, as a panic with http.ErrAbortHandler would.
func abort(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	conn.Close()
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
