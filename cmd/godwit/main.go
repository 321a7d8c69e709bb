// Command godwit is the broker and its tools; godwit help lists them.
//
// Results go to standard output and nothing else does; what went wrong goes to standard error and begins with one stable word. The exit
// status is 0 when it is done, 1 when it failed or was refused, 2 for a mistake in how it was called or configured, 3 when nothing could
// be reached.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
