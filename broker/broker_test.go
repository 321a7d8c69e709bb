package broker_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/picture"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

func TestWhatWasAcceptedOutlivesTheBroker(t *testing.T) {
	cfg := testConfig(t)
	h := start(t, cfg)
	ann, _ := h.phone("ann")
	h.ask("POST", "/v1/admin/users", `{"address":"boiler"}`, nil)
	id := send(t, ann, "to/boiler", "are you warm?")
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	h = start(t, cfg)
	var p picture.Path
	if status := h.ask("GET", "/v1/admin/messages/"+id, "", &p); status != 200 || p.Message.From != "ann" || p.Message.Final {
		t.Fatalf("%d, %+v", status, p.Message)
	}
	_, got := h.phone("boiler")
	if m := next(t, got, "/in/ann/"+id); string(m.Payload) != "are you warm?" {
		t.Errorf("got %q", m.Payload)
	}
}

func TestRunLeavesNothingBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	cfg := testConfig(t)
	h := start(t, cfg)
	ann, got := h.phone("ann")
	receipt(t, got, send(t, ann, "sms/4915112345678", "hello"), "submitted")
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	<-ann.Done()
	if _, err := os.Stat(string(cfg.Data) + "/admin.sock"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	goleak.VerifyNone(t, before)
}

func TestAddressTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for key, set := range map[string]func(*config.Config){
		"listen.mqtt":  func(c *config.Config) { c.Listen.MQTT = l.Addr().String() },
		"listen.http":  func(c *config.Config) { c.Listen.HTTP = l.Addr().String() },
		"listen.admin": func(c *config.Config) { c.Listen.Admin, c.Admin.Token = l.Addr().String(), "secret" },
	} {
		cfg := testConfig(t)
		set(&cfg)
		b, err := broker.New(cfg, broker.Options{Log: zerolog.Nop(), SMS: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Run(t.Context()); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: got %v", key, err)
		}
	}
}

func TestNewChecksTheConfiguration(t *testing.T) {
	cfg := config.Default()
	cfg.Push.Window = 0
	if _, err := broker.New(cfg, broker.Options{}); err == nil || !strings.Contains(err.Error(), "push.window") {
		t.Errorf("got %v", err)
	}
}

// Two gateways, of which the first refuses connections: the second takes over, and both are counted.
func TestGatewaysOfTheConfiguration(t *testing.T) {
	smsc := smstest.NewServer()
	defer smsc.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	cfg := testConfig(t)
	cfg.SMS.Gateways = []config.Gateway{{Name: "down", Kind: config.KindTest, URL: "http://" + gone.Addr().String()}, {Name: "up", Kind: config.KindTest, URL: smsc.URL}}
	cfg.SMS.Numbers = []string{"4917604069000"}
	h := start(t, cfg)
	ann, got := h.phone("ann")
	receipt(t, got, send(t, ann, "to/4917604069003", "hello"), "delivered")
	smsc.MO("4917604069003", "4917604069000", "hello yourself")
	if m := next(t, got, "u/ann/sms/4917604069003/"); string(m.Payload) != "hello yourself" {
		t.Errorf("got %q", m.Payload)
	}
	if err := smsc.Quiet(t.Context()); err != nil { // it is counted before the gateway hears that it was taken
		t.Fatal(err)
	}
	var text string
	h.ask("GET", "/metrics", "", &text)
	for _, want := range []string{
		`godwit_sms_submitted_total{gateway="down",result="not_sent"} `, `godwit_sms_submitted_total{gateway="up",result="taken"} 1`,
		`godwit_sms_segments_total{gateway="up"} 1`, `godwit_dlr_total{gateway="up",state="delivered"} 1`, `godwit_mo_total{gateway="up",result="conversation"} 1`, `godwit_mo_total{gateway="down",result="conversation"} 0`,
		`godwit_messages_settled_total{state="delivered",via="sms"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if strings.Contains(text, `{gateway="down",result="not_sent"} 0`) {
		t.Error("the gateway that is down was not tried")
	}
	if log := h.log.String(); strings.Contains(log, "4917604069003") || strings.Contains(log, "hello") {
		t.Errorf("the log has a number or a payload: %s", log)
	}
}
