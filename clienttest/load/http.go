package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-7a41469f/godwit/clienttest/loadgen"
)

func newHTTP() *cobra.Command {
	var run smsRun
	var o loadgen.HTTPOptions
	cmd := &cobra.Command{
		Use:   "http",
		Short: "Messages that are posted by HTTP, one after the other over each connection, to receivers by MQTT",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			binary, remove, err := run.binary(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, remove()) }()
			g, err := newGodwit(binary, "")
			if err != nil {
				return err
			}
			p, err := g.start(cmd.Context(), run.dir)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, p.stop()) }()
			r, err := loadgen.HTTP(cmd.Context(), p.target, p.http, o)
			if err != nil {
				return err
			}
			if err := run.print(cmd, r, httpTable(r)); err != nil {
				return err
			}
			return r.Tally.Check()
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&run.godwit, "godwit", "", "the `PATH` of the godwit binary (default: built for the run)")
	fs.StringVar(&run.dir, "dir", "", "a `DIRECTORY` on the disk to be measured (default: the system's temporary one)")
	fs.BoolVar(&run.json, "json", false, "print one JSON object")
	fs.IntVar(&o.Connections, "connections", 64, "how many, each of a user of its own")
	fs.IntVar(&o.Payload, "payload", 128, "bytes a message")
	fs.BoolVar(&o.Away, "away", false, "receivers connect when all is posted")
	fs.DurationVar(&o.Warmup, "warmup", time.Second, "not measured, but counted")
	fs.DurationVar(&o.Duration, "duration", 5*time.Second, "of the measurement")
	return cmd
}

func httpTable(r loadgen.HTTPResult) table {
	t := table{head: []string{
		"connections", "msg/s", "broker us/msg", "load us/msg", "202 p50 ms", "p99", "max", "received p50 ms", "p99", "steal %", "RSS MiB", "sent", "lost", "dup", "disorder", "other faults",
	}}
	t.add(r.Connections, rate(r.Costs), micros(r.Costs.BrokerMicros), micros(r.Costs.LoadMicros), ms(r.Answer.P50), ms(r.Answer.P99), ms(r.Answer.Max),
		ms(r.Latency.P50), ms(r.Latency.P99), fmt.Sprintf("%.1f", r.Costs.StealPercent), mib(r.Costs.BrokerRSS),
		r.Tally.Sent, r.Tally.Lost, r.Tally.Duplicates, r.Tally.OutOfOrder, otherFaults(r.Tally))
	return t
}
