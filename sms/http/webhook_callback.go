package smshttp

import (
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/seed-7a41469f/godwit/sms"
)

// Callbacks returns the handlers of what the carrier calls. They answer 2xx only once sink has taken it, or when it says nothing that we want.
func (g *Webhook) Callbacks(sink sms.Sink) (dlr, mo http.Handler) {
	handler := func(what string, about func(ctx context.Context, sink sms.Sink, doc any) error) http.Handler {
		c := &callback{what: "gateway " + g.config.Name + ": " + what, authentic: g.authentic, log: g.config.Log}
		c.take = func(ctx context.Context, r *http.Request, body []byte) error {
			return g.take(ctx, sink, r, body, about)
		}
		if g.config.Reply != "" {
			c.answer = func(w http.ResponseWriter) { _, _ = io.WriteString(w, g.config.Reply) } // the carrier has gone
		}
		return newCallback(c)
	}
	return handler("dlr", g.takeDLR), handler("mo", g.takeMO)
}

func (g *Webhook) authentic(r *http.Request, body []byte) bool {
	if g.config.HMAC == "" {
		return keyed(g.config.Secret)(r, body)
	}
	_, ok := g.config.Signature.open(g.config.HMAC, r, body, time.Now())
	return ok
}

func (g *Webhook) take(ctx context.Context, sink sms.Sink, r *http.Request, body []byte, about func(context.Context, sms.Sink, any) error) error {
	seal, _ := g.config.Signature.open(g.config.HMAC, r, body, time.Now()) // authentic has seen to it
	if g.replays.seen(seal, body) {
		g.config.Wire.Logf("<- a callback that was taken before")
		return nil
	}
	query := r.URL.Query()
	query.Del("key")
	if s := g.config.Signature; g.config.HMAC != "" && (s == SignedBody || s == SignedBodyTime) {
		query = nil // it is not signed
	}
	doc, err := document(r.Header.Get("Content-Type"), body, query)
	if err != nil {
		return err
	}
	if g.event != nil {
		switch word := g.event.in(doc); {
		case word == g.config.MO.Event && word != "":
			about = g.takeMO
		case g.known(word):
			about = g.takeDLR
		default:
			g.pass("the event " + strconv.Quote(oneLine(word, maxDetail)) + " is none that is mapped")
			return nil
		}
	}
	if err := about(ctx, sink, doc); err != nil {
		return err
	}
	g.replays.taken(seal, body, time.Now())
	return nil
}

// pass notes a callback that says nothing for us. It is answered like one that was taken: it would only come again.
func (g *Webhook) pass(why string) {
	g.config.Wire.Logf("<- a callback is passed over: %s", why)
	g.noise.Do(func() {
		g.config.Log.Info().Str("gateway", g.config.Name).Str("why", why).Msg("passed over a callback")
	})
}

func (g *Webhook) takeDLR(ctx context.Context, sink sms.Sink, doc any) error {
	if g.dlrState == nil {
		return malformed("this gateway has no reports: set dlr.state")
	}
	word := g.dlrState.in(doc)
	if word == "" {
		return malformed("there is no state at dlr.state")
	}
	r := sms.DLR{
		Gateway: g.config.Name, ID: g.dlrID.in(doc), Ref: reference(g.dlrRef.in(doc)), At: instant(g.dlrTime.in(doc)), Detail: oneLine(word, maxDetail),
	}
	if r.ID == "" && r.Ref == nil || len(r.ID) > maxID {
		return malformed("there is no message id at dlr.id")
	}
	if r.State = g.state(word); r.State == 0 {
		r.State = sms.Enroute // the only one that ends nothing
		g.noise.Do(func() {
			g.config.Log.Warn().Str("gateway", g.config.Name).Str("state", oneLine(word, maxDetail)).Msg("a report has an unknown state, which counts as enroute: put it into dlr.map")
		})
	}
	if detail := g.dlrDetail.in(doc); detail != "" {
		r.Detail = oneLine(detail, maxDetail)
	}
	if to, err := number(g.dlrTo.in(doc)); err == nil {
		r.To = to
	}
	g.config.Wire.Logf("<- DLR id %q: %s (%s)", r.ID, r.State, r.Detail)
	return sink.DLR(ctx, r)
}

func (g *Webhook) takeMO(ctx context.Context, sink sms.Sink, doc any) error {
	if g.moFrom == nil {
		return malformed("this gateway has no MOs: set mo.from")
	}
	m := sms.MO{Gateway: g.config.Name, ID: g.moID.in(doc), From: sender(g.moFrom.in(doc)), To: g.config.Number, At: instant(g.moTime.in(doc))}
	if m.From == "" {
		return malformed("there is no sender at mo.from")
	}
	if len(m.ID) > maxID {
		return malformed("the message id is too long")
	}
	var err error
	if to := g.moTo.in(doc); to != "" {
		if m.To, err = number(to); err != nil {
			return malformed("what is at mo.to is no number")
		}
	}
	if m.To == "" {
		return malformed("there is no number at mo.to: set number")
	}
	if m.Text, err = g.text(doc); err != nil {
		return err
	}
	g.config.Wire.Logf("<- MO id %q from %s, %d octets", m.ID, m.From.Mask(), len(m.Text))
	return sink.MO(ctx, m)
}

// text reads the text of an MO, from its octets when they are there.
func (g *Webhook) text(doc any) (string, error) {
	if digits := g.moHex.in(doc); digits != "" {
		octets, err := hex.DecodeString(digits)
		if err != nil {
			return "", malformed("what is at mo.hex is not in hexadecimal digits")
		}
		switch g.moCoding.in(doc) {
		case "0", "":
			return sms.Decode(octets, sms.GSM7), nil
		case "1", "3": // IA5, and Latin 1, which it is a part of
			runes := make([]rune, len(octets))
			for i, o := range octets {
				runes[i] = rune(o)
			}
			return string(runes), nil
		case "8":
			return sms.Decode(octets, sms.UCS2), nil
		}
	}
	return strings.ToValidUTF8(g.moText.in(doc), "\uFFFD"), nil
}

// reference reads what starts with a {{.Ref}}; nil: it does not.
func reference(text string) *sms.Ref {
	ref := new(sms.Ref)
	if digits := 2 * len(ref); len(text) < digits || ref.UnmarshalText([]byte(text[:digits])) != nil {
		return nil
	}
	return ref
}

// instant reads a time. What is none, or is too far from now to be one, is now.
func instant(text string) time.Time {
	now := time.Now()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		n, e := strconv.ParseInt(text, 10, 64)
		at, err = time.Unix(n, 0), e
		if n > 1e11 {
			at = time.UnixMilli(n)
		}
	}
	if err != nil || at.Before(now.AddDate(-1, 0, 0)) || at.After(now.AddDate(0, 0, 1)) {
		return now
	}
	return at
}

// known reports whether a word of Event is one of a DLR.
func (g *Webhook) known(word string) bool { return g.dlrState != nil && g.mapped(word) != 0 }

// state maps a word; 0: nobody knows it.
func (g *Webhook) state(word string) sms.DLRState {
	if s := g.mapped(word); s != 0 {
		return s
	}
	return usual[strings.ToUpper(word)]
}

func (g *Webhook) mapped(word string) sms.DLRState {
	if s := g.states[word]; s != 0 {
		return s
	}
	best, state := -1, sms.DLRState(0)
	for pattern, s := range g.states {
		if start, ok := strings.CutSuffix(pattern, "*"); ok && strings.HasPrefix(word, start) && len(start) > best {
			best, state = len(start), s
		}
	}
	return state
}

// usual are the words that carriers use, in capitals (SMPP 3.4 §5.2.28 and what HTTP gateways made of it).
var usual = map[string]sms.DLRState{
	"DELIVRD": sms.DeliveredSMS, "DELIVERED": sms.DeliveredSMS, "DELIVERY_SUCCESS": sms.DeliveredSMS, "DELIVERED_TO_HANDSET": sms.DeliveredSMS,

	"ENROUTE": sms.Enroute, "ACCEPTD": sms.Enroute, "ACCEPTED": sms.Enroute, "BUFFERED": sms.Enroute, "QUEUED": sms.Enroute, "PENDING": sms.Enroute,
	"SCHEDULED": sms.Enroute, "PROCESSING": sms.Enroute, "PROCESSED": sms.Enroute, "SENDING": sms.Enroute, "SENT": sms.Enroute, "SUBMITTED": sms.Enroute,
	"DELIVERING": sms.Enroute, "DELIVERED_TO_OPERATOR": sms.Enroute, "UNKNOWN": sms.Enroute,

	"UNDELIV": sms.Undelivered, "UNDELIVERED": sms.Undelivered, "UNDELIVERABLE": sms.Undelivered, "NOT_DELIVERED": sms.Undelivered,
	"DELIVERY_FAILED": sms.Undelivered, "REJECTD": sms.Undelivered, "REJECTED": sms.Undelivered, "EXPIRED": sms.Undelivered, "DELETED": sms.Undelivered,
	"FAILED": sms.Undelivered, "FAILURE": sms.Undelivered, "FAIL": sms.Undelivered, "ERROR": sms.Undelivered, "CANCELED": sms.Undelivered,
	"CANCELLED": sms.Undelivered, "BLOCKED": sms.Undelivered,
}
