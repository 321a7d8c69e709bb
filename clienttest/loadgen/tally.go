package loadgen

import (
	"fmt"
	"slices"
	"strings"
)

// A Tally says what became of the messages of a run. All but the first four are faults, except that Foreign is only told.
type Tally struct {
	Sent       uint64 `json:"sent"`
	Acked      uint64 `json:"acked"`
	Received   uint64 `json:"received"` // distinct ones
	Receipts   uint64 `json:"receipts"` // what came back to the senders
	Lost       uint64 `json:"lost"`     // acknowledged to the sender, and never received
	Duplicates uint64 `json:"duplicates"`
	OutOfOrder uint64 `json:"out_of_order"` // first deliveries that came after a later message of the same sender
	Refused    uint64 `json:"refused"`
	Unanswered uint64 `json:"unanswered"` // never acknowledged
	Misrouted  uint64 `json:"misrouted"`  // came to a receiver they were not for
	Damaged    uint64 `json:"damaged"`    // not the payload that was sent
	Strange    uint64 `json:"strange"`    // acknowledgements of nothing that was in flight
	Foreign    uint64 `json:"foreign"`    // of another run
}

// Add adds what another run counted.
func (t *Tally) Add(o Tally) {
	t.Sent += o.Sent
	t.Acked += o.Acked
	t.Received += o.Received
	t.Receipts += o.Receipts
	t.Lost += o.Lost
	t.Duplicates += o.Duplicates
	t.OutOfOrder += o.OutOfOrder
	t.Refused += o.Refused
	t.Unanswered += o.Unanswered
	t.Misrouted += o.Misrouted
	t.Damaged += o.Damaged
	t.Strange += o.Strange
	t.Foreign += o.Foreign
}

// Faults are the names that Check knows, in the order it tells them.
var Faults = []string{"lost", "duplicates", "out_of_order", "refused", "unanswered", "misrouted", "damaged", "strange"}

func (t Tally) counts() []uint64 {
	return []uint64{t.Lost, t.Duplicates, t.OutOfOrder, t.Refused, t.Unanswered, t.Misrouted, t.Damaged, t.Strange}
}

// Check returns an error that names every fault that was counted and is not allowed.
func (t Tally) Check(allowed ...string) error {
	var found []string
	for i, n := range t.counts() {
		if n > 0 && !slices.Contains(allowed, Faults[i]) {
			found = append(found, fmt.Sprintf("%s: %d", Faults[i], n))
		}
	}
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("of %d messages, %s", t.Sent, strings.Join(found, ", "))
}

// tally sums up one pair after both sides have stopped.
func tally(s *sender, r *receiver) Tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tally
	t.Sent, t.Acked, t.Received = s.sent, s.acked.n, r.seen.n
	t.Refused = s.answered.n - s.acked.n
	t.Unanswered = s.sent - s.answered.n
	t.Strange, t.Receipts = s.strange, s.receipts
	t.Lost = s.acked.without(&r.seen)
	return t
}
