package smshttp

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// KannelConfig is how a Kannel works. Zero values mean the documented defaults.
type KannelConfig struct {
	Name        string          // of the gateway: "kannel"
	URL         string          // of the sendsms service, as http://127.0.0.1:13013/cgi-bin/sendsms
	Username    string          // of the sendsms-user
	Password    string          //
	Secret      string          // ?key= of the callbacks; empty: they are refused, and no DLRs are asked for
	CallbackURL string          // <public URL>/gateway/<name>: DLRs come to /dlr under it; empty: no DLRs are asked for
	SMSC        string          // smsc-id of the route; empty: Kannel chooses
	Number      contacts.Number // from which the SMS come whatever their originator says; empty: they come from their originator
	Window      int             // 10
	Rate        float64         // segments a second; 0: no limit
	Response    time.Duration   // how long all segments of a submit may take: 10 s
	Wire        *sms.Wire       // nil: off
	Log         zerolog.Logger  // of callbacks that are refused
}

// A Kannel is a gateway to the Kannel gateway (kannel.org, 1.4 and later): sendsms for each segment, dlr-url and an sms-service for callbacks.
//
// sendsms tells no message id. Ours, the reference and the number of the segment, stands in the dlr-url and so in each DLR, which may then be earlier
// than the answer. Long messages get our UDH, since Kannel asks for DLRs of the first segment only of what it cuts itself.
//
// In Kannel's group smsbox http-request-retry must be set: its default drops each MO and DLR whose callback failed once. In the sms-service, max-messages = 0
// keeps Kannel from sending an SMS back. Kannel joins long MOs unless sms-combine-concatenated-mo is false; then we do.
type Kannel struct {
	config KannelConfig
	caller *caller
	dlrURL string // with Kannel's escapes, and without what names the segment; empty: no DLRs
	parts  joiner
}

var _ sms.Gateway = (*Kannel)(nil)

// dlrMask asks for every report but intermediate ones: delivered (1), not delivered (2), buffered (4), taken (8) and refused (16) by the SMSC.
const dlrMask = 1 | 2 | 4 | 8 | 16

// NewKannel returns a gateway, or an error that names the field.
func NewKannel(config KannelConfig) (*Kannel, error) {
	if config.Name == "" {
		config.Name = "kannel"
	}
	if config.Window <= 0 {
		config.Window = defaultWindow
	}
	if err := required(config.Name, [2]string{"url", config.URL}, [2]string{"username", config.Username}, [2]string{"password", config.Password}); err != nil {
		return nil, err
	}
	var err error
	if config.URL, err = httpURL(config.Name, "url", config.URL); err != nil {
		return nil, err
	}
	k := &Kannel{config: config, caller: newCaller(config.Window, config.Response, nil)}
	if config.CallbackURL != "" && config.Secret != "" {
		base, err := httpURL(config.Name, "the callback URL", config.CallbackURL)
		if err != nil {
			return nil, err
		}
		fixed := base + "/dlr?key=" + url.QueryEscape(config.Secret)
		k.dlrURL = strings.ReplaceAll(fixed, "%", "%%") + "&type=%d&answer=%A&time=%t"
	}
	return k, nil
}

// Name implements sms.Gateway.
func (k *Kannel) Name() string { return k.config.Name }

// Abilities implements sms.Gateway.
func (k *Kannel) Abilities() sms.Abilities {
	return sms.Abilities{DLR: k.dlrURL != "", Window: k.config.Window, Rate: k.config.Rate, Number: k.config.Number}
}

// Run implements sms.Gateway. What comes in comes by Callbacks, so there is nothing to do but to let go of the connections at the end.
func (k *Kannel) Run(ctx context.Context, _ sms.Sink) error {
	<-ctx.Done()
	k.caller.close()
	return nil
}

// Submit implements sms.Gateway: a sendsms for each segment, one after the other.
func (k *Kannel) Submit(ctx context.Context, mt sms.MT) []sms.Outcome {
	ctx, cancel := context.WithTimeout(ctx, k.caller.response)
	defer cancel()
	return sms.SubmitEach(ctx, mt, func(ctx context.Context, s sms.Segment) (string, error) {
		if failure := k.send(ctx, mt, s); failure != nil {
			k.config.Wire.Logf("< segment %d/%d: %v", s.Number, mt.Count, failure)
			return "", failure
		}
		return segmentID(mt.Ref, s.Number), nil
	})
}

// segmentID is what stands for Kannel's message id.
func segmentID(ref sms.Ref, segment int) string {
	return hex.EncodeToString(ref[:]) + "-" + strconv.Itoa(segment)
}

func (k *Kannel) send(ctx context.Context, mt sms.MT, s sms.Segment) *sms.Error {
	query, err := k.query(mt, s)
	if err != nil {
		return sms.Fail(sms.Permanent, "", err.Error())
	}
	req, err := http.NewRequest(http.MethodGet, k.config.URL+"?"+query.Encode(), nil)
	if err != nil {
		return sms.Fail(sms.Configuration, "", "the URL of gateway "+k.config.Name+" cannot be used")
	}
	k.config.Wire.Logf("> sendsms from %s to %s, segment %d/%d, %s, %d units", maskFrom(mt.From), mt.To.Mask(), s.Number, mt.Count, s.Coding, s.Units)
	status, header, body, failure := k.caller.do(ctx, mt.Until, req)
	if failure != nil {
		return failure
	}
	k.config.Wire.Logf("< segment %d/%d: %d, %d octets", s.Number, mt.Count, status, len(body))
	return kannelAnswer(status, header, string(body))
}

// query are the parameters of sendsms (Kannel User's Guide, "Using the HTTP interface").
func (k *Kannel) query(mt sms.MT, s sms.Segment) (url.Values, error) {
	q := url.Values{
		"username": {k.config.Username}, "password": {k.config.Password},
		"from": {international(mt.From)}, "to": {international(string(mt.To))},
		"text": {s.Text}, "coding": {"0"}, "charset": {"UTF-8"},
	}
	if s.Coding == sms.UCS2 {
		octets, err := sms.Encode(s.Text, sms.UCS2)
		if err != nil {
			return nil, err
		}
		q["text"], q["coding"], q["charset"] = []string{string(octets)}, []string{"2"}, []string{"UTF-16BE"}
	}
	if mt.Count > 1 { // 3GPP TS 23.040 §9.2.3.24.1
		q.Set("udh", string([]byte{5, 0, 3, byte(mt.Ref.Reference(0)), byte(mt.Count), byte(s.Number)}))
	}
	if k.config.SMSC != "" {
		q.Set("smsc", k.config.SMSC)
	}
	if mt.Validity > 0 {
		q.Set("validity", strconv.Itoa(int((mt.Validity+time.Minute-1)/time.Minute)))
	}
	if k.dlrURL != "" {
		q.Set("dlr-mask", strconv.Itoa(dlrMask))
		q.Set("dlr-url", k.dlrURL+"&ref="+hex.EncodeToString(mt.Ref[:])+"&segment="+strconv.Itoa(s.Number))
	}
	return q, nil
}

// kannelAnswers are what smsbox says in its body, by how it begins: the status does not tell a wrong password from a number that no SMSC takes.
var kannelAnswers = []struct {
	begins string
	class  sms.Class // 0: taken
	text   string
}{
	{"0:", 0, ""}, // Accepted for delivery
	{"3:", 0, ""}, // Queued for later delivery
	{"Sent.", 0, ""},
	{"Authorization failed", sms.Configuration, "Kannel refuses the username, the password or our address (user-allow-ip)"},
	{"Not routable", sms.Permanent, "no SMSC of Kannel takes this number"},
	{"Temporal failure", sms.Throttled, "Kannel takes nothing now: its queue is full, or it is suspended"},
	{"Number(s) has/have been denied", sms.Permanent, "a black- or white-list of Kannel denies this number"},
	{"Sender missing", sms.Configuration, "Kannel wants an originator: set a default-sender"},
	{"DLR-URL field misformed", sms.Configuration, "Kannel does not take our dlr-url: is the public URL right?"},
}

// kannelAnswer classes the answer to a sendsms.
func kannelAnswer(status int, header http.Header, body string) *sms.Error {
	body = strings.TrimSpace(body)
	for _, a := range kannelAnswers {
		if !strings.HasPrefix(body, a.begins) || a.class == 0 && status/100 != 2 {
			continue
		}
		if a.class == 0 {
			return nil
		}
		return sms.FailAfter(a.class, strconv.Itoa(status), a.text, retryAfter(header, time.Now()))
	}
	if failure := refusal(status, header); failure != nil {
		return failure
	}
	return sms.Fail(sms.Unknown, strconv.Itoa(status), "this is not how Kannel answers a sendsms")
}

// Callbacks returns what Kannel calls for DLRs (the dlr-url that each MT carries) and for MOs, which the operator configures as
//
//	get-url = "<public URL>/gateway/<name>/mo?key=<secret>&from=%p&to=%P&text=%b&coding=%c&charset=%C&udh=%u&time=%t&smsc=%i&id=%I"
//
// Only 200 and 202 are an acknowledgement for Kannel.
func (k *Kannel) Callbacks(sink sms.Sink) (dlr, mo http.Handler) {
	handler := func(what string, take func(context.Context, url.Values) error) http.Handler {
		return newCallback(&callback{
			what: "gateway " + k.config.Name + ": " + what, log: k.config.Log, authentic: keyed(k.config.Secret), answer: emptyText,
			take: func(ctx context.Context, r *http.Request, _ []byte) error { return take(ctx, r.URL.Query()) },
		})
	}
	dlr = handler("dlr", func(ctx context.Context, q url.Values) error {
		report, err := k.report(q)
		if err != nil {
			return err
		}
		k.config.Wire.Logf("< dlr %s: %s %s", report.ID, report.State, report.Detail)
		return sink.DLR(ctx, report)
	})
	mo = handler("mo", func(ctx context.Context, q url.Values) error {
		m, part, text, err := k.incoming(q)
		if err != nil {
			return err
		}
		k.config.Wire.Logf("< mo from %s to %s, coding %s, %d octets", m.From.Mask(), m.To.Mask(), text.coding, len(text.octets))
		if part.count > 1 {
			return k.parts.take(ctx, sink, m, part, text)
		}
		m.Text = text.String()
		return sink.MO(ctx, m)
	})
	return dlr, mo
}

// emptyText acknowledges: any text would be sent to the phone, unless max-messages = 0.
func emptyText(w http.ResponseWriter) { w.Header().Set("Content-Type", "text/plain; charset=utf-8") }

// kannelStates are the types of a DLR (%d).
var kannelStates = map[string]sms.DLRState{
	"1": sms.DeliveredSMS, "2": sms.Undelivered, "4": sms.Enroute, "8": sms.Enroute, "16": sms.Undelivered, "32": sms.Enroute,
}

// report reads a DLR.
func (k *Kannel) report(q url.Values) (r sms.DLR, err error) {
	var ref sms.Ref
	if err := ref.UnmarshalText([]byte(q.Get("ref"))); err != nil {
		return r, malformed("ref: %v", err)
	}
	segment, err := strconv.Atoi(q.Get("segment"))
	if err != nil || segment < 1 || segment > sms.MaxSegments {
		return r, malformed("segment is no number from 1 to %d", sms.MaxSegments)
	}
	state, ok := kannelStates[q.Get("type")]
	if !ok {
		return r, malformed("type is none of Kannel's types of a DLR (%%d): 1, 2, 4, 8, 16, 32")
	}
	return sms.DLR{
		Gateway: k.config.Name, ID: segmentID(ref, segment), Ref: &ref, Segment: segment,
		State: state, At: kannelTime(q.Get("time")), Detail: kannelDetail(q.Get("answer")),
	}, nil
}

// kannelTime reads %t, which is UTC.
func kannelTime(s string) time.Time {
	if at, err := time.ParseInLocation(time.DateTime, s, time.UTC); err == nil {
		return at
	}
	return time.Now()
}

var receiptFields = regexp.MustCompile(`(?i)\bstat:([A-Z]{1,10})(?:.*?\berr:([0-9A-Za-z]{1,8}))?`)

// kannelDetail reads what the SMSC said (%A): ACK/… or NACK/…, or a receipt (SMPP 3.4 appendix B), of which the text is left out: it is a payload.
func kannelDetail(answer string) string {
	if f := receiptFields.FindStringSubmatch(answer); f != nil {
		return strings.TrimSpace(f[1] + " " + f[2])
	}
	if strings.HasPrefix(answer, "NACK/") {
		return oneLine(strings.TrimPrefix(answer, "NACK/"), 60)
	}
	return ""
}

// maxSegment is more than the octets of a segment can become in UTF-8: 160 characters of up to three (3GPP TS 23.038 §6.2.1).
const maxSegment = 1 << 10

// incoming reads an MO, or a segment of one; its text is apart.
func (k *Kannel) incoming(q url.Values) (m sms.MO, p part, text octets, err error) {
	m = sms.MO{Gateway: k.config.Name, ID: oneLine(q.Get("id"), 64), At: kannelTime(q.Get("time"))}
	text = octets{octets: q.Get("text"), coding: q.Get("coding"), charset: q.Get("charset")}
	if m.From, m.To, err = moNumbers(q.Get("from"), q.Get("to"), k.config.Number); err != nil {
		return m, p, text, err
	}
	switch text.coding {
	case "", "0", "-1", "2":
	case "1":
		return m, p, text, noUse("an SMS of 8-bit data, which is no text")
	default:
		return m, p, text, malformed("coding is none of 0, 1 and 2: does the get-url have coding=%%c?")
	}
	if p = concatenation([]byte(q.Get("udh"))); p.count > 1 && m.ID == "" {
		return m, p, text, malformed("a segment of a long SMS has no id: the get-url needs id=%%I")
	}
	if p.count > 1 && len(text.octets) > maxSegment {
		return m, p, text, malformed("a segment of a long SMS has more octets than one can have")
	}
	return m, p, text, nil
}

// String reads the text. Kannel recodes GSM 7 to UTF-8, or, with alt-charset or before 1.4.2, to something that is Latin-1 if anything.
func (t octets) String() string {
	if t.coding == "2" {
		return sms.Decode([]byte(t.octets), sms.UCS2)
	}
	if utf8.ValidString(t.octets) && !strings.EqualFold(t.charset, "ISO-8859-1") {
		return t.octets
	}
	latin1 := make([]rune, len(t.octets))
	for i := range len(t.octets) {
		latin1[i] = rune(t.octets[i])
	}
	return string(latin1)
}
