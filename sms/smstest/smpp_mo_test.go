package smstest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/sms/smstest"
)

var phone, own = smstest.Phone("4915112345678"), smstest.Phone("4915100000000")

// TestMOForms: the octets of an MO in each form.
func TestMOForms(t *testing.T) {
	a, b := strings.Repeat("a", 153), strings.Repeat("b", 17)
	const sar = "\x02\x0c\x00\x02\x01\x07\x02\x0e\x00\x01"
	for _, x := range []struct {
		name  string
		mo    smstest.MO
		parts []string // esm_class, then data_coding, then what follows sm_length
	}{
		{"single", smstest.MO{Text: "hi {€}"}, []string{"\x00\x00hi \x1b\x28\x1b\x65\x1b\x29"}},
		{"single of 160", smstest.MO{Text: a + b[:7]}, []string{"\x00\x00" + a + b[:7]}},
		{"UCS-2 by itself", smstest.MO{Text: "你👋"}, []string{"\x00\x08\x4f\x60\xd8\x3d\xdc\x4b"}},
		{"Latin-1", smstest.MO{Text: "é?", Coding: 3}, []string{"\x00\x03\xe9?"}},
		{"long by itself", smstest.MO{Text: a + b, Ref: 7}, []string{"\x40\x00\x05\x00\x03\x07\x02\x01" + a, "\x40\x00\x05\x00\x03\x07\x02\x02" + b}},
		{"udh16, disordered and doubled", smstest.MO{Text: a + b, Ref: 0x107, Concat: smstest.UDH16, Parts: []int{2, 1, 2}},
			[]string{"\x40\x00\x06\x08\x04\x01\x07\x02\x02a" + b, "\x40\x00\x06\x08\x04\x01\x07\x02\x01" + a[:152], "\x40\x00\x06\x08\x04\x01\x07\x02\x02a" + b}},
		{"sar, one left out", smstest.MO{Text: a + b, Ref: 0x107, Concat: smstest.SAR, Parts: []int{2}}, []string{"\x00\x00" + b + sar + "\x02\x02\x0f\x00\x01\x02"}},
		{"payload", smstest.MO{Text: a + b, Concat: smstest.Payload}, []string{"\x00\x00\x04\x24\x00\xaa" + a + b}},
		{"udh8 of one", smstest.MO{Text: "a", Concat: smstest.UDH8, Ref: 9}, []string{"\x40\x00\x05\x00\x03\x09\x01\x01a"}},
		{"a pair stays whole", smstest.MO{Text: strings.Repeat("你", 66) + "👋你你你", Ref: 7}, []string{
			"\x40\x08\x05\x00\x03\x07\x02\x01" + strings.Repeat("\x4f\x60", 66), "\x40\x08\x05\x00\x03\x07\x02\x02\xd8\x3d\xdc\x4b\x4f\x60\x4f\x60\x4f\x60"}},
		{"a pair is cut", smstest.MO{Text: "👋", Size: 2, Concat: smstest.UDH8, Ref: 7}, []string{
			"\x40\x08\x05\x00\x03\x07\x02\x01\xd8\x3d", "\x40\x08\x05\x00\x03\x07\x02\x02\xdc\x4b"}},
	} {
		s := serveSMPP(t, smstest.SMPPOptions{})
		c := bound(t, s, 1)
		x.mo.From, x.mo.To = phone, own
		if _, err := s.Send(x.mo); err != nil {
			t.Fatalf("%s: %v", x.name, err)
		}
		for i, part := range x.parts {
			short := len(part) - 2
			if n := strings.Index(part, "\x02\x0c\x00\x02"); n >= 0 {
				short = n - 2
			} else if x.mo.Concat == smstest.Payload {
				short = 0
			}
			want := "\x00\x01\x014915112345678\x00\x01\x014915100000000\x00" + part[:1] + "\x00\x00\x00\x00\x00\x00" + part[1:2] + "\x00" + string([]byte{byte(short)}) + part[2:]
			if got := c.take(); string(got) != want {
				t.Errorf("%s: part %d is\n%q, want\n%q", x.name, i+1, got, want)
			}
		}
		if err := s.Quiet(soon(t)); err != nil {
			t.Errorf("%s: %v", x.name, err)
		}
	}
}

// TestMOComesAgain: what is refused with 0x64 or not answered comes again; 0x65 ends it. MO tells the first answers.
func TestMOComesAgain(t *testing.T) {
	s := serveSMPP(t, smstest.SMPPOptions{Retry: 20 * time.Millisecond, Response: 300 * time.Millisecond})
	c := bound(t, s, transceiver)
	type result struct {
		statuses []uint32
		err      error
	}
	done := make(chan result, 1)
	go func() {
		statuses, err := s.MO(soon(t), smstest.MO{From: phone, To: own, Text: strings.Repeat("a", 400)})
		done <- result{statuses, err}
	}()
	var seqs []uint32
	for range 3 {
		seqs = append(seqs, c.want(5, 0, uint32(len(seqs)+1)).seq)
	}
	c.put(0x80000005, 0, seqs[2], []byte{0})
	c.put(0x80000005, 0x64, seqs[0], []byte{0})
	again := c.next() // the first; the second is not answered
	if !bytes.Contains(again.body, []byte("\x03\x01aaa")) {
		t.Errorf("%q came again", again.body)
	}
	c.put(0x80000005, 0x65, again.seq, []byte{0})
	again = c.next()
	if !bytes.Contains(again.body, []byte("\x03\x02aaa")) {
		t.Errorf("%q came again", again.body)
	}
	c.put(0x80000005, 0, seqs[1], []byte{0}) // too late, and no violation
	c.put(0x80000005, 0, again.seq, []byte{0})
	if r := <-done; r.err != nil || !slices.Equal(r.statuses, []uint32{0x64, 0, 0}) {
		t.Errorf("answered %x, %v", r.statuses, r.err)
	}
	if err := s.Quiet(soon(t)); err != nil {
		t.Error(err)
	}
	if d := s.Deliveries(); !slices.Equal(d[0].Answers, []uint32{0x64, 0x65}) || d[0].Sent != 2 || d[1].Sent != 2 || d[2].Sent != 1 || d[0].ID != d[2].ID || d[1].Part != 2 {
		t.Errorf("deliveries %+v", d)
	}
	if v := s.Violations(); len(v) != 0 {
		t.Errorf("violations %q", v)
	}
}

// TestHold: nothing is delivered until Release, nor to a transmitter, and not more at once than Deliveries.
func TestHold(t *testing.T) {
	s := serveSMPP(t, smstest.SMPPOptions{Deliveries: 2})
	s.Hold()
	tx, rx := bound(t, s, 2), bound(t, s, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := s.MO(ctx, smstest.MO{From: phone, To: own, Text: "1"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	for _, text := range []string{"2", "3"} {
		if _, err := s.Send(smstest.MO{From: phone, To: own, Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	rx.silent()
	s.Release()
	one, two := rx.next(), rx.next()
	rx.silent()
	rx.put(0x80000005, 0, one.seq, []byte{0})
	three := rx.next()
	if got := string([]byte{one.body[len(one.body)-1], two.body[len(two.body)-1], three.body[len(three.body)-1]}); got != "123" {
		t.Errorf("%q came", got)
	}
	tx.silent()
	rx.Close() // without answers
	rx = bound(t, s, 1)
	rx.take()
	rx.take()
	if err := s.Quiet(soon(t)); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNoMO(t *testing.T) {
	s := serveSMPP(t, smstest.SMPPOptions{})
	for name, mo := range map[string]smstest.MO{
		"no such segment": {Text: "a", Parts: []int{2}},
		"no such form":    {Text: "a", Concat: "typo"},
		"no such letter":  {Text: "你", Coding: 3},
		"no alphabet":     {Text: "a", Coding: 4},
		"too long":        {Text: strings.Repeat("a", 300), Size: 1},
	} {
		if _, err := s.MO(t.Context(), mo); err == nil {
			t.Errorf("%s: it was sent", name)
		}
	}
}

// TestServeSMPP drives a server as another process would: by its ports only.
func TestServeSMPP(t *testing.T) {
	var ls [2]net.Listener
	for i := range ls {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ls[i] = l
	}
	done := make(chan error, 1)
	go func() { done <- smstest.ServeSMPP(ls[0], ls[1], smstest.SMPPOptions{}) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	call := func(method, path string, in any) (status int, body string) {
		t.Helper()
		b, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(soon(t), method, "http://"+ls[1].Addr().String()+path, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		out, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(out)
	}
	post := func(path string, in any, want int) string {
		t.Helper()
		got, out := call("POST", path, in)
		if got != want {
			t.Fatalf("POST %s: %d %s", path, got, out)
		}
		return out
	}
	dial := func() *raw { return dialRaw(t, ls[0].Addr().String()) }

	post("/bind?n=1", smstest.BindFault{Status: 0x0E}, 204)
	c := dial()
	c.want(0x80000009, 0x0E, c.send(9, octets(t, "00 00 00 34 00 00 00")))
	c = dial()
	c.want(0x80000009, 0, c.send(9, octets(t, "00 00 00 34 00 00 00")))
	post("/fault?n=1", smstest.SMPPFault{Instead: smstest.NoAnswer, DLR: smstest.NoDLR}, 204)
	post("/fault?n=-1", smstest.SMPPFault{Status: 0x58}, 204)
	c.send(4, short(0, 0, "one"))
	c.want(0x80000004, 0x58, c.send(4, short(0, 0, "two")))
	post("/fault?n=0", nil, 204)
	c.want(0x80000004, 0, c.send(4, body{text: "three"}.octets()))
	post("/hold", nil, 204)
	post("/mo", smstest.MO{From: phone, To: own, Text: "vier"}, 200)
	post("/release", nil, 204)
	if b := c.take(); !bytes.HasSuffix(b, []byte("vier")) {
		t.Errorf("%q", b)
	}
	out := make(chan string, 1)
	go func() { out <- post("/mo?wait=10s", smstest.MO{From: phone, To: own, Text: "fünf"}, 200) }()
	c.take()
	if got := <-out; got != "[0]\n" {
		t.Errorf("POST /mo?wait: %q", got)
	}
	post("/mo?wait=1ms", smstest.MO{From: phone, To: own, Text: "sechs"}, 504)
	post("/do?what=fin", nil, 204)
	for range 3 {
		if _, err := c.read(); err != nil {
			break
		}
	}
	post("/stop", nil, 204)
	post("/start", nil, 204)
	c = dial()
	c.want(0x80000001, 0, c.send(1, octets(t, "00 00 00 34 00 00 00")))
	c.take()
	c.want(0x80000004, 0x04, c.send(4, short(0, 0, "no")))
	for path, want := range map[string]int{"/log": 2, "/tries": 4, "/violations": 1, "/deliveries": 3, "/sessions": 3} {
		status, body := call("GET", path, nil)
		if status != 200 || strings.Count(body, "\n") != want {
			t.Errorf("GET %s: %d %s", path, status, body)
		}
	}
	_, log := call("GET", "/log", nil)
	var texts []string
	for line := range strings.Lines(log) {
		var r smstest.Submitted
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		texts = append(texts, fmt.Sprint(r.Text, r.Fault.Instead, r.Dest.Addr))
	}
	if !slices.Equal(texts, []string{"onenone4915112345678", "three4915112345678"}) {
		t.Errorf("the log has %q", texts)
	}
	for path, in := range map[string]any{"/fault?n=x": nil, "/fault?n=1": map[string]int{"typo": 1}, "/fault?n=2": smstest.SMPPFault{Instead: "typo"},
		"/bind?n=1": smstest.BindFault{Instead: "typo"}, "/do?what=typo": nil, "/mo": smstest.MO{Concat: "typo"}, "/mo?wait=1": smstest.MO{}, "/start": nil} {
		post(path, in, 400)
	}
	ls[1].Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	c.ended()
}
