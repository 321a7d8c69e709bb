package clienttest_test

import (
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms/smstest"

	smsmoney "github.com/seed-7a41469f/godwit/sms"
)

// segmentPrice is what a segment costs under the kills, in millionths of a euro.
const segmentPrice = 10_000

// TestKillSMPP kills the built `godwit serve` while it sends SMS through SMPP: every message that was acknowledged comes to its end, no segment is submitted
// twice, no receipt of it is lost, and what it took was booked before, within the budget.
func TestKillSMPP(t *testing.T) {
	t.Parallel()
	smsc := newSMSC(t, smstest.SMPPOptions{Window: 50, Receipt: smstest.Receipt{Reference: true}})
	smsc.On(smppWeather())
	budget := config.Money{Micros: int64(*kills) * 25 * segmentPrice, Currency: "EUR"} // a short run may reach it, a long one does
	p := clienttest.StartProcess(t, smppTo(smsc, func(c *config.Config) {
		c.Limits.Notices = 100_000
		c.SMS.DLRTimeout = config.Duration(2 * time.Second)
		c.SMS.Price = map[string]config.Money{"*": {Micros: segmentPrice, Currency: "EUR"}}
		c.SMS.Budget.Day, c.SMS.Budget.Month = budget, budget
		c.SMS.Gateways[0].Window = 50
	}))
	senders := smsSenders(p)
	killUnderLoad(t, p, senders)

	ends := finals(p, senders)
	if err := smsc.Quiet(t.Context()); err != nil { // every receipt was answered, and so is durable
		t.Error(err)
	}
	sent := submittedOnce(t, smsc)
	outcomes := map[string]int{}
	for _, r := range ends {
		outcomes[r.State+" "+string(r.Reason)]++
		checkKilled(t, p, r, sent[r.To])
		delete(sent, r.To)
	}
	if len(sent) > 0 {
		t.Errorf("SMS without a message that was acknowledged: %v", sent)
	}
	for _, want := range []string{"delivered not_registered", "failed outcome_unknown"} {
		if outcomes[want] == 0 {
			t.Errorf("nothing ended as %s", want)
		}
	}
	checkBooked(t, p, len(smsc.Submits()), budget.Micros)
	for _, v := range smsc.Violations() {
		t.Error(v)
	}
	t.Logf("%v, %d submits, %d taken", outcomes, len(smsc.Tries()), len(smsc.Submits()))
}

// smppWeather has the SMSC answer late, so that kills fall into the time between, and sometimes badly or not at all.
func smppWeather() func(smstest.Submitted) smstest.SMPPFault {
	const systemError = 0x08 // ESME_RSYSERR
	tries := map[string]int{}
	return func(r smstest.Submitted) smstest.SMPPFault {
		to := r.Dest.Addr
		tries[to]++
		end := to[len(to)-2:]
		switch {
		case unreported(to):
			return smstest.SMPPFault{DLR: smstest.NoDLR, Late: 60 * time.Millisecond}
		case end == "13" && tries[to] == 1:
			return smstest.SMPPFault{Status: systemError}
		case end == "09":
			return smstest.SMPPFault{Lose: true, Instead: smstest.NoAnswer}
		case end == "11":
			return smstest.SMPPFault{Instead: smstest.FIN} // taken, and nobody is told but by the receipt
		case end[1] == '7':
			return smstest.SMPPFault{DLR: smstest.Early, Late: 20 * time.Millisecond}
		}
		return smstest.SMPPFault{Late: 60 * time.Millisecond}
	}
}

// finals returns the final receipts of all that was acknowledged.
func finals(p *clienttest.Process, senders []*smsSender) (ends []delivery.ReceiptBody) {
	for _, s := range senders {
		watcher := p.Connect(s.watcher())
		for i := range s.acknowledged {
			ends = append(ends, watcher.Final(key(i)))
		}
	}
	return ends
}

// submittedOnce counts what came to the SMSC and was not refused, by number and segment: each once.
func submittedOnce(t *testing.T, smsc *smstest.SMPP) map[string]map[int]int {
	t.Helper()
	sent := map[string]map[int]int{}
	for _, r := range smsc.Tries() {
		to := r.Dest.Addr
		if r.Status != 0 {
			continue
		}
		if sent[to] == nil {
			sent[to] = map[int]int{}
		}
		if sent[to][r.Segment]++; sent[to][r.Segment] > 1 {
			t.Errorf("segment %d to %s was submitted again, on connection %d", r.Segment, to, r.Conn)
		}
	}
	return sent
}

// checkKilled compares how a message ended with what was submitted of it. One of unknown outcome says so in its trail; one that the budget forbade was not sent as a whole.
func checkKilled(t *testing.T, p *clienttest.Process, r delivery.ReceiptBody, sent map[int]int) {
	t.Helper()
	switch {
	case r.State == "failed" && r.Reason == delivery.BudgetDay:
		if len(sent) > 0 && len(sent) == r.Segments { // a part may have been before: what was given back for the rest, others have spent
			t.Errorf("receipt %+v; yet the segments %v were sent", r, sent)
		}
	case r.State == "failed" && r.Reason == delivery.OutcomeLost:
		if !happened(p.Explain(r.ID), delivery.EventUnknown) {
			t.Errorf("receipt %+v; its trail does not say why", r)
		}
	case r.State != "delivered" && r.State != "submitted", r.Segments == 0, len(sent) != r.Segments:
		t.Errorf("receipt %+v; sent were the segments %v", r, sent)
	case r.State == "submitted" && !unreported(r.To) && !reported(p.Explain(r.ID)):
		t.Errorf("the DLR of %+v was lost", r)
	}
}

// checkBooked compares the money with the segments that the SMSC took.
func checkBooked(t *testing.T, p *clienttest.Process, taken int, budget int64) {
	t.Helper()
	m := p.Money()
	booked, err := smsmoney.ParseMoney(m.Day)
	if err != nil {
		t.Fatal(err)
	}
	if booked.Micros < int64(taken)*segmentPrice || booked.Micros > budget {
		t.Errorf("%s are booked for %d segments of 0.01 EUR; the budget is %s", m.Day, taken, m.DayBudget)
	}
	t.Logf("%s of %s booked for %d segments", m.Day, m.DayBudget, taken)
}
