package sms

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
)

// An OptOut says that the owner of a number wants no more SMS, of any sender.
type OptOut struct {
	Number  contacts.Number `json:"-"`
	Word    string          `json:"word,omitempty"`    // the stop word that came
	Gateway string          `json:"gateway,omitempty"` // through which; empty: an operator added it
	At      time.Time       `json:"at"`
	Note    string          `json:"note,omitempty"` // for the operator
}

// OptOuts knows all opt-outs, in memory, over a durable Table. It is safe for concurrent use.
type OptOuts struct {
	table   contacts.Table
	writing sync.Mutex                   // held by whoever changes the Table; guards doubt, and no change of all is without it
	doubt   map[contacts.Number]struct{} // what the Table has of them is not known since a Write failed

	mu  sync.RWMutex // guards all
	all map[contacts.Number]optOut
}

type optOut struct {
	OptOut
	rev uint64
}

// optOutPrefix begins the keys of opt-outs in the Table; the number follows.
const optOutPrefix = "optout/"

// OpenOptOuts loads all opt-outs of a table, of which OptOuts is the only writer from then on.
func OpenOptOuts(ctx context.Context, table contacts.Table) (*OptOuts, error) {
	o := &OptOuts{table: table, doubt: map[contacts.Number]struct{}{}, all: map[contacts.Number]optOut{}}
	err := o.scan(ctx, optOutPrefix, func(out optOut) { o.all[out.Number] = out })
	if err != nil {
		return nil, fmt.Errorf("load the opt-outs: %w", err)
	}
	return o, nil
}

func (o *OptOuts) scan(ctx context.Context, prefix string, fn func(optOut)) error {
	return o.table.Scan(ctx, prefix, func(key string, val []byte, rev uint64) error {
		n, err := contacts.ParseNumber(strings.TrimPrefix(key, optOutPrefix))
		if err != nil {
			return fmt.Errorf("the key of an opt-out: %w; was it written by something else?", err)
		}
		out := optOut{rev: rev}
		if err := json.Unmarshal(val, &out.OptOut); err != nil {
			return fmt.Errorf("the opt-out of %s: %w; restore the store from a backup, or use the version of godwit that wrote it", n.Mask(), err)
		}
		out.Number = n
		fn(out)
		return nil
	})
}

// Out reports whether the owner of a number has opted out. It reads memory only.
func (o *OptOuts) Out(peer contacts.Number) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	_, out := o.all[peer]
	return out
}

// Add opts a number out, durable on return. The first opt-out of a number stays as it is. The error wraps contacts.ErrAddress for what is no number; after
// any other it is open whether it was written, and Add may be called again.
func (o *OptOuts) Add(ctx context.Context, out OptOut) error {
	if _, err := contacts.ParseNumber(string(out.Number)); err != nil {
		return fmt.Errorf("opt out: %w", err)
	}
	out.At = out.At.UTC().Round(0) // as it is read again
	val, err := json.Marshal(out)
	if err != nil {
		return fmt.Errorf("opt out %s: %w", out.Number.Mask(), err)
	}
	o.writing.Lock()
	defer o.writing.Unlock()
	_, ok, err := o.sure(ctx, out.Number)
	if err != nil || ok {
		return err
	}
	rev, err := o.write(ctx, out.Number, val, 0)
	if err != nil {
		return fmt.Errorf("opt out %s: %w", out.Number.Mask(), err)
	}
	o.set(out.Number, &optOut{out, rev})
	return nil
}

// Remove lets a number be sent to again, durable on return; false: it was not opted out. After an error it is open whether it was removed, and Remove may be
// called again.
func (o *OptOuts) Remove(ctx context.Context, n contacts.Number) (bool, error) {
	o.writing.Lock()
	defer o.writing.Unlock()
	had, ok, err := o.sure(ctx, n)
	if err != nil || !ok {
		return false, err
	}
	if _, err := o.write(ctx, n, nil, had.rev); err != nil {
		return false, fmt.Errorf("remove the opt-out of %s: %w", n.Mask(), err)
	}
	o.set(n, nil)
	return true, nil
}

// List returns up to n opt-outs in the order of their numbers, from behind after; "" is before the first.
func (o *OptOuts) List(after contacts.Number, n int) []OptOut {
	o.mu.RLock()
	defer o.mu.RUnlock()
	var numbers []contacts.Number
	for number := range o.all {
		if number > after {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	numbers = numbers[:max(0, min(n, len(numbers)))]
	list := make([]OptOut, len(numbers))
	for i, number := range numbers {
		list[i] = o.all[number].OptOut
	}
	return list
}

func (o *OptOuts) write(ctx context.Context, n contacts.Number, val []byte, rev uint64) (uint64, error) {
	revs, errs, err := o.table.Write(ctx, []contacts.Write{{Key: optOutPrefix + string(n), Val: val, Rev: rev}})
	if err == nil {
		err = errs[0]
	}
	if err != nil {
		o.doubt[n] = struct{}{}
		return 0, err
	}
	return revs[0], nil
}

// sure returns the opt-out of a number as the Table has it.
func (o *OptOuts) sure(ctx context.Context, n contacts.Number) (out optOut, ok bool, err error) {
	if _, doubted := o.doubt[n]; doubted {
		var found *optOut
		err := o.scan(ctx, optOutPrefix+string(n), func(out optOut) {
			if out.Number == n {
				found = &out
			}
		})
		if err != nil {
			return optOut{}, false, fmt.Errorf("read the opt-out of %s again: %w", n.Mask(), err)
		}
		o.set(n, found)
		delete(o.doubt, n)
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	out, ok = o.all[n]
	return out, ok, nil
}

// set has an opt-out in memory; nil: none.
func (o *OptOuts) set(n contacts.Number, out *optOut) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if out == nil {
		delete(o.all, n)
		return
	}
	o.all[n] = *out
}
