package broker_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/broker"
)

func TestLogHasNeitherPacketsNorNumbers(t *testing.T) {
	var b bytes.Buffer
	log := broker.NewLog(zerolog.New(&b)).With("hook", "godwit", "client", "4915112345678/phone").WithGroup("g")
	pk := packets.Packet{TopicName: "to/4915112345678", Payload: []byte("secret")}
	log.Warn("client 4915112345678 left", "packet", pk, "pk", &pk, "error", errors.New("read +4915112345678: boom"), "n", 17, "took", time.Second, "ok", true,
		slog.Group("in", slog.Any("pk", pk), slog.String("who", "4915112345678")), "will", "secret", "payload", "secret", "password", "secret")
	got := b.String()
	for _, no := range []string{"4915112345678", "secret", "packet", `"pk"`} {
		if strings.Contains(got, no) {
			t.Errorf("%q is in the log: %s", no, got)
		}
	}
	for _, want := range []string{
		`"level":"warn"`, `"hook":"godwit"`, `"client":"+49…78/phone"`, `"message":"client +49…78 left"`, `"g.error":"read +49…78: boom"`, `"g.n":17`, `"g.ok":true`,
		`"g.in.who":"+49…78"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing: %s", want, got)
		}
	}
}

func TestLogLevels(t *testing.T) {
	log := broker.NewLog(zerolog.New(&bytes.Buffer{}).Level(zerolog.WarnLevel))
	if log.Enabled(t.Context(), slog.LevelInfo) || !log.Enabled(t.Context(), slog.LevelWarn) || !log.Enabled(t.Context(), slog.LevelError+2) {
		t.Error("the levels do not match")
	}
}

// What mochi warns of although nobody can mend it is for debugging.
func TestOrdinaryWarningsAreQuiet(t *testing.T) {
	var b bytes.Buffer
	log := broker.NewLog(zerolog.New(&b).Level(zerolog.InfoLevel))
	log.Warn("error processing packet", "error", fmt.Errorf("write: %w", mqtt.ErrConnectionClosed))
	log.Warn(mqtt.ErrMinimumKeepalive.Error())
	if b.Len() > 0 {
		t.Errorf("logged: %s", &b)
	}
	log.Warn("error processing packet", "error", errors.New("another"))
	if b.Len() == 0 {
		t.Error("another warning is missing")
	}
}
