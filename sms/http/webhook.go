package smshttp

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/net/http/httpguts"
	"golang.org/x/time/rate"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// WebhookConfig describes a gateway that takes an MT as one HTTP request: a template writes the request, and paths say where in its answer and in its
// callbacks the words stand. Zero values mean the documented defaults.
//
// URL and Body are templates (text/template) with .To .From .Number .Text .Ref .Attempt .Segments .Validity (seconds, 0: none) .DataCoding .Hex .Now
// (milliseconds) .CallbackURL .DLRURL .MOURL .Username .Password .Token .Key, and the functions json, urlquery, plus (a number with its +), minutes, hmac,
// hex and base64. What stands in the URL is escaped by itself.
//
// A path is "$.a.b[0]", or several with | between them of which the first that is there counts; the fields of a form are "$.name".
type WebhookConfig struct {
	Name        string
	URL         string            // a template
	Method      string            // POST, or GET when there is no body
	Headers     map[string]string //
	ContentType string            // application/json when the body starts with { or [, else application/x-www-form-urlencoded
	Body        string            // a template

	Username, Password string // Basic authentication (RFC 7617)
	Token              string // else a bearer token (RFC 6750)
	Auth               string // "": as said; "none": the templates bring the credentials; else the header that carries Token as it is

	HMAC      string    // key: signs our body, as X-Signature: sha256=<hex>, and their callbacks, as Signature says
	Signature Signature // SignedBody
	Secret    string    // without HMAC callbacks have ?key=<this>

	ID      string               // path of the message id in the answer, or /a regular expression with one group/ for an answer that is no JSON; "": it gives none
	Code    string               // path of a word in an answer 2xx that says whether the message was taken; "": 2xx says it
	OK      string               // that word when it was
	Classes map[string]sms.Class // of other words of Code, and of statuses, such as "412", that mean something else than usual

	Event string     // path of the word that says what a callback is about: then each URL takes both; words that neither DLR.Map nor MO.Event has are passed over
	DLR   WebhookDLR //
	MO    WebhookMO  //
	Reply string     // the body of our 200 to a callback; "": 204

	CallbackURL  string // <public URL>/gateway/<name>
	AllowPrivate bool   // the URL may lead to loopback and private networks
	Number       contacts.Number
	Window       int           // 10
	Rate         float64       // segments a second; 0: no limit
	Response     time.Duration // 10 s
	Wire         *sms.Wire
	Log          zerolog.Logger
}

// WebhookDLR says where a report's words stand. Without State there are no reports.
type WebhookDLR struct {
	ID     string            // path
	Ref    string            // path of what starts with {{.Ref}}
	State  string            // path
	Map    map[string]string // of State's words to delivered, undelivered or enroute; a * at the end of a word stands for any end. The usual words are known
	To     string            // path of the recipient
	Time   string            // path: RFC 3339, or seconds or milliseconds since 1970
	Detail string            // path of the carrier's code or reason
}

// WebhookMO says where an MO's words stand. Without From there are no MOs.
type WebhookMO struct {
	Event  string // the word of Event that says that it is one
	From   string // path
	To     string // path; "", or nothing there: Number
	Text   string // path
	ID     string // path
	Time   string // path, as WebhookDLR.Time
	Hex    string // path of the octets in hexadecimal digits; "", or nothing there: Text
	Coding string // path of their data coding: 0, 1, 3 or 8 (SMPP 3.4 §5.2.19); for any other Text counts
}

// A Webhook is a gateway as a WebhookConfig describes it. It takes a message whole: it has one id, and its DLRs count for all segments.
//
// An answer 2xx in which the id is not where ID says is unknown, for it is not the answer of a message that was taken. Without ID, or without a DLR's
// State, a taken message has no DLR.
type Webhook struct {
	config WebhookConfig
	form   *form
	caller *caller

	id, code, event                                     *field
	dlrID, dlrRef, dlrState, dlrTo, dlrTime, dlrDetail  *field
	moFrom, moTo, moText, moID, moTime, moHex, moCoding *field
	states                                              map[string]sms.DLRState
	replays                                             replays
	noise                                               rate.Sometimes // of callbacks that are passed over
}

var _ sms.Gateway = (*Webhook)(nil)

// NewWebhook checks the whole configuration: templates are executed on a sample, and what they write is read.
func NewWebhook(config WebhookConfig) (*Webhook, error) {
	c := &config
	c.Window = cmp.Or(c.Window, defaultWindow)
	c.Signature = cmp.Or(c.Signature, SignedBody)
	c.Method = cmp.Or(c.Method, map[bool]string{true: http.MethodGet, false: http.MethodPost}[c.Body == ""])
	if c.ContentType == "" {
		c.ContentType = "application/x-www-form-urlencoded"
		if start := strings.TrimSpace(c.Body); strings.HasPrefix(start, "{") || strings.HasPrefix(start, "[") {
			c.ContentType = "application/json"
		}
	}
	g := &Webhook{config: config, noise: rate.Sometimes{First: 3, Interval: 10 * time.Second}}
	for _, step := range []func() error{g.readForm, g.readFields, g.readStates, g.checkHeaders, g.checkCallbacks} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("gateway %s: %w", c.Name, err)
		}
	}
	g.caller = newCaller(c.Window, c.Response, guard(c.AllowPrivate))
	return g, nil
}

func (g *Webhook) readForm() (err error) {
	if g.form, err = newForm(g.config.URL, g.config.Body, g.config.ContentType); err != nil {
		return err
	}
	if g.config.Number == "" && g.form.uses(func(d *mtData) { d.Number = "" }) {
		return errors.New("number is missing: the template writes it as the sender")
	}
	if g.config.CallbackURL == "" && (g.config.DLR.State != "" || g.config.MO.From != "") && g.form.uses(func(d *mtData) { d.CallbackURL, d.DLRURL, d.MOURL = "", "", "" }) {
		return errors.New("the template writes the URL of our callbacks, which is not known: set listen.public_url")
	}
	address, _, err := g.form.write(sample("4915112345678", hard))
	if err != nil {
		return err
	}
	if u, err := url.Parse(address); err == nil && !g.config.AllowPrivate {
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && forbidden(ip) {
			return errForbidden
		}
	}
	return nil
}

func (g *Webhook) readFields() error {
	c := g.config
	for _, f := range []struct {
		key, text string
		into      **field
	}{
		{"id", c.ID, &g.id}, {"code", c.Code, &g.code}, {"event", c.Event, &g.event},
		{"dlr.id", c.DLR.ID, &g.dlrID}, {"dlr.ref", c.DLR.Ref, &g.dlrRef}, {"dlr.state", c.DLR.State, &g.dlrState}, {"dlr.to", c.DLR.To, &g.dlrTo},
		{"dlr.time", c.DLR.Time, &g.dlrTime}, {"dlr.detail", c.DLR.Detail, &g.dlrDetail},
		{"mo.from", c.MO.From, &g.moFrom}, {"mo.to", c.MO.To, &g.moTo}, {"mo.text", c.MO.Text, &g.moText}, {"mo.id", c.MO.ID, &g.moID},
		{"mo.time", c.MO.Time, &g.moTime}, {"mo.hex", c.MO.Hex, &g.moHex}, {"mo.coding", c.MO.Coding, &g.moCoding},
	} {
		read, err := parseField(f.text)
		if err == nil && read != nil && read.regexp != nil && f.key != "id" {
			err = errors.New("a regular expression is for id only")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.key, err)
		}
		*f.into = read
	}
	return nil
}

func (g *Webhook) readStates() error {
	g.states = make(map[string]sms.DLRState, len(g.config.DLR.Map))
	for word, state := range g.config.DLR.Map {
		s, ok := map[string]sms.DLRState{"delivered": sms.DeliveredSMS, "undelivered": sms.Undelivered, "enroute": sms.Enroute}[state]
		if !ok {
			return fmt.Errorf("dlr.map: %q is mapped to %q, want delivered, undelivered or enroute", word, state)
		}
		g.states[word] = s
	}
	return nil
}

func (g *Webhook) checkHeaders() error {
	c := g.config
	for name, value := range c.Headers {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return fmt.Errorf("headers: %q, or its value, is not one (RFC 9110 §5)", name)
		}
	}
	if c.Auth != "" && c.Auth != "none" && !httpguts.ValidHeaderFieldName(c.Auth) {
		return fmt.Errorf("auth: %q is neither none nor the name of a header", c.Auth)
	}
	if !httpguts.ValidHeaderFieldValue(c.Token) {
		return errors.New("token: it has characters that a header cannot carry")
	}
	switch c.Method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch:
		return nil
	}
	return fmt.Errorf("method: %q, want GET, POST, PUT or PATCH", c.Method)
}

func (g *Webhook) checkCallbacks() error {
	c := g.config
	switch c.Signature {
	case SignedBody, SignedBodyTime, SignedTime, SignedJWT:
	default:
		return fmt.Errorf("signature: %q, want %s, %s, %s or %s", c.Signature, SignedBody, SignedBodyTime, SignedTime, SignedJWT)
	}
	switch {
	case c.Code != "" && c.OK == "":
		return errors.New("code: ok is missing, the word that says that the message was taken")
	case g.dlrState != nil && g.dlrID == nil && g.dlrRef == nil:
		return errors.New("dlr: id is missing, the path of the message id")
	case g.moFrom != nil && g.moText == nil:
		return errors.New("mo: text is missing, the path of the text")
	case g.moFrom != nil && g.moTo == nil && c.Number == "":
		return errors.New("mo: to is missing, the path of our number; or set number")
	case (g.dlrState != nil || g.moFrom != nil) && c.HMAC == "" && c.Secret == "":
		return errors.New("it has callbacks, and nothing says that they are the carrier's: set hmac or callback_secret")
	case g.event != nil && g.moFrom != nil && c.MO.Event == "":
		return errors.New("mo: event is missing, the word at event that says that a callback is an MO")
	}
	return nil
}

// Name implements sms.Gateway.
func (g *Webhook) Name() string { return g.config.Name }

// Abilities implements sms.Gateway.
func (g *Webhook) Abilities() sms.Abilities {
	c := g.config
	return sms.Abilities{DLR: g.dlrState != nil, Window: c.Window, Rate: c.Rate, Whole: true, Number: c.Number}
}

// Run implements sms.Gateway: what comes in comes by Callbacks.
func (g *Webhook) Run(ctx context.Context, _ sms.Sink) error {
	<-ctx.Done()
	g.caller.close()
	return nil
}

// Submit implements sms.Gateway: one request for all segments.
func (g *Webhook) Submit(ctx context.Context, mt sms.MT) []sms.Outcome {
	id, failure := g.submit(ctx, mt)
	outcomes := make([]sms.Outcome, len(mt.Segments))
	for i, s := range mt.Segments {
		outcomes[i] = sms.Outcome{Segment: s.Number, ID: id}
		if failure != nil {
			outcomes[i] = sms.Outcome{Segment: s.Number, Err: failure}
		}
	}
	return outcomes
}

func (g *Webhook) submit(ctx context.Context, mt sms.MT) (id string, failure *sms.Error) {
	if len(mt.Segments) != mt.Count {
		return "", sms.Fail(sms.NotSent, "", "a part of a message cannot be sent: this gateway takes messages whole")
	}
	req, err := g.request(mt)
	if err != nil {
		return "", sms.Fail(sms.Permanent, "", "the request cannot be written: "+err.Error())
	}
	g.config.Wire.Logf("-> %s %s, MT to %s, %d segments, ref %x-%d", req.Method, req.URL.Host, mt.To.Mask(), mt.Count, mt.Ref, mt.Attempt)
	status, header, body, failure := g.caller.do(ctx, mt.Until, req)
	if failure == nil {
		id, failure = g.judge(status, header, body)
	}
	if failure != nil {
		g.config.Wire.Logf("<- status %d, ref %x-%d: %s", status, mt.Ref, mt.Attempt, failure.Error())
		return "", failure
	}
	g.config.Wire.Logf("<- status %d, ref %x-%d: taken, id %q", status, mt.Ref, mt.Attempt, id)
	return id, nil
}

// request writes the request for an MT. Its errors name no number and no text.
func (g *Webhook) request(mt sms.MT) (*http.Request, error) {
	c := g.config
	ref, err := mt.Ref.MarshalText()
	if err != nil {
		return nil, err
	}
	d := mtData{To: string(mt.To), From: mt.From, Number: string(c.Number), Text: mt.Text, Ref: string(ref), Attempt: mt.Attempt, Segments: mt.Count,
		Validity: int(mt.Validity / time.Second), Now: time.Now().UnixMilli(), CallbackURL: c.CallbackURL, DLRURL: g.callbackURL("dlr"), MOURL: g.callbackURL("mo"),
		Username: c.Username, Password: c.Password, Token: c.Token, Key: c.HMAC}
	d.encode(mt.Segments[0].Coding)
	address, body, err := g.form.write(d)
	if err != nil {
		return nil, errors.New("a template failed")
	}
	req, err := http.NewRequest(c.Method, address, bytes.NewReader(body)) // do sets its context
	if err != nil {
		return nil, errors.New("the url is none")
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", c.ContentType)
	}
	switch {
	case c.Auth == "none":
	case c.Auth != "":
		req.Header.Set(c.Auth, c.Token)
	case c.Username != "":
		req.SetBasicAuth(c.Username, c.Password)
	case c.Token != "":
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	switch {
	case c.HMAC == "":
	case c.Signature == SignedBody:
		req.Header.Set("X-Signature", "sha256="+hex.EncodeToString(mac(c.HMAC, string(body))))
	case c.Signature == SignedBodyTime:
		at := strconv.FormatInt(d.Now/1000, 10)
		req.Header.Set("X-Timestamp", at)
		req.Header.Set("X-Signature", "sha256="+hex.EncodeToString(mac(c.HMAC, string(body), at)))
	}
	for name, value := range c.Headers {
		req.Header.Set(name, value)
	}
	return req, nil
}

// callbackURL is where the carrier calls; "": it would not be heard. The key is left out where the carrier signs.
func (g *Webhook) callbackURL(what string) string {
	c := g.config
	switch {
	case c.CallbackURL == "" || c.HMAC == "" && c.Secret == "":
		return ""
	case c.HMAC != "":
		return c.CallbackURL + "/" + what
	}
	return c.CallbackURL + "/" + what + "?key=" + url.QueryEscape(c.Secret)
}

// judge reads an answer.
func (g *Webhook) judge(status int, header http.Header, body []byte) (id string, failure *sms.Error) {
	code := strconv.Itoa(status)
	if class, ok := g.config.Classes[code]; ok {
		return "", sms.Fail(class, code, http.StatusText(status))
	}
	if failure := refusal(status, header); failure != nil {
		return "", failure
	}
	if g.code != nil {
		if word := g.code.inAnswer(body); word != g.config.OK {
			class := cmp.Or(g.config.Classes[word], sms.Unknown)
			return "", sms.Fail(class, oneLine(word, maxDetail), "the answer does not say that it was taken")
		}
	}
	if g.id == nil {
		return "", nil
	}
	if id = g.id.inAnswer(body); id == "" || len(id) > maxID {
		return "", sms.Fail(sms.Unknown, code, "the answer has no message id where id says")
	}
	return id, nil
}

const (
	maxID     = 256 // octets of a message id
	maxDetail = 80  // octets of a carrier's code or reason
)

// Over returns c with what it leaves empty taken from preset. A map that c has counts alone, and so does AllowPrivate when it is set.
func (c WebhookConfig) Over(preset WebhookConfig) WebhookConfig {
	for _, s := range []struct{ mine, theirs *string }{
		{&c.URL, &preset.URL}, {&c.Method, &preset.Method}, {&c.ContentType, &preset.ContentType}, {&c.Body, &preset.Body}, {&c.Auth, &preset.Auth},
		{(*string)(&c.Signature), (*string)(&preset.Signature)}, {&c.ID, &preset.ID}, {&c.Code, &preset.Code}, {&c.OK, &preset.OK},
		{&c.Event, &preset.Event}, {&c.Reply, &preset.Reply},
		{&c.DLR.ID, &preset.DLR.ID}, {&c.DLR.Ref, &preset.DLR.Ref}, {&c.DLR.State, &preset.DLR.State}, {&c.DLR.To, &preset.DLR.To},
		{&c.DLR.Time, &preset.DLR.Time}, {&c.DLR.Detail, &preset.DLR.Detail},
		{&c.MO.Event, &preset.MO.Event}, {&c.MO.From, &preset.MO.From}, {&c.MO.To, &preset.MO.To}, {&c.MO.Text, &preset.MO.Text}, {&c.MO.ID, &preset.MO.ID},
		{&c.MO.Time, &preset.MO.Time}, {&c.MO.Hex, &preset.MO.Hex}, {&c.MO.Coding, &preset.MO.Coding},
	} {
		*s.mine = cmp.Or(*s.mine, *s.theirs)
	}
	if c.Headers == nil {
		c.Headers = maps.Clone(preset.Headers)
	}
	if c.Classes == nil {
		c.Classes = maps.Clone(preset.Classes)
	}
	if c.DLR.Map == nil {
		c.DLR.Map = maps.Clone(preset.DLR.Map)
	}
	c.AllowPrivate = c.AllowPrivate || preset.AllowPrivate
	c.Window = cmp.Or(c.Window, preset.Window)
	c.Rate = cmp.Or(c.Rate, preset.Rate)
	c.Response = cmp.Or(c.Response, preset.Response)
	return c
}
