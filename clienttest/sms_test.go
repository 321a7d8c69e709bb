package clienttest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

// fallback compares an SMS, and the receipt that says why it went out.
func fallback(t *testing.T, b *clienttest.Broker, a *clienttest.Phone, key, text string, reason delivery.Reason) {
	t.Helper()
	r := a.Final(key)
	ended(t, r, "delivered", "sms", reason)
	if got := sms(t, b, 1, contacts.Address(r.To)); got.Text != "+"+string(a.User)+": "+text || got.From != string(clienttest.OurNumber) {
		t.Errorf("SMS %+v", got)
	}
}

func TestNotRegistered(t *testing.T) {
	both(t, func(t *testing.T, v clienttest.Version) {
		s := clienttest.NewServer(t, push(nil))
		a := s.Connect(clienttest.Login{User: ann, Version: v})
		send(a, cleo, "k", "Lunch at one")
		r := a.Receipt("k", "submitted")
		if r.Via != "sms" || r.Reason != delivery.NotRegistered || r.Segments != 1 || r.SMSID == "" || r.Final {
			t.Errorf("receipt %+v", r)
		}
		fallback(t, s.Broker, a, "k", "Lunch at one", delivery.NotRegistered)
		if got := sms(t, s.Broker, 1, cleo); got.ID != r.SMSID {
			t.Errorf("the SMS has the id %s, the receipt %s", got.ID, r.SMSID)
		}
	})
}

func TestNoAnswer(t *testing.T) {
	const wait = time.Second // the least that a message may ask for
	both(t, func(t *testing.T, v clienttest.Version) {
		s := clienttest.NewServer(t, push(func(p *config.Push) {
			if v == clienttest.V311 {
				p.AckTimeout = config.Duration(wait)
			}
		}))
		a := s.Connect(clienttest.Login{User: ann, Version: v})
		b := s.Connect(clienttest.Login{User: bo, Version: v, Persistent: true})
		b.Silence() // connected, and in a lift
		began := time.Now()
		if v == clienttest.V5 {
			a.Publish("to/"+string(bo)+"/k", "Make it two", "after", "1s")
		} else {
			send(a, bo, "k", "Make it two")
		}
		pushed := b.Next("in")
		noSMS(t, s.Broker)
		fallback(t, s.Broker, a, "k", "Make it two", delivery.NoAnswer)
		if took := sms(t, s.Broker, 1, bo).At.Sub(began); took < wait {
			t.Errorf("the SMS went out after %v", took)
		}

		// It answers after all: one more message comes by push, and the one that was an SMS stays one.
		b.Answer()
		send(a, bo, "last", "Are you there?")
		want(t, b.Next("in"), ann, "Are you there?")
		ended(t, a.Final("last"), "delivered", "push", "")
		sms(t, s.Broker, 1, bo)
		if m := s.Explain(pushed.ID).Message; m.State != "delivered" || m.Via != "sms" {
			t.Errorf("the first message is %+v", m)
		}
	})
}

// A dead link looks connected. Its acknowledgement does not come, and so the SMS goes out; then the device counts as lost.
func TestDeadLink(t *testing.T) {
	both(t, func(t *testing.T, v clienttest.Version) {
		s := clienttest.NewServer(t, push(func(p *config.Push) {
			p.AckTimeout, p.OfflineGrace = config.Duration(300*time.Millisecond), config.Duration(100*time.Millisecond)
		}))
		phone := clienttest.Login{User: bo, Version: v, Persistent: true}
		a := s.Connect(clienttest.Login{User: ann, Version: v})
		b := s.Connect(phone)
		b.Freeze()
		send(a, bo, "1", "one")
		fallback(t, s.Broker, a, "1", "one", delivery.NoAnswer)
		send(a, bo, "2", "two")
		ended(t, a.Final("2"), "delivered", "sms", delivery.Offline)

		back := s.Connect(phone) // the link has come back as another one: it takes the session over
		if !back.SessionPresent {
			t.Error("no session present")
		}
		want(t, back.Next("seen"), ann, "one")
		want(t, back.Next("seen"), ann, "two")
		send(a, bo, "3", "three")
		want(t, back.Next("in"), ann, "three")
		ended(t, a.Final("3"), "delivered", "push", "")
	})
}

func TestOfflineGrace(t *testing.T) {
	const grace = 700 * time.Millisecond
	both(t, func(t *testing.T, v clienttest.Version) {
		s := clienttest.NewServer(t, push(func(p *config.Push) { p.OfflineGrace = config.Duration(grace) }))
		a := s.Connect(clienttest.Login{User: ann, Version: v})
		b := s.Connect(clienttest.Login{User: bo, Version: v})
		began := time.Now()
		b.Drop()
		send(a, bo, "k", "Are you coming?")
		fallback(t, s.Broker, a, "k", "Are you coming?", delivery.Offline)
		if took := sms(t, s.Broker, 1, bo).At.Sub(began); took < grace {
			t.Errorf("the SMS went out %v after the loss", took)
		}
	})
}

func TestBackWithinTheGrace(t *testing.T) {
	both(t, func(t *testing.T, v clienttest.Version) {
		s := clienttest.NewServer(t, push(nil))
		phone := clienttest.Login{User: bo, Version: v}
		a := s.Connect(clienttest.Login{User: ann, Version: v})
		s.Connect(phone).Drop()
		send(a, bo, "k", "Are you coming?")
		want(t, s.Connect(phone).Next("in"), ann, "Are you coming?")
		ended(t, a.Final("k"), "delivered", "push", "")
		noSMS(t, s.Broker)
	})
}

// Who signed off does not return in a moment: no grace. On return the message is there, without an alert.
func TestLeftAndReturned(t *testing.T) {
	both(t, func(t *testing.T, v clienttest.Version) {
		s := clienttest.NewServer(t, push(nil))
		phone := clienttest.Login{User: bo, Version: v, Persistent: true}
		a := s.Connect(clienttest.Login{User: ann, Version: v})
		s.Connect(phone).Disconnect()
		send(a, bo, "k", "Good night")
		fallback(t, s.Broker, a, "k", "Good night", delivery.Left)

		b := s.Connect(phone)
		seen := b.Next("seen")
		want(t, seen, ann, "Good night")
		if r := s.Explain(seen.ID).Message; r.Via != "sms" {
			t.Errorf("it was delivered by %s", r.Via)
		}
		send(a, bo, "last", "Good morning")
		want(t, b.Next("in"), ann, "Good morning")
		if left := b.Left(); len(left) != 0 {
			t.Errorf("and more: %+v", left)
		}
	})
}

func TestReplyBySMS(t *testing.T) {
	both(t, func(t *testing.T, v clienttest.Version) {
		s := clienttest.NewServer(t, push(nil))
		a := s.Connect(clienttest.Login{User: ann, Version: v})
		pc := s.Connect(clienttest.Login{User: ann, Version: v, Device: "pc"})
		send(a, cleo, "k", "Lunch at one?")
		first := a.Final("k")
		s.SMS.MO("4917604069003", clienttest.OurNumber, "Gladly! 好")
		got := a.Next("sms")
		want(t, got, cleo, "Gladly! 好")
		if v == clienttest.V5 && got.Properties["in_reply_to"] != first.ID {
			t.Errorf("properties %v; it answers %s", got.Properties, first.ID)
		}
		if other := pc.Next("sms"); other.ID != got.ID {
			t.Errorf("the PC has %+v", other)
		}
		if err := s.SMS.Quiet(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// What is for the app waits for it, what is for the phone does not wait.
func TestRoots(t *testing.T) {
	both(t, func(t *testing.T, v clienttest.Version) {
		s := clienttest.NewServer(t, push(nil))
		phone := clienttest.Login{User: bo, Version: v, Persistent: true}
		a := s.Connect(clienttest.Login{User: ann, Version: v})
		b := s.Connect(phone)
		a.Publish("sms/"+string(bo)+"/1", "By SMS, please")
		ended(t, a.Final("1"), "delivered", "sms", "")
		want(t, b.Next("seen"), ann, "By SMS, please")
		sms(t, s.Broker, 1, bo)

		b.Disconnect()
		a.Publish("app/"+string(bo)+"/2", "For the app")
		want(t, s.Connect(phone).Next("in"), ann, "For the app")
		ended(t, a.Final("2"), "delivered", "push", "")

		a.Publish("app/"+string(cleo)+"/3", "When you have the app")
		want(t, s.Connect(clienttest.Login{User: cleo, Version: v}).Next("in"), ann, "When you have the app")
		ended(t, a.Final("3"), "delivered", "push", "")
		sms(t, s.Broker, 1, bo)
	})
}

// How the network takes an SMS decides how the message ends, and what the recipient's app shows.
func TestSMSNetworkSaysNo(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("All work and no play makes Jack a dull boy. ", 6)
	for _, c := range []struct {
		name   string
		fault  smstest.Fault
		text   string
		state  string
		reason delivery.Reason
		taken  int
	}{
		{"rejected", smstest.Fault{Submit: smstest.Reject}, "no", "failed", delivery.GatewayRefused, 0},
		{"undeliverable", smstest.Fault{DLR: smstest.Undelivered}, "no", "failed", delivery.Undeliverable, 1},
		{"no answer, no report", smstest.Fault{Submit: smstest.Swallow, DLR: smstest.NoDLR}, "maybe", "failed", delivery.OutcomeLost, 1},
		{"busy", smstest.Fault{Submit: smstest.Busy}, "later", "delivered", delivery.Left, 1},
		{"two segments, two reports each", smstest.Fault{DLR: smstest.Twice}, long, "delivered", delivery.Left, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := clienttest.NewServer(t, func(cfg *config.Config) {
				push(nil)(cfg)
				cfg.SMS.Unknown.Hold = config.Duration(500 * time.Millisecond)
				cfg.SMS.Retry.First, cfg.SMS.Retry.Max = config.Duration(50*time.Millisecond), config.Duration(50*time.Millisecond)
			})
			phone := clienttest.Login{User: bo, Persistent: true}
			a := s.Connect(clienttest.Login{User: ann})
			s.Connect(phone).Disconnect()
			s.SMS.Next(1, c.fault)
			send(a, bo, "k", c.text)
			if r := a.Final("k"); r.State != c.state || r.Reason != c.reason {
				t.Errorf("receipt %+v; want %s, %s", r, c.state, c.reason)
			}
			if got := s.SMS.Received(); len(got) != c.taken {
				t.Errorf("SMS: %+v; want %d", got, c.taken)
			}
			kind := "seen"
			if c.state == "failed" {
				kind = "in"
			}
			want(t, s.Connect(phone).Next(kind), ann, c.text)
			if c.state == "failed" {
				ended(t, a.Receipt("k", "delivered"), "delivered", "push", "") // the app has it after all
			}
		})
	}
}
