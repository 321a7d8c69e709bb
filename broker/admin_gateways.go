package broker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
)

// A Gateway is what the API tells of one: what it can do, and how it fares.
type Gateway struct {
	Name    string  `json:"name"`
	Kind    string  `json:"kind,omitempty"`   // as in the configuration; none: given by the program that embeds the broker
	DLR     bool    `json:"dlr"`              // reports delivery
	Number  string  `json:"number,omitempty"` // its SMS come from this number, whatever the originator
	Linked  bool    `json:"linked"`           // false: it keeps a connection and has none now
	Paused  bool    `json:"paused"`           // by an operator
	Until   string  `json:"until,omitempty"`  // it pauses by itself until then
	Cause   string  `json:"cause,omitempty"`  // why: the class of the answer, and what it said
	Window  int     `json:"window"`           // SMS that may be under way now, less than configured after it throttled
	Rate    float64 `json:"rate,omitempty"`   // segments a second, likewise; none: no limit
	Under   int     `json:"under"`            // SMS under way
	Waiting int     `json:"waiting"`          // messages that it is the first choice for
	Wire    bool    `json:"wire"`             // what goes over its wire is logged
}

// Gateways is the answer of GET /v1/admin/gateways.
type Gateways struct {
	Gateways []Gateway `json:"gateways"`
}

func (a *admin) listGateways(w http.ResponseWriter, r *http.Request) error {
	if err := checkQuery(r); err != nil {
		return err
	}
	list := Gateways{Gateways: []Gateway{}}
	for _, s := range a.engine.Gateways() {
		list.Gateways = append(list.Gateways, a.status(s))
	}
	return answer(w, http.StatusOK, list)
}

func (a *admin) status(s sms.Status) Gateway {
	v := Gateway{
		Name: s.Name, Linked: s.Linked, Paused: s.Paused, Until: date(s.Until), Window: s.Window, Rate: s.Rate, Under: s.Under, Waiting: s.Waiting,
	}
	if s.Cause != 0 {
		v.Cause = because(s.Err)
	}
	if m, ok := a.meter(s.Name); ok {
		can := m.Abilities()
		v.Kind, v.DLR, v.Number, v.Wire = m.kind, can.DLR, string(can.Number), m.wire.On()
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

// meter finds the gateway of a name.
func (a *admin) meter(name string) (*meter, bool) {
	for _, m := range a.gateways {
		if m.Name() == name {
			return m, true
		}
	}
	return nil, false
}

// gateway finds the gateway that a path names.
func (a *admin) gateway(r *http.Request) (*meter, error) {
	m, ok := a.meter(r.PathValue("name"))
	if !ok {
		return nil, problem(http.StatusNotFound, CodeNotFound, "there is no gateway of this name; there are %s", strings.Join(a.names(), ", "))
	}
	return m, nil
}

func (a *admin) names() (names []string) {
	for _, m := range a.gateways {
		names = append(names, m.Name())
	}
	return names
}

// answerGateway tells how a gateway fares now.
func (a *admin) answerGateway(w http.ResponseWriter, name string) error {
	for _, s := range a.engine.Gateways() {
		if s.Name == name {
			return answer(w, http.StatusOK, a.status(s))
		}
	}
	return problem(http.StatusNotFound, CodeNotFound, "the engine has no gateway of this name")
}

// How long POST /v1/admin/gateways/{name}/pause?drain=true waits, unless told, and at most: the answer must leave before writeTimeout.
const (
	drainWait = 20 * time.Second
	drainPoll = 20 * time.Millisecond
)

// pauseGateway answers at once, or with drain=true once nothing is under way any more; when that takes too long the answer says what still is.
func (a *admin) pauseGateway(w http.ResponseWriter, r *http.Request) error {
	m, err := a.gateway(r)
	if err != nil {
		return err
	}
	wait, err := drainOf(r)
	if err != nil {
		return err
	}
	if err := a.engine.Pause(m.Name()); err != nil {
		return err
	}
	if wait > 0 {
		a.drained(r.Context(), m.Name(), wait)
	}
	return a.answerGateway(w, m.Name())
}

// drainOf reads how long a pause may wait; 0: not at all.
func drainOf(r *http.Request) (time.Duration, error) {
	if err := checkQuery(r, "drain", "wait"); err != nil {
		return 0, err
	}
	query := r.URL.Query()
	drain := false
	if text := query.Get("drain"); text != "" {
		var err error
		if drain, err = strconv.ParseBool(text); err != nil {
			return 0, badRequest("drain %q is neither true nor false", text)
		}
	}
	wait := drainWait
	if text := query.Get("wait"); text != "" {
		var err error
		if wait, err = time.ParseDuration(text); err != nil || wait <= 0 || wait > drainWait {
			return 0, badRequest("wait %q is not a duration of up to %v, such as 5s", text, drainWait)
		}
	}
	if !drain {
		return 0, nil
	}
	return wait, nil
}

// drained waits until nothing is under way at a gateway. It looks again and again, since the dispatcher has no event for it that all the others would not pay for.
func (a *admin) drained(ctx context.Context, name string, wait time.Duration) {
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

func (a *admin) under(name string) int {
	for _, s := range a.engine.Gateways() {
		if s.Name == name {
			return s.Under
		}
	}
	return 0
}

func (a *admin) resumeGateway(w http.ResponseWriter, r *http.Request) error {
	m, err := a.gateway(r)
	if err != nil {
		return err
	}
	if err := checkQuery(r); err != nil {
		return err
	}
	if err := a.engine.Resume(m.Name()); err != nil {
		return err
	}
	return a.answerGateway(w, m.Name())
}

// setWire switches a gateway's wire log.
func (a *admin) setWire(w http.ResponseWriter, r *http.Request) error {
	m, err := a.gateway(r)
	if err != nil {
		return err
	}
	var ask struct {
		On *bool `json:"on"`
	}
	if err := readBody(w, r, &ask); err != nil {
		return err
	}
	switch {
	case ask.On == nil:
		return badRequest(`the body says {"on":true} or {"on":false}`)
	case m.wire == nil && *ask.On:
		return problem(http.StatusConflict, CodeRefused, "a gateway of kind %s has no wire to log", m.kind)
	case m.wire != nil:
		m.wire.Set(*ask.On)
	}
	return a.answerGateway(w, m.Name())
}

// A Test is what became of an SMS that tries a gateway. Taken: the gateway took every segment.
type Test struct {
	Gateway  string        `json:"gateway"`
	To       string        `json:"to"`
	Taken    bool          `json:"taken"`
	Segments []TestSegment `json:"segments"`
	Price    string        `json:"price,omitempty"`
}

// A TestSegment is what became of one segment of a Test.
type TestSegment struct {
	Segment int    `json:"segment"`
	ID      string `json:"id,omitempty"`    // the gateway's
	Error   string `json:"error,omitempty"` // why it was not taken
}

const maxTestText = 1000 // octets

// testGateway sends an SMS through one gateway, past the routes and with no message behind it.
func (a *admin) testGateway(w http.ResponseWriter, r *http.Request) error {
	m, err := a.gateway(r)
	if err != nil {
		return err
	}
	var ask struct {
		Number string `json:"number"`
		Text   string `json:"text"`
	}
	if err := readBody(w, r, &ask); err != nil {
		return err
	}
	to, err := numberOf("number", ask.Number, a.region)
	if err != nil {
		return err
	}
	if ask.Text == "" {
		ask.Text = fmt.Sprintf("This SMS tests the gateway %s.", m.Name())
	}
	if len(ask.Text) > maxTestText || !utf8.ValidString(ask.Text) {
		return badRequest("text: write up to %d octets of text", maxTestText)
	}
	if a.engine.OptOuts().Out(to) {
		return problem(http.StatusConflict, CodeRefused, "%s does not want SMS from us; see godwit optout", to.Mask())
	}
	// The gateway may take longer to answer than the server lets answers take.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(a.response + writeTimeout))
	outcomes, price, err := a.engine.Test(r.Context(), m.Name(), to, ask.Text)
	if err != nil {
		return testProblem(to, err)
	}
	return answer(w, http.StatusOK, testOf(m.Name(), to, outcomes, price))
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
		return problem(http.StatusConflict, CodeRefused, "%s: see sms.budget and sms.caps", delivery.LimitReason(over.Key))
	case errors.Is(err, sms.ErrTooLong):
		return badRequest("%v", err)
	case errors.Is(err, delivery.ErrDenied):
		return problem(http.StatusConflict, CodeRefused, "sms.allow, sms.deny and the prices of a budget have no SMS go to %s", to.Mask())
	case errors.Is(err, delivery.ErrStopped):
		return problem(http.StatusServiceUnavailable, CodeUnavailable, "the broker is stopping")
	}
	return err
}
