package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/internal/typo"
)

// A choice is the value of a flag that is one of a few words.
type choice struct {
	word  string
	words []string
}

var _ pflag.Value = (*choice)(nil)

func (c *choice) String() string { return c.word }
func (c *choice) Type() string   { return "WORD" }

func (c *choice) Set(text string) (err error) {
	c.word, err = oneOf(text, c.words)
	return err
}

// oneOf returns a word that is one of some, in any case; the error names them, and the one that was probably meant.
func oneOf(text string, words []string) (string, error) {
	for _, w := range words {
		if strings.EqualFold(text, w) {
			return w, nil
		}
	}
	return "", fmt.Errorf("is none of %s%s", strings.Join(words, ", "), meant(text, words, ""))
}

// choiceFlag adds a flag that is one of some words. They are also what a shell offers; a word may be followed by a tab and what it means.
func choiceFlag(cmd *cobra.Command, c *choice, name, does string, offers ...string) {
	for _, one := range offers {
		word, _, _ := strings.Cut(one, "\t")
		c.words = append(c.words, word)
	}
	cmd.Flags().Var(c, name, does+": "+strings.Join(c.words, ", "))
	offerFlag(cmd, name, fixed(offers...))
}

// A span is the value of a flag that is a duration, written as in the configuration.
type span struct{ time.Duration }

var _ pflag.Value = (*span)(nil)

func (s *span) Type() string { return "DURATION" }

func (s *span) String() string {
	if s.Duration == 0 {
		return ""
	}
	return s.Duration.String()
}

func (s *span) Set(text string) error {
	d, err := config.ParseDuration(text)
	s.Duration = d.Std()
	return err
}

// meant asks whether another word was, of those that there are.
func meant(text string, words []string, prefix string) string {
	if near, ok := typo.Nearest(text, words); ok && near != "" {
		return "; did you mean " + prefix + near + "?"
	}
	return ""
}

// takes checks how many arguments a command has, and says which are wanted.
func takes(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		n := len(args)
		if n >= least && n <= most {
			return nil
		}
		whole := cmd.Parent().CommandPath() + " " + cmd.Use
		switch {
		case n < least:
			return usage("too few arguments for %s", whole)
		case most == 0:
			return usage("%q is too much for %s, which takes no argument%s", args[0], cmd.CommandPath(), elsewhere(cmd, args[0]))
		case strings.Contains(cmd.Use, "TEXT"):
			return usage("too many arguments for %s; quote a TEXT of several words", whole)
		}
		return usage("too many arguments for %s", whole)
	}
}

// elsewhere knows an argument that is a command of its own: godwit messages explain.
func elsewhere(cmd *cobra.Command, arg string) string {
	for _, c := range cmd.Root().Commands() {
		if c.Name() == arg {
			return "; there is " + c.CommandPath()
		}
	}
	return ""
}

// flagError adds what was meant.
func flagError(cmd *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		cause := errors.Unwrap(err)
		var number *strconv.NumError
		if errors.As(err, &number) {
			cause = fmt.Errorf("is no %s", map[bool]string{true: "truth value: true or false", false: "whole number"}[invalid.GetFlag().Value.Type() == "bool"])
		}
		return usage("--%s %q %w", invalid.GetFlag().Name, invalid.GetValue(), cause)
	}
	if name, ok := strings.CutPrefix(err.Error(), "unknown flag: --"); ok {
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
		if near := meant(name, known, "--"); near != "" {
			return usage("%w%s", err, near)
		}
	}
	return usage("%w; godwit help%s shows what there is", err, strings.TrimPrefix(cmd.CommandPath(), "godwit"))
}

// group is a command that only has commands below it.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.FParseErrWhitelist.UnknownFlags = true // they belong to the command that is missing or misspelt, which is what has to be said
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage("%s needs one of: %s", cmd.CommandPath(), strings.Join(below(cmd), ", "))
		}
		return unknownCommand(cmd, args[0])
	}
	return cmd
}

// below are the names of the commands below one.
func below(cmd *cobra.Command) (names []string) {
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

func unknownCommand(cmd *cobra.Command, name string) error {
	names := below(cmd)
	if near := meant(name, names, cmd.CommandPath()+" "); near != "" {
		return usage("%s has no command %q%s", cmd.CommandPath(), name, near)
	}
	return usage("%s has no command %q; there are %s", cmd.CommandPath(), name, strings.Join(names, ", "))
}

func (a *app) helpCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "help [COMMAND]...", Short: "Explain a command", Example: "  godwit help send\n  godwit help user token",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			switch {
			case err != nil:
				return unknownCommand(cmd.Root(), args[0])
			case len(rest) > 0 && about.HasSubCommands():
				return unknownCommand(about, rest[0])
			case len(rest) > 0:
				return usage("%s has no commands below it", about.CommandPath())
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) (found []cobra.Completion, _ cobra.ShellCompDirective) {
		about, rest, err := cmd.Root().Find(args)
		if err != nil || len(rest) > 0 {
			return nil, noFiles
		}
		for _, c := range about.Commands() {
			if c.IsAvailableCommand() {
				found = append(found, cobra.CompletionWithDesc(c.Name(), c.Short))
			}
		}
		return found, noFiles
	}
	return cmd
}
