package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-7a41469f/godwit/clienttest/loadgen"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

// An smsRun is a broker with an SMSC of this process.
type smsRun struct {
	godwit, dir string
	window      int
	latency     time.Duration
	json        bool
}

// smsConfig is godwitConfig with one SMPP gateway, prices, and budgets and caps that are counted but never reached. The store is as durable as ever.
const smsConfig = godwitConfig + `sms:
  numbers: ["4915112345678"]
  price: {"49": "0.01 EUR", "*": "0.05 EUR"}
  budget: {day: "1000000 EUR", month: "10000000 EUR"}
  caps: {sender_day: 1000000000, recipient_day: 1000000000, prefix_hour: 1000000000}
  gateways:
    - {name: smsc, kind: smpp, addr: "%s", system_id: load, window: %d, rate: %g/s}
`

func newSMS() *cobra.Command {
	var run smsRun
	var o loadgen.SMSOptions
	cmd := &cobra.Command{
		Use:   "sms",
		Short: "Messages to numbers without the app, through one SMPP session without a rate limit",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run.with(cmd.Context(), 0, func(t loadgen.Target, smsc *smstest.SMPP) error {
				r, err := loadgen.SMS(cmd.Context(), t, smsc, o)
				if err != nil {
					return err
				}
				if err := run.print(cmd, r, smsTable(r)); err != nil {
					return err
				}
				return r.Tally.Check()
			})
		},
	}
	run.add(cmd, &o, 50_000)
	return cmd
}

func newSMSDown() *cobra.Command {
	var run smsRun
	var o loadgen.SMSDownOptions
	cmd := &cobra.Command{
		Use:   "sms-down",
		Short: "Messages that wait while the SMSC is down, what they cost in memory, and how they drain at the gateway's rate",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run.with(cmd.Context(), o.Rate, func(t loadgen.Target, smsc *smstest.SMPP) error {
				smsc.Stop()
				r, err := loadgen.SMSDown(cmd.Context(), t, smsc, o)
				if err != nil {
					return err
				}
				if err := run.print(cmd, r, smsDownTable(r)); err != nil {
					return err
				}
				return r.Check()
			})
		},
	}
	run.add(cmd, &o.SMSOptions, 100_000)
	cmd.Flags().Float64Var(&o.Rate, "rate", 500, "segments a second that the gateway may submit")
	cmd.Flags().DurationVar(&o.Rest, "rest", 30*time.Second, "between the last PUBACK and the SMSC's return")
	return cmd
}

func (run *smsRun) add(cmd *cobra.Command, o *loadgen.SMSOptions, messages uint64) {
	fs := cmd.Flags()
	fs.StringVar(&run.godwit, "godwit", "", "the `PATH` of the godwit binary (default: built for the run)")
	fs.StringVar(&run.dir, "dir", "", "a `DIRECTORY` on the disk to be measured (default: the system's temporary one)")
	fs.IntVar(&run.window, "window", 50, "of the SMPP session")
	fs.DurationVar(&run.latency, "latency", 0, "how long the SMSC takes to answer a submit_sm")
	fs.BoolVar(&run.json, "json", false, "print one JSON object")
	fs.Uint64Var(&o.Messages, "messages", messages, "in all")
	fs.IntVar(&o.Senders, "senders", 50, "how many publish")
	fs.IntVar(&o.Window, "publishes", 64, "publishes in flight a sender")
	fs.DurationVar(&o.Settle, "settle", 40*time.Second, "how long nothing must move before what is missing is lost")
}

func (run *smsRun) print(cmd *cobra.Command, result any, t table) error {
	return (&targetFlags{json: run.json}).print(cmd.OutOrStdout(), result, t)
}

// with runs fn on a new broker whose gateway may submit at a rate, 0: at any, to an SMSC that is up.
func (run *smsRun) with(ctx context.Context, rate float64, fn func(loadgen.Target, *smstest.SMPP) error) (err error) {
	binary, remove, err := run.binary(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	smsc := smstest.NewSMPP(smstest.SMPPOptions{Latency: run.latency, Deliveries: 50})
	defer smsc.Close()
	g, err := newGodwit(binary, "")
	if err != nil {
		return err
	}
	g.config = fmt.Sprintf(smsConfig, smsc.Addr, run.window, rate)
	p, err := g.start(ctx, run.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if err := smsc.Bound(ctx, 1); err != nil {
		return err
	}
	return fn(p.target, smsc)
}

// binary returns the program to be measured, built when none was named, and what removes it then.
func (run *smsRun) binary(ctx context.Context) (path string, remove func() error, err error) {
	if run.godwit != "" {
		return run.godwit, func() error { return nil }, nil
	}
	dir, err := os.MkdirTemp("", "load-")
	if err != nil {
		return "", nil, err
	}
	remove = func() error { return os.RemoveAll(dir) }
	path = filepath.Join(dir, "godwit")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/seed-7a41469f/godwit/cmd/godwit").CombinedOutput()
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("build godwit: %w: %s", err, out), remove())
	}
	return path, remove, nil
}

func smsTable(r loadgen.SMSResult) table {
	t := table{head: []string{
		"messages", "accepted/s", "submits/s", "ended/s", "broker us/msg", "load us/msg", "DLR p50 ms", "p99", "receipt p50 ms", "p99", "RSS MiB", "steal %",
		"lost", "doubled", "unreported", "other faults",
	}}
	t.add(r.Tally.Acked, rate(r.Accepted), fmt.Sprintf("%.0f", r.PerSecond), rate(r.Ended), micros(r.Ended.BrokerMicros), micros(r.Ended.LoadMicros),
		ms(r.DLR.P50), ms(r.DLR.P99), ms(r.Receipt.P50), ms(r.Receipt.P99), mib(r.Ended.BrokerRSS), fmt.Sprintf("%.1f", r.Ended.StealPercent),
		r.Tally.Lost, r.Tally.Doubled, r.Tally.Unreported, r.Tally.Refused+r.Tally.Damaged+r.Tally.Violations)
	return t
}

func smsDownTable(r loadgen.SMSDownResult) table {
	t := table{head: []string{
		"messages", "accepted/s", "RSS before MiB", "peak", "settled", "CPU at rest %", "submits/s", "of the rate", "broker us/msg", "lost", "doubled", "unreported", "other faults",
	}}
	t.add(r.Tally.Acked, rate(r.Accepted), mib(r.RSSBefore), mib(r.RSSPeak), mib(r.RSSSettled), fmt.Sprintf("%.1f", r.RestCPU),
		fmt.Sprintf("%.0f", r.PerSecond), fmt.Sprintf("%.3f", r.Ratio), micros(r.Drained.BrokerMicros),
		r.Tally.Lost, r.Tally.Doubled, r.Tally.Unreported, r.Tally.Refused+r.Tally.Damaged+r.Tally.Violations)
	return t
}
