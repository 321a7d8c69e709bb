package smstest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// A session is a connection of the server.
type session struct {
	Session // guarded by the server's lock

	s    *SMPP
	c    net.Conn
	r    *bufio.Reader
	done chan struct{} // closed when the connection is cut
	once sync.Once

	writing sync.Mutex

	// Guarded by the server's lock.
	last       uint32              // sequence_number of the client's latest request
	sequence   uint32              // of the server's latest
	sent       map[uint32]*request // requests of the server that are not answered
	delivering int                 // of them: deliver_sm that may yet be answered in time
	waiting    []*behind           // answers that wait for others
	silent     bool                // nothing is read or written any more
	unbinding  bool                // the server sent unbind
	mute       bool                // submits that are under way are not answered any more
	provoked   bool                // the server sent nonsense: a generic_nack may say so
	heard      time.Time           // when something last came
	enquired   time.Time           // when the server last sent enquire_link
}

// A request is one of the server that is not answered.
type request struct {
	command uint32
	at      time.Time
	late    bool // it is not waited for any more
	d       *delivery
	answer  chan pdu // of SMPP.Request
}

func newSession(s *SMPP, id int, c net.Conn) *session {
	return &session{Session: Session{ID: id}, s: s, c: c, r: bufio.NewReader(c), done: make(chan struct{}), sent: map[uint32]*request{},
		heard: time.Now(), enquired: time.Now()}
}

// run reads until the connection ends.
func (x *session) run() {
	defer x.end()
	x.s.served.Go(x.deliver)
	x.s.served.Go(x.watch)
	_ = x.c.SetReadDeadline(time.Now().Add(x.s.o.Bind))
	for {
		p, err := readPDU(x.r)
		if x.hush() {
			<-x.done // as a host that is gone
			return
		}
		if err != nil {
			x.broken(err)
			return
		}
		x.log("<", p)
		if !x.handle(p) {
			return
		}
	}
}

// end forgets the connection. What was not answered on it is sent again.
func (x *session) end() {
	x.cut(false)
	x.s.change(func() {
		delete(x.s.sessions, x.ID)
		x.Gone = true
		x.s.past = append(x.s.past, x.Session)
		for _, q := range x.sent {
			x.drop(q)
		}
	})
	x.s.logf("connection %d: closed", x.ID)
}

// drop gives up waiting for an answer, since the connection has ended. The lock is held.
func (x *session) drop(q *request) {
	if q.d != nil && !q.late {
		x.s.enqueue(q.d, time.Now())
	}
	if q.answer != nil {
		close(q.answer)
	}
}

// broken says what ended the reading.
func (x *session) broken(err error) {
	switch timeout := net.Error(nil); {
	case errors.Is(err, errLength):
		x.s.change(func() { x.s.violation(x.ID, "%v", err) })
		x.write(pdu{command: cmdGenericNack, status: statusCmdLen})
	case errors.As(err, &timeout) && timeout.Timeout():
		x.s.change(func() { x.s.violation(x.ID, "no bind came within %v", x.s.o.Bind) })
	}
}

// hush reports whether the connection is silent.
func (x *session) hush() (yes bool) {
	x.s.look(func() { yes = x.silent })
	return yes
}

// cut closes the connection, at once and with what is unsent lost when it is a reset.
func (x *session) cut(reset bool) {
	x.once.Do(func() {
		close(x.done)
		raw := x.c
		if t, ok := raw.(*tls.Conn); ok {
			raw = t.NetConn() // an alert would wait for a client that does not read
		}
		if t, ok := raw.(*net.TCPConn); ok && reset {
			_ = t.SetLinger(0)
		}
		raw.Close()
	})
}

// write sends a PDU. A connection that does not take it within a while is cut.
func (x *session) write(p pdu) {
	x.log(">", p)
	x.send(p.octets())
}

// log says what went over the wire, and nothing of what is in it.
func (x *session) log(way string, p pdu) {
	x.s.logf("connection %d: %s %s sequence=%d status=0x%02x octets=%d", x.ID, way, p.name(), p.sequence, p.status, len(p.body))
}

func (x *session) send(octets []byte) {
	if x.hush() {
		return
	}
	x.writing.Lock()
	defer x.writing.Unlock()
	x.out(octets)
}

// out writes with the lock held that keeps PDUs whole.
func (x *session) out(octets []byte) {
	_ = x.c.SetWriteDeadline(time.Now().Add(10 * time.Second))
	if _, err := x.c.Write(octets); err != nil {
		x.cut(false)
	}
}

// request sends a request of the server, and remembers it until it is answered. On a connection that has ended meanwhile it is as one that was not answered.
func (x *session) request(command uint32, body []byte, q request) {
	var p pdu
	x.s.change(func() {
		if x.Gone {
			x.drop(&q)
			return
		}
		x.sequence = x.sequence%maxSequence + 1
		q.command, q.at = command, time.Now()
		x.sent[x.sequence] = &q
		p = pdu{command: command, sequence: x.sequence, body: body}
	})
	if p.command != 0 {
		x.write(p)
	}
}

// handle answers a PDU; false: the connection ends.
func (x *session) handle(p pdu) bool {
	x.s.look(func() { x.heard = time.Now() })
	if p.command&cmdResponse != 0 {
		return x.response(p)
	}
	x.order(p)
	switch p.command {
	case cmdBindReceiver, cmdBindTransmitter, cmdBindTransceiver:
		return x.bind(p)
	case cmdSubmit:
		x.submit(p)
	case cmdEnquireLink:
		x.s.change(func() {
			x.Enquired++
			x.empty(p)
		})
		x.write(pdu{command: cmdEnquireLink | cmdResponse, sequence: p.sequence})
	case cmdUnbind:
		x.s.change(func() {
			x.empty(p)
			x.Unbound = true
		})
		x.write(pdu{command: cmdUnbind | cmdResponse, sequence: p.sequence})
		return false
	default:
		x.s.change(func() { x.s.violation(x.ID, "%s is not known here", p.name()) })
		x.write(pdu{command: cmdGenericNack, status: statusCmdID, sequence: p.sequence})
	}
	return true
}

// empty writes down that a PDU has a body that may have none. The lock is held.
func (x *session) empty(p pdu) {
	if len(p.body) > 0 {
		x.s.violation(x.ID, "%s has a body of %d octets, it has none", p.name(), len(p.body))
	}
}

// order checks the sequence_number of a request: it rises, and wraps at 0x7fffffff (SMPP 3.4 §5.1.4). Numbers may be left out.
func (x *session) order(p pdu) {
	const near = 1 << 10
	x.s.change(func() {
		wrapped := x.last > maxSequence-near && p.sequence < near
		switch {
		case p.sequence == 0 || p.sequence > maxSequence:
			x.s.violation(x.ID, "%s has sequence_number 0x%08x, want 1 to 0x7fffffff", p.name(), p.sequence)
		case p.sequence <= x.last && !wrapped:
			x.s.violation(x.ID, "%s has sequence_number %d after %d", p.name(), p.sequence, x.last)
		}
		if p.status != 0 {
			x.s.violation(x.ID, "%s %d is a request with command_status 0x%02x, want 0", p.name(), p.sequence, p.status)
		}
		x.last = p.sequence
	})
}

// mayRequest returns the command_status of a request that the state of the session forbids (SMPP 3.4 §2.3). The lock is held.
func (x *session) mayRequest(command uint32) uint32 {
	name := pdu{command: command}.name()
	switch {
	case x.unbinding:
		return statusBindState // the client cannot have known
	case x.Command == "":
		x.s.violation(x.ID, "%s before a bind", name)
		return statusBindState
	case x.Command == pdu{command: cmdBindReceiver}.name():
		x.s.violation(x.ID, "%s by a receiver", name)
		return statusBindState
	}
	return 0
}

// receives reports whether deliver_sm may go out. The lock is held.
func (x *session) receives() bool {
	return x.Command != "" && x.Command != pdu{command: cmdBindTransmitter}.name() && !x.silent && !x.unbinding
}

// watch looks after what takes too long.
func (x *session) watch() {
	tick := time.NewTicker(min(max(x.s.o.Response/10, 5*time.Millisecond), 100*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-x.done:
			return
		case <-tick.C:
		}
		cut, enquire := false, false
		x.s.change(func() { cut, enquire = x.overdue(time.Now()) })
		if cut {
			x.cut(false)
			return
		}
		if enquire {
			x.request(cmdEnquireLink, nil, request{})
		}
	}
}

// overdue says what is to be done with the connection. The lock is held.
func (x *session) overdue(now time.Time) (cut, enquire bool) {
	for sequence, q := range x.sent {
		if q.late || now.Sub(q.at) < x.s.o.Response {
			continue
		}
		q.late = true
		switch {
		case q.d != nil:
			x.delivering--
			x.s.enqueue(q.d, now.Add(x.s.o.Retry))
		case x.silent:
		case q.command == cmdUnbind:
			cut = true
		case q.command != cmdAlert:
			x.s.violation(x.ID, "%s %d was not answered within %v", pdu{command: q.command}.name(), sequence, x.s.o.Response)
			cut = cut || q.command == cmdEnquireLink
		}
	}
	if x.silent {
		return false, false
	}
	if idle := x.s.o.Idle; idle > 0 && x.Command != "" && now.Sub(x.heard) > idle {
		x.s.violation(x.ID, "nothing came for %v, and no enquire_link", idle)
		cut = true
	}
	if every := x.s.o.Enquire; every > 0 && x.Command != "" && now.Sub(x.enquired) > every {
		x.enquired, enquire = now, true
	}
	return cut, enquire
}
