package loadgen

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest/raw"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

// SMSOptions shape the load of SMS and SMSDown; a zero field means what is noted.
type SMSOptions struct {
	Senders  int           // 50
	Messages uint64        // of all senders together, each to a number of its own that nobody has registered: 50,000
	Window   int           // publishes of a sender that are not acknowledged: 64
	Settle   time.Duration // how long nothing must move before what is missing is given up: 10 s
}

func (o SMSOptions) withDefaults() SMSOptions {
	setDefault(&o.Senders, 50)
	setDefault(&o.Messages, 50_000)
	setDefault(&o.Window, 64)
	setDefault(&o.Settle, 10*time.Second)
	return o
}

// SMSResult is what SMS measured.
type SMSResult struct {
	Accepted  Costs     `json:"accepted"`          // from the first publish to the last PUBACK
	Ended     Costs     `json:"ended"`             // from the first publish to the last receipt that says delivered
	PerSecond float64   `json:"submits_second"`    // from the first submit_sm to the last in the SMSC's log
	DLR       Quantiles `json:"submit_dlr_ms"`     // from submit_sm to the answer to its receipt, which says that it is durable
	Receipt   Quantiles `json:"submit_receipt_ms"` // from submit_sm until its sender reads that it was delivered
	Tally     SMSTally  `json:"tally"`
}

// An SMSTally says what became of the messages of a run. All but the first three are faults.
type SMSTally struct {
	Acked      uint64 `json:"acked"`
	Submits    uint64 `json:"submits"`
	Delivered  uint64 `json:"delivered"`  // by the receipt that the sender got
	Refused    uint64 `json:"refused"`    // publishes
	Lost       uint64 `json:"lost"`       // acknowledged, and never submitted
	Doubled    uint64 `json:"doubled"`    // submitted again
	Unreported uint64 `json:"unreported"` // acknowledged, and no receipt said delivered
	Damaged    uint64 `json:"damaged"`    // not the text that was sent, or to another number
	Violations uint64 `json:"violations"` // of SMPP 3.4
}

// Check returns an error that names every fault that was counted.
func (t SMSTally) Check() error {
	faults := Tally{Sent: t.Acked, Lost: t.Lost, Duplicates: t.Doubled, Refused: t.Refused, Unanswered: t.Unreported, Damaged: t.Damaged, Strange: t.Violations}
	return faults.Check()
}

// SMS publishes to numbers that are not registered, as fast as it can, and counts what comes to an SMSC of this process, and what the senders hear of it.
func SMS(ctx context.Context, t Target, smsc *smstest.SMPP, o SMSOptions) (SMSResult, error) {
	o = o.withDefaults()
	l := newTexting(ctx, t, smsc, o)
	var r SMSResult
	err := l.connect()
	if err == nil {
		r.Accepted, r.Ended, err = l.measure()
	}
	if err = l.finish(err); err != nil {
		return r, err
	}
	l.book(&r)
	return r, nil
}

// texting is a run with senders whose messages become SMS.
type texting struct {
	*pairs
	o        SMSOptions
	smsc     *smstest.SMPP
	hearings []*hearing // by sender
}

func newTexting(ctx context.Context, t Target, smsc *smstest.SMPP, o SMSOptions) *texting {
	return &texting{pairs: newPairs(ctx, t.withDefaults()), o: o, smsc: smsc}
}

// recipient is the number to which the i-th sender sends its message seq.
func recipient(i int, seq uint64) string { return fmt.Sprintf("4917%03d%07d", i, seq) }

// readRecipient reads what recipient wrote.
func readRecipient(number string) (i int, seq uint64, ok bool) {
	if len(number) != 14 || number[:4] != "4917" {
		return 0, 0, false
	}
	i, err1 := strconv.Atoi(number[4:7])
	seq, err2 := strconv.ParseUint(number[7:], 10, 64)
	return i, seq, err1 == nil && err2 == nil
}

// connect connects the senders, which subscribe to their receipts.
func (l *texting) connect() error {
	for i := range l.o.Senders {
		conn, err := l.target.dial(l.ctx, sending, i, session{buffer: senderBuffer})
		if err != nil {
			return err
		}
		if err := conn.Subscribe("u/" + l.target.user(sending, i) + "/#"); err != nil {
			conn.Drop()
			return fmt.Errorf("sender %d: %w", i, err)
		}
		h := &hearing{sender: i, at: make(map[uint64]int64, share(l.o.Messages, l.o.Senders, i)), clock: l.clock, want: share(l.o.Messages, l.o.Senders, i), done: make(chan struct{})}
		l.hearings = append(l.hearings, h)
		s := l.newSender(conn, i, StampSize, l.o.Window)
		s.to = func(seq uint64) raw.Template { return raw.NewTemplate(conn.Version, "to/"+recipient(i, seq), 1) }
		s.receipt = h.take
		l.start(s.run, conn)
	}
	return nil
}

// measure publishes everything and waits for the receipts.
func (l *texting) measure() (accepted, ended Costs, err error) {
	from, err := readCounters(l.target.PID, 0)
	if err != nil {
		return accepted, ended, err
	}
	if accepted, err = l.publish(from); err != nil {
		return accepted, ended, err
	}
	ended, err = l.hear(from)
	return accepted, ended, err
}

// publish publishes everything and waits for the PUBACKs.
func (l *texting) publish(from reading) (Costs, error) {
	for i, s := range l.senders {
		if err := s.allow(share(l.o.Messages, l.o.Senders, i), true); err != nil {
			return Costs{}, err
		}
	}
	if err := l.waitAnswered(l.o.Settle); err != nil {
		return Costs{}, err
	}
	to, err := readCounters(l.target.PID, l.answers())
	return costs(from, to), err
}

// hear waits until every message was reported as delivered.
func (l *texting) hear(from reading) (Costs, error) {
	for _, h := range l.hearings {
		if err := l.waitFor(h.done, l.heard, l.o.Settle); err != nil {
			return Costs{}, err
		}
	}
	to, err := readCounters(l.target.PID, l.heard())
	return costs(from, to), err
}

func (l *texting) heard() (n uint64) {
	for i, s := range l.senders {
		s.mu.Lock()
		n += uint64(len(l.hearings[i].at))
		s.mu.Unlock()
	}
	return n
}

// A hearing is what a sender has read of its messages. The sender's lock guards it.
type hearing struct {
	sender int
	clock  clock
	at     map[uint64]int64 // when the receipt came that says delivered, by sequence
	want   uint64
	done   chan struct{} // closed when all were delivered
}

// take books a receipt.
func (h *hearing) take(p raw.Publish) error {
	var r struct {
		To, State string
		Final     bool
	}
	if err := json.Unmarshal(p.Payload, &r); err != nil {
		return fmt.Errorf("what came as a receipt is none: %w", err)
	}
	i, seq, ok := readRecipient(r.To)
	if !ok || i != h.sender {
		return fmt.Errorf("sender %d was told of somebody else's message", h.sender)
	}
	if r.State != "delivered" {
		return nil
	}
	if _, again := h.at[seq]; again {
		return nil // QoS 1
	}
	h.at[seq] = h.clock.now()
	if uint64(len(h.at)) == h.want {
		close(h.done)
	}
	return nil
}

// book compares the SMSC's log with what was sent and heard. Everything has stopped.
func (l *texting) book(r *SMSResult) {
	log := l.smsc.Submits()
	r.PerSecond = rateOf(log)
	r.Tally = l.count(log)
	var dlr, heard Histogram
	answered := map[string]time.Time{}
	for _, d := range l.smsc.Deliveries() {
		if d.Done {
			answered[d.ID] = d.At
		}
	}
	for _, s := range log {
		if at, ok := answered[s.ID]; ok {
			dlr.Record(at.Sub(s.At))
		}
		if i, seq, ok := readRecipient(s.Dest.Addr); ok && i < len(l.hearings) {
			if at, ok := l.hearings[i].at[seq]; ok {
				heard.Record(l.clock.time(at).Sub(s.At))
			}
		}
	}
	r.DLR, r.Receipt = dlr.Quantiles(), heard.Quantiles()
}

// rateOf is how many submits a second a log has from its first to its last.
func rateOf(log []smstest.Submitted) float64 {
	if len(log) < 2 {
		return 0
	}
	return float64(len(log)-1) / log[len(log)-1].At.Sub(log[0].At).Seconds()
}

func (l *texting) count(log []smstest.Submitted) (t SMSTally) {
	t.Submits, t.Violations = uint64(len(log)), uint64(len(l.smsc.Violations()))
	submitted := make([]seqset, len(l.senders))
	for _, s := range log {
		i, seq, ok := readRecipient(s.Dest.Addr)
		if !ok || i >= len(submitted) || !l.genuine(s, i, seq) {
			t.Damaged++
		} else if !submitted[i].add(seq) {
			t.Doubled++
		}
	}
	for i, s := range l.senders {
		t.Acked += s.acked.n
		t.Refused += s.answered.n - s.acked.n
		t.Lost += s.acked.without(&submitted[i])
		t.Delivered += uint64(len(l.hearings[i].at))
	}
	t.Unreported = t.Acked - min(t.Acked, t.Delivered)
	return t
}

// genuine reports whether an SMS has the text that was sent to its number.
func (l *texting) genuine(s smstest.Submitted, i int, seq uint64) bool {
	text := []byte(s.Text)
	if len(text) < StampSize {
		return false
	}
	stamp, ok := ReadStamp(text[len(text)-StampSize:]) // after what the template puts before it
	return ok && stamp.Run == l.run && int(stamp.Sender) == i && stamp.Seq == seq && bytes.Contains(text, []byte(l.target.user(sending, i)))
}
