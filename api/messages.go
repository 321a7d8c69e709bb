package api

import (
	"context"
	"net/http"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/picture"
)

// An OwnMessage is a message of the user who asks, sent or received.
type OwnMessage struct {
	picture.Message
	Direction string `json:"direction" enum:"in,out"`
	Text      string `json:"text,omitempty"`
	Data      []byte `json:"data,omitempty" doc:"In base64, of a message that is not text."`
}

// OwnMessages is a page of them, newest first.
type OwnMessages struct {
	Messages []OwnMessage `json:"messages" nullable:"false"`
	Next     string       `json:"next,omitempty" doc:"The before of the following page; none: this is the last."`
}

// An OwnPath is a message and why it went the way it went, as far as the user who asks may know.
type OwnPath struct {
	Message OwnMessage     `json:"message"`
	Trail   []picture.Step `json:"trail" nullable:"false"`
}

// own mounts what a user asks about the own messages.
func (a *API) own(s *site) {
	register(s, a.ofUser(operation("GET /v1/messages", "listMessages", tagMessages, "One's own messages, sent and received, newest first")), a.listOwn)
	register(s, a.ofUser(operation("GET /v1/messages/{id}", "getMessage", tagMessages, "One message and its trail")), a.showOwn)
	register(s, a.ofUser(operation("POST /v1/messages/{id}/sms", "sendAsSMS", tagMessages, "The sender: no waiting, an SMS now")), a.orderOwn(delivery.SMSNow))
	register(s, a.ofUser(operation("POST /v1/messages/{id}/app", "holdToApp", tagMessages, "The sender: no SMS, wait for the app")), a.orderOwn(delivery.HoldApp))
	register(s, a.ofUser(operation("POST /v1/messages/{id}/cancel", "cancelMessage", tagMessages, "The sender: do not deliver it")), a.orderOwn(delivery.Cancel))
	register(s, a.ofUser(operation("POST /v1/messages/{id}/ack", "acknowledgeMessage", tagMessages, "The recipient: it has arrived, which counts like a PUBACK")), a.orderOwn(delivery.Acknowledge))
}

type userKey struct{}

// ofUser lets an operation be called by who has logged in; userOf says who that is.
func (a *API) ofUser(op huma.Operation) huma.Operation {
	op.Security = []map[string][]string{{schemeBasic: {}}, {schemeBearer: {}}}
	op.Middlewares = append(op.Middlewares, func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		login, err := a.Login(r)
		if err != nil {
			a.Fail(w, r, err)
			return
		}
		next(huma.WithValue(ctx, userKey{}, login.Address))
	})
	return op
}

func userOf(ctx context.Context) contacts.Address {
	user, _ := ctx.Value(userKey{}).(contacts.Address)
	return user
}

// A side is what a user is to a message.
type side uint8

const (
	sender side = 1 << iota
	recipient
)

// sideOf says what a user is to a message; 0: it is none of the user's business. An SMS that came in, or that the broker itself wrote, has no sender who could
// log in, whatever number it says it is from. What was over before the user registered may be somebody else's, who had the number then.
func (a *API) sideOf(user contacts.Address, m *delivery.Message) (s side) {
	if m.From == user && m.Root != delivery.RootMO && !m.Service {
		s |= sender
	}
	if m.To == user {
		s |= recipient
	}
	if s == 0 {
		return 0
	}
	u, ok := a.cfg.People.User(user)
	switch {
	case !ok:
		return 0
	case !m.Accepted.Before(u.Registered):
		return s
	case s&recipient != 0 && (!m.Settled() || m.Via == delivery.ViaPush && !m.At.Before(u.Registered)):
		return s
	}
	return 0
}

func ownMessage(m *delivery.Message, s side) OwnMessage {
	v := OwnMessage{Message: picture.MessageOf(m), Direction: "out"}
	if s&sender == 0 {
		v.Direction, v.Message = "in", v.ForRecipient()
	}
	if utf8.Valid(m.Payload) {
		v.Text = string(m.Payload)
	} else {
		v.Data = m.Payload
	}
	return v
}

func (a *API) listOwn(ctx context.Context, in *struct {
	With   string `query:"with" doc:"Only the conversation with this address, as people write it." example:"+49 176 04069001"`
	Before string `query:"before" doc:"The next of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}) (*out[OwnMessages], error) {
	user := userOf(ctx)
	q := delivery.Query{User: user, Limit: in.Limit}
	var err error
	if in.With != "" {
		if q.Peer, err = a.peer(user, in.With); err != nil {
			return nil, err
		}
	}
	if in.Before != "" {
		if q.Before, err = idOf("before", in.Before); err != nil {
			return nil, err
		}
	}
	found, next, err := a.cfg.Messages.List(ctx, q)
	if err != nil {
		return nil, err
	}
	page := OwnMessages{Messages: make([]OwnMessage, 0, len(found))}
	for _, m := range found {
		if s := a.sideOf(user, m); s != 0 {
			page.Messages = append(page.Messages, ownMessage(m, s))
		}
	}
	if !next.IsZero() {
		page.Next = next.String()
	}
	return answer(page, nil)
}

// peer reads the other side of a conversation. The sender of an SMS that came in may be something that is no address, and is named as it is then.
func (a *API) peer(user contacts.Address, text string) (contacts.Address, error) {
	peer, err := ParseAddress("with", text, regionOf(user, a.cfg.Region))
	if err != nil && (text[0] >= 'A' && text[0] <= 'Z' || text[0] >= 'a' && text[0] <= 'z' || text[0] >= utf8.RuneSelf) {
		return contacts.Address(text), nil
	}
	return peer, err
}

// ownOf reads a message of a user. That somebody else has one of this id is not told.
func (a *API) ownOf(ctx context.Context, text string) (*delivery.Message, side, error) {
	id, err := idOf("id", text)
	if err != nil {
		return nil, 0, err
	}
	m, err := a.cfg.Messages.Message(ctx, id)
	if err != nil {
		return nil, 0, messageProblem(id, err)
	}
	s := a.sideOf(userOf(ctx), m)
	if s == 0 {
		return nil, 0, messageProblem(id, delivery.ErrNotFound)
	}
	return m, s, nil
}

func (a *API) showOwn(ctx context.Context, in *messagePath) (*out[OwnPath], error) {
	m, s, err := a.ownOf(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	p := picture.Of(m)
	switch s {
	case sender:
		p = picture.ForSender(p)
	case recipient:
		p = picture.ForRecipient(p)
	}
	return answer(OwnPath{Message: ownMessage(m, s), Trail: p.Trail}, nil)
}

// orderOwn gives an order that the sender may give, or acknowledges for the recipient.
func (a *API) orderOwn(o delivery.Order) func(ctx context.Context, in *messagePath) (*out[picture.Message], error) {
	needs, who := sender, "sender"
	if o == delivery.Acknowledge {
		needs, who = recipient, "recipient"
	}
	return func(ctx context.Context, in *messagePath) (*out[picture.Message], error) {
		m, s, err := a.ownOf(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		if s&needs == 0 {
			return nil, NewProblem(http.StatusForbidden, CodeForbidden, "only the %s of a message may ask this", who)
		}
		if _, number := m.To.Number(); o == delivery.SMSNow && !number {
			return nil, NewProblem(http.StatusConflict, CodeRefused, "a name never gets an SMS")
		}
		now, err := a.cfg.Engine.Do(ctx, m.ID, o)
		if err != nil {
			return nil, messageProblem(m.ID, err)
		}
		v := picture.MessageOf(now)
		if s&sender == 0 {
			v = v.ForRecipient()
		}
		return answer(v, nil)
	}
}
