// Package broker is the MQTT broker: mochi with our listener and hooks, the delivery engine over the embedded store, the SMS gateways, and
// HTTP for probes, metrics and the operator, assembled from a configuration.
//
// Run returns only when everything it started has ended. When its context is done it stops gracefully: what was accepted is durable and
// acknowledged, SMS under way are recorded, MQTT 5 clients are told 0x8B (server shutting down), and no will is sent.
package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"sync/atomic"

	"github.com/mochi-mqtt/server/v2"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/hooks"
	"github.com/seed-7a41469f/godwit/sms"
)

// Options are what a program gives to a Broker beside the configuration.
type Options struct {
	Log      zerolog.Logger
	SMS      io.Writer     // where gateways of kind console show what they are given; os.Stdout
	JSON     bool          // they show it as one object a line
	Gateways []sms.Gateway // instead of those of the configuration
}

// A Broker runs once.
type Broker struct {
	cfg       config.Config
	opt       Options
	gateways  []*meter
	identity  *identity      // nil: no TLS
	raw       zerolog.Logger // Options.Log as it was given: past log.level
	level     threshold      // of all other logs
	inForce   atomic.Pointer[config.Config]
	running   atomic.Pointer[running] // nil: it does not run
	reloading sync.Mutex
	ready     chan struct{}
	where     Addresses
}

// Addresses are where a Broker listens; empty: not at all.
type Addresses struct {
	MQTT  string // host:port
	MQTTS string // host:port
	HTTP  string // host:port
	Admin string // unix:PATH or http://host:port, as the operator commands take it
}

// New checks the configuration, reads certificates and keys, and makes the gateways; nothing is opened yet.
func New(cfg config.Config, opt Options) (*Broker, error) {
	if err := cfg.Check(); err != nil {
		return nil, fmt.Errorf("broker: the configuration: %w", err)
	}
	b := &Broker{cfg: cfg, opt: opt, raw: opt.Log, ready: make(chan struct{})}
	b.inForce.Store(&cfg)
	b.level.set(cfg.Log.Level)
	b.opt.Log = opt.Log.Hook(&b.level)
	var err error
	if b.identity, err = newIdentity(cfg, b.opt.Log); err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	if _, err = verifierOf(cfg.Auth.JWT); err != nil { // read again by Run, which may come later
		return nil, err
	}
	for _, g := range opt.Gateways {
		b.gateways = append(b.gateways, &meter{Gateway: g})
	}
	if opt.Gateways != nil {
		return b, nil
	}
	if b.gateways, err = gatewaysOf(cfg, b.opt, b.raw); err != nil {
		return nil, err
	}
	return b, nil
}

// Ready is closed once clients are served. Messages of the last run may still be read then.
func (b *Broker) Ready() <-chan struct{} { return b.ready }

// Addresses returns where the broker listens, with the ports that a configured port 0 became. It is called after Ready.
func (b *Broker) Addresses() Addresses { return b.where }

// Run serves until ctx is done or a part fails, and then stops.
func (b *Broker) Run(ctx context.Context) (err error) {
	data := string(b.cfg.Data)
	if err := os.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("broker: data: %w", err)
	}
	verifier, err := verifierOf(b.cfg.Auth.JWT)
	if err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	d, err := openDoors(b.cfg)
	if err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	defer d.close()
	db, err := openStore(data, b.cfg.Limits.DiskFree, b.opt.Log)
	if err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	people, err := contacts.Open(ctx, db.Table(), contacts.Config{
		Decay: b.cfg.Registration.Decay.Std(), Devices: b.cfg.Limits.Devices, Open: b.cfg.Auth.Mode == config.ModeOpen,
		Verifier: verifier, JWTOnly: b.cfg.Auth.Mode == config.ModeJWT,
	})
	if err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	defer func() { err = errors.Join(err, people.Close()) }()
	optOuts, err := sms.OpenOptOuts(ctx, db.Table())
	if err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	return b.serve(ctx, d, db, people, optOuts)
}

// serve assembles what runs over the store, and runs it.
func (b *Broker) serve(ctx context.Context, d *doors, db store, people *contacts.Directory, optOuts *sms.OptOuts) error {
	r := &running{Broker: b, db: db, people: people}
	r.engine = delivery.New(b.engineConfig(db, people, optOuts))
	r.server = mqtt.New(Settings(int(b.cfg.Limits.Packet), math.MaxInt, b.mochiLog()))
	r.hook = hooks.New(r.server, r.engine, hookOptions(b.cfg))
	if err := r.server.AddHook(r.hook, nil); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	r.visitors = &Visitors{} // which bound the connections, and not mochi
	r.visitors.bound(b.cfg.Limits)
	if d.mqtt != nil {
		r.listen(&Listener{Net: d.mqtt})
	}
	if d.mqtts != nil {
		r.listen(&Listener{Net: d.mqtts, TLS: b.identity.forMQTT()})
	}
	if d.http != nil {
		r.webSockets = r.listen(&Listener{Name: "ws"})
	}
	return r.run(ctx, d)
}

// listen adds a Listener to those that the server gets.
func (r *running) listen(l *Listener) *Listener {
	l.Visitors, l.Died, l.Goodbye = r.visitors, r.hook.Died, r.hook.Goodbye
	l.ProxyProtocol = r.cfg.Listen.ProxyProtocol && l.Net != nil // else the HTTP port has read it
	r.listeners = append(r.listeners, l)
	return l
}

// running is a Broker at work.
type running struct {
	*Broker
	db        store
	people    *contacts.Directory
	engine    *delivery.Engine
	server    *mqtt.Server
	hook      *hooks.Hook
	api       *api.API
	visitors  *Visitors
	listeners []*Listener

	webSockets *Listener // of what the HTTP port makes of GET /mqtt; one of listeners
}

func (r *running) run(ctx context.Context, d *doors) error {
	var err error
	for _, l := range r.listeners {
		err = errors.Join(err, r.server.AddListener(l))
	}
	if err == nil {
		err = r.server.Serve()
	}
	if err == nil {
		err = r.serveUntil(ctx, d)
	}
	r.opt.Log.Info().Msg("stopping")
	err = errors.Join(err, r.server.Close())
	<-r.hook.Done()
	if err = errors.Join(err, r.hook.Err()); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	return nil
}

// serveUntil answers HTTP until ctx is done or a part fails.
func (r *running) serveUntil(ctx context.Context, d *doors) error {
	parts, ctx := errgroup.WithContext(ctx)
	if err := r.serveDoors(ctx, parts, d); err != nil {
		return err
	}
	parts.Go(func() error { return tidy(ctx) })
	if r.identity != nil && r.identity.auto != nil {
		parts.Go(func() error { return r.identity.auto.run(ctx) })
	}
	parts.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-r.hook.Done():
			return errors.New("the engine ended by itself")
		}
	})
	r.where = d.addresses()
	r.running.Store(r)
	defer r.running.Store(nil)
	r.opt.Log.Info().Str("mqtt", r.where.MQTT).Str("mqtts", r.where.MQTTS).Str("http", r.where.HTTP).Str("admin", r.where.Admin).
		Str("auth", r.cfg.Auth.Mode).Msg("ready")
	close(r.ready)
	return parts.Wait()
}
