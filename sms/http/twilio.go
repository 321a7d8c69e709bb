package smshttp

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// TwilioConfig is how a Twilio works. Zero values mean the documented defaults.
type TwilioConfig struct {
	Name        string          // of the gateway: "twilio"
	URL         string          // https://api.twilio.com
	Account     string          // SID of the account, AC…
	Token       string          // its primary auth token, by which Twilio also signs callbacks
	CallbackURL string          // <public URL>/gateway/<name>, as Twilio calls it; empty: callbacks are refused, and no DLRs are asked for
	Number      contacts.Number // from which the SMS come whatever their originator says; empty: they come from their originator
	Window      int             // 10
	Rate        float64         // segments a second; 0: no limit
	Response    time.Duration   // how long an answer may take: 10 s
	Wire        *sms.Wire       // nil: off
	Log         zerolog.Logger  // of callbacks that are refused
}

// A Twilio is a gateway to Twilio's Messages API, which takes a message whole and cuts it itself. The StatusCallback carries our reference, so that a
// report may be earlier than the answer.
type Twilio struct {
	config TwilioConfig
	caller *caller
	api    string // URL of the Messages resource
}

var _ sms.Gateway = (*Twilio)(nil)

// twilioRetries has Twilio repeat a callback that failed, which it does not do by itself (Twilio: webhook connection overrides).
const twilioRetries = "#rc=5&rp=5xx,ct,rt"

// twilioValidity is the longest ValidityPeriod that Twilio takes.
const twilioValidity = 10 * time.Hour

// NewTwilio returns a gateway, or an error that names the field.
func NewTwilio(config TwilioConfig) (*Twilio, error) {
	if config.Name == "" {
		config.Name = "twilio"
	}
	if config.URL == "" {
		config.URL = "https://api.twilio.com"
	}
	if config.Window <= 0 {
		config.Window = defaultWindow
	}
	if err := required(config.Name, [2]string{"account", config.Account}, [2]string{"token", config.Token}); err != nil {
		return nil, err
	}
	base, err := httpURL(config.Name, "url", config.URL)
	if err != nil {
		return nil, err
	}
	if config.CallbackURL != "" {
		if config.CallbackURL, err = httpURL(config.Name, "the callback URL", config.CallbackURL); err != nil {
			return nil, err
		}
	}
	return &Twilio{
		config: config, caller: newCaller(config.Window, config.Response, nil),
		api: base + "/2010-04-01/Accounts/" + url.PathEscape(config.Account) + "/Messages.json",
	}, nil
}

// Name implements sms.Gateway.
func (g *Twilio) Name() string { return g.config.Name }

// Abilities implements sms.Gateway.
func (g *Twilio) Abilities() sms.Abilities {
	return sms.Abilities{
		DLR: g.config.CallbackURL != "", Window: g.config.Window, Rate: g.config.Rate, Whole: true, Number: g.config.Number,
	}
}

// Run implements sms.Gateway. What comes in comes by Callbacks, so there is nothing to do but to let go of the connections at the end.
func (g *Twilio) Run(ctx context.Context, _ sms.Sink) error {
	<-ctx.Done()
	g.caller.close()
	return nil
}

// Submit implements sms.Gateway. What another gateway has begun is refused: Twilio would send all of it again.
func (g *Twilio) Submit(ctx context.Context, mt sms.MT) []sms.Outcome {
	id, failure := "", sms.Fail(sms.NotSent, "", "Twilio takes whole messages only, and another gateway has sent a part of this one")
	if len(mt.Segments) == mt.Count {
		id, failure = g.send(ctx, mt)
	}
	outcomes := make([]sms.Outcome, len(mt.Segments))
	for i, s := range mt.Segments {
		outcomes[i] = sms.Outcome{Segment: s.Number, ID: id}
		if failure != nil {
			outcomes[i].Err = failure
		}
	}
	return outcomes
}

func (g *Twilio) send(ctx context.Context, mt sms.MT) (id string, failure *sms.Error) {
	req, err := http.NewRequest(http.MethodPost, g.api, strings.NewReader(g.form(mt).Encode()))
	if err != nil {
		return "", sms.Fail(sms.Configuration, "", "the URL of gateway "+g.config.Name+" cannot be used")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(g.config.Account, g.config.Token)
	g.config.Wire.Logf("> message from %s to %s, %d segments", maskFrom(mt.From), mt.To.Mask(), mt.Count)
	status, header, body, failure := g.caller.do(ctx, mt.Until, req)
	if failure == nil {
		id, failure = twilioAnswer(status, header, body)
	}
	if failure != nil {
		g.config.Wire.Logf("< message: %v", failure)
		return "", failure
	}
	g.config.Wire.Logf("< message: %d, %s", status, id)
	return id, nil
}

// form are the parameters of the message (Twilio: Messages resource, create).
func (g *Twilio) form(mt sms.MT) url.Values {
	f := url.Values{"To": {international(string(mt.To))}, "From": {international(mt.From)}, "Body": {mt.Text}}
	if mt.Validity > 0 {
		f.Set("ValidityPeriod", strconv.Itoa(int(min(max(mt.Validity, time.Second), twilioValidity)/time.Second)))
	}
	if g.config.CallbackURL != "" {
		f.Set("StatusCallback", g.config.CallbackURL+"/dlr?ref="+hex.EncodeToString(mt.Ref[:])+twilioRetries)
	}
	return f
}

// twilioClasses are the classes of Twilio's error codes (Twilio: error and warning dictionary); of others the status decides.
var twilioClasses = map[int]sms.Class{
	10001: sms.Configuration, // account not active
	14107: sms.Throttled,     // message rate limit
	20003: sms.Configuration, // authentication
	20005: sms.Configuration, // account not active
	20006: sms.Configuration, // access denied
	20008: sms.Configuration, // test credentials
	20404: sms.Configuration, // no such account or resource
	20429: sms.Throttled,     // too many requests
	21211: sms.Permanent,     // invalid To
	21212: sms.Configuration, // invalid From
	21217: sms.Permanent,     // To is no valid number
	21408: sms.Permanent,     // To's region is not enabled
	21602: sms.Permanent,     // no body
	21603: sms.Configuration, // no From
	21604: sms.Permanent,     // no To
	21606: sms.Configuration, // From is not ours, or cannot send SMS
	21607: sms.Configuration, // From is not ours
	21608: sms.Permanent,     // trial account: To is not verified
	21609: sms.Configuration, // invalid StatusCallback
	21610: sms.Permanent,     // opted out
	21611: sms.Throttled,     // From's queue is full
	21612: sms.Permanent,     // To cannot be reached from From
	21614: sms.Permanent,     // To is no mobile number
	21617: sms.Permanent,     // too long
	21635: sms.Permanent,     // To is a landline
	21659: sms.Configuration, // From is not a number of Twilio's
	21660: sms.Configuration, // From is another account's
	30001: sms.Throttled,     // queue overflow
	30002: sms.Configuration, // account suspended
	30003: sms.Permanent,     // handset unreachable
	30004: sms.Permanent,     // blocked
	30005: sms.Permanent,     // handset unknown
	30006: sms.Permanent,     // landline, or carrier unreachable
	30007: sms.Permanent,     // filtered
	30008: sms.Permanent,     // undelivered, reason unknown
	30010: sms.Permanent,     // above the highest price
	30022: sms.Throttled,     // A2P rate
	30023: sms.Throttled,     // A2P daily cap
	30034: sms.Configuration, // From is not registered for A2P
}

// twilioOptedOut is the code of a recipient who answered STOP.
const twilioOptedOut = 21610

// twilioAnswer reads the answer to a message: its SID, or why it was not taken.
func twilioAnswer(status int, header http.Header, body []byte) (sid string, failure *sms.Error) {
	var a struct {
		SID       string `json:"sid"`
		Status    string `json:"status"` // a number in an error
		ErrorCode int    `json:"error_code"`
		Code      int    `json:"code"`
	}
	_ = json.Unmarshal(body, &a) // what it has not read is zero, and decided below
	code := max(a.Code, a.ErrorCode)
	failure = refusal(status, header)
	ended := twilioStates[a.Status] == sms.Undelivered
	switch {
	case failure != nil && (status/100 != 4 || code == 0):
		return "", failure
	case failure == nil && a.SID != "" && !ended:
		return a.SID, nil
	case failure == nil && code == 0 && !ended:
		return "", sms.Fail(sms.Unknown, strconv.Itoa(status), "this is not how Twilio answers")
	}
	class, known := twilioClasses[code]
	if !known {
		class = sms.Permanent
		if failure != nil {
			class = failure.Class
		}
	}
	failure = sms.FailAfter(class, strconv.Itoa(code), "Twilio refuses: see twilio.com/docs/api/errors/"+strconv.Itoa(code), retryAfter(header, time.Now()))
	failure.OptedOut = code == twilioOptedOut
	return "", failure
}

// twilioStates are what a MessageStatus says.
var twilioStates = map[string]sms.DLRState{
	"accepted": sms.Enroute, "scheduled": sms.Enroute, "queued": sms.Enroute, "sending": sms.Enroute, "sent": sms.Enroute,
	"delivered": sms.DeliveredSMS, "read": sms.DeliveredSMS,
	"undelivered": sms.Undelivered, "failed": sms.Undelivered, "canceled": sms.Undelivered,
}

// Callbacks returns what Twilio calls: the StatusCallback of each MT, and for MOs what the operator configures at the number as
//
//	<public URL>/gateway/<name>/mo#rc=5&rp=5xx,ct,rt
//
// of which the part from # on has Twilio repeat what failed. The signature covers the URL, so the public URL must be the one that Twilio calls.
func (g *Twilio) Callbacks(sink sms.Sink) (dlr, mo http.Handler) {
	handler := func(what string, take func(context.Context, *http.Request, url.Values) error, answer func(http.ResponseWriter)) http.Handler {
		return newCallback(&callback{
			what: "gateway " + g.config.Name + ": " + what, log: g.config.Log, answer: answer,
			authentic: func(r *http.Request, body []byte) bool {
				return g.config.CallbackURL != "" && twilioSigned(r, g.config.CallbackURL+"/"+what, body, g.config.Token)
			},
			take: func(ctx context.Context, r *http.Request, body []byte) error {
				form, err := twilioForm(r, body)
				if err != nil {
					return malformed("the form cannot be read")
				}
				return take(ctx, r, form)
			},
		})
	}
	dlr = handler("dlr", func(ctx context.Context, r *http.Request, form url.Values) error {
		report, err := g.report(r.URL.Query().Get("ref"), form)
		if err != nil {
			return err
		}
		g.config.Wire.Logf("< dlr %s: %s %s", report.ID, report.State, report.Detail)
		return sink.DLR(ctx, report)
	}, nil)
	mo = handler("mo", func(ctx context.Context, _ *http.Request, form url.Values) error {
		m, err := g.incoming(form)
		if err != nil {
			return err
		}
		g.config.Wire.Logf("< mo %s from %s to %s, %d octets", m.ID, m.From.Mask(), m.To.Mask(), len(m.Text))
		return sink.MO(ctx, m)
	}, emptyTwiML)
	return dlr, mo
}

// emptyTwiML acknowledges an MO, and answers it with nothing.
func emptyTwiML(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	_, _ = w.Write([]byte(`<?xml version="1.0" encoding="UTF-8"?><Response/>`)) // whoever asked has gone
}

// report reads a status callback.
func (g *Twilio) report(reference string, form url.Values) (r sms.DLR, err error) {
	r = sms.DLR{Gateway: g.config.Name, ID: oneLine(form.Get("MessageSid"), 64), At: time.Now(), Detail: oneLine(form.Get("ErrorCode"), 8)}
	if r.ID == "" {
		return r, malformed("a status callback without MessageSid")
	}
	if reference != "" {
		r.Ref = new(sms.Ref)
		if err := r.Ref.UnmarshalText([]byte(reference)); err != nil {
			return r, malformed("ref: %v", err)
		}
	}
	status := form.Get("MessageStatus")
	if status == "" {
		return r, malformed("a status callback without MessageStatus")
	}
	if r.State = twilioStates[status]; r.State == 0 {
		return r, noUse("a MessageStatus that says nothing of delivery: " + strconv.Quote(oneLine(status, 20)))
	}
	return r, nil
}

// incoming reads an MO.
func (g *Twilio) incoming(form url.Values) (m sms.MO, err error) {
	m = sms.MO{Gateway: g.config.Name, ID: oneLine(form.Get("MessageSid"), 64), Text: strings.ToValidUTF8(form.Get("Body"), "\uFFFD"), At: time.Now()}
	if m.ID == "" {
		return m, malformed("an MO without MessageSid")
	}
	m.From, m.To, err = moNumbers(form.Get("From"), form.Get("To"), g.config.Number)
	return m, err
}
