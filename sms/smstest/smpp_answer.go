package smstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A login is the body of a bind (SMPP 3.4 §4.1.1).
type login struct {
	id, password, kind string
	version            byte
	bad                *problem
}

func readLogin(body []byte) login {
	in := &reader{rest: body}
	l := login{id: in.text("system_id", 16), password: in.text("password", 9), kind: in.text("system_type", 13), version: in.octet("interface_version")}
	in.octet("addr_ton")
	in.octet("addr_npi")
	in.text("address_range", 41)
	l.bad = in.end()
	return l
}

// bind answers a bind; false: the connection ends.
func (x *session) bind(p pdu) bool {
	l := readLogin(p.body)
	var status uint32
	var f BindFault
	x.s.change(func() {
		if status = x.mayBind(p, l); status == statusOK {
			f = x.s.bindFault()
		}
	})
	if f.Instead != Answered {
		x.instead(f.Instead)
		return true
	}
	orDefault(&status, f.Status)
	answer := pdu{command: p.command | cmdResponse, status: status, sequence: p.sequence}
	x.writing.Lock() // nothing may be delivered before the answer
	defer x.writing.Unlock()
	if status == statusOK {
		x.s.change(func() { x.Command, x.SystemID, x.Type, x.Version = p.name(), l.id, l.kind, l.version })
		_ = x.c.SetReadDeadline(time.Time{})
		answer.body = appendText(nil, "smstest")
		if l.version >= version34 {
			answer.body = appendTLV(answer.body, tagVersion, version34)
		}
	}
	x.log(">", answer)
	x.out(answer.octets())
	return status == statusOK || status == statusBound // who may not bind is not kept
}

// mayBind returns with which command_status a bind is refused; 0: it is not. The lock is held.
func (x *session) mayBind(p pdu, l login) uint32 {
	s := x.s
	switch {
	case x.Command != "":
		s.violation(x.ID, "%s on a connection that is bound", p.name())
		return statusBound
	case l.bad != nil:
		s.violation(x.ID, "%s: %s", p.name(), l.bad.text)
		return l.bad.status
	case s.o.SystemID != "" && l.id != s.o.SystemID:
		return statusSystemID
	case s.o.SystemID != "" && l.password != s.o.Password:
		return statusPassword
	}
	return statusOK
}

// A behind is an answer that waits for n later ones.
type behind struct {
	n       int
	release chan struct{}
}

// answer answers a submit, in its time and as its fault wants it.
func (x *session) answer(r Submitted) {
	f := r.Fault
	if f.Behind == 0 && f.Late+x.s.o.Latency == 0 && !(r.Taken && f.DLR.early()) {
		x.reply(r, nil)
		return
	}
	b := &behind{n: f.Behind, release: make(chan struct{})}
	if f.Behind > 0 {
		x.s.change(func() { x.waiting = append(x.waiting, b) })
	}
	limit := f.Late
	if f.Behind > 0 {
		orDefault(&limit, time.Second)
	}
	x.s.served.Go(func() {
		if r.Taken && f.DLR.early() {
			x.reportFirst(r)
		}
		timer := time.NewTimer(limit + x.s.o.Latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-b.release:
		case <-x.done:
		}
		x.reply(r, b)
	})
}

// reportFirst has the receipts of a segment go before its answer: until they were answered, or for a while.
func (x *session) reportFirst(r Submitted) {
	var sent []*delivery
	x.s.change(func() { sent = x.s.report(&r, time.Now()) })
	ctx, cancel := context.WithTimeout(context.Background(), early)
	defer cancel()
	_ = x.s.await(ctx, func() bool {
		select {
		case <-x.done:
			return true
		default:
			return allDone(sent)
		}
	})
}

// reply sends the answer to a submit, or what goes out for it, and has the receipts follow. own is its place among those that wait; nil: it has none.
func (x *session) reply(r Submitted, own *behind) {
	mute := false
	x.s.change(func() {
		x.Open-- // before the client can know it, and submit the next
		mute = x.mute && r.Status != statusBindState
	})
	if !mute {
		x.put(r)
	}
	x.s.change(func() {
		x.waiting = slices.DeleteFunc(x.waiting, func(b *behind) bool {
			if b.n--; b.n == 0 && b != own {
				close(b.release)
			}
			return b.n <= 0 || b == own
		})
		if r.Taken && !r.Fault.DLR.early() {
			x.s.report(&r, time.Now().Add(r.Fault.DLRLate))
		}
	})
}

// put writes the answer, or does what the fault wants instead.
func (x *session) put(r Submitted) {
	p := pdu{command: cmdSubmit | cmdResponse, status: r.Status, sequence: r.Sequence}
	if r.Status == statusOK {
		p.body = appendText(nil, r.ID)
	}
	switch r.Fault.Instead {
	case Answered:
		x.write(p)
	case NoAnswer:
	case Nack:
		orDefault(&p.status, statusSystem)
		x.write(pdu{command: cmdGenericNack, status: p.status, sequence: r.Sequence})
	case Truncated:
		x.send(p.octets()[:headerLen-2])
		x.cut(false)
	case Malformed:
		x.s.change(func() { x.provoked = true })
		x.write(pdu{command: p.command, sequence: p.sequence, body: []byte("no end")})
	case UnbindFirst, UnknownCommand:
		x.instead(r.Fault.Instead)
		x.write(p)
	default:
		x.instead(r.Fault.Instead)
	}
}

// instead does to the connection what a fault wants.
func (x *session) instead(what Instead) {
	switch what {
	case FIN:
		x.cut(false)
	case RST:
		x.cut(true)
	case Silence:
		x.s.change(func() { x.silent = true })
	case Garbage:
		x.s.change(func() { x.provoked = true })
		x.send([]byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))
	case BadLength:
		x.s.change(func() { x.provoked = true })
		x.send([]byte{0, 0, 0, 4, 0x80, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1})
	case UnknownCommand:
		x.request(0x00000F0F, []byte{1, 2, 3}, request{})
	case Unbind, UnbindFirst:
		x.s.change(func() {
			x.unbinding = true
			x.mute = what == Unbind
		})
		x.request(cmdUnbind, nil, request{})
	case Truncated:
		x.send([]byte{0, 0, 0, 17, 0, 0, 0, 5})
		x.cut(false)
	}
}

// response takes the answer to a request of the server; false: the connection ends.
func (x *session) response(p pdu) bool {
	s := x.s
	stay := true
	s.change(func() {
		if p.command == cmdGenericNack {
			x.Nacks++
		}
		q := x.sent[p.sequence]
		if q == nil {
			if p.command != cmdGenericNack || !x.provoked {
				s.violation(x.ID, "%s %d answers nothing that was sent", p.name(), p.sequence)
			}
			return
		}
		delete(x.sent, p.sequence)
		x.fits(p, q)
		if q.answer != nil {
			q.answer <- p
		}
		if q.d != nil && !q.late {
			x.delivering--
			s.settle(q.d, p.status)
		}
		stay = q.command != cmdUnbind
	})
	return stay
}

// fits checks that a response is the one of its request. The lock is held.
func (x *session) fits(p pdu, q *request) {
	s, asked := x.s, pdu{command: q.command}.name()
	known := q.command == cmdDeliver || q.command == cmdData || q.command == cmdEnquireLink || q.command == cmdUnbind
	switch {
	case p.command == cmdGenericNack && !known:
		if p.status != statusCmdID {
			s.violation(x.ID, "%s %d is refused with command_status 0x%02x, want 0x03", asked, p.sequence, p.status)
		}
	case p.command != q.command|cmdResponse:
		s.violation(x.ID, "%s %d is answered with %s", asked, p.sequence, p.name())
	case q.command == cmdEnquireLink || q.command == cmdUnbind:
		x.empty(p)
	case q.command == cmdDeliver && len(p.body) == 0 && p.status != 0: // as with the other responses to a refusal
	case q.command == cmdDeliver || q.command == cmdData:
		in := &reader{rest: p.body}
		id := in.text("message_id", 65)
		if in.optional(); in.end() != nil {
			s.violation(x.ID, "%s %d: %s", p.name(), p.sequence, in.bad.text)
		} else if id != "" && q.command == cmdDeliver {
			s.violation(x.ID, "%s %d has a message_id, it is unused and empty (§4.6.2)", p.name(), p.sequence)
		}
	}
}

// Request sends a request with any command_id and body to the oldest connection that receives, and returns its answer: for instance data_sm,
// a deliver_sm that is malformed, or a command that does not exist. alert_notification (0x102) is never answered, and its Request returns at once.
func (s *SMPP) Request(ctx context.Context, command uint32, body []byte) (answer, status uint32, err error) {
	var x *session
	s.look(func() {
		for _, live := range s.live() {
			if live.receives() && x == nil {
				x = live
			}
		}
	})
	if x == nil {
		return 0, 0, errors.New("smstest: no connection is bound that receives")
	}
	if command == cmdAlert {
		x.write(pdu{command: command, sequence: x.skip(), body: body})
		return 0, 0, nil
	}
	ch := make(chan pdu, 1)
	x.request(command, body, request{answer: ch})
	select {
	case p, ok := <-ch:
		if !ok {
			return 0, 0, fmt.Errorf("smstest: connection %d ended without an answer to %s", x.ID, pdu{command: command}.name())
		}
		return p.command, p.status, nil
	case <-ctx.Done():
		return 0, 0, fmt.Errorf("smstest: %s was not answered: %w", pdu{command: command}.name(), ctx.Err())
	}
}

// skip uses a sequence_number that is not answered.
func (x *session) skip() (sequence uint32) {
	x.s.look(func() {
		x.sequence = x.sequence%maxSequence + 1
		sequence = x.sequence
	})
	return sequence
}
