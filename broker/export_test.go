package broker

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/sms"
)

// For tests of what only shows from another machine, or under a fault.
var (
	MetricsGuard = metricsGuard
	ListenUnix   = listenUnix
	NumberOf     = numberOf
	WireOf       = wireOf
)

// WebSockets are what a Listener without an address gets.
func WebSockets(l *Listener, behindProxy bool) http.Handler {
	s := &webSockets{listener: l, client: client, secure: private(behindProxy)}
	return route(s.serve).handler(zerolog.Nop())
}

// HTTPLimits are those of an HTTP port.
type HTTPLimits struct {
	Header, Read, Write, Idle time.Duration
	Max                       int
	Visitors                  *Visitors
}

// ServeHTTP answers on a port with limits until ctx is done.
func ServeHTTP(ctx context.Context, l net.Listener, h http.Handler, x HTTPLimits) error {
	s := httpServer{handler: h, visitors: x.Visitors, log: zerolog.Nop(), header: x.Header, read: x.Read, write: x.Write, idle: x.Idle, max: x.Max}
	return s.serve(ctx, l)
}

// CallbacksAtOnce is how many callbacks are taken at once.
const CallbacksAtOnce = callbacksAtOnce

// Callbacks are those of a gateway, of a broker that has not stopped before stopping is closed.
func Callbacks(stopping <-chan struct{}, g sms.Gateway, sink sms.Sink) http.Handler {
	mux := http.NewServeMux()
	newCallbacks(stopping, []*meter{{Gateway: g}}, sink, new(atomic.Uint64), zerolog.Nop()).routes(mux)
	return mux
}
