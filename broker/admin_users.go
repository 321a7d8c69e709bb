package broker

import (
	"errors"
	"net/http"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// A User is what the API tells of one.
type User struct {
	Address    string   `json:"address"`
	Registered bool     `json:"registered"` // proved, and not decayed
	Since      string   `json:"since,omitempty"`
	LastSeen   string   `json:"last_seen,omitempty"`
	Tokens     []Token  `json:"tokens"`
	Devices    []Device `json:"devices"`
}

// A Token is a credential of a User, without its secret.
type Token struct {
	ID      string `json:"id"`
	Device  string `json:"device,omitempty"`
	Created string `json:"created"`
}

// A Device is one that is remembered.
type Device struct {
	ClientID string `json:"client_id"`
	Version  int    `json:"version"`          // MQTT protocol version: 4 is 3.1.1
	Away     string `json:"away,omitempty"`   // since when it is not connected
	Expiry   string `json:"expiry,omitempty"` // how long it is remembered while away
}

// Users is a page of users in the order of their addresses. Next is the `after` of the following page.
type Users struct {
	Users []User `json:"users"`
	Next  string `json:"next,omitempty"`
}

// A Credential is a token that was issued. It is told once.
type Credential struct {
	Address string `json:"address"`
	Token   string `json:"token"`
	ID      string `json:"id"`
}

func (a *admin) listUsers(w http.ResponseWriter, r *http.Request) error {
	if err := checkQuery(r, "after", "limit"); err != nil {
		return err
	}
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	after := contacts.Address(r.URL.Query().Get("after"))
	page := Users{Users: []User{}}
	for u := range a.users.Users() {
		if u.Address <= after {
			continue
		}
		if len(page.Users) == limit {
			page.Next = page.Users[limit-1].Address
			break
		}
		page.Users = append(page.Users, a.user(u))
	}
	return answer(w, http.StatusOK, page)
}

func (a *admin) showUser(w http.ResponseWriter, r *http.Request) error {
	address, err := addressOf("address", r.PathValue("address"))
	if err != nil {
		return err
	}
	u, ok := a.users.User(address)
	if !ok {
		return noUser(address)
	}
	return answer(w, http.StatusOK, a.user(u))
}

// addUser registers an address and issues its first token.
func (a *admin) addUser(w http.ResponseWriter, r *http.Request) error {
	var ask struct {
		Address string `json:"address"`
		Device  string `json:"device"`
	}
	if err := readBody(w, r, &ask); err != nil {
		return err
	}
	address, err := addressOf("address", ask.Address)
	if err != nil {
		return err
	}
	if err := checkLabel(ask.Device); err != nil {
		return err
	}
	if _, err := a.users.Add(r.Context(), address); err != nil {
		return userProblem(address, err)
	}
	return a.issue(w, r, address, ask.Device)
}

func (a *admin) issueToken(w http.ResponseWriter, r *http.Request) error {
	address, err := addressOf("address", r.PathValue("address"))
	if err != nil {
		return err
	}
	var ask struct {
		Device string `json:"device"`
	}
	if err := readBody(w, r, &ask); err != nil {
		return err
	}
	if err := checkLabel(ask.Device); err != nil {
		return err
	}
	return a.issue(w, r, address, ask.Device)
}

const maxLabel = 100

func checkLabel(device string) error {
	if len(device) > maxLabel {
		return badRequest("device: the label is longer than %d bytes", maxLabel)
	}
	return nil
}

func (a *admin) issue(w http.ResponseWriter, r *http.Request, address contacts.Address, device string) error {
	token, id, err := a.users.IssueToken(r.Context(), address, device)
	if err != nil {
		return userProblem(address, err)
	}
	return answer(w, http.StatusCreated, Credential{Address: string(address), Token: token, ID: id})
}

// revokeTokens revokes the one that the path names, or all of them.
func (a *admin) revokeTokens(w http.ResponseWriter, r *http.Request) error {
	address, err := addressOf("address", r.PathValue("address"))
	if err != nil {
		return err
	}
	if err := a.users.RevokeToken(r.Context(), address, r.PathValue("id")); err != nil {
		return userProblem(address, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *admin) removeUser(w http.ResponseWriter, r *http.Request) error {
	address, err := addressOf("address", r.PathValue("address"))
	if err != nil {
		return err
	}
	if err := a.users.Remove(r.Context(), address); err != nil {
		return userProblem(address, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func userProblem(address contacts.Address, err error) error {
	switch {
	case errors.Is(err, contacts.ErrNoUser):
		return noUser(address)
	case errors.Is(err, contacts.ErrNoToken):
		return problem(http.StatusNotFound, CodeNotFound, "%s has no such token", address.Mask())
	case errors.Is(err, contacts.ErrExists):
		return problem(http.StatusConflict, CodeExists, "%s is a user already; a further token is issued with: godwit user token", address.Mask())
	}
	return err
}

func noUser(address contacts.Address) error {
	return problem(http.StatusNotFound, CodeNotFound, "%s is not a user", address.Mask())
}

func (a *admin) user(u contacts.User) User {
	v := User{
		Address: string(u.Address), Registered: a.users.Registered(u.Address), Since: date(u.Registered), LastSeen: date(lastSeen(u)),
		Tokens: []Token{}, Devices: []Device{},
	}
	for _, t := range u.Tokens {
		v.Tokens = append(v.Tokens, Token{ID: t.ID, Device: t.Device, Created: date(t.Created)})
	}
	for _, d := range u.Devices {
		v.Devices = append(v.Devices, Device{ClientID: d.ClientID, Version: int(d.Version), Away: date(d.Away), Expiry: d.Expiry.String()})
	}
	return v
}

// lastSeen is never before the registration, which the hour that is kept may be.
func lastSeen(u contacts.User) time.Time {
	if !u.LastSeen.IsZero() && u.LastSeen.Before(u.Registered) {
		return u.Registered
	}
	return u.LastSeen
}

func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(delivery.TimeFormat)
}
