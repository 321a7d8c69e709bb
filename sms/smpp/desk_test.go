package smpp_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// A desk lets everything be sent, and wants again what was certainly not sent.
type desk struct {
	again func(r sms.Ref)
	done  chan struct{} // closed when all have an end

	mu                     sync.Mutex
	left, taken, uncertain int
}

var _ sms.Desk = (*desk)(nil)

func newDesk(n int) *desk { return &desk{left: n, done: make(chan struct{})} }

// number is the recipient of a message.
func number(r sms.Ref) contacts.Number {
	return contacts.Number(fmt.Sprintf("4915%010d", binary.BigEndian.Uint64(r[:])%1e10))
}

func (d *desk) Claim(_ context.Context, r sms.Ref, _ string) (sms.MT, bool, error) {
	mt := message(0, "x")
	mt.Ref, mt.To = r, number(r)
	return mt, true, nil
}

func (d *desk) Report(_ context.Context, mt sms.MT, _ string, outcomes []sms.Outcome) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch sms.ClassOf(outcomes[0].Err) {
	case 0:
		d.taken++
	case sms.Unknown:
		d.uncertain++
	default:
		time.AfterFunc(10*time.Millisecond, func() { d.again(mt.Ref) })
		return nil
	}
	if d.left--; d.left == 0 {
		close(d.done)
	}
	return nil
}

func (d *desk) counts() (taken, unknown int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.taken, d.uncertain
}
