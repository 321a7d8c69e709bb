package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
	"unicode/utf8"

	"github.com/eclipse/paho.golang/paho"
	"github.com/spf13/cobra"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// An order is one message to be sent.
type order struct {
	to                      contacts.Address
	text                    []byte
	key                     string
	sms, receipts           choice
	after, expires, timeout span
	wait                    bool
}

func (a *app) sendCmd() *cobra.Command {
	var o order
	cmd := &cobra.Command{
		Use: "send ADDRESS TEXT", Short: "Send a message to a number or a name", Args: takes(2, 2),
		Long: "Send a message. It is printed under its id once the broker has it on disk. TEXT - reads it from standard input\n" +
			"(a text without the end of its last line). With --wait the receipts are printed until a final one; the exit status is 0 for delivered\n" +
			"and for a final submitted, and 1 for everything else. Without a --key every run is a message of its own; with one it is safe to try again.",
		Example: "  godwit send --user ann 4917604069001 'Running late'\n  godwit send --wait --after 30s 4917604069001 'Are you there?'\n  godwit send --key alarm-17 --receipts none 4917604069001 'Water in the cellar'\n  date | godwit send boiler -",
	}
	who := loginFlags(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.wait, "wait", false, "print the receipts until a final one")
	f.StringVar(&o.key, "key", "", "your own key of the message: sent again under it, it is the same message (1 to 64 of A-Z a-z 0-9 . _ -)")
	choiceFlag(cmd, &o.sms, "sms", "whether it may become an SMS", "auto\twhen no device answers", "never\tit waits for the app", "only\tat once, past the app")
	f.Var(&o.after, "after", "how long to wait for the app before an SMS, such as 30s")
	f.Var(&o.expires, "expires", "how long the message is worth delivering, such as 1h or 7d")
	choiceFlag(cmd, &o.receipts, "receipts", "which receipts the sender's devices get; not with --wait", "none", "final", "all")
	f.Var(&o.timeout, "timeout", "with --wait: give up waiting after so long; the message stays on its way")
	offerArgs(cmd, fromOperator(findOperator, userAddresses), nil)
	offerFlag(cmd, "key", fixed())
	offerFlag(cmd, "after", fixed("15s", "30s", "1m", "10m"))
	offerFlag(cmd, "expires", fixed("10m", "1h", "24h", "7d"))
	offerFlag(cmd, "timeout", fixed("1m", "10m", "1h"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		l, err := who()
		if err != nil {
			return err
		}
		if err := o.complete(a.stdin, args); err != nil {
			return err
		}
		return a.send(cmd.Context(), l, o)
	}
	return cmd
}

// complete checks what the broker would refuse with a reason code that says less.
func (o *order) complete(stdin io.Reader, args []string) (err error) {
	if o.to, err = addressOf(args[0]); err != nil {
		return err
	}
	o.text = []byte(args[1])
	if args[1] == "-" {
		if o.text, err = readText(stdin); err != nil {
			return err
		}
	}
	if o.key != "" {
		if err := delivery.CheckKey(o.key); err != nil {
			return usage("--key: %w", err)
		}
	}
	switch {
	case o.expires.Duration != 0 && o.expires.Duration < time.Second:
		return usage("--expires %v: the shortest is 1s", o.expires.Duration)
	case o.expires.Duration/time.Second > math.MaxUint32: // MQTT 5 §3.3.2.3.3
		return usage("--expires %v: the longest is 136 years", o.expires.Duration)
	case o.wait && o.receipts.word != "":
		return usage("--receipts goes without --wait, which asks for all of them")
	case !o.wait && o.timeout.Duration != 0:
		return usage("--timeout goes with --wait")
	}
	return nil
}

// textMax is more than any broker takes in one packet.
const textMax = 1 << 20

// readText reads a message to its end. Where it is text, the end of its last line is none of the message, as in $(…) of a shell.
func readText(stdin io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(stdin, textMax+1))
	switch {
	case err != nil:
		return nil, failed("input", "standard input: %w", err)
	case len(text) > textMax:
		return nil, failed("too_large", "standard input has more than 1 MiB, which is too large for a message")
	case utf8.Valid(text):
		return bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r")), nil
	}
	return text, nil
}

func (a *app) send(ctx context.Context, l login, o order) error {
	receipts := make(chan delivery.ReceiptBody, 16)
	k, err := l.connect(ctx, deviceID("send"), func(p *paho.Publish) error {
		var r delivery.ReceiptBody
		if err := json.Unmarshal(p.Payload, &r); err != nil {
			return failed("receipt", "the broker sent something else than a receipt: %w", err)
		}
		select {
		case receipts <- r:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}, nil)
	if err != nil {
		return err
	}
	defer k.close()
	if o.wait {
		if o.key == "" {
			o.key = rand.Text()
		}
		// Before the publish: so the user has an inbox, and no receipt can come too early.
		if err := k.subscribe(ctx, delivery.Topic(l.user, "receipt", o.key)); err != nil {
			return err
		}
	}
	id, err := k.publish(ctx, l, o)
	if err != nil {
		return err
	}
	if !o.wait {
		return a.sent(o, id)
	}
	return a.follow(ctx, k, receipts, o.timeout.Duration)
}

// publish hands the message over and returns its id.
func (k *link) publish(ctx context.Context, l login, o order) (id string, err error) {
	topic := "to/" + string(o.to)
	if o.key != "" {
		topic += "/" + o.key
	}
	props := &paho.PublishProperties{}
	receipts := o.receipts.word
	if o.wait {
		receipts = "all"
	}
	for name, value := range map[string]string{"sms": o.sms.word, "after": o.after.String(), "receipts": receipts} {
		if value != "" {
			props.User.Add(name, value)
		}
	}
	if d := o.expires.Duration; d > 0 {
		props.MessageExpiry = paho.Uint32(uint32(d / time.Second))
	}
	ack, err := k.client.Publish(ctx, &paho.Publish{Topic: topic, QoS: 1, Payload: o.text, Properties: props})
	if ack != nil && ack.ReasonCode >= 0x80 {
		return "", l.refused(ack.ReasonCode, "the broker refused the message")
	}
	if err != nil && ctx.Err() != nil {
		return "", failed("interrupted", "before the broker had acknowledged the message: it may or may not be on its way")
	}
	if err != nil {
		return "", k.cause(fmt.Errorf("the message was not acknowledged, so it may or may not be on its way: %w", err))
	}
	if ack.Properties != nil {
		id = ack.Properties.User.Get("id")
	}
	return id, nil
}

func (a *app) sent(o order, id string) error {
	if a.json {
		return a.object(struct {
			ID  string `json:"id"`
			Key string `json:"key,omitempty"`
			To  string `json:"to"`
		}{id, o.key, string(o.to)})
	}
	_, err := fmt.Fprintln(a.stdout, id)
	return err
}

// follow prints receipts until a final one, and says by its error how it went.
func (a *app) follow(ctx context.Context, k *link, receipts <-chan delivery.ReceiptBody, timeout time.Duration) error {
	var end <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		end = t.C
	}
	for {
		select {
		case r := <-receipts:
			if err := a.receipt(r); err != nil || r.Final {
				return errors.Join(err, verdict(r))
			}
		case err := <-k.lost:
			return err
		case <-end:
			return failed("timeout", "no final receipt in %v; the message stays on its way", timeout)
		case <-ctx.Done():
			return failed("interrupted", "the message stays on its way")
		}
	}
}

func (a *app) receipt(r delivery.ReceiptBody) error {
	if a.json {
		return a.object(r)
	}
	line := r.At + "\t" + r.State
	for _, more := range []string{r.Via, string(r.Reason), r.Price} {
		if more != "" {
			line += "\t" + more
		}
	}
	_, err := fmt.Fprintln(a.stdout, line)
	return err
}

// verdict is nil for a message that arrived, or that the gateway has and nothing more is to be expected of.
func verdict(r delivery.ReceiptBody) error {
	if !r.Final || r.State == "delivered" || r.State == "submitted" {
		return nil
	}
	for _, known := range delivery.Reasons {
		if known.Reason == r.Reason {
			return failed(r.State, "%s: %s", r.Reason, known.English)
		}
	}
	return failed(r.State, "message %s", r.ID)
}
