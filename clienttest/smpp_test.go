package clienttest_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/picture"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

// An smppStage is a broker with an SMSC, and Ann, who sends.
type smppStage struct {
	*clienttest.Broker
	t    *testing.T
	smsc *smstest.SMPP
	ann  *clienttest.Phone
	sent []string // what was published, by number: number(i) has the key key(i)
	seen int      // of them, whose end was seen

	// killed: the broker dies in between. A report of segment 1 that it has taken while segment 2 is under way is known by an id that dies with it.
	killed bool
}

// smppTo has a broker send by SMPP only, with waits that are short.
func smppTo(smsc *smstest.SMPP, change func(*config.Config)) func(*config.Config) {
	return func(c *config.Config) {
		c.Limits.SendRate = 100_000
		s := &c.SMS
		s.ResponseTimeout, s.DLRTimeout, s.Unknown.Hold = config.Duration(time.Second), config.Duration(time.Hour), config.Duration(2*time.Second)
		s.Retry.First, s.Retry.Max = config.Duration(20*time.Millisecond), config.Duration(200*time.Millisecond)
		g := config.DefaultGateway(config.KindSMPP, "carrier")
		g.Addr, g.SystemID, g.Password, g.Enquire = smsc.Addr, "godwit", "secret", config.Duration(time.Second)
		s.Gateways = []config.Gateway{g}
		if change != nil {
			change(c)
		}
	}
}

func newSMSC(t *testing.T, o smstest.SMPPOptions) *smstest.SMPP {
	o.SystemID, o.Password = "godwit", "secret"
	smsc := smstest.NewSMPP(o)
	t.Cleanup(smsc.Close)
	return smsc
}

// newSMPPStage starts them; what must be so before the broker is bound is made by before.
func newSMPPStage(t *testing.T, o smstest.SMPPOptions, change func(*config.Config), before func(*smstest.SMPP)) *smppStage {
	t.Helper()
	s := &smppStage{t: t, smsc: newSMSC(t, o)}
	if before != nil {
		before(s.smsc)
	}
	s.Broker = clienttest.NewServer(t, smppTo(s.smsc, change)).Broker
	s.ann = s.Connect(clienttest.Login{User: ann, Persistent: true})
	s.Hide("secret")
	t.Cleanup(s.tell)
	return s
}

// tell says what the SMSC has seen when a test has failed.
func (s *smppStage) tell() {
	if !s.t.Failed() {
		return
	}
	for _, session := range s.smsc.Sessions() {
		s.t.Logf("session %+v", session)
	}
	for _, d := range s.smsc.Deliveries() {
		if !d.Done {
			s.t.Logf("not taken: %+v", d)
		}
	}
	s.t.Logf("submits:%s", triesText(s.smsc.Tries()))
}

func number(i int) string { return fmt.Sprintf("4917604%06d", 100_000+i) }

// publish sends n more messages, each to a number of its own: most in one segment, some long, in both alphabets.
func (s *smppStage) publish(n int) {
	s.t.Helper()
	for range n {
		i := len(s.sent)
		text := fmt.Sprintf("Water in cellar %d", i)
		switch i % 5 {
		case 2:
			text = strings.Repeat(text+" €. ", 9) // two segments of GSM 7
		case 4:
			text = strings.Repeat("地下室进水了", 13) + text // two of UCS-2
		}
		s.Hide(number(i))
		send(s.ann, contacts.Address(number(i)), key(i), text)
		s.sent = append(s.sent, text)
	}
}

// waitTaken waits until the SMSC has taken n segments.
func (s *smppStage) waitTaken(n int) {
	s.t.Helper()
	if _, err := s.smsc.Wait(s.ctx(), n); err != nil {
		s.t.Fatal(err)
	}
}

func (s *smppStage) ctx() context.Context {
	ctx, cancel := context.WithTimeout(s.t.Context(), clienttest.Patience)
	s.t.Cleanup(cancel)
	return ctx
}

// ends waits for the end of every message and compares it with what the SMSC has seen of it. It returns how many were unknown for a time.
func (s *smppStage) ends() (unknown int) {
	s.t.Helper()
	var all []delivery.ReceiptBody
	for i := s.seen; i < len(s.sent); i++ {
		all = append(all, s.ann.Final(key(i)))
	}
	if err := s.smsc.Quiet(s.ctx()); err != nil {
		s.t.Error(err)
	}
	tries := map[string][]smstest.Submitted{}
	for _, x := range s.smsc.Tries() {
		tries[x.Dest.Addr] = append(tries[x.Dest.Addr], x)
	}
	outcomes := map[string]int{}
	for i, r := range all {
		i += s.seen
		path := s.Explain(r.ID)
		lost := slices.ContainsFunc(path.Trail, func(step picture.Step) bool { return step.Event == delivery.EventUnknown })
		if lost {
			unknown++
		}
		outcomes[r.State+" "+string(r.Reason)]++
		fault := wrongEnd(r, tries[number(i)], s.sent[i], lost)
		if s.killed && lost && r.Segments > 1 && fault == "want delivered" && r.Reason == delivery.OutcomeLost {
			continue
		}
		if fault != "" {
			s.t.Errorf("message %d: %s; receipt %+v; the SMSC read %s; trail:%s", i, fault, r, triesText(tries[number(i)]), trailText(path.Trail))
		}
	}
	s.seen = len(s.sent)
	for i := range s.sent {
		delete(tries, number(i))
	}
	for to := range tries {
		s.t.Errorf("submits to %s, to whom nothing was sent", to)
	}
	for _, v := range s.smsc.Violations() {
		s.t.Errorf("violation: %s", v)
	}
	s.t.Logf("%v, %d of them unknown for a time", outcomes, unknown)
	return unknown
}

// wrongEnd says what is wrong with the end of a message of which the SMSC read some submits; empty: nothing. Outside the recorded unknown window each segment
// was submitted once, apart from submits that were refused; inside it, at most once.
func wrongEnd(r delivery.ReceiptBody, tries []smstest.Submitted, text string, lost bool) string {
	taken, risked, texts := map[int]int{}, map[int]int{}, map[int]string{}
	total, reported, undelivered := 1, true, false
	for _, x := range tries {
		total = x.Total
		if !x.Taken && (x.Status != 0 && x.Fault.Instead == smstest.Answered || x.Fault.Instead == smstest.Nack) {
			continue // it was refused
		}
		if risked[x.Segment]++; risked[x.Segment] > 1 {
			return fmt.Sprintf("segment %d was submitted again", x.Segment)
		}
		if x.Taken {
			taken[x.Segment]++
			texts[x.Segment] = x.Text
			reported = reported && x.Fault.DLR != smstest.NoDLR && x.Fault.Instead != smstest.Malformed // whose id is lost
			undelivered = undelivered || x.Fault.DLR == smstest.Undelivered
		}
	}
	if len(tries) > 0 && r.Segments != total {
		return fmt.Sprintf("it was counted as %d segments", r.Segments)
	}
	whole := len(taken) == total
	if got := texts[1] + texts[2]; whole && got != "+"+string(ann)+": "+text {
		return fmt.Sprintf("the phone shows %q", got)
	}
	want := "delivered"
	switch {
	case lost && !(whole && reported):
		if r.State == "failed" && r.Reason == delivery.OutcomeLost {
			return ""
		}
		return "it was unknown and was not reported: it must have failed"
	case !whole:
		return fmt.Sprintf("of %d segments %d were taken", total, len(taken))
	case undelivered:
		want = "failed"
	case !reported:
		want = "submitted"
	}
	if r.State != want {
		return "want " + want
	}
	return ""
}

func triesText(tries []smstest.Submitted) string {
	var b strings.Builder
	for _, x := range tries {
		fmt.Fprintf(&b, "\n   %s conn %d seq %d: segment %d of %d, taken %v, status %#x, fault %+v", x.At.Format("15:04:05.000"), x.Conn, x.Sequence, x.Segment, x.Total, x.Taken, x.Status, x.Fault)
	}
	return b.String()
}

func trailText(trail []picture.Step) string {
	var b strings.Builder
	for _, step := range trail {
		fmt.Fprintf(&b, "\n   %+v", step)
	}
	return b.String()
}

// some has a fault meet every nth submit, counted from the first.
func some(n int, f smstest.SMPPFault) func(*smstest.SMPP) {
	return func(smsc *smstest.SMPP) {
		count := 0
		smsc.On(func(smstest.Submitted) smstest.SMPPFault {
			if count++; count%n == 1 {
				return f
			}
			return smstest.SMPPFault{}
		})
	}
}

// TestSMPPFaults publishes messages while an SMSC has a fault, which then ends: none is lost, none is sent twice, the receipts say what the DLRs said.
// The names are those of the list of what a good package passes.
func TestSMPPFaults(t *testing.T) {
	t.Parallel()
	const messages = 44
	slow := smstest.SMPPOptions{Latency: 50 * time.Millisecond} // so that windows are full
	for _, c := range []struct {
		name    string
		options smstest.SMPPOptions
		change  func(*config.Config)
		before  func(*smstest.SMPP) // the broker has started
		during  func(s *smppStage)  // all messages are published
		unknown int                 // so many messages may be unknown for a time
	}{
		{name: "no fault"},
		{name: "segment 2 refused 0x45", before: func(smsc *smstest.SMPP) {
			refused := map[string]bool{}
			smsc.On(func(x smstest.Submitted) smstest.SMPPFault {
				if x.Segment == 2 && !refused[x.Dest.Addr] {
					refused[x.Dest.Addr] = true
					return smstest.SMPPFault{Status: 0x45}
				}
				return smstest.SMPPFault{}
			})
		}},
		{name: "DLR before the response", before: some(2, smstest.SMPPFault{DLR: smstest.Early})},
		{name: "duplicate DLRs", before: some(2, smstest.SMPPFault{DLR: smstest.Twice})},
		{name: "ACCEPTD after DELIVRD", before: some(2, smstest.SMPPFault{States: []string{"DELIVRD", "ACCEPTD"}})},
		{name: "undelivered", before: some(3, smstest.SMPPFault{DLR: smstest.Undelivered})},
		{name: "no DLR", change: soonWithoutDLR, before: some(3, smstest.SMPPFault{DLR: smstest.NoDLR})},
		{name: "receipts of unknown ids", change: soonWithoutDLR, before: some(3, smstest.SMPPFault{Receipt: &smstest.Receipt{Stranger: true}, DLR: smstest.NoDLR})},
		{name: "0x58 storm", before: func(smsc *smstest.SMPP) { smsc.Next(7, smstest.SMPPFault{Status: 0x58}) }},
		{name: "0x14 storm", before: func(smsc *smstest.SMPP) { smsc.Next(7, smstest.SMPPFault{Status: 0x14}) }},
		{name: "temporary 0x08", before: func(smsc *smstest.SMPP) { // no message as often as it has tries
			count, refused := 0, map[string]int{}
			smsc.On(func(x smstest.Submitted) smstest.SMPPFault {
				if count++; count%4 == 1 && refused[x.Dest.Addr] < 3 {
					refused[x.Dest.Addr]++
					return smstest.SMPPFault{Status: 0x08}
				}
				return smstest.SMPPFault{}
			})
		}},
		{name: "generic_nack", before: some(9, smstest.SMPPFault{Instead: smstest.Nack}), unknown: messages},
		{name: "SMSC window below ours", options: smstest.SMPPOptions{Latency: 30 * time.Millisecond, Window: 4}},
		{name: "window never exceeded, also with enquire_link and out-of-order responses",
			options: smstest.SMPPOptions{Latency: 20 * time.Millisecond, Enquire: 50 * time.Millisecond},
			before:  some(3, smstest.SMPPFault{Behind: 4, Late: 300 * time.Millisecond})},
		{name: "wrong password", before: func(smsc *smstest.SMPP) { smsc.NextBind(1, smstest.BindFault{Status: 0x0e}) }},
		{name: "silent bind", before: func(smsc *smstest.SMPP) { smsc.NextBind(1, smstest.BindFault{Instead: smstest.NoAnswer}) }},
		{name: "SMSC down at start", before: (*smstest.SMPP).Stop, during: func(s *smppStage) { s.start() }},
		{name: "restart mid-window", options: slow, during: func(s *smppStage) {
			s.waitTaken(15)
			s.smsc.Stop()
			s.start()
		}, unknown: 10},
		{name: "unbind mid-window", options: slow, during: func(s *smppStage) {
			s.waitTaken(15)
			s.smsc.Do(smstest.Unbind)
		}, unknown: 10},
		{name: "unbind instead of an answer", options: slow, before: func(smsc *smstest.SMPP) {
			smsc.Next(5, smstest.SMPPFault{})
			smsc.Next(1, smstest.SMPPFault{Instead: smstest.Unbind})
		}, unknown: 10},
		{name: "half-open", options: slow, during: func(s *smppStage) {
			s.waitTaken(15)
			s.smsc.Do(smstest.Silence)
		}, unknown: 10},
		{name: "FIN", options: slow, before: some(17, smstest.SMPPFault{Instead: smstest.FIN}), unknown: 40},
		{name: "RST", options: slow, before: some(17, smstest.SMPPFault{Instead: smstest.RST}), unknown: 40},
		{name: "RST, nothing taken", options: slow, before: some(17, smstest.SMPPFault{Instead: smstest.RST, Lose: true}), unknown: 40},
		{name: "garbage", options: slow, before: some(17, smstest.SMPPFault{Instead: smstest.Garbage}), unknown: 40},
		{name: "impossible length", options: slow, before: some(17, smstest.SMPPFault{Instead: smstest.BadLength}), unknown: 40},
		{name: "truncated PDU", options: slow, before: some(17, smstest.SMPPFault{Instead: smstest.Truncated}), unknown: 40},
		{name: "malformed response", change: soonWithoutDLR, before: some(9, smstest.SMPPFault{Instead: smstest.Malformed}), unknown: messages},
		{name: "unknown command", before: some(5, smstest.SMPPFault{Instead: smstest.UnknownCommand})},
		{name: "swallowed response then a DLR", before: some(9, smstest.SMPPFault{Instead: smstest.NoAnswer, DLRLate: 1200 * time.Millisecond}), unknown: messages},
		{name: "swallowed response then a DLR with our reference",
			before:  some(9, smstest.SMPPFault{Instead: smstest.NoAnswer, DLRLate: 1200 * time.Millisecond, Receipt: &smstest.Receipt{Reference: true}}),
			unknown: messages},
		{name: "swallowed response and no DLR", change: soonWithoutDLR, before: some(9, smstest.SMPPFault{Instead: smstest.NoAnswer, DLR: smstest.NoDLR}), unknown: messages},
		{name: "late response", before: some(9, smstest.SMPPFault{Late: 1500 * time.Millisecond}), unknown: messages},
		{name: "a rate of the SMSC's below ours", options: smstest.SMPPOptions{Rate: 40}},
		{name: "a pair of sessions", options: slow, change: carrier(func(g *config.Gateway) { g.Bind = "pair" }), during: func(s *smppStage) {
			s.waitTaken(15)
			s.smsc.Do(smstest.RST)
		}, unknown: 10},
		{name: "three sessions", options: slow, change: carrier(func(g *config.Gateway) { g.Sessions, g.Window = 3, 4 }), during: func(s *smppStage) {
			s.waitTaken(15)
			s.smsc.Do(smstest.FIN)
		}, unknown: 12},
		{name: "ids: hexadecimal in the response, decimal in the receipt", change: ids("hex", "decimal"),
			options: smstest.SMPPOptions{Receipt: smstest.Receipt{ID: smstest.Decimal}}},
		{name: "ids: decimal in the response, hexadecimal in the receipt", change: ids("decimal", "hex"),
			options: smstest.SMPPOptions{ResponseID: smstest.Decimal, Receipt: smstest.Receipt{ID: smstest.HexUpper}}},
		{name: "ids: case and leading zeros", options: smstest.SMPPOptions{ResponseID: smstest.HexPadded, Receipt: smstest.Receipt{ID: smstest.HexUpper}}},
		{name: "ids: leading zeros in the receipt", options: smstest.SMPPOptions{ResponseID: smstest.Decimal, Receipt: smstest.Receipt{ID: smstest.Padded}}},
		{name: "receipts as optional parameters only", options: smstest.SMPPOptions{Receipt: smstest.Receipt{Form: smstest.TLVsOnly}}},
		{name: "receipts as text only, 10-digit dates", options: smstest.SMPPOptions{Receipt: smstest.Receipt{Form: smstest.TextOnly}}},
		{name: "receipts as text only, 12-digit dates, hex err, NUL, esm_class 0",
			options: smstest.SMPPOptions{Receipt: smstest.Receipt{Form: smstest.TextOnly, Seconds: true, Err: "0A1", NUL: true, Plain: true}}},
		{name: "receipts with missing fields",
			options: smstest.SMPPOptions{Receipt: smstest.Receipt{Form: smstest.TextOnly, Leave: []string{"sub", "dlvrd", "submit date", "err", "text"}}}},
		{name: "udh16", change: carrier(func(g *config.Gateway) { g.Concat = "udh16" })},
		{name: "sar", change: carrier(func(g *config.Gateway) { g.Concat = "sar" })},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSMPPStage(t, c.options, c.change, c.before)
			if c.name == "wrong password" {
				s.Expect("must be looked after")
			}
			s.publish(messages)
			if c.during != nil {
				c.during(s)
			}
			if unknown := s.ends(); unknown > c.unknown {
				t.Errorf("%d messages were unknown, want at most %d", unknown, c.unknown)
			}
			for _, session := range s.smsc.Sessions() {
				if session.Most > 10 {
					t.Errorf("a session had %d submits open: %+v", session.Most, session)
				}
			}
		})
	}
}

// soonWithoutDLR has messages end that are not reported.
func soonWithoutDLR(c *config.Config) { c.SMS.DLRTimeout = config.Duration(time.Second) }

// start starts the SMSC again.
func (s *smppStage) start() {
	s.t.Helper()
	if err := s.smsc.Start(); err != nil {
		s.t.Fatal(err)
	}
}

func ids(response, receipt string) func(*config.Config) {
	return carrier(func(g *config.Gateway) { g.ResponseID, g.ReceiptID = response, receipt })
}

func carrier(change func(*config.Gateway)) func(*config.Config) {
	return func(c *config.Config) { change(&c.SMS.Gateways[0]) }
}
