package broker_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/eclipse/paho.golang/paho"

	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/config"
)

// reload changes a configuration and gives it to the running broker; the keys that need a restart are to be these.
func (h *host) reload(cfg *config.Config, change func(*config.Config), restart ...string) {
	h.t.Helper()
	change(cfg)
	got, err := h.broker.Reload(*cfg)
	if err != nil || !slices.Equal(got, restart) {
		h.t.Errorf("%v need a restart, %v; want %v", got, err, restart)
	}
}

func TestReloadOfTheAdminToken(t *testing.T) {
	cfg := testConfig(t)
	cfg.Auth.Mode, cfg.Listen.Admin, cfg.Admin.Token = config.ModeToken, "127.0.0.1:0", "first"
	h := start(t, cfg)
	status := func(token string) int {
		req, err := http.NewRequestWithContext(t.Context(), "GET", h.where.Admin+"/v1/admin/users", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		return do(t, http.DefaultClient, req, nil)
	}
	h.reload(&cfg, func(c *config.Config) { c.Admin.Token = "second" })
	if a, b := status("first"), status("second"); a != 401 || b != 200 {
		t.Errorf("the old token: %d, the new one: %d", a, b)
	}
	h.reload(&cfg, func(c *config.Config) { c.Admin.Token, c.Listen.Admin = "", "unix:" }, "listen.admin", "admin.token")
	if got := status("second"); got != 200 {
		t.Errorf("the address that stays until the restart answers %d", got)
	}
	if log := h.log.String(); strings.Contains(log, "second") || !strings.Contains(log, `"changed":["admin.token"]`) {
		t.Errorf("the log: %s", log)
	}
}

func TestReloadOfLimits(t *testing.T) {
	cfg := testConfig(t)
	h := start(t, cfg)
	h.reload(&cfg, func(c *config.Config) { c.Limits.KeepaliveMax, c.Limits.Connections = config.Duration(30e9), 2 })
	connect := func(user string) (*paho.Client, *paho.Connack) {
		conn, err := net.Dial("tcp", h.where.MQTT)
		if err != nil {
			t.Fatal(err)
		}
		c := paho.NewClient(paho.ClientConfig{Conn: conn, PacketTimeout: patience})
		ack, err := c.Connect(t.Context(), &paho.Connect{ClientID: user, CleanStart: true, KeepAlive: 600, UsernameFlag: true, Username: user})
		if err != nil {
			return nil, nil
		}
		t.Cleanup(func() { _ = c.Disconnect(&paho.Disconnect{}); <-c.Done() })
		return c, ack
	}
	if _, ack := connect("ann"); ack == nil || ack.Properties.ServerKeepAlive == nil || *ack.Properties.ServerKeepAlive != 30 {
		t.Errorf("CONNACK %+v", ack)
	}
	connect("bob")
	if _, ack := connect("cleo"); ack != nil {
		t.Error("a third one is let in")
	}
	h.reload(&cfg, func(c *config.Config) { c.Limits.Connections = 3 })
	if _, ack := connect("cleo"); ack == nil {
		t.Error("a third one is not let in")
	}
}

// Every key is either changed or told, and what is not in force is not taken for it later.
func TestReloadTellsWhatNeedsARestart(t *testing.T) {
	cfg := testConfig(t)
	cfg.SMS.Price = map[string]config.Money{"*": {Micros: 1, Currency: "EUR"}}
	h := start(t, cfg)
	first := cfg
	other := func(c *config.Config) {
		c.Data += "-other"
		c.Listen.MQTT = "127.0.0.1:1"
		c.Limits.Devices, c.Limits.Inbox, c.Limits.Packet = 3, 4, 4096
		c.SMS.Numbers = []string{ownNumber}
		c.SMS.Gateways = append(slices.Clone(c.SMS.Gateways), config.DefaultGateway(config.KindConsole, "second"))
		c.SMS.Region, c.SMS.ResponseTimeout = "DE", config.Duration(5e9)
		c.SMS.Price = map[string]config.Money{"*": {Micros: 1, Currency: "USD"}}
		c.SMS.Budget.Day = config.Money{Micros: 5, Currency: "USD"}
		c.Push.Window = 7
	}
	want := []string{"data", "listen.mqtt", "limits.packet", "limits.devices", "sms.region", "sms.response_timeout", "sms.budget.day", "sms.price", "sms.numbers", "sms.gateways"}
	h.reload(&cfg, other, want...)
	h.reload(&cfg, func(*config.Config) {}, want...)
	if log := h.log.String(); !strings.Contains(log, `"changed":["limits.inbox","push.window"]`) || !strings.Contains(log, `"keys":["data","listen.mqtt",`) {
		t.Errorf("the log: %s", log)
	}
	h.reload(&first, func(*config.Config) {})
	h.reload(&first, func(c *config.Config) { c.SMS.Budget.Day = config.Money{Micros: 5, Currency: "EUR"} })
}

func TestReloadRefusesTheWhole(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "jwt.pem")
	if err := os.WriteFile(key, []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(t)
	h := start(t, cfg)
	for name, c := range map[string]struct {
		wrong func(*config.Config)
		want  string
	}{
		"a key out of range": {func(c *config.Config) { c.Push.Window = 0 }, "push.window: 0 is out of range"},
		"a gateway that cannot be made": {func(c *config.Config) {
			g := config.DefaultGateway(config.KindWebhook, "hook")
			g.URL, g.Body = "https://sms.example.org/", "{{.Too}}"
			c.SMS.Gateways = []config.Gateway{g}
		}, "sms.gateways[0].name: hook: body: "},
		"keys that are none": {func(c *config.Config) { c.Auth.JWT.KeyFile = config.Path(key) }, "auth.jwt.key_file: "},
	} {
		t.Run(name, func(t *testing.T) {
			next := cfg
			next.Limits.KeepaliveMax = config.Duration(11e9)
			c.wrong(&next)
			if restart, err := h.broker.Reload(next); err == nil || restart != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, %v; want %s", restart, err, c.want)
			}
		})
	}
	h.reload(&cfg, func(*config.Config) {})
	if log := h.log.String(); strings.Contains(log, "limits.keepalive_max") {
		t.Errorf("a refused configuration changed something: %s", log)
	}
}

func TestReloadOfABrokerThatDoesNotRun(t *testing.T) {
	cfg := testConfig(t)
	b, err := broker.New(cfg, broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Reload(cfg); err == nil {
		t.Error("it was reloaded")
	}
	h := start(t, cfg)
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.broker.Reload(cfg); err == nil {
		t.Error("it was reloaded")
	}
}

// Everything that can change does, again and again, while messages come and metrics are read. It is for the race detector.
func TestReloadUnderLoad(t *testing.T) {
	h, _ := startCarrier(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var work sync.WaitGroup
	for _, user := range []string{"ann", "bob"} {
		c, _ := h.phone(user)
		work.Go(func() {
			defer cancel()
			for i := range 50 {
				if _, err := c.Publish(context.Background(), &paho.Publish{Topic: fmt.Sprintf("to/491760406900%d", i%10), QoS: 1, Payload: []byte("hello")}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	base := h.broker.Config()
	for i := 0; ctx.Err() == nil; i++ {
		next := base
		next.Log.Level = []string{"info", "debug"}[i%2]
		next.Push.AckTimeout, next.Limits.SendRate = config.Duration(1e9*(1+i%5)), config.Rate(1000+i)
		next.SMS.Price = map[string]config.Money{"*": {Micros: int64(1 + i%9), Currency: "EUR"}}
		next.Registration.Decay += config.Duration(i)
		next.SMS.StopWords = []string{fmt.Sprint("STOP", i)}
		next.Limits.ConnectionsPerAddress = 100 + i%7
		if restart, err := h.broker.Reload(next); err != nil || restart != nil {
			t.Fatal(restart, err)
		}
		h.ask("GET", "/metrics", "", nil)
	}
	work.Wait()
}
