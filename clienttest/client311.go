package clienttest

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// client311 is a phone on MQTT 3.1.1.
type client311 struct {
	paho.Client
	once sync.Once
}

var _ client = (*client311)(nil)

func newClient311(p *Phone, l Login) *client311 {
	o := paho.NewClientOptions().AddBroker("tcp://phone").SetProtocolVersion(uint(V311)).SetClientID(l.Device).
		SetUsername(string(l.User)).SetPassword(l.Token).SetCleanSession(!l.Persistent).
		SetAutoReconnect(false).SetConnectTimeout(Patience).SetAutoAckDisabled(true).
		SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return p.link, nil }).
		SetConnectionLostHandler(func(paho.Client, error) { p.lost(0) }).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
			a := arrivalOf(m.Topic(), m.Payload())
			a.Duplicate = m.Duplicate()
			p.received(a, func() error { m.Ack(); return nil })
		})
	if l.Will != nil {
		o.SetWill(l.Will.Topic, l.Will.Payload, 1, false)
	}
	return &client311{Client: paho.NewClient(o)}
}

func (c *client311) connect(Login) (present bool, code byte, err error) {
	token := c.Connect().(*paho.ConnectToken)
	err = finish(token)
	if code = token.ReturnCode(); code != 0 && code <= 5 { // MQTT 3.1.1 §3.2.2.3; above are the library's own
		return false, code, nil
	}
	return token.SessionPresent(), 0, err
}

func (c *client311) subscribe(filter string) (byte, error) {
	token := c.Client.Subscribe(filter, 1, nil).(*paho.SubscribeToken)
	err := finish(token)
	code, ok := token.Result()[filter]
	if !ok {
		return 0, errors.Join(errors.New("no SUBACK"), err)
	}
	return code, nil
}

func (c *client311) publish(topic, payload string, properties []string) (Ack, error) {
	if len(properties) > 0 {
		return Ack{}, errors.New("MQTT 3.1.1 has no user properties")
	}
	return Ack{}, finish(c.Client.Publish(topic, 1, false, payload))
}

func finish(token paho.Token) error {
	if !token.WaitTimeout(Patience) {
		return fmt.Errorf("no answer within %v", Patience)
	}
	return token.Error()
}

// disconnect gives the library a moment to write the DISCONNECT.
func (c *client311) disconnect() {
	const quiesce = 250 * time.Millisecond
	c.once.Do(func() { c.Client.Disconnect(uint(quiesce.Milliseconds())) })
}
