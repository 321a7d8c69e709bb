package hooks

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/contacts"
)

// remembered returns the device that a user has under a client id.
func (h *Hook) remembered(user contacts.Address, clientID string) (contacts.Device, bool) {
	u, _ := h.people.User(user)
	for _, d := range u.Devices {
		if d.ClientID == clientID {
			return d, true
		}
	}
	return contacts.Device{}, false
}

// remember keeps the session of a client that asks for one, before its CONNACK, and ends the one it does not want any more.
func (h *Hook) remember(c *conn, pk *packets.Packet) *denial {
	c.expiry = h.expiry(pk)
	c.persists = c.expiry > 0
	before, known := h.remembered(c.user, c.clientID)
	c.resumes = known && c.persists && !pk.Connect.Clean
	if known && !c.resumes {
		h.engine.Forgotten(c.user, c.clientID)
	}
	if !c.persists {
		if known {
			if err := h.people.ForgetDevice(h.ctx, c.user, c.clientID); err != nil {
				h.Log.Error("forget a device", "error", err)
				return &noStore
			}
		}
		return nil
	}
	d := c.asDevice(nil)
	if c.resumes {
		d.Filters = before.Filters
	}
	err := h.people.Remember(h.ctx, c.user, d)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, contacts.ErrDevices):
		return &tooMany
	}
	h.Log.Error("remember a device", "error", err)
	return &noStore
}

// expiry is the Session Expiry Interval in seconds that the client gets (MQTT 5 §3.1.2.11.2); 0: the session ends with the connection.
func (h *Hook) expiry(pk *packets.Packet) uint32 {
	longest := uint32(h.options().Session / time.Second)
	if m := h.server.Options.Capabilities.MaximumSessionExpiryInterval; m > 0 {
		longest = min(longest, m)
	}
	switch {
	case pk.ProtocolVersion >= 5:
		return min(pk.Properties.SessionExpiryInterval, longest)
	case pk.Connect.Clean:
		return 0
	}
	return longest
}

func (c *conn) asDevice(filters []contacts.Filter) contacts.Device {
	return contacts.Device{
		ClientID: c.clientID, Version: c.version, Filters: filters, Expiry: time.Duration(c.expiry) * time.Second,
	}
}

// abandon ends a connection that was let in and never came to be: another hook refused it, or it went away.
func (h *Hook) abandon(c *conn) {
	if !h.present.has(c.key()) {
		h.people.Disconnected(c.user, c.clientID) // it was remembered as connected
	}
	h.present.leaveDoor(c.key())
}

// restore shows mochi a session that we remember and it does not, so that the client inherits it: mochi forgets them when it restarts.
func (h *Hook) restore(c *conn) {
	key := c.key()
	if _, ok := h.server.Clients.Get(key); ok || !c.resumes {
		return
	}
	d, ok := h.remembered(c.user, c.clientID)
	if !ok {
		return
	}
	session := h.server.NewClient(nil, c.cl.Net.Listener, key, false)
	session.Properties.ProtocolVersion = c.version
	for _, f := range d.Filters {
		session.State.Subscriptions.Add(f.Topic, packets.Subscription{
			Filter: f.Topic, Qos: f.QoS, RetainAsPublished: f.RetainAsPublished, NoLocal: f.NoLocal,
			RetainHandling: f.RetainHandling, Identifier: int(f.Identifier),
		})
	}
	session.Stop(packets.ErrServerShuttingDown)
	h.server.Clients.Add(session)
}

// OnSubscribed keeps the subscriptions of a remembered device before the SUBACK promises them.
func (h *Hook) OnSubscribed(cl *mqtt.Client, _ packets.Packet, _ []byte) {
	c := connOf(cl)
	if c == nil {
		return
	}
	filters := c.filters()
	if err := h.keepFilters(c, filters); err != nil {
		h.Log.Error("keep the subscriptions of a device", "error", err)
		h.drop(c, packets.ErrUnspecifiedError)
	}
}

func (h *Hook) keepFilters(c *conn, filters []contacts.Filter) error {
	if len(filters) > 0 && !c.inbox {
		if err := h.people.HasInbox(h.ctx, c.user); err != nil {
			return err
		}
		c.inbox = true
	}
	if !c.persists {
		return nil
	}
	return h.people.Remember(h.ctx, c.user, c.asDevice(filters))
}

func (c *conn) unsubscribed() {
	filters := c.filters()
	c.device.Subscribe(filters)
	if err := c.hook.keepFilters(c, filters); err != nil {
		c.hook.Log.Error("keep the subscriptions of a device", "error", err)
		c.hook.drop(c, packets.ErrUnspecifiedError)
	}
}

// leaveSession: a DISCONNECT may change how long the session is to be remembered (MQTT 5 §3.14.2.2.2).
func (h *Hook) leaveSession(c *conn, expire bool) {
	if !c.persists || c.version < 5 {
		return
	}
	now := c.cl.Properties.Props.SessionExpiryInterval
	if now == c.expiry {
		return
	}
	if h.present.enter(h.ctx, c.key()) != nil {
		return
	}
	defer h.present.leaveDoor(c.key())
	if h.present.has(c.key()) {
		return // it has come back meanwhile
	}
	var err error
	if expire {
		h.engine.Forgotten(c.user, c.clientID)
		err = h.people.ForgetDevice(h.ctx, c.user, c.clientID)
	} else {
		c.expiry = min(now, uint32(h.options().Session/time.Second))
		d := c.asDevice(c.filters())
		d.Away = time.Now()
		err = h.people.Remember(h.ctx, c.user, d)
	}
	if err != nil && h.ctx.Err() == nil {
		h.Log.Error("change a session", "error", err)
	}
}

// OnClientExpired ends a session that mochi held.
func (h *Hook) OnClientExpired(cl *mqtt.Client) {
	h.server.UnsubscribeClient(cl) // mochi keeps its subscriptions otherwise
	user, clientID, ok := strings.Cut(cl.ID, "/")
	if !ok || h.present.has(cl.ID) {
		return
	}
	if _, known := h.remembered(contacts.Address(user), clientID); !known {
		return
	}
	h.engine.Forgotten(contacts.Address(user), clientID)
	if err := h.people.ForgetDevice(h.ctx, contacts.Address(user), clientID); err != nil && h.ctx.Err() == nil {
		h.Log.Error("forget a device", "error", err)
	}
}

// changed hears of what others do to users: the operator, or a ninth device.
func (h *Hook) changed(e contacts.Event) {
	switch e.Kind {
	case contacts.TokenRevoked:
		h.dropAll(func(c *conn) bool { return c.user == e.User && c.by.Token == e.Token })
	case contacts.UserRemoved:
		h.dropAll(func(c *conn) bool { return c.user == e.User })
	case contacts.KeysChanged:
		h.dropAll(func(c *conn) bool { return c.by.Key != "" && !h.people.Valid(c.by) })
	case contacts.DeviceForgotten:
		if _, again := h.remembered(e.User, e.Device); again {
			return // it has come back meanwhile, with a session of its own
		}
		h.engine.Forgotten(e.User, e.Device)
		key := login{user: e.User, clientID: e.Device}.key()
		if cl, ok := h.server.Clients.Get(key); ok && cl.Closed() && !h.present.has(key) {
			h.removeSession(key, cl)
		}
	}
}

func (h *Hook) dropAll(match func(*conn) bool) {
	for _, c := range h.present.of(match) {
		h.drop(c, packets.ErrNotAuthorized)
	}
}

// removeSession takes a client out of mochi, unless another has its place.
func (h *Hook) removeSession(key string, cl *mqtt.Client) {
	h.server.UnsubscribeClient(cl)
	if now, ok := h.server.Clients.Get(key); ok && now == cl {
		h.server.Clients.Delete(key)
	}
}

func sorted(filters []contacts.Filter) []contacts.Filter {
	slices.SortFunc(filters, func(a, b contacts.Filter) int { return strings.Compare(a.Topic, b.Topic) })
	return filters
}
