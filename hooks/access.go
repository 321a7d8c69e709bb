package hooks

import (
	"errors"
	"time"

	"github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/contacts"
)

// A denial is how a CONNECT is refused on either version (MQTT 5 §3.2.2.2, MQTT 3.1.1 §3.2.2.3).
type denial struct {
	v5  packets.Code
	v3  byte
	why Refusal
}

var (
	badLogin    = denial{packets.ErrBadUsernameOrPassword, 0x04, RefusedLogin}
	revoked     = denial{packets.ErrNotAuthorized, 0x05, RefusedRevoked}
	tooMany     = denial{packets.ErrQuotaExceeded, 0x03, RefusedDevices}
	tooFast     = denial{packets.ErrConnectionRateExceeded, 0x03, RefusedTakeovers}
	badClientID = denial{packets.ErrClientIdentifierNotValid, 0x02, RefusedClientID}
	noStore     = denial{packets.ErrUnspecifiedError, 0x03, RefusedStore}
	noServer    = denial{packets.ErrServerUnavailable, 0x03, refusals}
)

// OnConnect logs a client in, or refuses it. What other hooks allow makes no difference.
func (h *Hook) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	if !h.running() {
		return h.deny(cl, noServer)
	}
	gate, _ := as[Gate](cl.Net.Conn)
	l, why := h.logIn(cl, &pk)
	if why == nil {
		var c *conn
		if c, why = h.admit(cl, &pk, l); why == nil {
			if gate != nil {
				gate.LoggedIn()
			}
			c.takeOver()
			return nil
		}
	}
	if gate != nil && (why.why == RefusedLogin || why.why == RefusedRevoked) {
		gate.LoginFailed()
	}
	return h.deny(cl, *why)
}

// running waits for the engine to start: listeners serve a moment earlier.
func (h *Hook) running() bool {
	select {
	case <-h.started:
	case <-h.ctx.Done():
		return false
	}
	select {
	case <-h.done:
		return false
	case <-h.ctx.Done():
		return false
	default:
		return true
	}
}

func (h *Hook) logIn(cl *mqtt.Client, pk *packets.Packet) (login, *denial) {
	id, name := cl.ID, string(pk.Connect.Username) // mochi has made up a client id where there was none
	if len(id) > maxClientID || !clean(id) {
		return login{}, &badClientID
	}
	if !clean(name) {
		return login{}, &badLogin
	}
	who, err := h.identify(cl, name, string(pk.Connect.Password))
	switch {
	case err == nil:
		return login{user: who.Address, clientID: id, by: who}, nil
	case errors.Is(err, contacts.ErrRevoked):
		return login{}, &revoked
	case errors.Is(err, contacts.ErrLogin):
		h.Log.Debug("login refused", "error", err)
		return login{}, &badLogin
	}
	h.Log.Error("log in", "error", err)
	return login{}, &noStore
}

// identify asks who a client is: its certificate comes before its password.
func (h *Hook) identify(cl *mqtt.Client, name, password string) (contacts.Login, error) {
	if cert := certificateOf(cl.Net.Conn); cert != nil {
		return h.people.LoginCertificate(h.ctx, cert, name)
	}
	return h.people.Login(h.ctx, name, password)
}

// admit makes the connection of somebody who has logged in: will, session, keepalive.
func (h *Hook) admit(cl *mqtt.Client, pk *packets.Packet, l login) (*conn, *denial) {
	if err := h.present.enter(h.ctx, l.key()); err != nil {
		return nil, &noServer
	}
	c, no := h.prepare(cl, pk, l)
	if no != nil {
		h.present.leaveDoor(l.key())
	}
	return c, no
}

func (h *Hook) prepare(cl *mqtt.Client, pk *packets.Packet, l login) (*conn, *denial) {
	if !h.present.mayTakeOver(l.key(), time.Now()) {
		return nil, &tooFast
	}
	d := dialect{version: pk.ProtocolVersion, window: pk.Properties.ReceiveMaximum, maxPacket: pk.Properties.MaximumPacketSize}
	d.problemInfo = !pk.Properties.RequestProblemInfoFlag || pk.Properties.RequestProblemInfo == 1
	c := newConn(h, cl, l, d)
	if no := c.takeWill(pk); no != nil {
		return nil, no
	}
	c.setKeepalive(pk.Connect.Keepalive)
	if no := h.remember(c, pk); no != nil {
		return nil, no
	}
	return c, nil
}

// takeOver puts the connection and its name into mochi's client, and takes out what mochi would do with them on its own.
func (c *conn) takeOver() {
	c.cl.Net.Conn = c
	c.cl.ID = c.key()
	c.cl.Properties.Props.ReceiveMaximum = 0
	c.cl.Properties.Props.TopicAliasMaximum = 0
	c.cl.State.Inflight.ResetSendQuota(0)
}

// setKeepalive: a client's own on 3.1.1, at most the server's on MQTT 5 (§3.2.2.3.14).
func (c *conn) setKeepalive(seconds uint16) {
	c.keepalive = time.Duration(seconds) * time.Second
	if longest := c.hook.options().KeepaliveMax; c.version >= 5 && (seconds == 0 || c.keepalive > longest) {
		c.keepalive = longest.Truncate(time.Second)
		c.cl.State.Keepalive = uint16(c.keepalive / time.Second)
		c.cl.State.ServerKeepalive = true
	}
}

// deny sends the CONNACK, which mochi does not when OnConnect returns an error.
func (h *Hook) deny(cl *mqtt.Client, d denial) error {
	if d.why < refusals {
		h.stats.refuse(d.why)
	}
	code := d.v5.Code
	if cl.Properties.ProtocolVersion < 5 {
		code = d.v3
	}
	_ = cl.Net.Conn.SetDeadline(time.Now().Add(writeTimeout))
	_ = cl.WritePacket(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connack}, ReasonCode: code}) // it may be gone already
	return d.v5
}

// OnConnectAuthenticate allows who has passed OnConnect.
func (h *Hook) OnConnectAuthenticate(cl *mqtt.Client, _ packets.Packet) bool {
	return connOf(cl) != nil
}

// OnACLCheck allows everything to who has logged in, since mochi would answer a denial in its own way, and not ask at all beside a hook that
// allows everything: OnPublish and OnSubscribe are the doors.
func (h *Hook) OnACLCheck(cl *mqtt.Client, _ string, _ bool) bool { return connOf(cl) != nil }

// OnSubscribe lets through the user's own prefix and the open topics. A filter that is emptied is refused by mochi, whatever other hooks allow.
func (h *Hook) OnSubscribe(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	if cl.Net.Inline {
		return pk
	}
	c := connOf(cl)
	filters := make(packets.Subscriptions, len(pk.Filters))
	copy(filters, pk.Filters)
	for i := range filters {
		if c == nil || !c.maySubscribe(filters[i].Filter) {
			h.stats.refuse(RefusedFilter)
			filters[i].Filter = ""
		}
	}
	pk.Filters = filters
	return pk
}

func (c *conn) maySubscribe(filter string) bool {
	if !validFilter(filter) {
		return false
	}
	if _, again := c.cl.State.Subscriptions.Get(filter); !again && c.cl.State.Subscriptions.Len() >= maxFilters {
		return false
	}
	return isInbox(c.user, filter) || !isOurs(filter) && coveredBy(c.hook.options().Open, filter)
}

// OnPacketEncode puts right what mochi writes: the CONNACK lacks most of what a client must know, and a PUBREL of ours is unknown to mochi.
func (h *Hook) OnPacketEncode(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	switch pk.FixedHeader.Type {
	case packets.Connack:
		if c := connOf(cl); c != nil && pk.ReasonCode == 0 {
			c.completeConnack(&pk)
		}
	case packets.Pubcomp:
		if c := connOf(cl); c != nil && c.complete(pk.PacketID) {
			pk.ReasonCode, pk.Properties = 0, packets.Properties{}
		}
	}
	return pk
}

func (c *conn) completeConnack(pk *packets.Packet) {
	pk.SessionPresent = pk.SessionPresent && c.resumes
	c.resumed = pk.SessionPresent
	caps, p := c.hook.server.Options.Capabilities, &pk.Properties
	p.MaximumPacketSize = caps.MaximumPacketSize
	p.TopicAliasMaximum = caps.TopicAliasMaximum
	if !c.hook.options().Retain || caps.RetainAvailable == 0 {
		p.RetainAvailable, p.RetainAvailableFlag = 0, true
	}
	p.SharedSubAvailable, p.SharedSubAvailableFlag = 0, true
	if caps.WildcardSubAvailable == 0 {
		p.WildcardSubAvailable, p.WildcardSubAvailableFlag = 0, true
	}
	if asked := c.cl.Properties.Props.SessionExpiryInterval; asked != 0 && asked != c.expiry {
		p.SessionExpiryInterval, p.SessionExpiryIntervalFlag = c.expiry, true
		c.cl.Properties.Props.SessionExpiryInterval = c.expiry
	}
}
