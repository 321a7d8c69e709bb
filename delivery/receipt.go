package delivery

import (
	"encoding/json"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
)

var stateNames = [...]string{"", "accepted", "pushing", "waiting", "submitting", "submitted", "unknown", "delivered", "failed", "expired"}

// String returns the word of the receipts.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return ""
}

// ParseState reads what String writes.
func ParseState(s string) (State, bool) {
	for i, n := range stateNames {
		if i > 0 && n == s {
			return State(i), true
		}
	}
	return 0, false
}

// String returns "push" or "sms", and "" for none.
func (v Via) String() string {
	switch v {
	case ViaPush:
		return "push"
	case ViaSMS:
		return "sms"
	}
	return ""
}

// A ReceiptBody is what a sender is told of a message; its JSON is part of the contract.
type ReceiptBody struct {
	ID       string `json:"id"`
	Key      string `json:"key,omitempty"`
	To       string `json:"to"`
	State    string `json:"state"`
	Via      string `json:"via,omitempty"`
	At       string `json:"at"`
	Reason   Reason `json:"reason,omitempty"`
	Segments int    `json:"segments,omitempty"`
	Price    string `json:"price,omitempty"`
	SMSID    string `json:"sms_id,omitempty"`
	Final    bool   `json:"final,omitempty"`
}

// TimeFormat is RFC 3339 in UTC with milliseconds.
const TimeFormat = "2006-01-02T15:04:05.000Z07:00"

// ReceiptOf returns the receipt of m in a state.
func ReceiptOf(m *Message, s State) ReceiptBody {
	r := ReceiptBody{ID: m.ID.String(), Key: m.Key.Text, To: string(m.To), State: s.String(), Reason: m.Reason, At: m.At.UTC().Format(TimeFormat)}
	r.Final = s == Delivered || s == Failed || s == Expired || s == Submitted && m.Due.IsZero()
	if s == m.State {
		r.Via = m.Via.String()
	}
	if s == Delivered && m.Via == ViaPush || s == Accepted || s == Pushing {
		r.Reason = ""
		return r
	}
	if l := m.SMS; l != nil && len(l.Segments) > 0 && s >= Submitting {
		r.Segments = len(l.Segments)
		r.Price = l.Price.String()
		r.SMSID = l.Segments[0].ID
	}
	return r
}

// receipts are the entries for the sender's inbox that tell states of m.
func (m *Message) receipts(states []State, now time.Time) []Entry {
	entries := make([]Entry, 0, len(states))
	for _, s := range states {
		e := Entry{User: m.From, Kind: Receipt, Peer: m.To, At: now, Tag: m.Key.Correlation, tells: s}
		if !m.ID.IsZero() {
			e.identify(m)
		}
		entries = append(entries, e)
	}
	return entries
}

// Identify gives a new message its id, everywhere in the change. Commit calls it, before it writes.
func (c *Change) Identify(id ID) {
	c.Message.ID = id
	for i := range c.Entries {
		if c.Entries[i].ID.IsZero() {
			c.Entries[i].identify(c.Message)
		}
	}
}

func (e *Entry) identify(m *Message) {
	e.ID = m.ID
	if e.tells == 0 {
		return
	}
	body, err := json.Marshal(ReceiptOf(m, e.tells))
	if err == nil { // strings and numbers always can be
		e.Body = body
	}
	e.Topic = m.Reply
	if e.Topic == "" {
		name := m.Key.Text
		if name == "" {
			name = m.ID.String()
		}
		e.Topic = Topic(m.From, "receipt", name)
	}
}

// Topic returns u/<user>/<rest[0]>/<rest[1]>…
func Topic(user contacts.Address, rest ...string) string {
	n := 2 + len(user)
	for _, r := range rest {
		n += 1 + len(r)
	}
	b := append(make([]byte, 0, n), "u/"...)
	b = append(b, user...)
	for _, r := range rest {
		b = append(append(b, '/'), r...)
	}
	return string(b)
}
