package clienttest_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

var kills = flag.Int("godwit.kills", 6, "how often the kill tests kill a broker")

func TestMain(m *testing.M) {
	flag.Parse()
	if atOnce := flag.Lookup("test.parallel"); atOnce.Value.String() == atOnce.DefValue { // conversations wait more than they work
		if err := atOnce.Value.Set("6"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := clienttest.RemoveBinary(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}))
}

// The cast. Its numbers are kept for films and the like; nobody has them.
const (
	ann  contacts.Address = "4917604069001"
	bo   contacts.Address = "4917604069002"
	cleo contacts.Address = "4917604069003" // has no app
)

// both plays a story on both versions of MQTT.
func both(t *testing.T, story func(t *testing.T, v clienttest.Version)) {
	t.Parallel()
	for _, v := range []clienttest.Version{clienttest.V311, clienttest.V5} {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			story(t, v)
		})
	}
}

// push is a configuration in which the waits that are not under test cannot end.
func push(change func(p *config.Push)) func(*config.Config) {
	return func(c *config.Config) {
		c.Push.AckTimeout, c.Push.OfflineGrace = c.Push.AfterMax, config.Duration(time.Hour)
		if change != nil {
			change(&c.Push)
		}
	}
}

// send publishes with a key, so that receipts are found on both versions.
func send(p *clienttest.Phone, to contacts.Address, key, text string) {
	p.Publish("to/"+string(to)+"/"+key, text)
}

// sms waits until n segments were sent, and returns the last, which must be to somebody.
func sms(t *testing.T, b *clienttest.Broker, n int, to contacts.Address) smstest.Received {
	t.Helper()
	got, err := b.SMS.Wait(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != n || got[n-1].To != string(to) {
		t.Fatalf("SMS: %+v; want %d, the last to %s", got, n, to)
	}
	return got[n-1]
}

// noSMS fails when anything was sent.
func noSMS(t *testing.T, b *clienttest.Broker) {
	t.Helper()
	if got := b.SMS.Received(); len(got) != 0 {
		t.Errorf("SMS: %+v", got)
	}
}

// want compares a message.
func want(t *testing.T, a clienttest.Arrival, peer contacts.Address, text string) {
	t.Helper()
	if _, err := delivery.ParseID(a.ID); err != nil || a.Peer != peer || a.Payload != text {
		t.Errorf("%s  %q, %v; want %q from %s", a.Topic, a.Payload, err, text, peer)
	}
}

// other waits for the next message of a kind with another id: what was not acknowledged before the client's DISCONNECT comes again.
func other(p *clienttest.Phone, kind string, ids ...string) clienttest.Arrival {
	for {
		if a := p.Next(kind); !slices.Contains(ids, a.ID) {
			return a
		}
	}
}

// ended compares a receipt.
func ended(t *testing.T, r delivery.ReceiptBody, state, via string, reason delivery.Reason) {
	t.Helper()
	if r.State != state || r.Via != via || r.Reason != reason || !r.Final {
		t.Errorf("%+v; want %s %s %s, final", r, state, via, reason)
	}
}
