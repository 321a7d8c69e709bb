package delivery

import "slices"

// The events of a trail. What is not among them is kept as text.
const (
	EventStored       = "stored"
	EventPushed       = "pushed"
	EventAcknowledged = "acknowledged"
	EventLateAck      = "acknowledged late"
	EventFallback     = "becomes an SMS"
	EventWithdrawn    = "withdrawn"
	EventHeld         = "held"
	EventWaits        = "waits"
	EventClaimed      = "claimed"
	EventReleased     = "released"
	EventTaken        = "carrier took it"
	EventRefused      = "carrier refused it"
	EventUnknown      = "outcome unknown"
	EventReport       = "report"
	EventDelivered    = "delivered"
	EventFailed       = "failed"
	EventExpired      = "expired"
	EventOrdered      = "ordered"
	EventAnswered     = "answer received"
	EventNoWayBack    = "no way back"
)

// knownEvents in the order of their codes in a record; only ever appended.
var knownEvents = []string{
	EventStored, EventPushed, EventAcknowledged, EventLateAck, EventFallback, EventWithdrawn, EventHeld, EventWaits, EventClaimed, EventReleased,
	EventTaken, EventRefused, EventUnknown, EventReport, EventDelivered, EventFailed, EventExpired, EventOrdered, EventAnswered, EventNoWayBack,
}

// Events returns all that there are, in the order in which they came to be.
func Events() []string { return slices.Clone(knownEvents) }
