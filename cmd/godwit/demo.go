package main

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/sms/console"
)

// The cast. Its numbers are kept for films and the like; nobody has them.
const (
	numberOurs = "4917604069000" // that SMS come from and are answered to
	numberAnn  = "4917604069001"
	numberBo   = "4917604069002"
	numberCleo = "4917604069003" // has no app
)

func (a *app) demoCmd() *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use: "demo", Short: "A broker, two phones and an SMS network on this machine; the whole method told live", Args: takes(0, 0),
		Long: "Run a broker on loopback with a temporary data directory, two phones that speak MQTT to it, and an SMS network that prints what\n" +
			"it gets. Five messages take the five paths; then everything stays up to be tried. No account, no file and no network is needed.",
		Example: "  godwit demo\n  godwit demo --once",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.demo(cmd.Context(), once)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "end after the five paths")
	return cmd
}

// A demo is the stage: a broker as godwit serve runs it, and who takes part.
type demo struct {
	story   *story
	broker  *broker.Broker
	network *console.Gateway
	ask     *operator
	ann, bo *phone
	phones  []*phone // all that were switched on
}

func (a *app) demo(ctx context.Context, once bool) (err error) {
	dir, err := os.MkdirTemp("", "godwit-demo-")
	if err != nil {
		return failed("demo", "%w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	d := &demo{story: &story{app: a}}
	d.network = console.New(console.Config{Name: "network", Out: d.story.network(), JSON: true, DLR: 300 * time.Millisecond})
	d.broker, err = broker.New(demoConfig(dir), broker.Options{
		Log: zerolog.New(zerolog.ConsoleWriter{Out: a.stderr, NoColor: true}).Level(zerolog.WarnLevel), Gateways: []sms.Gateway{d.network},
	})
	if err != nil {
		return failed("demo", "%w", err)
	}
	return d.run(ctx, once)
}

// run plays while the broker runs. Interrupted is how a demo ends.
func (d *demo) run(ctx context.Context, once bool) (err error) {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	stage, leave := context.WithCancelCause(ctx)
	ended := make(chan error, 1)
	go func() {
		err := d.broker.Run(running)
		leave(failed("demo", "the broker has ended: %w", err))
		ended <- err
	}()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()
	select {
	case <-d.broker.Ready():
	case <-stage.Done():
		return nil // by ctx, or the broker's own error is returned
	}
	if err = d.play(stage, once); ctx.Err() != nil {
		return nil
	}
	return err
}

// demoConfig is that of godwit serve without a file, apart from where things are, waits short enough to watch, and a number to answer to.
func demoConfig(dir string) config.Config {
	cfg := config.Default()
	cfg.Data = config.Path(dir)
	cfg.Listen.MQTT = freeAddress(cfg.Listen.MQTT)
	cfg.Listen.HTTP = freeAddress(cfg.Listen.HTTP)
	cfg.Limits.DiskFree = 1 // a full disk is not what this is about
	cfg.Push.RestartGrace = 0
	cfg.Push.OfflineGrace = config.Duration(2 * time.Second)
	cfg.SMS.Numbers = []string{numberOurs}
	return cfg
}

// freeAddress is the well-known address, or any port when that is taken.
func freeAddress(address string) string {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "127.0.0.1:0"
	}
	if l.Close() != nil {
		return "127.0.0.1:0"
	}
	return address
}

// play opens the phones, takes the five paths, and stays.
func (d *demo) play(ctx context.Context, once bool) (err error) {
	where := d.broker.Addresses()
	if d.ask, err = newOperator(where.Admin, "", trust{}); err != nil {
		return err
	}
	server := "mqtt://" + where.MQTT
	d.story.open(where)
	defer d.switchOff()
	if d.ann, err = d.switchOn(ctx, server, "Ann", numberAnn); err != nil {
		return err
	}
	if d.bo, err = d.switchOn(ctx, server, "Bo", numberBo); err != nil {
		return err
	}
	for i, p := range paths {
		d.story.chapter(i+1, p.title, p.words)
		if err := d.take(ctx, p); err != nil {
			return err
		}
	}
	if once {
		d.story.end()
		return nil
	}
	if d.bo, err = d.switchOn(ctx, server, "Bo", numberBo); err != nil {
		return err
	}
	d.story.next(where, server)
	<-ctx.Done()
	return context.Cause(ctx)
}

// pathTimeout is how long a path may take; the longest needs about 3 s.
const pathTimeout = 20 * time.Second

// A path is one of the ways a message goes.
type path struct {
	title, words string
	to           contacts.Address
	text         string
	after        time.Duration
	before       func(d *demo)
	state, via   string // how it has to end
	reason       string
}

var paths = []path{
	{
		title: "Pushed", words: "Bo's phone is connected and confirms.",
		to: numberBo, text: "Lunch at one?", state: "delivered", via: "push",
	},
	{
		title: "Not registered", words: "Cleo has no app, so the message goes out as an SMS at once.",
		to: numberCleo, text: "Lunch at one, with Bo", state: "delivered", via: "sms", reason: "not_registered",
	},
	{
		title: "No answer", words: "Bo's phone is connected, but in a lift: it confirms nothing. Ann gives it 2 seconds.",
		to: numberBo, text: "Make it two o'clock", after: 2 * time.Second, before: func(d *demo) { d.bo.lift() }, state: "delivered", via: "sms", reason: "no_answer",
	},
	{
		title: "Offline", words: "The battery of Bo's phone dies. The broker gives it 2 seconds to return.",
		to: numberBo, text: "Are you coming?", after: 2 * time.Second, before: func(d *demo) { d.bo.dies() }, state: "delivered", via: "sms", reason: "offline",
	},
	{
		title: "Reply by SMS", words: "Cleo answers the SMS. It comes into Ann's conversation with Cleo.",
	},
}

func (d *demo) take(ctx context.Context, p path) error {
	ctx, cancel := context.WithTimeout(ctx, pathTimeout)
	defer cancel()
	if p.to == "" {
		return d.reply(ctx, p)
	}
	if p.before != nil {
		p.before(d)
	}
	id, err := d.ann.write(ctx, p)
	if err != nil {
		return err
	}
	r, err := d.ann.final(ctx, id)
	if err != nil {
		return err
	}
	if err := d.show(ctx, id); err != nil {
		return err
	}
	if r.State != p.state || r.Via != p.via || string(r.Reason) != p.reason {
		return failed("demo", "%s: the message is %s %s %s and should be %s %s %s", p.title, r.State, r.Via, r.Reason, p.state, p.via, p.reason)
	}
	return nil
}

// reply is the way back.
func (d *demo) reply(ctx context.Context, p path) error {
	const text = "Gladly! See you at two."
	d.story.line("Cleo", "answers by SMS: "+text)
	if err := d.network.Reply(ctx, numberOurs, numberCleo, text); err != nil {
		return failed("demo", "%w", err)
	}
	for {
		select {
		case m := <-d.ann.inbox:
			if m.From == numberCleo && m.Text == text {
				return d.showWhenConfirmed(ctx, m.ID)
			}
		case <-ctx.Done():
			return failed("demo", "%s: the answer did not arrive in %v", p.title, pathTimeout)
		}
	}
}
