package hooks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// A Gate is what a listener's connections may implement to learn how the login went.
type Gate interface {
	LoggedIn()
	LoginFailed()
}

// A Certified connection knows the client's certificate: one that was verified, nil when none was shown. It logs the client in, whatever its
// password is. A *tls.Conn needs not implement it.
type Certified interface {
	Certificate() *x509.Certificate
}

// A Hook joins a mochi server to an engine. Add it to the server; it starts and stops with it.
type Hook struct {
	mqtt.HookBase
	server   *mqtt.Server
	engine   *delivery.Engine
	people   *contacts.Directory
	settings atomic.Pointer[settings]
	wrong    error // of the options, told by Init
	window   int   // publishes a connection may have unacknowledged

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
	if len(opts) == 0 {
		opts = []Options{{}}
	}
	var s *settings
	s, h.wrong = newSettings(opts[0])
	h.settings.Store(s)
	h.window = int(server.Options.Capabilities.ReceiveMaximum)
	if h.window == 0 {
		h.window = math.MaxUint16 // MQTT 5 §3.2.2.3.3
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
		mqtt.OnSessionEstablish, mqtt.OnSessionEstablished, mqtt.OnDisconnect, mqtt.OnClientExpired, mqtt.OnWill,
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
	c, _ := as[*conn](cl.Net.Conn)
	return c
}

// as returns what a connection, or one that it wraps, is.
func as[T any](n net.Conn) (found T, ok bool) {
	for n != nil {
		if found, ok = n.(T); ok {
			return found, true
		}
		w, ok := n.(interface{ NetConn() net.Conn }) // another hook's
		if !ok {
			break
		}
		n = w.NetConn()
	}
	return found, false
}

// certificateOf returns the verified certificate that a client has shown; nil: none.
func certificateOf(n net.Conn) *x509.Certificate {
	if c, ok := as[Certified](n); ok {
		return c.Certificate()
	}
	if c, ok := as[*tls.Conn](n); ok {
		if chains := c.ConnectionState().VerifiedChains; len(chains) > 0 {
			return chains[0][0]
		}
	}
	return nil
}
