package main

import (
	"encoding/json"
	"testing"
)

// TestDoors connects by each door of brokers that it builds; what they cost says nothing for so few.
func TestDoors(t *testing.T) {
	exit, stdout, stderr := execute(t, "doors", "--connections", "3", "--hold", "1ms", "--json")
	var all []doorResult
	if err := json.Unmarshal([]byte(stdout), &all); exit != 0 || err != nil || len(all) != len(doorNames) {
		t.Fatalf("exit status %d, %v: %s %s", exit, err, stdout, stderr)
	}
	for i, r := range all {
		if r.Door != doorNames[i] || r.Connections != 3 || r.RSSAfter == 0 {
			t.Errorf("%+v", r)
		}
	}
}
