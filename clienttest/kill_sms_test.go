package clienttest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/clienttest/raw"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/picture"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

// TestKillSMS kills the built `godwit serve` while it sends SMS: every message that was acknowledged comes to its end, and no segment is sent twice.
func TestKillSMS(t *testing.T) {
	t.Parallel()
	p := clienttest.StartProcess(t, func(c *config.Config) {
		c.Limits.SendRate, c.Limits.Notices = 100_000, 100_000
		c.SMS.Unknown.Hold, c.SMS.DLRTimeout = config.Duration(500*time.Millisecond), config.Duration(2*time.Second)
		c.SMS.Retry.First, c.SMS.Retry.Max = config.Duration(50*time.Millisecond), config.Duration(time.Second)
		c.SMS.ResponseTimeout = config.Duration(time.Second)
	})
	p.SMS.On(weather)
	senders := smsSenders(p)
	killUnderLoad(t, p, senders)

	ends := finals(p, senders)
	if err := p.SMS.Quiet(t.Context()); err != nil {
		t.Error(err)
	}
	sent := segments(t, p.SMS.Received())
	outcomes := map[string]int{}
	for _, r := range ends {
		outcomes[r.State+" "+string(r.Reason)]++
		checkSent(t, r, sent[r.To])
		if r.State == "submitted" && !unreported(r.To) && !reported(p.Explain(r.ID)) {
			t.Errorf("the DLR of %+v was lost", r)
		}
		delete(sent, r.To)
	}
	if len(sent) > 0 {
		t.Errorf("SMS without a message that was acknowledged: %v", sent)
	}
	if outcomes["delivered not_registered"] == 0 || outcomes["submitted not_registered"] == 0 || outcomes["failed outcome_unknown"] == 0 {
		t.Error("an outcome is missing")
	}
	t.Logf("%v", outcomes)
}

// weather has the network answer late, so that kills fall into the time between, and sometimes badly.
func weather(r smstest.Received) smstest.Fault {
	end := r.To[len(r.To)-2:]
	switch {
	case unreported(r.To):
		return smstest.Fault{DLR: smstest.NoDLR}
	case end == "13" && r.Attempt == 1:
		return smstest.Fault{Submit: smstest.Busy}
	case end == "19":
		return smstest.Fault{Submit: smstest.Swallow}
	case end[1] == '7':
		return smstest.Fault{DLR: smstest.Early}
	}
	return smstest.Fault{Submit: smstest.Slow, For: 60 * time.Millisecond}
}

// unreported tells for whom there are no DLRs.
func unreported(to string) bool { return to[len(to)-1] == '5' }

// reported tells whether a DLR came, even one after the end.
func reported(p picture.Path) bool { return happened(p, delivery.EventReport) }

func happened(p picture.Path, event string) bool {
	return slices.ContainsFunc(p.Trail, func(s picture.Step) bool { return s.Event == event })
}

// killUnderLoad returns when the senders have got the last acknowledgement that they waited for.
func killUnderLoad(t *testing.T, p *clienttest.Process, senders []*smsSender) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	over := make(chan struct{})
	group, ctx := errgroup.WithContext(t.Context())
	for _, s := range senders {
		group.Go(func() error { return s.run(ctx, over) })
	}
	for range *kills {
		select {
		case <-time.After(100*time.Millisecond + time.Duration(random.Int64N(int64(700*time.Millisecond)))):
		case <-ctx.Done():
		}
		p.Kill()
		p.Start()
	}
	close(over)
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// segments counts what was sent, by number and segment: each once.
func segments(t *testing.T, log []smstest.Received) map[string]map[int]int {
	t.Helper()
	sent := map[string]map[int]int{}
	for _, r := range log {
		if sent[r.To] == nil {
			sent[r.To] = map[int]int{}
		}
		if sent[r.To][r.Segment]++; sent[r.To][r.Segment] > 1 {
			t.Errorf("segment %d to %s was sent again, in attempt %d", r.Segment, r.To, r.Attempt)
		}
	}
	return sent
}

// checkSent compares how a message ended with what was sent of it.
func checkSent(t *testing.T, r delivery.ReceiptBody, sent map[int]int) {
	t.Helper()
	switch {
	case r.State == "failed" && r.Reason == delivery.OutcomeLost:
	case r.State != "delivered" && r.State != "submitted":
		t.Errorf("receipt %+v", r)
	case r.Segments == 0 || len(sent) != r.Segments:
		t.Errorf("receipt %+v; sent were the segments %v", r, sent)
	}
}

// An smsSender publishes to one unregistered number after the other, each until it is acknowledged.
type smsSender struct {
	index        int
	user         contacts.Address
	login        raw.Connect
	broker       *clienttest.Broker
	acknowledged int
}

// smsSenders returns some, whose receipts are kept from now on.
func smsSenders(p *clienttest.Process) (senders []*smsSender) {
	for i := range 6 {
		s := &smsSender{index: i, user: contacts.Address(fmt.Sprintf("boiler-%d", i)), broker: p.Broker}
		s.login = raw.Connect{Version: []byte{raw.V311, raw.V5}[i%2], ClientID: "sender", Username: string(s.user), Password: p.Token(s.user), Clean: true}
		p.Connect(s.watcher()).Disconnect()
		senders = append(senders, s)
	}
	return senders
}

func (s *smsSender) watcher() clienttest.Login {
	return clienttest.Login{User: s.user, Device: "watcher", Persistent: true}
}

func key(i int) string { return fmt.Sprintf("k%d", i) }

// run ends when the publish that was open when over was closed is acknowledged.
func (s *smsSender) run(ctx context.Context, over <-chan struct{}) error {
	limit := rate.NewLimiter(10, 1)
	for ctx.Err() == nil {
		conn, err := raw.Dialer{}.Dial(ctx, s.broker.Addresses().MQTT, s.login)
		if err != nil {
			if limit.Wait(ctx) != nil {
				return ctx.Err()
			}
			continue
		}
		stop := context.AfterFunc(ctx, func() { conn.Drop() })
		err = s.publish(ctx, conn, limit, over)
		stop()
		conn.Drop()
		if err == nil {
			return nil
		}
	}
	return ctx.Err()
}

// publish publishes until over is closed; an error is one of the connection, and the next one goes on.
func (s *smsSender) publish(ctx context.Context, conn *raw.Conn, limit *rate.Limiter, over <-chan struct{}) error {
	for packet := uint16(1); ; packet++ {
		if err := limit.Wait(ctx); err != nil {
			return err
		}
		text := "Water in the cellar"
		if s.acknowledged%2 == 0 {
			text = fmt.Sprintf("%200s", text) // two segments
		}
		topic := fmt.Sprintf("to/49176040%d%05d/%s", s.index, s.acknowledged, key(s.acknowledged))
		if _, err := conn.Write(raw.NewTemplate(conn.Version, topic, 1).Append(nil, packet, false, []byte(text))); err != nil {
			return err
		}
		f, err := conn.Next()
		if err != nil {
			return err
		}
		id, reason, err := f.Puback()
		if err != nil || id != packet || reason >= 0x80 {
			return fmt.Errorf("PUBACK %d for packet %d, reason %#x, %w", id, packet, reason, err)
		}
		s.acknowledged++
		select {
		case <-over:
			return nil
		default:
		}
	}
}
