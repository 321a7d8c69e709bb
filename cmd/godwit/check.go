package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/config"
)

func (a *app) checkCmd() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "check [--config FILE]", Short: "Check a configuration and print what is in force, secrets masked", Args: cobra.NoArgs,
		Example: "  godwit check --config godwit.yaml\n  GODWIT_PUSH__ACK_TIMEOUT=20s godwit check --json",
		RunE: func(*cobra.Command, []string) error {
			cfg, err := load(file)
			if err != nil {
				return err
			}
			if _, err := newBroker(cfg, broker.Options{}); err != nil {
				return err
			}
			if a.json {
				return a.object(cfg)
			}
			text, err := cfg.YAML()
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(text)
			return err
		},
	}
	configFlag(cmd, &file)
	return cmd
}

func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "config", "c", "", "the configuration file; without one: loopback, ./godwit-data, open mode")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml") // only for completions; it fails for a flag that does not exist
}

// newBroker assembles a broker that does not run yet: what is wrong with its gateways is a mistake of configuration too.
func newBroker(cfg config.Config, opt broker.Options) (*broker.Broker, error) {
	b, err := broker.New(cfg, opt)
	if err != nil {
		return nil, &failure{exitUsage, "config", err}
	}
	return b, nil
}

// load reads a configuration; what is wrong with it is a mistake of usage.
func load(file string) (config.Config, error) {
	cfg, err := config.Load(file, os.Environ())
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		return cfg, &failure{exitUsage, "config", errors.New("\n" + problems.Error())}
	case err != nil:
		return cfg, &failure{exitUsage, "config", err}
	}
	return cfg, nil
}
