package delivery_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/clienttest/leak"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/store/memory"
)

const (
	ann = contacts.Address("491511111111")
	bob = contacts.Address("491522222222")
	eve = contacts.Address("491533333333") // not registered
	own = contacts.Number("491500000000")
)

// A world is an engine in a bubble of its own time, with a gateway and phones that do as they are told.
type world struct {
	t       *testing.T
	store   *memory.Store
	dir     *contacts.Directory
	gateway *gateway
	engine  *delivery.Engine
	config  delivery.Config
	phones  map[contacts.Address]*phone // the first of each user: it is by these that messages are sent
	stop    func()
	log     logged
	texts   []string // that were sent
	early   func()   // is called before an engine runs
}

// logged is what the engine logged.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// bubble runs a conversation in a bubble of virtual time.
func bubble(t *testing.T, change func(c *delivery.Config), talk func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, store: memory.New(), gateway: &gateway{dlr: true}, phones: map[contacts.Address]*phone{}}
		w.config = delivery.Config{SMS: w.gateway, Numbers: []contacts.Number{own}, Template: "{{.Text}}", RestartGrace: -1, Log: zerolog.New(&w.log)}
		if change != nil {
			change(&w.config)
		}
		w.start()
		t.Cleanup(func() {
			w.stop()
			for _, found := range leak.Find(w.log.String(), []string{string(ann), string(bob), string(eve), string(own)}, w.texts) {
				t.Errorf("the engine's log has in it %s", found)
			}
			leak.Keep(t, w.log.String())
		})
		w.register(ann, bob)
		talk(w)
	})
}

func (w *world) start() {
	w.t.Helper()
	var err error
	if w.dir, err = contacts.Open(w.t.Context(), w.store.Table(), contacts.Config{}); err != nil {
		w.t.Fatal(err)
	}
	dir := w.dir
	w.config.Store, w.config.Directory = w.store, dir
	w.engine = delivery.New(w.config)
	if w.early != nil {
		w.early()
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.engine.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run: %v", err)
		}
		dir.Close()
	}
	<-w.engine.Recovered()
	synctest.Wait()
}

// crash ends the engine as kill -9 does, and starts another on what was synced.
func (w *world) crash() {
	next := w.store.Crash()
	w.stop()
	w.store = next
	w.start()
}

func (w *world) register(users ...contacts.Address) {
	w.t.Helper()
	for _, u := range users {
		if _, err := w.dir.Add(w.t.Context(), u); err != nil {
			w.t.Fatal(err)
		}
	}
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// send publishes and returns the message as accepted.
func (w *world) send(m *delivery.Message) delivery.ID {
	w.t.Helper()
	if m.Root == 0 {
		m.Root = delivery.RootTo
	}
	if m.Payload == nil {
		m.Payload = []byte("hello")
	}
	w.texts = append(w.texts, string(m.Payload))
	done := make(accepted, 1)
	pub := delivery.Publication{}
	if p := w.phones[m.From]; p != nil {
		pub.Device = p.dev
	}
	w.engine.Publish(m, pub, done)
	if err := <-done; err != nil {
		w.t.Fatalf("send: %v", err)
	}
	synctest.Wait()
	return m.ID
}

// state reads what the store says.
func (w *world) state(id delivery.ID) *delivery.Message {
	w.t.Helper()
	m, err := w.store.Message(context.Background(), id)
	if err != nil {
		w.t.Fatalf("message: %v", err)
	}
	return m
}

func (w *world) is(id delivery.ID, state delivery.State, via delivery.Via, reason delivery.Reason) {
	w.t.Helper()
	if via == delivery.ViaPush {
		w.pass(10 * time.Millisecond) // an acknowledgement waits a moment for company on its way to the disk
	}
	m := w.state(id)
	if m.State != state || m.Via != via || m.Reason != reason {
		w.t.Fatalf("the message is %v via %q, reason %q; want %v via %q, reason %q\ntrail: %+v", m.State, m.Via, m.Reason, state, via, reason, m.Trail)
	}
}

// A phone is a device that keeps what it was pushed, and acknowledges at once unless it is deaf.
type phone struct {
	w      *world
	dev    *delivery.Device
	mu     sync.Mutex
	got    []delivery.Push
	silent bool
	full   bool
}

func (p *phone) Push(push *delivery.Push) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.full {
		return false
	}
	p.got = append(p.got, *push)
	if !p.silent && push.Slot != 0 {
		p.dev.Ack(push.Slot, true)
	}
	return true
}
func (p *phone) Flush()     {}
func (p *phone) Drop(error) {}

// topics returns what was pushed: kind, peer and payload, or the state of a receipt.
func (p *phone) topics() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for _, g := range p.got {
		parts := strings.Split(g.Topic, "/")
		if parts[2] == "receipt" {
			var r delivery.ReceiptBody
			if err := json.Unmarshal(g.Payload, &r); err != nil {
				return err.Error()
			}
			all = append(all, strings.TrimSuffix(fmt.Sprintf("receipt %s %s", r.State, r.Via), " "))
			continue
		}
		all = append(all, parts[2]+" "+string(g.Payload))
	}
	return strings.Join(all, ", ")
}

func (p *phone) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = nil
}

func (p *phone) hears(want string) {
	p.w.t.Helper()
	if got := p.topics(); got != want {
		p.w.t.Fatalf("the phone got %q, want %q", got, want)
	}
}

// phone connects a device and subscribes to everything.
func (w *world) phone(user contacts.Address, c delivery.Connection) *phone {
	p := &phone{w: w}
	w.connect(p, user, c)
	return p
}

func (w *world) connect(p *phone, user contacts.Address, c delivery.Connection) {
	w.t.Helper()
	c.User, c.Link = user, p
	if c.ClientID == "" {
		c.ClientID = "phone"
	}
	filters := []contacts.Filter{{Topic: "u/" + string(user) + "/#", QoS: 1}}
	if err := w.dir.HasInbox(w.t.Context(), user); err != nil {
		w.t.Fatal(err)
	}
	if c.Remembered {
		dev := contacts.Device{ClientID: c.ClientID, Version: 4, Filters: filters, Expiry: 720 * time.Hour}
		if err := w.dir.Remember(w.t.Context(), user, dev); err != nil {
			w.t.Fatal(err)
		}
	}
	w.dir.Connected(user, c.ClientID)
	p.dev = w.engine.Connect(c)
	p.dev.Subscribe(filters)
	if w.phones[user] == nil {
		w.phones[user] = p
	}
	synctest.Wait()
}

// A gateway takes what it is told to take.
type gateway struct {
	mu          sync.Mutex
	name        string // empty: test
	dlr         bool
	whole       bool            // one id for all segments
	number      contacts.Number // its own
	fail        func(mt sms.MT) error
	failSegment func(s sms.Segment) error
	slow        time.Duration
	sent        []sms.MT
	sink        sms.Sink
	count       int
}

func (g *gateway) Name() string {
	if g.name != "" {
		return g.name
	}
	return "test"
}
func (g *gateway) Abilities() sms.Abilities {
	return sms.Abilities{DLR: g.dlr, Window: 4, Whole: g.whole, Number: g.number}
}
func (g *gateway) Run(ctx context.Context, sink sms.Sink) error {
	g.mu.Lock()
	g.sink = sink
	g.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (g *gateway) Submit(ctx context.Context, mt sms.MT) []sms.Outcome {
	if g.slow > 0 {
		time.Sleep(g.slow)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []sms.Outcome
	var err error
	if g.fail != nil {
		err = g.fail(mt)
	}
	g.sent = append(g.sent, mt)
	for _, s := range mt.Segments {
		err := err
		if g.failSegment != nil {
			err = g.failSegment(s)
		}
		o := sms.Outcome{Segment: s.Number, Err: err}
		if err == nil {
			if !g.whole || len(all) == 0 {
				g.count++
			}
			o.ID = fmt.Sprintf("s%d", g.count)
		}
		all = append(all, o)
	}
	return all
}

func (w *world) submits(want int) []sms.MT {
	w.t.Helper()
	w.gateway.mu.Lock()
	defer w.gateway.mu.Unlock()
	if len(w.gateway.sent) != want {
		w.t.Fatalf("%d submits, want %d", len(w.gateway.sent), want)
	}
	return w.gateway.sent
}

func (w *world) report(id string, state sms.DLRState) {
	w.t.Helper()
	if err := w.engine.DLR(w.t.Context(), sms.DLR{Gateway: "test", ID: id, State: state}); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}
