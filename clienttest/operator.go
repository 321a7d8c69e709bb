package clienttest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/picture"
)

// An operator asks a broker over its socket.
type operator struct {
	t    testing.TB
	http *http.Client
}

func newOperator(t testing.TB, socket string) *operator {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	return &operator{t: t, http: &http.Client{Transport: transport, Timeout: Patience}}
}

// ask sends body, when it is not nil, and reads the answer into the other, when it is not nil.
func (o *operator) ask(method, path string, body, into any) {
	o.t.Helper()
	var text bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&text).Encode(body); err != nil {
			o.t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(o.t.Context(), method, "http://godwit/v1/admin"+path, &text)
	if err != nil {
		o.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := o.http.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		o.t.Fatalf("%s %s: %s, %v: %s", method, path, resp.Status, err, answer)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(answer, into); err != nil {
		o.t.Fatalf("%s %s: %v in %s", method, path, err, answer)
	}
}

// Token returns the token of a user, who is registered and gets one when there is none yet.
func (b *Broker) Token(user contacts.Address) string {
	b.t.Helper()
	return b.credential(user).Token
}

func (b *Broker) credential(user contacts.Address) (c api.Credential) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.tokens[user]
	if !ok {
		b.operator.ask("POST", "/users", map[string]string{"address": string(user)}, &c)
		b.tokens[user] = c
	}
	return c
}

// Revoke revokes the token of a user.
func (b *Broker) Revoke(user contacts.Address) {
	b.t.Helper()
	b.operator.ask("DELETE", "/users/"+string(user)+"/tokens/"+b.credential(user).ID, nil, nil)
}

// Explain returns a message and its trail.
func (b *Broker) Explain(id string) (p picture.Path) {
	b.t.Helper()
	b.operator.ask("GET", "/messages/"+id, nil, &p)
	return p
}

// Money returns what SMS have cost and may cost.
func (b *Broker) Money() (m api.Money) {
	b.t.Helper()
	b.operator.ask("GET", "/money", nil, &m)
	return m
}

// Messages returns the newest messages, up to 1,000.
func (b *Broker) Messages() []picture.Message {
	b.t.Helper()
	var page api.Messages
	b.operator.ask("GET", "/messages?limit=1000", nil, &page)
	return page.Messages
}
