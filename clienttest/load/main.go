// Command load puts an MQTT broker under load and says what it did with every single message: rate, latency, the broker's processor time and
// memory, and what was lost, doubled or out of order, which makes the exit status 1.
//
//	go run ./clienttest/load pairs --addr 127.0.0.1:1883 --pid $(pidof godwit)
//	go run ./clienttest/load compare --godwit ./godwit --windows 1,64
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// errUsage is wrapped by errors about the command line; they make the exit status 2.
var errUsage = errors.New("usage")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd := newCommand()
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	switch err := cmd.ExecuteContext(ctx); {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, err)
		return 2
	default:
		fmt.Fprintln(stderr, "load:", err)
		return 1
	}
}

func newCommand() *cobra.Command {
	t := &targetFlags{}
	root := &cobra.Command{
		Use:           "load",
		Short:         "Put an MQTT broker under load and count what becomes of every message",
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	root.AddCommand(newPairs(t), newRate(t), newIdle(t), newDoors(), newStorm(t), newOffline(t), newCompare(), newMochi(), newSMS(), newSMSDown(), newHTTP())
	for _, cmd := range root.Commands() {
		cmd.Args = noArgs
	}
	root.AddCommand(newKill())
	return root
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%w: %s takes no argument, but %q was given", errUsage, cmd.CommandPath(), args[0])
	}
	return nil
}
