package broker

import (
	"errors"
	"net/http"

	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/picture"
)

// Messages is a page of messages, newest first. Next is the `before` of the following page.
type Messages struct {
	Messages []picture.Message `json:"messages"`
	Next     string            `json:"next,omitempty"`
}

func (a *admin) listMessages(w http.ResponseWriter, r *http.Request) error {
	q, err := queryOf(r)
	if err != nil {
		return err
	}
	found, next, err := a.messages.List(r.Context(), q)
	if err != nil {
		return err
	}
	page := Messages{Messages: []picture.Message{}}
	for _, m := range found {
		page.Messages = append(page.Messages, picture.MessageOf(m))
	}
	if !next.IsZero() {
		page.Next = next.String()
	}
	return answer(w, http.StatusOK, page)
}

func queryOf(r *http.Request) (q delivery.Query, err error) {
	if err := checkQuery(r, "state", "to", "from", "before", "limit"); err != nil {
		return q, err
	}
	if q.Limit, err = limitOf(r); err != nil {
		return q, err
	}
	get := r.URL.Query().Get
	if text := get("to"); text != "" {
		if q.To, err = addressOf("to", text); err != nil {
			return q, err
		}
	}
	if text := get("from"); text != "" {
		if q.From, err = addressOf("from", text); err != nil {
			return q, err
		}
	}
	if text := get("before"); text != "" {
		if q.Before, err = delivery.ParseID(text); err != nil {
			return q, badRequest("before: %v", err)
		}
	}
	if text := get("state"); text != "" {
		state, ok := delivery.ParseState(text)
		if !ok || state == delivery.Pushing {
			return q, badRequest("state %q is none of accepted, waiting, submitting, submitted, unknown, delivered, failed, expired", text)
		}
		q.State = state
	}
	return q, nil
}

func (a *admin) explain(w http.ResponseWriter, r *http.Request) error {
	id, err := delivery.ParseID(r.PathValue("id"))
	if err != nil {
		return badRequest("id: %v", err)
	}
	m, err := a.messages.Message(r.Context(), id)
	if err != nil {
		return messageProblem(id, err)
	}
	return answer(w, http.StatusOK, picture.Of(m))
}

func (a *admin) order(o delivery.Order) route {
	return func(w http.ResponseWriter, r *http.Request) error {
		id, err := delivery.ParseID(r.PathValue("id"))
		if err != nil {
			return badRequest("id: %v", err)
		}
		m, err := a.engine.Do(r.Context(), id, o)
		if err != nil {
			return messageProblem(id, err)
		}
		return answer(w, http.StatusOK, picture.MessageOf(m))
	}
}

func messageProblem(id delivery.ID, err error) error {
	switch {
	case errors.Is(err, delivery.ErrNotFound):
		return problem(http.StatusNotFound, CodeNotFound, "there is no message %s", id)
	case errors.Is(err, delivery.ErrTooLate):
		return problem(http.StatusConflict, CodeTooLate, "the message can no longer take this order")
	case errors.Is(err, delivery.ErrFull):
		return problem(http.StatusConflict, CodeRefused, "the inbox of that user is full: %s", delivery.InboxFull)
	case errors.Is(err, delivery.ErrStopped):
		return problem(http.StatusServiceUnavailable, CodeUnavailable, "the broker is stopping")
	}
	return err
}
