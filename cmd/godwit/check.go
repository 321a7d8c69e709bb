package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/config"
)

func (a *app) checkCmd() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "check [--config FILE]", Short: "Check a configuration and print what is in force, secrets masked", Args: cobra.NoArgs,
		Long: "Check a configuration as serve does, and print what is in force as a configuration file, secrets masked. Behind each value stands where it comes\n" +
			"from: the file with its line, a variable of the environment, a credential, or the default. What is allowed and probably not meant is told on\n" +
			"standard error.",
		Example: "  godwit check --config godwit.yaml\n  GODWIT_PUSH__ACK_TIMEOUT=20s godwit check --json",
		RunE: func(*cobra.Command, []string) error {
			source, err := readConfig(file)
			if err != nil {
				return err
			}
			if _, err := newBroker(source, broker.Options{}); err != nil {
				return err
			}
			return a.showConfig(source)
		},
	}
	configFlag(cmd, &file)
	return cmd
}

// A checked configuration is what check prints with --json.
type checked struct {
	Config   config.Config     `json:"config"`
	Origins  map[string]string `json:"origins"`
	Warnings []string          `json:"warnings"`
}

func (a *app) showConfig(source *config.Source) error {
	warnings := []string{}
	for _, p := range source.Warnings(time.Now()) {
		warnings = append(warnings, oneLine(p))
	}
	if a.json {
		origins, err := source.Origins()
		if err != nil {
			return err
		}
		return a.object(checked{source.Config, origins, warnings})
	}
	for _, w := range warnings {
		fmt.Fprintln(a.stderr, "warning:", w)
	}
	text, err := source.YAML()
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(text)
	return err
}

// oneLine tells a problem without the line that it is in.
func oneLine(p config.Problem) string {
	place := ""
	switch {
	case p.Line > 0:
		place = fmt.Sprintf("%s:%d: ", p.Source, p.Line)
	case p.Source != "":
		place = p.Source + ": "
	}
	return place + p.Key + ": " + p.Message
}

func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "config", "c", "", "the configuration file; without one: loopback, ./godwit-data, open mode")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml") // only for completions; it fails for a flag that does not exist
}

// newBroker assembles a broker that does not run yet: what is wrong with its gateways is a mistake of configuration too.
func newBroker(source *config.Source, opt broker.Options) (*broker.Broker, error) {
	b, err := broker.New(source.Config, opt)
	if err != nil {
		return nil, misconfigured(placed(source, err))
	}
	return b, nil
}

// placed gives problems that were found by the parts their place in the file.
func placed(source *config.Source, err error) error {
	if problems := (config.Problems)(nil); errors.As(err, &problems) {
		return source.Place(problems)
	}
	return err
}

// readConfig reads a configuration; what is wrong with it is a mistake of usage.
func readConfig(file string) (*config.Source, error) {
	source, err := config.Read(file, os.Environ())
	if err != nil {
		return nil, misconfigured(err)
	}
	return source, nil
}

// load is readConfig for those who need not know where values come from.
func load(file string) (config.Config, error) {
	source, err := readConfig(file)
	if err != nil {
		return config.Config{}, err
	}
	return source.Config, nil
}

func misconfigured(err error) error {
	if problems := (config.Problems)(nil); errors.As(err, &problems) {
		err = errors.New("\n" + problems.Error())
	}
	return &failure{exitUsage, "config", err}
}
