package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/eclipse/paho.golang/paho"
	"github.com/spf13/cobra"

	"github.com/seed-7a41469f/godwit/delivery"
)

// An arrival is one thing that came into the inbox.
type arrival struct {
	Topic string `json:"topic"`
	ID    string `json:"id,omitempty"`
	From  string `json:"from,omitempty"`
	Text  string `json:"text"`
	Data  []byte `json:"data,omitempty"` // instead of the text when it is none
	Via   string `json:"via,omitempty"`
	At    string `json:"at,omitempty"`
}

func (a *app) listenCmd() *cobra.Command {
	var count int
	cmd := &cobra.Command{
		Use: "listen", Short: "Print the inbox as it comes", Args: takes(0, 0),
		Long: "Print the inbox as it comes: time, kind (in, sms, seen, sent, receipt, read), who it is from, and the text. What is printed is\n" +
			"acknowledged, and only that, so it counts as delivered. A connection that is lost is made again, and standard error says so; what came\n" +
			"meanwhile follows. A broker that cannot be reached at the start, or that refuses the login, ends it. So does Ctrl-C, with exit status 0.",
		Example: "  godwit listen --user 4917604069001\n  godwit listen --json --count 1\n  godwit listen --server wss://push.example.org --ca-file ca.pem --cert boiler.pem",
	}
	who := loginFlags(cmd)
	cmd.Flags().IntVar(&count, "count", 0, "stop after so many; 0: go on")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		l, err := who()
		if err != nil {
			return err
		}
		if count < 0 {
			return usage("--count %d is negative", count)
		}
		return a.listen(cmd.Context(), l, count)
	}
	return cmd
}

// A hearing is one run of listen, over all its connections.
type hearing struct {
	app    *app
	login  login
	filter string
	left   int // to be printed yet; negative: no end
	done   chan struct{}
	once   sync.Once // closes done
}

var errEnough = errors.New("as many as were asked for are printed")

func (a *app) listen(ctx context.Context, l login, count int) error {
	h := &hearing{app: a, login: l, filter: delivery.Topic(l.user, "#"), left: count, done: make(chan struct{})}
	if count == 0 {
		h.left = -1
	}
	device := deviceID("listen") // the same for all connections of this run
	const first, longest = time.Second, 30 * time.Second
	pause, heard := first, false
	for ; ; pause = min(2*pause, longest) {
		up, err := h.connection(ctx, device)
		if up {
			pause, heard = first, true
		}
		if ctx.Err() != nil { // interrupted, whatever became of the connection
			return nil
		}
		if !heard || !canReturn(err) { // a broker that was never reached is a mistake to be told
			return err
		}
		fmt.Fprintf(a.stderr, "godwit: %v; connecting again in %v\n", err, pause)
		if !wait(ctx, pause) {
			return nil
		}
	}
}

// canReturn tells a broker that is away from one that refuses.
func canReturn(err error) bool {
	var f *failure
	return errors.As(err, &f) && (f.exit == exitConnect || slices.Contains([]string{"too_fast", "busy", "unavailable"}, f.word))
}

// connection listens on one connection, and tells whether it was up; nil: there is nothing more to do.
func (h *hearing) connection(ctx context.Context, device string) (up bool, err error) {
	k, err := h.login.connect(ctx, device, h.receive, h.acked)
	if err != nil {
		return false, err
	}
	defer k.close()
	if err := k.subscribe(ctx, h.filter); err != nil {
		return false, err
	}
	select {
	case <-ctx.Done():
		return true, nil
	case <-h.done:
		return true, k.unsubscribe(ctx, h.filter) // a round trip: the broker has read the last acknowledgement
	case err := <-k.lost:
		return true, err
	}
}

func (h *hearing) receive(p *paho.Publish) error {
	if h.left == 0 {
		return errEnough
	}
	if err := h.app.arrived(p); err != nil {
		return failed("output", "%w", err)
	}
	h.left--
	return nil
}

// acked ends the listening once the last of what was asked for is acknowledged.
func (h *hearing) acked() {
	if h.left == 0 {
		h.once.Do(func() { close(h.done) })
	}
}

// wait returns false when ctx is done first.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func arrivalOf(p *paho.Publish) arrival {
	m := arrival{Topic: p.Topic, Text: string(p.Payload), ID: property(p, "id"), Via: property(p, "via"), At: property(p, "at")}
	levels := strings.Split(p.Topic, "/") // u/<me>/<kind>/<peer>/<id>
	if len(levels) == 5 {
		m.From, m.ID = levels[3], levels[4]
	}
	if !utf8.Valid(p.Payload) {
		m.Text, m.Data = "", p.Payload
	}
	return m
}

// arrived prints what came.
func (a *app) arrived(p *paho.Publish) error {
	m := arrivalOf(p)
	if a.json {
		return a.object(m)
	}
	text := m.Text
	if m.Data != nil {
		text = fmt.Sprintf("(%d bytes that are no text)", len(m.Data))
	}
	kind := strings.Split(m.Topic+"//", "/")[2]
	_, err := fmt.Fprintf(a.stdout, "%s\t%s\t%s\t%s\n", clock(m.At), kind, m.From, printable(text))
	return err
}

// clock is a time as people here read it; what is none stays as it is.
func clock(at string) string {
	t, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return at
	}
	return t.Local().Format("15:04:05")
}
