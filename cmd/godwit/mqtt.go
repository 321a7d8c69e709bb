package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
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
}

// loginFlags are those of the client commands; the returned function reads them.
func loginFlags(cmd *cobra.Command) func() (login, error) {
	var server, user, token string
	cmd.Flags().StringVar(&server, "server", "", "the broker: mqtt://host:port or mqtts://host:port (GODWIT_SERVER; "+defaultServer+")")
	cmd.Flags().StringVar(&user, "user", "", "who you are: a number or a name (GODWIT_USER)")
	cmd.Flags().StringVar(&token, "token", "", "your token (GODWIT_TOKEN, where others cannot read it)")
	return func() (login, error) {
		l := login{server: env(server, "GODWIT_SERVER"), token: env(token, "GODWIT_TOKEN")}
		if l.server == "" {
			l.server = defaultServer
		}
		name := env(user, "GODWIT_USER")
		if name == "" {
			return l, usage("who are you? Give --user or GODWIT_USER")
		}
		var err error
		l.user, err = addressOf(name)
		return l, err
	}
}

// A link is a connection to the broker.
type link struct {
	client *paho.Client
	conn   net.Conn
	lost   chan error // has one error once the connection has ended against our will
}

// A receiver takes a message before it is acknowledged; an error ends the connection and leaves it unacknowledged.
type receiver func(p *paho.Publish) error

// connect logs in with a session that ends with the connection.
func (l login) connect(ctx context.Context, clientID string, receive receiver) (*link, error) {
	dialing, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := dial(dialing, l.server)
	if err != nil {
		return nil, err
	}
	k := &link{conn: conn, lost: make(chan error, 1)}
	k.client = paho.NewClient(paho.ClientConfig{
		ClientID: clientID, Conn: conn, PacketTimeout: connectTimeout,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
			if err := receive(r.Packet); err != nil {
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
		return nil, unreachable("%s does not answer as an MQTT 5 broker: %w", l.server, err)
	}
	return k, nil
}

func (k *link) end(err error) {
	select {
	case k.lost <- err:
	default:
	}
}

// close says goodbye and waits until the client has ended.
func (k *link) close() {
	_ = k.client.Disconnect(&paho.Disconnect{}) // it may be gone already
	<-k.client.Done()
}

// drop ends the connection as a lost radio link would, without a word.
func (k *link) drop() {
	_ = k.conn.Close()
	<-k.client.Done()
}

func dial(ctx context.Context, server string) (net.Conn, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" {
		return nil, usage("--server %q is not a URL such as %s", server, defaultServer)
	}
	var d interface {
		DialContext(ctx context.Context, network, address string) (net.Conn, error)
	}
	port := "1883"
	switch u.Scheme {
	case "mqtt":
		d = &net.Dialer{}
	case "mqtts":
		d, port = &tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS12}}, "8883"
	case "ws", "wss":
		return nil, usage("--server %s: WebSocket is not in this version of godwit; use mqtt:// or mqtts://", server)
	default:
		return nil, usage("--server %s: the scheme is none of mqtt, mqtts", server)
	}
	conn, err := d.DialContext(ctx, "tcp", withPort(u, port))
	if err != nil {
		return nil, unreachable("%s: %w", server, err)
	}
	return packets.NewThreadSafeConn(conn), nil
}

func withPort(u *url.URL, port string) string {
	if u.Port() != "" {
		return u.Host
	}
	return net.JoinHostPort(strings.Trim(u.Host, "[]"), port)
}

// reasons are the words of MQTT 5 reason codes that a broker refuses with.
var reasons = map[byte]string{
	0x86: "login", 0x87: "not_authorized", 0x8B: "stopping", 0x8E: "taken_over", 0x90: "topic", 0x93: "window", 0x95: "too_large", 0x97: "quota",
	0x99: "property", 0x9F: "too_fast", 0x80: "not_stored",
}

var reasonTexts = map[byte]string{
	0x80: "the broker could not store it; try again", 0x86: "wrong user name or token", 0x87: "not allowed, or the token was revoked",
	0x8B: "the broker is stopping", 0x8E: "another connection has taken over this session", 0x90: "the topic, address or key is malformed",
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
