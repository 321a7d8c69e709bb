package raw_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/seed-7a41469f/godwit/clienttest/raw"
)

func TestGoldenPackets(t *testing.T) {
	login := raw.Connect{Version: raw.V311, ClientID: "c", Username: "u", Password: "p", Keepalive: 60}
	five := raw.Connect{Version: raw.V5, ClientID: "c", Clean: true, SessionExpiry: 3600, ReceiveMaximum: 20}
	none := raw.UserProperty{Name: "receipts", Value: "none"}
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"CONNECT 3.1.1", login.Append(nil), "10 13 0004 4d515454 04 c0 003c 0001 63 0001 75 0001 70"},
		{"CONNECT 5", five.Append(nil), "10 16 0004 4d515454 05 02 0000 08 1100000e10 210014 0001 63"},
		{"SUBSCRIBE 3.1.1", raw.AppendSubscribe(nil, raw.V311, 1, "u/a/#", 1), "82 0a 0001 0005 752f612f23 01"},
		{"SUBSCRIBE 5", raw.AppendSubscribe(nil, raw.V5, 1, "u/a/#", 1), "82 0b 0001 00 0005 752f612f23 01"},
		{"PUBACK", raw.AppendPuback(nil, 0x1234), "40 02 1234"},
		{"PUBLISH 3.1.1", raw.NewTemplate(raw.V311, "to/a", 1, none).Append(nil, 7, false, []byte("hi")), "32 0a 0004 746f2f61 0007 6869"},
		{"PUBLISH again", raw.NewTemplate(raw.V311, "to/a", 1).Append(nil, 7, true, []byte("hi")), "3a 0a 0004 746f2f61 0007 6869"},
		{"PUBLISH QoS 0", raw.NewTemplate(raw.V311, "to/a", 0).Append(nil, 7, false, []byte("hi")), "30 08 0004 746f2f61 6869"},
		{
			"PUBLISH 5 with a property", raw.NewTemplate(raw.V5, "to/a", 1, none).Append(nil, 7, false, []byte("hi")),
			"32 1c 0004 746f2f61 0007 11 26 0008 7265636569707473 0004 6e6f6e65 6869",
		},
		{"PINGREQ", raw.AppendPingreq(nil), "c0 00"},
		{"DISCONNECT", raw.AppendDisconnect(nil), "e0 00"},
	} {
		want, err := hex.DecodeString(strings.ReplaceAll(c.want, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(c.got, want) {
			t.Errorf("%s:\n got %x\nwant %x", c.name, c.got, want)
		}
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, version := range []byte{raw.V311, raw.V5} {
		big := bytes.Repeat([]byte("x"), 40_000)
		topic := raw.NewTemplate(version, "to/a", 1, raw.UserProperty{Name: "sms", Value: "never"})
		stream := topic.Append(nil, 1, false, []byte("first"))
		stream = topic.Append(stream, 2, true, big)
		stream = raw.AppendPuback(stream, 3)
		r := raw.NewReader(iotest.OneByteReader(bytes.NewReader(stream)), 16, 1<<20)
		for i, want := range [][]byte{[]byte("first"), big} {
			p, err := next(t, r).Publish(version)
			if err != nil || string(p.Topic) != "to/a" || !bytes.Equal(p.Payload, want) || int(p.ID) != i+1 || p.Dup != (i == 1) {
				t.Fatalf("version %d, publish %d: id %d, dup %v, %d bytes to %q, %v", version, i, p.ID, p.Dup, len(p.Payload), p.Topic, err)
			}
		}
		if id, reason, err := next(t, r).Puback(); id != 3 || reason != 0 || err != nil {
			t.Fatalf("PUBACK %d, reason %d, %v", id, reason, err)
		}
		if _, err := r.Next(); err != io.EOF {
			t.Fatalf("at the end: %v", err)
		}
	}
}

func TestABatchComesFromOneRead(t *testing.T) {
	stream := raw.AppendPuback(raw.AppendPuback(raw.AppendPuback(nil, 1), 2), 3)
	r := raw.NewReader(bytes.NewReader(stream[:11]), 64, 64)
	next(t, r)
	if !r.Ready() {
		t.Fatal("the second frame was read with the first, but is not ready")
	}
	next(t, r)
	if r.Ready() {
		t.Fatal("half a frame counts as ready")
	}
	if _, err := r.Next(); err != io.ErrUnexpectedEOF {
		t.Fatalf("half a frame at the end: %v", err)
	}
}

func TestConnackTellsReceiveMaximum(t *testing.T) {
	body := []byte{1, 0, 10, 0x12, 0, 2, 'i', 'd', 0x24, 1, 0x21, 0, 32}
	c, err := raw.Frame{Type: raw.CONNACK, Body: body}.Connack(raw.V5)
	if err != nil || !c.SessionPresent || c.ReceiveMaximum != 32 {
		t.Fatalf("%+v, %v", c, err)
	}
}

func TestMalformed(t *testing.T) {
	for name, f := range map[string]raw.Frame{
		"topic longer than the packet":      {Type: raw.PUBLISH, Flags: 2, Body: []byte{0, 9, 'a'}},
		"no packet identifier":              {Type: raw.PUBLISH, Flags: 2, Body: []byte{0, 1, 'a', 0}},
		"properties longer than the packet": {Type: raw.PUBLISH, Flags: 2, Body: []byte{0, 1, 'a', 0, 1, 9}},
	} {
		if _, err := f.Publish(raw.V5); !errors.Is(err, raw.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, stream := range map[string][]byte{
		"remaining length of five bytes": {0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01},
		"frame above the limit":          {0x30, 0xFF, 0xFF, 0x7F},
	} {
		r := raw.NewReader(bytes.NewReader(stream), 16, 1<<20)
		if _, err := r.Next(); !errors.Is(err, raw.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzReader checks that cutting and parsing never panics, and that the cut does not depend on how the bytes arrive.
func FuzzReader(f *testing.F) {
	f.Add(raw.NewTemplate(raw.V5, "u/a/in/b/1", 1, raw.UserProperty{Name: "via", Value: "push"}).Append(nil, 1, false, []byte("hello")))
	f.Add(raw.AppendSubscribe(raw.Connect{Version: raw.V5, ClientID: "c", Username: "u", SessionExpiry: 1}.Append(nil), raw.V5, 1, "#", 1))
	f.Add(raw.AppendConnack(raw.AppendSuback(nil, raw.V5, 1, 1), raw.V5, true, 0))
	f.Fuzz(func(t *testing.T, stream []byte) {
		whole := frames(raw.NewReader(bytes.NewReader(stream), 64, 1<<12))
		slow := frames(raw.NewReader(iotest.OneByteReader(bytes.NewReader(stream)), 1, 1<<12))
		if len(whole) != len(slow) {
			t.Fatalf("%d frames from one read, %d byte by byte", len(whole), len(slow))
		}
	})
}

func frames(r *raw.Reader) (all []byte) {
	for {
		f, err := r.Next()
		if err != nil {
			return all
		}
		all = append(all, f.Type)
		for _, version := range []byte{raw.V311, raw.V5} {
			f.Publish(version)
			f.Connack(version)
			f.Suback(version)
			f.Subscribe(version)
		}
		f.Puback()
		f.Connect()
	}
}

func next(t *testing.T, r *raw.Reader) raw.Frame {
	t.Helper()
	f, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	return f
}
