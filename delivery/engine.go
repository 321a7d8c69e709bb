package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// Config is what an Engine is made of. Zero values mean the documented defaults.
type Config struct {
	Store     Store               // required
	Directory *contacts.Directory // required
	SMS       sms.Gateway         // nil: no SMS is possible (gateway_down)
	Gateways  []sms.Gateway       // more of them, tried in their order after SMS
	Routes    []sms.Route         // which gateways take which numbers; nil: all of them, in their order
	OptOuts   *sms.OptOuts        // who wants no SMS; nil: nobody is asked, and stop words mean nothing
	Log       zerolog.Logger

	Originator  string                                                 // OriginatorPool (the default), OriginatorUser, or a name of up to 11 characters: docs/decision.md, "From which number"
	Numbers     []contacts.Number                                      // our own numbers, the pool, to which answers come
	Policy      sms.Policy                                             // what SMS may go where, how many, and for how much; zero: any
	StopWords   []string                                               // that opt a peer out
	HasContact  func(user contacts.Address, peer contacts.Number) bool // whether a user has the peer in the address book; nil: nobody has
	Template    string                                                 // of an SMS; "{{.From}}: {{.Text}}"
	MaxSegments int                                                    // 6
	Validity    time.Duration                                          // 24 h
	Retry       Retry
	Unknown     Unknown
	Response    time.Duration // how long a gateway may take to answer, 10 s
	DLRTimeout  time.Duration // 48 h
	ReplyWindow time.Duration // how long an answer finds its conversation, 72 h
	ReplyQuiet  time.Duration // how long a pair of numbers must be quiet before another conversation takes it, 1 h

	AckTimeout   time.Duration // 15 s
	AfterMax     time.Duration // 10 min
	OfflineGrace time.Duration // 10 s
	RestartGrace time.Duration // 60 s; negative: none
	StormHold    time.Duration // 2 min
	Window       int           // pushes a device may have unacknowledged, 32
	Inbox        int           // open messages a recipient, 10,000
	InboxAge     time.Duration // 30 d
	History      time.Duration // 30 d; negative: only until seen
	Notices      int           // 1,000

	ChangesPerDay int // numbers that a user may newly ask about in a day, 20,000; negative: none
}

// Retry is how attempts at an SMS are repeated that ended without one.
type Retry struct {
	Tries  int           // 6
	First  time.Duration // 5 s
	Factor float64       // 2
	Max    time.Duration // 10 min
}

// Unknown is what happens to an SMS of which it is not known whether the gateway has it.
type Unknown struct {
	Hold   time.Duration // for a DLR, 2 min
	Resend bool          // afterwards; false: it fails
}

const day = 24 * time.Hour

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (c Config) withDefaults() Config {
	orDefault(&c.Originator, OriginatorPool)
	orDefault(&c.Template, "{{.From}}: {{.Text}}")
	orDefault(&c.MaxSegments, 6)
	orDefault(&c.Validity, day)
	orDefault(&c.Retry.Tries, 6)
	orDefault(&c.Retry.First, 5*time.Second)
	orDefault(&c.Retry.Factor, 2)
	orDefault(&c.Retry.Max, 10*time.Minute)
	orDefault(&c.Unknown.Hold, 2*time.Minute)
	orDefault(&c.Response, 10*time.Second)
	orDefault(&c.DLRTimeout, 48*time.Hour)
	orDefault(&c.ReplyWindow, 72*time.Hour)
	orDefault(&c.ReplyQuiet, time.Hour)
	orDefault(&c.AckTimeout, 15*time.Second)
	orDefault(&c.AfterMax, 10*time.Minute)
	orDefault(&c.OfflineGrace, 10*time.Second)
	orDefault(&c.RestartGrace, time.Minute)
	orDefault(&c.StormHold, 2*time.Minute)
	orDefault(&c.Window, 32)
	orDefault(&c.Inbox, 10_000)
	orDefault(&c.InboxAge, 30*day)
	orDefault(&c.History, 30*day)
	orDefault(&c.Notices, 1000)
	orDefault(&c.ChangesPerDay, 20_000)
	return c
}

func (c Config) check() error {
	switch {
	case c.Store == nil:
		return errors.New("delivery: Config.Store is missing")
	case c.Directory == nil:
		return errors.New("delivery: Config.Directory is missing")
	case c.Window < 1 || c.Window > firstSlot/2:
		return fmt.Errorf("delivery: Config.Window is %d, 1 to %d are allowed", c.Window, firstSlot/2)
	case c.Retry.Factor < 1:
		return fmt.Errorf("delivery: Config.Retry.Factor is %v, at least 1 is allowed", c.Retry.Factor)
	}
	if err := c.Policy.Check(); err != nil {
		return fmt.Errorf("delivery: Config.Policy: %w", err)
	}
	return nil
}

// An Engine carries the decisions out: it stores what comes in, pushes it, and lets it go out as an SMS when the decision says so.
type Engine struct {
	cfg       parts
	live      atomic.Pointer[settings]
	applying  sync.Mutex // of Apply
	err       error
	log       zerolog.Logger
	stats     *Stats
	inboxes   *inboxes
	origins   *origins
	lane      *lane
	dlv       *deliverer
	readers   *pool
	gateways  []sms.Gateway
	dispatch  *sms.Dispatcher
	numbers   map[contacts.Number]struct{} // our own
	limits    *limits
	unknowns  *unknowns
	submitted *submitted
	claims    claims
	answered  answered

	ctx       context.Context // of reads; ends with Run
	cancel    context.CancelFunc
	recovered chan struct{}
	running   sync.Once
}

// New returns an Engine that does nothing until Run. What is wrong with cfg is told by Run, and by Check at once.
func New(cfg Config) *Engine {
	cfg = cfg.withDefaults()
	e := &Engine{cfg: parts{cfg.Store, cfg.Directory, cfg.OptOuts, cfg.HasContact}, log: cfg.Log, inboxes: newInboxes(), origins: newOrigins(), limits: newLimits(), submitted: newSubmitted(), recovered: make(chan struct{})}
	e.unknowns = newUnknowns(func(gateway, id string) bool { _, ok := e.submitted.find(gateway, id); return ok })
	e.ctx, e.cancel = context.WithCancel(context.Background())
	if cfg.SMS != nil {
		e.gateways = append([]sms.Gateway{cfg.SMS}, cfg.Gateways...)
	}
	e.numbers = ownNumbers(cfg.Numbers, e.gateways)
	e.stats = newStats(e.gateways)
	s, err := e.settings(cfg)
	e.live.Store(s)
	e.err = err
	e.lane = newLane(cfg.Store, e.origins, e.stats, e.log)
	e.dlv = newDeliverer(e)
	e.lane.behind = e.dlv.behind
	e.readers = newPool(e.dlv)
	if len(e.gateways) > 0 {
		e.dispatch = sms.NewDispatcher(e.gateways, e, sms.Dispatch{Routes: cfg.Routes, OnAlarm: func(gateway string, err error) {
			e.log.Error().Str("gateway", gateway).Err(err).Msg("the SMS gateway must be looked after: its messages wait")
		}})
		e.err = errors.Join(e.err, e.dispatch.Check())
	}
	return e
}

// ownNumbers are those to which SMS for us come.
func ownNumbers(pool []contacts.Number, gateways []sms.Gateway) map[contacts.Number]struct{} {
	own := map[contacts.Number]struct{}{}
	for _, n := range pool {
		own[n] = struct{}{}
	}
	for _, g := range gateways {
		if n := g.Abilities().Number; n != "" {
			own[n] = struct{}{}
		}
	}
	return own
}

// Check returns what is wrong with the Config, naming the field.
func (e *Engine) Check() error { return e.err }

// Directory returns the directory of the Config.
func (e *Engine) Directory() *contacts.Directory { return e.cfg.Directory }

// Stats returns the engine's counters.
func (e *Engine) Stats() *Stats { return e.stats }

// Recovered is closed once every open message of the store is known again; messages are accepted and pushed before.
func (e *Engine) Recovered() <-chan struct{} { return e.recovered }

// Run works until ctx is done, then finishes what is under way: everything accepted is durable and told when it returns. It can run once.
func (e *Engine) Run(ctx context.Context) error {
	if e.err != nil {
		return e.err
	}
	first := false
	e.running.Do(func() { first = true })
	if !first {
		return errors.New("delivery: an Engine runs once")
	}
	e.dlv.brake.Start(time.Now())
	for u := range e.cfg.Directory.Users() {
		for _, dev := range u.Devices {
			if len(dev.Filters) > 0 {
				e.inboxes.add(u.Address, dev.ClientID)
			}
		}
	}

	var laneDone, dlvDone, background sync.WaitGroup
	stopLane, stopDlv := make(chan struct{}), make(chan struct{})
	laneDone.Go(func() { e.lane.run(stopLane, e.committed) })
	dlvDone.Go(func() { e.dlv.run(stopDlv) })
	e.readers.start()
	background.Go(func() { e.recover() })
	background.Go(func() { e.maintain(ctx) })
	if e.dispatch != nil {
		background.Go(func() {
			if derr := e.dispatch.Run(ctx, e); derr != nil && ctx.Err() == nil {
				e.log.Error().Err(derr).Msg("SMS stop: the dispatcher ended")
			}
		})
	}
	<-ctx.Done()
	e.cancel()
	background.Wait() // reports of gateways are stored by the lane, which still runs
	close(stopDlv)
	dlvDone.Wait()
	e.readers.stop()
	e.lane.close()
	stopped := time.AfterFunc(10*time.Second, func() { close(stopLane) })
	laneDone.Wait()
	stopped.Stop()
	return nil
}

// committed is told what became of a group: first whoever waits for it, then the deliverer.
func (e *Engine) committed(results []result) {
	for _, r := range results {
		e.limits.learn(r.p.change.Counts, r.err)
		if r.p.acceptor != nil {
			r.p.acceptor.Accepted(r.p.change.Message, r.err)
		}
		if r.p.answer != nil {
			r.p.answer <- r.err
		}
	}
	e.dlv.post(event{kind: evResults, results: append([]result(nil), results...)})
}

// recover reads what is open, behind the back of what comes in meanwhile.
func (e *Engine) recover() {
	const batch = 256
	var some, submitted, orphans []*Message
	hand := func() {
		ms := some
		some = nil
		e.dlv.call(func(now time.Time) { e.dlv.recover(ms, now) })
	}
	for {
		submitted, orphans = submitted[:0], orphans[:0]
		err := e.cfg.Store.Recover(e.ctx, time.Now().Add(-originAge), func(m *Message) error {
			e.origins.recovered(m)
			if m.SMS != nil && m.SMS.Holding && m.SMS.Until.IsZero() {
				submitted = append(submitted, m)
			}
			if m.State == OutcomeUnknown || m.unanswered() {
				orphans = append(orphans, m)
			}
			if !m.Settled() {
				m.Payload = nil // decisions do not need it, and it may be much
				if some = append(some, m); len(some) == batch {
					hand()
				}
			}
			return e.ctx.Err()
		})
		if err == nil || e.ctx.Err() != nil {
			break
		}
		e.log.Error().Err(err).Msg("open messages cannot be read; tried again in a second")
		select {
		case <-time.After(time.Second):
		case <-e.ctx.Done():
		}
	}
	hand()
	e.origins.complete()
	e.dlv.call(func(time.Time) {
		e.dlv.recovering, e.dlv.settled = false, nil
		close(e.recovered)
	})
	select {
	case <-e.recovered:
	case <-e.ctx.Done():
	}
	for ms := range slices.Chunk(submitted, batch) {
		if err := e.meetAgain(e.ctx, ms...); err != nil && e.ctx.Err() == nil {
			e.log.Error().Err(err).Msg("reports of SMS from before the start could not be looked for")
		}
	}
	for _, m := range orphans { // reports that came while the store was read
		if err := e.early(e.ctx, m); err != nil && e.ctx.Err() == nil {
			e.log.Error().Err(err).Msg("a report of an SMS from before the start could not be stored")
		}
	}
}

// meetAgain looks for reports that came before the answers to submits that are stored, when they could not be applied with them.
func (e *Engine) meetAgain(ctx context.Context, ms ...*Message) error {
	var change Change
	for _, m := range ms {
		if m.SMS != nil {
			change.Meetings = append(change.Meetings, m.meetings(m.SMS.Gateway)...)
		}
	}
	if len(change.Meetings) == 0 {
		return nil
	}
	if err := e.commit(ctx, change, Effects{}); err != nil {
		return err
	}
	return e.met(ctx, change.Meetings)
}

// recover takes open messages of the time before the start.
func (d *deliverer) recover(ms []*Message, now time.Time) {
	for _, m := range ms {
		if _, closed := d.settled[m.ID]; closed || d.open[m.ID] != nil {
			continue
		}
		d.e.unknowns.orphan(m)
		r := d.openRef(d.line(m.To), m)
		if r == nil {
			continue
		}
		if m.unanswered() {
			d.orphans[m.ID] = struct{}{}
		}
		r.anew = d.anew
		d.consider(r, now)
	}
}

// maintain prunes the store: once the messages of the last run are read, so that a broker which never runs for an hour does it too, and every hour.
func (e *Engine) maintain(ctx context.Context) {
	ticker := time.NewTicker(time.Hour)
	defer ticker.Stop()
	select {
	case <-ctx.Done():
		return
	case <-e.recovered:
	}
	for now := time.Now(); ; {
		e.prune(ctx, now)
		select {
		case <-ctx.Done():
			return
		case now = <-ticker.C:
		}
		e.origins.sweep(now)
		e.limits.sweep(now)
	}
}

func (e *Engine) prune(ctx context.Context, now time.Time) {
	s := e.now()
	keep := Retention{Talks: s.ReplyWindow + rememberMO, History: max(s.History, 0), Keys: day, InboxAge: s.InboxAge, Notices: s.Notices, NoticeAge: 7 * day}
	if err := e.cfg.Store.Prune(ctx, now, keep); err != nil && ctx.Err() == nil {
		e.log.Error().Err(err).Msg("old records cannot be deleted; tried again in an hour")
	}
}

// subscribed reports whether a user ever looked into an inbox, so that notices make sense.
func (e *Engine) subscribed(user contacts.Address) bool { return e.cfg.Directory.Inbox(user) }

// change is a next state with everything that is to be told of it.
func (e *Engine) change(next *Message, fx Effects, now time.Time) Change {
	c := Change{Message: next}
	if len(fx.Tell) > 0 && e.subscribed(next.From) {
		c.Entries = next.receipts(fx.Tell, now)
	}
	if fx.Stand != 0 && e.subscribed(next.To) && e.reachable(next.To) {
		c.Entries = append(c.Entries, Entry{User: next.To, Kind: fx.Stand, ID: next.ID, Peer: next.From, At: now})
	}
	return c
}

// reachable reports whether devices of a recipient may get copies.
func (e *Engine) reachable(user contacts.Address) bool {
	_, number := user.Number()
	return !number || e.cfg.Directory.Registered(user)
}

// want asks the dispatcher for a place.
func (e *Engine) want(m *Message, prio sms.Priority, tried uint64) {
	to, number := m.To.Number()
	if !number || e.dispatch == nil {
		return
	}
	w := sms.Want{Ref: sms.Ref(m.ID), To: to, Priority: prio, Tried: e.names(tried)}
	if m.SMS.begun() {
		w.Only = m.SMS.Gateway // the rest of a message goes where its beginning is
	}
	e.dispatch.Want(w)
}

// names are those of a bit set of gateways.
func (e *Engine) names(gateways uint64) (names []string) {
	for i, g := range e.gateways {
		if gateways&(1<<i) != 0 {
			names = append(names, g.Name())
		}
	}
	return names
}

func (e *Engine) drop(id ID) {
	if e.dispatch != nil {
		e.dispatch.Drop(sms.Ref(id))
	}
}

// commit makes a change durable and waits. What it learns (of meetings, of counters) stands in the change's own slices then.
func (e *Engine) commit(ctx context.Context, change Change, fx Effects) error {
	p := &proposal{change: change, answer: make(chan error, 1), enters: fx.Enters, failed: fx.Failed}
	if !e.lane.propose(p) {
		return ErrStopped
	}
	select {
	case err := <-p.answer:
		return err
	case <-ctx.Done():
		return ctx.Err() // it may still be written; whoever asks again sees it
	}
}

// advance reads a message, lets step say what is next, and makes that durable, again while somebody else is faster. A nil step result changes nothing.
func (e *Engine) advance(ctx context.Context, id ID, step func(m *Message, now time.Time) (*Message, Effects)) (*Message, bool, error) {
	for {
		m, err := e.cfg.Store.Message(ctx, id)
		if err != nil {
			return nil, false, err
		}
		next, fx := step(m, time.Now())
		if next == nil {
			return m, false, nil
		}
		if err = e.commit(ctx, e.change(next, fx, time.Now()), fx); err == nil {
			return next, true, nil
		}
		if !errors.Is(err, ErrConflict) {
			return nil, false, err
		}
	}
}

// Do gives an order and returns the message as it is after it, durable; ErrNotFound, ErrTooLate.
func (e *Engine) Do(ctx context.Context, id ID, o Order) (*Message, error) {
	m, done, err := e.advance(ctx, id, func(m *Message, now time.Time) (*Message, Effects) { return m.Order(o, now) })
	if err == nil && !done && !(o == Acknowledge && m.State == Delivered) {
		err = ErrTooLate
	}
	return m, err
}
