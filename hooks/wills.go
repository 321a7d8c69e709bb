package hooks

import (
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/delivery"
)

// willGrace is how long a device may take to return before its will is sent, whatever its Will Delay: most losses are a change of network.
const willGrace = 2 * time.Second

// stormLook is how often a will that is due looks whether the storm has ended.
const stormLook = time.Second

// takeWill takes the will out of mochi's hands, which would send it without asking anybody. A will for an open topic stays there. One that may not
// be sent is refused on MQTT 5; on 3.1.1, which has no code for it and whose clients would try for ever, it is dropped.
func (c *conn) takeWill(pk *packets.Packet) *denial {
	if !pk.Connect.WillFlag || c.hook.isOpen(pk.Connect.WillTopic) {
		if !c.hook.options().Retain {
			c.cl.Properties.Will.Retain = false
		}
		return nil
	}
	delay := c.cl.Properties.Will.WillDelayInterval
	c.cl.Properties.Will = mqtt.Will{}
	m, no := c.compose(pk.Connect.WillTopic, pk.Connect.WillPayload, &pk.Connect.WillProperties)
	if m == nil {
		c.hook.stats.refuse(RefusedWill)
		if c.version < 5 {
			return nil
		}
		return &denial{v5: packets.Code{Code: no.code, Reason: "will: " + no.why.String()}, why: refusals}
	}
	if key := m.Key.Text; key != "" && m.Reply == "" {
		m.Reply = inboxRoot + string(c.user) + "/receipt/" + key
	}
	m.Key = delivery.Key{} // it names the receipt and is not compared: the will of every connection is a message of its own
	c.will = &will{
		message: m,
		delay:   max(time.Duration(delay)*time.Second, willGrace),
		expiry:  time.Duration(pk.Connect.WillProperties.MessageExpiryInterval) * time.Second,
	}
	return nil
}

// OnWill keeps a will for an open topic, which mochi sends itself, from being sent because the server stops, to a topic that is not open any more, and
// within its Will Delay when another connection of the device has taken over (MQTT 5 §3.1.3.2.2): mochi sees that only where it comes later. mochi sends
// it whatever is returned: to a topic that nobody can subscribe to.
func (h *Hook) OnWill(cl *mqtt.Client, w mqtt.Will) (mqtt.Will, error) {
	returned := w.WillDelayInterval > 0 && cl.StopCause() == packets.ErrSessionTakenOver
	if h.leaving.Load() || returned || !h.isOpen(w.TopicName) {
		w.TopicName, w.Retain = noTopicOfOurs, false
		cl.Properties.Will.WillDelayInterval = 0 // or it would take the place of the successor's
	}
	return w, nil
}

// A will is the message that a device wants sent when it is lost.
type will struct {
	message *delivery.Message
	delay   time.Duration
	expiry  time.Duration // its Message Expiry Interval, which counts from when it is sent (MQTT 5 §3.1.3.2.4); 0: none
	timer   *time.Timer
}

// wills are those of devices that have been lost and may return.
type wills struct {
	h       *Hook
	mu      sync.Mutex
	pending map[string]*will
	closed  bool
	wg      sync.WaitGroup
}

func (w *wills) init(h *Hook) { w.h, w.pending = h, map[string]*will{} }

// add starts the clock of a will.
func (w *wills) add(c *conn) {
	if c.will == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.h.present.has(c.key()) { // it has returned meanwhile
		return
	}
	key, pending := c.key(), c.will
	w.pending[key] = pending
	pending.timer = time.AfterFunc(pending.delay, func() { w.due(key, pending) })
}

// cancel drops the will of a device that has returned.
func (w *wills) cancel(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.pending[key]; p != nil {
		p.timer.Stop()
		delete(w.pending, key)
	}
}

func (w *wills) due(key string, p *will) {
	w.mu.Lock()
	if w.closed || w.pending[key] != p {
		w.mu.Unlock()
		return
	}
	if w.h.engine.Stats().Storm.Load() { // an outage of ours is no news of a boiler
		p.timer.Reset(stormLook)
		w.mu.Unlock()
		return
	}
	delete(w.pending, key)
	w.wg.Add(1)
	w.mu.Unlock()
	defer w.wg.Done()
	if p.expiry > 0 {
		p.message.Expires = time.Now().Add(p.expiry)
	}
	w.h.stats.Wills.Add(1)
	w.h.engine.Publish(p.message, delivery.Publication{}, willAcceptor{w.h})
}

// close drops all wills: none is sent because the server stops.
func (w *wills) close() {
	w.mu.Lock()
	w.closed = true
	for key, p := range w.pending {
		p.timer.Stop()
		delete(w.pending, key)
	}
	w.mu.Unlock()
	w.wg.Wait()
}

// A willAcceptor has nobody to tell: the client is gone.
type willAcceptor struct{ h *Hook }

var _ delivery.Acceptor = willAcceptor{}

// Accepted implements delivery.Acceptor.
func (a willAcceptor) Accepted(_ *delivery.Message, err error) {
	if _, _, kept := outcome(&delivery.Message{}, err); !kept {
		a.h.notKept(err)
	}
}
