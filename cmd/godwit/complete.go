package main

import (
	"cmp"
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/picture"
)

// completionTime is how long a shell waits for values that the broker knows.
const completionTime = time.Second

// offered is how many values a shell is given at most.
const offered = 100

// noFiles ends every completion: the values are all there are, in their order.
const noFiles = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder

// offerArgs completes the arguments of a command, each with values of its own; nil: there is nothing to offer.
func offerArgs(cmd *cobra.Command, each ...cobra.CompletionFunc) {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= len(each) || each[len(args)] == nil {
			return nil, noFiles
		}
		return each[len(args)](cmd, args, typed)
	}
}

// offerFlag completes the value of a flag.
func offerFlag(cmd *cobra.Command, name string, values cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(name, values); err != nil {
		panic(err) // a flag that is not there, or is completed twice: a mistake in this program
	}
}

// fixed offers what is known without asking: a word, or one with its description as cobra.CompletionWithDesc makes it.
func fixed(words ...string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return fitting(words, typed), noFiles
	}
}

// fitting are those that go on as typed.
func fitting(all []cobra.Completion, typed string) (fit []cobra.Completion) {
	for _, one := range all {
		if len(fit) < offered && strings.HasPrefix(strings.ToLower(one), strings.ToLower(typed)) {
			fit = append(fit, one)
		}
	}
	return fit
}

// Values are asked for with what is on the command line: the arguments before, and what is typed of this one.
type values func(ctx context.Context, o *operator, args []string, typed string) ([]cobra.Completion, error)

// fromOperator offers what the broker knows. When none answers in time there is nothing to offer, and nothing is said about it: it would
// stand in the middle of what somebody types.
func fromOperator(client func() (*operator, error), ask values) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		o, err := client()
		if err != nil {
			return nil, noFiles
		}
		found, err := ask(ctx, o, args, typed)
		if err != nil {
			return nil, noFiles
		}
		return fitting(found, typed), noFiles
	}
}

func described(value string, words ...string) cobra.Completion {
	return cobra.CompletionWithDesc(value, printable(strings.Join(words, " ")))
}

// userAddresses are those of users, with a plus where one is typed.
func userAddresses(ctx context.Context, o *operator, _ []string, typed string) (found []cobra.Completion, err error) {
	bare, plus := strings.CutPrefix(typed, "+")
	var page api.Users
	if _, err := o.ask(ctx, "GET", usersPath+"?limit=100&after="+url.QueryEscape(bare), nil, &page); err != nil {
		return nil, err
	}
	for _, u := range page.Users {
		address := u.Address
		if plus {
			address = "+" + address
		}
		found = append(found, described(address, userState(u)))
	}
	return found, nil
}

func userState(u api.User) string {
	if !u.Registered {
		return "not registered"
	}
	for _, d := range u.Devices {
		if d.Away == "" {
			return "connected"
		}
	}
	if u.LastSeen != "" {
		return "last seen " + u.LastSeen
	}
	return "never seen"
}

// tokenIDs are those of the user before.
func tokenIDs(ctx context.Context, o *operator, args []string, _ string) (found []cobra.Completion, err error) {
	if len(args) == 0 {
		return nil, nil
	}
	address, err := addressOf(args[0])
	if err != nil {
		return nil, err
	}
	var u api.User
	if _, err := o.ask(ctx, "GET", userPath(address), nil, &u); err != nil {
		return nil, err
	}
	for _, t := range u.Tokens {
		found = append(found, described(t.ID, cmp.Or(t.Device, "no label")+", issued "+t.Created))
	}
	return found, nil
}

// messageIDs are those of messages that a query finds, the newest first.
func messageIDs(query string) values {
	return func(ctx context.Context, o *operator, _ []string, _ string) (found []cobra.Completion, err error) {
		var page api.Messages
		if _, err := o.ask(ctx, "GET", "/v1/admin/messages?limit=100"+query, nil, &page); err != nil {
			return nil, err
		}
		for _, m := range page.Messages {
			found = append(found, described(m.ID, clock(m.Created), m.From, "→", m.To, picture.Small(picture.Path{Message: m}, time.Local)))
		}
		return found, nil
	}
}

func gatewayNames(ctx context.Context, o *operator, _ []string, _ string) (found []cobra.Completion, err error) {
	var page api.Gateways
	if _, err := o.ask(ctx, "GET", gatewaysPath, nil, &page); err != nil {
		return nil, err
	}
	for _, g := range page.Gateways {
		found = append(found, described(g.Name, g.Kind+":", gatewayState(g, time.Local)))
	}
	return found, nil
}

func optOutNumbers(ctx context.Context, o *operator, _ []string, typed string) (found []cobra.Completion, err error) {
	bare, plus := strings.CutPrefix(typed, "+")
	var page api.OptOuts
	if _, err := o.ask(ctx, "GET", optOutsPath+"?limit=100&after="+url.QueryEscape(bare), nil, &page); err != nil {
		return nil, err
	}
	for _, one := range page.OptOuts {
		number := one.Number
		if plus {
			number = "+" + number
		}
		found = append(found, described(number, one.At, one.Word, one.Note))
	}
	return found, nil
}

// unmatchedIDs say who wrote and when, but not what.
func unmatchedIDs(ctx context.Context, o *operator, _ []string, _ string) (found []cobra.Completion, err error) {
	var page api.Unmatched
	if _, err := o.ask(ctx, "GET", unmatchedPath+"?limit=100", nil, &page); err != nil {
		return nil, err
	}
	for _, m := range page.Unmatched {
		found = append(found, described(m.ID, m.At, "from", m.From))
	}
	return found, nil
}
