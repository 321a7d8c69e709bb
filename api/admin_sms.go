package api

import (
	"context"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/picture"
	"github.com/seed-7a41469f/godwit/sms"
)

// An OptOut is a number that gets no SMS any more.
type OptOut struct {
	Number  string `json:"number" example:"4917604069001"`
	Word    string `json:"word,omitempty" doc:"The stop word that its owner wrote; none: an operator did it."`
	Gateway string `json:"gateway,omitempty" doc:"By which that came."`
	At      string `json:"at" format:"date-time"`
	Note    string `json:"note,omitempty" doc:"The operator's."`
}

// OptOuts is a page of them in the order of their numbers.
type OptOuts struct {
	OptOuts []OptOut `json:"optouts" nullable:"false"`
	Next    string   `json:"next,omitempty" doc:"The after of the following page; none: this is the last."`
}

// NewOptOut is the body of POST /v1/admin/optouts.
type NewOptOut struct {
	Number string `json:"number" doc:"As people write it." example:"+49 176 04069001"`
	Note   string `json:"note,omitempty" maxLength:"100"`
}

func (a *API) listOptOuts(_ context.Context, in *struct {
	After string `query:"after" doc:"The next of the page before."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}) (*out[OptOuts], error) {
	var found []OptOut
	for _, o := range a.cfg.Engine.OptOuts().List(contacts.Number(in.After), in.Limit+1) {
		found = append(found, optOutOf(o))
	}
	page, next := cut(found, in.Limit, func(o OptOut) string { return o.Number })
	return answer(OptOuts{page, next}, nil)
}

func optOutOf(o sms.OptOut) OptOut {
	return OptOut{Number: string(o.Number), Word: o.Word, Gateway: o.Gateway, At: date(o.At), Note: o.Note}
}

const maxNote = 100 // octets

// addOptOut opts a number out by an operator's decision.
func (a *API) addOptOut(ctx context.Context, in *struct{ Body NewOptOut }) (*out[OptOut], error) {
	n, err := ParseNumber("number", in.Body.Number, a.cfg.Region)
	if err != nil {
		return nil, err
	}
	if len(in.Body.Note) > maxNote || !utf8.ValidString(in.Body.Note) {
		return nil, badRequest("note: write up to %d bytes of text", maxNote)
	}
	all := a.cfg.Engine.OptOuts()
	if all.Out(n) {
		return nil, NewProblem(http.StatusConflict, CodeExists, "%s is opted out already", n.Mask())
	}
	o := sms.OptOut{Number: n, At: time.Now(), Note: in.Body.Note}
	return answer(optOutOf(o), all.Add(ctx, o))
}

// removeOptOut lets a number get SMS again; only an operator may.
func (a *API) removeOptOut(ctx context.Context, in *struct {
	Number string `path:"number" doc:"As people write it." example:"4917604069001"`
}) (*none, error) {
	n, err := ParseNumber("number", in.Number, a.cfg.Region)
	if err != nil {
		return nil, err
	}
	was, err := a.cfg.Engine.OptOuts().Remove(ctx, n)
	if err == nil && !was {
		err = NewProblem(http.StatusNotFound, CodeNotFound, "%s is not opted out", n.Mask())
	}
	return nil, err
}

// An UnmatchedSMS came in and belongs to no conversation.
type UnmatchedSMS struct {
	ID   string `json:"id"`
	From string `json:"from" doc:"The peer, as the carrier gave it."`
	To   string `json:"to" doc:"Our number."`
	Text string `json:"text"`
	At   string `json:"at" format:"date-time"`
}

// Unmatched is a page of them, newest first.
type Unmatched struct {
	Unmatched []UnmatchedSMS `json:"unmatched" nullable:"false"`
	Next      string         `json:"next,omitempty" doc:"The before of the following page; none: this is the last."`
}

func (a *API) listUnmatched(ctx context.Context, in *struct {
	Before string `query:"before" doc:"The next of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}) (*out[Unmatched], error) {
	var before delivery.ID
	if in.Before != "" {
		var err error
		if before, err = idOf("before", in.Before); err != nil {
			return nil, err
		}
	}
	found, next, err := a.cfg.Engine.Unmatched(ctx, before, in.Limit)
	if err != nil {
		return nil, err
	}
	page := Unmatched{Unmatched: []UnmatchedSMS{}}
	for _, m := range found {
		page.Unmatched = append(page.Unmatched, UnmatchedSMS{
			ID: m.ID.String(), From: string(m.From), To: string(m.Own), Text: string(m.Payload), At: date(m.Accepted),
		})
	}
	if !next.IsZero() {
		page.Next = next.String()
	}
	return answer(page, nil)
}

// An Assignment is the body of POST /v1/admin/unmatched/{id}/assign.
type Assignment struct {
	Address string `json:"address" doc:"The user that the SMS is for." example:"4917604069001"`
}

// assign gives an unmatched SMS to the user that it is for.
func (a *API) assign(ctx context.Context, in *struct {
	ID   string `path:"id" example:"01KASVW5G00ZT4Q8C3M9E7XB5R"`
	Body Assignment
}) (*out[picture.Message], error) {
	id, err := idOf("id", in.ID)
	if err != nil {
		return nil, err
	}
	to, err := ParseAddress("address", in.Body.Address, a.cfg.Region)
	if err != nil {
		return nil, err
	}
	m, err := a.cfg.Engine.Assign(ctx, id, to)
	switch {
	case errors.Is(err, delivery.ErrNoUser):
		return nil, noUser(to)
	case errors.Is(err, delivery.ErrTooLate):
		return nil, NewProblem(http.StatusConflict, CodeTooLate, "the SMS was assigned already, or its time is over")
	case err != nil:
		return nil, messageProblem(id, err)
	}
	return answer(picture.MessageOf(m), nil)
}

// Money is what SMS have cost this day and month of UTC, and may cost; a field without a value is left out: no prices, or no budget.
type Money struct {
	Day         string `json:"day,omitempty" example:"1.2 EUR"`
	DayBudget   string `json:"day_budget,omitempty" example:"50 EUR"`
	Month       string `json:"month,omitempty" example:"31.05 EUR"`
	MonthBudget string `json:"month_budget,omitempty" example:"800 EUR"`
}

func (a *API) money(ctx context.Context, _ *struct{}) (*out[Money], error) {
	return answer(a.spend(ctx))
}

func (a *API) spend(ctx context.Context) (Money, error) {
	s, err := a.cfg.Engine.Spend(ctx)
	if err != nil {
		return Money{}, err
	}
	return Money{Day: s.Day.String(), DayBudget: s.DayBudget.String(), Month: s.Month.String(), MonthBudget: s.MonthBudget.String()}, nil
}
