package picture

import "github.com/seed-7a41469f/godwit/delivery"

// ForSender returns what the sender of a message may see of its path: no device of the recipient, and no moment at which one of them was there but that of the
// delivery, which the receipt tells too. An event that is not known to be harmless is left out.
func ForSender(p Path) Path {
	trail := make([]Step, 0, len(p.Trail))
	for _, s := range p.Trail {
		switch s.Event {
		case delivery.EventAcknowledged:
			if p.Message.Via != "push" {
				continue
			}
			s.Evidence = ""
		case delivery.EventNoWayBack: // why is a matter of who else writes to the recipient
			s.Evidence = ""
		case delivery.EventStored, delivery.EventFallback, delivery.EventHeld, delivery.EventWaits, delivery.EventClaimed, delivery.EventReleased, delivery.EventTaken,
			delivery.EventRefused, delivery.EventUnknown, delivery.EventReport, delivery.EventDelivered, delivery.EventFailed, delivery.EventExpired, delivery.EventOrdered:
		default:
			continue
		}
		s.Device = ""
		trail = append(trail, s)
	}
	p.Trail = trail
	return p
}

// ForRecipient returns what the recipient of a message may see of its path: the own devices, but nothing of what it cost, of the sender's key, or of the carrier.
func ForRecipient(p Path) Path {
	p.Message = p.Message.ForRecipient()
	trail := make([]Step, 0, len(p.Trail))
	for _, s := range p.Trail {
		switch s.Event {
		case delivery.EventStored, delivery.EventPushed, delivery.EventAcknowledged, delivery.EventLateAck, delivery.EventFallback, delivery.EventWithdrawn,
			delivery.EventHeld, delivery.EventWaits, delivery.EventTaken, delivery.EventDelivered, delivery.EventFailed, delivery.EventExpired, delivery.EventAnswered:
			s.Evidence, s.Cost = "", ""
			trail = append(trail, s)
		}
	}
	p.Trail = trail
	return p
}

// ForRecipient returns what the recipient may see of a message.
func (m Message) ForRecipient() Message {
	m.Key, m.Segments, m.Price, m.SMSID = "", 0, "", ""
	return m
}
