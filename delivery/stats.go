package delivery

import (
	"sync/atomic"
	"time"

	"github.com/seed-7a41469f/godwit/sms"
)

// Stats are counters of an Engine since its start. Read them with Load.
type Stats struct {
	Accepted     [RootMO + 1]atomic.Uint64              // messages accepted, by Root
	Settled      [Expired + 1][ViaSMS + 1]atomic.Uint64 // by State and Via
	Open         atomic.Int64
	Connected    atomic.Int64
	Ready        atomic.Int64
	Held         atomic.Int64 // fallbacks that the brake holds
	Storm        atomic.Bool  // the brake sees a storm
	SMSQueue     atomic.Int64 // messages that want an SMS
	Duplicates   atomic.Uint64
	DLRs         [4]atomic.Uint64                     // by sms.DLRState
	MOs          map[string]*[MOResults]atomic.Uint64 // by gateway
	Spent        atomic.Int64                         // millionths of the currency, for SMS that the carrier has, or may have
	PushAck      Histogram                            // seconds from the first write to the acknowledgement
	Commit       Histogram                            // seconds
	CommitGroups Histogram                            // changes
}

// What became of MOs.
const (
	MOConversation = iota
	MOContact
	MOUnmatched
	MOStop
	MORepeated
	MOResults
)

// A Histogram counts observations in exponential buckets: bucket i has those up to First * 2^i, the last one the rest.
type Histogram struct {
	First   float64
	Buckets [20]atomic.Uint64
	Sum     atomic.Uint64 // in units of First / 1,000
}

func (h *Histogram) observe(v float64) {
	i, bound := 0, h.First
	for i < len(h.Buckets)-1 && v > bound {
		i, bound = i+1, bound*2
	}
	h.Buckets[i].Add(1)
	h.Sum.Add(uint64(v / h.First * 1000))
}

// Snapshot returns how many observations were at most each bound, their count and their sum.
func (h *Histogram) Snapshot() (bounds map[float64]uint64, count uint64, sum float64) {
	bounds = make(map[float64]uint64, len(h.Buckets)-1)
	bound := h.First
	for i := range h.Buckets {
		count += h.Buckets[i].Load()
		if i < len(h.Buckets)-1 {
			bounds[bound] = count
			bound *= 2
		}
	}
	return bounds, count, float64(h.Sum.Load()) / 1000 * h.First
}

func newStats(gateways []sms.Gateway) *Stats {
	s := &Stats{MOs: map[string]*[MOResults]atomic.Uint64{}}
	for _, g := range gateways {
		s.MOs[g.Name()] = new([MOResults]atomic.Uint64)
	}
	s.PushAck.First = 0.000125
	s.Commit.First = 0.000125
	s.CommitGroups.First = 1
	return s
}

// mo counts an SMS that came in.
func (s *Stats) mo(gateway string, result int) {
	if c := s.MOs[gateway]; c != nil {
		c[result].Add(1)
	}
}

func (s *Stats) commit(d time.Duration, changes int) {
	s.Commit.observe(d.Seconds())
	s.CommitGroups.observe(float64(changes))
}

// count counts a message that was stored.
func (s *Stats) count(m *Message, fresh, enters bool) {
	if fresh {
		s.Accepted[m.Root].Add(1)
	}
	if enters && (m.State == Delivered || m.State == Failed || m.State == Expired || m.State == Submitted && m.Settled()) {
		s.Settled[m.State][m.Via].Add(1)
	}
}
