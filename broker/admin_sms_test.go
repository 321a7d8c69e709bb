package broker_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/picture"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

const ownNumber = "4917604069000"

// startCarrier starts a broker whose only gateway leads to an SMS network of the test, at 0.05 EUR a segment.
func startCarrier(t *testing.T, change func(*config.Config)) (*host, *smstest.Server) {
	t.Helper()
	smsc := smstest.NewServer()
	t.Cleanup(smsc.Close)
	cfg := testConfig(t)
	cfg.SMS.Gateways = []config.Gateway{{Name: "carrier", Kind: config.KindTest, URL: smsc.URL}}
	cfg.SMS.Numbers = []string{ownNumber}
	cfg.SMS.Price = map[string]config.Money{"*": {Micros: 50_000, Currency: "EUR"}}
	cfg.SMS.Budget.Day = config.Money{Micros: 1_000_000, Currency: "EUR"}
	if change != nil {
		change(&cfg)
	}
	return start(t, cfg), smsc
}

func (h *host) gateway() api.Gateway {
	h.t.Helper()
	var list api.Gateways
	if status := h.ask("GET", "/v1/admin/gateways", "", &list); status != 200 || len(list.Gateways) != 1 {
		h.t.Fatalf("%d %+v", status, list)
	}
	return list.Gateways[0]
}

// order gives an order to the gateway and returns how it fares then.
func (h *host) order(what, body string) (g api.Gateway) {
	h.t.Helper()
	if status := h.ask("POST", "/v1/admin/gateways/carrier/"+what, body, &g); status != 200 {
		h.t.Fatalf("%s: %d %+v", what, status, g)
	}
	return g
}

func TestPauseAndResumeAGateway(t *testing.T) {
	h, smsc := startCarrier(t, nil)
	want := api.Gateway{Name: "carrier", Kind: "smstest", DLR: true, Linked: true, Window: 10}
	if g := h.gateway(); g != want {
		t.Errorf("%+v", g)
	}
	if g := h.order("pause", ""); !g.Paused || g.Under != 0 {
		t.Errorf("%+v", g)
	}
	ann, anns := h.phone("ann")
	id := send(t, ann, "sms/4917604069003", "hello")
	eventually(t, func() bool { return h.gateway().Waiting == 1 })
	if got := smsc.Received(); len(got) != 0 {
		t.Errorf("a paused gateway sent %+v", got)
	}
	if g := h.order("resume", ""); g.Paused {
		t.Errorf("%+v", g)
	}
	receipt(t, anns, id, "delivered")
	if g := h.gateway(); g != want {
		t.Errorf("%+v", g)
	}
}

func TestPauseDrains(t *testing.T) {
	h, smsc := startCarrier(t, nil)
	ann, anns := h.phone("ann")
	smsc.Next(1, smstest.Fault{Submit: smstest.Slow, For: time.Second, DLR: smstest.NoDLR})
	id := send(t, ann, "sms/4917604069003", "hello")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := smsc.Wait(ctx, 1); err != nil { // taken, and the answer is a second away
		t.Fatal(err)
	}
	if g := h.order("pause?drain=true&wait=1ms", ""); !g.Paused || g.Under != 1 {
		t.Errorf("not drained: %+v", g)
	}
	if g := h.order("pause?drain=1", ""); !g.Paused || g.Under != 0 {
		t.Errorf("drained: %+v", g)
	}
	receipt(t, anns, id, "submitted")
}

// The broker stops while an operator waits for a gateway to drain: it does not wait for that, and ends well.
func TestStopWhileDraining(t *testing.T) {
	h, smsc := startCarrier(t, nil)
	ann, _ := h.phone("ann")
	smsc.Next(1, smstest.Fault{Submit: smstest.Slow, For: 3 * time.Second, DLR: smstest.NoDLR})
	send(t, ann, "sms/4917604069003", "hello")
	eventually(t, func() bool { return h.gateway().Under == 1 })
	drained := make(chan api.Gateway, 1)
	go func() { drained <- h.order("pause?drain=true", "") }()
	eventually(t, func() bool { return h.gateway().Paused })
	if err := h.stop(); err != nil {
		t.Errorf("it ends with %v", err)
	}
	if g := <-drained; !g.Paused || g.Under != 1 {
		t.Errorf("%+v", g)
	}
}

func TestACauseIsTold(t *testing.T) {
	h, smsc := startCarrier(t, nil)
	ann, anns := h.phone("ann")
	smsc.Next(1, smstest.Fault{Submit: smstest.Throttle, For: time.Second})
	id := send(t, ann, "sms/4917604069003", "hello")
	eventually(t, func() bool {
		g := h.gateway()
		return g.Until != "" && strings.HasPrefix(g.Cause, "throttled: ") && g.Window == 5
	})
	receipt(t, anns, id, "delivered")
	if g := h.gateway(); g.Until != "" || g.Cause != "" {
		t.Errorf("afterwards: %+v", g)
	}
}

func TestTestOfAGateway(t *testing.T) {
	h, smsc := startCarrier(t, func(c *config.Config) { c.SMS.Budget.Day.Micros = 250_000 })
	try := func(body string, status int, into any) {
		t.Helper()
		if got := h.ask("POST", "/v1/admin/gateways/carrier/test", body, into); got != status {
			t.Errorf("%s: %d, want %d: %+v", body, got, status, into)
		}
	}
	var done api.Test
	try(`{"number":"+49 176 0406 9003"}`, 200, &done)
	if !done.Taken || done.Gateway != "carrier" || done.To != "4917604069003" || len(done.Segments) != 1 || done.Segments[0].ID == "" || done.Price != "0.05 EUR" {
		t.Errorf("%+v", done)
	}
	if got := smsc.Received(); len(got) != 1 || got[0].Text != "This SMS tests the gateway carrier." || got[0].From != ownNumber {
		t.Errorf("%+v", got)
	}
	smsc.Next(1, smstest.Fault{Submit: smstest.Reject})
	done = api.Test{}
	try(`{"number":"4917604069003","text":"once more"}`, 200, &done)
	if done.Taken || len(done.Segments) != 1 || !strings.HasPrefix(done.Segments[0].Error, "permanent: ") || done.Price != "0 EUR" {
		t.Errorf("rejected: %+v", done)
	}
	h.order("pause", "")
	try(`{"number":"4917604069003","text":"while it is paused"}`, 200, &done)
	var p api.Problem
	try(`{"number":"4917604069003","text":"`+strings.Repeat("x", 700)+`"}`, 409, &p)
	if p.Code != api.CodeRefused || !strings.Contains(p.Detail, "budget_day") {
		t.Errorf("over the budget: %+v", p)
	}
	try(`{"number":"8821234567890"}`, 409, &p)
	if p.Code != api.CodeRefused || strings.Contains(p.Detail, "8821234567890") {
		t.Errorf("a satellite: %+v", p)
	}
	h.ask("POST", "/v1/admin/optouts", `{"number":"4917604069004"}`, nil)
	try(`{"number":"4917604069004"}`, 409, &p)
	if p.Code != api.CodeRefused || strings.Contains(p.Detail, "4917604069004") {
		t.Errorf("opted out: %+v", p)
	}
	var money api.Money
	if status := h.ask("GET", "/v1/admin/money", "", &money); status != 200 || money != (api.Money{Day: "0.1 EUR", DayBudget: "0.25 EUR", Month: "0.1 EUR"}) {
		t.Errorf("%d %+v", status, money)
	}
	var text string
	if h.ask("GET", "/metrics", "", &text); !strings.Contains(text, "\n"+`godwit_sms_spend_total{currency="EUR"} 0.1`+"\n") {
		t.Error("the money is not counted")
	}
}

func TestWire(t *testing.T) {
	h, _ := startCarrier(t, nil)
	if g := h.order("wire", `{"on":true}`); !g.Wire {
		t.Errorf("%+v", g)
	}
	if g := h.gateway(); !g.Wire {
		t.Errorf("%+v", g)
	}
	if g := h.order("wire", `{"on":false}`); g.Wire {
		t.Errorf("%+v", g)
	}
}

func TestOptOuts(t *testing.T) {
	h, smsc := startCarrier(t, nil)
	const path = "/v1/admin/optouts"
	var none json.RawMessage
	if h.ask("GET", path, "", &none); strings.TrimSpace(string(none)) != `{"optouts":[]}` {
		t.Errorf("without any: %s", none)
	}
	var o api.OptOut
	if status := h.ask("POST", path, `{"number":"+49 176 04069005","note":"asked by phone"}`, &o); status != 201 || o.Number != "4917604069005" || o.Note != "asked by phone" || o.At == "" || o.Word != "" {
		t.Errorf("add: %d %+v", status, o)
	}
	var p api.Problem
	if status := h.ask("POST", path, `{"number":"4917604069005"}`, &p); status != 409 || p.Code != api.CodeExists || strings.Contains(p.Detail, "4917604069005") {
		t.Errorf("add again: %d %+v", status, p)
	}
	ann, anns := h.phone("ann")
	receipt(t, anns, send(t, ann, "to/4917604069005", "hello"), "failed")
	receipt(t, anns, send(t, ann, "to/4917604069003", "hello"), "delivered")
	smsc.MO("4917604069003", ownNumber, " stop. ")
	next(t, anns, "/sms/4917604069003/")
	var page api.OptOuts
	eventually(t, func() bool { h.ask("GET", path, "", &page); return len(page.OptOuts) == 2 })
	if o := page.OptOuts[0]; o.Number != "4917604069003" || o.Word == "" || o.Gateway != "carrier" || o.At == "" {
		t.Errorf("by a stop word: %+v", o)
	}
	receipt(t, anns, send(t, ann, "to/4917604069003", "still there?"), "failed")

	page = api.OptOuts{}
	if h.ask("GET", path+"?limit=1", "", &page); len(page.OptOuts) != 1 || page.Next != "4917604069003" {
		t.Errorf("first page: %+v", page)
	}
	after := page.Next
	page = api.OptOuts{}
	if h.ask("GET", path+"?limit=1&after="+after, "", &page); len(page.OptOuts) != 1 || page.Next != "" || page.OptOuts[0].Number != "4917604069005" {
		t.Errorf("second page: %+v", page)
	}
	if status := h.ask("DELETE", path+"/4917604069003", "", nil); status != http.StatusNoContent {
		t.Errorf("remove: %d", status)
	}
	if status := h.ask("DELETE", path+"/4917604069003", "", &p); status != 404 {
		t.Errorf("remove again: %d %+v", status, p)
	}
	receipt(t, anns, send(t, ann, "to/4917604069003", "welcome back"), "delivered")
}

func TestUnmatched(t *testing.T) {
	h, smsc := startCarrier(t, nil)
	ann, anns := h.phone("ann")
	_ = ann
	smsc.MO("4917604069007", ownNumber, "who is this?")
	smsc.MO("4917604069008", ownNumber, "and I?")
	const path = "/v1/admin/unmatched"
	var page api.Unmatched
	eventually(t, func() bool { page = api.Unmatched{}; h.ask("GET", path, "", &page); return len(page.Unmatched) == 2 })
	old := page.Unmatched[1]
	if old.From != "4917604069007" || old.To != ownNumber || old.Text != "who is this?" || old.At == "" || old.ID == "" {
		t.Errorf("%+v", page)
	}
	page = api.Unmatched{}
	if h.ask("GET", path+"?limit=1", "", &page); len(page.Unmatched) != 1 || page.Next == "" {
		t.Errorf("first page: %+v", page)
	}
	before := page.Next
	page = api.Unmatched{}
	if h.ask("GET", path+"?limit=1&before="+before, "", &page); len(page.Unmatched) != 1 || page.Unmatched[0] != old {
		t.Errorf("second page: %+v", page)
	}
	var m picture.Message
	if status := h.ask("POST", path+"/"+old.ID+"/assign", `{"address":"ann"}`, &m); status != 200 || m.To != "ann" || m.From != "4917604069007" || m.Root != "mo" {
		t.Errorf("assign: %d %+v", status, m)
	}
	if got := next(t, anns, "u/ann/sms/4917604069007/"); string(got.Payload) != "who is this?" {
		t.Errorf("got %q", got.Payload)
	}
	var p api.Problem
	if status := h.ask("POST", path+"/"+old.ID+"/assign", `{"address":"ann"}`, &p); status != 409 || p.Code != api.CodeTooLate {
		t.Errorf("assign again: %d %+v", status, p)
	}
	if status := h.ask("POST", path+"/"+m.ID+"/assign", `{"address":"ann"}`, &p); status != 404 {
		t.Errorf("assign what is matched: %d %+v", status, p)
	}
	eventually(t, func() bool { page = api.Unmatched{}; h.ask("GET", path, "", &page); return len(page.Unmatched) == 1 })
}

// A message of which no report comes is submitted for good, and counted, when sms.dlr_timeout is over and not before.
func TestWithoutReportItSettles(t *testing.T) {
	h, smsc := startCarrier(t, func(c *config.Config) { c.SMS.DLRTimeout = config.Duration(time.Second) })
	smsc.Next(1, smstest.Fault{DLR: smstest.NoDLR})
	ann, anns := h.phone("ann")
	id := send(t, ann, "sms/4917604069003", "hello")
	receipt(t, anns, id, "submitted")
	counted := func(n string) bool {
		var text string
		h.ask("GET", "/metrics", "", &text)
		return strings.Contains(text, `godwit_messages_settled_total{state="submitted",via="sms"} `+n+"\n")
	}
	if !counted("0") {
		t.Error("counted while a report may come")
	}
	receipt(t, anns, id, "submitted")
	eventually(t, func() bool { return counted("1") })
}
