package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/delivery"
)

// doors are the open listeners. They are opened before the store, so that what is taken already is told at once.
type doors struct {
	mqtt, http, admin net.Listener // http and admin may be nil
	socket            string       // path of admin's
}

func openDoors(cfg config.Config) (*doors, error) {
	d := &doors{socket: cfg.Socket()}
	if err := d.open(cfg.Listen); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *doors) open(cfg config.Listen) (err error) {
	if d.mqtt, err = net.Listen("tcp", cfg.MQTT); err != nil {
		return fmt.Errorf("listen.mqtt: %w", err)
	}
	if cfg.HTTP != "" {
		if d.http, err = net.Listen("tcp", cfg.HTTP); err != nil {
			return fmt.Errorf("listen.http: %w", err)
		}
	}
	if d.socket != "" {
		d.admin, err = listenUnix(d.socket)
		return err
	}
	if cfg.Admin != "" {
		if d.admin, err = net.Listen("tcp", cfg.Admin); err != nil {
			return fmt.Errorf("listen.admin: %w", err)
		}
	}
	return nil
}

// close closes what nobody has closed yet.
func (d *doors) close() {
	for _, l := range []net.Listener{d.mqtt, d.http, d.admin} {
		if l != nil {
			_ = l.Close()
		}
	}
}

func (d *doors) addresses() Addresses {
	a := Addresses{MQTT: d.mqtt.Addr().String()}
	if d.http != nil {
		a.HTTP = d.http.Addr().String()
	}
	switch {
	case d.socket != "":
		a.Admin = "unix:" + d.socket
	case d.admin != nil:
		a.Admin = "http://" + d.admin.Addr().String()
	}
	return a
}

// serveDoors answers on the HTTP port and the operator's door.
func (r *running) serveDoors(ctx context.Context, parts *errgroup.Group, d *doors) error {
	m := &metrics{
		engine: r.engine.Stats(), hooks: r.hook.Stats(), gateways: r.gateways, currency: policyOf(r.cfg.SMS).Prices.Currency,
		panics: r.listener.Stats().Panics.Load,
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
		h := r.public(metrics, calls)
		parts.Go(func() error { return serveHTTP(ctx, d.http, h, r.opt.Log) })
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
	mux.Handle("GET /metrics", metricsGuard(r.cfg.Admin.Token, metrics))
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
	return hostGuard(r.cfg.PublicURL(), tokenGuard(r.cfg.Admin.Token, mux))
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
