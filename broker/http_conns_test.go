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
	eventually(t, func() bool { // the last of them may not have been accepted yet
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

// A stop does not wait for who says nothing, or asks for nothing more, and cuts who does not come to an end. Neither makes it a failure.
func TestStopOfHTTP(t *testing.T) {
	for name, c := range map[string]struct {
		said string
		stop time.Duration
	}{
		"nothing":      {"", time.Hour},
		"a part":       {"GET / HTTP/1.1\r\n", time.Hour},
		"a request":    {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", time.Hour},
		"half a body":  {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n", short},
		"reads little": {"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n", short},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, stop := portThatStops(t, broker.HTTPLimits{Stop: c.stop})
			conn := dial(t, addr, "127.0.0.1")
			_, err := io.WriteString(conn, c.said)
			must(t, err)
			if strings.HasSuffix(c.said, "\r\n\r\n") { // it is being answered
				_, err = io.ReadFull(conn, make([]byte, 1))
				must(t, err)
			}
			began := time.Now()
			must(t, stop())
			if took := time.Since(began); took > 4*time.Second { // net/http would give way after 5
				t.Errorf("it took %v", took)
			}
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("it is still open")
			}
		})
	}
}
