package main

import (
	"io"
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
			"lets anybody in (open mode) and prints SMS on standard output instead of sending them. The log goes to standard error.",
		Example: "  godwit serve\n  godwit serve --config /etc/godwit/godwit.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			source, err := readConfig(file)
			if err != nil {
				return err
			}
			b, err := newBroker(source, broker.Options{Log: newLog(source.Config.Log, a.stderr), SMS: a.stdout, JSON: a.json})
			if err != nil {
				return err
			}
			if err := b.Run(cmd.Context()); err != nil {
				return &failure{exitFailed, "serve", err}
			}
			return nil
		},
	}
	configFlag(cmd, &file)
	return cmd
}

// newLog is the log of a broker: for people on a terminal, JSON otherwise.
func newLog(cfg config.Log, out io.Writer) zerolog.Logger {
	zerolog.TimeFieldFormat = time.RFC3339Nano
	level, err := zerolog.ParseLevel(cfg.Level)
	if err != nil {
		level = zerolog.InfoLevel // config.Check has refused it
	}
	if cfg.Format == "console" || cfg.Format == "auto" && isTerminal(out) {
		out = zerolog.ConsoleWriter{Out: out, TimeFormat: "15:04:05.000", NoColor: !isTerminal(out)}
	}
	return zerolog.New(out).Level(level).With().Timestamp().Logger()
}
