package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/session"
	"github.com/eclipse/paho.golang/paho/session/state"
	"github.com/spf13/cobra"

	"github.com/seed-7a41469f/godwit/contacts"
)

const (
	defaultServer  = "mqtt://127.0.0.1:1883"
	connectTimeout = 10 * time.Second
	keepalive      = 60 // seconds
)

// A login says where to connect, and as whom.
type login struct {
	server, token string
	user          contacts.Address
	trust         trust
}

// loginFlags are those of the client commands; the returned function reads them.
func loginFlags(cmd *cobra.Command) func() (login, error) {
	var server, user, token string
	var t trust
	cmd.Flags().StringVar(&server, "server", "", "the broker: mqtt://host:port, mqtts://, ws:// or wss:// (GODWIT_SERVER; "+defaultServer+")")
	cmd.Flags().StringVar(&user, "user", "", "who you are: a number or a name (GODWIT_USER; with --cert whom that names)")
	cmd.Flags().StringVar(&token, "token", "", "your token (GODWIT_TOKEN, where others cannot read it)")
	t.caFlag(cmd)
	t.certFlags(cmd)
	offerFlag(cmd, "server", fixed(defaultServer, "mqtts://", "ws://", "wss://"))
	offerFlag(cmd, "user", fromOperator(findOperator, userAddresses))
	offerFlag(cmd, "token", fixed())
	return func() (login, error) {
		t.environment()
		l := login{server: env(server, "GODWIT_SERVER"), token: env(token, "GODWIT_TOKEN"), trust: t}
		if l.server == "" {
			l.server = defaultServer
		}
		err := l.complete(env(user, "GODWIT_USER"))
		return l, err
	}
}

// complete finds out who logs in, and that it can be done.
func (l *login) complete(user string) (err error) {
	_, d, err := serverURL(l.server)
	switch {
	case err != nil:
		return err
	case l.trust.certFile != "" && !d.secure:
		return usage("--cert goes with mqtts:// and wss:// only, and %s is neither", l.server)
	case user != "":
		l.user, err = addressOf(user)
	case l.trust.certFile != "":
		l.user, err = l.trust.subject()
	default:
		return usage("who are you? Give --user or GODWIT_USER")
	}
	return err
}

// A link is a connection to the broker.
type link struct {
	client *paho.Client
	conn   net.Conn
	lost   chan error // has one error once the connection has ended against our will
	gone   chan struct{}
	once   sync.Once // closes gone
}

// A receiver takes a message before it is acknowledged; an error ends the connection and leaves it unacknowledged. After errEnough the
// connection stays, so that what was taken before is acknowledged, and nothing more is.
type receiver func(p *paho.Publish) error

// connect logs in with a session that ends with the connection. After each message that was received acked is called, once its PUBACK is
// written; nil: nobody wants to know.
func (l login) connect(ctx context.Context, clientID string, receive receiver, acked func()) (*link, error) {
	dialing, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := l.dial(dialing)
	if err != nil {
		return nil, err
	}
	k := &link{conn: conn, lost: make(chan error, 1), gone: make(chan struct{})}
	k.client = paho.NewClient(paho.ClientConfig{
		ClientID: clientID, Conn: conn, PacketTimeout: connectTimeout, Session: ledger{state.NewInMemory(), acked},
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
			err := receive(r.Packet)
			if errors.Is(err, errEnough) {
				<-k.gone
			} else if err != nil {
				k.end(err)
				_ = conn.Close() // so that it cannot be acknowledged
			}
			return true, nil
		}},
		OnClientError:      func(err error) { k.end(unreachable("the connection to %s was lost: %w", l.server, err)) },
		OnServerDisconnect: func(d *paho.Disconnect) { k.end(l.refused(d.ReasonCode, "the broker ended the connection")) },
	})
	ack, err := k.client.Connect(dialing, &paho.Connect{
		ClientID: clientID, KeepAlive: keepalive, CleanStart: true,
		Username: string(l.user), UsernameFlag: true, Password: []byte(l.token), PasswordFlag: l.token != "",
	})
	if ack != nil && ack.ReasonCode >= 0x80 {
		return nil, l.refused(ack.ReasonCode, "the broker refused the login")
	}
	if err != nil {
		_ = conn.Close()
		if _, ok := tlsAlert(err); ok { // with TLS 1.3 a client certificate is refused after the handshake
			return nil, l.trust.explain(l.server, err)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, unreachable("%s does not answer as an MQTT 5 broker: %w", l.server, err)
	}
	return k, nil
}

// A ledger tells of acknowledgements. It is of one connection: when that is lost, who waits for an answer is told so.
type ledger struct {
	session.SessionManager
	acked func()
}

func (l ledger) Ack(pb *packets.Publish) error {
	err := l.SessionManager.Ack(pb)
	if err == nil && l.acked != nil {
		l.acked()
	}
	return err
}

func (l ledger) ConnectionLost(d *packets.Disconnect) error {
	return errors.Join(l.SessionManager.ConnectionLost(d), l.Close())
}

func (k *link) end(err error) {
	select {
	case k.lost <- err:
	default:
	}
}

// close says goodbye and waits until the client has ended.
func (k *link) close() {
	_, _ = (&paho.Disconnect{}).Packet().WriteTo(k.conn) // it may be gone already; the client's own Disconnect waits for receivers
	k.drop()
}

// drop ends the connection as a lost radio link would, without a word.
func (k *link) drop() {
	_ = k.conn.Close()
	k.once.Do(func() { close(k.gone) })
	<-k.client.Done()
}

// reasons are the words of MQTT 5 reason codes that a broker refuses with.
var reasons = map[byte]string{
	0x86: "login", 0x87: "not_authorized", 0x8B: "stopping", 0x8E: "taken_over", 0x90: "topic", 0x93: "window", 0x95: "too_large", 0x97: "quota",
	0x88: "unavailable", 0x89: "busy", 0x99: "property", 0x9F: "too_fast", 0x80: "not_stored",
}

var reasonTexts = map[byte]string{
	0x80: "the broker could not store it; try again", 0x86: "wrong user name or token", 0x87: "not allowed, or the token was revoked",
	0x88: "the broker is not available", 0x89: "the broker is busy; try again", 0x8B: "the broker is stopping", 0x8E: "another connection has taken over this session", 0x90: "the topic, address or key is malformed",
	0x95: "the packet is too large", 0x97: "too many devices are connected, or the broker's disk is nearly full", 0x99: "a property has a value that the broker does not know",
	0x9F: "too many attempts; wait a moment",
}

// refused is the error of a reason code.
func (l login) refused(code byte, what string) error {
	word, text := reasons[code], reasonTexts[code]
	if word == "" {
		word = fmt.Sprintf("mqtt_0x%02x", code)
	}
	if code == 0x8B {
		return unreachable("%s: %s", l.server, text)
	}
	return failed(word, "%s: %s (MQTT 5 reason code 0x%02X)", what, text, code)
}

// deviceID is a client id that no other run has.
func deviceID(command string) string {
	host, err := os.Hostname()
	if err != nil || len(host) > 20 {
		host = "host"
	}
	return command + "-" + host + "-" + rand.Text()[:12]
}

// subscribe asks for a filter at QoS 1.
func (k *link) subscribe(ctx context.Context, filter string) error {
	ack, err := k.client.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: 1}}})
	if ack != nil && len(ack.Reasons) > 0 && ack.Reasons[0] >= 0x80 {
		return login{}.refused(ack.Reasons[0], "the broker refused the subscription")
	}
	if err != nil {
		return k.cause(err)
	}
	return nil
}

// unsubscribe ends what subscribe began.
func (k *link) unsubscribe(ctx context.Context, filter string) error {
	if _, err := k.client.Unsubscribe(ctx, &paho.Unsubscribe{Topics: []string{filter}}); err != nil {
		return k.cause(err)
	}
	return nil
}

// cause prefers why the connection ended to what a call made of it.
func (k *link) cause(err error) error {
	select {
	case lost := <-k.lost:
		return lost
	default:
	}
	var f *failure
	if errors.As(err, &f) {
		return err
	}
	return unreachable("%w", err)
}

// property returns the value of a user property.
func property(p *paho.Publish, name string) string {
	if p.Properties == nil {
		return ""
	}
	return p.Properties.User.Get(name)
}
