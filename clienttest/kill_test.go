package clienttest_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/clienttest/killloop"
	"github.com/seed-7a41469f/godwit/clienttest/leak"
)

// An output is what processes say, to either of their streams.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// TestKill loads the built `godwit serve` and kills it, again and again: nothing that was acknowledged is lost, disordered or created twice.
func TestKill(t *testing.T) {
	both(t, func(t *testing.T, v clienttest.Version) {
		log := &output{}
		r, err := killloop.Run(t.Context(), killloop.Config{
			Command: []string{clienttest.Binary(t), "serve"},
			Env: []string{
				"GODWIT_DATA={data}", "GODWIT_LISTEN__MQTT=127.0.0.1:{port}", "GODWIT_LISTEN__HTTP=127.0.0.1:{port2}",
				"GODWIT_LIMITS__SEND_RATE=100000/s", "GODWIT_LIMITS__DISK_FREE=0",
			},
			Data: t.TempDir(), Version: byte(v), Kills: *kills, UpMax: time.Second, Rate: 300, Output: log,
		})
		t.Logf("%+v", r)
		leak.Keep(t, log.String())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Check(); err != nil {
			t.Errorf("seed %d: %v", r.Seed, err)
		}
		if r.Kills != *kills || r.Resent == 0 || r.Arrived < r.Acknowledged || r.Acknowledged == 0 {
			t.Errorf("the loop did not do its work: %+v", r)
		}
	})
}
