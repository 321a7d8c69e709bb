package main

import (
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/contacts"
)

const usersPath = "/v1/admin/users"

func (a *app) userCmd() *cobra.Command {
	cmd := group(&cobra.Command{
		Use: "user", Short: "Users: who may log in and be written to",
		Example: "  godwit user add 4917604069001\n  godwit user token 4917604069001 --device laptop\n  godwit user list",
	})
	cmd.AddCommand(a.userAddCmd(), a.userListCmd(), a.userShowCmd(), a.userRemoveCmd(), a.userTokenCmd())
	return cmd
}

// addressOf reads an address as a person types it: + and the blanks in a number are forgiven.
func addressOf(text string) (contacts.Address, error) {
	bare := text
	if len(text) > 0 && text[0] == '+' {
		bare = ""
		for _, r := range text[1:] {
			if r != ' ' && r != '-' {
				bare += string(r)
			}
		}
	}
	address, err := contacts.ParseAddress(bare)
	if err != nil {
		return "", &failure{exitUsage, "address", fmt.Errorf("%q: %w", text, err)}
	}
	return address, nil
}

func userPath(address contacts.Address) string {
	return usersPath + "/" + url.PathEscape(string(address))
}

func (a *app) userAddCmd() *cobra.Command {
	var device string
	cmd := &cobra.Command{
		Use: "add ADDRESS", Short: "Register a number or a name, and print its first token", Args: cobra.ExactArgs(1),
		Long:    "Register a number or a name. The token is printed once and kept nowhere in the clear.",
		Example: "  godwit user add 4917604069001\n  godwit user add boiler --device cellar",
	}
	broker := operatorFlags(cmd)
	cmd.Flags().StringVar(&device, "device", "", "a label for the token")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.credential(cmd, broker, args[0], func(contacts.Address) string { return usersPath }, device)
	}
	return cmd
}

// credential asks for a new token and prints it.
func (a *app) credential(cmd *cobra.Command, client func() (*operator, error), text string, path func(contacts.Address) string, device string) error {
	address, o, err := about(text, client)
	if err != nil {
		return err
	}
	ask := map[string]string{"device": device}
	if path(address) == usersPath {
		ask["address"] = string(address)
	}
	var c api.Credential
	if _, err := o.ask(cmd.Context(), "POST", path(address), ask, &c); err != nil {
		return err
	}
	if a.json {
		return a.object(c)
	}
	return a.table([]string{"address", "token", "id"}, [][]string{{c.Address, c.Token, c.ID}})
}

func (a *app) userListCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List users", Args: cobra.NoArgs}
	client := operatorFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o, err := client()
		if err != nil {
			return err
		}
		return pages(cmd.Context(), o, usersPath, func(page api.Users) (next string, err error) {
			return page.Next, a.users(page.Users)
		})
	}
	return cmd
}

func (a *app) users(users []api.User) error {
	return list(a, []string{"address", "registered", "devices", "tokens", "last seen"}, users, func(u api.User) []string {
		registered := "no"
		if u.Registered {
			registered = "yes"
		}
		return []string{u.Address, registered, strconv.Itoa(len(u.Devices)), strconv.Itoa(len(u.Tokens)), u.LastSeen}
	})
}

func (a *app) userShowCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "show ADDRESS", Short: "Show one user: devices, tokens, last seen", Args: cobra.ExactArgs(1)}
	client := operatorFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		address, err := addressOf(args[0])
		if err != nil {
			return err
		}
		o, err := client()
		if err != nil {
			return err
		}
		var u api.User
		if _, err := o.ask(cmd.Context(), "GET", userPath(address), nil, &u); err != nil {
			return err
		}
		if a.json {
			return a.object(u)
		}
		return a.showUser(u)
	}
	return cmd
}

func (a *app) showUser(u api.User) error {
	rows := [][]string{{"address", u.Address}, {"registered", strconv.FormatBool(u.Registered)}, {"since", u.Since}, {"last seen", u.LastSeen}}
	for _, t := range u.Tokens {
		rows = append(rows, []string{"token", t.ID + "  " + printable(t.Device) + "  issued " + t.Created})
	}
	for _, d := range u.Devices {
		state := "connected"
		if d.Away != "" {
			state = "away since " + d.Away + ", remembered for " + d.Expiry
		}
		rows = append(rows, []string{"device", printable(d.ClientID) + "  " + state})
	}
	return a.table([]string{"field", "value"}, rows)
}

func (a *app) userRemoveCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "remove ADDRESS", Short: "Remove a user: its connections end, its tokens are void", Args: cobra.ExactArgs(1)}
	client := operatorFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.remove(cmd, client, args[0], func(address contacts.Address) string { return userPath(address) }, "removed")
	}
	return cmd
}

// remove deletes what a path names, and says so.
func (a *app) remove(cmd *cobra.Command, client func() (*operator, error), text string, path func(contacts.Address) string, done string) error {
	address, o, err := about(text, client)
	if err != nil {
		return err
	}
	if _, err := o.ask(cmd.Context(), "DELETE", path(address), nil, nil); err != nil {
		return err
	}
	if a.json {
		return a.object(map[string]any{"address": address, done: true})
	}
	_, err = fmt.Fprintln(a.stdout, done, address)
	return err
}

func (a *app) userTokenCmd() *cobra.Command {
	var device, revoke string
	var all bool
	cmd := &cobra.Command{
		Use: "token ADDRESS", Short: "Issue a token, or revoke one", Args: cobra.ExactArgs(1),
		Example: "  godwit user token 4917604069001 --device 'kitchen tablet'\n  godwit user token 4917604069001 --revoke 7f3a\n  godwit user token 4917604069001 --all",
	}
	client := operatorFlags(cmd)
	cmd.Flags().StringVar(&device, "device", "", "a label for the new token")
	cmd.Flags().StringVar(&revoke, "revoke", "", "revoke the token with this id instead; godwit user show lists them")
	cmd.Flags().BoolVar(&all, "all", false, "revoke all tokens instead")
	cmd.MarkFlagsMutuallyExclusive("device", "revoke", "all")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		tokens := func(address contacts.Address) string { return userPath(address) + "/tokens" }
		switch {
		case all:
			return a.remove(cmd, client, args[0], tokens, "revoked")
		case cmd.Flags().Changed("revoke") && revoke == "":
			return usage("--revoke needs the id of a token; --all revokes all of them")
		case revoke != "":
			return a.remove(cmd, client, args[0], func(address contacts.Address) string { return tokens(address) + "/" + url.PathEscape(revoke) }, "revoked")
		}
		return a.credential(cmd, client, args[0], tokens, device)
	}
	return cmd
}

// about reads whom a command is about, and only then looks for the broker that it goes to.
func about(text string, client func() (*operator, error)) (contacts.Address, *operator, error) {
	address, err := addressOf(text)
	if err != nil {
		return "", nil, err
	}
	o, err := client()
	return address, o, err
}
