package broker

import (
	stdlog "log"

	"github.com/rs/zerolog"
)

// httpLog is where net/http tells of connections that it could not serve.
func httpLog(log zerolog.Logger) *stdlog.Logger {
	return stdlog.New(levelWriter{log}, "", 0)
}

type levelWriter struct{ log zerolog.Logger }

func (w levelWriter) Write(text []byte) (int, error) {
	w.log.Warn().Str("part", "http").Msg(string(text))
	return len(text), nil
}
