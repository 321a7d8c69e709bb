package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// A Quote is what would happen to a message.
type Quote struct {
	Way      Way
	Wait     time.Duration // WayPush: after which it becomes an SMS when no device is ready; 0: it never does, or at once
	Segments int           // of the SMS that it is, or becomes; 0: none
	Price    sms.Money     // of all segments; zero: none, or not known
	Reason   Reason
}

// A Way is what a message is tried as first.
type Way string

// The ways.
const (
	WayPush    Way = "push"    // to the app
	WaySMS     Way = "sms"     // at once
	WayWaiting Way = "waiting" // for the app, or for a gateway: Reason says why no SMS goes out
	WayFailed  Way = "failed"  // Reason says why
)

// ErrAsked says that a user has asked about more new numbers today than Config.ChangesPerDay allows.
var ErrAsked = errors.New("too many new numbers were asked about today")

// Quote answers what would happen to a text from a user, by the rules that decide when it is sent; nothing is sent and no money is booked. What it says of a
// registered number is what would be were none of its devices ready, and the latest just gone: it tells nothing of anybody's presence. A number that
// the user has not asked about since yesterday is counted, durably; ErrAsked.
func (e *Engine) Quote(ctx context.Context, from, to contacts.Address, text []byte) (Quote, error) {
	now, set := time.Now(), e.now()
	m := &Message{From: from, To: to, Root: RootTo, Payload: text, Accepted: now, Expires: now.Add(set.InboxAge), State: Accepted}
	peer, number := to.Number()
	if !number {
		if !e.cfg.Directory.Exists(to) {
			return Quote{Way: WayFailed, Reason: NoSuchName}, nil
		}
		return Quote{Way: WayPush}, nil
	}
	if err := e.ask(ctx, from, peer, now); err != nil {
		return Quote{}, err
	}
	registered := e.cfg.Directory.Registered(to)
	ev := Evidence{Registered: registered, Lost: now}
	then := now
	ans := Decide(m.Question(), ev, then, set.rules)
	if ans.Do == Hold && !ans.Until.IsZero() { // the grace
		then = ans.Until
		ans = Decide(m.Question(), ev, then, set.rules)
	}
	if ans.Do != GoSMS {
		return Quote{Way: WayWaiting, Reason: ans.Reason}, nil
	}
	refused, q, err := e.quoteSMS(ctx, m, registered, now)
	switch {
	case err != nil:
		return Quote{}, err
	case refused != nil && refused.State == Waiting:
		return Quote{Way: WayWaiting, Reason: refused.Reason}, nil
	case refused != nil:
		return Quote{Way: WayFailed, Reason: refused.Reason}, nil
	case registered:
		q.Way, q.Wait = WayPush, then.Sub(now)
	default:
		q.Way, q.Reason = WaySMS, ans.Reason
	}
	return q, nil
}

// quoteSMS draws up the SMS that a message would be; refused is what it would become when it may be none.
func (e *Engine) quoteSMS(ctx context.Context, m *Message, registered bool, now time.Time) (refused *Message, q Quote, err error) {
	if refused, _ := m.Fallback(e.facts(m, registered, now), now, e.now().rules); refused != nil {
		return refused, q, nil
	}
	to, _ := m.To.Number()
	c, err := e.draw(ctx, m, e.gateway(e.dispatch.First(to)))
	if err != nil {
		return nil, q, err
	}
	if c.forbidden == "" {
		if c.forbidden, err = e.exceeds(ctx, e.now().Policy.Reserve(m.From, to, len(c.segments), true, c.from.quick, now)); err != nil {
			return nil, q, err
		}
	}
	if c.forbidden != "" {
		refused, _ := m.Refused(c.forbidden, c.evidence, registered, now)
		return refused, q, nil
	}
	return nil, Quote{Segments: len(c.segments), Price: c.price.Times(len(c.segments))}, nil
}

// exceeds returns the limit that the counts would pass, as it stands on disk; empty: none.
func (e *Engine) exceeds(ctx context.Context, counts []sms.Count) (Reason, error) {
	keys := make([]string, len(counts))
	for i, c := range counts {
		keys[i] = c.Key
	}
	totals, err := e.cfg.Store.Totals(ctx, keys...)
	if err != nil {
		return "", err
	}
	for i, c := range counts {
		if c.Most > 0 && totals[i]+c.Add > c.Most {
			return LimitReason(c.Key), nil
		}
	}
	return "", nil
}

// ask counts that a user asks about a number, once a day for each; ErrAsked. The counters are in the store, so that neither a restart nor many numbers matter.
func (e *Engine) ask(ctx context.Context, user contacts.Address, about contacts.Number, now time.Time) error {
	if string(user) == string(about) {
		return nil
	}
	today := now.UTC().Format(time.DateOnly)
	asked := "asked " + string(user) + " " + string(about)
	totals, err := e.cfg.Store.Totals(ctx, asked)
	if err != nil || totals[0] > 0 {
		return err
	}
	most := e.now().ChangesPerDay
	if most < 0 {
		return ErrAsked
	}
	err = e.commit(ctx, Change{Counts: []sms.Count{
		{Key: "asks " + string(user) + " " + today, Add: 1, Most: int64(most), Until: now.Add(2 * day)},
		{Key: asked, Add: 1, Until: now.Add(day)},
	}}, Effects{})
	var over *sms.OverLimit
	if errors.As(err, &over) {
		return ErrAsked
	}
	return err
}
