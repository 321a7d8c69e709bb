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
	want  int
	done  chan struct{} // closed when so many were taken

	mu    sync.Mutex
	taken int
}

var _ sms.Desk = (*desk)(nil)

func (d *desk) number(r sms.Ref) contacts.Number {
	return contacts.Number(fmt.Sprintf("4915%010d", binary.BigEndian.Uint64(r[:])%1e10))
}

func (d *desk) Claim(_ context.Context, r sms.Ref, _ string) (sms.MT, bool, error) {
	mt := message(0, "x")
	mt.Ref, mt.To = r, d.number(r)
	return mt, true, nil
}

func (d *desk) Report(_ context.Context, mt sms.MT, _ string, outcomes []sms.Outcome) error {
	switch sms.ClassOf(outcomes[0].Err) {
	case 0:
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.taken++; d.taken == d.want {
			close(d.done)
		}
	case sms.NotSent, sms.Throttled, sms.Temporary:
		time.AfterFunc(10*time.Millisecond, func() { d.again(mt.Ref) })
	}
	return nil
}
