package smpp

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"strconv"
	"time"

	"github.com/linxGnu/gosmpp/pdu"

	"github.com/seed-7a41469f/godwit/sms"
)

// A role is what a session is bound as.
type role uint8

const (
	transceiver role = iota
	transmitter
	receiver
)

func (r role) String() string { return [...]string{"transceiver", "transmitter", "receiver"}[r] }

// A link keeps one session bound, one after the other.
type link struct {
	g    *Gateway
	role role
	name string

	// Guarded by the gateway's lock.
	session *session   // the one that is bound and not about to end; nil: none
	trying  bool       // a session may come any moment: none has failed since the start, or since one that lasted
	err     *sms.Error // why there is none
}

func newLink(g *Gateway, r role, number int) *link {
	return &link{g: g, role: r, name: g.config.Name + "/" + strconv.Itoa(number), trying: true}
}

// How long the pauses between two binds are: the first, the first after a refusal that only an operator can mend, and from when on a session
// counts as one that works.
const (
	firstPause  = 100 * time.Millisecond
	longPause   = 10 * time.Second
	longFactor  = 10
	lastingLink = 5 * time.Second
)

// run keeps a session bound until ctx is done.
func (l *link) run(ctx context.Context) {
	log := l.g.config.Log.With().Str("gateway", l.g.config.Name).Str("session", l.name).Stringer("bind", l.role).Logger()
	last := ""
	for failures := 0; ; {
		s, err := l.bind(ctx)
		if err == nil {
			log.Info().Msg("SMPP session bound")
			last = ""
			begin := time.Now()
			err = s.keep(ctx)
			if time.Since(begin) > lastingLink {
				failures = 0
			}
		}
		if ctx.Err() != nil {
			return
		}
		l.down(err, s != nil && failures == 0)
		pause := l.pause(err, failures)
		failures++
		if text := err.Error(); text != last { // an SMSC that stays away says the same each time
			log.Warn().Err(err).Dur("pause", pause).Msg("no SMPP session")
			last = text
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// pause doubles with each failure, and is up to half shorter at random, so that many do not come at once.
func (l *link) pause(err *sms.Error, failures int) time.Duration {
	first, most := firstPause, l.g.config.Backoff
	if err.Class == sms.Configuration {
		first, most = longPause, longFactor*most
	}
	pause := min(first<<min(failures, 16), most)
	return pause - rand.N(pause/2+1)
}

// bind connects and binds a session (SMPP 3.4 §4.1).
func (l *link) bind(ctx context.Context) (*session, *sms.Error) {
	conn, err := l.dial(ctx)
	if err != nil {
		return nil, sms.Fail(sms.NotSent, "", "the SMSC cannot be reached: "+err.Error())
	}
	s := newSession(l, conn)
	answer, failure := s.ask(ctx, l.request(), time.Time{})
	switch {
	case failure != nil:
		failure = sms.Fail(sms.NotSent, "", "the SMSC did not answer the bind: "+failure.Text)
	case answer.status != ok:
		failure = answer.status.refusal(0)
	default:
		l.up(s)
		return s, nil
	}
	s.close(failure)
	return nil, failure
}

func (l *link) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.g.config.Response)
	defer cancel()
	if l.g.config.TLS == nil {
		return new(net.Dialer).DialContext(ctx, "tcp", l.g.config.Addr)
	}
	return (&tls.Dialer{Config: l.g.config.TLS}).DialContext(ctx, "tcp", l.g.config.Addr)
}

func (l *link) request() pdu.PDU {
	as := map[role]pdu.BindingType{transceiver: pdu.Transceiver, transmitter: pdu.Transmitter, receiver: pdu.Receiver}[l.role]
	b := pdu.NewBindRequest(as)
	b.SystemID, b.Password, b.SystemType = l.g.config.SystemID, l.g.config.Password, l.g.config.SystemType
	return b
}

// up says that submits may go to s.
func (l *link) up(s *session) {
	l.g.mu.Lock()
	defer l.g.mu.Unlock()
	l.session, l.trying, l.err = s, false, nil
	l.g.change()
}

// down says that there is no session, or that the one there is is about to end. The next is worth waiting for when soon.
func (l *link) down(err *sms.Error, soon bool) {
	l.g.mu.Lock()
	defer l.g.mu.Unlock()
	l.session, l.trying, l.err = nil, soon, err
	l.g.change()
}

// Linked reports whether a session is bound that can submit.
func (g *Gateway) Linked() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range g.links {
		if l.role != receiver && l.session != nil {
			return true
		}
	}
	return false
}

// end says that nothing more is submitted.
func (g *Gateway) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
	g.change()
}

// change wakes those who wait for a session. The lock is held.
func (g *Gateway) change() {
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}

// take takes a place in the window of a session. When all are taken, or a session may come any moment, it waits, at the longest for the
// response time-out.
func (g *Gateway) take(ctx context.Context, until time.Time) (*session, *sms.Error) {
	wait := g.config.Response
	if !until.IsZero() {
		wait = min(wait, time.Until(until))
	}
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		s, changed, err := g.pick()
		if s != nil || err != nil {
			return s, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, sms.Fail(sms.NotSent, "", "stopped while it waited for a place in the window")
		case <-over.C:
			return nil, sms.Fail(sms.NotSent, "", "no place in the window of a session came free in time")
		}
	}
}

// pick takes a place in the window of the session whose turn it is, says what to wait for, or why that is in vain.
func (g *Gateway) pick() (s *session, changed <-chan struct{}, err *sms.Error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return nil, nil, sms.Fail(sms.NotSent, "", "the gateway has ended")
	}
	hope := false
	for i := range g.links {
		l := g.links[(g.next+i)%len(g.links)]
		switch {
		case l.role == receiver:
		case l.session != nil && !l.session.doubted && l.session.under < g.config.Window:
			l.session.under++
			g.next = (g.next + i + 1) % len(g.links)
			return l.session, nil, nil
		case l.session != nil || l.trying:
			hope = true
		case err == nil || l.err.Class == sms.Configuration:
			err = l.err
		}
	}
	if !hope {
		return nil, nil, unlinked(err)
	}
	if g.changed == nil {
		g.changed = make(chan struct{})
	}
	return nil, g.changed, nil
}

// unlinked is the error of a submit while there is no session, by the error that ended the latest.
func unlinked(err *sms.Error) *sms.Error {
	if err.Class == sms.Configuration {
		return err
	}
	return sms.Fail(sms.NotSent, err.Code, "no session with the SMSC: "+err.Text)
}

// free gives a place in a window back.
func (g *Gateway) free(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.under--
	g.change()
}

// doubt takes nothing to s until it has answered an enquire_link: a submit was not answered.
func (g *Gateway) doubt(s *session) { g.avoid(s, s.doubts) }

// rebind ends s, for the SMSC takes it for one that may not submit, and binds another.
func (g *Gateway) rebind(s *session) { g.avoid(s, s.stale) }

// avoid takes nothing to s, and tells who keeps it why.
func (g *Gateway) avoid(s *session, why chan struct{}) {
	g.mu.Lock()
	s.doubted = true
	g.mu.Unlock()
	select {
	case why <- struct{}{}:
	default:
	}
}

// trust ends doubt.
func (g *Gateway) trust(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.doubted = false
	g.change()
}
