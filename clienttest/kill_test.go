package clienttest_test

import (
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/clienttest/killloop"
)

// TestKill loads the built `godwit serve` and kills it, again and again: nothing that was acknowledged is lost, disordered or created twice.
func TestKill(t *testing.T) {
	both(t, func(t *testing.T, v clienttest.Version) {
		r, err := killloop.Run(t.Context(), killloop.Config{
			Command: []string{clienttest.Binary(t), "serve"},
			Env: []string{
				"GODWIT_DATA={data}", "GODWIT_LISTEN__MQTT=127.0.0.1:{port}", "GODWIT_LISTEN__HTTP=127.0.0.1:{port2}",
				"GODWIT_LIMITS__SEND_RATE=100000/s", "GODWIT_LIMITS__DISK_FREE=0",
			},
			Data: t.TempDir(), Version: byte(v), Kills: *kills, UpMax: time.Second, Rate: 300,
		})
		t.Logf("%+v", r)
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
