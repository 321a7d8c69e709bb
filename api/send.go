package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// sending takes messages over HTTP: POST /to and its kin (docs/sending.md).
type sending struct {
	*API
	paces      paces // of messages
	quotes     paces
	book       book
	complained atomic.Int64 // when the log was last told that the store fails, Unix seconds
}

// roots are the routes, and what they say of a message.
var roots = []struct {
	path string
	root delivery.Root
}{{"/to", delivery.RootTo}, {"/app", delivery.RootApp}, {"/sms", delivery.RootSMS}}

func newSending(a *API) *sending {
	s := &sending{API: a}
	s.paces.set(a.cfg.SendRate)
	s.quotes.set(a.cfg.SendRate)
	return s
}

// SetSendRate changes how many messages a second a user may send.
func (a *API) SetSendRate(perSecond float64) {
	a.sending.paces.set(perSecond)
	a.sending.quotes.set(perSecond)
}

// mount mounts the routes.
func (s *sending) mount(site *site) {
	site.handle("POST /to", s.handler(s.send(delivery.RootTo)))
	for _, r := range roots {
		h := s.handler(s.send(r.root))
		site.handle("POST "+r.path+"/{address}", h)
		site.handle("POST "+r.path+"/{address}/{key}", h)
	}
	s.describeSending(site)
	register(site, s.ofUser(operation("POST /v1/quote", "quoteMessage", tagSend, "What would happen to a message, and what it would cost; nothing is sent")), s.quote)
}

// send answers 202 once the message is durable.
func (s *sending) send(root delivery.Root) Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		login, err := s.Login(r)
		if err != nil {
			return err
		}
		if err := s.paces.wait(r.Context(), s.stop, login.Address); err != nil {
			return err
		}
		body, err := ReadBody(w, r, s.cfg.Packet)
		if err != nil {
			return s.noBody(err)
		}
		if !s.cfg.People.Valid(login) { // the turn and the body took their time
			return unauthorized("the login ended before the message had come")
		}
		l, err := letterOf(r, body)
		if err != nil {
			return s.noMessage(RefusedMalformed, err)
		}
		m, why, err := s.message(login.Address, root, l)
		if err != nil {
			return s.noMessage(why, err)
		}
		m, err = s.cfg.Engine.Send(r.Context(), m)
		if err != nil {
			return s.unstored(w, r, err)
		}
		return accepted(w, m.ID, m.State, m.Reason)
	}
}

// noBody counts a body that is too large; of one that does not come nobody knows what it is.
func (s *sending) noBody(err error) error {
	var p *Problem
	if errors.As(err, &p) && p.Code == CodeTooLarge {
		s.refused[RefusedPacketSize].Add(1)
	}
	return err
}

// noMessage counts what is no message, and returns its Problem.
func (s *sending) noMessage(why Refusal, err error) error {
	s.refused[why].Add(1)
	var p *Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, errCharset):
		return NewProblem(http.StatusUnsupportedMediaType, CodeMediaType, "%v", err)
	}
	return badRequest("%v", err)
}

// letterOf reads what a request wants sent, from its path, query and body.
func letterOf(r *http.Request, body []byte) (l letter, err error) {
	var query url.Values
	if r.URL.RawQuery != "" {
		if query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
			return l, badRequest("the query cannot be read: %v", err)
		}
	}
	address, key, template := r.PathValue("address"), r.PathValue("key"), query.Get("template")
	switch {
	case template != "":
		if l, err = parseTemplate(template, body); key != "" || query.Has(fieldKey) {
			delete(l.fields, fieldKey) // the one that is given is meant
		}
	case address == "":
		l, err = parseNtfy(body)
	default:
		l, err = parseBody(r.Header.Get("Content-Type"), body)
	}
	if err != nil {
		return l, err
	}
	if address != "" {
		l.to = address
	}
	for name, values := range query {
		for _, value := range values {
			if err := l.query(name, value); err != nil {
				return l, err
			}
		}
	}
	if key != "" {
		err = l.set(fieldKey, key)
	}
	return l, err
}

// query takes a parameter over.
func (l *letter) query(name, value string) error {
	switch {
	case name == "template":
		return nil
	case name == fieldTo || name == fieldTopic:
		if l.to != "" && l.to != value {
			return badRequest("the address is given twice, and differently")
		}
		l.to = value
		return nil
	case isOption(name):
		return l.set(name, value)
	}
	return badRequest("there is no parameter %.40q; there are after, sms, receipts, expires, key, template, to", name)
}

// message makes a message of a letter; an error says why it is none. The sender is the login.
func (s *sending) message(from contacts.Address, root delivery.Root, l letter) (_ *delivery.Message, why Refusal, err error) {
	if l.to == "" {
		return nil, RefusedTopic, badRequest("to whom? The address stands in the path, as the field topic, or in the query as ?to=")
	}
	to, err := s.book.address(from, l.to, s.cfg.Region)
	if err != nil {
		return nil, RefusedTopic, err
	}
	if _, number := to.Number(); root == delivery.RootSMS && !number {
		return nil, RefusedTopic, badRequest("an SMS goes to a number, and %.40q is a name", to)
	}
	m := &delivery.Message{From: from, To: to, Root: root, Payload: l.payload}
	for name, value := range l.fields {
		why = RefusedProperty
		switch name {
		case fieldKey:
			why = RefusedTopic // where it stands on MQTT
			m.Key.Text, err = value, delivery.CheckKey(value)
		case fieldExpires:
			m.Expires, err = expiry(value, time.Now())
		default:
			err = m.SetOption(name, value)
		}
		if err != nil {
			return nil, why, err
		}
	}
	return m, 0, nil
}

// expiry reads when a message is no longer worth delivering: after a while, or at a moment.
func expiry(text string, now time.Time) (time.Time, error) {
	if d, err := config.ParseDuration(text); err == nil {
		if d <= 0 {
			return time.Time{}, badRequest("expires: %q is no time at all", text)
		}
		return now.Add(d.Std()), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, badRequest("expires is a duration such as 30m, 2h or 7d, or a moment such as 2026-11-24T18:00:00Z, not %.40q", text)
	}
	if !at.After(now) {
		return time.Time{}, badRequest("expires: %s is in the past", text)
	}
	return at, nil
}

// unstored answers when there is no new message: an earlier one has the key, or it could not be stored.
func (s *sending) unstored(w http.ResponseWriter, r *http.Request, err error) error {
	var known *delivery.Known
	switch {
	case errors.As(err, &known):
		return s.again(w, r, known.ID)
	case errors.Is(err, delivery.ErrStopped):
		return stopping()
	case errors.Is(err, delivery.ErrDisk):
		s.refused[RefusedDisk].Add(1)
		return NewProblem(http.StatusInsufficientStorage, CodeStorage, "the broker has too little free disk space; try again later").With("Retry-After", "60")
	case r.Context().Err() != nil:
		return stopping() // nobody hears it
	}
	s.refused[RefusedStore].Add(1)
	if now := time.Now().Unix(); s.complained.Swap(now) != now {
		s.cfg.Log.Error().Err(err).Msg("messages cannot be stored")
	}
	return NewProblem(http.StatusInsufficientStorage, CodeStorage, "the message could not be stored; try again").With("Retry-After", "5")
}

// again answers a retry with the first message, and how it is now.
func (s *sending) again(w http.ResponseWriter, r *http.Request, id delivery.ID) error {
	m, err := s.cfg.Messages.Message(r.Context(), id)
	switch {
	case errors.Is(err, delivery.ErrNotFound): // only its key is kept
		return accepted(w, id, delivery.Accepted, "")
	case err != nil:
		return err
	}
	return accepted(w, id, m.State, delivery.ReceiptOf(m, m.State).Reason)
}

// Sent is the answer to a message: it is durable, or stands for the one that a key names.
type Sent struct {
	ID     string          `json:"id" example:"01KASVW5G00ZT4Q8C3M9E7XB5R"`
	State  string          `json:"state" enum:"accepted,waiting,submitting,submitted,unknown,delivered,failed,expired" doc:"accepted; failed when that is known at once; of a message that was sent before, what it is now."`
	Reason delivery.Reason `json:"reason,omitempty"`
}

// accepted writes a Sent by hand: it is what most requests are answered, and nothing in it needs to be escaped.
func accepted(w http.ResponseWriter, id delivery.ID, state delivery.State, reason delivery.Reason) error {
	b := append(make([]byte, 0, 128), `{"id":"`...)
	b = append(append(append(b, id.String()...), `","state":"`...), state.String()...)
	if reason != "" {
		b = append(append(b, `","reason":"`...), reason...)
	}
	b = append(b, "\"}\n"...)
	w.Header()["Content-Type"] = jsonType
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(b)
	return nil
}

var jsonType = []string{"application/json"}

// wait holds back a user who sends faster than the rate: a moment, then the answer is 429.
func (p *paces) wait(ctx, stop context.Context, user contacts.Address) error {
	wait, ok := p.take(user, time.Now())
	if !ok {
		seconds := int((wait + time.Second - 1) / time.Second)
		return NewProblem(http.StatusTooManyRequests, CodeTooMany, "limits.send_rate: wait %d s before the next", seconds).With("Retry-After", strconv.Itoa(seconds))
	}
	if wait <= 0 {
		return nil
	}
	defer p.waited()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
	case <-stop.Done():
	}
	return stopping()
}
