package broker_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/sms"
)

const callbackSecret = "s3cr3t-of-the-carrier"

// A carrier is a gateway that only comes with callbacks.
type carrier struct {
	name  string
	enter chan struct{} // nil, or told of each DLR
	hold  chan struct{} // nil, or closed when the DLRs may go on
}

var _ sms.Gateway = (*carrier)(nil)

func (c *carrier) Name() string             { return c.name }
func (c *carrier) Abilities() sms.Abilities { return sms.Abilities{DLR: true} }
func (c *carrier) Submit(context.Context, sms.MT) []sms.Outcome {
	return nil
}
func (c *carrier) Run(ctx context.Context, _ sms.Sink) error {
	<-ctx.Done()
	return nil
}

// Callbacks has no MOs.
func (c *carrier) Callbacks(sink sms.Sink) (dlr, mo http.Handler) {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("key") != callbackSecret {
			http.Error(w, "wrong key", http.StatusForbidden)
			return
		}
		if c.enter != nil {
			c.enter <- struct{}{}
			<-c.hold
		}
		if err := sink.DLR(r.Context(), sms.DLR{Gateway: c.name, ID: "1", State: sms.DeliveredSMS}); err != nil {
			http.Error(w, "again", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}), nil
}

// silent hides the callbacks of a gateway.
type silent struct{ sms.Gateway }

func TestCallbacks(t *testing.T) {
	cfg := testConfig(t)
	cfg.Listen.PublicURL = "https://push.example.org"
	h := startWith(t, cfg, broker.Options{Gateways: []sms.Gateway{&carrier{name: "carrier"}, silent{&carrier{name: "silent"}}}})
	const right, wrong = "?key=" + callbackSecret, "?key=wrong-" + callbackSecret
	for _, c := range []struct {
		name, method, host, path string
		status                   int
	}{
		{"a report", "GET", "", "/gateway/carrier/dlr" + right, 204},
		{"a report, posted", "POST", "", "/gateway/carrier/dlr" + right, 204},
		{"by the public name", "POST", "push.example.org", "/gateway/carrier/dlr" + right, 204},
		{"by the public name in capitals, with a port", "POST", "PUSH.example.org:443", "/gateway/carrier/dlr" + right, 204},
		{"by another name", "POST", "evil.example", "/gateway/carrier/dlr" + right, 421},
		{"forged", "GET", "", "/gateway/carrier/dlr" + wrong, 403},
		{"forged, posted", "POST", "", "/gateway/carrier/dlr", 403},
		{"HEAD", "HEAD", "", "/gateway/carrier/dlr" + right, 405},
		{"PUT", "PUT", "", "/gateway/carrier/dlr" + right, 405},
		{"DELETE of an MO", "DELETE", "", "/gateway/carrier/mo" + right, 405},
		{"no MOs here", "POST", "", "/gateway/carrier/mo" + right, 404},
		{"no callbacks here", "GET", "", "/gateway/silent/dlr" + right, 404},
		{"unknown name", "GET", "", "/gateway/nobody/dlr" + right, 404},
		{"another case", "GET", "", "/gateway/Carrier/dlr" + right, 404},
		{"something else of it", "GET", "", "/gateway/carrier/status" + right, 404},
		{"more path", "GET", "", "/gateway/carrier/dlr/" + right, 404},
		{"less path", "GET", "", "/gateway/carrier" + right, 404},
		{"a slash in the name", "GET", "", "/gateway/..%2fcarrier/dlr" + right, 404},
		{"dots", "GET", "", "/gateway/%2e%2e/dlr" + right, 404},
		{"NUL", "GET", "", "/gateway/carrier%00/dlr" + right, 404},
		{"a long name", "GET", "", "/gateway/" + strings.Repeat("x", 4000) + "/dlr" + right, 404},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+h.where.HTTP+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = c.host
		if status := do(t, http.DefaultClient, req, nil); status != c.status {
			t.Errorf("%s: %d, want %d", c.name, status, c.status)
		}
	}
	var text string
	h.ask("GET", "/metrics", "", &text)
	for _, want := range []string{
		`godwit_dlr_total{gateway="carrier",state="delivered"} 4`, `godwit_dlr_total{gateway="silent",state="delivered"} 0`, `godwit_refused_total{reason="callback"} 2`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
	if log := h.log.String(); strings.Contains(log, callbackSecret) {
		t.Errorf("the log has the key: %s", log)
	}
	if log := h.log.String(); !strings.Contains(log, `"gateway":"carrier","kind":"","dlr":"https://push.example.org/gateway/carrier/dlr","message":"SMS gateway"`) {
		t.Errorf("the log does not tell of the callbacks: %s", log)
	}
}

// sinkFunc is a sink of DLRs.
type sinkFunc func(ctx context.Context) error

func (f sinkFunc) DLR(ctx context.Context, _ sms.DLR) error { return f(ctx) }
func (f sinkFunc) MO(ctx context.Context, _ sms.MO) error   { return f(ctx) }

func call(h http.Handler) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/gateway/carrier/dlr?key="+callbackSecret, nil))
	return w
}

func TestCallbacksWhileStopping(t *testing.T) {
	stopping := make(chan struct{})
	h := broker.Callbacks(stopping, &carrier{name: "carrier"}, sinkFunc(func(context.Context) error { return nil }))
	if w := call(h); w.Code != 204 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	close(stopping)
	if w := call(h); w.Code != 503 || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), `"code":"unavailable"`) {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestCallbackThatCannotBeStored(t *testing.T) {
	h := broker.Callbacks(nil, &carrier{name: "carrier"}, sinkFunc(func(context.Context) error { return errors.New("the disk is gone") }))
	if w := call(h); w.Code != 503 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A sink that hangs must not keep the carrier waiting for ever.
func TestCallbackHasADeadline(t *testing.T) {
	h := broker.Callbacks(nil, &carrier{name: "carrier"}, sinkFunc(func(ctx context.Context) error {
		if at, ok := ctx.Deadline(); !ok || time.Until(at) > 30*time.Second {
			t.Errorf("deadline %v, %v", at, ok)
		}
		return nil
	}))
	call(h)
}

func TestTooManyCallbacks(t *testing.T) {
	slow := &carrier{name: "carrier", enter: make(chan struct{}), hold: make(chan struct{})}
	h := broker.Callbacks(nil, slow, sinkFunc(func(context.Context) error { return nil }))
	var calls sync.WaitGroup
	for range broker.CallbacksAtOnce {
		calls.Go(func() {
			if w := call(h); w.Code != 204 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	for range broker.CallbacksAtOnce {
		<-slow.enter
	}
	if w := call(h); w.Code != 503 {
		t.Errorf("one too many: %d %s", w.Code, w.Body)
	}
	close(slow.hold)
	calls.Wait()
	slow.enter = nil
	if w := call(h); w.Code != 204 {
		t.Errorf("afterwards: %d %s", w.Code, w.Body)
	}
}
