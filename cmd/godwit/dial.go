package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/eclipse/paho.golang/packets"

	"github.com/seed-7a41469f/godwit/api"
)

// A door is what a scheme of --server leads to.
type door struct {
	port   string // when the URL has none
	secure bool
	dial   func(ctx context.Context, u *url.URL, secure *tls.Config) (net.Conn, error)
}

const doorSchemes = "mqtt, mqtts, ws, wss"

func doorOf(scheme string) (door, bool) {
	switch scheme {
	case "mqtt":
		return door{"1883", false, dialTCP}, true
	case "mqtts":
		return door{"8883", true, dialTCP}, true
	case "ws":
		return door{"80", false, dialWebSocket}, true
	case "wss":
		return door{"443", true, dialWebSocket}, true
	}
	return door{}, false
}

// serverURL reads what --server says. What it says wrongly is not repeated where it may have a token in it.
func serverURL(server string) (*url.URL, door, error) {
	u, err := url.Parse(server)
	if err == nil && u.User != nil {
		return nil, door{}, usage("--server has a login in it; give that with --user and --token, or GODWIT_USER and GODWIT_TOKEN")
	}
	if err != nil || u.Hostname() == "" {
		return nil, door{}, usage("--server %q is not a URL such as %s", server, defaultServer)
	}
	d, ok := doorOf(u.Scheme)
	if !ok {
		return nil, door{}, usage("--server %s: the scheme is none of %s", server, doorSchemes)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), d.port)
	}
	if u.Path == "/" {
		u.Path = ""
	}
	switch web := strings.HasPrefix(u.Scheme, "ws"); {
	case web && u.Path == "":
		u.Path = "/mqtt"
	case !web && (u.Path != "" || u.RawQuery != ""):
		return nil, door{}, usage("--server %s: only ws:// and wss:// have a path", server)
	}
	return u, d, nil
}

// dial connects to a broker, by whichever door its URL names.
func (l login) dial(ctx context.Context) (net.Conn, error) {
	u, d, err := serverURL(l.server)
	if err != nil {
		return nil, err
	}
	var secure *tls.Config
	if d.secure {
		if secure, err = l.trust.config(); err != nil {
			return nil, err
		}
	}
	conn, err := d.dial(ctx, u, secure)
	if err != nil {
		return nil, l.trust.explain(l.server, err)
	}
	return packets.NewThreadSafeConn(conn), nil
}

func dialTCP(ctx context.Context, u *url.URL, secure *tls.Config) (net.Conn, error) {
	if secure == nil {
		return (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
	}
	return dialTLS(ctx, u.Host, secure)
}

func dialTLS(ctx context.Context, address string, secure *tls.Config) (net.Conn, error) {
	conn, err := (&tls.Dialer{Config: secure}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return tlsConn{conn}, nil
}

// A tlsConn tells why the other side ended it. With TLS 1.3 a client certificate is refused only after our side of the handshake (RFC 8446
// §4.4.2.4); what is written then may fail with no more than a broken pipe, while the reason can still be read.
type tlsConn struct{ net.Conn }

func (c tlsConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err == nil {
		return n, nil
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	if _, why := c.Read(make([]byte, 1)); why != nil {
		if _, ok := tlsAlert(why); ok {
			err = why
		}
	}
	return n, err
}

// dialWebSocket speaks MQTT in binary messages of the subprotocol mqtt (MQTT 5 §6).
func dialWebSocket(ctx context.Context, u *url.URL, secure *tls.Config) (net.Conn, error) {
	client := &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: secure,
			DialTLSContext: func(ctx context.Context, _, address string) (net.Conn, error) { return dialTLS(ctx, address, secure) },
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c, resp, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{HTTPClient: client, Subprotocols: []string{"mqtt"}})
	switch {
	case err != nil && resp != nil && resp.StatusCode != http.StatusSwitchingProtocols:
		return nil, refusedUpgrade(u, resp)
	case err != nil:
		return nil, inner(err)
	case c.Subprotocol() != "mqtt":
		_ = c.CloseNow()
		return nil, errors.New("the server speaks WebSocket, but not MQTT over it (it does not choose the subprotocol mqtt)")
	}
	return webConn{websocket.NetConn(context.WithoutCancel(ctx), c, websocket.MessageBinary), c}, nil
}

// inner leaves out the URL, which whoever tells the error names.
func inner(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// A webConn closes at once. DISCONNECT has been said by then, and nobody waits for the closing handshake of a broker that is gone.
type webConn struct {
	net.Conn
	socket *websocket.Conn
}

func (c webConn) Close() error { return c.socket.CloseNow() }

// refusedUpgrade is the error of an HTTP answer that is no WebSocket (RFC 6455 §4.1).
func refusedUpgrade(u *url.URL, resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	if err != nil {
		text = nil // the status says enough
	}
	if p, ok := problemOf(resp, text); ok {
		return problemFailure(p)
	}
	return fmt.Errorf("GET %s is answered with %s, so MQTT over WebSocket is not there", u.Path, resp.Status)
}

// problemOf reads a refusal of godwit's (RFC 9457); what others answer is none.
func problemOf(resp *http.Response, text []byte) (p api.Problem, ok bool) {
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
		return p, false
	}
	err := json.Unmarshal(text, &p)
	return p, err == nil && p.Code != ""
}
