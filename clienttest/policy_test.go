package clienttest_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/picture"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

const secondNumber contacts.Number = "4917604069010"

// objects reads what a command printed with --json.
func objects[T any](t *testing.T, text string) (all []T) {
	t.Helper()
	for d := json.NewDecoder(strings.NewReader(text)); d.More(); {
		var v T
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		all = append(all, v)
	}
	return all
}

// TestPoolStopAndUnmatched is an operator's day: two numbers for three who write to the same peer, a stop word, and an SMS that is nobody's, over a restart.
func TestPoolStopAndUnmatched(t *testing.T) {
	t.Parallel()
	p := clienttest.StartProcess(t, func(c *config.Config) {
		c.SMS.Numbers = []string{string(clienttest.OurNumber), string(secondNumber)}
		c.SMS.Caps.LoopHour = 1000 // they answer faster than people do
	})
	a := p.Connect(clienttest.Login{User: ann, Persistent: true})
	b := p.Connect(clienttest.Login{User: bo, Persistent: true})
	boiler := p.Connect(clienttest.Login{User: "boiler"})

	send(a, cleo, "1", "Lunch at one?")
	a.Final("1")
	send(b, cleo, "1", "Tea at four?")
	b.Final("1")
	anns, bos := contacts.Number(p.SMS.Received()[0].From), contacts.Number(sms(t, p.Broker, 2, cleo).From)
	if anns == bos || !slices.Contains(p.Config().SMS.Numbers, string(anns)) || !slices.Contains(p.Config().SMS.Numbers, string(bos)) {
		t.Fatalf("two conversations of one peer came from %s and %s", anns, bos)
	}
	send(boiler, cleo, "1", "I am cold") // no number is free: its SMS goes out without a way back
	r := boiler.Final("1")
	if path := p.Explain(r.ID); !slices.ContainsFunc(path.Trail, func(s picture.Step) bool { return s.Event == delivery.EventNoWayBack }) {
		t.Errorf("the trail does not say that there is no way back: %s", trailText(path.Trail))
	}
	p.SMS.MO(contacts.Number(cleo), bos, "Yes to tea")
	p.SMS.MO(contacts.Number(cleo), anns, "No lunch")
	want(t, b.Next("sms"), cleo, "Yes to tea")
	lunch := a.Next("sms")
	want(t, lunch, cleo, "No lunch")

	p.SMS.MO(contacts.Number(cleo), anns, " stop. ")
	stop := a.Next("sms")
	want(t, stop, cleo, " stop. ")
	if got := sms(t, p.Broker, 4, cleo); got.From != string(anns) || strings.Contains(got.Text, ": ") {
		t.Errorf("the confirmation is %+v", got)
	}
	a.Disconnect()
	b.Disconnect()
	p.Restart()
	a = p.Connect(clienttest.Login{User: ann, Persistent: true})
	out := objects[api.OptOut](t, p.Godwit("optout", "list", "--json"))
	if len(out) != 1 || out[0].Number != string(cleo) || out[0].Word != "stop." || out[0].Gateway != "network" {
		t.Errorf("opted out: %+v", out)
	}
	send(a, cleo, "2", "But why?")
	r = a.Final("2")
	ended(t, r, "failed", "", delivery.OptedOut)
	if text := p.Godwit("explain", r.ID); !strings.Contains(text, "does not want SMS") {
		t.Errorf("explain: %s", text)
	}
	p.Godwit("optout", "remove", string(cleo))
	send(a, cleo, "3", "Sorry")
	ended(t, a.Final("3"), "delivered", "sms", delivery.NotRegistered)
	sms(t, p.Broker, 5, cleo)

	const stranger = "4917604069055"
	p.Hide(stranger)
	p.SMS.MO(stranger, secondNumber, "Is this the plumber?")
	if err := p.SMS.Quiet(t.Context()); err != nil {
		t.Fatal(err)
	}
	list := objects[api.UnmatchedSMS](t, p.Godwit("unmatched", "list", "--json"))
	if len(list) != 1 || list[0].From != stranger || list[0].To != string(secondNumber) || list[0].Text != "Is this the plumber?" {
		t.Fatalf("unmatched: %+v", list)
	}
	p.Godwit("unmatched", "assign", list[0].ID, string(ann))
	want(t, other(a, "sms", lunch.ID, stop.ID), stranger, "Is this the plumber?")
	if list := objects[api.UnmatchedSMS](t, p.Godwit("unmatched", "list", "--json")); len(list) != 0 {
		t.Errorf("unmatched: %+v", list)
	}
	a.Publish("sms/"+stranger+"/4", "No, her sister") // and the way back is there
	ended(t, a.Final("4"), "delivered", "sms", "")
}

// TestBudget: what a day may cost is refused beyond, also after a restart, and explained.
func TestBudget(t *testing.T) {
	t.Parallel()
	p := clienttest.StartProcess(t, func(c *config.Config) {
		c.SMS.Price = map[string]config.Money{"49": {Micros: 75_000, Currency: "EUR"}, "*": {Micros: 120_000, Currency: "EUR"}}
		c.SMS.Budget.Day = config.Money{Micros: 300_000, Currency: "EUR"} // four segments
	})
	login := clienttest.Login{User: ann, Persistent: true}
	a := p.Connect(login)
	send(a, cleo, "1", strings.Repeat("x", 250)) // two
	if r := a.Final("1"); r.Price != "0.15 EUR" || r.Segments != 2 || r.State != "delivered" {
		t.Errorf("%+v", r)
	}
	a.Disconnect()
	p.Kill()
	p.Start()
	a = p.Connect(login)
	send(a, cleo, "2", strings.Repeat("x", 400)) // three, which are too many
	r := a.Final("2")
	ended(t, r, "failed", "", delivery.BudgetDay)
	if text := p.Godwit("explain", r.ID); !strings.Contains(text, "budget of today is used up") {
		t.Errorf("explain: %s", text)
	}
	p.SMS.Next(1, smstest.Fault{Submit: smstest.Reject}) // what the carrier refuses costs nothing
	send(a, cleo, "3", "refused")
	ended(t, a.Final("3"), "failed", "", delivery.GatewayRefused)
	for _, key := range []string{"4", "5"} {
		send(a, cleo, key, "one")
		ended(t, a.Final(key), "delivered", "sms", delivery.NotRegistered)
	}
	send(a, cleo, "6", "one too many")
	ended(t, a.Final("6"), "failed", "", delivery.BudgetDay)
	send(a, "88216123456", "7", "to a satellite")
	ended(t, a.Final("7"), "failed", "", delivery.PrefixDenied)
	sms(t, p.Broker, 4, cleo)
}
