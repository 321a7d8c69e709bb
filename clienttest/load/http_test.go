package main

import (
	"encoding/json"
	"testing"

	"github.com/seed-7a41469f/godwit/clienttest/loadgen"
)

// TestHTTP posts for a moment to a broker that it builds: whatever was answered 202 is received once, at once or by receivers that come back.
func TestHTTP(t *testing.T) {
	for name, args := range map[string][]string{"connected": nil, "away": {"--away"}} {
		t.Run(name, func(t *testing.T) {
			exit, stdout, stderr := execute(t, append([]string{"http", "--connections", "4", "--warmup", "50ms", "--duration", "200ms", "--json"}, args...)...)
			var r loadgen.HTTPResult
			if err := json.Unmarshal([]byte(stdout), &r); exit != 0 || err != nil {
				t.Fatalf("exit status %d, %v: %s %s", exit, err, stdout, stderr)
			}
			if r.Tally.Sent == 0 || r.Tally.Received != r.Tally.Sent || r.Answer.P50 <= 0 || (r.Latency.P50 > 0) != (args == nil) {
				t.Errorf("%+v", r)
			}
		})
	}
}
