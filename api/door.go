package api

import (
	"fmt"
	"net/http"
	"runtime/debug"
)

// contentPolicy lets pages show our style and pictures, and nothing of anybody else.
const contentPolicy = "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// The values of headers that every answer has: not made anew for each, and never changed.
var (
	ofPolicy   = []string{contentPolicy}
	noSniffing = []string{"nosniff"}
	noReferrer = []string{"no-referrer"}
	noStore    = []string{"no-store"}
)

// NoRoute stands for the pattern of requests that no route matches or that a guard refused.
const NoRoute = "none"

// door is what every request to a site passes: headers of safety, the counting of answers, and an end to panics.
func (a *API) door(s *site, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Content-Security-Policy"], h["X-Content-Type-Options"] = ofPolicy, noSniffing
		h["Referrer-Policy"], h["Cache-Control"] = noReferrer, noStore
		answered := &answered{ResponseWriter: w, r: r, counts: s.counts}
		defer a.recovered(answered, r)
		if tooLong(r.Header) {
			a.Fail(answered, r, NewProblem(http.StatusRequestHeaderFieldsTooLarge, CodeTooLarge, "the headers are larger than %d octets", maxFields))
			return
		}
		next.ServeHTTP(answered, r)
		answered.count(http.StatusOK) // it said nothing
	})
}

// maxFields bounds the names and values of a request's headers, in octets; net/http bounds them with the URL, and answers no problem.
const maxFields = 32 << 10

func tooLong(h http.Header) bool {
	n := 0
	for name, values := range h {
		for _, v := range values {
			n += len(name) + len(v)
		}
	}
	return n > maxFields
}

// recovered answers a panic of ours with 500. What it was about may have a text or a number in it, so only its type is logged.
func (a *API) recovered(w *answered, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler {
		panic(v)
	}
	a.panics.Add(1)
	a.cfg.Log.Error().Str("panic", fmt.Sprintf("%T", v)).Str("method", r.Method).Str("route", r.Pattern).Str("stack", string(debug.Stack())).Msg("a panic ended a request")
	if w.code != 0 { // half an answer may have left
		panic(http.ErrAbortHandler)
	}
	a.Fail(w, r, internal())
}

// Panics returns how many requests ended by a panic of ours.
func (a *API) Panics() uint64 { return a.panics.Load() }

// answered counts an answer when its status is known: that of a WebSocket is before the request ends.
type answered struct {
	http.ResponseWriter
	r      *http.Request
	counts map[string]*classCounts
	code   int
}

// WriteHeader implements http.ResponseWriter.
func (w *answered) WriteHeader(code int) {
	w.count(code)
	w.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (w *answered) Write(b []byte) (int, error) {
	w.count(http.StatusOK)
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController find the connection.
func (w *answered) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *answered) count(code int) {
	if w.code != 0 || code >= 100 && code < 200 && code != http.StatusSwitchingProtocols {
		return
	}
	w.code = code
	counts := w.counts[w.r.Pattern]
	if counts == nil {
		counts = w.counts[NoRoute]
	}
	if class := code/100 - 1; class >= 0 && class < len(counts) {
		counts[class].Add(1)
	}
}

// Requests calls f with how many answers each route has given, by the class of their status, 1 to 5.
func (a *API) Requests(f func(route string, class int, n uint64)) {
	for route := range a.routes() {
		for class := range len(classCounts{}) {
			n := uint64(0)
			for _, s := range []*site{a.public, a.operator} {
				if c := s.counts[route]; c != nil {
					n += c[class].Load()
				}
			}
			f(route, class+1, n)
		}
	}
}

// routes are the patterns of both sites.
func (a *API) routes() map[string]bool {
	all := map[string]bool{}
	for _, s := range []*site{a.public, a.operator} {
		for route := range s.counts {
			all[route] = true
		}
	}
	return all
}
