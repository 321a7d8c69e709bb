package main

import (
	"encoding/json"
	"testing"

	"github.com/seed-7a41469f/godwit/clienttest/loadgen"
)

// TestSMS runs both loads for a moment, on a broker that they build: every message is submitted once and reported.
func TestSMS(t *testing.T) {
	exit, stdout, stderr := execute(t, "sms", "--messages", "300", "--senders", "7", "--json")
	var r loadgen.SMSResult
	if err := json.Unmarshal([]byte(stdout), &r); exit != 0 || err != nil {
		t.Fatalf("exit status %d, %v: %s %s", exit, err, stdout, stderr)
	}
	if r.Tally.Submits != 300 || r.Tally.Delivered != 300 || r.PerSecond == 0 || r.DLR.Max == 0 || r.Receipt.Max < r.DLR.P50 {
		t.Errorf("%+v", r)
	}
}

func TestSMSDown(t *testing.T) {
	exit, stdout, stderr := execute(t, "sms-down", "--messages", "300", "--senders", "7", "--rate", "300", "--rest", "1s", "--json")
	var r loadgen.SMSDownResult
	if err := json.Unmarshal([]byte(stdout), &r); exit != 0 || err != nil {
		t.Fatalf("exit status %d, %v: %s %s", exit, err, stdout, stderr)
	}
	if r.Tally.Submits != 300 || r.Tally.Delivered != 300 || r.Ratio == 0 || r.Ratio > 1.1 || r.RSSSettled == 0 {
		t.Errorf("%+v", r)
	}
}
