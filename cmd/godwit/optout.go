package main

import (
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/seed-7a41469f/godwit/api"
)

const optOutsPath = "/v1/admin/optouts"

func (a *app) optOutCmd() *cobra.Command {
	cmd := group(&cobra.Command{
		Use: "optout", Short: "Numbers that get no SMS any more",
		Example: "  godwit optout list\n  godwit optout add 4917604069001 --note 'asked by phone'\n  godwit optout remove 4917604069001",
	})
	cmd.AddCommand(a.optOutListCmd(), a.optOutAddCmd(), a.optOutRemoveCmd())
	return cmd
}

func (a *app) optOutListCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List numbers that opted out, by a stop word or by an operator", Args: cobra.NoArgs}
	client := operatorFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o, err := client()
		if err != nil {
			return err
		}
		return pages(cmd.Context(), o, optOutsPath, func(page api.OptOuts) (next string, err error) {
			return page.Next, a.optOuts(page.OptOuts)
		})
	}
	return cmd
}

func (a *app) optOuts(all []api.OptOut) error {
	return list(a, []string{"number", "at", "by", "note"}, all, func(o api.OptOut) []string {
		by := "operator"
		if o.Word != "" {
			by = printable(o.Word) + " by " + o.Gateway
		}
		return []string{o.Number, o.At, by, printable(o.Note)}
	})
}

func (a *app) optOutAddCmd() *cobra.Command {
	var note string
	cmd := &cobra.Command{
		Use: "add NUMBER", Short: "Send no SMS to a number any more", Args: cobra.ExactArgs(1),
		Example: "  godwit optout add '+49 176 0406 9001' --note 'asked by phone'",
	}
	client := operatorFlags(cmd)
	cmd.Flags().StringVar(&note, "note", "", "why; for yourself")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		number, err := numberArg(args[0])
		if err != nil {
			return err
		}
		o, err := client()
		if err != nil {
			return err
		}
		var added api.OptOut
		if _, err := o.ask(cmd.Context(), "POST", optOutsPath, map[string]string{"number": number, "note": note}, &added); err != nil {
			return err
		}
		return a.optOuts([]api.OptOut{added})
	}
	return cmd
}

func (a *app) optOutRemoveCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "remove NUMBER", Short: "Let a number get SMS again; only do so when its owner asks for it", Args: cobra.ExactArgs(1),
	}
	client := operatorFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		number, err := numberArg(args[0])
		if err != nil {
			return err
		}
		o, err := client()
		if err != nil {
			return err
		}
		if _, err := o.ask(cmd.Context(), "DELETE", optOutsPath+"/"+url.PathEscape(number), nil, nil); err != nil {
			return err
		}
		if a.json {
			return a.object(map[string]any{"number": number, "removed": true})
		}
		_, err = fmt.Fprintln(a.stdout, "removed", number)
		return err
	}
	return cmd
}
