package standin

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest/raw"
)

// publish stores the message once, acknowledges it and delivers it.
func (b *Broker) publish(from *user, conn *raw.Conn, f raw.Frame) error {
	p, err := f.Publish(conn.Version)
	if err != nil {
		return err
	}
	b.publishes++
	if b.publishes == b.Faults.StallAt {
		time.Sleep(b.Faults.StallFor)
	}
	if b.due(b.Faults.Refuse) {
		_, err := conn.Write([]byte{raw.PUBACK << 4, 4, byte(p.ID >> 8), byte(p.ID), 0x97, 0})
		return err
	}
	to, topic, key := b.route(from, p)
	mark := fmt.Sprintf("%s %d %x", from.name, p.ID, hash(p))
	if key != "" {
		mark = fmt.Sprintf("%s %s %s", from.name, to.name, key)
	}
	var e *entry
	if !b.repeated(mark, key != "" || p.Dup) {
		b.nextID++
		e = &entry{id: b.nextID, topic: strings.ReplaceAll(topic, "{id}", fmt.Sprintf("%026d", b.nextID)), body: []byte(string(p.Payload))}
		r := record{Op: opMessage, To: to.name, ID: e.id, Topic: e.topic, Body: e.body, Mark: mark}
		if err := b.write(r); err != nil {
			return err
		}
		b.created[mark] = true
	}
	if p.QoS == 1 {
		if err := b.answer(conn, p.ID); err != nil {
			return err
		}
	}
	if e != nil {
		b.deliver(to, e)
	}
	return nil
}

func (b *Broker) answer(conn *raw.Conn, id uint16) error {
	ack := raw.AppendPuback(nil, id)
	if b.Faults.AckLate == 0 {
		_, err := conn.Write(ack)
		return err
	}
	b.wg.Go(func() {
		time.Sleep(b.Faults.AckLate)
		_, _ = conn.Write(ack) // a connection that is gone ends by its own reads
	})
	return nil
}

// repeated reports whether what the mark stands for was stored before; compare is false for a publish that cannot be a repetition.
func (b *Broker) repeated(mark string, compare bool) bool {
	return compare && b.created[mark] && !b.Faults.CreateTwice
}

func hash(p raw.Publish) uint64 {
	h := fnv.New64a()
	h.Write(p.Topic)
	h.Write(p.Payload)
	return h.Sum64()
}

// route returns the recipient, the topic that it sees and the key.
func (b *Broker) route(from *user, p raw.Publish) (to *user, topic, key string) {
	rest, ok := strings.CutPrefix(string(p.Topic), "to/")
	if !ok {
		for _, u := range b.users {
			if u.filter == string(p.Topic) {
				return u, u.filter, ""
			}
		}
		return b.user("nobody"), string(p.Topic), ""
	}
	name, key, _ := strings.Cut(rest, "/")
	return b.user(name), fmt.Sprintf("u/%s/in/%s/{id}", name, from.name), key
}

// due reports whether the publish at hand is one of those that a fault is for.
func (b *Broker) due(every int) bool {
	return every > 0 && b.publishes%every == 0
}

// deliver queues and writes, as right or wrong as the faults say. An error ends a connection only: the message stays in the queue.
func (b *Broker) deliver(to *user, e *entry) {
	f := b.Faults
	if b.due(f.Misroute) && b.oldest != nil {
		to = b.oldest
	}
	switch {
	case b.due(f.Lose):
		return
	case b.due(f.Damage):
		e.body[len(e.body)-1] ^= 1
	case b.due(f.Swap) && to.held == nil:
		to.held = e
		return
	case b.due(f.Duplicate):
		twice := *e
		to.send(&twice)
	}
	to.send(e)
	if held := to.held; held != nil {
		to.held = nil
		to.send(held)
	}
}

func (u *user) send(e *entry) {
	u.queue = append(u.queue, e)
	if u.conn != nil && u.filter != "" {
		if err := u.push(e); err != nil {
			u.conn.Drop()
		}
	}
}

func (u *user) push(e *entry) error {
	u.last = u.last%65535 + 1
	e.packet = u.last
	_, err := u.conn.Write(raw.NewTemplate(u.conn.Version, e.topic, 1).Append(nil, e.packet, e.again, e.body))
	return err
}
