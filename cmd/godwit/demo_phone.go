package main

import (
	"context"
	"encoding/json"
	"strings"
	"sync"

	"github.com/eclipse/paho.golang/paho"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// A phone is an MQTT client as an app would be: it shows what comes, and confirms it then.
type phone struct {
	name  string
	login login
	link  *link
	story *story

	inbox    chan arrival
	receipts chan delivery.ReceiptBody

	mu     sync.Mutex
	silent bool          // in a lift: nothing is confirmed
	gone   chan struct{} // closed when the phone is off
	once   sync.Once
}

// switchOn logs a phone in; in open mode that registers its number.
func (d *demo) switchOn(ctx context.Context, server, name string, number contacts.Address) (*phone, error) {
	p := &phone{
		name: name, login: login{server: server, user: number}, story: d.story,
		inbox: make(chan arrival, 64), receipts: make(chan delivery.ReceiptBody, 64), gone: make(chan struct{}),
	}
	var err error
	if p.link, err = p.login.connect(ctx, strings.ToLower(name)+"s-phone", p.receive, nil); err != nil {
		return nil, err
	}
	d.phones = append(d.phones, p)
	return p, p.link.subscribe(ctx, delivery.Topic(number, "#"))
}

func (d *demo) switchOff() {
	for _, p := range d.phones {
		p.off()
	}
}

// receive runs before the acknowledgement, which leaves when it returns.
func (p *phone) receive(pub *paho.Publish) error {
	m := arrivalOf(pub)
	if strings.Contains(pub.Topic, "/receipt/") {
		var r delivery.ReceiptBody
		if err := json.Unmarshal(pub.Payload, &r); err != nil {
			return err
		}
		offer(p.receipts, r)
		return nil
	}
	p.mu.Lock()
	silent := p.silent
	p.mu.Unlock()
	if silent {
		<-p.gone
		return errGone
	}
	p.story.line(p.name+"'s phone", m.Topic+"  "+printable(m.Text))
	offer(p.inbox, m)
	return nil
}

var errGone = failed("gone", "the phone is off")

// offer drops what nobody has asked for lately; the stage stays up for hours.
func offer[T any](ch chan T, v T) {
	select {
	case ch <- v:
	default:
		select {
		case <-ch:
		default:
		}
		ch <- v // only one goroutine fills it
	}
}

// lift takes the phone where it hears nothing, though its connection stands.
func (p *phone) lift() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = true
}

// dies ends the connection without a word.
func (p *phone) dies() {
	p.once.Do(func() {
		close(p.gone)
		p.link.drop()
	})
}

// off says goodbye.
func (p *phone) off() {
	p.once.Do(func() {
		close(p.gone)
		p.link.close()
	})
}

// write sends a message and returns its id.
func (p *phone) write(ctx context.Context, way path) (id string, err error) {
	p.story.line(p.name+"'s phone", "to/"+string(way.to)+"  "+way.text)
	return p.link.publish(ctx, p.login, order{to: way.to, text: []byte(way.text), after: span{way.after}, receipts: choice{word: "all"}})
}

// final waits for the last receipt of a message.
func (p *phone) final(ctx context.Context, id string) (delivery.ReceiptBody, error) {
	for {
		select {
		case r := <-p.receipts:
			if r.ID != id {
				continue
			}
			p.story.line(p.name+"'s phone", "receipt: "+r.State+reasonOf(r))
			if r.Final {
				return r, nil
			}
		case err := <-p.link.lost:
			return delivery.ReceiptBody{}, err
		case <-ctx.Done():
			return delivery.ReceiptBody{}, failed("demo", "message %s did not come to its end in %v", id, pathTimeout)
		}
	}
}

func reasonOf(r delivery.ReceiptBody) string {
	switch {
	case r.Via == "push":
		return " by push"
	case r.Via == "sms":
		return " by SMS"
	case r.Reason != "":
		return " (" + string(r.Reason) + ")"
	}
	return ""
}
