package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/seed-7a41469f/godwit/internal/typo"
)

// The exit status.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitConnect = 3
)

// A failure ends a command.
type failure struct {
	exit int
	word string // stable
	err  error
}

func (f *failure) Error() string { return f.word + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func failed(word, format string, args ...any) error {
	return &failure{exitFailed, word, fmt.Errorf(format, args...)}
}

func usage(format string, args ...any) error {
	return &failure{exitUsage, "usage", fmt.Errorf(format, args...)}
}

func unreachable(format string, args ...any) error {
	return &failure{exitConnect, "connect", fmt.Errorf(format, args...)}
}

// An app is one run of the program.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	json           bool
	started        bool // the command line was understood
}

// run is the program.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{exitFailed, "failed", err}
		if !a.started {
			f = &failure{exitUsage, "usage", err}
		}
	}
	fmt.Fprintln(stderr, f.Error())
	return f.exit
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "godwit",
		Short:         "Messages to a phone number, by push or else by SMS",
		Long:          "Godwit reaches a phone number whichever way works: it pushes over MQTT, and sends an SMS when no device acknowledges.",
		Example:       "  godwit demo\n  godwit serve --config godwit.yaml\n  GODWIT_USER=ann godwit send --wait 4917604069001 'Running late'",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON: one object a line")
	root.SetFlagErrorFunc(flagError)
	root.SuggestionsMinimumDistance = 2
	root.AddCommand(a.demoCmd(), a.serveCmd(), a.checkCmd(), a.sendCmd(), a.listenCmd(), a.userCmd(), a.messagesCmd(), a.explainCmd(), a.retryCmd(),
		a.gatewayCmd(), a.optOutCmd(), a.unmatchedCmd(), a.healthCmd(), a.versionCmd())
	a.markStart(root)
	return root
}

// markStart notes when a command begins: until then every error is one of usage.
func (a *app) markStart(cmd *cobra.Command) {
	if do := cmd.RunE; do != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.started = true
			return do(cmd, args)
		}
	}
	for _, c := range cmd.Commands() {
		a.markStart(c)
	}
}

// flagError adds what was meant.
func flagError(cmd *cobra.Command, err error) error {
	name, ok := strings.CutPrefix(err.Error(), "unknown flag: --")
	if ok {
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
		if near, found := typo.Nearest(name, known); found {
			return usage("%w; did you mean --%s?", err, near)
		}
	}
	return usage("%w; godwit help %s shows what there is", err, strings.TrimPrefix(cmd.CommandPath(), "godwit "))
}

// group is a command that only has commands below it.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var names []string
		for _, c := range cmd.Commands() {
			names = append(names, c.Name())
		}
		if len(args) == 0 {
			return usage("%s needs one of: %s", cmd.CommandPath(), strings.Join(names, ", "))
		}
		if near, ok := typo.Nearest(args[0], names); ok {
			return usage("%s has no command %q; did you mean %s?", cmd.CommandPath(), args[0], near)
		}
		return usage("%s has no command %q; there are %s", cmd.CommandPath(), args[0], strings.Join(names, ", "))
	}
	return cmd
}

// terminal reports whether people read the output as it comes.
func (a *app) terminal() bool { return isTerminal(a.stdout) }

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// env returns a flag's value, else that of a variable.
func env(flag, variable string) string {
	if flag != "" {
		return flag
	}
	return os.Getenv(variable)
}
