package broker

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/sms"
)

// A called gateway is one whose carrier calls us over HTTP. The handlers authenticate each call themselves, and answer that it was taken only
// once the sink has it; one that is nil is never called.
type called interface {
	Callbacks(sink sms.Sink) (dlr, mo http.Handler)
}

// RefusedCallback is the reason of godwit_refused_total for calls of carriers that are not authentic or cannot be read.
const RefusedCallback = "callback"

// Bounds of callbacks.
const (
	callbackTimeout = 20 * time.Second // for a sink that is slow: then the carrier is told to call again, before writeTimeout
	callbacksAtOnce = 256              // more of them are told to call again
	maxCallback     = 64 << 10         // octets of a body; gateways refuse what has more
)

// callbacks answers what carriers call, of all gateways.
type callbacks struct {
	stopping <-chan struct{} // closed: nothing is taken any more
	dlr, mo  map[string]http.Handler
	refused  *atomic.Uint64
	busy     chan struct{}
	log      zerolog.Logger
}

// newCallbacks returns the callbacks of gateways, which give what comes to sink.
func newCallbacks(stopping <-chan struct{}, gateways []*meter, sink sms.Sink, refused *atomic.Uint64, log zerolog.Logger) *callbacks {
	c := &callbacks{
		stopping: stopping, dlr: map[string]http.Handler{}, mo: map[string]http.Handler{}, refused: refused, busy: make(chan struct{}, callbacksAtOnce), log: log,
	}
	for _, m := range gateways {
		dlr, mo := m.callbacks(sink)
		if dlr != nil {
			c.dlr[m.Name()] = dlr
		}
		if mo != nil {
			c.mo[m.Name()] = mo
		}
	}
	return c
}

// tell logs a gateway, and the URLs that its carrier is to call. A secret is part of neither.
func (c *callbacks) tell(m *meter, url string) {
	told := c.log.Info().Str("gateway", m.Name()).Str("kind", m.kind)
	if c.dlr[m.Name()] != nil {
		told = told.Str("dlr", url+"/dlr")
	}
	if c.mo[m.Name()] != nil {
		told = told.Str("mo", url+"/mo")
	}
	told.Msg("SMS gateway")
}

// route hands a call to the gateway that the path names.
func (c *callbacks) route(of map[string]http.Handler) api.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method == http.MethodHead { // GET's pattern matches it
			return api.NewProblem(http.StatusMethodNotAllowed, api.CodeMethod, "a callback is GET or POST").With("Allow", "GET, POST")
		}
		h, ok := of[r.PathValue("name")]
		if !ok {
			return api.NewProblem(http.StatusNotFound, api.CodeNotFound, "there is no gateway of this name that is called here")
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, maxCallback+1)) // before a place is taken, or who sends none would keep it from others
		if err != nil {
			c.refused.Add(1)
			return api.NewProblem(http.StatusBadRequest, api.CodeBadRequest, "the body cannot be read")
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		select {
		case c.busy <- struct{}{}:
			defer func() { <-c.busy }()
		default:
			return again("too many callbacks at once")
		}
		select {
		case <-c.stopping:
			return again("the broker is stopping")
		default:
		}
		ctx, cancel := context.WithTimeout(r.Context(), callbackTimeout)
		defer cancel()
		answered := &status{ResponseWriter: w}
		h.ServeHTTP(answered, r.WithContext(ctx))
		if answered.code >= 400 && answered.code < 500 {
			c.refused.Add(1)
		}
		return nil
	}
}

// again tells the carrier to call once more.
func again(why string) error {
	return api.NewProblem(http.StatusServiceUnavailable, api.CodeUnavailable, "%s; call again", why).With("Retry-After", "5")
}

// A status remembers how a handler answered.
type status struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements http.ResponseWriter.
func (w *status) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController find the connection.
func (w *status) Unwrap() http.ResponseWriter { return w.ResponseWriter }
