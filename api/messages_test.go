package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

func (d *desk) list(user contacts.Address, query string) api.OwnMessages {
	d.t.Helper()
	a := d.ask(user, "GET", "/v1/messages"+query, "", "")
	if a.status != http.StatusOK {
		d.t.Fatalf("GET /v1/messages%s: %d %s", query, a.status, a.body)
	}
	var page api.OwnMessages
	a.into(d.t, &page)
	return page
}

// store takes a message past the API, as MQTT and the gateways bring them.
func (d *desk) take(m *delivery.Message) string {
	d.t.Helper()
	m, err := d.engine.Send(d.t.Context(), m)
	if err != nil {
		d.t.Fatal(err)
	}
	return m.ID.String()
}

func texts(page api.OwnMessages) (all []string) {
	for _, m := range page.Messages {
		all = append(all, m.Direction+" "+m.Text)
	}
	return all
}

func TestOwnMessages(t *testing.T) {
	d := openDesk(t)
	d.add("boiler")
	d.post("/app/"+bob, "", "one")
	d.take(&delivery.Message{From: bob, To: ann, Root: delivery.RootApp, Payload: []byte("two"), Key: delivery.Key{Text: "bobs-key"}})
	d.take(&delivery.Message{From: eve, To: ann, Root: delivery.RootMO, Payload: []byte("three")})
	d.take(&delivery.Message{From: "DHL", To: ann, Root: delivery.RootMO, Payload: []byte("four")})
	d.post("/app/"+bob, "application/octet-stream", "\xff\x00")
	d.take(&delivery.Message{From: bob, To: "boiler", Root: delivery.RootApp, Payload: []byte("not hers")})
	d.take(&delivery.Message{From: ann, To: "boiler", Root: delivery.RootMO, Payload: []byte("an SMS that says it is from Ann's number")})
	d.take(&delivery.Message{From: ann, To: ann, Root: delivery.RootApp, Payload: []byte("five")})

	all := d.list(ann, "")
	if got, want := texts(all), []string{"out five", "out ", "in four", "in three", "in two", "out one"}; !slices.Equal(got, want) || all.Next != "" {
		t.Fatalf("%q, want %q", got, want)
	}
	two := all.Messages[4]
	if string(all.Messages[1].Data) != "\xff\x00" || two.From != bob || two.To != ann || two.Created == "" || two.Key != "" || two.State != "waiting" || all.Messages[3].Root != "mo" {
		t.Errorf("%+v", all.Messages)
	}
	for query, want := range map[string][]string{
		"?with=" + bob: {"out ", "in two", "out one"}, "?with=%2B49%20176%2004069002": {"out ", "in two", "out one"}, "?with=0176%2004069003": {"in three"}, "?with=DHL": {"in four"},
		"?with=boiler": nil, "?limit=1": {"out five"},
	} {
		if got := texts(d.list(ann, query)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	var paged []string
	for next := "?limit=2"; ; {
		page := d.list(ann, next)
		paged = append(paged, texts(page)...)
		if page.Next == "" {
			break
		}
		next = "?limit=2&before=" + page.Next
	}
	if !slices.Equal(paged, texts(all)) {
		t.Errorf("by pages: %q", paged)
	}
	for _, query := range []string{"?with=0", "?before=x", "?limit=0", "?limit=1001", "?wit=" + bob} {
		if a := d.ask(ann, "GET", "/v1/messages"+query, "", ""); a.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", query, a.status, a.body)
		}
	}
	if a := d.ask("", "GET", "/v1/messages", "", ""); a.status != http.StatusUnauthorized {
		t.Errorf("nobody: %d", a.status)
	}
}

// A message of others is told from one that does not exist by nothing.
func TestMessagesOfOthers(t *testing.T) {
	d := openDesk(t)
	d.add("boiler")
	others := d.take(&delivery.Message{From: bob, To: "boiler", Root: delivery.RootApp, Payload: []byte("hello")})
	spoofed := d.take(&delivery.Message{From: ann, To: bob, Root: delivery.RootMO, Payload: []byte("hello")})
	service := d.take(&delivery.Message{From: ann, To: bob, Root: delivery.RootApp, Payload: []byte("your code"), Service: true})
	unknown := others[:25] + "0"
	if others == unknown {
		unknown = others[:25] + "1"
	}
	for _, id := range []string{others, spoofed, service, unknown} {
		for _, route := range []string{"GET ", "POST /sms", "POST /app", "POST /cancel", "POST /ack"} {
			method, order, _ := strings.Cut(route, " ")
			a := d.ask(ann, method, "/v1/messages/"+id+order, "", "")
			if p := a.problem(t); a.status != http.StatusNotFound || p.Code != api.CodeNotFound || p.Detail != "there is no message "+id {
				t.Errorf("%s of %s: %d %s", route, id, a.status, a.body)
			}
		}
	}
	if a := d.ask(ann, "GET", "/v1/messages/x", "", ""); a.status != http.StatusBadRequest {
		t.Errorf("no id: %d %s", a.status, a.body)
	}
}

// What was over before a number was registered belonged to whoever had it then.
func TestANumberChangesHands(t *testing.T) {
	d := openDesk(t)
	old := d.post("/to/"+eve, "", "for the old owner")
	d.becomes(old.ID, delivery.Submitted)
	open := d.post("/app/"+eve, "", "waits for the app")
	d.becomes(open.ID, delivery.Waiting)
	time.Sleep(1100 * time.Millisecond) // sleep: registrations are kept to the second
	d.add(eve)
	fresh := d.post("/app/"+eve, "", "for the new owner")
	if got, want := texts(d.list(eve, "")), []string{"in for the new owner", "in waits for the app"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for id, status := range map[string]int{old.ID: 404, open.ID: 200, fresh.ID: 200} {
		if a := d.ask(eve, "GET", "/v1/messages/"+id, "", ""); a.status != status {
			t.Errorf("%s: %d %s", id, a.status, a.body)
		}
	}
}

func TestPathOfAnOwnMessage(t *testing.T) {
	d := openDesk(t, priced)
	sent := d.post("/sms/"+bob+"/k1", "", "hello")
	d.becomes(sent.ID, delivery.Submitted)
	if a := d.ask(bob, "POST", "/v1/messages/"+sent.ID+"/ack", "", ""); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	show := func(user contacts.Address) (p api.OwnPath) {
		a := d.ask(user, "GET", "/v1/messages/"+sent.ID, "", "")
		if a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
		a.into(t, &p)
		return p
	}
	his, hers := show(bob), show(ann)
	if hers.Message.Direction != "out" || hers.Message.Key != "k1" || hers.Message.Text != "hello" || len(hers.Trail) == 0 {
		t.Errorf("%+v", hers)
	}
	if his.Message.Direction != "in" || his.Message.Key != "" || his.Message.Price != "" || his.Message.State != "delivered" || len(his.Trail) == 0 {
		t.Errorf("%+v", his)
	}
	cost := func(p api.OwnPath) (all string) {
		for _, s := range p.Trail {
			all += s.Cost + s.Evidence
		}
		return all
	}
	if cost(hers) == "" || cost(his) != "" {
		t.Errorf("costs: %q and %q", cost(hers), cost(his))
	}
}

func TestOrdersOfUsers(t *testing.T) {
	d := openDesk(t)
	d.add("boiler")
	order := func(user contacts.Address, id, what string) answer {
		return d.ask(user, "POST", "/v1/messages/"+id+"/"+what, "", "")
	}
	waiting := func() string {
		s := d.post("/app/"+bob, "", "hello")
		d.becomes(s.ID, delivery.Waiting)
		return s.ID
	}
	for _, c := range []struct {
		user   contacts.Address
		what   string
		status int
		state  delivery.State
	}{
		{ann, "cancel", 200, delivery.Failed}, {ann, "app", 200, delivery.Waiting}, {ann, "sms", 200, delivery.Submitted}, {bob, "ack", 200, delivery.Delivered},
		{bob, "cancel", 403, delivery.Waiting}, {bob, "sms", 403, delivery.Waiting}, {bob, "app", 403, delivery.Waiting}, {ann, "ack", 403, delivery.Waiting},
		{"boiler", "ack", 404, delivery.Waiting}, {"boiler", "cancel", 404, delivery.Waiting},
	} {
		id := waiting()
		a := order(c.user, id, c.what)
		if a.status != c.status {
			t.Errorf("%s of %s: %d %s", c.what, c.user, a.status, a.body)
		}
		d.becomes(id, c.state)
		if c.status == http.StatusOK && !strings.Contains(string(a.body), `"id":"`+id+`"`) {
			t.Errorf("%s is answered %s", c.what, a.body)
		}
	}
	over := waiting()
	order(ann, over, "cancel")
	for _, what := range []string{"cancel", "sms", "app"} {
		if a := order(ann, over, what); a.status != http.StatusConflict || a.problem(t).Code != api.CodeTooLate {
			t.Errorf("%s of a cancelled message: %d %s", what, a.status, a.body)
		}
	}
	acknowledged := waiting()
	for range 2 {
		if a := order(bob, acknowledged, "ack"); a.status != http.StatusOK {
			t.Errorf("an acknowledgement, perhaps again: %d %s", a.status, a.body)
		}
	}
	named := d.post("/to/boiler", "", "on")
	if a := order(ann, named.ID, "sms"); a.status != http.StatusConflict || a.problem(t).Code != api.CodeRefused {
		t.Errorf("an SMS to a name: %d %s", a.status, a.body)
	}
}
