package broker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"golang.org/x/sync/errgroup"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/delivery"
)

// serveDoors answers on the HTTP port and the operator's door.
func (r *running) serveDoors(ctx context.Context, parts *errgroup.Group, d *doors) error {
	m := &metrics{
		engine: r.engine.Stats(), hooks: r.hook.Stats(), gateways: r.gateways, currency: func() string { return policyOf(r.Config().SMS).Prices.Currency }, listeners: r.listeners,
	}
	calls := newCallbacks(ctx.Done(), r.gateways, r.engine, &m.callbacks, r.opt.Log)
	for _, g := range r.gateways {
		calls.tell(g, callbackURL(r.cfg, g.Name()))
	}
	answers, err := r.newAPI(ctx, d, m, calls)
	if err != nil {
		return err
	}
	if d.http != nil {
		door, h := r.webDoor(d.http, answers.Public())
		s := httpServer{handler: h, refused: r.webSockets.refused, log: r.opt.Log}
		if !r.cfg.Listen.BehindProxy && !r.cfg.Listen.ProxyProtocol { // else they all come from there
			s.visitors = r.visitors
		}
		parts.Go(func() error { return s.serve(ctx, door) })
	}
	if d.admin != nil {
		s := httpServer{handler: answers.Operator(d.socket != ""), log: r.opt.Log}
		parts.Go(func() error { return s.serve(ctx, d.admin) })
	}
	return nil
}

// newAPI makes what HTTP answers.
func (r *running) newAPI(ctx context.Context, d *doors, m *metrics, calls *callbacks) (*api.API, error) {
	scrape, err := m.handler()
	if err != nil {
		return nil, err
	}
	cfg := api.Config{
		Log: r.opt.Log.With().Str("part", "http").Logger(), Version: version(), PublicURL: r.cfg.PublicURL(), BehindProxy: r.cfg.Listen.BehindProxy,
		AdminToken: string(r.cfg.Admin.Token), Region: r.cfg.SMS.Region, Packet: int64(r.cfg.Limits.Packet), SendRate: float64(r.cfg.Limits.SendRate),
		People: r.people, Engine: r.engine, Messages: r.db, Response: r.cfg.SMS.ResponseTimeout.Std(),
		Connected: r.hook.Stats().Connected.Load, Health: r.health, Metrics: scrape, DLR: calls.route(calls.dlr), MO: calls.route(calls.mo),
		Blocked:     func(req *http.Request) bool { return r.visitors.Refused(req.RemoteAddr) },
		LoginFailed: func(req *http.Request) { r.visitors.Failed(req.RemoteAddr) },
	}
	if r.webSockets != nil {
		cfg.MQTT = (&webSockets{listener: r.webSockets, behindProxy: r.cfg.Listen.BehindProxy}).serve
	}
	if r.cfg.Listen.PublicURL == "" && d.http != nil {
		cfg.PublicURL = "http://" + d.http.Addr().String() // the port that a configured 0 became
	}
	for _, g := range r.gateways {
		cfg.Gateways = append(cfg.Gateways, g)
	}
	r.api, err = api.New(ctx, cfg)
	m.http = r.api
	return r.api, err
}

// version is that of the module, where the program was built from a released one.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}

// health asks the store for a message that cannot exist: a store that works does not find it.
func (r *running) health() api.Health {
	h := api.Health{Store: "ok", Disk: "ok", Recovery: "done"}
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
