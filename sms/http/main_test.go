package smshttp_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
	smshttp "github.com/seed-7a41469f/godwit/sms/http"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The numbers are kept for films and the like; nobody has them.
const (
	ours  contacts.Number = "4917604069000"
	peer  contacts.Number = "4917604069003"
	other contacts.Number = "4917604069004"
)

// text is an MT.
func text(t testing.TB, n byte, text string) sms.MT {
	t.Helper()
	segments, err := sms.Split(text)
	if err != nil {
		t.Fatal(err)
	}
	return sms.MT{
		Ref: sms.Ref{0xC0, 15: n}, Attempt: 1, From: string(ours), To: peer, Text: text, Segments: segments, Count: len(segments),
		Until: time.Now().Add(time.Minute), Validity: time.Hour,
	}
}

// An inbox is a sink that notes what it took, and fails while Fail is positive.
type inbox struct {
	mu      sync.Mutex
	fail    int
	changed chan struct{}
	dlrs    []sms.DLR
	mos     []sms.MO
	calls   int
}

var _ sms.Sink = (*inbox)(nil)

func newInbox(fail int) *inbox { return &inbox{fail: fail, changed: make(chan struct{})} }

func (b *inbox) note(take func()) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	defer func() { close(b.changed); b.changed = make(chan struct{}) }()
	if b.fail > 0 {
		b.fail--
		return fmt.Errorf("the disk is full")
	}
	take()
	return nil
}

func (b *inbox) DLR(_ context.Context, r sms.DLR) error {
	return b.note(func() { b.dlrs = append(b.dlrs, r) })
}

// MO stores what it does not have by its id, as the engine does.
func (b *inbox) MO(_ context.Context, m sms.MO) error {
	return b.note(func() {
		if m.ID == "" || !slices.ContainsFunc(b.mos, func(o sms.MO) bool { return o.ID == m.ID }) {
			b.mos = append(b.mos, m)
		}
	})
}

// wait returns what came once enough is true.
func (b *inbox) wait(t testing.TB, enough func(dlrs []sms.DLR, mos []sms.MO) bool) ([]sms.DLR, []sms.MO) {
	t.Helper()
	for limit := time.After(30 * time.Second); ; {
		b.mu.Lock()
		dlrs, mos, changed := slices.Clone(b.dlrs), slices.Clone(b.mos), b.changed
		b.mu.Unlock()
		if enough(dlrs, mos) {
			return dlrs, mos
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("that is all that came: %+v %+v", dlrs, mos)
		}
	}
}

// A carrier is one kind of gateway.
type carrier struct {
	name  string
	taken string // the answer to what it takes, with 200
	at    func(url string, response time.Duration) (sms.Gateway, error)
}

var carriers = []carrier{
	{"kannel", "0: Accepted for delivery", func(url string, response time.Duration) (sms.Gateway, error) {
		return smshttp.NewKannel(smshttp.KannelConfig{URL: url + "/cgi-bin/sendsms", Username: "u", Password: "p@ss", Response: response})
	}},
	{"twilio", `{"sid": "SM1", "status": "queued"}`, func(url string, response time.Duration) (sms.Gateway, error) {
		return smshttp.NewTwilio(smshttp.TwilioConfig{URL: url, Account: "AC1", Token: "p@ss", Response: response})
	}},
	{"webhook", `{"id":"1"}`, func(url string, response time.Duration) (sms.Gateway, error) {
		return smshttp.NewWebhook(smshttp.WebhookConfig{URL: url, Body: `{"to":{{.To|json}},"text":{{.Text|json}}}`, ID: "$.id", Token: "p@ss", AllowPrivate: true, Response: response})
	}},
}

// start returns a gateway that runs until the test ends.
func (c carrier) start(t *testing.T, url string, response time.Duration) sms.Gateway {
	t.Helper()
	g, err := c.at(url, response)
	if err != nil {
		t.Fatal(err)
	}
	run(t, g)
	return g
}

func run(t testing.TB, g sms.Gateway) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx, newInbox(0)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// serve serves handler on loopback until the test ends.
func serve(t testing.TB, handler http.HandlerFunc) *httptest.Server {
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return srv
}

// one submits a message of one segment and returns its outcome.
func one(t testing.TB, g sms.Gateway, mt sms.MT) sms.Outcome {
	t.Helper()
	o := g.Submit(t.Context(), mt)
	if len(o) != 1 || o[0].Segment != 1 {
		t.Fatalf("%+v, want one outcome, of segment 1", o)
	}
	for _, secret := range []string{string(peer), string(ours), "p@ss", "http://"} {
		if o[0].Err != nil && strings.Contains(o[0].Err.Error(), secret) {
			t.Errorf("the error tells %q: %v", secret, o[0].Err)
		}
	}
	return o[0]
}

func wantClass(t testing.TB, o sms.Outcome, class sms.Class) {
	t.Helper()
	if got := sms.ClassOf(o.Err); got != class { // 0: it was taken
		t.Errorf("%v is of class %d, want %d", o.Err, got, class)
	}
}

// quiet is for servers whose clients break off on purpose.
var quiet = log.New(io.Discard, "", 0)
