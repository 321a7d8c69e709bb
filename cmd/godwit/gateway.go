package main

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-7a41469f/godwit/api"
)

const gatewaysPath = "/v1/admin/gateways"

func (a *app) gatewayCmd() *cobra.Command {
	cmd := group(&cobra.Command{
		Use: "gateway", Short: "SMS gateways: how they fare, and what an operator can do about it",
		Example: "  godwit gateway list\n  godwit gateway test carrier 4917604069001\n  godwit gateway pause carrier --drain",
	})
	cmd.AddCommand(a.gatewayListCmd(), a.gatewayTestCmd(), a.gatewayPauseCmd(), a.gatewayResumeCmd(), a.gatewayWireCmd())
	return cmd
}

func gatewayPath(name, do string) string { return gatewaysPath + "/" + url.PathEscape(name) + "/" + do }

func (a *app) gatewayListCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List gateways and how they fare", Args: cobra.NoArgs}
	client := operatorFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o, err := client()
		if err != nil {
			return err
		}
		var list api.Gateways
		if _, err := o.ask(cmd.Context(), "GET", gatewaysPath, nil, &list); err != nil {
			return err
		}
		return a.gateways(list.Gateways)
	}
	return cmd
}

// gateways prints them in their order.
func (a *app) gateways(all []api.Gateway) error {
	return list(a, []string{"name", "kind", "state", "under way", "rate", "waiting", "wire"}, all, func(g api.Gateway) []string {
		rate := "any"
		if g.Rate > 0 {
			rate = strconv.FormatFloat(g.Rate, 'f', -1, 64) + "/s"
		}
		under := fmt.Sprintf("%d of %d", g.Under, g.Window)
		return []string{g.Name, g.Kind, gatewayState(g, time.Local), under, rate, strconv.Itoa(g.Waiting), onOff(g.Wire)}
	})
}

// gatewayState says in words how a gateway fares.
func gatewayState(g api.Gateway, zone *time.Location) string {
	var words []string
	if g.Paused {
		words = append(words, "paused")
	}
	if !g.Linked {
		words = append(words, "not connected")
	}
	if until, err := time.Parse(time.RFC3339Nano, g.Until); err == nil {
		words = append(words, "waits until "+until.In(zone).Format("15:04:05"))
	}
	if g.Cause != "" {
		words = append(words, printable(g.Cause))
	}
	if len(words) == 0 {
		return "works"
	}
	return strings.Join(words, ", ")
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func (a *app) gatewayTestCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "test NAME NUMBER [TEXT]", Short: "Send one SMS through a gateway and say what became of it", Args: cobra.RangeArgs(2, 3),
		Long: "Send one SMS through a gateway, past the routes and even while it is paused. It costs what an SMS costs, and is refused where\n" +
			"budgets, caps or prefixes refuse it. Whether it arrives the phone tells: its delivery report belongs to no message.",
		Example: "  godwit gateway test carrier 4917604069001\n  godwit gateway test carrier '+49 176 0406 9001' 'Is this thing on?'",
	}
	client := operatorFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		number, err := numberArg(args[1])
		if err != nil {
			return err
		}
		o, err := client()
		if err != nil {
			return err
		}
		ask := map[string]string{"number": number}
		if len(args) == 3 {
			ask["text"] = args[2]
		}
		o.client.Timeout = testTimeout
		var result api.Test
		if _, err := o.ask(cmd.Context(), "POST", gatewayPath(args[0], "test"), ask, &result); err != nil {
			return err
		}
		return a.tested(result)
	}
	return cmd
}

// testTimeout is longer than any sms.response_timeout.
const testTimeout = 15 * time.Minute

func (a *app) tested(t api.Test) error {
	if a.json {
		if err := a.object(t); err != nil {
			return err
		}
	} else {
		var rows [][]string
		for _, s := range t.Segments {
			result := "taken"
			if s.Error != "" {
				result = printable(s.Error)
			}
			rows = append(rows, []string{strconv.Itoa(s.Segment), result, printable(s.ID)})
		}
		if err := a.table([]string{"segment", "result", "id"}, rows); err != nil {
			return err
		}
	}
	if !t.Taken {
		return failed("not_taken", "the gateway %s did not take the SMS", t.Gateway)
	}
	return nil
}

func (a *app) gatewayPauseCmd() *cobra.Command {
	var drain bool
	cmd := &cobra.Command{
		Use: "pause NAME", Short: "Let a gateway take nothing new; others take over where the routes have some", Args: cobra.ExactArgs(1),
		Long:    "Let a gateway take nothing new, until it is resumed or the broker starts anew. What is under way ends; --drain waits for that.",
		Example: "  godwit gateway pause carrier --drain",
	}
	client := operatorFlags(cmd)
	cmd.Flags().BoolVar(&drain, "drain", false, "wait until nothing is under way any more")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		path := gatewayPath(args[0], "pause")
		if drain {
			path += "?drain=true"
		}
		return a.orderGateway(cmd, client, path, nil, func(g api.Gateway) bool { return !drain || g.Under == 0 })
	}
	return cmd
}

// orderGateway orders something of a gateway, again until it is done, and prints how the gateway fares.
func (a *app) orderGateway(cmd *cobra.Command, client func() (*operator, error), path string, body any, done func(api.Gateway) bool) error {
	o, err := client()
	if err != nil {
		return err
	}
	for {
		var g api.Gateway
		if _, err := o.ask(cmd.Context(), "POST", path, body, &g); err != nil {
			return err
		}
		if done(g) {
			return a.gateways([]api.Gateway{g})
		}
	}
}

func atOnce(api.Gateway) bool { return true }

func (a *app) gatewayResumeCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "resume NAME", Short: "Let a paused gateway work again", Args: cobra.ExactArgs(1)}
	client := operatorFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.orderGateway(cmd, client, gatewayPath(args[0], "resume"), nil, atOnce)
	}
	return cmd
}

func (a *app) gatewayWireCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "wire NAME on|off", Short: "Log what goes over a gateway's wire, without secrets and texts, numbers masked", Args: cobra.ExactArgs(2),
		Long:    "Log what goes over a gateway's wire: commands, states, lengths. Secrets and texts are left out, numbers masked. It ends with the broker.",
		Example: "  godwit gateway wire carrier on",
	}
	client := operatorFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if args[1] != "on" && args[1] != "off" {
			return usage("%q is neither on nor off", args[1])
		}
		return a.orderGateway(cmd, client, gatewayPath(args[0], "wire"), map[string]bool{"on": args[1] == "on"}, atOnce)
	}
	return cmd
}

// numberArg is a number as a person types it. The broker reads it, since it knows sms.region.
func numberArg(text string) (string, error) {
	if !strings.ContainsAny(text, "0123456789") {
		return "", &failure{exitUsage, "address", fmt.Errorf("%q is not a number such as 4915112345678", text)}
	}
	return text, nil
}
