package hooks_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2"
	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/clienttest/leak"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/hooks"
	"github.com/seed-7a41469f/godwit/hooks/internal/rawmqtt"
	"github.com/seed-7a41469f/godwit/store/memory"
)

const (
	alice = contacts.Address("4915112345601")
	bob   = contacts.Address("4915112345602")
	carol = contacts.Address("4915112345603")
)

// A harness is a broker on loopback, with three users.
type harness struct {
	t        *testing.T
	server   *mqtt.Server
	hook     *hooks.Hook
	listener *broker.Listener
	people   *contacts.Directory
	store    *store
	addr     string
	tokens   map[contacts.Address]string
	ids      map[contacts.Address]string // of the tokens
	closed   sync.Once
	log      log
}

// A log is what the broker logged, and what it must not have: payloads, beside the users' numbers and tokens.
type log struct {
	mu       sync.Mutex
	text     strings.Builder
	payloads map[string]struct{}
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) sent(payload string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.payloads[payload] = struct{}{}
}

func (h *harness) checkLog() {
	h.log.mu.Lock()
	defer h.log.mu.Unlock()
	var numbers []string
	texts := slices.Collect(maps.Keys(h.log.payloads))
	for user, token := range h.tokens {
		numbers, texts = append(numbers, string(user)), append(texts, token)
	}
	for _, found := range leak.Find(h.log.text.String(), numbers, texts) {
		h.t.Errorf("the broker's log has in it %s", found)
	}
	leak.Keep(h.t, h.log.text.String())
}

// A setup changes the broker before it starts.
type setup struct {
	options  hooks.Options
	engine   func(*delivery.Config)
	server   func(*mqtt.Server)
	listener func(*broker.Listener)
	memory   *memory.Store // nil: a new one
	tokens   *harness      // whose tokens are valid, with its memory
	mqtt     func(*mqtt.Options)
	people   contacts.Config
}

func start(t *testing.T, s setup) *harness {
	t.Helper()
	h := &harness{t: t, store: &store{Store: s.memory}, tokens: map[contacts.Address]string{}, ids: map[contacts.Address]string{}}
	h.log.payloads = map[string]struct{}{}
	if h.store.Store == nil {
		h.store.Store = memory.New()
	}
	var err error
	h.people, err = contacts.Open(t.Context(), h.store.Table(), s.people)
	h.must(err)
	if s.tokens != nil {
		h.tokens, h.ids = s.tokens.tokens, s.tokens.ids
	} else {
		for _, a := range []contacts.Address{alice, bob, carol} {
			h.addUser(a)
		}
	}
	cfg := delivery.Config{Store: h.store, Directory: h.people, RestartGrace: -1, Log: zerolog.New(&h.log)}
	if s.engine != nil {
		s.engine(&cfg)
	}
	options := broker.Settings(0, 0, broker.NewLog(zerolog.New(&h.log)))
	if s.mqtt != nil {
		s.mqtt(options)
	}
	h.server = mqtt.New(options)
	if s.server != nil {
		s.server(h.server)
	}
	h.hook = hooks.New(h.server, delivery.New(cfg), s.options)
	h.must(h.server.AddHook(h.hook, nil))
	h.listener = &broker.Listener{Listen: "127.0.0.1:0", Died: h.hook.Died, Goodbye: h.hook.Goodbye}
	if s.listener != nil {
		s.listener(h.listener)
	}
	h.must(h.server.AddListener(h.listener))
	h.must(h.server.Serve())
	h.addr = h.listener.Address()
	t.Cleanup(h.close)
	return h
}

func (h *harness) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) close() {
	h.closed.Do(func() {
		h.store.release()
		h.must(h.server.Close())
		h.must(h.people.Close())
		h.must(h.hook.Err())
		h.checkLog()
	})
}

func (h *harness) addUser(a contacts.Address) {
	h.t.Helper()
	_, err := h.people.Add(h.t.Context(), a)
	h.must(err)
	h.tokens[a], h.ids[a], err = h.people.IssueToken(h.t.Context(), a, "test")
	h.must(err)
}

// dial opens a connection without a CONNECT.
func (h *harness) dial(version byte) *rawmqtt.Client {
	h.t.Helper()
	c := rawmqtt.Dial(h.t, h.addr, version)
	c.Sent = h.log.sent
	return c
}

// connect logs a user in with a clean session.
func (h *harness) connect(version byte, a contacts.Address, clientID string) *rawmqtt.Client {
	h.t.Helper()
	c := h.dial(version)
	if ack := c.Connect(rawmqtt.Hello(version, clientID, string(a), h.tokens[a])); ack.ReasonCode != 0 {
		h.t.Fatalf("CONNACK %#x", ack.ReasonCode)
	}
	return c
}

// listen logs a user in and subscribes to the inbox.
func (h *harness) listen(version byte, a contacts.Address, clientID string) *rawmqtt.Client {
	h.t.Helper()
	c := h.connect(version, a, clientID)
	if codes := c.Subscribe(1, inbox(a)); codes[0] != 1 {
		h.t.Fatalf("SUBACK %#x", codes)
	}
	return c
}

func inbox(a contacts.Address) string { return "u/" + string(a) + "/#" }

func (h *harness) refused(r hooks.Refusal) uint64 { return h.hook.Stats().Refused[r].Load() }

// eventually waits for what nothing else tells.
func (h *harness) eventually(what string, ok func() bool) {
	h.t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) { // sleep: no event tells
		if time.Now().After(end) {
			h.t.Fatalf("never: %s", what)
		}
	}
}

// A store can be told to fail or to wait.
type store struct {
	*memory.Store
	mu   sync.Mutex
	err  error
	gate chan struct{} // nil: open
}

var errDisk = errors.New("the disk is on fire")

func (s *store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// block makes commits wait until release.
func (s *store) block() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate = make(chan struct{})
}

func (s *store) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gate != nil {
		close(s.gate)
		s.gate = nil
	}
}

func (s *store) Commit(ctx context.Context, changes []delivery.Change) []error {
	s.mu.Lock()
	gate, err := s.gate, s.err
	s.mu.Unlock()
	if gate != nil {
		<-gate
	}
	if err != nil {
		errs := make([]error, len(changes))
		for i := range errs {
			if changes[i].Message == nil || changes[i].Message.Rev == 0 {
				errs[i] = fmt.Errorf("commit: %w", err)
			}
		}
		return errs
	}
	return s.Store.Commit(ctx, changes)
}

type mqttOptions = mqtt.Options

func hooksOf(t *testing.T) *hooks.Hook { return hooks.New(mqtt.New(nil), newEngine(t)) }

// newEngine returns an engine that is never run.
func newEngine(t *testing.T) *delivery.Engine {
	t.Helper()
	m := memory.New()
	people, err := contacts.Open(t.Context(), m.Table(), contacts.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = people.Close() })
	return delivery.New(delivery.Config{Store: m, Directory: people})
}
