package raw

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// A Refused says that the server answered CONNECT with this reason.
type Refused byte

func (r Refused) Error() string {
	return fmt.Sprintf("the server refused the connection with reason 0x%02X", byte(r))
}

// A Dialer opens connections; its zero value does so in plain TCP.
type Dialer struct {
	TLS     *tls.Config
	Web     bool   // MQTT over WebSocket, on the HTTP port
	Source  net.IP // local address; nil: any
	Buffer  int    // bytes a read may bring; 0: 4 KiB
	Timeout time.Duration
}

// A Conn is a connection whose CONNECT was accepted. Write may be called from several goroutines, the Reader from one.
type Conn struct {
	net.Conn
	*Reader
	Version byte
	Connack Connack
}

const (
	defaultBuffer  = 4 << 10
	defaultTimeout = 30 * time.Second
	maxFrame       = 1 << 20
)

// Dial connects, sends CONNECT and waits for CONNACK, all within the dialer's Timeout (0: 30 s); a refusal is a Refused.
func (d Dialer) Dial(ctx context.Context, addr string, c Connect) (*Conn, error) {
	timeout := d.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	nc, err := d.open(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	conn, err := d.handshake(ctx, nc, c)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("log in to %s as client %q: %w", addr, c.ClientID, err)
	}
	return conn, nil
}

func (d Dialer) open(ctx context.Context, addr string) (net.Conn, error) {
	nd := net.Dialer{}
	if d.Source != nil {
		nd.LocalAddr = &net.TCPAddr{IP: d.Source}
	}
	if d.Web {
		return d.openWeb(ctx, &nd, addr)
	}
	if d.TLS != nil {
		return (&tls.Dialer{NetDialer: &nd, Config: d.TLS}).DialContext(ctx, "tcp", addr)
	}
	return nd.DialContext(ctx, "tcp", addr)
}

func (d Dialer) handshake(ctx context.Context, nc net.Conn, c Connect) (*Conn, error) {
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	size := d.Buffer
	if size == 0 {
		size = defaultBuffer
	}
	conn := &Conn{Conn: nc, Reader: NewReader(nc, size, maxFrame), Version: c.Version}
	if _, err := nc.Write(c.Append(nil)); err != nil {
		return nil, err
	}
	f, err := conn.expect(CONNACK)
	if err != nil {
		return nil, err
	}
	if conn.Connack, err = f.Connack(c.Version); err != nil {
		return nil, err
	}
	if conn.Connack.Reason != 0 {
		return nil, Refused(conn.Connack.Reason)
	}
	return conn, nil
}

// Subscribe subscribes to filter at QoS 1 and waits for the SUBACK, which must be the next packet.
func (c *Conn) Subscribe(filter string) error {
	if _, err := c.Write(AppendSubscribe(nil, c.Version, 1, filter, 1)); err != nil {
		return err
	}
	f, err := c.expect(SUBACK)
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	_, codes, err := f.Suback(c.Version)
	if err != nil {
		return err
	}
	if len(codes) != 1 || codes[0] != 1 {
		return fmt.Errorf("the server answered the subscription at QoS 1 with %x", codes)
	}
	return nil
}

// Close ends the connection with a DISCONNECT.
func (c *Conn) Close() error {
	c.SetWriteDeadline(time.Now().Add(time.Second))
	_, err := c.Write(AppendDisconnect(nil))
	if cerr := c.Conn.Close(); err == nil {
		err = cerr
	}
	return err
}

// Drop ends the connection without a word, as a dead process does.
func (c *Conn) Drop() error { return c.Conn.Close() }

func (c *Conn) expect(packet byte) (Frame, error) {
	f, err := c.Next()
	if err != nil {
		return f, err
	}
	if f.Type != packet {
		return f, fmt.Errorf("packet type %d came where %d was due", f.Type, packet)
	}
	return f, nil
}
