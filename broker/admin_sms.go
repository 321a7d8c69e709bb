package broker

import (
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
	Number  string `json:"number"`
	Word    string `json:"word,omitempty"`    // what its owner wrote; none: an operator did it
	Gateway string `json:"gateway,omitempty"` // by which that came
	At      string `json:"at"`
	Note    string `json:"note,omitempty"` // the operator's
}

// OptOuts is a page of them in the order of their numbers. Next is the `after` of the following page.
type OptOuts struct {
	OptOuts []OptOut `json:"optouts"`
	Next    string   `json:"next,omitempty"`
}

func (a *admin) listOptOuts(w http.ResponseWriter, r *http.Request) error {
	if err := checkQuery(r, "after", "limit"); err != nil {
		return err
	}
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	page := OptOuts{OptOuts: []OptOut{}}
	for _, o := range a.engine.OptOuts().List(contacts.Number(r.URL.Query().Get("after")), limit+1) {
		if len(page.OptOuts) == limit {
			page.Next = page.OptOuts[limit-1].Number
			break
		}
		page.OptOuts = append(page.OptOuts, optOutOf(o))
	}
	return answer(w, http.StatusOK, page)
}

func optOutOf(o sms.OptOut) OptOut {
	return OptOut{Number: string(o.Number), Word: o.Word, Gateway: o.Gateway, At: date(o.At), Note: o.Note}
}

// addOptOut opts a number out by an operator's decision.
func (a *admin) addOptOut(w http.ResponseWriter, r *http.Request) error {
	var ask struct {
		Number string `json:"number"`
		Note   string `json:"note"`
	}
	if err := readBody(w, r, &ask); err != nil {
		return err
	}
	n, err := numberOf("number", ask.Number, a.region)
	if err != nil {
		return err
	}
	if len(ask.Note) > maxLabel || !utf8.ValidString(ask.Note) {
		return badRequest("note: write up to %d bytes of text", maxLabel)
	}
	all := a.engine.OptOuts()
	if all.Out(n) {
		return problem(http.StatusConflict, CodeExists, "%s is opted out already", n.Mask())
	}
	o := sms.OptOut{Number: n, At: time.Now(), Note: ask.Note}
	if err := all.Add(r.Context(), o); err != nil {
		return err
	}
	return answer(w, http.StatusCreated, optOutOf(o))
}

// removeOptOut lets a number get SMS again; only an operator may.
func (a *admin) removeOptOut(w http.ResponseWriter, r *http.Request) error {
	n, err := numberOf("number", r.PathValue("number"), a.region)
	if err != nil {
		return err
	}
	was, err := a.engine.OptOuts().Remove(r.Context(), n)
	if err != nil {
		return err
	}
	if !was {
		return problem(http.StatusNotFound, CodeNotFound, "%s is not opted out", n.Mask())
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// An UnmatchedSMS came in and belongs to no conversation.
type UnmatchedSMS struct {
	ID   string `json:"id"`
	From string `json:"from"` // the peer
	To   string `json:"to"`   // our number
	Text string `json:"text"`
	At   string `json:"at"`
}

// Unmatched is a page of them, newest first. Next is the `before` of the following page.
type Unmatched struct {
	Unmatched []UnmatchedSMS `json:"unmatched"`
	Next      string         `json:"next,omitempty"`
}

func (a *admin) listUnmatched(w http.ResponseWriter, r *http.Request) error {
	if err := checkQuery(r, "before", "limit"); err != nil {
		return err
	}
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	var before delivery.ID
	if text := r.URL.Query().Get("before"); text != "" {
		if before, err = delivery.ParseID(text); err != nil {
			return badRequest("before: %v", err)
		}
	}
	found, next, err := a.engine.Unmatched(r.Context(), before, limit)
	if err != nil {
		return err
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
	return answer(w, http.StatusOK, page)
}

// assign gives an unmatched SMS to the user that it is for.
func (a *admin) assign(w http.ResponseWriter, r *http.Request) error {
	id, err := delivery.ParseID(r.PathValue("id"))
	if err != nil {
		return badRequest("id: %v", err)
	}
	var ask struct {
		Address string `json:"address"`
	}
	if err := readBody(w, r, &ask); err != nil {
		return err
	}
	to, err := addressIn("address", ask.Address, a.region)
	if err != nil {
		return err
	}
	m, err := a.engine.Assign(r.Context(), id, to)
	switch {
	case errors.Is(err, delivery.ErrNoUser):
		return noUser(to)
	case errors.Is(err, delivery.ErrTooLate):
		return problem(http.StatusConflict, CodeTooLate, "the SMS was assigned already, or its time is over")
	case err != nil:
		return messageProblem(id, err)
	}
	return answer(w, http.StatusOK, picture.MessageOf(m))
}

// Money is what SMS have cost this day and month of UTC, and may cost; a field without a value is left out: no prices, or no budget.
type Money struct {
	Day         string `json:"day,omitempty"`
	DayBudget   string `json:"day_budget,omitempty"`
	Month       string `json:"month,omitempty"`
	MonthBudget string `json:"month_budget,omitempty"`
}

func (a *admin) money(w http.ResponseWriter, r *http.Request) error {
	if err := checkQuery(r); err != nil {
		return err
	}
	s, err := a.engine.Spend(r.Context())
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, Money{Day: s.Day.String(), DayBudget: s.DayBudget.String(), Month: s.Month.String(), MonthBudget: s.MonthBudget.String()})
}
