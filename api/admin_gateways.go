package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
)

// A Gateway is what the operator is told of one: what it can do, and how it fares.
type Gateway struct {
	Name    string  `json:"name"`
	Kind    string  `json:"kind,omitempty" doc:"As in the configuration; none: given by the program that embeds the broker."`
	DLR     bool    `json:"dlr" doc:"It reports delivery."`
	Number  string  `json:"number,omitempty" doc:"Its SMS come from this number, whatever the originator."`
	Linked  bool    `json:"linked" doc:"false: it keeps a connection and has none now."`
	Paused  bool    `json:"paused" doc:"By an operator."`
	Until   string  `json:"until,omitempty" format:"date-time" doc:"It pauses by itself until then."`
	Cause   string  `json:"cause,omitempty" doc:"Why: the class of the answer, and what it said."`
	Window  int     `json:"window" doc:"SMS that may be under way now, less than configured after it throttled."`
	Rate    float64 `json:"rate,omitempty" doc:"Segments a second, likewise; none: no limit."`
	Under   int     `json:"under" doc:"SMS under way."`
	Waiting int     `json:"waiting" doc:"Messages that it is the first choice for."`
	Wire    bool    `json:"wire" doc:"What goes over its wire is logged."`
}

// Gateways is the answer of GET /v1/admin/gateways.
type Gateways struct {
	Gateways []Gateway `json:"gateways" nullable:"false"`
}

type gatewayPath struct {
	Name string `path:"name" doc:"As in the configuration." example:"carrier"`
}

func (a *API) listGateways(context.Context, *struct{}) (*out[Gateways], error) {
	return answer(Gateways{a.gateways()}, nil)
}

func (a *API) gateways() []Gateway {
	all := []Gateway{}
	for _, s := range a.cfg.Engine.Gateways() {
		all = append(all, a.status(s))
	}
	return all
}

func (a *API) status(s sms.Status) Gateway {
	v := Gateway{
		Name: s.Name, Linked: s.Linked, Paused: s.Paused, Until: date(s.Until), Window: s.Window, Rate: s.Rate, Under: s.Under, Waiting: s.Waiting,
	}
	if s.Cause != 0 {
		v.Cause = because(s.Err)
	}
	if g, ok := a.fitted(s.Name); ok {
		can := g.Abilities()
		v.Kind, v.DLR, v.Number, v.Wire = g.Kind(), can.DLR, string(can.Number), g.Wire().On()
	}
	return v
}

// because says what a gateway answered. Of what is no *sms.Error only the class is told: its text may have a URL with a password in it.
func because(err error) string {
	var e *sms.Error
	if errors.As(err, &e) {
		return e.Error()
	}
	return sms.ClassOf(err).String()
}

// fitted finds the gateway of a name.
func (a *API) fitted(name string) (Fitted, bool) {
	for _, g := range a.cfg.Gateways {
		if g.Name() == name {
			return g, true
		}
	}
	return nil, false
}

// gateway finds the gateway that a path names.
func (a *API) gateway(name string) (Fitted, error) {
	if g, ok := a.fitted(name); ok {
		return g, nil
	}
	var names []string
	for _, g := range a.cfg.Gateways {
		names = append(names, g.Name())
	}
	return nil, NewProblem(http.StatusNotFound, CodeNotFound, "there is no gateway of this name; there are %s", strings.Join(names, ", "))
}

// now tells how a gateway fares.
func (a *API) now(name string) (*out[Gateway], error) {
	for _, s := range a.cfg.Engine.Gateways() {
		if s.Name == name {
			return answer(a.status(s), nil)
		}
	}
	return nil, NewProblem(http.StatusNotFound, CodeNotFound, "the engine has no gateway of this name")
}

// How long POST /v1/admin/gateways/{name}/pause?drain=true waits, unless told, and at most.
const (
	drainWait = 20 * time.Second
	drainPoll = 20 * time.Millisecond
)

// pauseGateway answers at once, or with drain=true once nothing is under way any more; when that takes too long the answer says what still is.
func (a *API) pauseGateway(ctx context.Context, in *struct {
	Name  string `path:"name" doc:"As in the configuration." example:"carrier"`
	Drain bool   `query:"drain" doc:"Answer once nothing is under way any more."`
	Wait  string `query:"wait" default:"20s" doc:"At the latest then: a duration of up to 20s."`
}) (*out[Gateway], error) {
	g, err := a.gateway(in.Name)
	if err != nil {
		return nil, err
	}
	wait, err := time.ParseDuration(in.Wait)
	if err != nil || wait <= 0 || wait > drainWait {
		return nil, badRequest("wait %q is not a duration of up to %v, such as 5s", in.Wait, drainWait)
	}
	if err := a.cfg.Engine.Pause(g.Name()); err != nil {
		return nil, err
	}
	if in.Drain {
		a.drained(ctx, g.Name(), wait)
	}
	return a.now(g.Name())
}

// drained waits until nothing is under way at a gateway. It looks again and again, since the dispatcher has no event for it that all the others would not pay for.
func (a *API) drained(ctx context.Context, name string, wait time.Duration) {
	ctx, end := a.waiting(ctx)
	defer end()
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	again := time.NewTicker(drainPoll)
	defer again.Stop()
	for ctx.Err() == nil && a.under(name) > 0 {
		select {
		case <-again.C:
		case <-ctx.Done():
		}
	}
}

func (a *API) under(name string) int {
	for _, s := range a.cfg.Engine.Gateways() {
		if s.Name == name {
			return s.Under
		}
	}
	return 0
}

func (a *API) resumeGateway(_ context.Context, in *gatewayPath) (*out[Gateway], error) {
	g, err := a.gateway(in.Name)
	if err != nil {
		return nil, err
	}
	if err := a.cfg.Engine.Resume(g.Name()); err != nil {
		return nil, err
	}
	return a.now(g.Name())
}

// A WireSwitch is the body of POST /v1/admin/gateways/{name}/wire.
type WireSwitch struct {
	On bool `json:"on"`
}

// setWire switches a gateway's wire log.
func (a *API) setWire(_ context.Context, in *struct {
	Name string `path:"name" doc:"As in the configuration." example:"carrier"`
	Body WireSwitch
}) (*out[Gateway], error) {
	g, err := a.gateway(in.Name)
	if err != nil {
		return nil, err
	}
	switch {
	case g.Wire() == nil && in.Body.On:
		return nil, NewProblem(http.StatusConflict, CodeRefused, "a gateway of kind %s has no wire to log", g.Kind())
	case g.Wire() != nil:
		g.Wire().Set(in.Body.On)
	}
	return a.now(g.Name())
}

// A GatewayTest is the body of POST /v1/admin/gateways/{name}/test.
type GatewayTest struct {
	Number string `json:"number" doc:"As people write it." example:"+49 176 04069001"`
	Text   string `json:"text,omitempty" maxLength:"1000"`
}

// A Test is what became of an SMS that tries a gateway.
type Test struct {
	Gateway  string        `json:"gateway"`
	To       string        `json:"to"`
	Taken    bool          `json:"taken" doc:"The gateway took every segment."`
	Segments []TestSegment `json:"segments" nullable:"false"`
	Price    string        `json:"price,omitempty" example:"0.075 EUR"`
}

// A TestSegment is what became of one segment of a Test.
type TestSegment struct {
	Segment int    `json:"segment"`
	ID      string `json:"id,omitempty" doc:"The gateway's."`
	Error   string `json:"error,omitempty" doc:"Why it was not taken."`
}

const maxTestText = 1000 // octets

// testGateway sends an SMS through one gateway, past the routes and with no message behind it.
func (a *API) testGateway(ctx context.Context, in *struct {
	Name string `path:"name" doc:"As in the configuration." example:"carrier"`
	Body GatewayTest
}) (*out[Test], error) {
	ctx, end := a.waiting(ctx)
	defer end()
	g, err := a.gateway(in.Name)
	if err != nil {
		return nil, err
	}
	to, err := ParseNumber("number", in.Body.Number, a.cfg.Region)
	if err != nil {
		return nil, err
	}
	text := in.Body.Text
	if text == "" {
		text = fmt.Sprintf("This SMS tests the gateway %s.", g.Name())
	}
	if len(text) > maxTestText || !utf8.ValidString(text) {
		return nil, badRequest("text: write up to %d octets of text", maxTestText)
	}
	if a.cfg.Engine.OptOuts().Out(to) {
		return nil, NewProblem(http.StatusConflict, CodeRefused, "%s does not want SMS from us; see godwit optout", to.Mask())
	}
	outcomes, price, err := a.cfg.Engine.Test(ctx, g.Name(), to, text)
	if err != nil {
		return nil, testProblem(to, err)
	}
	return answer(testOf(g.Name(), to, outcomes, price), nil)
}

func testOf(gateway string, to contacts.Number, outcomes []sms.Outcome, price sms.Money) Test {
	t := Test{Gateway: gateway, To: string(to), Taken: len(outcomes) > 0, Segments: []TestSegment{}, Price: price.String()}
	for _, o := range outcomes {
		s := TestSegment{Segment: o.Segment, ID: o.ID}
		if o.Err != nil {
			s.Error, t.Taken = because(o.Err), false
		}
		t.Segments = append(t.Segments, s)
	}
	return t
}

// testProblem says why an SMS was not even tried.
func testProblem(to contacts.Number, err error) error {
	var over *sms.OverLimit
	switch {
	case errors.As(err, &over):
		return NewProblem(http.StatusConflict, CodeRefused, "%s: see sms.budget and sms.caps", delivery.LimitReason(over.Key))
	case errors.Is(err, sms.ErrTooLong):
		return badRequest("%v", err)
	case errors.Is(err, delivery.ErrDenied):
		return NewProblem(http.StatusConflict, CodeRefused, "sms.allow, sms.deny and the prices of a budget have no SMS go to %s", to.Mask())
	case errors.Is(err, delivery.ErrStopped):
		return stopping()
	}
	return err
}
