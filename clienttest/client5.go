package clienttest

import (
	"context"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

// client5 is a phone on MQTT 5.
type client5 struct {
	*paho.Client
	ctx  context.Context
	once sync.Once
}

var _ client = (*client5)(nil)

// sessionExpiry is that of a persistent session, in seconds.
const sessionExpiry uint32 = 24 * 60 * 60

func newClient5(p *Phone, l Login) *client5 {
	c := &client5{ctx: p.t.Context()}
	c.Client = paho.NewClient(paho.ClientConfig{
		ClientID: l.Device, Conn: packets.NewThreadSafeConn(p.link), PacketTimeout: Patience,
		EnableManualAcknowledgment: true, SendAcksInterval: time.Millisecond,
		OnClientError:      func(error) { p.lost(0) },
		OnServerDisconnect: func(d *paho.Disconnect) { p.lost(d.ReasonCode) },
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
			a := arrivalOf(r.Packet.Topic, r.Packet.Payload)
			a.Duplicate, a.Properties = r.Packet.Duplicate(), map[string]string{}
			for _, u := range r.Packet.Properties.User {
				a.Properties[u.Key] = u.Value
			}
			p.received(a, func() error { return r.Client.Ack(r.Packet) })
			return true, nil
		}},
	})
	return c
}

func (c *client5) connect(l Login) (present bool, code byte, err error) {
	cp := &paho.Connect{
		ClientID: l.Device, KeepAlive: 30, CleanStart: !l.Persistent, Properties: &paho.ConnectProperties{RequestProblemInfo: true},
		Username: string(l.User), UsernameFlag: true, Password: []byte(l.Token), PasswordFlag: l.Token != "",
	}
	if l.Persistent {
		expiry := sessionExpiry
		cp.Properties.SessionExpiryInterval = &expiry
	}
	if l.Will != nil {
		cp.WillMessage = &paho.WillMessage{Topic: l.Will.Topic, Payload: []byte(l.Will.Payload), QoS: 1}
	}
	ctx, cancel := context.WithTimeout(c.ctx, Patience)
	defer cancel()
	ack, err := c.Client.Connect(ctx, cp)
	switch {
	case ack == nil:
		return false, 0, err
	case ack.ReasonCode != 0:
		return false, ack.ReasonCode, nil
	}
	return ack.SessionPresent, 0, err
}

func (c *client5) subscribe(filter string) (byte, error) {
	ctx, cancel := context.WithTimeout(c.ctx, Patience)
	defer cancel()
	ack, err := c.Client.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: 1}}})
	if ack != nil && len(ack.Reasons) == 1 {
		return ack.Reasons[0], nil // the library makes an error of a refusal
	}
	return 0, err
}

func (c *client5) publish(topic, payload string, properties []string) (Ack, error) {
	m := &paho.Publish{Topic: topic, QoS: 1, Payload: []byte(payload), Properties: &paho.PublishProperties{}}
	for i := 0; i < len(properties); i += 2 {
		m.Properties.User.Add(properties[i], properties[i+1])
	}
	ctx, cancel := context.WithTimeout(c.ctx, Patience)
	defer cancel()
	ack, err := c.Client.Publish(ctx, m)
	if ack == nil {
		return Ack{}, err
	}
	return Ack{Code: ack.ReasonCode, ID: ack.Properties.User.Get("id")}, nil // the library makes an error of a refusal
}

func (c *client5) disconnect() {
	c.once.Do(func() {
		if c.Done() == nil {
			return // it was refused
		}
		_ = c.Client.Disconnect(&paho.Disconnect{}) // the connection may have ended
		<-c.Done()
	})
}
