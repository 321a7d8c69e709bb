package main

import (
	"context"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/picture"
)

const unmatchedPath = "/v1/admin/unmatched"

func (a *app) unmatchedCmd() *cobra.Command {
	cmd := group(&cobra.Command{
		Use: "unmatched", Short: "SMS that came in and belong to no conversation",
		Example: "  godwit unmatched list\n  godwit unmatched assign 01KASVW5G00ZT4Q8C3M9E7XB5R 4917604069001",
	})
	cmd.AddCommand(a.unmatchedListCmd(), a.unmatchedAssignCmd())
	return cmd
}

func (a *app) unmatchedListCmd() *cobra.Command {
	var limit int
	cmd := &cobra.Command{Use: "list", Short: "List them, newest first", Args: cobra.NoArgs}
	client := operatorFlags(cmd)
	cmd.Flags().IntVar(&limit, "limit", 50, "how many at most")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if limit < 1 {
			return usage("--limit %d is not a positive number", limit)
		}
		o, err := client()
		if err != nil {
			return err
		}
		for q := (url.Values{}); limit > 0; {
			q.Set("limit", strconv.Itoa(min(limit, 1000)))
			var page api.Unmatched
			if _, err := o.ask(cmd.Context(), "GET", unmatchedPath+"?"+q.Encode(), nil, &page); err != nil {
				return err
			}
			if err := a.unmatched(page.Unmatched); err != nil || page.Next == "" {
				return err
			}
			limit -= len(page.Unmatched)
			q.Set("before", page.Next)
		}
		return nil
	}
	return cmd
}

func (a *app) unmatched(all []api.UnmatchedSMS) error {
	return list(a, []string{"id", "at", "from", "to", "text"}, all, func(m api.UnmatchedSMS) []string {
		return []string{m.ID, m.At, printable(m.From), m.To, printable(m.Text)}
	})
}

func (a *app) unmatchedAssignCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "assign ID ADDRESS", Short: "Give an SMS to the user that it is for", Args: cobra.ExactArgs(2),
		Long: "Give an SMS to the user that it is for: it comes into that user's inbox, in the conversation with whoever wrote it.",
	}
	aboutMessage(cmd, func(ctx context.Context, o *operator, id delivery.ID, rest []string) error {
		var m picture.Message
		if _, err := o.ask(ctx, "POST", unmatchedPath+"/"+id.String()+"/assign", map[string]string{"address": rest[0]}, &m); err != nil {
			return err
		}
		return a.page([]picture.Message{m})
	})
	return cmd
}
