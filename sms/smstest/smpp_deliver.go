package smstest

import (
	"container/heap"
	"context"
	"fmt"
	"slices"
	"time"
)

// A Delivery is a deliver_sm on its way to a client: a receipt, or a part of an MO.
type Delivery struct {
	Kind    string    `json:"kind"` // dlr or mo
	ID      string    `json:"id"`   // of the receipt as it is written, or of the MO
	State   string    `json:"state,omitempty"`
	Part    int       `json:"part,omitempty"`
	Sent    int       `json:"sent"`    // how often it was written
	Conns   []int     `json:"conns"`   // Session.ID of where
	Answers []uint32  `json:"answers"` // the command_status that came back
	Done    bool      `json:"done"`    // taken, or refused for good (0x65, 0x66)
	At      time.Time `json:"at"`      // when it is due next, or was done
}

type delivery struct {
	Delivery
	number int    // in the order in which they were made
	body   []byte // of the deliver_sm
	plain  []byte // for clients of SMPP 3.3, without optional parameters (SMPP 3.4 §3.4.1)
}

// A queue has first what is due first (container/heap).
type queue []*delivery

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(d any)   { *q = append(*q, d.(*delivery)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	d := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return d
}
func (q queue) Less(i, j int) bool {
	if !q[i].At.Equal(q[j].At) {
		return q[i].At.Before(q[j].At)
	}
	return q[i].number < q[j].number
}

// add makes a delivery that is due at a time. The lock is held.
func (s *SMPP) add(d Delivery, body, plain []byte, due time.Time) *delivery {
	n := &delivery{Delivery: d, number: len(s.deliveries), body: body, plain: plain}
	s.deliveries = append(s.deliveries, n)
	s.enqueue(n, due)
	return n
}

// enqueue has a delivery go out at a time. The lock is held.
func (s *SMPP) enqueue(d *delivery, due time.Time) {
	d.At = due
	heap.Push(&s.queue, d)
}

// settle takes the answer to a delivery. The lock is held.
func (s *SMPP) settle(d *delivery, status uint32) {
	now := time.Now()
	d.Answers = append(d.Answers, status)
	if d.Done = status == statusOK || status == statusPermanent || status == statusRejected; d.Done {
		d.At = now
		return
	}
	s.enqueue(d, now.Add(s.o.Retry))
}

// deliver sends what is due, as long as the connection lives.
func (x *session) deliver() {
	for {
		var d *delivery
		var changed <-chan struct{}
		pause := time.Hour
		x.s.look(func() {
			changed = x.s.changed
			d, pause = x.due(pause)
		})
		if d != nil {
			body := d.body
			if x.version() < version34 {
				body = d.plain
			}
			x.request(cmdDeliver, body, request{d: d})
			continue
		}
		timer := time.NewTimer(pause)
		select {
		case <-x.done:
			timer.Stop()
			return
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (x *session) version() (v byte) {
	x.s.look(func() { v = x.Version })
	return v
}

// due takes the next delivery out of the queue; none: it says how long that will be so. The lock is held.
func (x *session) due(otherwise time.Duration) (*delivery, time.Duration) {
	s := x.s
	if s.held || x.Gone || !x.receives() || x.delivering >= s.o.Deliveries || len(s.queue) == 0 {
		return nil, otherwise
	}
	if pause := time.Until(s.queue[0].At); pause > 0 {
		return nil, pause
	}
	d := heap.Pop(&s.queue).(*delivery)
	x.delivering++
	d.Sent++
	d.Conns = append(d.Conns, x.ID)
	return d, 0
}

// Hold keeps receipts and MOs back until Release.
func (s *SMPP) Hold() { s.change(func() { s.held = true }) }

// Release sends what Hold kept back.
func (s *SMPP) Release() { s.change(func() { s.held = false }) }

// Deliveries returns all receipts and parts of MOs, in the order in which they were made.
func (s *SMPP) Deliveries() (all []Delivery) {
	s.look(func() {
		for _, d := range s.deliveries {
			c := d.Delivery
			c.Conns, c.Answers = slices.Clone(c.Conns), slices.Clone(c.Answers)
			all = append(all, c)
		}
	})
	return all
}

// Quiet waits until every receipt and MO so far was taken, or refused for good.
func (s *SMPP) Quiet(ctx context.Context) error {
	open, from := 0, 0
	if err := s.await(ctx, func() bool {
		for from < len(s.deliveries) && s.deliveries[from].Done {
			from++
		}
		open = len(s.deliveries) - from
		return open == 0
	}); err != nil {
		return fmt.Errorf("%d receipts and parts of MOs were not all taken: %w", open, err)
	}
	return nil
}

func allDone(all []*delivery) bool {
	return !slices.ContainsFunc(all, func(d *delivery) bool { return !d.Done })
}
