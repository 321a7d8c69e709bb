package smshttp_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/sms"
	smshttp "github.com/seed-7a41469f/godwit/sms/http"
)

// each runs a test with every kind of gateway.
func each(t *testing.T, test func(t *testing.T, c carrier)) {
	for _, c := range carriers {
		t.Run(c.name, func(t *testing.T) { test(t, c) })
	}
}

// TestStatus: what an answer's status means, whatever its body says.
func TestStatus(t *testing.T) {
	cases := map[string]struct {
		status int
		header http.Header
		class  sms.Class
		after  time.Duration
	}{
		"200":                   {200, nil, 0, 0},
		"201":                   {201, nil, 0, 0},
		"301 is not followed":   {301, http.Header{"Location": {"/elsewhere"}}, sms.Configuration, 0},
		"400":                   {400, nil, sms.Permanent, 0},
		"401":                   {401, nil, sms.Configuration, 0},
		"402 no money":          {402, nil, sms.Configuration, 0},
		"403":                   {403, nil, sms.Configuration, 0},
		"404 wrong URL":         {404, nil, sms.Configuration, 0},
		"408":                   {408, nil, sms.Unknown, 0},
		"422":                   {422, nil, sms.Permanent, 0},
		"429":                   {429, nil, sms.Throttled, 0},
		"429 Retry-After":       {429, http.Header{"Retry-After": {"7"}}, sms.Throttled, 7 * time.Second},
		"429 Retry-After long":  {429, http.Header{"Retry-After": {"999999"}}, sms.Throttled, time.Hour},
		"429 Retry-After past":  {429, http.Header{"Retry-After": {"Fri, 31 Dec 1999 23:59:59 GMT"}}, sms.Throttled, 0},
		"429 Retry-After wrong": {429, http.Header{"Retry-After": {"-5"}}, sms.Throttled, 0},
		"500":                   {500, nil, sms.Unknown, 0},
		"503":                   {503, nil, sms.Unknown, 0},
		"599":                   {599, nil, sms.Unknown, 0},
	}
	each(t, func(t *testing.T, c carrier) {
		for name, tc := range cases {
			t.Run(name, func(t *testing.T) {
				var calls atomic.Int32
				srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
					calls.Add(1)
					for k, v := range tc.header {
						w.Header()[k] = v
					}
					w.WriteHeader(tc.status)
					if tc.status/100 == 2 {
						_, _ = io.WriteString(w, c.taken)
					}
				})
				o := one(t, c.start(t, srv.URL, 0), text(t, 1, "Tea?"))
				wantClass(t, o, tc.class)
				if e := (*sms.Error)(nil); errors.As(o.Err, &e) && e.After != tc.after {
					t.Errorf("pause %v, want %v", e.After, tc.after)
				}
				if (o.ID == "") != (tc.class != 0) {
					t.Errorf("id %q", o.ID)
				}
				if calls.Load() != 1 {
					t.Errorf("%d calls", calls.Load())
				}
			})
		}
	})
}

// TestRetryAfterDate: a pause may be told as a date.
func TestRetryAfterDate(t *testing.T) {
	each(t, func(t *testing.T, c carrier) {
		srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", time.Now().Add(2*time.Minute).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusTooManyRequests)
		})
		o := one(t, c.start(t, srv.URL, 0), text(t, 1, "Tea?"))
		if e := (*sms.Error)(nil); !errors.As(o.Err, &e) || e.After < 110*time.Second || e.After > 2*time.Minute {
			t.Errorf("%+v", o.Err)
		}
	})
}

// TestAnswerThatMeansNothing: 200 from something that is no such carrier.
func TestAnswerThatMeansNothing(t *testing.T) {
	each(t, func(t *testing.T, c carrier) {
		for name, body := range map[string]string{"empty": "", "page": "<html>It works!</html>", "number": "17", "null": "null", "binary": "\x00\xff\xfe"} {
			t.Run(name, func(t *testing.T) {
				srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
				wantClass(t, one(t, c.start(t, srv.URL, 0), text(t, 1, "Tea?")), sms.Unknown)
			})
		}
	})
}

// TestRefusedConnection: nobody listens, so nothing was sent.
func TestRefusedConnection(t *testing.T) {
	each(t, func(t *testing.T, c carrier) {
		srv := httptest.NewServer(nil)
		srv.Close()
		wantClass(t, one(t, c.start(t, srv.URL, 0), text(t, 1, "Tea?")), sms.NotSent)
	})
}

// TestNoHandshake: the connection stands, TLS does not, so nothing was sent.
func TestNoHandshake(t *testing.T) {
	each(t, func(t *testing.T, c carrier) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		wantClass(t, one(t, c.start(t, "https://"+l.Addr().String(), 200*time.Millisecond), text(t, 1, "Tea?")), sms.NotSent)
	})
}

// TestUntrustedCertificate: an operator must act, and nothing was sent.
func TestUntrustedCertificate(t *testing.T) {
	each(t, func(t *testing.T, c carrier) {
		var calls atomic.Int32
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
		srv.Config.ErrorLog = quiet
		srv.StartTLS()
		defer srv.Close()
		wantClass(t, one(t, c.start(t, srv.URL, 0), text(t, 1, "Tea?")), sms.Configuration)
		if calls.Load() != 0 {
			t.Error("it was sent")
		}
	})
}

// TestTimeOutBeforeTheAnswer: the request was written, and what became of it is unknown.
func TestTimeOutBeforeTheAnswer(t *testing.T) {
	each(t, func(t *testing.T, c carrier) {
		hung := make(chan struct{})
		srv := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body)
			<-hung
		})
		defer close(hung)
		began := time.Now()
		wantClass(t, one(t, c.start(t, srv.URL, 200*time.Millisecond), text(t, 1, "Tea?")), sms.Unknown)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestTimeOutInTheAnswer: of a status that takes, half a body says nothing; of one that refuses, the status is enough.
func TestTimeOutInTheAnswer(t *testing.T) {
	each(t, func(t *testing.T, c carrier) {
		for status, class := range map[int]sms.Class{200: sms.Unknown, 401: sms.Configuration, 429: sms.Throttled} {
			t.Run(http.StatusText(status), func(t *testing.T) {
				hung := make(chan struct{})
				srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Length", "100")
					w.WriteHeader(status)
					_, _ = io.WriteString(w, c.taken[:5])
					_ = http.NewResponseController(w).Flush()
					<-hung
				})
				defer close(hung)
				wantClass(t, one(t, c.start(t, srv.URL, 200*time.Millisecond), text(t, 1, "Tea?")), class)
			})
		}
	})
}

// TestEndlessAnswer: an answer without end is read no further than it can matter.
func TestEndlessAnswer(t *testing.T) {
	each(t, func(t *testing.T, c carrier) {
		srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			for page := strings.Repeat(" ", 4096); ; {
				if _, err := io.WriteString(w, page); err != nil {
					return
				}
			}
		})
		wantClass(t, one(t, c.start(t, srv.URL, 5*time.Second), text(t, 1, "Tea?")), sms.Unknown)
	})
}

// TestUntil: after its time nothing is written, also when that comes while the connection is being made.
func TestUntil(t *testing.T) {
	each(t, func(t *testing.T, c carrier) {
		var calls atomic.Int32
		srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			_, _ = io.WriteString(w, c.taken)
		})
		g := c.start(t, srv.URL, 0)
		wantClass(t, one(t, g, text(t, 1, "Tea?")), 0) // now there is an idle connection
		late := text(t, 2, "Tea?")
		late.Until = time.Now()
		wantClass(t, one(t, g, late), sms.NotSent)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if o := g.Submit(ctx, text(t, 3, "Tea?")); sms.ClassOf(o[0].Err) != sms.NotSent {
			t.Errorf("of a context that is done: %v", o[0].Err)
		}
		if calls.Load() != 1 {
			t.Errorf("%d calls", calls.Load())
		}
	})
}

// TestUntilWhileConnecting: the time runs out while the connection is being made.
func TestUntilWhileConnecting(t *testing.T) {
	var calls atomic.Int32
	srv := serve(t, func(http.ResponseWriter, *http.Request) { calls.Add(1) })
	until := time.Now().Add(100 * time.Millisecond)
	slow := func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		<-time.After(time.Until(until) + time.Millisecond)
		return conn, err
	}
	req, err := http.NewRequest(http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, failure := smshttp.Do(t.Context(), slow, until, req); failure == nil || failure.Class != sms.NotSent {
		t.Errorf("%d %v", status, failure)
	}
	if calls.Load() != 0 {
		t.Error("it was written")
	}
}

// TestBrokenConnection: a server that reads a request on a connection it has used before, and closes it. net/http would write a GET again on a new one.
func TestBrokenConnection(t *testing.T) {
	each(t, func(t *testing.T, c carrier) {
		var calls atomic.Int32
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body)
			if calls.Add(1)%2 == 0 {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				conn.Close()
				return
			}
			_, _ = io.WriteString(w, c.taken)
		})
		g := c.start(t, srv.URL, 0)
		for n, want := range []sms.Class{0, sms.Unknown, 0, sms.Unknown} {
			wantClass(t, one(t, g, text(t, byte(n), "Tea?")), want)
		}
		if calls.Load() != 4 {
			t.Errorf("%d requests of 4 messages", calls.Load())
		}
	})
}

// TestIdleConnectionClosed: a carrier closes idle connections as it likes; the next message takes a new one and is sent once.
func TestIdleConnectionClosed(t *testing.T) {
	each(t, func(t *testing.T, c carrier) {
		var calls atomic.Int32
		srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			_, _ = io.WriteString(w, c.taken)
		})
		g := c.start(t, srv.URL, 0)
		for n := range byte(5) {
			o := one(t, g, text(t, n, "Tea?"))
			if class := sms.ClassOf(o.Err); class != 0 && class != sms.Unknown {
				t.Error(o.Err)
			}
			srv.CloseClientConnections()
		}
		if calls.Load() > 5 {
			t.Errorf("%d requests of 5 messages", calls.Load())
		}
	})
}

// TestGarbage: garbage instead of HTTP was written to, so it is unknown.
func TestGarbage(t *testing.T) {
	each(t, func(t *testing.T, c carrier) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = http.ReadRequest(bufio.NewReader(conn))
				_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.2\r\n")
				conn.Close()
			}
		}()
		wantClass(t, one(t, c.start(t, "http://"+l.Addr().String(), 0), text(t, 1, "Tea?")), sms.Unknown)
	})
}
