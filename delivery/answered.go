package delivery

import (
	"sync"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
)

// answered remembers whose peer wrote a short while ago: what they send to that peer is a reply, and goes before other SMS. It is a hint, and kept in memory only.
type answered struct {
	mu   sync.Mutex
	last map[[2]string]time.Time // user, peer
}

const (
	answerTime = time.Hour
	answerKept = 1 << 16
)

func (a *answered) note(user contacts.Address, peer contacts.Number, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.last) >= answerKept {
		for pair, at := range a.last {
			if now.Sub(at) >= answerTime {
				delete(a.last, pair)
			}
		}
	}
	if a.last == nil || len(a.last) >= answerKept {
		a.last = map[[2]string]time.Time{}
	}
	a.last[[2]string{string(user), string(peer)}] = now
}

func (a *answered) recently(user, peer contacts.Address, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, ok := a.last[[2]string{string(user), string(peer)}]
	return ok && now.Sub(at) < answerTime
}
