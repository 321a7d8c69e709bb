package delivery

import (
	"slices"
	"sync"
	"time"

	"github.com/seed-7a41469f/godwit/sms"
)

// unknowns finds the message of unknown outcome, or with a claim that died with the process before, that a report can only be about whose id nobody knows: the one that its user_message_reference names, or the
// only one of its pair of numbers. Reports that come before the outcome is known to be unknown are remembered for a while. All of it is a hint, in memory.
type unknowns struct {
	known func(gateway, id string) bool
	mu    sync.Mutex
	pairs map[string][]unknown // by gateway, originator and recipient
	where map[ID]string
	early []earlyReport // oldest first
}

type unknown struct {
	id       ID
	segments int
	first    int // the first segment that is unknown, from 1
}

type earlyReport struct {
	at     time.Time
	report sms.DLR
}

const (
	earlyKept = 10 * time.Minute
	earlyMost = 4096
)

// newUnknowns returns one for which known says whether a gateway's id is already that of a message.
func newUnknowns(known func(gateway, id string) bool) *unknowns {
	return &unknowns{known: known, pairs: map[string][]unknown{}, where: map[ID]string{}}
}

// update notes what a message has become.
func (u *unknowns) update(m *Message) { u.note(m, false) }

// orphan notes a message of the time before the start. Nobody will answer a claim that it has.
func (u *unknowns) orphan(m *Message) { u.note(m, true) }

func (u *unknowns) note(m *Message, orphan bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	pair, in := u.where[m.ID]
	is := m.SMS != nil && !m.Settled() && (m.State == OutcomeUnknown || (in || orphan) && m.unanswered())
	switch {
	case in && !is:
		rest := slices.DeleteFunc(u.pairs[pair], func(o unknown) bool { return o.id == m.ID })
		if u.pairs[pair] = rest; len(rest) == 0 {
			delete(u.pairs, pair)
		}
		delete(u.where, m.ID)
	case is && !in:
		pair = m.SMS.Gateway + ">" + m.SMS.From + ">" + string(m.To)
		o := unknown{id: m.ID, segments: len(m.SMS.Segments), first: 1}
		for i, s := range m.SMS.Segments {
			if s.State == SegmentUnknown {
				o.first = i + 1
				break
			}
		}
		u.where[m.ID] = pair
		u.pairs[pair] = append(u.pairs[pair], o)
	}
}

// unanswered reports whether a claim is under way, or was when the process ended.
func (m *Message) unanswered() bool {
	return m.State == Submitting && m.SMS != nil && m.SMS.Holding && !m.SMS.Until.IsZero()
}

// takeEarly returns the reports that came early between the numbers of a message, and forgets them.
func (u *unknowns) takeEarly(m *Message) (all []earlyReport) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.early = slices.DeleteFunc(u.early, func(r earlyReport) bool {
		its := r.report.Gateway == m.SMS.Gateway && r.report.From == m.SMS.From && string(r.report.To) == string(m.To)
		if its {
			all = append(all, r)
		}
		return its
	})
	return all
}

// named returns the message and segment that a report is about that came at a time; ok false: it may be several, one that is under way, or none yet, and is
// remembered.
func (u *unknowns) named(r sms.DLR, now time.Time, underWay bool) (id ID, segment int, ok bool) {
	if r.From == "" || r.To == "" {
		return id, 0, false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if r.ID != "" && u.known(r.Gateway, r.ID) { // the answer to its submit came meanwhile, and has met it; looked at under the lock, since met forgets after that
		return id, 0, false
	}
	open := u.pairs[r.Gateway+">"+r.From+">"+string(r.To)]
	for _, o := range open {
		for s := 1; r.Reference != 0 && s <= o.segments; s++ {
			if sms.Ref(o.id).Reference(s) == r.Reference {
				return o.id, s, true
			}
		}
	}
	if len(open) == 1 && r.Reference == 0 && !underWay {
		return open[0].id, open[0].first, true
	}
	expired := 0
	for expired < len(u.early) && (now.Sub(u.early[expired].at) >= earlyKept || len(u.early)-expired >= earlyMost) {
		expired++
	}
	u.early = append(slices.Delete(u.early, 0, expired), earlyReport{now, r})
	return id, 0, false
}

// met forgets early reports of an id whose submit was answered after all.
func (u *unknowns) met(gateway, id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.early = slices.DeleteFunc(u.early, func(r earlyReport) bool { return r.report.Gateway == gateway && r.report.ID == id })
}
