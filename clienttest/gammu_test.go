package clienttest_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/clienttest/gammu"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// TestGammu sends and receives through a real gammu-smsd and its dummy modem, over restarts of both sides. A modem makes no DLRs.
func TestGammu(t *testing.T) {
	t.Parallel()
	gammu.Require(t)
	dir, err := os.MkdirTemp("", "gwmodem") // the names of its files are long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	modem := gammu.Start(t, dir)
	p := clienttest.StartProcess(t, func(c *config.Config) {
		g := config.DefaultGateway(config.KindGammu, "stick")
		g.Dir, g.Number = config.Path(dir), string(clienttest.OurNumber)
		c.SMS.Gateways = []config.Gateway{g}
		c.SMS.ResponseTimeout, c.SMS.Unknown.Hold = config.Duration(2*time.Second), config.Duration(2*time.Second)
	})
	p.Hide(string(cleo))
	connect := func() *clienttest.Phone { return p.Connect(clienttest.Login{User: ann, Persistent: true}) }
	sent := func(texts ...string) {
		t.Helper()
		all := modem.Sent()
		for i := range texts {
			texts[i] = "+" + string(ann) + ": " + texts[i]
		}
		var got []string
		for _, s := range all {
			if s.To != contacts.Number(cleo) {
				t.Errorf("an SMS went to %s", s.To)
			}
			got = append(got, s.Text)
		}
		if !slices.Equal(got, texts) {
			t.Errorf("the modem has sent %q, want %q", got, texts)
		}
	}

	a := connect()
	send(a, cleo, "1", "Lunch at one? 好")
	ended(t, a.Final("1"), "submitted", "sms", delivery.NotRegistered)
	sent("Lunch at one? 好")
	modem.Receive("+"+string(cleo), "Gladly 🙂")
	first := a.Next("sms")
	want(t, first, cleo, "Gladly 🙂")
	a.Disconnect()
	p.Stop() // an answer that comes meanwhile waits in the inbox
	modem.Receive("+"+string(cleo), "Are you", " there?")
	modem.Await("the answer in the inbox", func() bool {
		files, err := os.ReadDir(dir + "/inbox")
		return err == nil && len(files) == 2
	})
	p.Start()
	a = connect()
	want(t, other(a, "sms", first.ID), cleo, "Are you there?")

	modem.Stop() // what is sent meanwhile waits for the modem, or for its time to end, and is not sent twice
	send(a, cleo, "2", "Yes")
	a.Disconnect()
	p.Kill()
	modem.Start()
	p.Start()
	a = connect()
	r := a.Final("2")
	switch {
	case r.State == "submitted" && len(modem.Sent()) == 2:
		sent("Lunch at one? 好", "Yes")
	case r.Reason != delivery.OutcomeLost || len(modem.Sent()) > 2:
		t.Errorf("%+v; the modem has sent %+v", r, modem.Sent())
	}
	answers := 0
	for _, m := range p.Messages() {
		if m.Root == "mo" {
			answers++
		}
	}
	if answers != 2 {
		t.Errorf("%d answers were stored, want 2", answers)
	}
}
