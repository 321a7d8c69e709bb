package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// maxBody bounds JSON bodies, in octets.
const maxBody = 64 << 10

// A site is the routes of one door: operations, which are described, and plain ones.
type site struct {
	api    *API
	mux    *http.ServeMux
	huma   huma.API
	counts map[string]*classCounts // by pattern
}

// classCounts counts answers by the class of their status, of which the index is one less.
type classCounts [5]atomic.Uint64

var _ huma.Adapter = (*site)(nil)

func (a *API) newSite() *site {
	s := &site{api: a, mux: http.NewServeMux(), counts: map[string]*classCounts{NoRoute: {}}}
	format := huma.DefaultJSONFormat
	s.huma = huma.NewAPI(huma.Config{
		OpenAPI: description(a.cfg.PublicURL, a.cfg.Version), RejectUnknownQueryParameters: true, Transformers: []huma.Transformer{a.told},
		Formats: map[string]huma.Format{"application/json": format, "json": format}, DefaultFormat: "application/json",
	}, s)
	return s
}

// bodyFirst reads the body before huma does: after whatever guards the operation.
func bodyFirst(s *site, op huma.Operation) huma.Operation {
	op.Middlewares = append(op.Middlewares, func(ctx huma.Context, next func(huma.Context)) {
		if ctx.Operation().RequestBody != nil {
			r, w := humago.Unwrap(ctx)
			if err := takeJSON(w, r, op.MaxBodyBytes-1); err != nil {
				s.api.Fail(w, r, err)
				return
			}
		}
		next(ctx)
	})
	return op
}

// handle mounts a plain route.
func (s *site) handle(pattern string, h http.Handler) {
	s.counts[pattern] = &classCounts{}
	s.mux.Handle(pattern, h)
}

// Handle implements huma.Adapter.
func (s *site) Handle(op *huma.Operation, h func(huma.Context)) {
	s.handle(op.Method+" "+op.Path, s.api.handler(func(w http.ResponseWriter, r *http.Request) error {
		h(&exchange{humago.NewContext(op, r, w)})
		return nil
	}))
}

// ServeHTTP implements huma.Adapter. What no route matches is answered with a Problem too.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	routed := &routed{ResponseWriter: w, r: r}
	s.mux.ServeHTTP(routed, r)
	switch routed.none {
	case http.StatusMethodNotAllowed:
		s.api.Fail(w, r, NewProblem(routed.none, CodeMethod, "this route takes %s", w.Header().Get("Allow")))
	case http.StatusNotFound:
		s.api.Fail(w, r, NewProblem(routed.none, CodeNotFound, "there is no such route; /openapi.json has all"))
	}
}

// routed holds back what ServeMux itself answers when no route matches: it says so in plain text.
type routed struct {
	http.ResponseWriter
	r    *http.Request
	none int // its status; 0: a route matches, or it is a redirection
}

// WriteHeader implements http.ResponseWriter.
func (w *routed) WriteHeader(code int) {
	if w.r.Pattern == "" && (code == http.StatusNotFound || code == http.StatusMethodNotAllowed) {
		w.none = code
		return
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (w *routed) Write(b []byte) (int, error) {
	if w.none != 0 {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController find the connection.
func (w *routed) Unwrap() http.ResponseWriter { return w.ResponseWriter }

type humaContext = huma.Context

// An exchange is a huma.Context that speaks JSON only, and whose invalid requests are 400.
type exchange struct{ humaContext }

// SetStatus implements huma.Context.
func (e *exchange) SetStatus(code int) {
	if code == http.StatusUnprocessableEntity {
		code = http.StatusBadRequest
	}
	e.humaContext.SetStatus(code)
}

// Header implements huma.Context. What else a client would accept is not looked at.
func (e *exchange) Header(name string) string {
	if name == "Accept" {
		return ""
	}
	return e.humaContext.Header(name)
}

// Unwrap is humago's way to the request.
func (e *exchange) Unwrap() huma.Context { return e.humaContext }

// takeJSON reads a body of at most so many octets, before anything else is done. A form, which a foreign page could send, is none.
func takeJSON(w http.ResponseWriter, r *http.Request, limit int64) error {
	if ct := r.Header.Get("Content-Type"); ct != "" {
		if media, _, err := mime.ParseMediaType(ct); err != nil || media != "application/json" {
			return NewProblem(http.StatusUnsupportedMediaType, CodeMediaType, "the body is to be JSON; send it with Content-Type: application/json")
		}
	}
	body, err := ReadBody(w, r, limit)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// shortBody is up to how many octets a body gets its memory before it has come.
const shortBody = 4 << 10

// ReadBody reads a body of at most limit octets; an error is a *Problem.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	var body []byte
	var err error
	if n := r.ContentLength; n >= 0 && n <= min(limit, shortBody) {
		body = make([]byte, n)
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, NewProblem(http.StatusRequestEntityTooLarge, CodeTooLarge, "the body is larger than %d octets", limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, NewProblem(http.StatusRequestTimeout, CodeTimeout, "the body took too long to come")
	case err != nil:
		return nil, badRequest("the body cannot be read to its end")
	}
	return body, nil
}

// out is the answer of an operation.
type out[T any] struct{ Body T }

// none is the answer of one that has nothing to say.
type none struct{}

func answer[T any](v T, err error) (*out[T], error) {
	if err != nil {
		return nil, err
	}
	return &out[T]{v}, nil
}

// operation describes a route, "GET /path", with a name for generated clients.
func operation(route, id, tag, summary string) huma.Operation {
	method, path, ok := strings.Cut(route, " ")
	if !ok {
		panic(fmt.Sprintf("api: %q is no route", route)) // a mistake of ours that every test finds
	}
	return huma.Operation{
		Method: method, Path: path, OperationID: id, Tags: []string{tag}, Summary: summary, MaxBodyBytes: maxBody + 1, BodyReadTimeout: -1,
	}
}

// created makes 201 the status of success.
func created(op huma.Operation) huma.Operation {
	op.DefaultStatus = http.StatusCreated
	return op
}

// register mounts and describes an operation. A handler returns a *Problem, or an error of ours, which is logged and not told.
func register[I, O any](s *site, op huma.Operation, h func(context.Context, *I) (*O, error)) {
	huma.Register(s.huma, bodyFirst(s, op), h)
}

// longer lets the answer of an operation take so long.
func longer(op huma.Operation, d time.Duration) huma.Operation {
	op.Middlewares = append(op.Middlewares, func(ctx huma.Context, next func(huma.Context)) {
		_, w := humago.Unwrap(ctx)
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d))
		next(ctx)
	})
	return op
}
