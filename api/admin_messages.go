package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/picture"
)

// Messages is a page of messages, newest first.
type Messages struct {
	Messages []picture.Message `json:"messages" nullable:"false"`
	Next     string            `json:"next,omitempty" doc:"The before of the following page; none: this is the last."`
}

type messageFilter struct {
	State  string `query:"state" enum:"accepted,waiting,submitting,submitted,unknown,delivered,failed,expired"`
	Open   bool   `query:"open" doc:"Only messages that are not settled: on their way, whatever they wait for."`
	To     string `query:"to"`
	From   string `query:"from"`
	Before string `query:"before" doc:"The next of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

func (a *API) listMessages(ctx context.Context, in *messageFilter) (*out[Messages], error) {
	q, err := in.query()
	if err != nil {
		return nil, err
	}
	page := Messages{Messages: []picture.Message{}}
	for {
		found, next, err := a.cfg.Messages.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, m := range found {
			if v := picture.MessageOf(m); !in.Open || !v.Final {
				page.Messages = append(page.Messages, v)
			}
		}
		page.Next = ""
		if !next.IsZero() {
			page.Next = next.String()
		}
		if !in.Open || next.IsZero() || len(page.Messages) > 0 {
			return answer(page, nil)
		}
		q.Before = next
	}
}

func (f *messageFilter) query() (q delivery.Query, err error) {
	q.Limit = f.Limit
	if f.State != "" {
		q.State, _ = delivery.ParseState(f.State)
	}
	for _, side := range []struct {
		name, text string
		address    *contacts.Address
	}{{"to", f.To, &q.To}, {"from", f.From, &q.From}} {
		if side.text != "" {
			if *side.address, err = addressOf(side.name, side.text); err != nil {
				return q, err
			}
		}
	}
	if f.Before != "" {
		q.Before, err = idOf("before", f.Before)
	}
	return q, err
}

type messagePath struct {
	ID string `path:"id" example:"01KASVW5G00ZT4Q8C3M9E7XB5R"`
}

func (a *API) explain(ctx context.Context, in *messagePath) (*out[picture.Path], error) {
	id, err := idOf("id", in.ID)
	if err != nil {
		return nil, err
	}
	m, err := a.cfg.Messages.Message(ctx, id)
	if err != nil {
		return nil, messageProblem(id, err)
	}
	return answer(picture.Of(m), nil)
}

func (a *API) order(o delivery.Order) func(ctx context.Context, in *messagePath) (*out[picture.Message], error) {
	return func(ctx context.Context, in *messagePath) (*out[picture.Message], error) {
		id, err := idOf("id", in.ID)
		if err != nil {
			return nil, err
		}
		m, err := a.cfg.Engine.Do(ctx, id, o)
		if err != nil {
			return nil, messageProblem(id, err)
		}
		return answer(picture.MessageOf(m), nil)
	}
}

func messageProblem(id delivery.ID, err error) error {
	switch {
	case errors.Is(err, delivery.ErrNotFound):
		return NewProblem(http.StatusNotFound, CodeNotFound, "there is no message %s", id)
	case errors.Is(err, delivery.ErrTooLate):
		return NewProblem(http.StatusConflict, CodeTooLate, "the message can no longer take this order")
	case errors.Is(err, delivery.ErrFull):
		return NewProblem(http.StatusConflict, CodeRefused, "the inbox of that user is full: %s", delivery.InboxFull)
	case errors.Is(err, delivery.ErrStopped):
		return stopping()
	}
	return err
}

func stopping() *Problem {
	return NewProblem(http.StatusServiceUnavailable, CodeUnavailable, "the broker is stopping; try again").With("Retry-After", "5")
}
