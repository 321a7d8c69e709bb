package delivery

import (
	"sync"

	"github.com/seed-7a41469f/godwit/sms"
)

// submitted remembers which segments the gateways' latest answers were about, once that is durable: a report of one of them needs no meeting, and so one
// commit instead of two. It is a hint, and kept in memory only.
type submitted struct {
	mu     sync.Mutex
	points map[submittedID]submittedPoint
	order  []submittedID // a ring, from next on the oldest first
	next   int
}

type submittedID struct{ gateway, id string }

type submittedPoint struct {
	id      ID
	segment int // 0: all of the message
}

// submittedKept is enough for the reports that come within seconds, as most do, of a gateway that takes thousands a second.
const submittedKept = 1 << 14

func newSubmitted() *submitted { return &submitted{points: map[submittedID]submittedPoint{}} }

// note takes meetings of the submitter's side that are durable.
func (s *submitted) note(meetings []sms.Meeting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range meetings {
		k := submittedID{m.Gateway, m.ID}
		if len(s.order) < submittedKept {
			s.order = append(s.order, k)
		} else {
			delete(s.points, s.order[s.next])
			s.order[s.next] = k
			s.next = (s.next + 1) % submittedKept
		}
		id, segment := readMeetingPoint(m.Mine)
		s.points[k] = submittedPoint{id, segment}
	}
}

// find returns what a gateway's id stands for.
func (s *submitted) find(gateway, id string) (submittedPoint, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.points[submittedID{gateway, id}]
	return p, ok
}
