package smpp

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/linxGnu/gosmpp/data"
	"github.com/linxGnu/gosmpp/pdu"

	"github.com/seed-7a41469f/godwit/sms"
)

// moment is how long is waited for what need not come: the answers that an SMSC still gives after its unbind, and that it closes the connection.
const moment = 2 * time.Second

// lastSequence is followed by 1 (SMPP 3.4 §5.1.4).
const lastSequence = 0x7FFFFFFF

// A session is one connection. One goroutine reads it; requests of the SMSC are handed to the intakes.
type session struct {
	g    *Gateway
	link *link
	conn net.Conn

	under   int  // places of the window that are taken; guarded by the gateway's lock
	doubted bool // nothing is submitted until it has answered an enquire_link; likewise

	doubts  chan struct{} // a submit was not answered
	stale   chan struct{} // the SMSC says that the session is not bound
	unbinds chan uint32   // the sequence number of an unbind of the SMSC's
	reading sync.WaitGroup
	bound   bool // deliveries are taken; of the reader

	writing sync.Mutex

	mu       sync.Mutex
	calls    map[uint32]*call
	sequence uint32        // of the next request
	open     int           // requests of the SMSC that are not answered
	leaving  bool          // about to end: no new submits
	idle     chan struct{} // closed once it is leaving, and nothing is unanswered on either side; nil: closed
	done     chan struct{} // closed at the end
	err      *sms.Error    // why it ended
}

// A call is a request of ours that waits for its answer.
type call struct {
	command command
	answer  chan frame // has room for it
}

func newSession(l *link, conn net.Conn) *session {
	s := &session{g: l.g, link: l, conn: conn, doubts: make(chan struct{}, 1), stale: make(chan struct{}, 1), unbinds: make(chan uint32, 1),
		calls: map[uint32]*call{}, sequence: l.g.first, idle: make(chan struct{}), done: make(chan struct{})}
	s.reading.Go(s.read)
	return s
}

// cut ends the session; the first cause stays.
func (s *session) cut(cause *sms.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = cause
		close(s.done)
		s.conn.SetDeadline(time.Unix(1, 0)) // wakes whoever reads or writes; it is closed by close
	}
}

// close cuts the session and waits for its reader.
func (s *session) close(cause *sms.Error) {
	s.cut(cause)
	s.conn.Close()
	s.reading.Wait()
}

// keep looks after a bound session until it has ended or ctx is done, and returns why.
func (s *session) keep(ctx context.Context) *sms.Error {
	defer func() { s.close(s.err) }()
	enquire := time.NewTicker(s.g.config.Enquire)
	defer enquire.Stop()
	for {
		select {
		case <-s.done:
			s.link.down(s.err, true)
			return s.err
		case sequence := <-s.unbinds:
			return s.unbound(sequence)
		case <-s.stale:
			return s.leave("the SMSC took the session for one that may not submit")
		case <-ctx.Done():
			return s.leave("the gateway has ended")
		case <-s.doubts:
		case <-enquire.C:
		}
		_, err := s.ask(ctx, pdu.NewEnquireLink(), time.Time{})
		if err == nil {
			s.g.trust(s)
		} else if ctx.Err() == nil {
			s.cut(sms.Fail(sms.NotSent, "", "the SMSC does not answer enquire_link: "+err.Text))
		}
	}
}

const textUnbound = "the SMSC has unbound"

// unbound ends the session after an unbind of the SMSC's (SMPP 3.4 §4.2). What it does not answer now is unknown.
func (s *session) unbound(sequence uint32) *sms.Error {
	cause := sms.Fail(sms.NotSent, "", textUnbound)
	s.link.down(cause, true) // again, in case it came before the session was up
	s.drain(min(moment, s.g.config.Response))
	s.send(pdu.NewUnbindResp(), sequence)
	select { // closing while something unread waits would reset the connection, and the SMSC might not get the answer
	case <-s.done:
	case <-time.After(min(moment, s.g.config.Response)):
	}
	s.cut(cause)
	return cause
}

// leave ends the session from our side.
func (s *session) leave(text string) *sms.Error {
	cause := sms.Fail(sms.NotSent, "", text)
	s.link.down(cause, true)
	s.drain(s.g.config.Response)
	ctx, cancel := context.WithTimeout(context.Background(), min(moment, s.g.config.Response))
	defer cancel()
	s.ask(ctx, pdu.NewUnbind(), time.Time{})
	s.cut(cause)
	return cause
}

// drain takes no new submits, and waits until nothing is unanswered on either side.
func (s *session) drain(most time.Duration) {
	s.mu.Lock()
	s.leaving = true
	idle := s.idle
	s.rest()
	s.mu.Unlock()
	select {
	case <-idle:
	case <-s.done:
	case <-time.After(most):
	}
}

// rest closes idle when it is time. The lock is held.
func (s *session) rest() {
	if s.leaving && len(s.calls) == 0 && s.open == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// ask writes a request and waits for its answer. The error is NotSent when nothing of the request was written, else Unknown. It is not written after until.
func (s *session) ask(ctx context.Context, p pdu.PDU, until time.Time) (frame, *sms.Error) {
	c := &call{command: command(p.GetHeader().CommandID), answer: make(chan frame, 1)}
	sequence, err := s.request(ctx, c, p, until)
	if err != nil {
		return frame{}, err
	}
	over := time.NewTimer(s.g.config.Response)
	defer over.Stop()
	why := ""
	select {
	case f := <-c.answer:
		return f, nil
	case <-s.done:
		why = "the connection ended before the answer: " + s.err.Text
	case <-over.C:
		why = "no answer within " + s.g.config.Response.String()
	case <-ctx.Done():
		why = "stopped before the answer"
	}
	s.forget(sequence)
	select { // it may have come together with the end
	case f := <-c.answer:
		return f, nil
	default:
		return frame{}, sms.Fail(sms.Unknown, "", why)
	}
}

// request writes a request, unless its time is over. It waits for its answer from before the write on, for that may be there before the write returns.
func (s *session) request(ctx context.Context, c *call, p pdu.PDU, until time.Time) (sequence uint32, err *sms.Error) {
	s.writing.Lock() // also for the sequence numbers, which rise on the wire
	defer s.writing.Unlock()
	if ctx.Err() != nil {
		return 0, sms.Fail(sms.NotSent, "", "stopped before it was written")
	}
	if !until.IsZero() && !time.Now().Round(0).Before(until.Round(0)) { // the wall clock: until may have come from another process
		return 0, sms.Fail(sms.NotSent, "", "its time ran out before it was written")
	}
	if sequence, err = s.enter(c); err != nil {
		return 0, err
	}
	if err = s.write(encode(p, sequence)); err != nil {
		s.forget(sequence)
	}
	return sequence, err
}

// enter makes a request one that waits for its answer.
func (s *session) enter(c *call) (sequence uint32, err *sms.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving && c.command == submitSM {
		return 0, sms.Fail(sms.NotSent, "", "the session is about to end")
	}
	for s.calls[s.sequence] != nil {
		s.sequence = after(s.sequence)
	}
	sequence = s.sequence
	s.sequence = after(sequence)
	s.calls[sequence] = c
	return sequence, nil
}

func after(sequence uint32) uint32 { return sequence%lastSequence + 1 }

// forget ends the waiting for an answer.
func (s *session) forget(sequence uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.calls, sequence)
	s.rest()
}

// write writes a whole PDU. The error is NotSent when certainly no octet was taken, else Unknown; a connection that took only a part is of no more use.
// The lock for writing is held.
func (s *session) write(octets []byte) *sms.Error {
	s.mu.Lock()
	ended := s.err != nil
	if !ended { // or cut would not wake this write
		s.conn.SetWriteDeadline(time.Now().Add(s.g.config.Response))
	}
	s.mu.Unlock()
	if ended {
		return sms.Fail(sms.NotSent, "", "the session has ended")
	}
	s.trace(octets)
	n, err := s.conn.Write(octets)
	switch {
	case err == nil:
		return nil
	case n == 0:
		s.cut(sms.Fail(sms.NotSent, "", "the connection takes nothing: "+err.Error()))
		return sms.Fail(sms.NotSent, "", "nothing of it could be written: "+err.Error())
	}
	s.cut(sms.Fail(sms.NotSent, "", "the connection took a part only: "+err.Error()))
	return sms.Fail(sms.Unknown, "", "only a part of it could be written: "+err.Error())
}

// send writes an answer. Where it cannot be written the session is over, and the SMSC asks again.
func (s *session) send(p pdu.PDU, sequence uint32) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.write(encode(p, sequence))
}

// nack answers what cannot be understood (SMPP 3.4 §4.3).
func (s *session) nack(sequence uint32, st status) {
	p := &pdu.GenericNack{}
	p.CommandID, p.CommandStatus = data.GENERIC_NACK, data.CommandStatusType(st)
	s.send(p, sequence)
}

// read takes what the SMSC sends, until the connection ends. It never waits for a sink.
func (s *session) read() {
	r := bufio.NewReaderSize(s.conn, 16<<10)
	for {
		f, err := readFrame(r)
		if err != nil {
			if errors.Is(err, errLength) {
				s.nack(0, invalidLength)
			}
			s.cut(sms.Fail(sms.NotSent, "", "the connection to the SMSC ended: "+err.Error()))
			return
		}
		s.take(f)
	}
}

func (s *session) take(f frame) {
	s.traceFrame(f)
	switch {
	case f.command.isResponse():
		s.answered(f)
	case f.command == enquireLink:
		s.send(pdu.NewEnquireLinkResp(), f.sequence)
	case f.command == unbind:
		s.link.down(sms.Fail(sms.NotSent, "", textUnbound), true) // at once: who keeps the session may be waiting for an answer
		select {
		case s.unbinds <- f.sequence:
		default: // it is being answered
		}
	case f.command == alertNotification: // has no answer (SMPP 3.4 §4.12), and nothing waits for a phone
	case f.command == deliverSM || f.command == dataSM:
		s.deliver(f)
	default:
		s.nack(f.sequence, invalidCommand)
	}
}

// answered gives a response to the request that it answers. A response is never answered, whatever is wrong with it.
func (s *session) answered(f frame) {
	s.mu.Lock()
	c := s.calls[f.sequence]
	fits := c != nil && (f.command == genericNack || f.command == c.command.response())
	if fits {
		delete(s.calls, f.sequence)
	}
	s.rest()
	s.mu.Unlock()
	switch {
	case fits:
		if f.command == genericNack && f.status == ok {
			f.status = status(data.ESME_RUNKNOWNERR) // a refusal without a reason
		}
		if f.status == ok && c.command.isBind() { // here, for the next PDU may be a deliver_sm
			s.bound = true
		}
		c.answer <- f
	case f.command == submitSM.response():
		s.g.late.Add(1)
		s.g.logf("%s < late: %s seq=%d status=%s came after it was given up", s.link.name, f.command, f.sequence, f.status)
	default:
		s.g.logf("%s < %s seq=%d answers nothing that was asked", s.link.name, f.command, f.sequence)
	}
}

// deliver hands a deliver_sm or data_sm to the intake of its source, so that those of one phone stay in their order.
func (s *session) deliver(f frame) {
	d, err := readDelivery(f)
	d.body = nil // all is read; it may have to wait for long
	j := &job{delivery: d, session: s, at: time.Now()}
	s.mu.Lock()
	s.open++
	leaving := s.leaving
	s.mu.Unlock()
	switch {
	case err != nil: // its header is right, and so it is no case for generic_nack (SMPP 3.4 §4.3)
		j.answer(invalidLength)
	case !s.bound:
		j.answer(invalidBind)
	case leaving || !s.g.intake(d.source).offer(j):
		j.answer(refusedForNow)
	}
}

// A job is a deliver_sm or data_sm that waits for its answer.
type job struct {
	delivery
	session *session
	at      time.Time // when it came
}

// answer answers it, once.
func (j *job) answer(st status) {
	if j.command == dataSM {
		p := &pdu.DataSMResp{}
		p.CommandID, p.CommandStatus = data.DATA_SM_RESP, data.CommandStatusType(st)
		j.session.send(p, j.sequence)
	} else {
		p := &pdu.DeliverSMResp{}
		p.CommandID, p.CommandStatus = data.DELIVER_SM_RESP, data.CommandStatusType(st)
		j.session.send(p, j.sequence)
	}
	j.session.mu.Lock()
	defer j.session.mu.Unlock()
	j.session.open--
	j.session.rest()
}
