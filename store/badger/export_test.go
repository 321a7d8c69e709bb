package badger

import (
	"bytes"
	"fmt"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/store/internal/rule"
)

// WithTabledEvery returns opt for a store that looks that often which groups have left the log.
func (opt Options) WithTabledEvery(d time.Duration) Options {
	opt.tabledEvery = d
	return opt
}

// SkipGroup leaves out a number of the sequence, as if the group that had it were lost.
func (s *Store) SkipGroup() {
	<-s.turn
	s.reads.synced(s.reads.last + 1)
	s.unlock()
}

// WithVolume returns opt for a volume of which a test says how much is free.
func (opt Options) WithVolume(measure func() (free, total uint64)) Options {
	opt.volume = func(string) (uint64, uint64, error) {
		free, total := measure()
		return free, total, nil
	}
	return opt
}

// Measure makes the next commit measure the volume.
func (s *Store) Measure() {
	<-s.turn
	s.space.written = measureAfter
	s.unlock()
}

// Ahead makes the next position one that far ahead of the clock, as after the clock was put back.
func (s *Store) Ahead(d time.Duration) {
	<-s.turn
	s.last = s.last.After(time.Now().Add(d))
	s.unlock()
}

// Dir returns where the store lies.
func (s *Store) Dir() string { return s.space.dir }

// MessageRecord returns the record of a message.
func MessageRecord(m *delivery.Message) []byte { return appendMessage(nil, m, 0) }

// NoticeRecord returns a record of one receipt.
func NoticeRecord(user contacts.Address, body string) []byte {
	e := delivery.Entry{Position: 5, Kind: delivery.Receipt, Body: []byte(body)}
	return appendNotice(appendNoticeHead(nil, user, 5), &e, delivery.ID{}, 5)
}

// TalkRecord returns the record of a conversation that was written before.
func TalkRecord(t sms.Talk) []byte { return appendTalk(nil, &t, 3) }

// CounterRecord returns the record of a counter.
func CounterRecord(total int64, until time.Time) []byte {
	return appendCounter(nil, rule.Counter{Total: total, Until: until})
}

// MeetingRecord returns the record of what a side knows.
func MeetingRecord(at time.Time, mine string) []byte { return appendMeeting(nil, at, []byte(mine)) }

// ParseAll reads octets as each kind of record, and returns what is not the same once it was written again.
func ParseAll(b []byte) error {
	parseMessage(delivery.ID{}, b)
	parseNotices(b)
	noticeUser(b)
	parseIndex([]byte{prefixIndex, 0, 0, 0, 0, 0, 0, 0, 0}, b)
	if at, mine, err := parseMeeting(b); err == nil && !bytes.Equal(appendMeeting(nil, at, mine), b) {
		return fmt.Errorf("a meeting of %s, %q", at, mine)
	}
	if t, err := parseTalk(b); err == nil {
		if again, err := parseTalk(appendTalk(nil, &t.Talk, t.prev)); err != nil || again != t {
			return fmt.Errorf("%+v became %+v, %v", t, again, err)
		}
	}
	if c, err := parseCounter(b); err == nil {
		if again, err := parseCounter(appendCounter(nil, c)); err != nil || again != c {
			return fmt.Errorf("%+v became %+v, %v", c, again, err)
		}
	}
	return nil
}

// Groups returns how many groups were written.
func (s *Store) Groups() uint64 {
	<-s.turn
	defer s.unlock()
	return s.reads.last
}
