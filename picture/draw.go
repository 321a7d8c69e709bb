package picture

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// Full draws the picture with both lanes.
func Full(p Path, zone *time.Location) string {
	f := read(p, zone)
	from := label(p.Message.From)
	margin := utf8.RuneCountInString(from) + 12 // of the switch
	stem := strings.Repeat(" ", margin)

	var b strings.Builder
	head := fmt.Sprintf(" %s ●%s● Godwit", from, strings.Repeat("─", margin-3-utf8.RuneCountInString(from)))
	fmt.Fprintf(&b, "%s%s\n", pad(head, 60), label(p.Message.To))
	question, step := f.question()
	fmt.Fprintf(&b, "%s│ %s  (%s)\n", pad("   "+f.clock(p.Message.Created), margin), question, step)
	draw(&b, pad("   stored ✓", margin), "├", "│", f.app(), "S3")
	draw(&b, stem, "╰", " ", f.sms(), "S4")
	return b.String()
}

// question is S2: does the recipient have the app? An SMS that came in (S4.1) has it behind it.
func (f facts) question() (text, step string) {
	forbidden := f.m.State == "failed" && f.fallback == nil && !f.ended()
	switch {
	case f.m.Root == rootMO:
		return "an SMS came in", "S4.1"
	case !f.number():
		return "a name: reached by the app only", "S2"
	case f.m.Reason == delivery.NotRegistered, f.fallback != nil && f.fallback.Reason == delivery.NotRegistered, forbidden:
		return "has the app?  no", "S2"
	case f.fallback != nil && f.fallback.Reason == "":
		return "has the app?  not asked", "S2"
	case f.undecided() && f.m.Root == rootSMS, f.m.Root == rootApp && f.pushed == nil && f.acked == nil:
		return "has the app?  not asked", "S2"
	case f.undecided():
		return "has the app?  not recorded yet", "S2"
	case f.noGateway() && f.fallback == nil && f.pushed == nil: // no app, none connected, or an SMS was asked for
		return "has the app?  not recorded", "S2"
	}
	return "has the app?  yes", "S2"
}

const laneWidth = 19

func draw(b *strings.Builder, stem, branch, below string, l lane, step string) {
	line := "┈"
	if l.thick {
		line = "━"
	}
	track := strings.Repeat(line, 2) + " " + l.name + " " + strings.Repeat(line, laneWidth-4-len(l.name))
	if l.mark == markDone && l.name == "app" {
		step = "S5"
	}
	for i, text := range l.texts {
		if i == 0 {
			fmt.Fprintf(b, "%s%s%s%c  %s  (%s)\n", stem, branch, track, l.mark, text, step)
			continue
		}
		fmt.Fprintf(b, "%s%s%s   %s\n", strings.Repeat(" ", utf8.RuneCountInString(stem)), below, strings.Repeat(" ", laneWidth), text)
	}
}

// Small is the picture in one line.
func Small(p Path, zone *time.Location) string {
	f := read(p, zone)
	at := moment(p.Message.At).In(zone).Format("15:04")
	switch p.Message.State {
	case "delivered":
		if p.Message.Via == "push" {
			return "✓✓ in the app " + at
		}
		return dotted("✉✓ SMS delivered "+at, f.bill())
	case "submitting":
		return "✉ SMS on its way"
	case "submitted":
		return dotted("✉ SMS with the carrier "+at, f.bill())
	case "unknown":
		return "? SMS: outcome unknown"
	case "waiting":
		return "⏸ " + f.waitsFor()
	case "failed":
		return "╳ not sent: " + sentence(p.Message.Reason)
	case "expired":
		return "⌛ expired " + at
	case "pushing":
		return "◔ calling the app"
	}
	return "✓ stored " + at
}

// Text tells the trail line by line.
func Text(p Path, zone *time.Location) string {
	f := read(p, zone)
	m := p.Message
	var b strings.Builder
	fmt.Fprintf(&b, "%s → %s   %s\n", label(m.From), label(m.To), f.headline())
	steps := p.Trail
	if len(steps) == 0 || steps[0].Step != "S1" {
		steps = append([]Step{{At: m.Created, Step: "S1", Event: "stored"}}, steps...)
	}
	for _, s := range steps {
		what := s.Event
		if s.Device != "" {
			what += " " + preposition(s.Event) + " " + s.Device
		}
		if s.Reason != "" {
			what += ": " + sentence(s.Reason)
		}
		line := fmt.Sprintf("%s  %-2s  %s", moment(s.At).In(zone).Format("15:04:05.000"), s.Step, what)
		if why := dotted(s.Evidence, s.Cost); why != "" {
			line = pad(line+" ", 62) + why
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	if m.Key != "" {
		fmt.Fprintf(&b, "key %s\n", m.Key)
	}
	return b.String()
}

func preposition(event string) string {
	switch event {
	case delivery.EventPushed:
		return "to"
	case delivery.EventWithdrawn:
		return "from"
	}
	return "by"
}

func (f facts) headline() string {
	after := " after " + took(f.m.Created, f.m.At)
	price := ""
	if f.m.Price != "" {
		price = ", " + f.m.Price
	}
	switch f.m.State {
	case "delivered":
		if f.m.Via == "push" {
			return "in the app" + after
		}
		return "SMS delivered" + after + price
	case "submitted":
		return "SMS with the carrier" + after + price
	case "failed":
		return "not sent: " + sentence(f.m.Reason)
	case "waiting":
		return f.waitsFor()
	}
	return f.m.State + " since " + f.clock(f.m.At)
}

// waitsFor is what a waiting message waits for: without a gateway it becomes an SMS as soon as there is one, otherwise never.
func (f facts) waitsFor() string {
	if f.noGateway() {
		return waitsForGateway
	}
	return "waits for the app: " + sentence(f.m.Reason)
}

// label is how an address is shown: with + when it is a number.
func label(address string) string {
	if _, number := contacts.Address(address).Number(); number {
		return "+" + address
	}
	return address
}

func dotted(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	}
	return a + " · " + b
}

// pad fills with blanks up to a width in characters, at least one.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(1, width-utf8.RuneCountInString(s)))
}
