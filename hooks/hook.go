package hooks

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// Options are what an operator may set. Zero values mean the documented defaults.
type Options struct {
	Open         []string      // topic filters that are plain MQTT, routed by mochi; none
	Retain       bool          // open topics may be retained; otherwise the flag is dropped and clients are told so
	SendRate     float64       // publishes a second and connection, with a burst of one second's worth; 0: unlimited
	KeepaliveMax time.Duration // on MQTT 5; 20 min
	Session      time.Duration // how long an MQTT 3.1.1 session is remembered, and the most for MQTT 5; 30 days
}

func (o Options) withDefaults() (Options, error) {
	for _, f := range o.Open {
		if !validFilter(f) || isOurs(f) || f[0] == '$' || f[0] == '#' || f[0] == '+' {
			return o, fmt.Errorf("hooks: Options.Open: %q is not a topic filter that begins with a name of its own: t/# would be", f)
		}
	}
	if o.SendRate < 0 || math.IsNaN(o.SendRate) {
		return o, fmt.Errorf("hooks: Options.SendRate is %v: it cannot be negative", o.SendRate)
	}
	if o.KeepaliveMax == 0 {
		o.KeepaliveMax = 20 * time.Minute
	}
	if o.KeepaliveMax < time.Second || o.KeepaliveMax > math.MaxUint16*time.Second {
		return o, fmt.Errorf("hooks: Options.KeepaliveMax is %v: 1 s to 65535 s are possible", o.KeepaliveMax)
	}
	if o.Session == 0 {
		o.Session = 30 * 24 * time.Hour
	}
	return o, nil
}

// A Gate is what a listener's connections may implement to learn how the login went.
type Gate interface {
	LoggedIn()
	LoginFailed()
}

// A Hook joins a mochi server to an engine. Add it to the server; it starts and stops with it.
type Hook struct {
	mqtt.HookBase
	server  *mqtt.Server
	engine  *delivery.Engine
	people  *contacts.Directory
	options Options
	wrong   error // of the options, told by Init

	window   int           // publishes a connection may have unacknowledged
	interval time.Duration // between publishes at limits.send_rate; 0: no limit
	burst    time.Duration

	stats   Stats
	writers writers
	present presence
	wills   wills
	stalled stalled

	ctx      context.Context // of everything under way; it ends with the server
	cancel   context.CancelFunc
	started  chan struct{}
	stop     sync.Once
	work     sync.WaitGroup
	done     chan struct{} // the engine has ended
	err      error         // why; to be read once done is closed
	unwatch  func()
	starting sync.Once
	leaving  atomic.Bool // Goodbye was said
}

var _ mqtt.Hook = (*Hook)(nil)

// New returns the hook for a server and an engine that is not running yet: the hook runs it.
func New(server *mqtt.Server, engine *delivery.Engine, opts ...Options) *Hook {
	h := &Hook{server: server, engine: engine, people: engine.Directory(), started: make(chan struct{}), done: make(chan struct{})}
	if len(opts) > 0 {
		h.options = opts[0]
	}
	h.options, h.wrong = h.options.withDefaults()
	h.window = int(server.Options.Capabilities.ReceiveMaximum)
	if h.window == 0 {
		h.window = math.MaxUint16 // MQTT 5 §3.2.2.3.3
	}
	if r := h.options.SendRate; r > 0 {
		h.interval = max(time.Duration(float64(time.Second)/r), 1)
		h.burst = max(time.Second, h.interval)
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.writers.init()
	h.present.init()
	h.wills.init(h)
	return h
}

// ID names the hook.
func (h *Hook) ID() string { return "godwit" }

// Provides tells mochi what the hook takes part in.
func (h *Hook) Provides(b byte) bool {
	switch b {
	case mqtt.OnStarted, mqtt.OnStopped,
		mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnACLCheck,
		mqtt.OnSessionEstablish, mqtt.OnSessionEstablished, mqtt.OnDisconnect, mqtt.OnClientExpired,
		mqtt.OnSubscribe, mqtt.OnSubscribed,
		mqtt.OnPacketRead, mqtt.OnPublish, mqtt.OnQosPublish, mqtt.OnPacketProcessed, mqtt.OnPacketEncode:
		return true
	}
	return false
}

// Init says what is wrong with the options or with the engine's Config.
func (h *Hook) Init(any) error {
	return errors.Join(h.wrong, h.engine.Check())
}

// Stats returns the counters.
func (h *Hook) Stats() *Stats { return &h.stats }

// Done is closed once the engine has ended: after the server was closed, or because it failed; see Err.
func (h *Hook) Done() <-chan struct{} { return h.done }

// Err returns why the engine ended, once Done is closed; nil: it was stopped.
func (h *Hook) Err() error {
	select {
	case <-h.done:
		return h.err
	default:
		return nil
	}
}

// OnStarted starts the engine. Clients that were faster wait for it.
func (h *Hook) OnStarted() {
	h.starting.Do(func() {
		h.unwatch = h.people.Watch(h.changed)
		h.work.Add(2)
		go h.runEngine()
		go h.keepHouse()
		close(h.started)
	})
}

func (h *Hook) runEngine() {
	defer h.work.Done()
	defer close(h.done)
	h.err = h.engine.Run(h.ctx)
	if h.err != nil && h.ctx.Err() == nil {
		h.Log.Error("the engine has stopped", "error", h.err)
	}
}

// keepHouse does what comes round.
func (h *Hook) keepHouse() {
	defer h.work.Done()
	probe, minute := time.NewTicker(probeEvery), time.NewTicker(time.Minute)
	defer probe.Stop()
	defer minute.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-probe.C:
			if m, from := h.stalled.probe(); m != nil {
				h.engine.Publish(m, delivery.Publication{Device: from}, probeAcceptor{h})
			}
		case now := <-minute.C:
			h.present.forgetTakeovers(now)
			if _, err := h.people.ExpireDevices(h.ctx, now); err != nil && h.ctx.Err() == nil {
				h.Log.Error("expire sessions", "error", err)
			}
		}
	}
}

// OnStopped stops the engine, once mochi has said goodbye to every client. No will is sent from here on.
func (h *Hook) OnStopped() { h.shutDown() }

// Stop waits for everything the hook has started.
func (h *Hook) Stop() error {
	h.shutDown()
	return h.Err()
}

func (h *Hook) shutDown() {
	h.stop.Do(func() {
		h.wills.close()
		h.cancel()
		h.starting.Do(func() { close(h.done) })
		if h.unwatch != nil {
			h.unwatch()
		}
		h.work.Wait()
		h.writers.wg.Wait()
	})
}

// connOf returns our connection of a client, nil when it has none: the embedding program's inline client, for instance.
func connOf(cl *mqtt.Client) *conn {
	n := cl.Net.Conn
	for n != nil {
		if c, ok := n.(*conn); ok {
			return c
		}
		w, ok := n.(interface{ NetConn() net.Conn }) // another hook's
		if !ok {
			return nil
		}
		n = w.NetConn()
	}
	return nil
}
