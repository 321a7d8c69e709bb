package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// A Problem is how HTTP answers what went wrong (RFC 9457). Code is one stable word, and Type the page of the documentation about it.
type Problem struct {
	Type   string  `json:"type" format:"uri-reference" doc:"The page of the documentation about this code."`
	Title  string  `json:"title" doc:"The meaning of the status."`
	Status int     `json:"status" minimum:"400" maximum:"599"`
	Detail string  `json:"detail,omitempty" doc:"What was wrong with this request, and what to do."`
	Code   string  `json:"code" doc:"One stable word."`
	Errors []Wrong `json:"errors,omitempty" doc:"Each thing that was wrong, where there may be several."`

	header http.Header // further ones of the answer
}

// A Wrong is one thing that was wrong with a request.
type Wrong struct {
	Location string `json:"location,omitempty" doc:"Where: path.NAME, query.NAME or body.FIELD."`
	Message  string `json:"message"`
}

var _ huma.StatusError = (*Problem)(nil)
var _ huma.ContentTypeFilter = (*Problem)(nil)
var _ huma.HeadersError = (*Problem)(nil)

func (p *Problem) Error() string {
	if p.Detail == "" {
		return p.Title
	}
	return p.Title + ": " + p.Detail
}

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

// With returns the Problem with a further header of the answer.
func (p *Problem) With(name, value string) *Problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(name, value)
	return p
}

// The words of Problem.Code.
const (
	CodeBadRequest   = "bad_request"
	CodeUnauthorized = "unauthorized"
	CodeForbidden    = "forbidden"
	CodeInsecure     = "insecure"
	CodeNotFound     = "not_found"
	CodeMethod       = "method_not_allowed"
	CodeTooLarge     = "too_large"
	CodeMediaType    = "unsupported_media_type"
	CodeTimeout      = "timeout"
	CodeTooMany      = "too_many"
	CodeRateContacts = "rate_contacts"
	CodeExists       = "exists"
	CodeTooLate      = "too_late"
	CodeRefused      = "refused"
	CodeInternal     = "internal"
	CodeUnavailable  = "unavailable"
	CodeStorage      = "storage"
)

// Codes are all of them; docs/errors.md has a section for each.
var Codes = []string{
	CodeBadRequest, CodeUnauthorized, CodeForbidden, CodeInsecure, CodeNotFound, CodeMethod, CodeTooLarge, CodeMediaType, CodeTimeout, CodeTooMany, CodeRateContacts, CodeExists,
	CodeTooLate, CodeRefused, CodeInternal, CodeUnavailable, CodeStorage,
}

// NewProblem returns a Problem whose detail says what was wrong and what to do; it never has a token, a payload or a number in full.
func NewProblem(status int, code, format string, args ...any) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...), Code: code}
}

func badRequest(format string, args ...any) *Problem {
	return NewProblem(http.StatusBadRequest, CodeBadRequest, format, args...)
}

// codeOf is the code of a status where nobody chose one.
func codeOf(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return CodeUnauthorized
	case http.StatusForbidden:
		return CodeForbidden
	case http.StatusNotFound:
		return CodeNotFound
	case http.StatusMethodNotAllowed:
		return CodeMethod
	case http.StatusRequestTimeout:
		return CodeTimeout
	case http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
		return CodeTooLarge
	case http.StatusUnsupportedMediaType:
		return CodeMediaType
	case http.StatusServiceUnavailable:
		return CodeUnavailable
	}
	if status >= 500 {
		return CodeInternal
	}
	return CodeBadRequest
}

// internal is the Problem of an error of ours, which the client is not told.
func internal() *Problem {
	return NewProblem(http.StatusInternalServerError, CodeInternal, "the broker's log says why")
}

// A Handler answers a request, or returns why it did not: a *Problem, or an error of ours, which the client is not told.
type Handler func(w http.ResponseWriter, r *http.Request) error

// handler answers errors with problems.
func (a *API) handler(h Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			a.Fail(w, r, err)
		}
	}
}

// Fail answers with a Problem. An error that is none is logged, and the client learns only that there was one.
func (a *API) Fail(w http.ResponseWriter, r *http.Request, err error) {
	p := a.problemOf(err, r.Method, r.Pattern)
	for name, values := range p.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", problemType)
	writeJSON(w, p.Status, p)
}

// problemOf returns what is told of an error: a copy, with its type.
func (a *API) problemOf(err error, method, route string) *Problem {
	var p *Problem
	if !errors.As(err, &p) {
		a.cfg.Log.Error().Err(err).Str("method", method).Str("route", route).Msg("a request failed")
		p = internal()
	}
	told := *p
	told.Type = a.cfg.PublicURL + "/docs/errors#" + told.Code
	return &told
}

// told is the transformer that makes problems of huma's own errors. The values that were wrong are left out: one may be a token or a text.
func (a *API) told(ctx huma.Context, _ string, v any) (any, error) {
	switch e := v.(type) {
	case *Problem:
		return a.problemOf(e, "", ""), nil
	case *huma.ErrorModel:
		if e.Status >= http.StatusInternalServerError {
			return a.problemOf(huma500(e), ctx.Operation().Method, ctx.Operation().Path), nil
		}
		p := NewProblem(e.Status, codeOf(e.Status), "%s", e.Detail)
		if e.Status == http.StatusUnprocessableEntity {
			p = badRequest("%s", e.Detail)
		}
		for _, d := range e.Errors {
			p.Errors = append(p.Errors, Wrong{Location: d.Location, Message: d.Message})
		}
		if all := sentences(p.Errors); all != "" {
			p.Detail = all
		}
		return a.problemOf(p, "", ""), nil
	}
	return v, nil
}

// huma500 is an error that a handler returned, as huma hands it on.
func huma500(e *huma.ErrorModel) error {
	if len(e.Errors) > 0 {
		return errors.New(e.Errors[0].Message)
	}
	return errors.New(e.Detail)
}

func sentences(all []Wrong) string {
	var b strings.Builder
	for i, w := range all {
		if i > 0 {
			b.WriteString("; ")
		}
		if w.Location != "" {
			b.WriteString(w.Location + ": ")
		}
		b.WriteString(w.Message)
	}
	return b.String()
}

// writeJSON ignores the error of a client that is gone.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
