package main_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/picture"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

const ownNumber contacts.Number = "4917604069000"

// serveCarrier runs a broker whose only gateway leads to an SMS network of the test.
func serveCarrier(t *testing.T, extra string) (*server, *smstest.Server) {
	t.Helper()
	smsc := smstest.NewServer()
	t.Cleanup(smsc.Close)
	return serve(t, fmt.Sprintf("sms: {numbers: [%q], gateways: [{name: carrier, kind: smstest, url: %q}]%s}", ownNumber, smsc.URL, extra)), smsc
}

func TestGatewayCommands(t *testing.T) {
	s, smsc := serveCarrier(t, `, region: DE, price: {"*": "0.05 EUR"}, budget: {day: "1 EUR"}`)
	all := objects[api.Gateway](t, godwit(t, s.op("gateway", "list")...).want(t, 0, ""))
	if len(all) != 1 || all[0].Name != "carrier" || all[0].Kind != "smstest" || !all[0].Linked || all[0].Paused || all[0].Window != 10 {
		t.Errorf("list: %+v", all)
	}
	if r := godwit(t, "gateway", "list", "--config", s.file).want(t, 0, ""); r.out != "carrier\tsmstest\tworks\t0 of 10\tany\t0\toff\n" {
		t.Errorf("piped: %q", r.out)
	}

	done := object[api.Test](t, godwit(t, s.op("gateway", "test", "carrier", "0176 40690012", "Is this on?")...).want(t, 0, ""))
	if !done.Taken || done.To != "4917640690012" || len(done.Segments) != 1 || done.Segments[0].ID == "" || done.Price != "0.05 EUR" {
		t.Errorf("test: %+v", done)
	}
	if got := smsc.Received(); len(got) != 1 || got[0].Text != "Is this on?" {
		t.Errorf("sent: %+v", got)
	}
	smsc.Next(1, smstest.Fault{Submit: smstest.Lock})
	done = object[api.Test](t, godwit(t, s.op("gateway", "test", "carrier", "+4917640690012")...).want(t, 1, "not_taken: "))
	if done.Taken || !strings.HasPrefix(done.Segments[0].Error, "configuration: ") {
		t.Errorf("locked: %+v", done)
	}
	if r := godwit(t, "gateway", "test", "carrier", "+4917640690012", "--config", s.file).want(t, 0, ""); !strings.HasPrefix(r.out, "1\ttaken\t") {
		t.Errorf("piped: %q", r.out)
	}

	if g := object[api.Gateway](t, godwit(t, s.op("gateway", "pause", "carrier")...).want(t, 0, "")); !g.Paused {
		t.Errorf("pause: %+v", g)
	}
	if g := object[api.Gateway](t, godwit(t, s.op("gateway", "pause", "carrier", "--drain")...).want(t, 0, "")); !g.Paused || g.Under != 0 {
		t.Errorf("drain: %+v", g)
	}
	if r := godwit(t, "gateway", "list", "--config", s.file).want(t, 0, ""); !strings.HasPrefix(r.out, "carrier\tsmstest\tpaused\t") {
		t.Errorf("piped: %q", r.out)
	}
	if g := object[api.Gateway](t, godwit(t, s.op("gateway", "resume", "carrier")...).want(t, 0, "")); g.Paused {
		t.Errorf("resume: %+v", g)
	}
	if g := object[api.Gateway](t, godwit(t, s.op("gateway", "wire", "carrier", "on")...).want(t, 0, "")); !g.Wire {
		t.Errorf("wire: %+v", g)
	}
	if g := object[api.Gateway](t, godwit(t, s.op("gateway", "wire", "carrier", "off")...).want(t, 0, "")); g.Wire {
		t.Errorf("wire: %+v", g)
	}
}

func TestGatewayMistakes(t *testing.T) {
	s, _ := serveCarrier(t, "")
	for _, c := range []struct {
		args string
		exit int
		word string
	}{
		{"gateway pause", 2, "usage: "},
		{"gateway pause nobody", 1, "not_found: there is no gateway of this name; there are carrier"},
		{"gateway pause ..", 1, "not_found: "},
		{"gateway resume nobody --drain", 2, "usage: "},
		{"gateway test carrier", 2, "usage: "},
		{"gateway test carrier ann", 2, "address: "},
		{"gateway test carrier 12345", 2, "usage: number: "},
		{"gateway test carrier 0176-40690012", 2, "usage: number: "}, // sms.region is not set
		{"gateway test nobody 4917640690012", 1, "not_found: "},
		{"gateway test carrier 8821234567890", 1, "refused: "},
		{"gateway wire carrier", 2, "usage: "},
		{"gateway wire carrier maybe", 2, "usage: "},
		{"optout add ann", 2, "address: "},
		{"optout add 123", 2, "usage: number: "},
		{"optout remove ..", 2, "address: "},
		{"optout remove 4917640690012", 1, "not_found: "},
		{"unmatched list --limit 0", 2, "usage: "},
		{"unmatched assign x ann", 2, "usage: "},
		{"unmatched assign 01KASVW5G00ZT4Q8C3M9E7XB5R", 2, "usage: "},
		{"unmatched assign 01KASVW5G00ZT4Q8C3M9E7XB5R nobody", 1, "not_found: "},
		{"unmatched assign 01KASVW5G00ZT4Q8C3M9E7XB5R UPPER", 2, "usage: "},
		{"retry x", 2, "usage: "},
		{"retry 01KASVW5G00ZT4Q8C3M9E7XB5R", 1, "not_found: "},
	} {
		r := godwit(t, append(strings.Fields(c.args), "--config", s.file)...)
		if r.exit != c.exit || !strings.HasPrefix(r.err, c.word) || r.out != "" {
			t.Errorf("godwit %s: exit %d, %q, %q, want %d, %q", c.args, r.exit, r.err, r.out, c.exit, c.word)
		}
	}
	godwit(t, "gateway").want(t, 2, "usage: godwit gateway needs one of: ")
	godwit(t, "optout", "lst").want(t, 2, "usage: godwit optout has no command \"lst\"; did you mean list?")
	s.interrupt()
	for _, args := range [][]string{{"gateway", "list"}, {"gateway", "pause", "carrier", "--drain"}, {"optout", "list"}, {"unmatched", "list"}} {
		godwit(t, s.op(args...)...).want(t, 3, "connect: ")
	}
}

func TestOptOutCommands(t *testing.T) {
	s, _ := serveCarrier(t, ", region: DE")
	o := object[api.OptOut](t, godwit(t, s.op("optout", "add", "0176 40690012", "--note", "asked by phone")...).want(t, 0, ""))
	if o.Number != "4917640690012" || o.Note != "asked by phone" || o.At == "" {
		t.Errorf("add: %+v", o)
	}
	godwit(t, s.op("optout", "add", "+4917640690012")...).want(t, 1, "exists: ")
	godwit(t, s.op("optout", "add", "+8613812345678")...).want(t, 0, "")
	all := objects[api.OptOut](t, godwit(t, s.op("optout", "list")...).want(t, 0, ""))
	if len(all) != 2 || all[0] != o || all[1].Number != "8613812345678" {
		t.Errorf("list: %+v", all)
	}
	if r := godwit(t, "optout", "list", "--config", s.file).want(t, 0, ""); !strings.HasPrefix(r.out, "4917640690012\t"+o.At+"\toperator\tasked by phone\n") {
		t.Errorf("piped: %q", r.out)
	}
	godwit(t, s.as("ann", "send", "--wait", "4917640690012", "hello")...).want(t, 1, "failed: opted_out: ")
	removed := object[map[string]any](t, godwit(t, s.op("optout", "remove", "0176/40690012")...).want(t, 0, ""))
	if removed["removed"] != true {
		t.Errorf("remove: %v", removed)
	}
	godwit(t, s.as("ann", "send", "--wait", "4917640690012", "hello")...).want(t, 0, "")
}

func TestUnmatchedCommands(t *testing.T) {
	s, smsc := serveCarrier(t, "")
	godwit(t, s.op("user", "add", "ann")...).want(t, 0, "")
	smsc.MO("4917640690012", ownNumber, "who is\nthis?")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := smsc.Quiet(ctx); err != nil {
		t.Fatal(err)
	}
	type entry struct{ ID, From, To, Text, At string }
	m := object[entry](t, godwit(t, s.op("unmatched", "list")...).want(t, 0, ""))
	if m.From != "4917640690012" || m.To != string(ownNumber) || m.Text != "who is\nthis?" || m.At == "" {
		t.Errorf("list: %+v", m)
	}
	if r := godwit(t, "unmatched", "list", "--config", s.file).want(t, 0, ""); r.out != strings.Join([]string{m.ID, m.At, m.From, m.To, "who is this?"}, "\t")+"\n" {
		t.Errorf("piped: %q", r.out)
	}
	listening := inBackground(t, s.as("ann", "listen", "--json", "--count", "1")...)
	got := object[picture.Message](t, godwit(t, s.op("unmatched", "assign", strings.ToLower(m.ID), "ann")...).want(t, 0, ""))
	if got.To != "ann" || got.From != "4917640690012" || got.Root != "mo" {
		t.Errorf("assign: %+v", got)
	}
	listening.out.line(t, `"text":"who is\nthis?"`)
	listening.wait().want(t, 0, "")
	godwit(t, s.op("unmatched", "assign", m.ID, "ann")...).want(t, 1, "too_late: ")
	godwit(t, s.op("unmatched", "list")...).want(t, 0, "")
}

func TestRetry(t *testing.T) {
	s, smsc := serveCarrier(t, "")
	smsc.Next(1, smstest.Fault{Submit: smstest.Reject})
	godwit(t, s.as("ann", "send", "--wait", "--key", "k1", "4917640690012", "hello")...).want(t, 1, "failed: gateway_refused: ")
	failed := object[picture.Message](t, godwit(t, s.op("messages")...).want(t, 0, ""))
	again := object[picture.Message](t, godwit(t, s.op("retry", failed.ID)...).want(t, 0, ""))
	if again.ID != failed.ID || again.Key != "k1" || again.Reason == delivery.GatewayRefused {
		t.Errorf("retry: %+v", again)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if got, err := smsc.Wait(ctx, 1); err != nil || got[0].Text != "ann: hello" {
		t.Fatalf("sent: %+v, %v: %s", got, err, godwit(t, s.op("explain", failed.ID)...).out)
	}
	if err := smsc.Quiet(ctx); err != nil { // its delivery report is durable
		t.Fatal(err)
	}
	godwit(t, s.op("retry", failed.ID)...).want(t, 1, "too_late: ")
}
