package rule

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
)

// Limits of what a change says of SMS, in octets.
const (
	maxMine  = 64 << 10 // of what one side of a meeting knows
	maxCount = 1 << 10  // the key of a counter
	maxPair  = 64       // one number of a talk
	maxName  = 128      // of what a gateway calls a message; longer ones are hashed
)

// checkSMS returns what is wrong with meetings, talk and counts by themselves.
func checkSMS(c *delivery.Change) error {
	for i := range c.Meetings {
		m := &c.Meetings[i]
		if m.Side != sms.Submitter && m.Side != sms.Reporter {
			return fmt.Errorf("a meeting at gateway %s has the unknown side %d", m.Gateway, m.Side)
		}
		if len(m.Mine) > maxMine {
			return fmt.Errorf("a meeting at gateway %s has %d octets, the most are %d", m.Gateway, len(m.Mine), maxMine)
		}
	}
	if t := c.Talk; t != nil {
		for _, n := range []string{string(t.Own), string(t.Peer)} {
			if n == "" || len(n) > maxPair || strings.IndexByte(n, 0) >= 0 {
				return fmt.Errorf("a talk needs two numbers of 1 to %d characters; one has %d", maxPair, len(n))
			}
		}
	}
	for i := range c.Counts {
		n := &c.Counts[i]
		if n.Key == "" || len(n.Key) > maxCount {
			return fmt.Errorf("a counter needs a name of 1 to %d octets, this has %d", maxCount, len(n.Key))
		}
		if n.Add > 0 && n.Until.IsZero() {
			return fmt.Errorf("a count does not say until when its counter is kept")
		}
	}
	return nil
}

// JoinLedger keeps the greater of two values of one side; changed tells that it is not what was there.
func JoinLedger(had, mine []byte) (keep []byte, changed bool) {
	if had != nil && string(had) >= string(mine) {
		return had, false
	}
	if mine == nil {
		mine = []byte{}
	}
	return mine, true
}

// AppendLedgerKey appends what names one side's knowledge of a gateway's message id; the side is the last octet. A carrier may send an id of any length.
func AppendLedgerKey(b []byte, m *sms.Meeting, side sms.Side) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(m.Gateway)))
	b = append(b, m.Gateway...)
	if len(m.ID) > maxName {
		sum := sha256.Sum256([]byte(m.ID))
		b = append(b, sum[:]...)
	} else {
		b = append(b, m.ID...)
	}
	return append(b, byte(side))
}

// Across returns the other side.
func Across(side sms.Side) sms.Side { return sms.Submitter + sms.Reporter - side }

// SameTalk reports whether t, about to be written, says what a stored talk says; the revision aside.
func SameTalk(stored, t *sms.Talk) bool {
	return stored.Own == t.Own && stored.Peer == t.Peer && stored.User == t.User && stored.Ref == t.Ref && stored.Digest == t.Digest &&
		stored.At.UnixMicro() == t.At.UnixMicro() && stored.Heard.UnixMicro() == t.Heard.UnixMicro()
}

// A Counter is what a counter stands at, and until when it is kept.
type Counter struct {
	Total int64
	Until time.Time
}

// Sum sets the Total of each count of a change; stored tells what a counter stands at without it. *sms.OverLimit names the first that passes its limit.
func Sum(counts []sms.Count, stored func(key string) (Counter, error)) error {
	for i := range counts {
		n := &counts[i]
		had, ok := earlier(counts[:i], n.Key)
		if !ok {
			c, err := stored(n.Key)
			if err != nil {
				return err
			}
			had = c.Total
		}
		n.Total = add(had, n.Add)
		if n.Most > 0 && n.Add > 0 && n.Total > n.Most {
			return &sms.OverLimit{Key: n.Key}
		}
	}
	return nil
}

// earlier returns what the counts before made of a counter that one change names twice.
func earlier(counts []sms.Count, key string) (total int64, ok bool) {
	for i := len(counts) - 1; i >= 0; i-- {
		if counts[i].Key == key {
			return counts[i].Total, true
		}
	}
	return 0, false
}

func add(had, n int64) int64 {
	if n > 0 && had > math.MaxInt64-n {
		return math.MaxInt64
	}
	return max(had+n, 0) // had is not negative
}

// Counted returns a counter with a count whose Total is set; changed tells that it is not what was there.
func Counted(had Counter, n *sms.Count) (kept Counter, changed bool) {
	kept = Counter{n.Total, had.Until}
	if n.Until.After(had.Until) {
		kept.Until = n.Until
	}
	return kept, kept.Total != had.Total || kept.Total > 0 && kept.Until.After(had.Until)
}

// Quiet reports whether a talk in which something last went at a time has had its time.
func Quiet(at, now time.Time, keep delivery.Retention) bool {
	return keep.Talks > 0 && now.Sub(at) > keep.Talks
}

// Revs are the revisions that a change starts from.
type Revs struct{ message, talk uint64 }

// RevsOf returns them before a commit sets new ones.
func RevsOf(c *delivery.Change) (r Revs) {
	if c.Message != nil {
		r.message = c.Message.Rev
	}
	if c.Talk != nil {
		r.talk = c.Talk.Rev
	}
	return r
}

// Restore puts them back when it is open whether the commit was written, so that the same may be committed again.
func (r Revs) Restore(c *delivery.Change) {
	if c.Message != nil {
		c.Message.Rev = r.message
	}
	if c.Talk != nil {
		c.Talk.Rev = r.talk
	}
}
