package api_test

import (
	"net/http"
	"testing"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/delivery"
)

func TestQuote(t *testing.T) {
	d := openDesk(t, priced, func(c *delivery.Config, _ *api.Config) { c.ChangesPerDay = 3 })
	d.add("boiler")
	for _, c := range []struct {
		body   string
		status int
		want   string
	}{
		{`{"to":"+49 176 04069003","text":"hello"}`, 200, `{"way":"sms","segments":1,"price":"0.05 EUR","reason":"not_registered"}`},
		{`{"to":"` + bob + `","text":"hello"}`, 200, `{"way":"push","wait":"10s","segments":1,"price":"0.05 EUR"}`},
		{`{"to":"boiler","text":"hello"}`, 200, `{"way":"push"}`},
		{`{"to":"nobody","text":"hello"}`, 200, `{"way":"failed","reason":"no_such_name"}`},
		{`{"to":"4917604069004","text":"hello"}`, 200, `{"way":"sms","segments":1,"price":"0.05 EUR","reason":"not_registered"}`},
		{`{"to":"4917604069005","text":"hello"}`, 429, ""},
		{`{"to":"4917604069004","text":"hello again"}`, 200, `{"way":"sms","segments":1,"price":"0.05 EUR","reason":"not_registered"}`},
		{`{"to":"4917604069004","text":""}`, 400, ""},
		{`{"to":"","text":"hello"}`, 400, ""},
		{`{"to":"49","text":"hello"}`, 400, ""},
		{`{"to":"4917604069004","text":"hello","txet":""}`, 400, ""},
		{`{"to":"4917604069004"}`, 400, ""},
		{``, 400, ""},
	} {
		a := d.ask(ann, "POST", "/v1/quote", "application/json", c.body)
		if a.status != c.status || c.status == 200 && string(a.body) != c.want+"\n" {
			t.Errorf("%s: %d %s", c.body, a.status, a.body)
		}
		if c.status == http.StatusTooManyRequests && a.problem(t).Code != "rate_contacts" {
			t.Errorf("%s: %s", c.body, a.body)
		}
	}
	if all, _, err := d.store.List(t.Context(), delivery.Query{Limit: 10}); err != nil || len(all) != 0 {
		t.Errorf("%d messages are stored, %v", len(all), err)
	}
	if a := d.ask("", "POST", "/v1/quote", "application/json", `{"to":"boiler","text":"hello"}`); a.status != http.StatusUnauthorized {
		t.Errorf("nobody: %d", a.status)
	}
}
