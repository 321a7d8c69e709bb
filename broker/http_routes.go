package broker

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/seed-7a41469f/godwit/delivery"
)

// serveDoors answers on the HTTP port and the operator's door.
func (r *running) serveDoors(ctx context.Context, parts *errgroup.Group, d *doors) error {
	m := &metrics{
		engine: r.engine.Stats(), hooks: r.hook.Stats(), gateways: r.gateways, currency: func() string { return policyOf(r.now().SMS).Prices.Currency },
		panics: r.panics,
	}
	calls := newCallbacks(ctx.Done(), r.gateways, r.engine, &m.callbacks, r.opt.Log)
	for _, g := range r.gateways {
		calls.tell(g, callbackURL(r.cfg, g.Name()))
	}
	metrics, err := m.handler()
	if err != nil {
		return err
	}
	if d.http != nil {
		door, h := r.webDoor(d.http, r.public(metrics, calls))
		parts.Go(func() error { return serveHTTP(ctx, door, h, r.opt.Log) })
	}
	if d.admin != nil {
		h := r.operator(ctx, metrics, d.socket != "")
		parts.Go(func() error { return serveHTTP(ctx, d.admin, h, r.opt.Log) })
	}
	return nil
}

// public is what the HTTP port answers.
func (r *running) public(metrics http.Handler, calls *callbacks) http.Handler {
	mux := http.NewServeMux()
	probes(mux, r.health, r.opt.Log)
	mux.Handle("GET /metrics", metricsGuard(r.adminToken, metrics))
	calls.routes(mux)
	mux.Handle("/", route(noRoute).handler(r.opt.Log))
	return hostGuard(r.cfg.PublicURL(), mux)
}

// operator is what the operator's door answers: a socket is guarded by the file system, an address by the token.
func (r *running) operator(ctx context.Context, metrics http.Handler, socket bool) http.Handler {
	mux := http.NewServeMux()
	probes(mux, r.health, r.opt.Log)
	mux.Handle("GET /metrics", metrics)
	mux.Handle("/", route(noRoute).handler(r.opt.Log))
	(&admin{
		users: r.people, messages: r.db, engine: r.engine, gateways: r.gateways, region: r.cfg.SMS.Region, response: r.cfg.SMS.ResponseTimeout.Std(),
	}).routes(ctx, mux, r.opt.Log)
	if socket {
		return mux
	}
	return hostGuard(r.cfg.PublicURL(), tokenGuard(r.adminToken, mux))
}

func noRoute(http.ResponseWriter, *http.Request) error {
	return problem(http.StatusNotFound, CodeNotFound, "there is no such route")
}

// health asks the store for a message that cannot exist: a store that works does not find it.
func (r *running) health() Health {
	h := Health{Store: "ok", Disk: "ok", Recovery: "done"}
	select {
	case <-r.engine.Recovered():
	default:
		h.Recovery = "running"
	}
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	if _, err := r.db.Message(ctx, delivery.ID{}); !errors.Is(err, delivery.ErrNotFound) {
		h.Store = fmt.Sprintf("failing: %v", err)
	}
	if r.db.Full() {
		h.Disk = "low"
	}
	if err := r.db.Alarm(); err != nil {
		h.Alarm = err.Error()
	}
	h.Ready = h.Store == "ok" && h.Disk == "ok"
	return h
}
