package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-7a41469f/godwit/clienttest/loadgen"
)

// A comparison runs the same loads on several brokers in turn, so that what the machine does meanwhile hits them alike.
type comparison struct {
	contenders []contender
	o          loadgen.FlowOptions
	windows    []int
	rates      []float64
	rounds     int
	version    byte
	receipts   string
	dir        string
	progress   io.Writer
}

func newCompare() *cobra.Command {
	var c comparison
	var mosquitto, godwit, godwitConfig, mqtt string
	var mochi, asJSON bool
	cmd := &cobra.Command{
		Use:   "compare",
		Short: "Run the same loads on mosquitto, mochi and godwit in turn, and print the table",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if c.version, err = version(mqtt, c.receipts); err != nil {
				return err
			}
			if err := c.choose(mosquitto, mochi, godwit, godwitConfig); err != nil {
				return err
			}
			c.progress = cmd.ErrOrStderr()
			return compare(cmd, &c, asJSON)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&mosquitto, "mosquitto", "/usr/sbin/mosquitto", "its `PATH`; empty: leave it out")
	fs.BoolVar(&mochi, "mochi", false, "a stock mochi broker too")
	fs.StringVar(&godwit, "godwit", "", "the `PATH` of the godwit binary")
	fs.StringVar(&godwitConfig, "godwit-config", "", "its configuration `FILE` (default: on disk, open mode, limits lifted), with {port}, {port2} and {dir}")
	fs.StringVar(&c.dir, "dir", "", "a `DIRECTORY` on the disk to be measured (default: the system's temporary one)")
	fs.IntVar(&c.rounds, "rounds", 3, "how often each broker has its turn")
	fs.IntSliceVar(&c.windows, "windows", []int{1, 16, 64, 256}, "closed loops: messages in flight a sender")
	fs.Float64SliceVar(&c.rates, "rates", []float64{2000}, "open loops: messages a second")
	addMQTT(cmd, &mqtt, &c.receipts)
	addFlowShape(cmd, &c.o)
	fs.BoolVar(&c.o.Persistent, "persistent", false, "receivers have persistent sessions")
	fs.BoolVar(&asJSON, "json", false, "print every run as one JSON object a line instead of the table")
	return cmd
}

func (c *comparison) choose(mosquitto string, mochi bool, godwit, configFile string) error {
	if mosquitto != "" {
		c.contenders = append(c.contenders, newMosquitto(mosquitto))
	}
	if mochi {
		m, err := newStockMochi()
		if err != nil {
			return err
		}
		c.contenders = append(c.contenders, m)
	}
	if godwit != "" {
		g, err := newGodwit(godwit, configFile)
		if err != nil {
			return err
		}
		c.contenders = append(c.contenders, g)
	}
	if len(c.contenders) == 0 {
		return fmt.Errorf("%w: nothing to compare: give --mosquitto, --mochi or --godwit", errUsage)
	}
	return nil
}

// A load is what all brokers get alike.
type load struct {
	name string
	o    loadgen.FlowOptions
}

func (c *comparison) loads() (all []load) {
	for _, w := range c.windows {
		o := c.o
		o.Window = w
		all = append(all, load{fmt.Sprintf("W=%d", w), o})
	}
	for _, r := range c.rates {
		o := c.o
		o.Rate, o.Window = r, 0
		all = append(all, load{fmt.Sprintf("%.0f/s offered", r), o})
	}
	return all
}

// A result is one run of one load on one broker.
type result struct {
	Broker string             `json:"broker"`
	Load   string             `json:"load"`
	Round  int                `json:"round"`
	Flow   loadgen.FlowResult `json:"result"`
}

func compare(cmd *cobra.Command, c *comparison, asJSON bool) error {
	results, err := c.run(cmd.Context())
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if asJSON {
		for _, r := range results {
			if err := json.NewEncoder(out).Encode(r); err != nil {
				return err
			}
		}
	} else if err := c.markdown(out, results); err != nil {
		return err
	}
	return faults(results)
}

// faults are those of Godwit: what others lose or reorder is in the table, and their affair.
func faults(results []result) (err error) {
	for _, r := range results {
		if strings.HasPrefix(r.Broker, "godwit") {
			if e := r.Flow.Tally.Check(); e != nil {
				err = errors.Join(err, fmt.Errorf("%s, %s, round %d: %w", r.Broker, r.Load, r.Round, e))
			}
		}
	}
	return err
}

func (c *comparison) run(ctx context.Context) (all []result, err error) {
	for round := range c.rounds {
		for _, b := range c.contenders {
			rs, err := c.turn(ctx, b, round+1)
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", b.name, round+1, err)
			}
			all = append(all, rs...)
		}
	}
	return all, nil
}

// turn starts a broker afresh, gives it all loads and stops it.
func (c *comparison) turn(ctx context.Context, b contender, round int) (all []result, err error) {
	p, err := b.start(ctx, c.dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	t := p.target
	t.Version = c.version
	if !b.plain {
		t.Receipts = c.receipts
	}
	for _, l := range c.loads() {
		r, err := loadgen.Flow(ctx, t, l.o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.name, err)
		}
		fmt.Fprintf(c.progress, "round %d  %-24s %-16s %8.0f msg/s  %6.1f us/msg  p99 %7.2f ms  steal %.1f %%\n",
			round, b.name, l.name, r.Costs.PerSecond, r.Costs.BrokerMicros, r.Latency.P99, r.Costs.StealPercent)
		all = append(all, result{b.name, l.name, round, r})
	}
	return all, nil
}

// markdown prints one row a broker and load: the run with the median rate, or at an offered rate the median p99.
func (c *comparison) markdown(w io.Writer, results []result) error {
	fmt.Fprintf(w, "Measured on %s on %s; medians of %d rounds in turn.\n\n", time.Now().Format(time.DateOnly), machine(), c.rounds)
	fmt.Fprintf(w, "    %s\n\n", strings.Join(append([]string{"load"}, os.Args[1:]...), " "))
	fmt.Fprintln(w, "| load | broker | msg/s (least to most) | ratio | CPU us/msg: broker / load | p50 / p99 ms | RSS MiB | steal % | lost / doubled / out of order | other faults |")
	_, err := fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|")
	for _, l := range c.loads() {
		var first float64
		for _, b := range c.contenders {
			runs := runsOf(results, b.name, l.name)
			if first == 0 {
				first = median(runs).Costs.PerSecond
			}
			if _, werr := fmt.Fprintln(w, row(l.name, b.name, runs, first)); werr != nil {
				return werr
			}
		}
	}
	return err
}

// runsOf returns the runs of one load on one broker, ordered by what their median is about.
func runsOf(results []result, broker, load string) (runs []loadgen.FlowResult) {
	for _, r := range results {
		if r.Broker == broker && r.Load == load {
			runs = append(runs, r.Flow)
		}
	}
	slices.SortFunc(runs, func(a, b loadgen.FlowResult) int {
		if a.Offered > 0 {
			return cmp.Compare(a.Latency.P99, b.Latency.P99)
		}
		return cmp.Compare(a.Costs.PerSecond, b.Costs.PerSecond)
	})
	return runs
}

func median(runs []loadgen.FlowResult) loadgen.FlowResult { return runs[len(runs)/2] }

func row(load, broker string, runs []loadgen.FlowResult, first float64) string {
	m := median(runs)
	least, most := m.Costs.PerSecond, m.Costs.PerSecond
	var sum loadgen.Tally
	for _, r := range runs {
		least, most = min(least, r.Costs.PerSecond), max(most, r.Costs.PerSecond)
		sum.Add(r.Tally)
	}
	return fmt.Sprintf("| %s | %s | %.0f (%.0f to %.0f) | %.2f | %.1f / %.1f | %.2f / %.2f | %s | %.1f | %d / %d / %d of %d | %s |",
		load, broker, m.Costs.PerSecond, least, most, m.Costs.PerSecond/first, m.Costs.BrokerMicros, m.Costs.LoadMicros,
		m.Latency.P50, m.Latency.P99, mib(m.Costs.BrokerRSS), m.Costs.StealPercent,
		sum.Lost, sum.Duplicates, sum.OutOfOrder, sum.Sent, otherFaults(sum))
}
