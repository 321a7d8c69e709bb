package main_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/delivery"
)

type arrival struct{ Topic, ID, From, Text, Data, Via, At string }

func TestSendAndListen(t *testing.T) {
	s := serve(t, "")
	godwit(t, s.op("user", "add", "bo")...).want(t, 0, "")
	sent := object[struct{ ID, Key, To string }](t, godwit(t, append(s.as("ann", "send", "--key", "k1", "bo", "first"), "--json")...).want(t, 0, ""))
	if sent.To != "bo" || sent.Key != "k1" {
		t.Errorf("send: %+v", sent)
	}
	if again := object[struct{ ID, Key, To string }](t, godwit(t, append(s.as("ann", "send", "--key", "k1", "bo", "first"), "--json")...).want(t, 0, "")); again.ID != sent.ID {
		t.Errorf("the same key is another message: %s and %s", again.ID, sent.ID)
	}
	got := object[arrival](t, godwit(t, append(s.as("bo", "listen", "--count", "1"), "--json")...).want(t, 0, ""))
	if got.Text != "first" || got.From != "ann" || got.ID != sent.ID || got.Via != "push" || got.At == "" || got.Topic != "u/bo/in/ann/"+sent.ID {
		t.Errorf("listen: %+v", got)
	}

	listening := inBackground(t, append(s.as("bo", "listen"), "--json")...)
	r := godwitWith(t, "from standard input\n", append(s.as("ann", "send", "--wait", "bo", "-"), "--json")...).want(t, 0, "")
	receipts := objects[delivery.ReceiptBody](t, r)
	if last := receipts[len(receipts)-1]; last.State != "delivered" || last.Via != "push" || !last.Final || receipts[0].State != "accepted" {
		t.Errorf("receipts: %+v", receipts)
	}
	if line := listening.out.line(t, "standard input"); strings.Contains(line, "first") {
		t.Errorf("what was acknowledged came again: %s", line)
	}
	if r := listening.interrupt(); r.exit != 0 || r.err != "" {
		t.Errorf("listen ends with %d: %s", r.exit, r.err)
	}
}

func TestSendBySMS(t *testing.T) {
	s := serve(t, "sms: {numbers: [4917604069000]}")
	receipts := objects[delivery.ReceiptBody](t, godwit(t, append(s.as("ann", "send", "--wait", "+4917604069003", "Running late"), "--json")...).want(t, 0, ""))
	last := receipts[len(receipts)-1]
	if last.State != "submitted" || last.Via != "sms" || last.Reason != delivery.NotRegistered || !last.Final || last.Segments != 1 {
		t.Errorf("receipts: %+v", receipts)
	}
	var sms struct{ From, To, Text string }
	if err := json.Unmarshal([]byte(s.out.line(t, "Running late")), &sms); err != nil || sms.To != "4917604069003" || sms.Text != "ann: Running late" {
		t.Errorf("the SMS: %+v, %v", sms, err)
	}
	never := godwit(t, s.as("ann", "send", "--wait", "--timeout", "1s", "--sms", "never", "4917604069003", "app only")...).want(t, 1, "timeout: ")
	if !strings.Contains(never.out, "waiting\tapp_only") {
		t.Errorf("got %q", never.out)
	}
}

func TestSendAfter(t *testing.T) {
	s := serve(t, "")
	listening := inBackground(t, append(s.as("4917604069002", "listen"), "--json")...)
	godwit(t, s.as("ann", "send", "--wait", "--sms", "never", "4917604069002", "here?")...).want(t, 0, "") // once the listener has it
	listening.interrupt()
	receipts := objects[delivery.ReceiptBody](t, godwit(t, append(s.as("ann", "send", "--wait", "--after", "1s", "4917604069002", "gone"), "--json")...).want(t, 0, ""))
	if last := receipts[len(receipts)-1]; last.Via != "sms" || last.Reason != delivery.Left {
		t.Errorf("receipts: %+v", receipts)
	}
}

func TestListenComesBack(t *testing.T) {
	s := serve(t, "")
	listening := inBackground(t, append(s.as("bo", "listen"), "--json")...)
	godwit(t, s.op("user", "add", "bo")...)
	godwit(t, s.as("ann", "send", "bo", "before")...).want(t, 0, "")
	listening.out.line(t, "before")
	if r := s.interrupt(); r.exit != 0 {
		t.Fatalf("serve ends with %d: %s", r.exit, r.err)
	}
	listening.err.line(t, "connecting again")
	s.run(t, s.mqtt, "")
	godwit(t, s.as("ann", "send", "--wait", "bo", "after")...).want(t, 0, "")
	listening.out.line(t, `"text":"after"`)
}

// What others write must not move the cursor of who reads it.
func TestHostileText(t *testing.T) {
	s := serve(t, "")
	godwit(t, s.op("user", "add", "bo")...).want(t, 0, "")
	godwitWith(t, "\x1b[2J\u202egreen\r\nlast", s.as("ann", "send", "bo", "-")...).want(t, 0, "")
	r := godwit(t, s.as("bo", "listen", "--count", "1")...).want(t, 0, "")
	if strings.ContainsAny(r.out, "\x1b\u202e\r") || strings.Count(r.out, "\n") != 1 || !strings.Contains(r.out, "green") {
		t.Errorf("got %q", r.out)
	}
	godwitWith(t, "\xff\xfe", s.as("ann", "send", "bo", "-")...).want(t, 0, "")
	if got := object[arrival](t, godwit(t, append(s.as("bo", "listen", "--count", "1"), "--json")...).want(t, 0, "")); got.Text != "" || got.Data != "//4=" {
		t.Errorf("got %+v", got)
	}
}

// What came before the count is acknowledged, and nothing after it, however much there is.
func TestListenCounts(t *testing.T) {
	s := serve(t, "limits: {send_rate: 1000/s, disk_free: 0}")
	godwit(t, s.op("user", "add", "bo")...).want(t, 0, "")
	for i := range 20 {
		godwit(t, s.as("ann", "send", "bo", fmt.Sprint("message ", i))...).want(t, 0, "")
	}
	for from := 0; from < 20; from += 4 {
		got := objects[arrival](t, godwit(t, s.as("bo", "listen", "--json", "--count", "4")...).want(t, 0, ""))
		if len(got) != 4 || got[0].Text != fmt.Sprint("message ", from) || got[3].Text != fmt.Sprint("message ", from+3) {
			t.Fatalf("from %d on: %+v", from, got)
		}
		s.delivered(t, from+4)
	}
}

// delivered waits until so many messages are: acknowledgements reach the disk a moment after they came.
func (s *server) delivered(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		r := godwit(t, s.op("messages", "--state", "delivered")...).want(t, 0, "")
		if strings.Count(r.out, "\n") == n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("delivered: %s", r.out)
		}
	}
}
