package sms

import (
	"fmt"
	"time"
)

// A Status tells how a gateway fares.
type Status struct {
	Name    string
	Paused  bool      // by an operator
	Until   time.Time // it pauses by itself until then; zero: it does not
	Cause   Class     // why the latest pause of its own came; 0: it has worked since
	Err     error     // the answer that caused it
	Linked  bool      // false while a gateway that keeps a connection has none
	Under   int       // MTs under way, also those answered and not yet recorded, which need no place: a paused gateway is drained when there are none
	Window  int       // MTs that may be under way, less than the gateway's window after it throttled
	Rate    float64   // segments a second, likewise; 0: no limit
	Waiting int       // messages it is the first choice for, were no gateway paused
}

// Status returns how the gateways fare, in their order.
func (d *Dispatcher) Status() []Status {
	linked := make([]bool, len(d.lanes))
	for i, l := range d.lanes {
		link, keeps := l.gateway.(interface{ Linked() bool })
		linked[i] = !keeps || link.Linked() // unlocked: the gateway has its own lock
	}
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	waiting := d.backlog.firsts()
	all := make([]Status, len(d.lanes))
	for i, l := range d.lanes {
		all[i] = Status{Name: l.name, Paused: l.held, Cause: l.cause, Err: l.err, Linked: linked[i], Under: l.under + l.unrecorded, Window: l.places(),
			Rate: l.share * l.rate, Waiting: waiting[i]}
		if l.paused(now) {
			all[i].Until = l.until
		}
	}
	return all
}

// Pause lets a gateway take nothing new, until Resume or the end of the process; what is under way ends. Others of the route take what it would have
// taken; what only it may take waits.
func (d *Dispatcher) Pause(gateway string) error { return d.setHeld(gateway, true) }

// Resume ends what Pause began. A pause of the gateway's own lasts until it is over.
func (d *Dispatcher) Resume(gateway string) error { return d.setHeld(gateway, false) }

func (d *Dispatcher) setHeld(gateway string, held bool) error {
	l := d.lane(gateway)
	if l == nil {
		return fmt.Errorf("there is no gateway %q; there are %q", gateway, d.names())
	}
	d.mu.Lock()
	defer d.release()
	l.held = held
	d.backlog.news |= 1 << l.index // it tells the backlog
	return nil
}
