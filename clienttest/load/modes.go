package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-7a41469f/godwit/clienttest/loadgen"
)

func newPairs(t *targetFlags) *cobra.Command {
	var o loadgen.FlowOptions
	cmd := &cobra.Command{
		Use:   "pairs",
		Short: "Closed loop: pairs of a sender and a receiver, so many messages in flight a sender",
		RunE:  func(cmd *cobra.Command, _ []string) error { return flow(cmd, t, o) },
	}
	cmd.Flags().Uint64Var(&o.Count, "count", 0, "messages in all (default: for the duration)")
	addFlow(cmd, t, &o, 64)
	return cmd
}

func newRate(t *targetFlags) *cobra.Command {
	var o loadgen.FlowOptions
	cmd := &cobra.Command{
		Use:   "rate",
		Short: "Open loop: messages are due at a fixed rate, and latency counts from then",
		RunE:  func(cmd *cobra.Command, _ []string) error { return flow(cmd, t, o) },
	}
	cmd.Flags().Float64Var(&o.Rate, "rate", 2000, "messages a second, all senders together")
	addFlow(cmd, t, &o, 1024)
	return cmd
}

func addFlow(cmd *cobra.Command, t *targetFlags, o *loadgen.FlowOptions, window int) {
	t.add(cmd)
	addFlowShape(cmd, o)
	cmd.Flags().IntVar(&o.Window, "window", window, "messages in flight a sender, at most")
	cmd.Flags().BoolVar(&o.Persistent, "persistent", false, "receivers have persistent sessions")
	cmd.Flags().BoolVar(&o.ReceiptsToSelf, "read-receipts", false, "senders subscribe to their own receipts")
}

func addFlowShape(cmd *cobra.Command, o *loadgen.FlowOptions) {
	fs := cmd.Flags()
	fs.IntVar(&o.Pairs, "pairs", 50, "pairs of a sender and a receiver")
	fs.IntVar(&o.Payload, "payload", 128, "bytes a message")
	fs.DurationVar(&o.Warmup, "warmup", 0, "not measured, but counted")
	fs.DurationVar(&o.Duration, "duration", 0, "of the measurement (default 5s)")
	fs.DurationVar(&o.Settle, "settle", 0, "how long nothing must move before what is missing is lost (default 5s)")
}

func flow(cmd *cobra.Command, f *targetFlags, o loadgen.FlowOptions) error {
	t, err := f.target()
	if err != nil {
		return err
	}
	r, err := loadgen.Flow(cmd.Context(), t, o)
	if err != nil {
		return err
	}
	if err := f.print(cmd.OutOrStdout(), r, flowTable(r)); err != nil {
		return err
	}
	return r.Tally.Check(f.allow...)
}

func newIdle(t *targetFlags) *cobra.Command {
	var o loadgen.IdleOptions
	var web bool
	cmd := &cobra.Command{
		Use:   "idle",
		Short: "Connections with one subscription each, and what the broker's memory grows by",
		RunE: func(cmd *cobra.Command, _ []string) error {
			target, err := t.target()
			if err != nil {
				return err
			}
			target.Web = web
			r, err := loadgen.Idle(cmd.Context(), target, o)
			if err != nil {
				return err
			}
			return t.print(cmd.OutOrStdout(), r, idleTable(r))
		},
	}
	t.add(cmd)
	addIdle(cmd.Flags(), &o)
	cmd.Flags().BoolVar(&web, "ws", false, "over WebSocket: --addr is the HTTP port, and --ca makes it wss")
	return cmd
}

func addIdle(fs *pflag.FlagSet, o *loadgen.IdleOptions) {
	fs.IntVar(&o.Connections, "connections", 10_000, "how many")
	fs.IntVar(&o.Parallel, "parallel", 64, "how many connect at a time")
	fs.DurationVar(&o.Keepalive, "keepalive", 0, "of each (default 10m)")
	fs.DurationVar(&o.Hold, "hold", 0, "before the memory is read (default 2s)")
	fs.BoolVar(&o.Persistent, "persistent", false, "with persistent sessions")
}

func newStorm(t *targetFlags) *cobra.Command {
	var o loadgen.StormOptions
	cmd := &cobra.Command{
		Use:   "storm",
		Short: "Clients lose their connections and reconnect all at once",
		RunE: func(cmd *cobra.Command, _ []string) error {
			target, err := t.target()
			if err != nil {
				return err
			}
			r, err := loadgen.Storm(cmd.Context(), target, o)
			if err != nil {
				return err
			}
			if err := t.print(cmd.OutOrStdout(), r, stormTable(r)); err != nil {
				return err
			}
			return r.Check()
		},
	}
	t.add(cmd)
	fs := cmd.Flags()
	fs.IntVar(&o.Clients, "clients", 5_000, "how many")
	fs.BoolVar(&o.Clean, "clean", false, "with clean sessions instead of resumed ones")
	fs.DurationVar(&o.Gap, "gap", 0, "between the loss and the storm (default 1s)")
	fs.DurationVar(&o.Timeout, "timeout", 0, "for all to be back (default 1m)")
	return cmd
}

func newOffline(t *targetFlags) *cobra.Command {
	var o loadgen.OfflineOptions
	cmd := &cobra.Command{
		Use:   "offline",
		Short: "Store messages for receivers that are away, then let them come back",
		RunE: func(cmd *cobra.Command, _ []string) error {
			target, err := t.target()
			if err != nil {
				return err
			}
			r, err := loadgen.Offline(cmd.Context(), target, o)
			if err != nil {
				return err
			}
			if err := t.print(cmd.OutOrStdout(), r, offlineTable(r)); err != nil {
				return err
			}
			return r.Tally.Check(t.allow...)
		},
	}
	t.add(cmd)
	fs := cmd.Flags()
	fs.IntVar(&o.Receivers, "receivers", 50, "how many, each with a sender")
	fs.Uint64Var(&o.Messages, "messages", 100_000, "in all")
	fs.IntVar(&o.Window, "window", 64, "messages in flight a sender")
	fs.IntVar(&o.Payload, "payload", 128, "bytes a message")
	fs.DurationVar(&o.Settle, "settle", 0, "how long nothing must move before what is missing is lost (default 5s)")
	return cmd
}
