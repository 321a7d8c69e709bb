package broker

import (
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

// serveHTTP answers on a listener until ctx is done; requests under way get a moment to end.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler, log zerolog.Logger) error {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: httpLog(log), ConnContext: webContext,
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		stopped <- server.Shutdown(grace)
	})
	err := server.Serve(l)
	if !stop() {
		if err := <-stopped; err != nil {
			return errors.Join(err, server.Close())
		}
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
