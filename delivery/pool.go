package delivery

import (
	"errors"
	"sync"
	"time"
)

// A pool is a few goroutines that read the store for the deliverer. A job's result is a function that the deliverer runs.
type pool struct {
	d    *deliverer
	mu   sync.Mutex
	cond *sync.Cond
	jobs []func() func(time.Time)
	done bool
	wg   sync.WaitGroup
}

const readers = 4

func newPool(d *deliverer) *pool {
	p := &pool{d: d}
	p.cond = sync.NewCond(&p.mu)
	return p
}

func (p *pool) start() {
	for range readers {
		p.wg.Go(p.work)
	}
}

// stop ends the pool; jobs that wait are dropped.
func (p *pool) stop() {
	p.mu.Lock()
	p.done = true
	p.cond.Broadcast()
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *pool) work() {
	for {
		p.mu.Lock()
		for len(p.jobs) == 0 && !p.done {
			p.cond.Wait()
		}
		if p.done {
			p.mu.Unlock()
			return
		}
		job := p.jobs[0]
		p.jobs[0] = nil
		if p.jobs = p.jobs[1:]; len(p.jobs) == 0 {
			p.jobs = nil
		}
		p.mu.Unlock()
		p.d.call(job())
	}
}

// read runs a job on a reader, and what it returns in the deliverer.
func (e *Engine) read(job func() func(time.Time)) {
	p := e.readers
	p.mu.Lock()
	p.jobs = append(p.jobs, job)
	p.mu.Unlock()
	p.cond.Signal()
}

// load reads a message for the deliverer; fn is not called for one that is gone.
func (e *Engine) load(id ID, fn func(m *Message, now time.Time)) {
	e.read(func() func(time.Time) {
		m, err := e.cfg.Store.Message(e.ctx, id)
		return func(now time.Time) {
			switch {
			case err == nil:
				fn(m, now)
			case errors.Is(err, ErrNotFound):
				e.dlv.vanished(id, now)
			case e.ctx.Err() == nil:
				e.log.Error().Err(err).Msg("a message cannot be read; tried again in a second")
				e.dlv.after(time.Second, now, func(time.Time) { e.load(id, fn) })
			}
		}
	})
}

// vanished forgets a message that is not in the store any more.
func (d *deliverer) vanished(id ID, now time.Time) {
	if r := d.open[id]; r != nil {
		d.acknowledgementStored(r.line.user, id)
		d.close(r, &Message{ID: id, State: Expired}, now)
	}
}
