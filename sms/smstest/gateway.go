package smstest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// A Gateway submits to a Server. Its fields may be set before it is used.
type Gateway struct {
	Window  int           // 10
	Rate    float64       // segments a second; 0: no limit
	Timeout time.Duration // of a Submit: 10 s
	Echo    bool          // DLRs carry our own reference

	name, url string
	client    *http.Client
}

var _ sms.Gateway = (*Gateway)(nil)

// NewGateway returns a gateway to a server by its URL, which may be another process.
func NewGateway(name, url string) *Gateway {
	// With 100-continue the text is written only once the server has asked for it (RFC 9110 §10.1.1): until then nothing is sent.
	transport := &http.Transport{ExpectContinueTimeout: time.Hour, MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second}
	return &Gateway{Window: 10, Timeout: 10 * time.Second, name: name, url: url, client: &http.Client{Transport: transport}}
}

// Name implements sms.Gateway.
func (g *Gateway) Name() string { return g.name }

// Abilities implements sms.Gateway.
func (g *Gateway) Abilities() sms.Abilities {
	return sms.Abilities{DLR: true, Window: g.Window, Rate: g.Rate}
}

// Submit implements sms.Gateway: each segment is a POST.
func (g *Gateway) Submit(ctx context.Context, mt sms.MT) []sms.Outcome {
	ctx, cancel := context.WithTimeout(ctx, g.Timeout)
	defer cancel()
	return sms.SubmitEach(ctx, mt, func(ctx context.Context, s sms.Segment) (string, error) {
		text, _ := json.Marshal(content{s.Text}) // a string: it cannot fail
		body := &body{Reader: bytes.NewReader(text)}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+"/submit?"+g.query(mt, s), body)
		if err != nil {
			return "", sms.Fail(sms.Configuration, "", "the URL of gateway "+g.name+" is none")
		}
		req.Header.Set("Expect", "100-continue")
		req.ContentLength = int64(len(text))
		resp, err := g.client.Do(req)
		if err != nil {
			return "", body.failure(err)
		}
		defer resp.Body.Close()
		return result(resp)
	})
}

func (g *Gateway) query(mt sms.MT, s sms.Segment) string {
	ref, _ := mt.Ref.MarshalText()
	q := url.Values{
		"gateway": {g.name}, "ref": {string(ref)}, "attempt": {strconv.Itoa(mt.Attempt)}, "segment": {strconv.Itoa(s.Number)},
		"count": {strconv.Itoa(mt.Count)}, "from": {mt.From}, "to": {string(mt.To)}, "coding": {s.Coding.String()},
	}
	if mt.Validity > 0 {
		q.Set("validity", mt.Validity.String())
	}
	if g.Echo {
		q.Set("echo", "1")
	}
	return q.Encode()
}

// result reads the answer to a submit.
func result(resp *http.Response) (id string, err error) {
	var a answer
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxText)).Decode(&a); err != nil {
		return "", sms.Fail(sms.Unknown, "", "the answer cannot be read: "+err.Error())
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return a.ID, nil
	case http.StatusTooManyRequests:
		return "", sms.FailAfter(sms.Throttled, a.Code, a.Text, a.After)
	case http.StatusServiceUnavailable:
		return "", sms.Fail(sms.Temporary, a.Code, a.Text)
	case http.StatusUnauthorized:
		return "", sms.Fail(sms.Configuration, a.Code, a.Text)
	case http.StatusUnprocessableEntity:
		return "", sms.Fail(sms.Permanent, a.Code, a.Text)
	}
	return "", sms.Fail(sms.Unknown, strconv.Itoa(resp.StatusCode), "an answer that means nothing")
}

// body is what a submit writes. It knows whether writing has begun, and can be kept from beginning.
type body struct {
	*bytes.Reader
	state atomic.Int32
}

const (
	begun  = 1
	sealed = 2
)

var errSealed = errors.New("the submit was given up")

func (b *body) Read(p []byte) (int, error) {
	if !b.state.CompareAndSwap(0, begun) && b.state.Load() == sealed {
		return 0, errSealed
	}
	return b.Reader.Read(p)
}

// failure classes an error of the connection: nothing was sent, for good, unless writing had begun.
func (b *body) failure(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		err = e.Err // without the URL, which has the number in it
	}
	if b.state.CompareAndSwap(0, sealed) {
		return sms.Fail(sms.NotSent, "", "not written: "+err.Error())
	}
	return sms.Fail(sms.Unknown, "", "written and not answered: "+err.Error())
}

// Run implements sms.Gateway: it fetches DLRs and MOs and acknowledges those that sink took.
func (g *Gateway) Run(ctx context.Context, sink sms.Sink) error {
	defer g.client.CloseIdleConnections()
	const first, most = 20 * time.Millisecond, time.Second
	pause := first
	for ctx.Err() == nil {
		if err := g.fetch(ctx, sink); err != nil {
			// The server is away, or the sink refuses: both may pass, and the events wait at the server.
			wait(ctx, pause)
			pause = min(2*pause, most)
			continue
		}
		pause = first
	}
	return nil
}

// fetch gives the events that wait to sink. The error is the first that sink or the connection had.
func (g *Gateway) fetch(ctx context.Context, sink sms.Sink) (err error) {
	var events []event
	if err := g.call(ctx, http.MethodGet, "/events?", url.Values{"gateway": {g.name}}, &events); err != nil {
		return err
	}
	taken := url.Values{}
	for _, e := range events {
		if refused := g.give(ctx, sink, e); refused != nil {
			err = errors.Join(err, refused)
			continue
		}
		taken.Add("seq", strconv.Itoa(e.Seq))
	}
	if len(taken) > 0 {
		err = errors.Join(err, g.call(ctx, http.MethodPost, "/ack?", taken, nil))
	}
	return err
}

func (g *Gateway) give(ctx context.Context, sink sms.Sink, e event) error {
	if e.Kind == mo {
		return sink.MO(ctx, sms.MO{Gateway: g.name, ID: e.ID, From: contacts.Number(e.From), To: contacts.Number(e.To), Text: e.Text, At: e.At})
	}
	return sink.DLR(ctx, sms.DLR{Gateway: g.name, ID: e.ID, Ref: e.Ref, Segment: e.Segment, State: state(e.State), At: e.At, Detail: e.State})
}

func state(word string) sms.DLRState {
	switch word {
	case delivered:
		return sms.DeliveredSMS
	case undelivered:
		return sms.Undelivered
	}
	return sms.Enroute
}

// call is a request that may be repeated.
func (g *Gateway) call(ctx context.Context, method, path string, q url.Values, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, g.url+path+q.Encode(), nil)
	if err != nil {
		return fmt.Errorf("the URL of gateway %s is none: %w", g.name, err)
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return fmt.Errorf("gateway %s: %w", g.name, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return fmt.Errorf("gateway %s: %s", g.name, resp.Status)
	}
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("gateway %s: the answer cannot be read: %w", g.name, err)
	}
	return nil
}
