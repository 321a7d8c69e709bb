package api

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
)

// Config is what an API is made of. What is nil is not there.
type Config struct {
	Log         zerolog.Logger
	Version     string  // of the program
	PublicURL   string  // under which others reach the HTTP port, without a slash at its end
	BehindProxy bool    // a proxy ends TLS before the HTTP port
	AdminToken  string  // empty: /v1/admin is closed on the HTTP port
	Region      string  // of national numbers; empty: none
	Packet      int64   // octets that the body of a message may have
	SendRate    float64 // messages a second and user, with a burst of one second's worth; 0: unlimited

	People   *contacts.Directory
	Engine   *delivery.Engine
	Messages Reader
	Gateways []Fitted
	Response time.Duration // how long a gateway may take to answer

	Connected func() int64  // connections that have logged in
	Health    func() Health // of the answer to /readyz
	Metrics   http.Handler  // GET /metrics
	MQTT      Handler       // GET /mqtt, MQTT over WebSocket
	DLR, MO   Handler       // what carriers call, below /gateway/{name}

	Blocked     func(*http.Request) bool // asked before a login: too many of that address have failed
	LoginFailed func(*http.Request)      // told of each that fails
}

// A Reader is what the API asks of a store.
type Reader interface {
	Message(ctx context.Context, id delivery.ID) (*delivery.Message, error)
	List(ctx context.Context, q delivery.Query) (found []*delivery.Message, next delivery.ID, err error)
}

// A Fitted is a gateway as it was configured.
type Fitted interface {
	Name() string
	Abilities() sms.Abilities
	Kind() string    // as in the configuration; empty: given by the program that embeds the broker
	Wire() *sms.Wire // nil: it has none
}

// An API answers HTTP. Its handlers are served by whoever has the listeners.
type API struct {
	cfg     Config
	began   time.Time
	stop    context.Context // ends with the broker, as what may wait long does
	refused [refusals]atomic.Uint64
	panics  atomic.Uint64
	token   atomic.Pointer[string] // the operator's

	public, operator *site
	sending          *sending
}

// New returns an API; requests that wait long end when ctx does.
func New(ctx context.Context, cfg Config) (*API, error) {
	cfg.PublicURL = strings.TrimSuffix(cfg.PublicURL, "/")
	a := &API{cfg: cfg, began: time.Now(), stop: ctx}
	a.token.Store(&cfg.AdminToken)
	a.public, a.operator = a.newSite(), a.newSite()
	for _, s := range []*site{a.public, a.operator} {
		a.probes(s)
		a.admin(s)
	}
	a.outside(a.public)
	a.sending = newSending(a)
	a.sending.mount(a.public)
	a.own(a.public)
	if err := a.pages(a.public, godwit.Docs); err != nil {
		return nil, err
	}
	spec, err := a.public.spec()
	if err != nil {
		return nil, err
	}
	for _, s := range []*site{a.public, a.operator} {
		s.handle("GET /openapi.json", static("application/json", spec))
	}
	return a, nil
}

// SetAdminToken replaces the operator's token, for requests from now on; empty: /v1/admin is closed on the HTTP port.
func (a *API) SetAdminToken(token string) { a.token.Store(&token) }

// outside mounts what only the HTTP port has.
func (a *API) outside(s *site) {
	for route, h := range map[string]Handler{
		"GET /mqtt":                a.cfg.MQTT,
		"GET /gateway/{name}/dlr":  a.cfg.DLR,
		"POST /gateway/{name}/dlr": a.cfg.DLR,
		"GET /gateway/{name}/mo":   a.cfg.MO,
		"POST /gateway/{name}/mo":  a.cfg.MO,
	} {
		if h != nil {
			s.handle(route, a.handler(h))
		}
	}
}

// Public is what the HTTP port answers.
func (a *API) Public() http.Handler {
	return a.door(a.public, a.known(a.secure(a.ofOperator(a.metricsGuard(a.public)))))
}

// Operator is what the operator's door answers: a socket is guarded by the file system, an address by the token.
func (a *API) Operator(socket bool) http.Handler {
	if socket {
		return a.door(a.operator, a.operator)
	}
	return a.door(a.operator, a.known(a.secure(a.withToken(a.operator))))
}

// waiting returns a context that also ends with the broker: else a request that waits would keep it from stopping.
func (a *API) waiting(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(a.stop, cancel)
	return ctx, func() { unhook(); cancel() }
}
