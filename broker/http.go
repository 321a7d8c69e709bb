package broker

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/rs/zerolog"
)

// Time-outs of HTTP, for bodies of at most 64 KiB and answers of at most a few thousand lines.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = time.Minute
	stopTimeout   = 5 * time.Second
	maxHeader     = 64 << 10 // Kannel puts a whole long MO into the query
)

// An httpServer answers on one port; a zero field means what is noted.
type httpServer struct {
	handler  http.Handler
	visitors *Visitors // nil: connections are not counted per network address
	refused  func(refusal)
	log      zerolog.Logger

	header, read, write, idle time.Duration // time-outs: headerTimeout, readTimeout, writeTimeout, idleTimeout
	stop                      time.Duration // for requests under way when it stops: stopTimeout
	max                       int           // connections: maxHTTP
}

// serve answers on a listener until ctx is done. Requests that have come whole get a moment to end then, and are cut: a client that does not read makes
// no failure of a stop. All other connections are closed at once. WebSockets are not its any more.
func (s httpServer) serve(ctx context.Context, l net.Listener) error {
	conns := &httpConns{Listener: l, visitors: s.visitors, refused: s.refused, max: cmp.Or(s.max, maxHTTP)}
	server := &http.Server{
		Handler: conns.answering(s.handler), ConnState: conns.state, ConnContext: conns.known,
		ReadHeaderTimeout: cmp.Or(s.header, headerTimeout), ReadTimeout: cmp.Or(s.read, readTimeout),
		WriteTimeout: cmp.Or(s.write, writeTimeout), IdleTimeout: cmp.Or(s.idle, idleTimeout),
		MaxHeaderBytes: maxHeader, ErrorLog: httpLog(s.log),
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmp.Or(s.stop, stopTimeout))
		defer cancel()
		conns.stop()
		err := server.Shutdown(grace)
		if errors.Is(err, context.DeadlineExceeded) {
			s.log.Warn().Msg("HTTP requests that did not end in time were cut, since the broker stops")
			err = server.Close()
		}
		stopped <- err
	})
	err := server.Serve(conns)
	if !stop() {
		if err := <-stopped; err != nil {
			return err
		}
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
