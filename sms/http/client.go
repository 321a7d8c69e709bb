package smshttp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-7a41469f/godwit/sms"
)

// What a caller is bounded by.
const (
	defaultResponse = 10 * time.Second // how long a carrier may take for an answer
	maxAnswer       = 64 << 10         // octets of an answer that are read
	maxRetryAfter   = time.Hour        // the longest pause that a carrier can ask for
	idle            = 15 * time.Second // shorter than what servers keep, so that we seldom write to a connection they have just closed
)

// A caller makes the requests of one gateway and knows of each whether it was written.
type caller struct {
	client   *http.Client
	response time.Duration
}

// A dialFunc opens a connection, as net.Dialer.DialContext does.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// newCaller returns a caller with a time-out (0: 10 s) for a whole exchange, that keeps at most window connections. dial is nil, or checks where a
// connection goes: then no proxy of the environment is used, which would hide that.
func newCaller(window int, response time.Duration, dial dialFunc) *caller {
	proxy := http.ProxyFromEnvironment
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	} else {
		proxy = nil
	}
	if response <= 0 {
		response = defaultResponse
	}
	// HTTP/2 would mix requests on a connection, and which of them was written could not be told.
	h1 := new(http.Protocols)
	h1.SetHTTP1(true)
	return &caller{response: response, client: &http.Client{
		Transport: &http.Transport{
			Protocols: h1, Proxy: proxy, MaxIdleConnsPerHost: max(1, window), IdleConnTimeout: idle, DisableCompression: true,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := dial(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				return &gatedConn{Conn: conn}, nil
			},
		},
		// A redirect would take the message, and our credentials, to somewhere nobody configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// close lets go of the connections that are idle.
func (c *caller) close() { c.client.CloseIdleConnections() }

// do makes one request, of which nothing is written after until (zero: no limit), and returns the answer, of whatever status (refusal
// classes it), with at most 64 KiB of its body. The error says why there is none: NotSent when nothing was written, Unknown when something was,
// Configuration for a certificate that is not trusted. It names neither the URL nor anything of the request.
func (c *caller) do(ctx context.Context, until time.Time, req *http.Request) (status int, header http.Header, body []byte, failure *sms.Error) {
	ctx, cancel := context.WithTimeout(ctx, c.response)
	defer cancel()
	p := &pass{until: until}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if gated := gateOf(info.Conn); gated != nil {
			gated.pass.Store(p)
		}
	}})
	resp, err := c.client.Do(req.WithContext(ctx))
	if err != nil {
		return 0, nil, nil, p.failure(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols { // the connection is ours now: no time-out ends a read
		return resp.StatusCode, resp.Header, nil, nil
	}
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil && resp.StatusCode/100 == 2 { // of any other answer the status says enough
		return resp.StatusCode, resp.Header, body, sms.Fail(sms.Unknown, strconv.Itoa(resp.StatusCode), "the answer broke off: "+reason(err))
	}
	return resp.StatusCode, resp.Header, body, nil
}

// A pass is what one request needs to be written: it is good for one connection, before until, and until it is given up.
type pass struct {
	until time.Time

	mu     sync.Mutex
	conn   *gatedConn // on which writing has begun
	sealed bool
}

var (
	errSealed = errors.New("the request was given up")
	errLate   = errors.New("its time ran out before it was written")
	errReplay = errors.New("its connection broke, and it is not written a second time")
)

// open is asked before each write to a connection.
func (p *pass) open(c *gatedConn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.conn == c && !p.sealed:
		return nil
	case p.sealed:
		return errSealed
	case p.conn != nil:
		return errReplay // net/http repeats a GET by itself (http.Transport)
	case !p.until.IsZero() && !time.Now().Before(p.until):
		return errLate
	}
	p.conn = c
	return nil
}

// failure classes the error of a request, and gives it up: what was not written by now never is.
func (p *pass) failure(err error) *sms.Error {
	p.mu.Lock()
	p.sealed = true
	written := p.conn != nil
	p.mu.Unlock()
	var untrusted *tls.CertificateVerificationError
	switch {
	case written:
		return sms.Fail(sms.Unknown, "", "written and not answered: "+reason(err))
	case errors.Is(err, errForbidden):
		return sms.Fail(sms.Configuration, "", errForbidden.Error())
	case errors.As(err, &untrusted):
		return sms.Fail(sms.Configuration, "", "the gateway's certificate is not trusted: "+untrusted.Err.Error())
	}
	return sms.Fail(sms.NotSent, "", "not written: "+reason(err))
}

// reason is an error without the URL, in which there are numbers and secrets, and without what the other side said, which may be our request again:
// net/http quotes an answer that it cannot read.
func reason(err error) string {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		err = e.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer within the response time-out"
	}
	for _, plain := range []error{errSealed, errLate, errReplay, context.Canceled, io.ErrUnexpectedEOF, io.EOF} {
		if errors.Is(err, plain) {
			return plain.Error()
		}
	}
	var ofNetwork net.Error
	var ofTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &ofTLS):
		return ofTLS.Msg
	case errors.As(err, &ofNetwork):
		return ofNetwork.Error()
	}
	return "that is no HTTP, or not as it must be"
}

// A gatedConn writes what the pass of its present request lets through. What comes before the first request, a TLS handshake, has none.
type gatedConn struct {
	net.Conn
	pass atomic.Pointer[pass]
}

func (c *gatedConn) Write(b []byte) (int, error) {
	if p := c.pass.Load(); p != nil {
		if err := p.open(c); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}

// gateOf finds the gate under the TLS of a connection.
func gateOf(c net.Conn) *gatedConn {
	for {
		switch conn := c.(type) {
		case *gatedConn:
			return conn
		case *tls.Conn:
			c = conn.NetConn()
		default:
			return nil
		}
	}
}

// refusal classes an answer by its status alone; nil: 2xx, the body decides.
//
// A 4xx is Permanent, except those that say nothing about the message but that an operator must act (account, money, URL, proxy). A 408 may come from
// a proxy that has passed the request on, and a 303, or a 302, leads from a form that was taken to what is shown then (RFC 9110 §15.4.3, 15.4.4).
func refusal(status int, header http.Header) *sms.Error {
	class, text := sms.Unknown, http.StatusText(status)
	switch {
	case status/100 == 2:
		return nil
	case status == http.StatusTooManyRequests:
		return sms.FailAfter(sms.Throttled, strconv.Itoa(status), text, retryAfter(header, time.Now()))
	case status == http.StatusRequestTimeout:
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusPaymentRequired,
		status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status == http.StatusProxyAuthRequired:
		class = sms.Configuration
	case status/100 == 4:
		class = sms.Permanent
	case status == http.StatusMovedPermanently, status == http.StatusTemporaryRedirect, status == http.StatusPermanentRedirect:
		class, text = sms.Configuration, fmt.Sprintf("the gateway's URL redirects (%s): configure the URL that it leads to", text)
	}
	if text == "" {
		text = "an answer with an unknown status"
	}
	return sms.Fail(class, strconv.Itoa(status), text)
}

// retryAfter reads how long to pause: seconds or a date (RFC 9110 §10.2.3), at most an hour; 0: not told.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := header.Get("Retry-After")
	wait := time.Duration(0)
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(0, wait), maxRetryAfter)
}
