package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/clienttest/leak"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/sms/console"
	"github.com/seed-7a41469f/godwit/store/memory"
)

// Who the tests are about. Eve has no app.
const (
	ann = "4917604069001"
	bob = "4917604069002"
	eve = "4917604069003"
)

// A desk is a broker without MQTT: the API, an engine and a store in memory.
type desk struct {
	t      testing.TB
	store  *memory.Store
	people *contacts.Directory
	engine *delivery.Engine
	api    *api.API
	url    string
	tokens map[contacts.Address]string
	stop   context.CancelFunc
	log    journal
}

// A journal is a log, and what it must not have beside the numbers of the tests.
type journal struct {
	mu    sync.Mutex
	text  strings.Builder
	texts []string
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// hide says what must not be in the log: a body, a token.
func (j *journal) hide(text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.texts = append(j.texts, text)
}

// check fails the test when a number of the tests, or what is hidden, is in the log.
func (j *journal) check(t testing.TB) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, found := range leak.Find(j.text.String(), []string{ann, bob, eve}, j.texts) {
		t.Errorf("the log has in it %s", found)
	}
	leak.Keep(t, j.text.String())
}

// hideMessages hides what the messages say, too, which is not all that a body has.
func (d *desk) hideMessages() {
	all, _, err := d.store.List(context.Background(), delivery.Query{Limit: 1000})
	if err != nil {
		d.t.Error(err)
	}
	for _, m := range all {
		d.log.hide(string(m.Payload))
	}
}

// setting changes what a desk is made of.
type setting func(*delivery.Config, *api.Config)

func openDesk(t testing.TB, settings ...setting) *desk {
	t.Helper()
	d := &desk{t: t, store: memory.New(), tokens: map[contacts.Address]string{}}
	var err error
	if d.people, err = contacts.Open(t.Context(), d.store.Table(), contacts.Config{}); err != nil {
		t.Fatal(err)
	}
	engine := delivery.Config{Store: d.store, Directory: d.people, SMS: console.New(console.Config{Out: io.Discard}), RestartGrace: -1, Log: zerolog.New(&d.log)}
	cfg := api.Config{Log: zerolog.New(&d.log), Packet: 64 << 10, People: d.people, Messages: d.store}
	for _, set := range settings {
		set(&engine, &cfg)
	}
	d.engine = delivery.New(engine)
	cfg.Engine = d.engine
	ctx, cancel := context.WithCancel(context.Background())
	d.stop = cancel
	ended := make(chan error, 1)
	go func() { ended <- d.engine.Run(ctx) }()
	if d.api, err = api.New(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(d.api.Public())
	d.url = server.URL
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the engine: %v", err)
		}
		server.Close()
		d.hideMessages()
		_ = d.people.Close()
		d.log.check(t)
	})
	for _, a := range []contacts.Address{ann, bob} {
		d.add(a)
	}
	return d
}

func (d *desk) add(a contacts.Address) {
	d.t.Helper()
	if _, err := d.people.Add(d.t.Context(), a); err != nil {
		d.t.Fatal(err)
	}
	token, _, err := d.people.IssueToken(d.t.Context(), a, "")
	if err != nil {
		d.t.Fatal(err)
	}
	d.tokens[a] = token
	d.log.hide(token)
}

// An answer is what HTTP said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// into reads the answer as JSON.
func (a answer) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
}

func (a answer) problem(t *testing.T) api.Problem {
	t.Helper()
	var p api.Problem
	a.into(t, &p)
	return p
}

// ask sends a request of a user; "" is nobody. A content type of "" is none.
func (d *desk) ask(user contacts.Address, method, path, contentType, body string) answer {
	d.t.Helper()
	d.log.hide(body)
	r, err := http.NewRequestWithContext(d.t.Context(), method, d.url+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if user != "" {
		r.SetBasicAuth(string(user), d.tokens[user])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer response.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(response.Body); err != nil {
		d.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, text.Bytes()}
}

// post sends a message of Ann's and returns the answer to it.
func (d *desk) post(path, contentType, body string) api.Sent {
	d.t.Helper()
	a := d.ask(ann, "POST", path, contentType, body)
	if a.status != http.StatusAccepted {
		d.t.Fatalf("POST %s: %d %s", path, a.status, a.body)
	}
	var s api.Sent
	a.into(d.t, &s)
	return s
}

// message reads what the store has.
func (d *desk) message(id string) *delivery.Message {
	d.t.Helper()
	parsed, err := delivery.ParseID(id)
	if err != nil {
		d.t.Fatal(err)
	}
	m, err := d.store.Message(d.t.Context(), parsed)
	if err != nil {
		d.t.Fatal(err)
	}
	return m
}

// becomes waits until a message is in a state.
func (d *desk) becomes(id string, state delivery.State) *delivery.Message {
	d.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		m := d.message(id)
		if m.State == state {
			return m
		}
		if time.Now().After(end) {
			d.t.Fatalf("the message is %v (%s), not %v", m.State, m.Reason, state)
		}
		time.Sleep(time.Millisecond) // sleep: the store tells nobody of a change
	}
}

// priced has every segment cost five cents.
func priced(c *delivery.Config, _ *api.Config) {
	c.Policy = sms.Policy{Prices: sms.Prices{Currency: "EUR", Micros: map[string]int64{"*": 50_000}}}
}
