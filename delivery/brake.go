package delivery

import "time"

// A Brake keeps an outage of ours from turning into a storm of SMS: it holds fallbacks after a start, and while many devices vanish or fall silent at
// once (docs/decision.md, "The brake"). It has no clock: every call says when it is.
type Brake struct {
	RestartGrace time.Duration
	StormHold    time.Duration

	started   time.Time
	storm     time.Time // since when; zero: none
	ready     int
	missing   map[string]time.Time // devices that vanished and have not come back, and when
	ofStorm   int                  // how many were missing at most in this storm
	ended     bool                 // a storm ended since the latest Tick
	past      [lookBack + 1]readyCount
	due       [answerWindow]answers
	lastSweep int64
}

const (
	lookBack     = 10 // seconds
	minReady     = 50 // devices, for a storm of vanishings
	minDue       = 20 // devices, for a storm of silence
	answerWindow = 30 // seconds
)

type readyCount struct {
	second int64
	ready  int
}

type answers struct {
	second       int64
	due, missing int
}

// An Answered is what a device did when it last was due to answer; the Brake keeps it with the device.
type Answered struct {
	second int64
	missed bool
}

// Start begins the restart grace.
func (b *Brake) Start(now time.Time) {
	b.started = now
	b.missing = map[string]time.Time{}
}

// Ready counts a device that became ready; device is its name, to know it again.
func (b *Brake) Ready(device string, now time.Time) {
	b.tick(now)
	b.ready++
	b.note(now)
	b.Back(device, now)
}

// Back tells that a device that fell silent answers again.
func (b *Brake) Back(device string, now time.Time) {
	if _, was := b.missing[device]; !was {
		return
	}
	delete(b.missing, device)
	b.judge(now)
}

// Unready counts a device that is not ready any more; vanished: lost or silent, not left cleanly and not taken over.
func (b *Brake) Unready(device string, vanished bool, now time.Time) {
	b.tick(now)
	b.ready--
	b.note(now)
	if vanished {
		b.missing[device] = now
		b.judge(now)
	}
}

// Answer counts a device that was due to answer: it did, or its wait passed. What it did before is in last; Answer returns what to keep.
func (b *Brake) Answer(last Answered, missed bool, now time.Time) Answered {
	sec := now.Unix()
	if last.second == sec && last.missed == missed {
		return last
	}
	if old := &b.due[last.second%answerWindow]; last.second != 0 && old.second == last.second && sec-last.second < answerWindow {
		old.due--
		if last.missed {
			old.missing--
		}
	}
	slot := &b.due[sec%answerWindow]
	if slot.second != sec {
		*slot = answers{second: sec}
	}
	slot.due++
	if missed {
		slot.missing++
		b.judge(now)
	}
	return Answered{second: sec, missed: missed}
}

// Hold returns until when fallbacks are held, at the latest; zero: they are not. hadDevice: the user had a device ready since the start.
func (b *Brake) Hold(hadDevice bool, now time.Time) time.Time {
	if !b.storm.IsZero() {
		if end := b.storm.Add(b.StormHold); now.Before(end) {
			return end
		}
	}
	if end := b.started.Add(b.RestartGrace); !hadDevice && now.Before(end) {
		return end
	}
	return time.Time{}
}

// Storm reports whether one is on, and how many devices are missing.
func (b *Brake) Storm(now time.Time) (on bool, missing int) {
	return !b.storm.IsZero() && now.Before(b.storm.Add(b.StormHold)), len(b.missing)
}

// Tick ends a storm that is over and forgets what is too old; true when fallbacks must be decided anew. Called about once a second.
func (b *Brake) Tick(now time.Time) (released bool) {
	b.tick(now)
	if !b.storm.IsZero() {
		b.judge(now)
	}
	released, b.ended = b.ended, false
	return released
}

// judge begins and ends storms.
func (b *Brake) judge(now time.Time) {
	if b.storm.IsZero() {
		if b.vanishing(now) || b.silent(now) {
			b.storm, b.ofStorm = now, len(b.missing)
		}
		return
	}
	b.ofStorm = max(b.ofStorm, len(b.missing))
	if 2*len(b.missing) < b.ofStorm || !now.Before(b.storm.Add(b.StormHold)) {
		b.storm, b.ended = time.Time{}, true
		clear(b.missing)
		b.due = [answerWindow]answers{}
	}
}

// vanishing: 20 % of at least 50 devices that were ready 10 s ago.
func (b *Brake) vanishing(now time.Time) bool {
	before := b.readyAt(now.Unix() - lookBack)
	if before < minReady || len(b.missing)*5 < before {
		return false
	}
	recent := 0
	for _, at := range b.missing {
		if now.Sub(at) <= lookBack*time.Second {
			recent++
		}
	}
	return recent*5 >= before
}

// silent: half of at least 20 devices that were due to answer within 30 s did not.
func (b *Brake) silent(now time.Time) bool {
	due, missing := 0, 0
	for _, s := range b.due {
		if now.Unix()-s.second < answerWindow {
			due, missing = due+s.due, missing+s.missing
		}
	}
	return due >= minDue && 2*missing >= due
}

// note keeps how many devices are ready in this second.
func (b *Brake) note(now time.Time) {
	b.past[now.Unix()%int64(len(b.past))] = readyCount{now.Unix(), b.ready}
}

// readyAt returns how many devices were ready at a second within the last ten.
func (b *Brake) readyAt(second int64) int {
	best := readyCount{second: -1, ready: b.ready}
	for _, p := range b.past {
		if p.second <= second && p.second > best.second && p.second != 0 {
			best = p
		}
	}
	if best.second < 0 { // nothing that old is known: the broker is younger
		oldest := readyCount{second: 1<<62 - 1}
		for _, p := range b.past {
			if p.second != 0 && p.second < oldest.second {
				oldest = p
			}
		}
		return oldest.ready
	}
	return best.ready
}

// tick carries the count of ready devices over seconds in which nothing happened, and forgets what vanished long ago outside a storm.
func (b *Brake) tick(now time.Time) {
	sec := now.Unix()
	if sec == b.lastSweep {
		return
	}
	if b.lastSweep != 0 {
		for s := max(b.lastSweep+1, sec-lookBack); s < sec; s++ {
			b.past[s%int64(len(b.past))] = readyCount{s, b.ready}
		}
	}
	b.past[sec%int64(len(b.past))] = readyCount{sec, b.ready}
	b.lastSweep = sec
	if b.storm.IsZero() {
		for d, at := range b.missing {
			if now.Sub(at) > lookBack*time.Second {
				delete(b.missing, d)
			}
		}
	}
}
