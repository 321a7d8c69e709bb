// Package picture shows people why a message went the way it went: the JSON form of a message and its trail, and the path picture.
//
// In the picture two lanes leave the broker like a railway switch, the app above and SMS below. Thick is where the message went, dotted
// was not tried; ◔ waits, ● is done, ╳ is no, ? is not known. Every line says what, when and why in words. All of it is made from the JSON
// form alone by pure functions, so it is the same wherever it is drawn.
package picture

import (
	"slices"
	"strings"
	"time"

	"github.com/seed-7a41469f/godwit/delivery"
)

// A Path is a message and its trail.
type Path struct {
	Message Message `json:"message"`
	Trail   []Step  `json:"trail"`
}

// A Message is what is told of a message: the fields of a receipt, who sent it, when and how.
type Message struct {
	delivery.ReceiptBody
	From    string `json:"from"`
	Created string `json:"created"`
	Root    string `json:"root"` // to, app, sms, or mo: an SMS that came in
}

const (
	rootMO  = "mo"  // an SMS that came in
	rootSMS = "sms" // asked for as an SMS
	rootApp = "app" // waits for the app, whether there is one or not
)

var roots = [...]string{delivery.RootTo: "to", delivery.RootApp: rootApp, delivery.RootSMS: rootSMS, delivery.RootMO: rootMO}

// A Step is one line of the trail.
type Step struct {
	At       string          `json:"at"`
	Step     string          `json:"step,omitempty"`
	Event    string          `json:"event"`
	Device   string          `json:"device,omitempty"`
	Reason   delivery.Reason `json:"reason,omitempty"`
	Evidence string          `json:"evidence,omitempty"`
	Cost     string          `json:"cost,omitempty"`
}

// MessageOf returns the JSON form of a message.
func MessageOf(m *delivery.Message) Message {
	v := Message{ReceiptBody: delivery.ReceiptOf(m, m.State), From: string(m.From), Created: stamp(m.Accepted)}
	if int(m.Root) < len(roots) {
		v.Root = roots[m.Root]
	}
	return v
}

// Of returns the JSON form of a message and its trail.
func Of(m *delivery.Message) Path {
	p := Path{Message: MessageOf(m), Trail: make([]Step, len(m.Trail))}
	for i, s := range m.Trail {
		p.Trail[i] = Step{
			At: stamp(s.At), Step: s.Step, Event: s.Event, Device: s.Device, Reason: s.Reason, Evidence: s.Evidence, Cost: s.Cost.String(),
		}
	}
	slices.SortStableFunc(p.Trail, func(a, b Step) int { return strings.Compare(a.At, b.At) }) // a push is noted when it is known what came of it
	return p
}

func stamp(t time.Time) string { return t.UTC().Format(delivery.TimeFormat) }

// moment reads what stamp wrote; what is no time is the zero time.
func moment(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t
}
