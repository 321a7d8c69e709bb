package broker

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/sms"
)

// For tests of what only shows from another machine, or under a fault.
var (
	ListenUnix = listenUnix
	WireOf     = wireOf
)

// CallbacksAtOnce is how many callbacks are taken at once.
const CallbacksAtOnce = callbacksAtOnce

// Callbacks are those of a gateway, of a broker that has not stopped before stopping is closed.
func Callbacks(stopping <-chan struct{}, g sms.Gateway, sink sms.Sink) http.Handler {
	c := newCallbacks(stopping, []*meter{{Gateway: g}}, sink, new(atomic.Uint64), zerolog.Nop())
	a, err := api.New(context.Background(), api.Config{PublicURL: "http://example.com", DLR: c.route(c.dlr), MO: c.route(c.mo)})
	if err != nil {
		panic(err)
	}
	return a.Public()
}

// Secured is a connection of a TLS door.
func Secured(n net.Conn, cfg *tls.Config) (net.Conn, error) {
	c, err := entrance{tls: cfg}.open(n)
	if err == nil {
		_, err = c.(*secured).shake()
	}
	return c, err
}

// ReadProxy reads the PROXY header of a connection.
func ReadProxy(n net.Conn) (net.Conn, error) { return entrance{proxy: true}.open(n) }

// ServeTLS serves HTTP, plain and over TLS, on one listener until ctx is done.
func ServeTLS(ctx context.Context, l net.Listener, cfg *tls.Config, h http.Handler) error {
	return httpServer{handler: webClient(h), log: zerolog.Nop()}.serve(ctx, webListener{l, entrance{tls: cfg, plain: true}})
}

// WebSockets is the HTTP API whose WebSockets a Listener without an address gets.
func WebSockets(l *Listener, behindProxy bool) http.Handler {
	s := &webSockets{listener: l, behindProxy: behindProxy}
	a, err := api.New(context.Background(), api.Config{PublicURL: "http://example.com", BehindProxy: behindProxy, MQTT: s.serve})
	if err != nil {
		panic(err)
	}
	return a.Public()
}

// HTTPLimits are those of an HTTP port.
type HTTPLimits struct {
	Header, Read, Write, Idle time.Duration
	Stop                      time.Duration
	Max                       int
	Visitors                  *Visitors
}

// ServeHTTP answers on a port with limits until ctx is done.
func ServeHTTP(ctx context.Context, l net.Listener, h http.Handler, x HTTPLimits) error {
	s := httpServer{handler: h, visitors: x.Visitors, log: zerolog.Nop(), header: x.Header, read: x.Read, write: x.Write, idle: x.Idle, stop: x.Stop, max: x.Max}
	return s.serve(ctx, l)
}
