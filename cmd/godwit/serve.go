package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/config"
)

func (a *app) serveCmd() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "serve [--config FILE]", Short: "Run the broker", Args: cobra.NoArgs,
		Long: "Run the broker until SIGINT or SIGTERM. Without a configuration it listens on loopback, keeps its data in ./godwit-data,\n" +
			"lets anybody in (open mode) and prints SMS on standard output instead of sending them. The log goes to standard error.\n" +
			"SIGHUP has it read its configuration, certificates and keys again; the log says what needs a restart, or what is wrong.",
		Example: "  godwit serve\n  godwit serve --config /etc/godwit/godwit.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			source, err := readConfig(file)
			if err != nil {
				return err
			}
			log := newLog(source.Config.Log, a.stderr)
			b, err := newBroker(source, broker.Options{Log: log, SMS: a.stdout, JSON: a.json})
			if err != nil {
				return err
			}
			warn(log, source)
			hangups := make(chan os.Signal, 1)
			signal.Notify(hangups, syscall.SIGHUP) // on Windows none comes
			defer signal.Stop(hangups)
			return runBroker(cmd.Context(), b, func(ctx context.Context) { reloads(ctx, hangups, b, file, log) })
		},
	}
	configFlag(cmd, &file)
	return cmd
}

// runBroker runs a broker, and beside it what is to be done while it does.
func runBroker(ctx context.Context, b *broker.Broker, beside func(context.Context)) error {
	during, end := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		beside(during)
	}()
	err := b.Run(ctx)
	end()
	<-done
	if err != nil {
		return &failure{exitFailed, "serve", err}
	}
	return nil
}

// reloads reads the configuration again at every hang-up, until ctx is done.
func reloads(ctx context.Context, hangups <-chan os.Signal, b *broker.Broker, file string, log zerolog.Logger) {
	select {
	case <-b.Ready():
	case <-ctx.Done():
		return
	}
	for {
		select {
		case <-hangups:
			reload(b, file, log)
		case <-ctx.Done():
			return
		}
	}
}

func reload(b *broker.Broker, file string, log zerolog.Logger) {
	source, err := config.Read(file, os.Environ())
	if err == nil {
		_, err = b.Reload(source.Config)
		err = placed(source, err)
	}
	if err == nil {
		warn(log, source)
		return
	}
	problems := config.Problems(nil)
	if !errors.As(err, &problems) {
		log.Error().Err(err).Msg("the configuration cannot be used: what was in force stays")
		return
	}
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = oneLine(p)
	}
	log.Error().Strs("problems", lines).Msg("the configuration cannot be used: what was in force stays")
}

// warn logs what is allowed and probably not meant.
func warn(log zerolog.Logger, source *config.Source) {
	for _, p := range source.Warnings(time.Now()) {
		log.Warn().Str("part", "config").Msg(oneLine(p))
	}
}

// newLog is the log of a broker, which drops what is below log.level: for people on a terminal, JSON otherwise.
func newLog(cfg config.Log, out io.Writer) zerolog.Logger {
	zerolog.TimeFieldFormat = time.RFC3339Nano
	if cfg.Format == "console" || cfg.Format == "auto" && isTerminal(out) {
		out = zerolog.ConsoleWriter{Out: out, TimeFormat: "15:04:05.000", NoColor: !isTerminal(out)}
	}
	return zerolog.New(out).Level(zerolog.DebugLevel).With().Timestamp().Logger()
}
