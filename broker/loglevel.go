package broker

import (
	"log/slog"
	"sync/atomic"

	"github.com/rs/zerolog"
)

// A threshold is log.level, for all that a broker logs. It may change at any time.
type threshold struct{ least atomic.Int32 }

var _ zerolog.Hook = (*threshold)(nil)

func (t *threshold) set(word string) {
	level, err := zerolog.ParseLevel(word)
	if err != nil {
		level = zerolog.InfoLevel // config.Check has refused it
	}
	t.least.Store(int32(level))
}

func (t *threshold) level() zerolog.Level { return zerolog.Level(t.least.Load()) }

// Run implements zerolog.Hook: it drops what is below.
func (t *threshold) Run(e *zerolog.Event, level zerolog.Level, _ string) {
	if level < t.level() {
		e.Discard()
	}
}

// mochiLog is the log for mochi. What it tells of its start and stop is left out, unless everything is wanted.
func (b *Broker) mochiLog() *slog.Logger {
	log := b.opt.Log.With().Str("part", "mqtt").Logger()
	return slog.New(&logHandler{to: log, least: func() zerolog.Level {
		if least := max(log.GetLevel(), b.level.level()); least != zerolog.InfoLevel {
			return least
		}
		return zerolog.WarnLevel
	}})
}
