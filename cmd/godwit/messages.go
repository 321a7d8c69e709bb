package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/picture"
)

// stateOffers are the states that a message rests in, and what they mean.
var stateOffers = []string{
	"accepted\ton disk, on its way", "waiting\tno device answers, and no SMS is allowed or possible", "submitting\tclaimed for SMS",
	"submitted\ta gateway has it", "unknown\ta gateway may or may not have it", "delivered\ta device or the carrier says so", "failed\tnothing more can be done",
	"expired\tits time ran out",
}

func (a *app) messagesCmd() *cobra.Command {
	var state choice
	var to, from string
	var limit int
	var open bool
	cmd := &cobra.Command{
		Use: "messages", Short: "List messages, newest first", Args: takes(0, 0),
		Example: "  godwit messages --open\n  godwit messages --state waiting\n  godwit messages --to 4917604069001 --json",
	}
	client := operatorFlags(cmd)
	choiceFlag(cmd, &state, "state", "only those in this state", stateOffers...)
	cmd.Flags().StringVar(&to, "to", "", "only those to this address")
	cmd.Flags().StringVar(&from, "from", "", "only those from this address")
	offerFlag(cmd, "to", fromOperator(client, userAddresses))
	offerFlag(cmd, "from", fromOperator(client, userAddresses))
	cmd.Flags().BoolVar(&open, "open", false, "only those that are not settled, whatever they wait for")
	cmd.MarkFlagsMutuallyExclusive("open", "state")
	cmd.Flags().IntVar(&limit, "limit", 50, "how many at most")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q := url.Values{}
		for name, text := range map[string]string{"to": to, "from": from} {
			if text == "" {
				continue
			}
			address, err := addressOf(text)
			if err != nil {
				return err
			}
			q.Set(name, string(address))
		}
		if state.word != "" {
			q.Set("state", state.word)
		}
		if open {
			q.Set("open", "true")
		}
		if limit < 1 {
			return usage("--limit %d is not a positive number", limit)
		}
		o, err := client()
		if err != nil {
			return err
		}
		return a.list(cmd, o, q, limit)
	}
	return cmd
}

// list prints up to limit messages, page by page.
func (a *app) list(cmd *cobra.Command, o *operator, q url.Values, limit int) error {
	for limit > 0 {
		n := min(limit, 1000)
		q.Set("limit", strconv.Itoa(n))
		var page api.Messages
		if _, err := o.ask(cmd.Context(), "GET", "/v1/admin/messages?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		if err := a.page(page.Messages); err != nil || page.Next == "" {
			return err
		}
		limit -= len(page.Messages)
		q.Set("before", page.Next)
	}
	return nil
}

func (a *app) page(messages []picture.Message) error {
	return list(a, []string{"id", "created", "from", "to", "state", "path"}, messages, func(m picture.Message) []string {
		small := picture.Small(picture.Path{Message: m}, time.Local)
		return []string{m.ID, m.Created, printable(m.From), m.To, m.State, small}
	})
}

func (a *app) explainCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain ID", Short: "Why a message went the way it went", Args: takes(1, 1),
		Example: "  godwit explain 01KASVW5G00ZT4Q8C3M9E7XB5R",
	}
	aboutMessage(cmd, []values{messageIDs("")}, func(ctx context.Context, o *operator, id delivery.ID, _ []string) error {
		var p picture.Path
		if _, err := o.ask(ctx, "GET", "/v1/admin/messages/"+id.String(), nil, &p); err != nil {
			return err
		}
		if a.json {
			return a.object(p)
		}
		_, err := fmt.Fprintf(a.stdout, "%s\n%s", picture.Text(p, time.Local), picture.Full(p, time.Local))
		return err
	})
	return cmd
}

func (a *app) retryCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "retry ID", Short: "Send a failed message again, under its key", Args: takes(1, 1),
		Example: "  godwit retry 01KASVW5G00ZT4Q8C3M9E7XB5R",
	}
	aboutMessage(cmd, []values{messageIDs("&state=failed")}, func(ctx context.Context, o *operator, id delivery.ID, _ []string) error {
		var m picture.Message
		if _, err := o.ask(ctx, "POST", "/v1/admin/messages/"+id.String()+"/retry", nil, &m); err != nil {
			return err
		}
		return a.page([]picture.Message{m})
	})
	return cmd
}

// aboutMessage has a command whose first argument is the id of a message ask an operator's broker about it; rest are the other arguments, and offers
// what a shell is offered for each.
func aboutMessage(cmd *cobra.Command, offers []values, run func(ctx context.Context, o *operator, id delivery.ID, rest []string) error) {
	client := operatorFlags(cmd)
	var each []cobra.CompletionFunc
	for _, ask := range offers {
		each = append(each, fromOperator(client, ask))
	}
	offerArgs(cmd, each...)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := delivery.ParseID(args[0])
		if err != nil {
			return usage("%q is %w", args[0], err)
		}
		o, err := client()
		if err != nil {
			return err
		}
		return run(cmd.Context(), o, id, args[1:])
	}
}

// probeTimeout is how long a broker may take to say how it is.
const probeTimeout = 10 * time.Second

func (a *app) healthCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "health", Short: "Exit 0 when the broker is ready", Args: takes(0, 0), Example: "  godwit health\n  godwit health --admin http://127.0.0.1:8080"}
	client := operatorFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o, err := client()
		if err != nil {
			return err
		}
		var h api.Health
		ctx, cancel := context.WithTimeout(cmd.Context(), probeTimeout)
		defer cancel()
		status, err := o.ask(ctx, "GET", "/readyz", nil, &h)
		if err != nil {
			return err
		}
		if err := a.health(h); err != nil {
			return err
		}
		if status != http.StatusOK {
			return &failure{exitFailed, "unready", errors.New("the broker does not take messages")}
		}
		return nil
	}
	return cmd
}

func (a *app) health(h api.Health) error {
	if a.json {
		return a.object(h)
	}
	ready := "not ready"
	if h.Ready {
		ready = "ready"
	}
	_, err := fmt.Fprintf(a.stdout, "%s: store %s, disk %s, recovery %s\n", ready, h.Store, h.Disk, h.Recovery)
	if err == nil && h.Alarm != "" {
		_, err = fmt.Fprintln(a.stdout, "alarm:", h.Alarm)
	}
	return err
}
