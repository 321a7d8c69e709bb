package clienttest

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// An Arrival is a message that came to a phone on u/<me>/<kind>/<peer>/<id>, or a receipt on u/<me>/receipt/<id>.
type Arrival struct {
	Topic      string
	Kind       string // in, sms, seen, sent, receipt
	Peer       contacts.Address
	ID         string // of a receipt: the key, where there is one
	Payload    string
	Properties map[string]string // user properties, on MQTT 5
	Duplicate  bool              // the DUP flag
}

func arrivalOf(topic string, payload []byte) Arrival {
	a := Arrival{Topic: topic, Payload: string(payload)}
	part := strings.SplitN(topic, "/", 5)
	switch {
	case len(part) >= 4 && part[2] == "receipt":
		a.Kind, a.ID = part[2], strings.Join(part[3:], "/")
	case len(part) == 5:
		a.Kind, a.Peer, a.ID = part[2], contacts.Address(part[3]), part[4]
	}
	return a
}

// Receipt decodes the payload of a receipt, strictly.
func (a Arrival) Receipt() (r delivery.ReceiptBody, err error) {
	d := json.NewDecoder(strings.NewReader(a.Payload))
	d.DisallowUnknownFields()
	err = d.Decode(&r)
	return r, err
}

// Next waits for the next message of a kind that no call has returned yet.
func (p *Phone) Next(kind string) Arrival {
	p.t.Helper()
	return p.take("a message under "+kind+"/", func(a Arrival) bool { return a.Kind == kind })
}

// Receipt waits for the receipt that says a state of a message that this user sent, given by its key or id.
func (p *Phone) Receipt(name, state string) delivery.ReceiptBody {
	p.t.Helper()
	return p.receipt(name, state, func(r delivery.ReceiptBody) bool { return r.State == state })
}

// Final waits for the last receipt of a message that this user sent, given by its key or id.
func (p *Phone) Final(name string) delivery.ReceiptBody {
	p.t.Helper()
	return p.receipt(name, "final", func(r delivery.ReceiptBody) bool { return r.Final })
}

func (p *Phone) receipt(name, what string, ok func(delivery.ReceiptBody) bool) (r delivery.ReceiptBody) {
	p.t.Helper()
	p.take("a receipt "+what+" of "+name, func(a Arrival) bool {
		if a.Kind != "receipt" || a.ID != name {
			return false
		}
		var err error
		if r, err = a.Receipt(); err != nil {
			p.t.Errorf("the receipt %s: %v", a.Payload, err)
			return false
		}
		return ok(r)
	})
	return r
}

// take waits for the first message that is wanted, and takes it out.
func (p *Phone) take(what string, wanted func(Arrival) bool) (a Arrival) {
	p.t.Helper()
	p.wait(what, func() bool {
		i := slices.IndexFunc(p.inbox, wanted)
		if i < 0 {
			return false
		}
		a = p.inbox[i]
		p.inbox = slices.Delete(p.inbox, i, i+1)
		return true
	})
	return a
}

// Left returns what came and was not asked for.
func (p *Phone) Left() []Arrival {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.inbox)
}
