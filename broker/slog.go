package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/mochi-mqtt/server/v2"
	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/contacts"
)

// NewLog returns a logger for mochi that writes to a zerolog one: no packet, no will, no payload, and every number masked.
func NewLog(to zerolog.Logger) *slog.Logger { return slog.New(&logHandler{to: to}) }

type logHandler struct {
	to     zerolog.Logger
	least  func() zerolog.Level // is logged; nil: what to logs
	prefix string               // of the groups that are open
	attrs  []slog.Attr
}

var _ slog.Handler = (*logHandler)(nil)

var logLevels = map[slog.Level]zerolog.Level{
	slog.LevelDebug: zerolog.DebugLevel, slog.LevelInfo: zerolog.InfoLevel, slog.LevelWarn: zerolog.WarnLevel, slog.LevelError: zerolog.ErrorLevel,
}

func logLevel(l slog.Level) zerolog.Level {
	if z, ok := logLevels[l]; ok {
		return z
	}
	if l < slog.LevelInfo {
		return zerolog.DebugLevel
	}
	return zerolog.ErrorLevel
}

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(_ context.Context, l slog.Level) bool {
	return logLevel(l) >= h.to.GetLevel() && logLevel(l) >= zerolog.GlobalLevel() && (h.least == nil || logLevel(l) >= h.least())
}

// Handle implements slog.Handler.
func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	if ordinary(r) {
		if r.Level = slog.LevelDebug; !h.Enabled(ctx, r.Level) {
			return nil
		}
	}
	e := h.to.WithLevel(logLevel(r.Level))
	for _, a := range h.attrs {
		logAttr(e, "", a)
	}
	r.Attrs(func(a slog.Attr) bool { logAttr(e, h.prefix, a); return true })
	e.Msg(maskNumbers(r.Message))
	return nil
}

// ordinary reports whether mochi warns of what is nobody's fault: its opinion of a client's keepalive, at every CONNECT, and a client that is gone when it is to be written to.
func ordinary(r slog.Record) bool {
	gone := false
	r.Attrs(func(a slog.Attr) bool {
		err, is := a.Value.Any().(error)
		gone = is && errors.Is(err, mqtt.ErrConnectionClosed)
		return !gone
	})
	return gone || r.Message == mqtt.ErrMinimumKeepalive.Error()
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.attrs = slices.Clip(h.attrs)
	for _, a := range attrs {
		a.Key = h.prefix + a.Key
		next.attrs = append(next.attrs, a)
	}
	return &next
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	next := *h
	next.prefix += name + "."
	return &next
}

// logPrivate are the attributes in which mochi logs what clients write to each other, or their passwords.
var logPrivate = []string{"packet", "pk", "will", "payload", "password", "topic", "filter"}

func logAttr(e *zerolog.Event, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	switch {
	case a.Equal(slog.Attr{}) || slices.Contains(logPrivate, a.Key[strings.LastIndexByte(a.Key, '.')+1:]):
	case v.Kind() == slog.KindGroup:
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range v.Group() {
			logAttr(e, prefix, member)
		}
	default:
		logValue(e, prefix+a.Key, v)
	}
}

func logValue(e *zerolog.Event, key string, v slog.Value) {
	switch v.Kind() {
	case slog.KindBool:
		e.Bool(key, v.Bool())
	case slog.KindInt64:
		e.Int64(key, v.Int64())
	case slog.KindUint64:
		e.Uint64(key, v.Uint64())
	case slog.KindFloat64:
		e.Float64(key, v.Float64())
	case slog.KindDuration:
		e.Dur(key, v.Duration())
	case slog.KindTime:
		e.Time(key, v.Time())
	default:
		e.Str(key, maskNumbers(fmt.Sprint(v.Any())))
	}
}

const shortestNumber = 7 // digits of an E.164 number

// maskNumbers replaces every run of digits that may be a number by its masked form.
func maskNumbers(s string) string {
	var b strings.Builder
	done := 0
	for i := 0; i < len(s); {
		j := i
		for j < len(s) && s[j] >= '0' && s[j] <= '9' {
			j++
		}
		if j-i >= shortestNumber {
			b.WriteString(strings.TrimSuffix(s[done:i], "+"))
			b.WriteString(contacts.Number(s[i:j]).Mask())
			done = j
		}
		i = max(j, i+1)
	}
	if done == 0 {
		return s
	}
	return b.String() + s[done:]
}
