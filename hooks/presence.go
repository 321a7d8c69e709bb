package hooks

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/delivery"
)

const (
	takeoversAMinute = 5 // of one client id; two devices that share one would throw each other out for ever
	takeoverWindow   = time.Minute
)

// presence knows the connections that are open. One is removed by itself only, never by its client id: that may be its successor's.
type presence struct {
	mu        sync.Mutex
	byKey     map[string]*conn
	entering  map[string]chan struct{}
	takeovers map[string]*recent
}

// recent are the times of the latest takeovers of one client id.
type recent struct {
	at   [takeoversAMinute]time.Time
	next int
}

func (p *presence) init() {
	p.byKey, p.entering, p.takeovers = map[string]*conn{}, map[string]chan struct{}{}, map[string]*recent{}
}

// enter waits until no other connection of the device is between its login and its announcement: mochi lets two of them live. Who enters
// leaves the door, once.
func (p *presence) enter(ctx context.Context, key string) error {
	for {
		p.mu.Lock()
		busy := p.entering[key]
		if busy == nil {
			p.entering[key] = make(chan struct{})
			p.mu.Unlock()
			return nil
		}
		p.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// leaveDoor lets the next one enter.
func (p *presence) leaveDoor(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.entering[key])
	delete(p.entering, key)
}

// add makes c the connection of its device and returns the one that was, if it is still there.
func (p *presence) add(c *conn) (before *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := c.key()
	before = p.byKey[key]
	p.byKey[key] = c
	return before
}

// remove reports whether c still was the connection of its device.
func (p *presence) remove(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := c.key()
	if p.byKey[key] != c {
		return false
	}
	delete(p.byKey, key)
	return true
}

func (p *presence) has(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byKey[key] != nil
}

// of returns the connections that match.
func (p *presence) of(match func(*conn) bool) (conns []*conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.byKey {
		if match(c) {
			conns = append(conns, c)
		}
	}
	return conns
}

// mayTakeOver counts a connection that takes over another, and is false when there were too many.
func (p *presence) mayTakeOver(key string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byKey[key] == nil {
		return true
	}
	r := p.takeovers[key]
	if r == nil {
		r = &recent{}
		p.takeovers[key] = r
	}
	if now.Sub(r.at[r.next]) < takeoverWindow {
		return false
	}
	r.at[r.next] = now
	r.next = (r.next + 1) % takeoversAMinute
	return true
}

func (p *presence) forgetTakeovers(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, r := range p.takeovers {
		latest := r.at[(r.next+takeoversAMinute-1)%takeoversAMinute]
		if now.Sub(latest) >= takeoverWindow {
			delete(p.takeovers, key)
		}
	}
}

// OnSessionEstablish is the last moment before mochi looks for a session to inherit.
func (h *Hook) OnSessionEstablish(cl *mqtt.Client, _ packets.Packet) {
	if c := connOf(cl); c != nil {
		h.restore(c)
	}
}

// OnSessionEstablished announces the device, after its CONNACK.
func (h *Hook) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	c := connOf(cl)
	if c == nil {
		return
	}
	if !c.open() {
		return
	}
	defer h.present.leaveDoor(c.key())
	h.stats.Connected.Add(1)
	if !c.resumed && cl.State.Subscriptions.Len() > 0 {
		h.server.UnsubscribeClient(cl) // mochi let it inherit a session that had ended
	}
	if before := h.present.add(c); before != nil {
		h.stats.Takeovers.Add(1)
		h.drop(before, packets.ErrSessionTakenOver) // mochi has done it, unless it lost sight of that client
	}
	h.wills.cancel(c.key()) // once it is among the present, so that none is added behind our back
	h.people.Connected(c.user, c.clientID)
	c.device = h.engine.Connect(delivery.Connection{
		User: c.user, ClientID: c.clientID, Token: c.by.Token, Version: c.version, Remembered: c.persists, Resumed: c.resumed,
		Window: int(c.window), MaxPacket: c.maxPacket, Link: c,
	})
	if c.resumed {
		c.device.Subscribe(c.filters()) // a resumed session sends no SUBSCRIBE
	}
	c.expire()
	if !h.people.Valid(c.by) {
		h.drop(c, packets.ErrNotAuthorized) // revoked while it logged in
	}
	if h.leaving.Load() {
		h.drop(c, packets.ErrServerShuttingDown)
	}
}

// Goodbye disconnects every client, and from now on every one that connects, because the server is about to stop: MQTT 5 clients are told 0x8B,
// and no will is sent.
func (h *Hook) Goodbye() {
	h.leaving.Store(true)
	h.wills.close()
	for _, c := range h.present.of(func(*conn) bool { return true }) {
		h.drop(c, packets.ErrServerShuttingDown)
	}
}

// open tells that OnDisconnect will come; false: the connection was closed meanwhile, and has left the door.
func (c *conn) open() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened = !c.finished
	return c.opened
}

// expire ends the connection when its login does. That is a loss like any other: the client comes back as soon as it has a new login, so a
// fallback waits for the grace, and a will is sent when it does not return.
func (c *conn) expire() {
	if c.by.Expires.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = time.AfterFunc(time.Until(c.by.Expires), func() { c.hook.drop(c, packets.ErrMaxConnectTime) })
}

// OnDisconnect tells how the connection ended. It runs after the successor's OnSessionEstablished when the device was taken over.
func (h *Hook) OnDisconnect(cl *mqtt.Client, err error, expire bool) {
	if c := connOf(cl); c != nil && c.device != nil {
		h.gone(c, cl.StopCause(), err, expire)
	}
}

func (h *Hook) gone(c *conn, cause, err error, expire bool) {
	if !c.end(goodbye(err)) {
		return
	}
	h.stats.Connected.Add(-1)
	h.stalled.remove(c)
	loss := c.loss(cause)
	c.device.Gone(loss)
	if !h.present.remove(c) || loss == delivery.Replaced {
		return // the successor speaks for the device
	}
	h.people.Disconnected(c.user, c.clientID)
	h.leaveSession(c, expire)
	if loss != delivery.LeftClean && cause != packets.ErrServerShuttingDown {
		h.wills.add(c)
	}
}

// end lets the writers close the connection, after a last word; false: that was done before.
func (c *conn) end(code byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.opened {
		return false
	}
	c.opened = false
	if c.until != nil {
		c.until.Stop()
	}
	switch code {
	case codePacketSize:
		c.hook.stats.refuse(RefusedPacketSize)
	case packets.ErrMalformedPacket.Code, packets.ErrProtocolViolation.Code, packets.ErrTopicAliasInvalid.Code:
		c.hook.stats.refuse(RefusedMalformed)
	}
	c.shut()
	c.finish(code)
	return true
}

func (c *conn) loss(cause error) delivery.Loss {
	switch {
	case cause == packets.ErrSessionTakenOver:
		return delivery.Replaced
	case c.leftClean:
		return delivery.LeftClean
	}
	return delivery.Lost
}

// goodbye is the reason code of the DISCONNECT that mochi leaves out when it could not read a packet; 0: none.
func goodbye(err error) byte {
	var code packets.Code
	switch {
	case errors.As(err, &code) && code.Code >= codeUnspecified:
		return code.Code
	case isTimeout(err):
		return packets.ErrKeepAliveTimeout.Code
	}
	return 0
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// Died clears away what is left of a client whose connection, as the listener accepted it, was ended by a panic: mochi does not.
func (h *Hook) Died(accepted net.Conn) {
	for _, c := range h.present.of(func(c *conn) bool { return c.Conn == accepted }) {
		h.gone(c, errPanic, errPanic, !c.persists)
		h.removeSession(c.key(), c.cl)
	}
}

var errPanic = errors.New("panic while a packet was read")
