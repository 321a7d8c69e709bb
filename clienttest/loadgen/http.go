package loadgen

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest/raw"
)

// HTTPOptions shape the load of HTTP; a zero field means what is noted.
type HTTPOptions struct {
	Connections int           // each of a user of its own, with one request under way: 64
	Payload     int           // bytes: 128
	Away        bool          // receivers connect when all is posted: what is measured is acceptance alone
	Warmup      time.Duration // not measured, but counted
	Duration    time.Duration // 5 s
	Settle      time.Duration // how long nothing must move before what is missing is given up: 5 s
}

// HTTPResult is what HTTP measured.
type HTTPResult struct {
	Connections int       `json:"connections"`
	Payload     int       `json:"payload"`
	Costs       Costs     `json:"costs"`      // by requests that were answered
	Answer      Quantiles `json:"answer_ms"`  // from a request to its 202, which says that the message is durable
	Latency     Quantiles `json:"latency_ms"` // from a request to the message at its receiver; none when they were Away
	Tally       Tally     `json:"tally"`
}

// HTTP posts messages to /to/{address} at address over so many connections, to receivers that are connected by MQTT to the target, and counts what becomes of each.
func HTTP(ctx context.Context, t Target, address string, o HTTPOptions) (HTTPResult, error) {
	setDefault(&o.Connections, 64)
	setDefault(&o.Payload, 128)
	setDefault(&o.Duration, 5*time.Second)
	setDefault(&o.Settle, 5*time.Second)
	if o.Payload < StampSize || o.Connections < 0 {
		return HTTPResult{}, fmt.Errorf("%d connections, a payload of %d bytes: negative, or less than the %d of the stamp", o.Connections, o.Payload, StampSize)
	}
	p := &posting{flow: &flow{pairs: newPairs(ctx, t.withDefaults()), o: FlowOptions{Pairs: 0, Payload: o.Payload, Warmup: o.Warmup}}, o: o}
	var c Costs
	err := p.connectAll(address)
	if err == nil {
		c, err = p.measureAll()
	}
	if err = p.finish(err); err != nil {
		return HTTPResult{}, err
	}
	r := HTTPResult{Connections: o.Connections, Payload: o.Payload, Costs: c}
	if !o.Away {
		r.Latency = p.latency()
	}
	var answers Histogram
	for i, one := range p.posters {
		answers.Merge(&one.answers)
		r.Tally.Add(one.tally(p.receivers[i]))
	}
	r.Answer = answers.Quantiles()
	return r, nil
}

// posting is one run of HTTP.
type posting struct {
	*flow
	o       HTTPOptions
	posters []*poster
}

func (p *posting) connectAll(address string) error {
	for i := range p.o.Connections {
		conn, err := p.receiver(i)
		switch {
		case err != nil:
			return err
		case !p.o.Away:
			p.addReceiver(conn, i, p.o.Payload, int64(p.o.Warmup))
		default: // now there is such a user
			if err := conn.Close(); err != nil {
				return fmt.Errorf("receiver %d: %w", i, err)
			}
		}
		one, err := p.poster(address, i)
		if err != nil {
			return err
		}
		p.posters = append(p.posters, one)
	}
	return nil
}

// receiver connects the i-th receiver.
func (p *posting) receiver(i int) (*raw.Conn, error) {
	conn, err := p.target.dial(p.ctx, receiving, i, session{buffer: receiverBuffer})
	if err != nil {
		return nil, err
	}
	if err := conn.Subscribe(p.target.filter(i)); err != nil {
		conn.Drop()
		return nil, fmt.Errorf("receiver %d: %w", i, err)
	}
	return conn, nil
}

// returned connects the receivers that were away.
func (p *posting) returned() error {
	for i := range p.o.Connections {
		conn, err := p.receiver(i)
		if err != nil {
			return err
		}
		p.addReceiver(conn, i, p.o.Payload, math.MaxInt64)
	}
	return nil
}

// measureAll posts, reads the counters after the warm-up and at the end, and waits for what is still on its way.
func (p *posting) measureAll() (Costs, error) {
	p.begin()
	end := p.clock.time(p.start).Add(p.o.Warmup + p.o.Duration)
	ended := make(chan error, len(p.posters))
	for _, one := range p.posters {
		one.since = p.start + int64(p.o.Warmup)
		go func() { ended <- one.run(p.ctx, end) }()
	}
	from, err := p.read(p.o.Warmup)
	var to reading
	if err == nil {
		to, err = p.read(p.o.Warmup + p.o.Duration)
	}
	for range p.posters {
		err = errors.Join(err, <-ended)
	}
	if err == nil && p.o.Away {
		err = p.returned()
	}
	if err != nil {
		return Costs{}, err
	}
	for i, r := range p.receivers {
		r.expect(p.posters[i].taken.n)
	}
	for _, r := range p.receivers {
		if err := p.waitFor(r.full, p.received, p.o.Settle); err != nil {
			return Costs{}, err
		}
	}
	return costs(from, to), p.barrier(p.o.Settle)
}

// read reads the counters once d of the run has passed.
func (p *posting) read(d time.Duration) (reading, error) {
	if err := sleep(p.ctx, time.Until(p.clock.time(p.start))+d); err != nil {
		return reading{}, err
	}
	n := uint64(0)
	for _, one := range p.posters {
		n += one.answered.Load()
	}
	return readCounters(p.target.PID, n)
}

// A poster sends one request after the other over one connection. What it counts may be read once it has ended.
type poster struct {
	conn     net.Conn
	in       *bufio.Reader
	head     []byte // of each request
	payload  []byte
	stamp    Stamp
	clock    clock
	since    int64 // answers are booked from here on
	sent     uint64
	answered atomic.Uint64
	refused  uint64
	taken    seqset
	answers  Histogram
}

func (p *posting) poster(address string, i int) (*poster, error) {
	var d net.Dialer
	conn, err := d.DialContext(p.ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	user, password := p.target.user(sending, i), p.target.Password
	if token, ok := p.target.Tokens[user]; ok {
		password = token
	}
	head := fmt.Sprintf("POST /to/%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Basic %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n",
		p.target.user(receiving, i), address, base64.StdEncoding.EncodeToString([]byte(user+":"+password)), p.o.Payload)
	return &poster{
		conn: conn, in: bufio.NewReader(conn), head: []byte(head), payload: newPayload(p.o.Payload), stamp: Stamp{Run: p.run, Sender: uint32(i)}, clock: p.clock,
	}, nil
}

func (p *poster) run(ctx context.Context, end time.Time) error {
	defer p.conn.Close()
	defer context.AfterFunc(ctx, func() { p.conn.Close() })()
	out := make([]byte, 0, len(p.head)+len(p.payload))
	for time.Now().Before(end) {
		p.stamp.At = p.clock.now()
		p.stamp.Put(p.payload)
		out = append(append(out[:0], p.head...), p.payload...)
		p.sent++
		if _, err := p.conn.Write(out); err != nil {
			return fmt.Errorf("post: %w", err)
		}
		status, err := p.answer()
		if err != nil {
			return fmt.Errorf("the answer to a post: %w", err)
		}
		if status == http.StatusAccepted {
			p.taken.add(p.stamp.Seq)
		} else {
			p.refused++
		}
		if p.stamp.At >= p.since {
			p.answers.Record(time.Duration(p.clock.now() - p.stamp.At))
		}
		p.answered.Add(1)
		p.stamp.Seq++
	}
	return nil
}

var contentLength = []byte("Content-Length")

// answer reads an answer with a Content-Length, which is what a short one has.
func (p *poster) answer() (status int, err error) {
	length := -1
	for n := 0; ; n++ {
		line, err := p.in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if n == 0 {
			if len(line) < len("HTTP/1.1 202") {
				return 0, fmt.Errorf("a status line %q", line)
			}
			if status, err = strconv.Atoi(string(line[9:12])); err != nil {
				return 0, err
			}
			continue
		}
		if len(line) == 0 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, contentLength) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, err
			}
		}
	}
	if length < 0 {
		return 0, errors.New("it has no Content-Length")
	}
	_, err = p.in.Discard(length)
	return status, err
}

// tally sums up a poster and its receiver after both have ended.
func (p *poster) tally(r *receiver) Tally {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tally
	t.Sent, t.Acked, t.Received, t.Refused = p.sent, p.taken.n, r.seen.n, p.refused
	t.Unanswered = p.sent - p.answered.Load()
	t.Lost = p.taken.without(&r.seen)
	return t
}
