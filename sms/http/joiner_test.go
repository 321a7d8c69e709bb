package smshttp_test

import (
	"net/url"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// seg is the call of a segment.
func seg(reference byte, count, number int, id, text string) url.Values {
	return values(moCall, "id", id, "text", text, "udh", string([]byte{5, 0, 3, reference, byte(count), byte(number)}))
}

// TestKannelLongMO: a conversation about segments.
func TestKannelLongMO(t *testing.T) {
	sink := newInbox(1)
	_, mo := callbacks(t, sink, nil)
	step := func(what string, q url.Values, want int, texts ...string) {
		t.Helper()
		if rec := get(t, mo, q); rec.Code != want {
			t.Errorf("%s: %d %s, want %d", what, rec.Code, rec.Body, want)
		}
		if len(sink.mos) != len(texts) {
			t.Fatalf("%s: %+v, want %q", what, sink.mos, texts)
		}
		for i, text := range texts {
			if sink.mos[i].Text != text {
				t.Errorf("%s: %q, want %q", what, sink.mos[i].Text, text)
			}
		}
	}
	a1, a2 := seg(7, 2, 1, "a1", "Hello "), seg(7, 2, 2, "a2", "world")
	b1, b2 := seg(7, 2, 1, "b1", "Bye "), seg(7, 2, 2, "b2", "now")
	other := values(moCall, "from", "4917604069004", "id", "o1", "text", "?", "udh", "\x05\x00\x03\x07\x02\x01")
	step("the second comes first", a2, 503)
	step("again", a2, 503)
	step("the same reference of another phone", other, 503)
	step("the first, and the store fails", a1, 503)
	step("the first again", a1, 200, "Hello world")
	if sink.mos[0].ID != "a1" {
		t.Errorf("%+v", sink.mos)
	}
	step("the second, which was not acknowledged", a2, 200, "Hello world")
	step("the same reference, another message", b1, 503, "Hello world")
	step("the first message's once more", a1, 200, "Hello world")
	step("whole", b2, 200, "Hello world", "Bye now")
	step("a header that is no concatenation", values(moCall, "id", "p", "text", "port", "udh", "\x06\x05\x04\x15\x81\x00\x00"), 200, "Hello world", "Bye now", "port")
	step("a header that is broken", values(moCall, "id", "q", "text", "broken", "udh", "\x05\x00\x03\x01"), 200, "Hello world", "Bye now", "port", "broken")
	step("segment 3 of 2", values(moCall, "id", "r", "text", "3/2", "udh", "\x05\x00\x03\x01\x02\x03"), 200, "Hello world", "Bye now", "port", "broken", "3/2")
	step("one of one", values(moCall, "id", "s", "text", "1/1", "udh", "\x05\x00\x03\x01\x01\x01"), 200, "Hello world", "Bye now", "port", "broken", "3/2", "1/1")
}

// TestKannelLongMOCutCharacter: an emoji that the phone has cut in two is whole again.
func TestKannelLongMOCutCharacter(t *testing.T) {
	sink := newInbox(0)
	_, mo := callbacks(t, sink, nil)
	for i, octets := range []string{"\x83\x36\xd8\x3d", "\xde\x00\x83\x36"} {
		q := seg(1, 2, i+1, strconv.Itoa(i+1), octets)
		q.Set("coding", "2")
		get(t, mo, q)
	}
	if len(sink.mos) != 1 || sink.mos[0].Text != "茶😀茶" {
		t.Errorf("%+v", sink.mos)
	}
}

// TestKannelLongMOPartLost: after five minutes what has come is given, with an ellipsis for the rest.
func TestKannelLongMOPartLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := newInbox(0)
		_, mo := callbacks(t, sink, nil)
		one, four := seg(7, 5, 1, "one", "We meet at "), seg(7, 5, 4, "four", "see you")
		if a, b := get(t, mo, one).Code, get(t, mo, four).Code; a != 503 || b != 503 {
			t.Fatalf("%d %d", a, b)
		}
		time.Sleep(5*time.Minute - time.Second)
		if code := get(t, mo, one).Code; code != 503 {
			t.Errorf("%d", code)
		}
		time.Sleep(2 * time.Second)
		if a, b := get(t, mo, four).Code, get(t, mo, one).Code; a != 200 || b != 200 {
			t.Errorf("%d %d", a, b)
		}
		if len(sink.mos) != 1 || sink.mos[0].Text != "We meet at …see you…" || sink.mos[0].ID != "one" {
			t.Errorf("%+v", sink.mos)
		}
		if code := get(t, mo, seg(7, 5, 2, "two", "six, ")).Code; code != 503 { // it came after all: a message of its own, in its time
			t.Errorf("%d", code)
		}
		time.Sleep(6 * time.Minute)
		if code := get(t, mo, seg(7, 5, 2, "two", "six, ")).Code; code != 200 || sink.mos[1].Text != "…six, …" {
			t.Errorf("%d %+v", code, sink.mos)
		}
	})
}

// TestKannelLongMOFlood: segments of messages that never become whole do not fill the memory, and what is repeated is not lost.
func TestKannelLongMOFlood(t *testing.T) {
	sink := newInbox(0)
	_, mo := callbacks(t, sink, nil)
	get(t, mo, seg(7, 2, 1, "a1", "Hello "))
	for i := range 3000 {
		if code := get(t, mo, seg(byte(i), 255, 1+i%255, strconv.Itoa(i), "x")).Code; code != 503 {
			t.Fatalf("%d", code)
		}
	}
	get(t, mo, seg(7, 2, 1, "a1", "Hello "))
	if code := get(t, mo, seg(7, 2, 2, "a2", "world")).Code; code != 200 || len(sink.mos) != 1 || sink.mos[0].Text != "Hello world" {
		t.Errorf("%d %+v", code, sink.mos)
	}
}
