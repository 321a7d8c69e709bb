package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
)

// A User is what the operator is told of one.
type User struct {
	Address    string   `json:"address" example:"4917604069001"`
	Registered bool     `json:"registered" doc:"Proved, and not decayed."`
	Since      string   `json:"since,omitempty" format:"date-time"`
	LastSeen   string   `json:"last_seen,omitempty" format:"date-time" doc:"To the hour."`
	Tokens     []Token  `json:"tokens" nullable:"false"`
	Devices    []Device `json:"devices" nullable:"false"`
}

// A Token is a credential of a User, without its secret.
type Token struct {
	ID      string `json:"id"`
	Device  string `json:"device,omitempty" doc:"The label that it was issued with."`
	Created string `json:"created" format:"date-time"`
}

// A Device is one that is remembered.
type Device struct {
	ClientID string `json:"client_id"`
	Version  int    `json:"version" enum:"3,4,5" doc:"MQTT protocol version: 4 is 3.1.1."`
	Away     string `json:"away,omitempty" format:"date-time" doc:"Since when it is not connected."`
	Expiry   string `json:"expiry,omitempty" doc:"How long it is remembered while away."`
}

// Users is a page of users in the order of their addresses.
type Users struct {
	Users []User `json:"users" nullable:"false"`
	Next  string `json:"next,omitempty" doc:"The after of the following page; none: this is the last."`
}

// A Credential is a token that was issued. It is told once.
type Credential struct {
	Address string `json:"address" example:"4917604069001"`
	Token   string `json:"token" doc:"The password of MQTT and HTTP. It is told once."`
	ID      string `json:"id" doc:"By which it is revoked."`
}

// NewUser is the body of POST /v1/admin/users.
type NewUser struct {
	Address string `json:"address" doc:"A number or a name." example:"4917604069001"`
	Device  string `json:"device,omitempty" maxLength:"100" doc:"A label of the token."`
}

// NewToken is the body of POST /v1/admin/users/{address}/tokens.
type NewToken struct {
	Device string `json:"device,omitempty" maxLength:"100" doc:"A label of the token." example:"kitchen tablet"`
}

type addressPath struct {
	Address string `path:"address" example:"4917604069001"`
}

func (a *API) listUsers(_ context.Context, in *struct {
	After string `query:"after" doc:"The next of the page before."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}) (*out[Users], error) {
	var found []User
	for u := range a.cfg.People.Users() {
		if string(u.Address) <= in.After {
			continue
		}
		if found = append(found, a.user(u)); len(found) > in.Limit {
			break
		}
	}
	page, next := cut(found, in.Limit, func(u User) string { return u.Address })
	return answer(Users{page, next}, nil)
}

func (a *API) showUser(_ context.Context, in *addressPath) (*out[User], error) {
	address, err := addressOf("address", in.Address)
	if err != nil {
		return nil, err
	}
	u, ok := a.cfg.People.User(address)
	if !ok {
		return nil, noUser(address)
	}
	return answer(a.user(u), nil)
}

// addUser registers an address and issues its first token.
func (a *API) addUser(ctx context.Context, in *struct{ Body NewUser }) (*out[Credential], error) {
	address, err := addressOf("address", in.Body.Address)
	if err != nil {
		return nil, err
	}
	if _, err := a.cfg.People.Add(ctx, address); err != nil {
		return nil, userProblem(address, err)
	}
	return answer(a.issue(ctx, address, in.Body.Device))
}

func (a *API) issueToken(ctx context.Context, in *struct {
	Address string `path:"address" example:"4917604069001"`
	Body    *NewToken
}) (*out[Credential], error) {
	address, err := addressOf("address", in.Address)
	if err != nil {
		return nil, err
	}
	device := ""
	if in.Body != nil {
		device = in.Body.Device
	}
	return answer(a.issue(ctx, address, device))
}

func (a *API) issue(ctx context.Context, address contacts.Address, device string) (Credential, error) {
	token, id, err := a.cfg.People.IssueToken(ctx, address, device)
	if err != nil {
		return Credential{}, userProblem(address, err)
	}
	return Credential{Address: string(address), Token: token, ID: id}, nil
}

func (a *API) revokeToken(ctx context.Context, in *struct {
	Address string `path:"address" example:"4917604069001"`
	ID      string `path:"id"`
}) (*none, error) {
	return a.revoke(ctx, in.Address, in.ID)
}

func (a *API) revokeAllTokens(ctx context.Context, in *addressPath) (*none, error) {
	return a.revoke(ctx, in.Address, "")
}

// revoke revokes the token of an id, or all of them.
func (a *API) revoke(ctx context.Context, text, id string) (*none, error) {
	address, err := addressOf("address", text)
	if err == nil {
		err = userProblem(address, a.cfg.People.RevokeToken(ctx, address, id))
	}
	return nil, err
}

func (a *API) removeUser(ctx context.Context, in *addressPath) (*none, error) {
	address, err := addressOf("address", in.Address)
	if err == nil {
		err = userProblem(address, a.cfg.People.Remove(ctx, address))
	}
	return nil, err
}

func userProblem(address contacts.Address, err error) error {
	switch {
	case errors.Is(err, contacts.ErrNoUser):
		return noUser(address)
	case errors.Is(err, contacts.ErrNoToken):
		return NewProblem(http.StatusNotFound, CodeNotFound, "%s has no such token", address.Mask())
	case errors.Is(err, contacts.ErrExists):
		return NewProblem(http.StatusConflict, CodeExists, "%s is a user already; a further token is issued with: godwit user token", address.Mask())
	}
	return err
}

func noUser(address contacts.Address) error {
	return NewProblem(http.StatusNotFound, CodeNotFound, "%s is not a user", address.Mask())
}

func (a *API) user(u contacts.User) User {
	v := User{
		Address: string(u.Address), Registered: a.cfg.People.Registered(u.Address), Since: date(u.Registered), LastSeen: date(lastSeen(u)),
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
