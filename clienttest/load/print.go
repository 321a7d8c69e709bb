package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/seed-7a41469f/godwit/clienttest/loadgen"
)

// A table is a head and rows of cells.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = fmt.Sprint(c)
	}
	t.rows = append(t.rows, row)
}

func (t *table) write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, c := range row {
			if i > 0 {
				fmt.Fprint(tw, "\t")
			}
			fmt.Fprint(tw, c)
		}
		fmt.Fprintln(tw)
	}
	return tw.Flush()
}

func (f *targetFlags) print(w io.Writer, result any, t table) error {
	if f.json {
		return json.NewEncoder(w).Encode(result)
	}
	return t.write(w)
}

func flowTable(r loadgen.FlowResult) table {
	t := table{head: []string{
		"pairs", "window", "msg/s", "broker us/msg", "load us/msg", "p50 ms", "p95", "p99", "max", "late p99", "steal %", "RSS MiB",
		"sent", "lost", "dup", "disorder", "other faults",
	}}
	t.add(r.Pairs, r.Window, rate(r.Costs), micros(r.Costs.BrokerMicros), micros(r.Costs.LoadMicros),
		ms(r.Latency.P50), ms(r.Latency.P95), ms(r.Latency.P99), ms(r.Latency.Max), ms(r.LateBy.P99),
		fmt.Sprintf("%.1f", r.Costs.StealPercent), mib(r.Costs.BrokerRSS),
		r.Tally.Sent, r.Tally.Lost, r.Tally.Duplicates, r.Tally.OutOfOrder, otherFaults(r.Tally))
	return t
}

func idleTable(r loadgen.IdleResult) table {
	t := table{head: []string{"connections", "seconds", "RSS before MiB", "after", "bytes/connection"}}
	t.add(r.Connections, fmt.Sprintf("%.2f", r.Seconds), mib(r.RSSBefore), mib(r.RSSAfter), fmt.Sprintf("%.0f", r.PerConnection))
	return t
}

func stormTable(r loadgen.StormResult) table {
	t := table{head: []string{"clients", "clean", "seconds", "CONNACK p50 ms", "p99", "retries", "resumed", "steady MiB", "peak MiB", "peak/steady"}}
	t.add(r.Clients, r.Clean, fmt.Sprintf("%.2f", r.Seconds), ms(r.Connack.P50), ms(r.Connack.P99), r.Retries, r.Resumed,
		mib(r.SteadyRSS), mib(r.PeakRSS), fmt.Sprintf("%.2f", r.PeakRatio))
	return t
}

func offlineTable(r loadgen.OfflineResult) table {
	t := table{head: []string{
		"receivers", "messages", "stored/s", "broker us/msg", "drained/s", "broker us/msg", "resumed", "lost", "dup", "disorder", "other faults",
	}}
	t.add(r.Receivers, r.Tally.Sent, rate(r.Stored), micros(r.Stored.BrokerMicros), rate(r.Drained), micros(r.Drained.BrokerMicros),
		r.Resumed, r.Tally.Lost, r.Tally.Duplicates, r.Tally.OutOfOrder, otherFaults(r.Tally))
	return t
}

func otherFaults(t loadgen.Tally) string {
	if err := t.Check("lost", "duplicates", "out_of_order"); err != nil {
		return err.Error()
	}
	return "none"
}

func rate(c loadgen.Costs) string { return fmt.Sprintf("%.0f", c.PerSecond) }

func micros(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", v)
}

func ms(v float64) string { return fmt.Sprintf("%.2f", v) }

func mib(bytes int64) string {
	if bytes == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", float64(bytes)/(1<<20))
}
