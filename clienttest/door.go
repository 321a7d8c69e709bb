package clienttest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"

	"github.com/seed-7a41469f/godwit/config"
)

// A Door is the public URL of a broker's HTTP port, as a reverse proxy before it: it stays where it is when the broker starts again on other ports. While
// there is none it answers 502.
type Door struct {
	URL string

	mu     sync.Mutex
	broker *Broker
	deal   func(*http.Request) Deal // nil: all calls pass
	calls  []Call
	news   chan struct{} // closed at each call, and made anew
}

// A Deal is what a door does with a call instead of passing it, and the answer.
type Deal struct {
	Refuse int  // the status that the caller gets, and the broker does not hear of the call; 0: it does
	Lose   bool // the broker has the call, and the caller gets 500 for its answer
}

// A Call is one that came to a door.
type Call struct {
	Method, Path, Query string
	Status              int // what the broker answered; 0: it was not asked
	Told                int // what the caller got
}

// NewDoor opens a door that leads to no broker yet, and closes it when the test ends.
func NewDoor(t testing.TB) *Door {
	d := &Door{news: make(chan struct{})}
	s := httptest.NewServer(d)
	d.URL = s.URL
	t.Cleanup(s.Close)
	return d
}

// Public makes the door the public URL of a configuration.
func (d *Door) Public(c *config.Config) { c.Listen.PublicURL = d.URL }

// LeadTo has calls go to a broker, wherever it listens.
func (d *Door) LeadTo(b *Broker) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broker = b
}

// On has decide say what becomes of each call, one at a time; nil: all pass. It must not call the door.
func (d *Door) On(decide func(*http.Request) Deal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deal = decide
}

// Calls returns what came, in the order of the answers.
func (d *Door) Calls() []Call {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]Call(nil), d.calls...)
}

// News returns what is closed when the next call has been answered.
func (d *Door) News() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.news
}

// ServeHTTP implements http.Handler.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, deal := d.decide(r)
	call := Call{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery}
	var answer *httptest.ResponseRecorder
	if deal.Refuse == 0 && b != nil {
		answer = httptest.NewRecorder()
		proxy(b).ServeHTTP(answer, r)
		call.Status = answer.Code
	}
	switch {
	case deal.Refuse != 0:
		call.Told = deal.Refuse
	case answer == nil:
		call.Told = http.StatusBadGateway
	case deal.Lose:
		call.Told = http.StatusInternalServerError
	default:
		call.Told = answer.Code
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(call.Told)
	if answer != nil && call.Told == answer.Code {
		_, _ = io.Copy(w, answer.Body) // the caller may have gone
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, call)
	close(d.news)
	d.news = make(chan struct{})
}

func (d *Door) decide(r *http.Request) (*Broker, Deal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.deal == nil {
		return d.broker, Deal{}
	}
	return d.broker, d.deal(r)
}

// proxy is the way to a broker as it listens now.
func proxy(b *Broker) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: b.Addresses().HTTP})
			r.Out.Host = r.In.Host
		},
		Transport:    &http.Transport{DisableKeepAlives: true}, // nothing is left open
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
}
