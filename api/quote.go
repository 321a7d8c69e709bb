package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/delivery"
)

// A Question is the body of POST /v1/quote.
type Question struct {
	To   string `json:"to" doc:"As people write it." example:"+49 176 04069001"`
	Text string `json:"text" example:"hello"`
}

// An Estimate is what would happen to a message; nothing is sent.
type Estimate struct {
	Way      string          `json:"way" enum:"push,sms,waiting,failed" doc:"push: to the app first; sms: at once; waiting and failed: see reason."`
	Wait     string          `json:"wait,omitempty" doc:"push: after this it becomes an SMS, when no device is ready." example:"10s"`
	Segments int             `json:"segments,omitempty" doc:"Of the SMS that it is, or becomes."`
	Price    string          `json:"price,omitempty" doc:"Of all segments." example:"0.05 EUR"`
	Reason   delivery.Reason `json:"reason,omitempty"`
}

func (s *sending) quote(ctx context.Context, in *struct{ Body Question }) (*out[Estimate], error) {
	user := userOf(ctx)
	if err := s.quotes.wait(ctx, s.stop, user); err != nil {
		return nil, err
	}
	to, err := s.book.address(user, in.Body.To, s.cfg.Region)
	if err != nil {
		return nil, err
	}
	if in.Body.Text == "" {
		return nil, badRequest("text: %v", errNoText)
	}
	q, err := s.cfg.Engine.Quote(ctx, user, to, []byte(in.Body.Text))
	switch {
	case errors.Is(err, delivery.ErrAsked):
		return nil, NewProblem(http.StatusTooManyRequests, CodeRateContacts, "you have asked about as many new numbers today as contacts.changes_per_day allows; those of today can be asked about again")
	case errors.Is(err, delivery.ErrStopped):
		return nil, stopping()
	case err != nil:
		return nil, err
	}
	e := Estimate{Way: string(q.Way), Segments: q.Segments, Price: q.Price.String(), Reason: q.Reason}
	if wait := q.Wait.Round(time.Millisecond); wait > 0 {
		e.Wait = config.Duration(wait).String()
	}
	return answer(e, nil)
}
