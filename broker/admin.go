package broker

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// admin is the operator's API below /v1/admin.
type admin struct {
	users    *contacts.Directory
	messages messages
	engine   *delivery.Engine
	gateways []*meter
	region   string        // of national numbers; empty: none
	response time.Duration // how long a gateway may take to answer
}

// messages is what the API reads of a store.
type messages interface {
	Message(ctx context.Context, id delivery.ID) (*delivery.Message, error)
	List(ctx context.Context, q delivery.Query) (found []*delivery.Message, next delivery.ID, err error)
}

// routes mounts the API; what may wait long ends when ctx does.
func (a *admin) routes(ctx context.Context, mux *http.ServeMux, log zerolog.Logger) {
	for pattern, h := range map[string]route{
		"GET /v1/admin/users":                          a.listUsers,
		"POST /v1/admin/users":                         a.addUser,
		"GET /v1/admin/users/{address}":                a.showUser,
		"DELETE /v1/admin/users/{address}":             a.removeUser,
		"POST /v1/admin/users/{address}/tokens":        a.issueToken,
		"DELETE /v1/admin/users/{address}/tokens":      a.revokeTokens,
		"DELETE /v1/admin/users/{address}/tokens/{id}": a.revokeTokens,
		"GET /v1/admin/messages":                       a.listMessages,
		"GET /v1/admin/messages/{id}":                  a.explain,
		"POST /v1/admin/messages/{id}/retry":           a.order(delivery.RetryFailed),
		"POST /v1/admin/messages/{id}/cancel":          a.order(delivery.Cancel),
		"GET /v1/admin/gateways":                       a.listGateways,
		"POST /v1/admin/gateways/{name}/pause":         endingWith(ctx, a.pauseGateway),
		"POST /v1/admin/gateways/{name}/resume":        a.resumeGateway,
		"POST /v1/admin/gateways/{name}/test":          endingWith(ctx, a.testGateway),
		"POST /v1/admin/gateways/{name}/wire":          a.setWire,
		"GET /v1/admin/optouts":                        a.listOptOuts,
		"POST /v1/admin/optouts":                       a.addOptOut,
		"DELETE /v1/admin/optouts/{number}":            a.removeOptOut,
		"GET /v1/admin/unmatched":                      a.listUnmatched,
		"POST /v1/admin/unmatched/{id}/assign":         a.assign,
		"GET /v1/admin/money":                          a.money,
	} {
		mux.Handle(pattern, h.handler(log))
	}
}

// endingWith ends a request with the broker: else one that waits would keep it from stopping.
func endingWith(ctx context.Context, h route) route {
	return func(w http.ResponseWriter, r *http.Request) error {
		waiting, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		return h(w, r.WithContext(waiting))
	}
}

// Pages of a list.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

func limitOf(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxLimit {
		return 0, badRequest("limit %q is not a number from 1 to %d", text, maxLimit)
	}
	return n, nil
}

// checkQuery refuses parameters that the route does not know: a misspelt filter must not list everything.
func checkQuery(r *http.Request, known ...string) error {
	for name := range r.URL.Query() {
		ok := false
		for _, k := range known {
			ok = ok || k == name
		}
		if !ok {
			return badRequest("there is no parameter %q; there are %v", name, known)
		}
	}
	return nil
}

// addressOf reads an address as a person gives it: a leading + is forgiven.
func addressOf(what, text string) (contacts.Address, error) {
	if len(text) > 0 && text[0] == '+' {
		text = text[1:]
	}
	a, err := contacts.ParseAddress(text)
	if err != nil {
		return "", badRequest("%s: %v", what, err)
	}
	return a, nil
}
