package raw

import (
	"context"
	"net"
	"net/http"

	"github.com/coder/websocket"
)

// openWeb opens a WebSocket (MQTT 5 §6). Each write is one message.
func (d Dialer) openWeb(ctx context.Context, nd *net.Dialer, addr string) (net.Conn, error) {
	transport := &http.Transport{DialContext: nd.DialContext, TLSClientConfig: d.TLS}
	url := "ws://" + addr + "/mqtt"
	if d.TLS != nil {
		url = "wss://" + addr + "/mqtt"
	}
	c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}, Subprotocols: []string{"mqtt"}})
	if err != nil {
		transport.CloseIdleConnections() // one that was answered without an upgrade
		return nil, err
	}
	return websocket.NetConn(context.WithoutCancel(ctx), c, websocket.MessageBinary), nil
}
