package delivery_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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
}

// bubble runs a conversation in a bubble of virtual time.
func bubble(t *testing.T, change func(c *delivery.Config), talk func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, store: memory.New(), gateway: &gateway{dlr: true}, phones: map[contacts.Address]*phone{}}
		w.config = delivery.Config{SMS: w.gateway, Numbers: []contacts.Number{own}, Template: "{{.Text}}", RestartGrace: -1}
		if change != nil {
			change(&w.config)
		}
		w.start()
		t.Cleanup(func() { w.stop() })
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
	mu    sync.Mutex
	dlr   bool
	fail  func(mt sms.MT) error
	slow  time.Duration
	sent  []sms.MT
	sink  sms.Sink
	count int
}

func (g *gateway) Name() string             { return "test" }
func (g *gateway) Abilities() sms.Abilities { return sms.Abilities{DLR: g.dlr, Window: 4} }
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
		o := sms.Outcome{Segment: s.Number, Err: err}
		if err == nil {
			g.count++
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

func TestPushed(t *testing.T) {
	bubble(t, nil, func(w *world) {
		a, b := w.phone(ann, delivery.Connection{}), w.phone(bob, delivery.Connection{})
		id := w.send(&delivery.Message{From: ann, To: bob})
		w.is(id, delivery.Delivered, delivery.ViaPush, "")
		b.hears("in hello")
		a.hears("receipt delivered push")
		w.pass(time.Hour)
		w.submits(0)
	})
}

func TestNotRegisteredGoesOutAtOnce(t *testing.T) {
	bubble(t, nil, func(w *world) {
		a := w.phone(ann, delivery.Connection{})
		id := w.send(&delivery.Message{From: ann, To: eve})
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered)
		if mt := w.submits(1)[0]; mt.To != contacts.Number(eve) || mt.From != string(own) || mt.Segments[0].Text != "hello" {
			t.Fatalf("submitted %+v", mt)
		}
		w.report("s1", sms.DeliveredSMS)
		w.is(id, delivery.Delivered, delivery.ViaSMS, delivery.NotRegistered)
		a.hears("receipt submitted sms, receipt delivered sms")
	})
}

func TestNoAnswer(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{})
		b.silent = true
		id := w.send(&delivery.Message{From: ann, To: bob})
		w.pass(15*time.Second - time.Millisecond)
		w.is(id, delivery.Accepted, 0, "")
		w.pass(time.Millisecond)
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NoAnswer)
		b.hears("in hello") // deaf: not even the seen/ copy
		b.clear()
		b.dev.Ack(0x8000, true) // late: it came both ways
		synctest.Wait()
		w.is(id, delivery.Delivered, delivery.ViaPush, "")
		b.hears("seen hello")
	})
}

func TestOfflineGrace(t *testing.T) {
	for name, tt := range map[string]struct {
		loss   delivery.Loss
		since  time.Duration // between the loss and the message
		wait   time.Duration // `after`
		sms    time.Duration // from the message on
		reason delivery.Reason
	}{
		"just lost":                   {loss: delivery.Lost, since: 3 * time.Second, sms: 7 * time.Second, reason: delivery.Offline},
		"lost long ago":               {loss: delivery.Lost, since: time.Minute, reason: delivery.Offline},
		"left":                        {loss: delivery.LeftClean, since: time.Second, reason: delivery.Left},
		"just lost, the sender waits": {loss: delivery.Lost, since: time.Second, wait: 30 * time.Second, sms: 30 * time.Second, reason: delivery.Offline},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(w *world) {
				b := w.phone(bob, delivery.Connection{})
				b.dev.Gone(tt.loss)
				w.pass(tt.since)
				id := w.send(&delivery.Message{From: ann, To: bob, Wait: tt.wait})
				if tt.sms > 0 {
					w.pass(tt.sms - time.Millisecond)
					w.is(id, delivery.Accepted, 0, "")
					w.pass(time.Millisecond)
				}
				w.is(id, delivery.Submitted, delivery.ViaSMS, tt.reason)
			})
		})
	}
}

func TestNeverConnected(t *testing.T) {
	bubble(t, nil, func(w *world) {
		id := w.send(&delivery.Message{From: ann, To: bob})
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NoDevice)
	})
}

func TestBackInTime(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{Remembered: true})
		b.dev.Gone(delivery.Lost)
		id := w.send(&delivery.Message{From: ann, To: bob})
		w.pass(5 * time.Second)
		w.connect(b, bob, delivery.Connection{Remembered: true, Resumed: true})
		w.is(id, delivery.Delivered, delivery.ViaPush, "")
		b.hears("in hello")
		w.pass(time.Hour)
		w.submits(0)
	})
}

func TestSubscribesLate(t *testing.T) {
	bubble(t, nil, func(w *world) {
		p := &phone{w: w}
		p.dev = w.engine.Connect(delivery.Connection{User: bob, ClientID: "late", Link: p})
		id := w.send(&delivery.Message{From: ann, To: bob})
		w.pass(2*time.Second - time.Millisecond)
		w.is(id, delivery.Accepted, 0, "")
		w.pass(time.Millisecond)
		w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.NoDevice)
	})
}

func TestAppOnlyWaits(t *testing.T) {
	bubble(t, nil, func(w *world) {
		id := w.send(&delivery.Message{From: ann, To: bob, Root: delivery.RootApp, Receipts: delivery.ReceiptsAll})
		w.is(id, delivery.Waiting, 0, delivery.AppOnly)
		w.pass(time.Hour)
		b := w.phone(bob, delivery.Connection{})
		w.is(id, delivery.Delivered, delivery.ViaPush, "")
		b.hears("in hello")
		w.submits(0)
	})
}

func TestNames(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.register("boiler")
		a := w.phone(ann, delivery.Connection{})
		if id := w.send(&delivery.Message{From: ann, To: "nobody"}); true {
			w.is(id, delivery.Failed, 0, delivery.NoSuchName)
		}
		id := w.send(&delivery.Message{From: ann, To: "boiler"})
		w.is(id, delivery.Waiting, 0, delivery.NoDevice)
		b := w.phone("boiler", delivery.Connection{})
		w.is(id, delivery.Delivered, delivery.ViaPush, "")
		b.hears("in hello")
		a.hears("receipt failed, receipt delivered push")
	})
}

func TestExpires(t *testing.T) {
	bubble(t, nil, func(w *world) {
		id := w.send(&delivery.Message{From: ann, To: bob, Root: delivery.RootApp, Expires: time.Now().Add(time.Minute)})
		w.pass(time.Minute)
		w.is(id, delivery.Expired, 0, delivery.TimeRanOut)
		b := w.phone(bob, delivery.Connection{})
		b.hears("")
	})
}

func TestNotText(t *testing.T) {
	bubble(t, nil, func(w *world) {
		picture := []byte{0xff, 0xd8, 0xff}
		w.is(w.send(&delivery.Message{From: ann, To: eve, Payload: picture}), delivery.Failed, 0, delivery.NotText)
		id := w.send(&delivery.Message{From: ann, To: bob, Payload: picture})
		w.is(id, delivery.Waiting, 0, delivery.NotText)
		long := []byte(strings.Repeat("x", 153*6+1))
		w.is(w.send(&delivery.Message{From: ann, To: eve, Payload: long}), delivery.Failed, 0, delivery.TooLong)
		w.phone(bob, delivery.Connection{})
		w.is(id, delivery.Delivered, delivery.ViaPush, "")
		w.submits(0)
	})
}

func TestKeyNamesOneMessage(t *testing.T) {
	bubble(t, nil, func(w *world) {
		id := w.send(&delivery.Message{From: ann, To: eve, Key: delivery.Key{Text: "k1"}})
		_, err := w.engine.Send(w.t.Context(), &delivery.Message{From: ann, To: eve, Root: delivery.RootSMS, Payload: []byte("other"), Key: delivery.Key{Text: "k1"}})
		if k, ok := err.(*delivery.Known); !ok || k.ID != id {
			t.Fatalf("%v, want that message %v is known", err, id)
		}
		w.submits(1)
	})
}

func TestReceiptsOfEachKind(t *testing.T) {
	for receipts, want := range map[delivery.Receipts]string{
		delivery.ReceiptsDefault: "receipt submitted sms, receipt delivered sms",
		delivery.ReceiptsNone:    "",
		delivery.ReceiptsFinal:   "receipt delivered sms",
		delivery.ReceiptsAll:     "receipt accepted, receipt submitting, receipt submitted sms, receipt delivered sms",
	} {
		t.Run(fmt.Sprint(receipts), func(t *testing.T) {
			bubble(t, nil, func(w *world) {
				a := w.phone(ann, delivery.Connection{})
				w.send(&delivery.Message{From: ann, To: eve, Receipts: receipts})
				w.report("s1", sms.DeliveredSMS)
				a.hears(want)
			})
		})
	}
}

func TestSentCopiesGoToOtherDevices(t *testing.T) {
	bubble(t, nil, func(w *world) {
		one, two := w.phone(ann, delivery.Connection{ClientID: "one"}), w.phone(ann, delivery.Connection{ClientID: "two"})
		w.phone(bob, delivery.Connection{})
		m := &delivery.Message{From: ann, To: bob, Root: delivery.RootTo, Payload: []byte("hi"), Receipts: delivery.ReceiptsNone}
		done := make(accepted, 1)
		w.engine.Publish(m, delivery.Publication{Device: one.dev}, done)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		one.hears("")
		two.hears("sent hi")
	})
}

type accepted chan error

func (a accepted) Accepted(_ *delivery.Message, err error) { a <- err }

func TestAnswerComesBackIntoTheConversation(t *testing.T) {
	bubble(t, nil, func(w *world) {
		a := w.phone(ann, delivery.Connection{})
		id := w.send(&delivery.Message{From: ann, To: eve, Receipts: delivery.ReceiptsNone})
		mo := sms.MO{Gateway: "test", ID: "m1", From: contacts.Number(eve), To: own, Text: "yes"}
		for range 2 { // the carrier repeats it
			if err := w.engine.MO(w.t.Context(), mo); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		a.hears("sms yes")
		if got := a.got[0]; got.InReplyTo != id || got.Via != "sms" || !strings.HasPrefix(got.Topic, "u/"+string(ann)+"/sms/"+string(eve)+"/") {
			t.Fatalf("pushed %+v", got)
		}
	})
}

func TestPairOfNumbersStaysWithItsConversation(t *testing.T) {
	bubble(t, nil, func(w *world) {
		a, b := w.phone(ann, delivery.Connection{}), w.phone(bob, delivery.Connection{})
		w.send(&delivery.Message{From: ann, To: eve, Receipts: delivery.ReceiptsNone})
		id := w.send(&delivery.Message{From: bob, To: eve, Receipts: delivery.ReceiptsNone})
		w.submits(2)
		if trail := fmt.Sprint(w.state(id).Trail); !strings.Contains(trail, delivery.EventNoWayBack) {
			t.Fatalf("the trail does not say that there is no way back: %s", trail)
		}
		if err := w.engine.MO(w.t.Context(), sms.MO{Gateway: "test", From: contacts.Number(eve), To: own, Text: "who?"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		a.hears("sms who?")
		b.hears("")
		w.pass(61 * time.Minute) // quiet long enough: the pair goes over
		w.send(&delivery.Message{From: bob, To: eve, Receipts: delivery.ReceiptsNone})
		if err := w.engine.MO(w.t.Context(), sms.MO{Gateway: "test", From: contacts.Number(eve), To: own, Text: "ah"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.hears("sms ah")
	})
}

func TestCrash(t *testing.T) {
	t.Run("an open message is delivered by the next process", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			b := w.phone(bob, delivery.Connection{Remembered: true})
			b.silent = true
			id := w.send(&delivery.Message{From: ann, To: bob})
			w.config.RestartGrace = time.Minute
			w.crash()
			b.silent = false
			b.clear()
			w.connect(b, bob, delivery.Connection{Remembered: true, Resumed: true})
			b.hears("in hello")
			w.is(id, delivery.Delivered, delivery.ViaPush, "")
		})
	})
	t.Run("a claim without an answer is unknown, and fails after the hold", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			w.gateway.slow = time.Hour
			id := w.send(&delivery.Message{From: ann, To: eve})
			w.is(id, delivery.Submitting, 0, delivery.NotRegistered)
			next := w.store.Crash()
			go w.stop() // its gateway never answers
			w.store = next
			w.gateway = &gateway{dlr: true}
			w.config.SMS = w.gateway
			w.start()
			w.pass(16 * time.Second)
			w.is(id, delivery.OutcomeUnknown, 0, delivery.OutcomeLost)
			w.pass(2 * time.Minute)
			w.is(id, delivery.Failed, 0, delivery.OutcomeLost)
			w.submits(0)
			w.pass(time.Hour) // the old process may end
		})
	})
	t.Run("restart grace holds what has no device yet", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			b := w.phone(bob, delivery.Connection{Remembered: true})
			b.silent = true
			id := w.send(&delivery.Message{From: ann, To: bob})
			w.config.RestartGrace = time.Minute
			w.crash()
			w.pass(59 * time.Second)
			w.is(id, delivery.Accepted, 0, "")
			w.pass(time.Second)
			w.is(id, delivery.Submitted, delivery.ViaSMS, delivery.Offline)
		})
	})
}

func TestGatewayErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		class  sms.Class
		times  int // how often it fails
		state  delivery.State
		reason delivery.Reason
		tries  int
	}{
		"not sent, then taken":  {sms.NotSent, 2, delivery.Submitted, delivery.NotRegistered, 3},
		"throttled, then taken": {sms.Throttled, 3, delivery.Submitted, delivery.NotRegistered, 4},
		"temporary, then taken": {sms.Temporary, 2, delivery.Submitted, delivery.NotRegistered, 3},
		"temporary for ever":    {sms.Temporary, 99, delivery.Failed, delivery.GatewayDown, 6},
		"permanent":             {sms.Permanent, 99, delivery.Failed, delivery.GatewayRefused, 1},
		"configuration, mended": {sms.Configuration, 1, delivery.Submitted, delivery.NotRegistered, 2},
		"unknown: never resent": {sms.Unknown, 99, delivery.Failed, delivery.OutcomeLost, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(w *world) {
				n := 0
				w.gateway.fail = func(sms.MT) error {
					if n++; n > tt.times {
						return nil
					}
					return &sms.Error{Class: tt.class, Text: "as told"}
				}
				id := w.send(&delivery.Message{From: ann, To: eve})
				w.pass(40 * time.Minute)
				via := delivery.Via(0)
				if tt.state == delivery.Submitted {
					via = delivery.ViaSMS
				}
				w.is(id, tt.state, via, tt.reason)
				w.submits(tt.tries)
			})
		})
	}
}

func TestOrderSurvivesAnOutageOfTheGateway(t *testing.T) {
	bubble(t, nil, func(w *world) {
		var down atomic.Bool
		down.Store(true)
		w.gateway.fail = func(sms.MT) error {
			if down.Load() {
				return &sms.Error{Class: sms.NotSent, Text: "connection refused"}
			}
			return nil
		}
		for _, text := range []string{"one", "two", "three"} {
			w.send(&delivery.Message{From: ann, To: eve, Payload: []byte(text)})
			w.pass(7 * time.Second)
		}
		down.Store(false)
		w.pass(10 * time.Minute)
		var got []string
		for _, mt := range w.gateway.sent {
			if m := w.state(delivery.ID(mt.Ref)); m.State == delivery.Submitted && (len(got) == 0 || got[len(got)-1] != mt.Text) {
				got = append(got, mt.Text)
			}
		}
		if want := "one,two,three"; strings.Join(got[len(got)-3:], ",") != want {
			t.Fatalf("submitted %v, want %s", got, want)
		}
	})
}

func TestReportBeforeTheAnswer(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.gateway.fail = func(sms.MT) error { // called before the outcome is told
			return w.engine.DLR(context.Background(), sms.DLR{Gateway: "test", ID: "s1", State: sms.DeliveredSMS})
		}
		id := w.send(&delivery.Message{From: ann, To: eve})
		w.is(id, delivery.Delivered, delivery.ViaSMS, delivery.NotRegistered)
		w.report("s1", sms.Enroute) // late and lower: nothing
		w.is(id, delivery.Delivered, delivery.ViaSMS, delivery.NotRegistered)
	})
}

func TestUndeliverable(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{ClientID: "b", Remembered: true})
		b.dev.Gone(delivery.LeftClean)
		id := w.send(&delivery.Message{From: ann, To: bob})
		w.report("s1", sms.Undelivered)
		w.is(id, delivery.Failed, 0, delivery.Undeliverable)
		w.connect(b, bob, delivery.Connection{ClientID: "b", Remembered: true, Resumed: true})
		b.hears("in hello") // as in/ again, and that still counts
		w.is(id, delivery.Delivered, delivery.ViaPush, "")
	})
}

func TestSeenOnReturn(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{ClientID: "b", Remembered: true})
		b.dev.Gone(delivery.LeftClean)
		w.send(&delivery.Message{From: ann, To: bob})
		w.connect(b, bob, delivery.Connection{ClientID: "b", Remembered: true, Resumed: true})
		b.hears("seen hello")
	})
}

func TestOrders(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{})
		b.silent = true
		do := func(id delivery.ID, o delivery.Order) error {
			_, err := w.engine.Do(w.t.Context(), id, o)
			synctest.Wait()
			return err
		}
		now := w.send(&delivery.Message{From: ann, To: bob})
		if err := do(now, delivery.SMSNow); err != nil {
			t.Fatal(err)
		}
		w.is(now, delivery.Submitted, delivery.ViaSMS, "")
		cancel := w.send(&delivery.Message{From: ann, To: bob})
		if err := do(cancel, delivery.Cancel); err != nil {
			t.Fatal(err)
		}
		w.is(cancel, delivery.Failed, 0, delivery.Cancelled)
		hold := w.send(&delivery.Message{From: ann, To: bob})
		if err := do(hold, delivery.HoldApp); err != nil {
			t.Fatal(err)
		}
		w.is(hold, delivery.Waiting, 0, delivery.AppOnly)
		if err := do(now, delivery.Cancel); err != delivery.ErrTooLate {
			t.Fatalf("cancel of what went out: %v", err)
		}
		if err := do(delivery.NewID(1, bob), delivery.Cancel); err != delivery.ErrNotFound {
			t.Fatalf("cancel of nothing: %v", err)
		}
		if err := do(hold, delivery.Acknowledge); err != nil {
			t.Fatal(err)
		}
		w.is(hold, delivery.Delivered, delivery.ViaPush, "")
		w.pass(time.Hour)
		w.submits(1)
	})
}

func TestFullInbox(t *testing.T) {
	bubble(t, func(c *delivery.Config) { c.Inbox = 2 }, func(w *world) {
		a := w.phone(ann, delivery.Connection{})
		for range 2 {
			w.is(w.send(&delivery.Message{From: ann, To: bob, Root: delivery.RootApp}), delivery.Waiting, 0, delivery.AppOnly)
		}
		w.is(w.send(&delivery.Message{From: ann, To: bob, Root: delivery.RootApp}), delivery.Failed, 0, delivery.InboxFull)
		a.hears("receipt failed")
	})
}

func TestWindowAndOrder(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{Window: 2})
		b.silent = true
		var want []string
		for i := range 300 { // far more than the tail keeps: the rest is read from the store
			text := fmt.Sprint("m", i)
			want = append(want, "in "+text)
			w.send(&delivery.Message{From: ann, To: bob, Payload: []byte(text)})
		}
		b.hears("in m0, in m1")
		for i := range 300 {
			b.dev.Ack(b.slot(i), true)
			synctest.Wait()
		}
		b.hears(strings.Join(want, ", "))
	})
}

func (p *phone) slot(i int) uint16 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i >= len(p.got) {
		p.w.t.Fatalf("push %d never came", i)
	}
	return p.got[i].Slot
}

func TestResumedSessionGetsItsSlotsAgain(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{Remembered: true})
		b.silent = true
		for i := range 3 {
			w.send(&delivery.Message{From: ann, To: bob, Payload: fmt.Append(nil, "m", i)})
		}
		b.dev.Ack(b.slot(1), true)
		synctest.Wait()
		first, third := b.slot(0), b.slot(2)
		b.dev.Gone(delivery.Lost)
		w.pass(time.Second)
		b.clear()
		w.connect(b, bob, delivery.Connection{Remembered: true, Resumed: true})
		b.hears("in m0, in m2")
		if !b.got[0].Dup || b.got[0].Slot != first || !b.got[1].Dup || b.got[1].Slot != third {
			t.Fatalf("resent %+v", b.got)
		}
	})
}

func TestAnotherDeviceGetsWhatTheFirstAcknowledged(t *testing.T) {
	bubble(t, nil, func(w *world) {
		one, two := w.phone(bob, delivery.Connection{ClientID: "one", Remembered: true}), w.phone(bob, delivery.Connection{ClientID: "two", Remembered: true})
		two.dev.Gone(delivery.Lost)
		w.send(&delivery.Message{From: ann, To: bob})
		one.hears("in hello")
		w.pass(time.Minute)
		w.connect(two, bob, delivery.Connection{ClientID: "two", Remembered: true, Resumed: true})
		two.hears("in hello")
		clean := w.phone(bob, delivery.Connection{ClientID: "three"})
		clean.hears("") // it starts after what some device has acknowledged
	})
}

func TestDUPOnTheNextConnection(t *testing.T) {
	bubble(t, nil, func(w *world) {
		a := w.phone(ann, delivery.Connection{ClientID: "a", Remembered: true})
		publish := func(dup bool, payload string) error {
			m := &delivery.Message{From: ann, To: eve, Root: delivery.RootTo, Payload: []byte(payload), Receipts: delivery.ReceiptsNone,
				Origin: delivery.Origin{Device: "a", PacketID: 1, Digest: uint64(len(payload))}}
			done := make(accepted, 1)
			w.engine.Publish(m, delivery.Publication{Device: a.dev, Dup: dup}, done)
			err := <-done
			synctest.Wait()
			return err
		}
		again := func() { w.connect(a, ann, delivery.Connection{ClientID: "a", Remembered: true, Resumed: true}) }
		if err := publish(false, "ALARM"); err != nil {
			t.Fatal(err)
		}
		w.submits(1)
		a.dev.Gone(delivery.Lost)
		again()
		if _, known := publish(true, "ALARM").(*delivery.Known); !known {
			t.Fatal("the same PUBLISH sent again became a second message")
		}
		a.dev.Gone(delivery.Lost)
		again()
		if _, known := publish(true, "ALARM").(*delivery.Known); !known {
			t.Fatal("the same PUBLISH sent a third time became a second message")
		}
		if err := publish(false, "ALARM"); err != nil { // without DUP it is a new one
			t.Fatal(err)
		}
		w.crash()
		w.submits(2)
		again()
		if _, known := publish(true, "ALARM").(*delivery.Known); !known {
			t.Fatal("after a crash the same PUBLISH became another message")
		}
		again()
		again()
		if err := publish(true, "ALARM"); err != nil { // two connections later nobody compares
			t.Fatal(err)
		}
		w.submits(3)
	})
}

func TestStoreFails(t *testing.T) {
	bubble(t, nil, func(w *world) {
		b := w.phone(bob, delivery.Connection{})
		w.store.Inject(memory.Fault{Wrote: memory.Nothing})
		if _, err := w.engine.Send(w.t.Context(), &delivery.Message{From: ann, To: bob, Root: delivery.RootTo, Payload: []byte("x")}); err == nil {
			t.Fatal("acknowledged without being stored")
		}
		w.store.SetFull(true)
		if _, err := w.engine.Send(w.t.Context(), &delivery.Message{From: ann, To: bob, Root: delivery.RootTo, Payload: []byte("x")}); err != delivery.ErrDisk {
			t.Fatalf("%v, want ErrDisk", err)
		}
		w.store.SetFull(false)
		b.hears("")
		id := w.send(&delivery.Message{From: ann, To: bob, Payload: []byte("y")})
		w.is(id, delivery.Delivered, delivery.ViaPush, "")
		b.silent = true
		id = w.send(&delivery.Message{From: ann, To: bob, Payload: []byte("z")})
		w.store.Inject(memory.Fault{Wrote: memory.Nothing}, memory.Fault{Wrote: memory.All, Err: memory.ErrFault}) // the acknowledgement must survive both
		b.dev.Ack(b.slot(1), true)
		w.pass(time.Second)
		w.is(id, delivery.Delivered, delivery.ViaPush, "")
	})
}
