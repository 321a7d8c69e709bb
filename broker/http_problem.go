package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/rs/zerolog"
)

// A Problem is how HTTP answers what went wrong (RFC 9457). Code is one stable word.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Code   string `json:"code"`
}

func (p *Problem) Error() string {
	if p.Detail == "" {
		return p.Title
	}
	return p.Title + ": " + p.Detail
}

// The words of Problem.Code.
const (
	CodeBadRequest   = "bad_request"
	CodeUnauthorized = "unauthorized"
	CodeForbidden    = "forbidden"
	CodeInsecure     = "insecure"
	CodeTooMany      = "too_many"
	CodeNotFound     = "not_found"
	CodeExists       = "exists"
	CodeTooLate      = "too_late"
	CodeRefused      = "refused"
	CodeInternal     = "internal"
	CodeUnavailable  = "unavailable"
)

func problem(status int, code, format string, args ...any) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...), Code: code}
}

func badRequest(format string, args ...any) *Problem {
	return problem(http.StatusBadRequest, CodeBadRequest, format, args...)
}

// A route answers a request, or returns why it did not: a *Problem, or an error of ours, which the client is not told.
type route func(w http.ResponseWriter, r *http.Request) error

func (h route) handler(log zerolog.Logger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		var p *Problem
		if !errors.As(err, &p) {
			log.Error().Err(err).Str("method", r.Method).Str("route", r.Pattern).Msg("a request failed")
			p = problem(http.StatusInternalServerError, CodeInternal, "the broker's log says why")
		}
		writeProblem(w, p)
	}
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	writeBody(w, p.Status, p)
}

func answer(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	writeBody(w, status, v)
	return nil
}

// writeBody ignores the error of a client that is gone.
func writeBody(w http.ResponseWriter, status int, v any) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

const maxBody = 64 << 10

// readBody reads one JSON object; unknown fields are refused. No body is an empty object.
func readBody(w http.ResponseWriter, r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil && d.Decode(&struct{}{}) != io.EOF {
		err = errors.New("there is more than one JSON object")
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return problem(http.StatusRequestEntityTooLarge, CodeBadRequest, "the body is larger than %d bytes", maxBody)
	}
	if err != nil {
		return badRequest("the body is not what is expected: %v", err)
	}
	return nil
}
