package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-7a41469f/godwit/clienttest/killloop"
)

func newKill() *cobra.Command {
	var c killloop.Config
	var mqtt string
	var asJSON, verbose bool
	cmd := &cobra.Command{
		Use:   "kill [flags] -- COMMAND [ARG]...",
		Short: "Kill a server again and again under load, and check what it promised",
		Long: "Kill starts COMMAND, loads it, kills it with SIGKILL at random moments and starts it again. {port}, {port2} and {data} in COMMAND\n" +
			"and in --env stand for two free ports on loopback and a directory that stays. COMMAND must not be a shell that outlives it.",
		Example: "  load kill --kills 50 --env GODWIT_DATA={data} --env GODWIT_LISTEN__MQTT=127.0.0.1:{port} \\\n" +
			"    --env GODWIT_LISTEN__HTTP=127.0.0.1:{port2} --env GODWIT_LIMITS__SEND_RATE=100000/s -- ./godwit serve",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) == 0 {
				return fmt.Errorf("%w: a command line after -- was expected", errUsage)
			}
			if c.Version, err = version(mqtt, ""); err != nil {
				return err
			}
			if verbose {
				c.Output = cmd.ErrOrStderr()
			}
			c.Command = args
			return kill(cmd, c, asJSON)
		},
	}
	fs := cmd.Flags()
	fs.IntVar(&c.Kills, "kills", 50, "how often")
	fs.DurationVar(&c.UpMin, "up-min", 100*time.Millisecond, "a kill comes at least this long after the server was ready")
	fs.DurationVar(&c.UpMax, "up-max", 3*time.Second, "and at most this long")
	fs.DurationVar(&c.StartMax, "start-max", 30*time.Second, "within which a started server must accept a client")
	fs.DurationVar(&c.Settle, "settle", 10*time.Second, "how long nothing must arrive before what is missing is lost")
	fs.DurationVar(&c.Away, "away", 500*time.Millisecond, "receivers are away, and there, for up to this long in turn")
	fs.Uint64Var(&c.Seed, "seed", 0, "of the random moments (default: a new one)")
	fs.IntVar(&c.Senders, "senders", 4, "how many")
	fs.IntVar(&c.Receivers, "receivers", 3, "how many; every sender writes to each")
	fs.IntVar(&c.Window, "window", 32, "unacknowledged messages a sender")
	fs.IntVar(&c.Rate, "rate", 1000, "messages a second and sender")
	fs.StringVar(&c.UserPrefix, "user-prefix", "kill-", "the users' addresses start with it; digits make them numbers")
	fs.StringVar(&c.Password, "password", "kill", "of every user")
	fs.StringVar(&c.Data, "data", "", "an empty `DIRECTORY` for {data} (default: a temporary one, kept when something was found)")
	fs.StringArrayVar(&c.Env, "env", nil, "`NAME=VALUE` for the server")
	fs.StringVar(&mqtt, "mqtt", "3.1.1", "protocol version, 3.1.1 or 5")
	fs.BoolVar(&asJSON, "json", false, "print one JSON object")
	fs.BoolVar(&verbose, "verbose", false, "pass on what the server writes")
	return cmd
}

func kill(cmd *cobra.Command, c killloop.Config, asJSON bool) (err error) {
	temporary := c.Data == ""
	if temporary {
		if c.Data, err = os.MkdirTemp("", "killloop-"); err != nil {
			return err
		}
	}
	r, err := killloop.Run(cmd.Context(), c)
	if err == nil {
		err = printKill(cmd, r, asJSON)
	}
	if err == nil {
		err = r.Check()
	}
	switch {
	case !temporary:
		return err
	case err != nil:
		return fmt.Errorf("%w\nthe server's data is left in %s", err, c.Data)
	}
	return os.RemoveAll(c.Data)
}

func printKill(cmd *cobra.Command, r killloop.Report, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
	}
	t := table{head: strings.Split("kills,slowest start,acknowledged,resent,arrived,copies,dropped,lost,disorder,created twice,misrouted,sessions lost,refused,strange", ",")}
	t.add(r.Kills, r.SlowestStart.Round(time.Millisecond), r.Acknowledged, r.Resent, r.Arrived, r.Copies, r.Dropped,
		r.Lost, r.OutOfOrder, r.CreatedTwice, r.Misrouted, r.SessionsLost, r.Refused, r.Strange)
	return t.write(cmd.OutOrStdout())
}
