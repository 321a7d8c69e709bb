package smstest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Control lets another process look and meddle over HTTP. Bodies are JSON:
//
//	GET  /log         the segments that were taken, a Submitted a line
//	GET  /tries       all submits
//	GET  /violations  strings, one a line
//	GET  /deliveries  a Delivery a line
//	GET  /sessions    a Session a line
//	POST /mo          an MO; ?wait=5s: answers with the command_status of each deliver_sm once they are there
//	POST /fault       an SMPPFault; ?n=: for so many submits, negative for all, 0 ends all faults
//	POST /bind        a BindFault; ?n=: for so many binds
//	POST /do          ?what=: an Instead, to all connections
//	POST /hold, /release, /stop, /start
func (s *SMPP) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /log", func(w http.ResponseWriter, _ *http.Request) { lines(w, s.Submits()) })
	mux.HandleFunc("GET /tries", func(w http.ResponseWriter, _ *http.Request) { lines(w, s.Tries()) })
	mux.HandleFunc("GET /violations", func(w http.ResponseWriter, _ *http.Request) { lines(w, s.Violations()) })
	mux.HandleFunc("GET /deliveries", func(w http.ResponseWriter, _ *http.Request) { lines(w, s.Deliveries()) })
	mux.HandleFunc("GET /sessions", func(w http.ResponseWriter, _ *http.Request) { lines(w, s.Sessions()) })
	mux.HandleFunc("POST /mo", s.postMO)
	mux.HandleFunc("POST /fault", s.postFault)
	mux.HandleFunc("POST /bind", s.postBind)
	act := func(do func() error) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { done(w, do()) }
	}
	mux.HandleFunc("POST /do", func(w http.ResponseWriter, r *http.Request) {
		what := Instead(r.URL.Query().Get("what"))
		err := SMPPFault{Instead: what}.check()
		if err == nil {
			s.Do(what)
		}
		done(w, err)
	})
	mux.HandleFunc("POST /hold", act(func() error { s.Hold(); return nil }))
	mux.HandleFunc("POST /release", act(func() error { s.Release(); return nil }))
	mux.HandleFunc("POST /stop", act(func() error { s.Stop(); return nil }))
	mux.HandleFunc("POST /start", act(s.Start))
	return mux
}

// lines writes one JSON value a line.
func lines[T any](w http.ResponseWriter, all []T) {
	w.Header().Set("Content-Type", "application/jsonl")
	out := json.NewEncoder(w)
	for _, v := range all {
		if out.Encode(v) != nil {
			return // the reader has gone
		}
	}
}

// done answers a POST that has nothing to say.
func done(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// parse reads a JSON value, strictly.
func parse[T any](w http.ResponseWriter, r *http.Request) (v T, err error) {
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	in.DisallowUnknownFields()
	if err := in.Decode(&v); err != nil {
		return v, fmt.Errorf("the body is no %T: %w", v, err)
	}
	return v, nil
}

// count reads n of the query.
func count(r *http.Request) (n int, err error) {
	if _, err := fmt.Sscanf(r.URL.Query().Get("n"), "%d", &n); err != nil {
		return 0, fmt.Errorf("want ?n=<number>, not %q", r.URL.Query().Get("n"))
	}
	return n, nil
}

func (s *SMPP) postMO(w http.ResponseWriter, r *http.Request) {
	m, err := parse[MO](w, r)
	if err != nil {
		done(w, err)
		return
	}
	limit := r.URL.Query().Get("wait")
	if limit == "" {
		id, err := s.Send(m)
		if err != nil {
			done(w, err)
			return
		}
		reply(w, http.StatusOK, answer{ID: id})
		return
	}
	d, err := time.ParseDuration(limit)
	if err != nil {
		done(w, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), d)
	defer cancel()
	statuses, err := s.MO(ctx, m)
	if err != nil {
		http.Error(w, err.Error(), http.StatusGatewayTimeout)
		return
	}
	reply(w, http.StatusOK, statuses)
}

func (s *SMPP) postFault(w http.ResponseWriter, r *http.Request) {
	n, err := count(r)
	if err == nil && n == 0 {
		s.Clear()
		done(w, nil)
		return
	}
	var f SMPPFault
	if err == nil {
		f, err = parse[SMPPFault](w, r)
	}
	if err == nil {
		err = f.check()
	}
	if err == nil {
		s.Next(n, f)
	}
	done(w, err)
}

func (s *SMPP) postBind(w http.ResponseWriter, r *http.Request) {
	n, err := count(r)
	var f BindFault
	if err == nil {
		f, err = parse[BindFault](w, r)
	}
	if err == nil {
		err = SMPPFault{Instead: f.Instead}.check()
	}
	if err == nil {
		s.NextBind(n, f)
	}
	done(w, err)
}
