package sms

import (
	"time"

	"golang.org/x/time/rate"
)

// A lane is one gateway as the dispatcher uses it: how much at once, how fast, and from when on. The dispatcher's lock guards it.
type lane struct {
	gateway Gateway
	name    string
	index   int
	wake    chan struct{}
	held    bool // paused by an operator

	window int
	rate   float64
	limit  *rate.Limiter

	under      int // MTs in the window: claimed, or about to be, and not answered
	unrecorded int // answered, and not yet reported

	share   float64 // of window and rate that is used: halved by a throttling, whole again a minute later
	crept   time.Time
	probing bool // one at a time, until the gateway answers again

	pause   time.Duration // how long the latest was; 0: the gateway has answered since
	cause   Class         // of that pause
	err     error         // that caused it
	until   time.Time     // its end
	pauses  int           // so far; what was taken before the latest says nothing new
	alarmed bool          // an operator was told, and not yet that it works again
}

// backoff is how long a lane pauses, by class: at first, and at most after doubling.
var backoff = map[Class]struct{ first, most time.Duration }{
	NotSent:       {250 * time.Millisecond, 5 * time.Second},
	Unknown:       {250 * time.Millisecond, 5 * time.Second},
	Throttled:     {time.Second, 30 * time.Second},
	Configuration: {10 * time.Second, 5 * time.Minute},
}

// creep is how long it takes to go from nothing back to the whole rate.
const creep = time.Minute

func newLane(g Gateway, index int) *lane {
	a := g.Abilities()
	l := &lane{gateway: g, name: g.Name(), index: index, wake: make(chan struct{}, 1), window: max(1, a.Window), rate: a.Rate, share: 1}
	limit := rate.Inf
	if a.Rate > 0 {
		limit = rate.Limit(a.Rate)
	}
	// A burst of 50 ms makes up for late timers without exceeding what the carrier counts in a second.
	l.limit = rate.NewLimiter(limit, max(1, int(a.Rate/20)))
	return l
}

func (l *lane) paused(now time.Time) bool { return now.Before(l.until) }

// places is how many MTs may be under way now.
func (l *lane) places() int {
	if l.probing {
		return 1
	}
	return max(1, int(l.share*float64(l.window)))
}

// recordRoom is how many windows of answers may wait to be recorded: while a carrier answers as fast as the store writes, the window is for the carrier
// alone. After a crash they are as unknown as what is in the window.
const recordRoom = 2

// signal makes the lane look again for something to take.
func (l *lane) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// full reports whether the window has no place left, or too much waits to be recorded.
func (l *lane) full() bool { return l.under >= l.places() || l.unrecorded >= recordRoom*l.window }

// token takes a token of the rate, or tells when there will be one.
func (l *lane) token(now time.Time) (r *rate.Reservation, wait time.Duration) {
	r = l.limit.ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
	}
	return r, wait
}

// charge takes the tokens of further segments ahead: they are submitted with the first, and the next claim waits for all of them.
func (l *lane) charge(now time.Time, segments int) {
	for range segments {
		l.limit.ReserveN(now, 1)
	}
}

// judge learns from the outcomes of an MT that was taken after so many pauses. alarm is whether an operator must hear of cause; nil says that
// the gateway works again.
func (l *lane) judge(now time.Time, taken int, outcomes []Outcome) (alarm bool, cause error) {
	class, cause := worst(outcomes)
	news := taken == l.pauses
	if class != 0 {
		if news {
			l.stop(now, class, cause)
		}
		l.until = later(l.until, now.Add(after(cause)))
		l.crept = later(l.crept, l.until)
		alarm = news && class == Configuration
		l.alarmed = l.alarmed || alarm
		return alarm, cause
	}
	if !news {
		return false, nil
	}
	alarm, l.alarmed = l.alarmed, false
	l.pause, l.cause, l.err, l.probing = 0, 0, nil, false
	l.creepBack(now)
	return alarm, nil
}

// stop pauses the lane.
func (l *lane) stop(now time.Time, class Class, cause error) {
	b := backoff[class]
	if l.cause != class || l.pause == 0 {
		l.pause = b.first
	} else {
		l.pause = min(2*l.pause, b.most)
	}
	l.cause, l.err = class, cause
	l.until = now.Add(l.pause)
	l.pauses++
	if class != Throttled {
		l.probing = true
		return
	}
	l.share = max(l.share/2, 1./64)
	l.scale(now)
}

// creepBack gives back what throttling took, in proportion to the time without it.
func (l *lane) creepBack(now time.Time) {
	if l.share == 1 || !now.After(l.crept) {
		return
	}
	l.share = min(1, l.share+float64(now.Sub(l.crept))/float64(creep))
	l.crept = now
	l.scale(now)
}

func (l *lane) scale(now time.Time) {
	if l.rate > 0 {
		l.limit.SetLimitAt(now, rate.Limit(l.share*l.rate))
	}
}

// worst returns the class of the outcome of an MT that says most about its gateway, and its error; 0: the gateway works, whatever it thinks
// of the message.
func worst(outcomes []Outcome) (class Class, cause error) {
	for _, o := range outcomes {
		if c := ClassOf(o.Err); weight[c] > weight[class] {
			class, cause = c, o.Err
		}
	}
	return class, cause
}

// weight orders the classes for worst: a segment that was left out after another failed is not sent, and that says less.
var weight = map[Class]int{NotSent: 1, Unknown: 2, Throttled: 3, Configuration: 4}
