package standin

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

type op string

const (
	opMessage   op = "message"
	opAck       op = "ack"
	opSubscribe op = "subscribe"
)

// A record is a line of the journal.
type record struct {
	Op    op
	To    string
	ID    uint64 `json:",omitempty"`
	Topic string `json:",omitempty"`
	Body  []byte `json:",omitempty"`
	Mark  string `json:",omitempty"`
}

// open replays the journal; a last line that is cut short was never acknowledged, and goes.
func (b *Broker) open() error {
	if b.Journal == "" {
		return nil
	}
	f, err := os.OpenFile(b.Journal, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	whole, err := b.replay(f)
	if err == nil {
		err = f.Truncate(whole)
	}
	if err == nil {
		_, err = f.Seek(whole, io.SeekStart)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("journal %s: %w", b.Journal, err), f.Close())
	}
	b.file = f
	if b.Faults.AckEarly {
		b.early = bufio.NewWriterSize(f, 64<<10)
	}
	return nil
}

func (b *Broker) replay(f io.Reader) (whole int64, err error) {
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return whole, nil
		}
		if err != nil {
			return whole, err
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return whole, err
		}
		whole += int64(len(line))
		b.apply(r)
	}
}

func (b *Broker) apply(r record) {
	u := b.user(r.To)
	switch r.Op {
	case opSubscribe:
		if !b.Faults.LoseSessions {
			b.subscribed(u, r.Topic)
		}
	case opMessage:
		b.nextID = max(b.nextID, r.ID)
		b.created[r.Mark] = true
		u.queue = append(u.queue, &entry{id: r.ID, topic: r.Topic, body: r.Body, again: true})
	case opAck:
		for i, e := range u.queue {
			if e.id == r.ID {
				u.queue = append(u.queue[:i:i], u.queue[i+1:]...)
				return
			}
		}
	}
}

// write returns once the kernel has the record, which kill -9 cannot take back; with AckEarly it does not wait for that.
func (b *Broker) write(r record) error {
	if b.file == nil {
		return nil
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	var w io.Writer = b.file
	if b.early != nil {
		w = b.early
	}
	_, err = w.Write(append(line, '\n'))
	return err
}
