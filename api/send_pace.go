package api

import (
	"sync"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
)

// How long requests are held back before they are refused, and how many at a time.
const (
	longestPace = 3 * time.Second
	mostPaced   = 1024
	fewPaced    = 1024 // users that are remembered, whether idle or not
)

// paces are a token bucket for each user, as hooks has for each connection. Who has been idle for a burst is forgotten.
type paces struct {
	mu       sync.Mutex
	interval time.Duration // 0: no limit
	burst    time.Duration
	spent    map[contacts.Address]time.Time // up to when tokens are spent
	sweepAt  int
	waiting  int
}

// set changes the rate, which is so many a second with a burst of one second's worth; 0: no limit.
func (p *paces) set(perSecond float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.interval, p.burst = 0, 0
	if perSecond > 0 {
		p.interval = max(time.Duration(float64(time.Second)/perSecond), 1)
		p.burst = max(time.Second, p.interval)
	}
	p.spent, p.sweepAt = map[contacts.Address]time.Time{}, fewPaced
}

// take spends a token of a user. With wait above 0 the user waits for it, and waited is to be called; ok false: none was spent, and there is one after wait.
func (p *paces) take(user contacts.Address, now time.Time) (wait time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.interval == 0 {
		return 0, true
	}
	spent := p.spent[user]
	if earliest := now.Add(-p.burst); spent.Before(earliest) {
		spent = earliest
	}
	spent = spent.Add(p.interval)
	wait = max(spent.Sub(now), 0)
	if wait > longestPace || wait > 0 && p.waiting >= mostPaced {
		return wait, false
	}
	p.spent[user] = spent
	if len(p.spent) >= p.sweepAt {
		p.sweep(now)
	}
	if wait > 0 {
		p.waiting++
	}
	return wait, true
}

func (p *paces) waited() {
	p.mu.Lock()
	p.waiting--
	p.mu.Unlock()
}

// sweep forgets whose bucket is full.
func (p *paces) sweep(now time.Time) {
	for user, spent := range p.spent {
		if !spent.After(now.Add(-p.burst)) {
			delete(p.spent, user)
		}
	}
	p.sweepAt = max(fewPaced, 2*len(p.spent))
}
