package broker_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/broker"
)

// port answers on an HTTP port with limits.
func port(t *testing.T, x broker.HTTPLimits) (addr string) {
	t.Helper()
	addr, _ = portThatStops(t, x)
	return addr
}

// portThatStops is one that may be stopped before the test is over; stop returns what serving ended with.
func portThatStops(t *testing.T, x broker.HTTPLimits) (addr string, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "served") })
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 64<<10)); err != nil {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
	})
	ended := make(chan struct{}, 10)
	mux.HandleFunc("GET /long", func(w http.ResponseWriter, _ *http.Request) {
		for { // until it is cut
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				ended <- struct{}{}
				return
			}
		}
	})
	mux.HandleFunc("GET /ended", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-ended:
		case <-r.Context().Done():
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- broker.ServeHTTP(ctx, l, mux, x) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-stopped
	})
	t.Cleanup(func() { must(t, stop()) })
	return l.Addr().String(), stop
}

func dial(t *testing.T, addr, source string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	c, err := d.DialContext(t.Context(), "tcp", addr)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(patience)))
	return c
}

// served asks on a new connection.
func served(t *testing.T, addr string) {
	t.Helper()
	c := dial(t, addr, "127.0.0.9")
	defer c.Close()
	if got := asks(t, c); got != "served" {
		t.Errorf("got %q", got)
	}
}

// asks on one that is there; empty: it was closed.
func asks(t *testing.T, c net.Conn) string {
	t.Helper()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return ""
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(b)
}

const short = 300 * time.Millisecond

// Each of them is cut, and a good client is answered meanwhile.
func TestSlowClientsOfHTTPAreCut(t *testing.T) {
	for name, c := range map[string]struct {
		limits broker.HTTPLimits
		first  string
		drip   string // again and again
	}{
		"never an octet":                {broker.HTTPLimits{Header: short}, "", ""},
		"a header octet by octet":       {broker.HTTPLimits{Header: short}, "GET / HTTP/1.1\r\nX: ", "a"},
		"a body octet by octet":         {broker.HTTPLimits{Read: short}, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", "a"},
		"no second request":             {broker.HTTPLimits{Idle: short}, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", ""},
		"a body that never ends":        {broker.HTTPLimits{Read: patience}, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "400\r\n" + strings.Repeat("x", 0x400) + "\r\n"},
		"a header that never ends":      {broker.HTTPLimits{Header: patience}, "GET / HTTP/1.1\r\nHost: a\r\n", "X: " + strings.Repeat("x", 1000) + "\r\n"},
		"a request line that never end": {broker.HTTPLimits{Header: patience}, "GET /", strings.Repeat("x", 1000)},
		"no HTTP at all":                {broker.HTTPLimits{}, "\x10\x10\x00\x04MQTT\r\n\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := port(t, c.limits)
			bad := dial(t, addr, "127.0.0.1")
			_, err := io.WriteString(bad, c.first)
			must(t, err)
			over := make(chan struct{})
			var drips sync.WaitGroup
			drips.Go(func() {
				for c.drip != "" {
					select {
					case <-over:
						return
					case <-time.After(5 * time.Millisecond):
					}
					if _, err := io.WriteString(bad, c.drip); err != nil {
						return
					}
				}
			})
			served(t, addr)
			if !closed(bad) {
				t.Error("it is still open")
			}
			close(over)
			drips.Wait()
			served(t, addr)
		})
	}
}

func TestReaderThatDoesNotReadItsAnswerIsCut(t *testing.T) {
	addr := port(t, broker.HTTPLimits{Write: short})
	c := dial(t, addr, "127.0.0.1")
	_, err := io.WriteString(c, "GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
	must(t, err)
	served(t, addr)
	ended := dial(t, addr, "127.0.0.1")
	_, err = io.WriteString(ended, "GET /ended HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	must(t, err)
	if !closed(ended) { // answered, or cut as well: then the other was
		t.Error("it is still being answered")
	}
	served(t, addr)
}

// The one that has waited longest gives way, whether it has said nothing, a part of a request, or was answered before.
func TestIdleConnectionsGiveWay(t *testing.T) {
	for name, said := range map[string]string{"nothing": "", "a part": "GET / HTTP/1.1\r\n", "a request": "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			addr := port(t, broker.HTTPLimits{Max: 1})
			first := dial(t, addr, "127.0.0.1")
			_, err := io.WriteString(first, said)
			must(t, err)
			eventually(t, func() bool { // while the first is being answered, it does not give way
				good := dial(t, addr, "127.0.0.2")
				defer good.Close()
				return asks(t, good) == "served"
			})
			if !closed(first) {
				t.Error("it is still open")
			}
		})
	}
}

// Bodies that do not come keep nobody out, whether a handler reads them or not.
func TestBodiesThatDoNotComeGiveWay(t *testing.T) {
	for name, method := range map[string]string{"read": "POST", "not read": "GET"} {
		t.Run(name, func(t *testing.T) {
			addr := port(t, broker.HTTPLimits{Max: 2})
			var bad []net.Conn
			for range 2 {
				c := dial(t, addr, "127.0.0.1")
				_, err := io.WriteString(c, method+" / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n")
				must(t, err)
				bad = append(bad, c)
			}
			time.Sleep(short) // sleep: nobody tells when both have come as far as the handler
			served(t, addr)
			if !closed(bad[0]) {
				t.Error("the one that has waited longest is still open")
			}
		})
	}
}

// Answers that nobody reads keep nobody out.
func TestAnswersThatNobodyReadsGiveWay(t *testing.T) {
	addr := port(t, broker.HTTPLimits{Max: 1})
	bad := dial(t, addr, "127.0.0.1")
	_, err := io.WriteString(bad, "GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
	must(t, err)
	time.Sleep(short) // sleep: nobody tells when it is being answered
	served(t, addr)
	if _, err := io.Copy(io.Discard, bad); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("it is still open")
	}
}

// Behind one address there are many phones, so only those not answered yet count.
func TestHTTPConnectionsOfOneAddress(t *testing.T) {
	v := &broker.Visitors{PerAddress: 3}
	addr := port(t, broker.HTTPLimits{Visitors: v})
	var kept []net.Conn
	for range 10 {
		c := dial(t, addr, "127.0.0.1")
		if asks(t, c) != "served" {
			t.Fatal("not served")
		}
		kept = append(kept, c)
	}
	for range 3 {
		dial(t, addr, "127.0.0.1")
	}
	eventually(t, func() bool { // one of them may have come while an answered one still counted
		dial(t, addr, "127.0.0.1")
		c, err := net.Dial("tcp", addr)
		must(t, err)
		defer c.Close()
		return asks(t, c) == ""
	})
	served(t, addr) // from another address
	for _, c := range kept {
		if asks(t, c) != "served" {
			t.Error("one that was there is served no more")
		}
	}
}

// Idle sockets from many addresses, more than there may be.
func TestIdleSocketsLeaveHTTPServed(t *testing.T) {
	const n = 5000
	var files syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files))
	if files.Max > files.Cur {
		files.Cur = min(files.Max, 65_536)
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files)
	}
	if files.Cur < 2*n { // both ends are in this process
		t.Skipf("only %d descriptors", files.Cur)
	}
	h := start(t, testConfig(t))
	phone, got := h.phone("49176000001")
	for i := range n {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%50))}}
		c, err := d.DialContext(t.Context(), "tcp", h.where.HTTP)
		must(t, err)
		defer c.Close()
		if i%1000 == 0 {
			send(t, phone, "to/49176000001", "still served", "receipts", "none")
			next(t, got, "/in/")
			if status := h.get("/healthz", "", "", nil); status != 200 {
				t.Fatalf("after %d sockets: %d", i, status)
			}
		}
	}
	good := http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer good.CloseIdleConnections()
	resp, err := good.Get("http://" + h.where.HTTP + "/healthz")
	must(t, err)
	if resp.Body.Close(); resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
	webSocket(t, h.where.HTTP)
}

// A stop waits for what is being answered, for a moment, and for nothing else.
func TestStopOfHTTP(t *testing.T) {
	for name, c := range map[string]struct {
		said  string // on a connection of its own
		stop  time.Duration
		begun bool // it is being answered when the stop begins
	}{
		"nothing said":                   {},
		"a part of a request":            {said: "GET / HTTP/1.1\r\n"},
		"half a body":                    {said: "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhel"},
		"answered, and kept":             {said: "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"},
		"a request under way":            {said: "GET /late HTTP/1.1\r\nHost: localhost\r\n\r\n", begun: true},
		"a request that comes to no end": {said: "GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n", stop: short, begun: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			begun, end := make(chan struct{}, 1), make(chan struct{})
			mux := http.NewServeMux()
			mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.ReadAll(r.Body)
				fmt.Fprint(w, "served")
			})
			mux.HandleFunc("GET /late", func(w http.ResponseWriter, _ *http.Request) {
				begun <- struct{}{}
				<-end
				fmt.Fprint(w, "served")
			})
			mux.HandleFunc("GET /never", func(_ http.ResponseWriter, r *http.Request) {
				begun <- struct{}{}
				<-r.Context().Done()
			})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			stopped := make(chan error, 1)
			go func() { stopped <- broker.ServeHTTP(ctx, l, mux, broker.HTTPLimits{Stop: c.stop}) }()
			conn := dial(t, l.Addr().String(), "127.0.0.1")
			_, err = io.WriteString(conn, c.said)
			must(t, err)
			r := bufio.NewReader(conn)
			reads := func() {
				resp, err := http.ReadResponse(r, nil)
				must(t, err)
				if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "served" {
					t.Errorf("%q, %v", b, err)
				}
			}
			switch {
			case c.begun:
				<-begun
			case strings.HasSuffix(c.said, "\r\n\r\n"):
				reads()
			}
			served(t, l.Addr().String()) // so that the first is accepted
			began := time.Now()
			cancel()
			if c.begun && c.stop == 0 {
				eventually(t, func() bool { // it has begun to stop
					n, err := net.Dial("tcp", l.Addr().String())
					if err == nil {
						n.Close()
					}
					return err != nil
				})
				close(end)
				reads()
			}
			select {
			case err := <-stopped:
				must(t, err)
			case <-time.After(patience):
				t.Fatal("it does not stop")
			}
			if took := time.Since(began); took > 3*time.Second { // stopTimeout is 5 s
				t.Errorf("it took %v", took)
			}
			if _, err := r.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the connection is still open: %v", err)
			}
		})
	}
}

// Nor is it a failure that they are there.
func TestStopIsNoFailureWhileStrangersAreConnected(t *testing.T) {
	for name, said := range map[string]string{"nothing": "", "half a header": "GET / HTTP/1.1\r\n", "half a request": "POST /to/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, testConfig(t))
			c, err := net.Dial("tcp", h.where.HTTP)
			must(t, err)
			defer c.Close()
			_, err = io.WriteString(c, said)
			must(t, err)
			h.get("/healthz", "", "", nil) // the other has been accepted
			http.DefaultClient.CloseIdleConnections()
			if err := h.stop(); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
}
