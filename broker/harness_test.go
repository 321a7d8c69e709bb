package broker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/clienttest/leak"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
)

// patience is how long a test waits for what has to happen.
const patience = 20 * time.Second

// eventually waits for what no event tells.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) { // sleep: no event tells
		if time.Now().After(end) {
			t.Fatal("it never came true")
		}
	}
}

// A host is a broker under test.
type host struct {
	t      *testing.T
	broker *broker.Broker
	where  broker.Addresses
	log    *journal
	hidden hidden
	stop   func() error // once; what Run returned
}

func testConfig(t *testing.T) config.Config {
	t.Helper()
	dir, err := os.MkdirTemp("", "gw") // t.TempDir is too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	cfg := config.Default()
	cfg.Data = config.Path(dir)
	cfg.Listen.MQTT, cfg.Listen.HTTP = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Push.RestartGrace = 0
	cfg.Limits.DiskFree = 1
	return cfg
}

func start(t *testing.T, cfg config.Config) *host {
	t.Helper()
	return startWith(t, cfg, broker.Options{SMS: io.Discard})
}

// startWith starts a broker with options; its log is the host's.
func startWith(t *testing.T, cfg config.Config, opt broker.Options) *host {
	t.Helper()
	h := &host{t: t, log: &journal{}}
	t.Cleanup(h.checkLog) // when it has stopped
	opt.Log = zerolog.New(h.log)
	var err error
	if h.broker, err = broker.New(cfg, opt); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.broker.Run(ctx) }()
	h.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := h.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	select {
	case <-h.broker.Ready():
	case err := <-ended:
		ended <- nil
		t.Fatalf("Run: %v", err)
	case <-time.After(patience):
		t.Fatal("not ready")
	}
	h.where = h.broker.Addresses()
	return h
}

// hidden is what clients send and get, and the log must not have.
type hidden struct {
	mu             sync.Mutex
	numbers, texts []string
}

// add takes note of the addresses in a topic, and of what was published there. Receipts are words of ours.
func (h *hidden) add(topic string, payload []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, level := range strings.Split(topic, "/") {
		if n, err := contacts.ParseNumber(level); err == nil {
			h.numbers = append(h.numbers, string(n))
		}
	}
	if !strings.Contains(topic, "/receipt/") {
		h.texts = append(h.texts, string(payload))
	}
}

func (h *host) checkLog() {
	h.hidden.mu.Lock()
	defer h.hidden.mu.Unlock()
	text := h.log.String()
	for _, found := range leak.Find(text, h.hidden.numbers, h.hidden.texts) {
		h.t.Errorf("the broker's log has in it %s", found)
	}
	leak.Keep(h.t, text)
}

// journal is a log that may be read while it is written.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// socket is an HTTP client of the operator's socket.
func (h *host) socket() *http.Client {
	path := strings.TrimPrefix(h.where.Admin, "unix:")
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	h.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// ask sends a request to the operator's socket and reads the answer into v, which may be nil.
func (h *host) ask(method, path, body string, v any) (status int) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, "http://godwit"+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	return do(h.t, h.socket(), req, v)
}

func do(t *testing.T, client *http.Client, req *http.Request, v any) int {
	t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	switch v := v.(type) {
	case nil:
	case *string:
		*v = string(text)
	default:
		if err := json.Unmarshal(text, v); err != nil {
			t.Fatalf("%s %s: %v in %s", req.Method, req.URL, err, text)
		}
	}
	return resp.StatusCode
}

// get asks the HTTP port.
func (h *host) get(path, hostHeader, origin string, v any) (status int) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), "GET", "http://"+h.where.HTTP+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	if hostHeader != "" {
		req.Host = hostHeader
	}
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	return do(h.t, http.DefaultClient, req, v)
}

// phone connects an MQTT 5 client that confirms what comes and hands it on.
func (h *host) phone(user string) (*paho.Client, <-chan *paho.Publish) {
	h.t.Helper()
	conn, err := net.Dial("tcp", h.where.MQTT)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.phoneOn(conn, user)
}

// phoneOn does so on a connection.
func (h *host) phoneOn(conn net.Conn, user string) (*paho.Client, <-chan *paho.Publish) {
	h.t.Helper()
	got := make(chan *paho.Publish, 1000)
	c := paho.NewClient(paho.ClientConfig{Conn: conn, PacketTimeout: patience, OnPublishReceived: []func(paho.PublishReceived) (bool, error){
		func(r paho.PublishReceived) (bool, error) {
			h.hidden.add(r.Packet.Topic, r.Packet.Payload)
			got <- r.Packet
			return true, nil
		},
	}, PublishHook: func(p *paho.Publish) { h.hidden.add(p.Topic, p.Payload) }})
	h.hidden.add(user, nil)
	if _, err := c.Connect(h.t.Context(), &paho.Connect{ClientID: user + "-phone", CleanStart: true, KeepAlive: 60, UsernameFlag: true, Username: user}); err != nil {
		h.t.Fatal(err)
	}
	if _, err := c.Subscribe(h.t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "u/" + user + "/#", QoS: 1}}}); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Disconnect(&paho.Disconnect{}); <-c.Done() })
	return c, got
}

// send publishes and returns the id of the message.
func send(t *testing.T, c *paho.Client, topic, text string, properties ...string) string {
	t.Helper()
	props := &paho.PublishProperties{}
	for i := 0; i < len(properties); i += 2 {
		props.User.Add(properties[i], properties[i+1])
	}
	ack, err := c.Publish(t.Context(), &paho.Publish{Topic: topic, QoS: 1, Payload: []byte(text), Properties: props})
	if err != nil {
		t.Fatal(err)
	}
	return ack.Properties.User.Get("id")
}

// next waits for a message whose topic contains a text.
func next(t *testing.T, got <-chan *paho.Publish, part string) *paho.Publish {
	t.Helper()
	end := time.After(patience)
	for {
		select {
		case p := <-got:
			if strings.Contains(p.Topic, part) {
				return p
			}
		case <-end:
			t.Fatalf("nothing came under %s", part)
		}
	}
}

// receipt waits for the receipt of a message in a state.
func receipt(t *testing.T, got <-chan *paho.Publish, id, state string) {
	t.Helper()
	for {
		p := next(t, got, "/receipt/")
		if text := string(p.Payload); strings.Contains(text, id) && strings.Contains(text, `"state":"`+state+`"`) {
			return
		}
	}
}
