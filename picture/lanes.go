package picture

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// The marks at the end of a lane.
const (
	markNone    = ' '
	markDone    = '●'
	markNo      = '╳'
	markWaits   = '◔'
	markUnknown = '?'
)

// A lane is one of the two ways, as far as the message went on it.
type lane struct {
	name  string
	thick bool
	mark  rune
	texts []string // the first stands on the lane, the others below it
}

// facts are the steps of the trail that the picture is made from; nil: there was none.
type facts struct {
	m                                                         Message
	pushed, acked, late, fallback, withdrawn, held, waits     *Step
	claimed, released, taken, refused, unknown, report, noWay *Step
	zone                                                      *time.Location
}

func read(p Path, zone *time.Location) facts {
	f := facts{m: p.Message, zone: zone}
	latest := map[string]**Step{
		delivery.EventAcknowledged: &f.acked, delivery.EventLateAck: &f.late, delivery.EventFallback: &f.fallback, delivery.EventWithdrawn: &f.withdrawn,
		delivery.EventHeld: &f.held, delivery.EventWaits: &f.waits, delivery.EventClaimed: &f.claimed, delivery.EventReleased: &f.released,
		delivery.EventTaken: &f.taken, delivery.EventRefused: &f.refused, delivery.EventUnknown: &f.unknown, delivery.EventReport: &f.report, delivery.EventNoWayBack: &f.noWay,
	}
	for i := range p.Trail {
		s := &p.Trail[i]
		if at, ok := latest[s.Event]; ok {
			*at = s
		}
		if s.Event == delivery.EventPushed && f.pushed == nil {
			f.pushed = s
		}
	}
	if f.acked == nil {
		f.acked = f.late
	}
	return f
}

func (f facts) clock(at string) string { return moment(at).In(f.zone).Format("15:04:05") }

// took says how long it was between two moments, as people say it.
func took(from, to string) string { return spell(moment(to).Sub(moment(from))) }

func spell(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < 50*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 995*time.Millisecond:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(math.Round(d.Seconds())))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(math.Round(d.Minutes())))
	}
	return fmt.Sprintf("%d h", int(math.Round(d.Hours())))
}

func (f facts) app() lane {
	l := lane{name: "app", mark: markNo}
	switch {
	case f.acked != nil:
		l.thick, l.mark, l.texts = true, markDone, []string{f.confirmed()}
	case f.ended():
		l.texts = []string{sentence(f.m.Reason)}
	case f.m.State == "failed" && f.fallback == nil: // the SMS was forbidden, and only a number without the app fails by that
		l.texts = []string{"has no app"}
	case f.fallback != nil:
		l.texts = f.gaveUp()
	case f.noGateway() && f.pushed != nil:
		l.texts = []string{device(f.pushed) + " did not answer"}
	case f.noGateway():
		l.texts = []string{"not called"}
	case f.m.State == "waiting":
		l.thick, l.mark, l.texts = true, markWaits, []string{"waits for the app since " + f.clock(f.m.At)}
	case f.held != nil:
		l.thick, l.mark, l.texts = true, markWaits, []string{sentence(f.held.Reason)}
	case f.claimed != nil:
		l.texts = []string{"not asked for"}
	case f.undecided() && f.m.Root == rootSMS:
		l.texts = []string{"not asked for"}
	case f.undecided():
		l.thick, l.mark, l.texts = true, markWaits, []string{"calling the app, if there is one, since " + f.clock(f.m.Created)}
	default:
		l.thick, l.mark, l.texts = true, markWaits, []string{"calling the app since " + f.clock(f.m.Created)}
	}
	return l
}

// ended reports whether the message as a whole came to an end before any SMS was decided.
func (f facts) ended() bool {
	if f.fallback != nil {
		return false
	}
	switch f.m.Reason {
	case delivery.TimeRanOut, delivery.Cancelled, delivery.InboxFull, delivery.NoSuchName:
		return f.m.State == "failed" || f.m.State == "expired"
	}
	return false
}

func (f facts) confirmed() string {
	who, at := device(f.acked), f.clock(f.acked.At)
	switch {
	case f.taken != nil && f.taken.At < f.acked.At:
		return fmt.Sprintf("%s confirmed %s, after the SMS had gone", who, at)
	case f.pushed != nil && f.pushed.At <= f.acked.At:
		return fmt.Sprintf("%s confirmed %s (%s)", who, at, took(f.pushed.At, f.acked.At))
	}
	return fmt.Sprintf("%s confirmed %s", who, at)
}

// gaveUp says why the app's lane ended.
func (f facts) gaveUp() []string {
	at := f.clock(f.fallback.At)
	switch f.fallback.Reason {
	case "":
		return []string{"not asked for"}
	case delivery.NotRegistered:
		return []string{"has no app"}
	case delivery.NoDevice:
		return []string{"no device was ever connected"}
	case delivery.Left:
		return []string{"signed off  " + at}
	case delivery.Offline:
		return []string{"offline  " + at}
	case delivery.NoAnswer:
		since := f.m.Created
		if f.pushed != nil {
			since = f.pushed.At
		}
		texts := []string{fmt.Sprintf("%s did not answer in %s  %s", device(f.fallback), took(since, f.fallback.At), at)}
		if f.withdrawn != nil {
			texts = append(texts, "taken back before the SMS")
		}
		return texts
	}
	return []string{sentence(f.fallback.Reason)}
}

func device(s *Step) string {
	if s.Device == "" {
		return "the app"
	}
	return s.Device
}

func (f facts) sms() lane {
	l := lane{name: "SMS"}
	if f.noGateway() || f.undecided() && f.m.Root == rootSMS {
		l.thick, l.mark, l.texts = true, markWaits, []string{waitsForGateway + " since " + f.clock(f.m.At)}
		return l
	}
	if f.claimed == nil {
		l.mark, l.texts = f.noSMS()
		return l
	}
	l.thick = true
	l.mark, l.texts = f.tried()
	return l
}

// noSMS says why there was none.
func (f facts) noSMS() (rune, []string) {
	switch {
	case f.m.Root == rootMO:
		return markNone, []string{"none: it came as one"}
	case f.acked != nil:
		return markNone, []string{"not needed"}
	case !f.number():
		return markNone, []string{"none: a name has no SMS"}
	case f.ended():
		return markNone, []string{"none"}
	case f.m.Reason != "":
		return markNo, []string{sentence(f.m.Reason)}
	}
	if f.undecided() {
		return markNone, []string{"if the app does not answer, once a gateway has a place"}
	}
	return markNone, []string{"only if the app does not answer"}
}

// tried says what became of the SMS.
func (f facts) tried() (rune, []string) {
	after := func(s *Step) bool { return s != nil && s.At >= f.claimed.At }
	var way []string
	if f.taken != nil {
		way = append(way, "carrier took it "+f.clock(f.taken.At))
	}
	mark := markDone
	switch {
	case f.m.State == "delivered" && f.m.Via == "sms":
		way = append(way, "delivered "+f.clock(f.m.At))
	case f.m.State == "unknown":
		return markUnknown, []string{"no answer from the carrier, which may have it; waiting for a report"}
	case f.m.State == "failed":
		mark, way = markNo, append(way, sentence(f.m.Reason))
	case after(f.refused) && f.m.State != "submitted":
		mark, way = markWaits, append(way, "carrier refused it, tried again: "+f.refused.Evidence)
	case f.taken == nil && f.unknown != nil:
		mark, way = markUnknown, append(way, "outcome unknown")
	case f.taken == nil:
		mark, way = markWaits, append(way, "on its way to the carrier")
	case f.m.State == "submitted" && !f.m.Final:
		way = append(way, "waiting for the report")
	}
	texts := []string{strings.Join(way, " · ")}
	if bill := f.bill(); bill != "" {
		texts = append(texts, bill)
	}
	return mark, texts
}

// bill is what the SMS was and cost.
func (f facts) bill() string {
	var parts []string
	switch f.m.Segments {
	case 0:
		return ""
	case 1:
		parts = append(parts, "1 part")
	default:
		parts = append(parts, fmt.Sprintf("%d parts", f.m.Segments))
	}
	if f.m.Price != "" {
		parts = append(parts, f.m.Price)
	}
	if f.noWay != nil {
		parts = append(parts, "no way back for answers")
	}
	return strings.Join(parts, " · ")
}

const waitsForGateway = "waits for an SMS gateway"

// noGateway reports whether an SMS is due and nothing is there to send it.
func (f facts) noGateway() bool { return f.m.State == "waiting" && f.m.Reason == delivery.GatewayDown }

// undecided reports whether nothing is recorded yet: that a push is under way, and that an SMS waits for a place at a gateway, is only in memory.
func (f facts) undecided() bool {
	return f.m.State == "accepted" && f.pushed == nil && f.fallback == nil && f.held == nil && f.claimed == nil
}

func (f facts) number() bool {
	_, number := contacts.Address(f.m.To).Number()
	return number
}

// sentence is the English sentence of a reason, to stand within a line.
func sentence(reason delivery.Reason) string {
	for _, r := range delivery.Reasons {
		if r.Reason == reason {
			text := strings.TrimSuffix(r.English, ".")
			if strings.HasPrefix(text, "SMS") {
				return text
			}
			return strings.ToLower(text[:1]) + text[1:]
		}
	}
	return string(reason)
}
