package delivery

import (
	"strings"

	"github.com/seed-7a41469f/godwit/contacts"
)

// Filters are the inbox subscriptions of a device that are in force.
type filters struct {
	list  []contacts.Filter
	whole bool // one of them is u/<me>/#, and it is the only one
	ready bool // one with QoS >= 1 covers u/<me>/in/+/+
}

func newFilters(user contacts.Address, list []contacts.Filter) filters {
	f := filters{list: list}
	prefix := Topic(user) + "/"
	f.whole = len(list) == 1 && list[0].Topic == prefix+"#"
	for _, l := range list {
		rest, ok := strings.CutPrefix(l.Topic, prefix)
		if !ok || l.QoS == 0 {
			continue
		}
		switch rest {
		case "#", "in/#", "in/+/+", "in/+/#", "+/+/+", "+/+/#", "+/#":
			f.ready = true
		}
	}
	return f
}

// match returns the greatest QoS of the filters that match, and their Subscription Identifiers (MQTT 5 §3.3.4).
func (f *filters) match(topic string) (qos byte, identifiers []uint32, ok bool) {
	if f.whole {
		if id := f.list[0].Identifier; id != 0 {
			identifiers = []uint32{id}
		}
		return min(f.list[0].QoS, 1), identifiers, true
	}
	for i := range f.list {
		if !matches(f.list[i].Topic, topic) {
			continue
		}
		ok = true
		qos = max(qos, min(f.list[i].QoS, 1))
		if id := f.list[i].Identifier; id != 0 {
			identifiers = append(identifiers, id)
		}
	}
	return qos, identifiers, ok
}

// matches reports whether a topic filter matches a topic name (MQTT 5 §4.7).
func matches(filter, topic string) bool {
	for {
		f, restF, moreF := strings.Cut(filter, "/")
		if f == "#" {
			return true
		}
		t, restT, moreT := strings.Cut(topic, "/")
		if f != "+" && f != t {
			return false
		}
		if !moreF || !moreT {
			return moreF == moreT || moreF && restF == "#"
		}
		filter, topic = restF, restT
	}
}
