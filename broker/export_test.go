package broker

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync/atomic"

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

// CallbacksAtOnce is how many callbacks are taken at once.
const CallbacksAtOnce = callbacksAtOnce

// Callbacks are those of a gateway, of a broker that has not stopped before stopping is closed.
func Callbacks(stopping <-chan struct{}, g sms.Gateway, sink sms.Sink) http.Handler {
	mux := http.NewServeMux()
	newCallbacks(stopping, []*meter{{Gateway: g}}, sink, new(atomic.Uint64), zerolog.Nop()).routes(mux)
	return mux
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
