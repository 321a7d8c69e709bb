package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
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
	f := a.failure(ctx, root, args, err)
	fmt.Fprintln(stderr, f.Error())
	return f.exit
}

// failure is what an error of a command means for the exit status.
func (a *app) failure(ctx context.Context, root *cobra.Command, args []string, err error) (f *failure) {
	if !a.started {
		if _, rest, unknown := root.Find(args); unknown != nil { // cobra tells it in several lines
			if i := slices.IndexFunc(rest, func(arg string) bool { return !strings.HasPrefix(arg, "-") }); i >= 0 {
				err = unknownCommand(root, rest[i])
			}
		}
	}
	switch {
	case errors.As(err, &f):
		return f
	case !a.started:
		return &failure{exitUsage, "usage", err}
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return &failure{exitFailed, "interrupted", errors.New("ended before it was done")}
	}
	return &failure{exitFailed, "failed", err}
}

const rootLong = `Godwit reaches a phone number whichever way works: it pushes over MQTT, and sends an SMS when no device acknowledges.

What a client says and hears: send, listen. What an operator does: serve, check, user, messages, explain, retry, gateway, optout, unmatched,
health. Client commands find the broker by --server, --user and --token or GODWIT_SERVER, GODWIT_USER and GODWIT_TOKEN; operator commands by
--admin or GODWIT_ADMIN and GODWIT_ADMIN_TOKEN, by --config, or by the socket in ./godwit-data.

Results go to standard output and nothing else does; with --json they are JSON, one object a line. What went wrong goes to standard error
and begins with one stable word. The exit status is 0 when it is done, 1 when it failed or was refused, 2 for a mistake in the command line or
the configuration, 3 when nothing could be reached.`

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "godwit",
		Short:         "Messages to a phone number, by push or else by SMS",
		Long:          rootLong,
		Example:       "  godwit demo\n  godwit serve --config godwit.yaml\n  GODWIT_USER=ann godwit send --wait 4917604069001 'Running late'",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       thisVersion().String(),
	}
	root.SetVersionTemplate("godwit {{.Version}}\n")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON: one object a line")
	root.SetFlagErrorFunc(flagError)
	root.CompletionOptions.SetDefaultShellCompDirective(noFiles)
	root.AddCommand(a.demoCmd(), a.serveCmd(), a.checkCmd(), a.sendCmd(), a.listenCmd(), a.userCmd(), a.messagesCmd(), a.explainCmd(), a.retryCmd(),
		a.gatewayCmd(), a.optOutCmd(), a.unmatchedCmd(), a.healthCmd(), a.versionCmd(), a.completionCmd(), a.manCmd())
	root.SetHelpCommand(a.helpCmd())
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
