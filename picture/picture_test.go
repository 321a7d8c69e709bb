package picture_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/picture"
	"github.com/seed-7a41469f/godwit/sms"
)

var update = flag.Bool("update", false, "write the golden files anew")

var start = time.Date(2026, 11, 24, 10, 2, 7, 112e6, time.UTC)

func at(d time.Duration) time.Time { return start.Add(d) }

const number = "8613800138000"

// asked is a message to sms/….
func asked(m *delivery.Message) *delivery.Message {
	m.Root = delivery.RootSMS
	return m
}

// forTheApp is a message to app/….
func forTheApp(m *delivery.Message) *delivery.Message {
	m.Root = delivery.RootApp
	return m
}

// message builds one that was accepted at start and is settled unless due is set.
func message(to contacts.Address, state delivery.State, via delivery.Via, reason delivery.Reason, changed time.Duration, trail ...delivery.Step) *delivery.Message {
	m := &delivery.Message{From: "ann", To: to, Root: delivery.RootTo, State: state, Via: via, Reason: reason, Accepted: start, At: at(changed), Trail: trail}
	m.ID = delivery.NewID(delivery.Position(0).After(start), to)
	return m
}

func step(d time.Duration, step, event, device string, reason delivery.Reason, evidence string) delivery.Step {
	return delivery.Step{At: at(d), Step: step, Event: event, Device: device, Reason: reason, Evidence: evidence}
}

func sent(m *delivery.Message, segments int, price sms.Money) *delivery.Message {
	m.SMS = &delivery.Leg{Price: price, Segments: make([]delivery.Segment, segments)}
	m.SMS.Segments[0].ID = "7f3a"
	return m
}

func open(m *delivery.Message) *delivery.Message {
	m.Due = at(time.Hour)
	return m
}

var cents = sms.Money{Micros: 50_000, Currency: "EUR"}

var ms = time.Millisecond

func noAnswer() []delivery.Step {
	return []delivery.Step{
		step(ms, "S3", delivery.EventPushed, "pixel7", "", ""),
		step(15*time.Second, "S4", delivery.EventFallback, "pixel7", delivery.NoAnswer, "push.ack_timeout"),
		step(15*time.Second, "S4", delivery.EventWithdrawn, "pixel7", "", ""),
		step(15*time.Second, "S4", delivery.EventClaimed, "", "", "carrier"),
		step(15*time.Second+275*ms, "S4", delivery.EventTaken, "", "", "carrier: id 7f3a, 1 segments"),
	}
}

func unregistered(reason delivery.Reason) []delivery.Step {
	return []delivery.Step{
		step(ms, "S4", delivery.EventFallback, "", reason, ""),
		step(ms, "S4", delivery.EventClaimed, "", "", "carrier"),
	}
}

func taken() delivery.Step {
	return step(300*ms, "S4", delivery.EventTaken, "", "", "carrier: id 7f3a, 1 segments")
}

var cases = map[string]*delivery.Message{
	"answer":    answer(),
	"accepted":  open(message(number, delivery.Accepted, 0, "", 0)),
	"asked_for": asked(open(message(number, delivery.Accepted, 0, "", 0))),
	"pushed": message(number, delivery.Delivered, delivery.ViaPush, "", 80*ms,
		step(ms, "S3", delivery.EventPushed, "pixel7", "", ""), step(81*ms, "S5", delivery.EventAcknowledged, "pixel7", "", "")),
	"no_answer": sent(message(number, delivery.Delivered, delivery.ViaSMS, delivery.NoAnswer, 19*time.Second,
		append(noAnswer(), step(19*time.Second, "S4", delivery.EventReport, "", "", "delivered "))...), 1, cents),
	"not_registered": sent(message(number, delivery.Submitted, delivery.ViaSMS, delivery.NotRegistered, 300*ms,
		append(unregistered(delivery.NotRegistered), taken())...), 1, sms.Money{}),
	"offline": sent(open(message(number, delivery.Submitted, delivery.ViaSMS, delivery.Offline, 300*ms,
		append(unregistered(delivery.Offline), taken())...)), 3, cents),
	"submitting": sent(open(message(number, delivery.Submitting, 0, delivery.Left, 2*ms, unregistered(delivery.Left)...)), 1, sms.Money{}),
	"both": sent(message(number, delivery.Delivered, delivery.ViaPush, "", 17*time.Second,
		append(noAnswer(), step(17*time.Second, "S5", delivery.EventAcknowledged, "pixel7", "", ""))...), 1, cents),
	"storm":   open(message(number, delivery.Accepted, 0, "", 0, step(time.Second, "S3", delivery.EventHeld, "", delivery.StormHold, "412 devices vanished"))),
	"unknown": sent(open(message(number, delivery.OutcomeUnknown, 0, delivery.OutcomeLost, time.Second, append(unregistered(delivery.NotRegistered), step(time.Second, "S4", delivery.EventUnknown, "", "", "unknown: connection reset"))...)), 1, cents),
	"failed_after_unknown": sent(message(number, delivery.Failed, 0, delivery.OutcomeLost, 3*time.Minute,
		append(unregistered(delivery.NotRegistered), step(time.Second, "S4", delivery.EventUnknown, "", "", ""))...), 1, cents),
	"undeliverable": sent(message(number, delivery.Failed, 0, delivery.Undeliverable, time.Minute,
		append(unregistered(delivery.NotRegistered), taken(), step(time.Minute, "S4", delivery.EventReport, "", "", "undelivered 0x0b"))...), 1, cents),
	"refused": sent(open(message(number, delivery.Accepted, 0, delivery.GatewayDown, 300*ms,
		append(unregistered(delivery.NotRegistered), step(300*ms, "S4", delivery.EventRefused, "", "", "temporary: try later"), step(300*ms, "S4", delivery.EventReleased, "", "", ""))...)), 1, sms.Money{}),
	"waiting":      open(message(number, delivery.Waiting, 0, delivery.NotText, 15*time.Second, step(15*time.Second, "S3", delivery.EventWaits, "", delivery.NotText, ""))),
	"gateway_down": open(message(number, delivery.Waiting, 0, delivery.GatewayDown, ms, step(ms, "S3", delivery.EventWaits, "", delivery.GatewayDown, ""))),
	"gateway_down_no_answer": open(message(number, delivery.Waiting, 0, delivery.GatewayDown, 15*time.Second,
		step(ms, "S3", delivery.EventPushed, "pixel7", "", ""), step(15*time.Second, "S3", delivery.EventWaits, "", delivery.GatewayDown, ""))),
	"name":         open(message("boiler", delivery.Waiting, 0, delivery.NoDevice, 0, step(0, "S3", delivery.EventWaits, "", delivery.NoDevice, ""))),
	"no_such_name": message("nobody", delivery.Failed, 0, delivery.NoSuchName, 0),
	"too_long":     message(number, delivery.Failed, 0, delivery.TooLong, ms, step(ms, "S4", delivery.EventFailed, "", delivery.TooLong, "")),
	"app_only":     forTheApp(open(message(number, delivery.Waiting, 0, delivery.AppOnly, ms, step(ms, "S3", delivery.EventWaits, "", delivery.AppOnly, "")))),
	"cancelled":    message(number, delivery.Failed, 0, delivery.Cancelled, ms, step(ms, "", delivery.EventOrdered, "", delivery.Cancelled, "")),
	"expired":      message(number, delivery.Expired, 0, delivery.TimeRanOut, time.Hour, step(time.Hour, "", delivery.EventExpired, "", "", "")),
	"sms_asked": sent(message(number, delivery.Submitted, delivery.ViaSMS, "", 300*ms,
		append(unregistered(""), step(2*ms, "S4", delivery.EventNoWayBack, "", "", ""), taken())...), 2, cents),
}

func answer() *delivery.Message {
	m := message("ann", delivery.Delivered, delivery.ViaPush, "", 80*ms, step(81*ms, "S5", delivery.EventAcknowledged, "pixel7", "", ""))
	m.From, m.Root = number, delivery.RootMO
	return m
}

func TestPictures(t *testing.T) {
	for name, m := range cases {
		t.Run(name, func(t *testing.T) {
			p := picture.Of(m)
			got := picture.Small(p, time.UTC) + "\n\n" + picture.Full(p, time.UTC) + "\n" + picture.Text(p, time.UTC)
			file := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestEveryLineEndsWithoutBlanks(t *testing.T) {
	for name, m := range cases {
		for _, line := range strings.Split(picture.Full(picture.Of(m), time.UTC), "\n") {
			if strings.TrimRight(line, " ") != line {
				t.Errorf("%s: %q", name, line)
			}
		}
	}
}

func TestJSON(t *testing.T) {
	p := picture.Of(cases["no_answer"])
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"message":{"id":"`, `"from":"ann"`, `"created":"2026-11-24T10:02:07.112Z"`, `"price":"0.05 EUR"`, `"sms_id":"7f3a"`, `"trail":[{"at":"2026-11-24T10:02:07.113Z","step":"S3","event":"pushed","device":"pixel7"}`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
	var again picture.Path
	if err := json.Unmarshal(text, &again); err != nil || !reflect.DeepEqual(again, p) {
		t.Errorf("%v: got %+v, want %+v", err, again, p)
	}
	if empty, _ := json.Marshal(picture.Of(cases["accepted"])); !strings.Contains(string(empty), `"trail":[]`) {
		t.Errorf("an empty trail is [], not null: %s", empty)
	}
}

// FuzzDraw draws what any server might answer.
func FuzzDraw(f *testing.F) {
	for _, m := range cases {
		text, err := json.Marshal(picture.Of(m))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var p picture.Path
		if json.Unmarshal(text, &p) != nil {
			return
		}
		if picture.Small(p, time.UTC) == "" || picture.Full(p, time.UTC) == "" || picture.Text(p, time.UTC) == "" {
			t.Error("nothing was drawn")
		}
	})
}
