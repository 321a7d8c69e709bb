package smpp

import (
	"hash/maphash"
	"slices"
	"strings"
	"time"
)

// A joiner puts the segments of long MOs together. It has no clock, and is not safe for concurrent use.
type joiner struct {
	patience time.Duration // how long missing segments are waited for, and what is stored is remembered
	room     int           // octets that may be kept
	kept     int           // octets that are
	seed     maphash.Seed
	long     []*long
}

// A longKey tells long MOs apart: phones count their references themselves.
type longKey struct {
	from, to  string
	form      Concat
	reference uint16
	total     byte
}

// A long is a long MO.
type long struct {
	longKey
	pieces map[byte]piece // by their numbers
	have   int            // octets in pieces
	begin  time.Time      // when the first segment came
	due    time.Time      // when it is stored as it is, or, once stored, forgotten
	stored bool           // durable: what comes of it again is answered at once
	stale  bool           // another message uses its reference now
	held   []*job         // the deliveries that are not answered
	owed   int            // those that were refused for now, and so come again: perhaps long after it is stored
}

// A piece is the text of a segment as it came.
type piece struct {
	coding byte
	octets []byte
	sum    uint64
}

// A fate says what becomes of the delivery of a segment.
type fate uint8

const (
	held    fate = iota // until there is more
	whole               // the message can be stored
	known               // it is durable already
	refused             // there is no room
)

func newJoiner(patience time.Duration, room int) *joiner {
	return &joiner{patience: patience, room: room, seed: maphash.MakeSeed()}
}

// Each segment that is kept costs so many octets besides its text.
const pieceOverhead = 200

// add takes a segment. It is kept unless it is refused or known.
func (j *joiner) add(k longKey, number byte, coding byte, octets []byte, now time.Time) (*long, fate) {
	p := piece{coding, octets, maphash.Bytes(j.seed, octets)}
	l := j.find(k)
	if l != nil {
		old, have := l.pieces[number]
		again := have && old.sum == p.sum && old.coding == coding
		if again {
			l.owed = max(0, l.owed-1)
		}
		switch {
		case again && l.stored:
			return l, known
		case again:
			return l, l.fate()
		case l.stored:
			j.forget(l) // what follows is a new message, or the rest of one that was waited for in vain
			l = nil
		case have: // the phone has come round to the reference: what is missing of the old message will not come any more
			l.stale, l.due = true, now
			l = nil
		}
	}
	cost := len(octets) + pieceOverhead
	if j.kept+cost > j.room && !j.makeRoom(cost) {
		return nil, refused
	}
	if l == nil {
		l = &long{longKey: k, pieces: map[byte]piece{}, begin: now, due: now.Add(j.patience)}
		j.long = append(j.long, l)
	}
	l.pieces[number] = p
	l.have += cost
	j.kept += cost
	return l, l.fate()
}

func (l *long) fate() fate {
	if len(l.pieces) == int(l.total) {
		return whole
	}
	return held
}

func (j *joiner) find(k longKey) *long {
	i := slices.IndexFunc(j.long, func(l *long) bool { return l.longKey == k && !l.stale })
	if i < 0 {
		return nil
	}
	return j.long[i]
}

// makeRoom forgets what is stored, the oldest first: then a repetition is taken for a new message, which is worse than nothing but less bad than a
// segment that is refused.
func (j *joiner) makeRoom(cost int) bool {
	for _, l := range slices.Clone(j.long) {
		if j.kept+cost <= j.room {
			return true
		}
		if l.stored {
			j.forget(l)
		}
	}
	return j.kept+cost <= j.room
}

// owedFor is how long it is remembered that segments come again, whatever the schedule of the SMSC.
const owedFor = 48 * time.Hour

// keep notes that l is durable, and that segments of it which are owed have come.
func (j *joiner) keep(l *long, now time.Time) {
	if l.due = now.Add(j.patience); l.owed > 0 {
		l.due = now.Add(owedFor)
	}
	if l.stored {
		return
	}
	l.stored = true
	if l.stale {
		j.forget(l)
		return
	}
	for n, p := range l.pieces {
		j.kept -= len(p.octets)
		l.have -= len(p.octets)
		l.pieces[n] = piece{coding: p.coding, sum: p.sum}
	}
}

func (j *joiner) forget(l *long) {
	j.kept -= l.have
	j.long = slices.DeleteFunc(j.long, func(o *long) bool { return o == l })
}

// overdue returns what is to be stored although something is missing, and forgets what was stored long ago.
func (j *joiner) overdue(now time.Time) (all []*long) {
	for _, l := range slices.Clone(j.long) {
		switch {
		case now.Before(l.due):
		case l.stored:
			j.forget(l)
		default:
			all = append(all, l)
		}
	}
	return all
}

// missing stands for segments that did not come.
const missing = "[…]"

// text returns the text as far as it is there. Segments of one data_coding are decoded together: some phones cut between an escape, or a
// surrogate, and what belongs to it.
func (l *long) text() string {
	var b strings.Builder
	var run piece
	flush := func() {
		b.WriteString(decode(run.octets, run.coding))
		run = piece{}
	}
	gap := false
	for n := 1; n <= int(l.total); n++ {
		p, have := l.pieces[byte(n)]
		if !have {
			if !gap {
				flush()
				b.WriteString(missing)
			}
			gap = true
			continue
		}
		if gap = false; p.coding != run.coding {
			flush()
		}
		run.coding = p.coding
		run.octets = append(run.octets, p.octets...)
	}
	flush()
	return b.String()
}
