package api

import (
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// answerTime is how long an answer may take beside what it waits for.
const answerTime = 30 * time.Second

// admin mounts the operator's API.
func (a *API) admin(s *site) {
	register(s, operator("GET /v1/admin/users", "listUsers", "Users in the order of their addresses"), a.listUsers)
	register(s, created(operator("POST /v1/admin/users", "addUser", "Add a user, and issue its first token")), a.addUser)
	register(s, operator("GET /v1/admin/users/{address}", "getUser", "One user: devices, tokens by id, last seen"), a.showUser)
	register(s, operator("DELETE /v1/admin/users/{address}", "removeUser", "Remove a user: its connections end"), a.removeUser)
	register(s, created(operator("POST /v1/admin/users/{address}/tokens", "issueToken", "Issue a further token")), a.issueToken)
	register(s, operator("DELETE /v1/admin/users/{address}/tokens", "revokeAllTokens", "Revoke all tokens of a user"), a.revokeAllTokens)
	register(s, operator("DELETE /v1/admin/users/{address}/tokens/{id}", "revokeToken", "Revoke one token"), a.revokeToken)

	register(s, operator("GET /v1/admin/messages", "listAllMessages", "Messages, newest first"), a.listMessages)
	register(s, operator("GET /v1/admin/messages/{id}", "explainMessage", "One message and its trail"), a.explain)
	register(s, operator("POST /v1/admin/messages/{id}/retry", "retryMessage", "Send a failed message again, under its key"), a.order(delivery.RetryFailed))
	register(s, operator("POST /v1/admin/messages/{id}/sms", "sendAnyMessageAsSMS", "Send a message that waits for a device as an SMS now"), a.order(delivery.SMSNow))
	register(s, operator("POST /v1/admin/messages/{id}/app", "holdAnyMessage", "Hold a message to the app: no SMS"), a.order(delivery.HoldApp))
	register(s, operator("POST /v1/admin/messages/{id}/cancel", "cancelAnyMessage", "Cancel a message that is on its way"), a.order(delivery.Cancel))

	register(s, operator("GET /v1/admin/gateways", "listGateways", "The SMS gateways, and how they fare"), a.listGateways)
	register(s, longer(operator("POST /v1/admin/gateways/{name}/pause", "pauseGateway", "Let a gateway take nothing new"), drainWait+answerTime), a.pauseGateway)
	register(s, operator("POST /v1/admin/gateways/{name}/resume", "resumeGateway", "End a pause"), a.resumeGateway)
	register(s, longer(operator("POST /v1/admin/gateways/{name}/test", "testGateway", "Send one SMS through a gateway"), a.cfg.Response+answerTime), a.testGateway)
	register(s, operator("POST /v1/admin/gateways/{name}/wire", "setWireLog", "Log what goes over a gateway's wire, or end that"), a.setWire)

	register(s, operator("GET /v1/admin/optouts", "listOptOuts", "Numbers that get no SMS, in their order"), a.listOptOuts)
	register(s, created(operator("POST /v1/admin/optouts", "addOptOut", "Opt a number out")), a.addOptOut)
	register(s, operator("DELETE /v1/admin/optouts/{number}", "removeOptOut", "Let a number get SMS again"), a.removeOptOut)
	register(s, operator("GET /v1/admin/unmatched", "listUnmatched", "SMS that came in and belong to no conversation, newest first"), a.listUnmatched)
	register(s, operator("POST /v1/admin/unmatched/{id}/assign", "assignUnmatched", "Give one to a user"), a.assign)
	register(s, operator("GET /v1/admin/money", "getMoney", "What SMS have cost this day and month, and may"), a.money)
	register(s, operator("GET /v1/admin/stats", "getStats", "How the broker fares, in one object"), a.stats)
}

// operator describes a route of the operator's API.
func operator(route, id, summary string) huma.Operation {
	op := operation(route, id, tagOperator, summary)
	op.Security = []map[string][]string{{schemeAdmin: {}}}
	return op
}

// addressOf reads an address as a person gives it: a leading + is forgiven.
func addressOf(what, text string) (contacts.Address, error) {
	a, err := contacts.ParseAddress(strings.TrimPrefix(text, "+"))
	if err != nil {
		return "", badRequest("%s: %v", what, err)
	}
	return a, nil
}

func idOf(what, text string) (delivery.ID, error) {
	id, err := delivery.ParseID(text)
	if err != nil {
		return id, badRequest("%s: %v", what, err)
	}
	return id, nil
}

// cut takes a page of limit off what was read to one more than that; next is empty after the last.
func cut[T any](found []T, limit int, key func(T) string) (page []T, next string) {
	if len(found) <= limit {
		return append([]T{}, found...), "" // never nil: a list is [] in JSON
	}
	return found[:limit], key(found[limit-1])
}

func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(delivery.TimeFormat)
}
