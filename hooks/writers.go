package hooks

import (
	"runtime"
	"sync"
	"time"
)

// writers empty the buffers of connections. A few goroutines, there only while there is something to write, attempt each write without waiting;
// a connection that does not take everything at once gets a goroutine of its own until it does or its time is up. So frames of one batch leave in
// one write, and nobody waits for a slow client.
type writers struct {
	mu      sync.Mutex
	queue   []*conn
	running int
	limit   int
	wg      sync.WaitGroup
	pool    sync.Pool // of *[]byte
}

func (w *writers) init() {
	w.limit = runtime.GOMAXPROCS(0)
	w.pool.New = func() any { b := make([]byte, 0, 2048); return &b }
}

func (w *writers) buffer() []byte { return (*w.pool.Get().(*[]byte))[:0] }

func (w *writers) recycle(b []byte) {
	if cap(b) <= maxSpare {
		b = b[:0]
		w.pool.Put(&b)
	}
}

// add takes a connection; it must not be with the writers already.
func (w *writers) add(c *conn) {
	w.mu.Lock()
	w.queue = append(w.queue, c)
	start := w.running < w.limit
	if start {
		w.running++
		w.wg.Add(1)
	}
	w.mu.Unlock()
	if start {
		go w.run()
	}
}

func (w *writers) run() {
	defer w.wg.Done()
	var batch []*conn
	for {
		w.mu.Lock()
		if len(w.queue) == 0 {
			w.running--
			w.mu.Unlock()
			return
		}
		// A share each, so that two writers have something to do.
		n := (len(w.queue) + w.limit - 1) / w.limit
		batch = append(batch[:0], w.queue[:n]...)
		w.queue = w.queue[:copy(w.queue, w.queue[n:])]
		w.mu.Unlock()
		for i, c := range batch {
			w.empty(c)
			batch[i] = nil
		}
	}
}

// empty writes until nothing is left, or hands the rest to a goroutine of its own.
func (w *writers) empty(c *conn) {
	for {
		b, ok := c.take()
		if !ok {
			return
		}
		n, err := c.writeNow(b)
		if err != nil || n == len(b) {
			w.wrote(c, b, err)
			continue
		}
		w.wg.Add(1)
		go func() {
			defer w.wg.Done()
			err := c.writeSlowly(b[n:])
			w.wrote(c, b, err)
			w.empty(c)
		}()
		return
	}
}

// take gives the writer what is to be written; false: nothing, and the connection is no longer with the writers.
func (c *conn) take() ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.out) == 0 {
		c.queued = false
		if c.finished {
			c.Conn.Close()
		}
		return nil, false
	}
	b := c.out
	c.out, c.writing = nil, len(b)
	return b, true
}

func (w *writers) wrote(c *conn, b []byte, err error) {
	c.mu.Lock()
	c.writing = 0
	if err != nil {
		c.out = nil // nobody will get it
		c.shut()
	}
	c.mu.Unlock()
	w.recycle(b)
}

// writeSlowly waits for the client to read. Past the time-out the connection is given up.
func (c *conn) writeSlowly(b []byte) error {
	c.mu.Lock()
	wait := writeTimeout
	if c.finished {
		wait = lastWords
	}
	c.Conn.SetWriteDeadline(time.Now().Add(wait))
	c.mu.Unlock()
	_, err := c.Conn.Write(b)
	if err != nil {
		if isTimeout(err) {
			c.hook.stats.Slow.Add(1)
		}
		return err
	}
	c.mu.Lock()
	if !c.finished {
		err = c.Conn.SetWriteDeadline(time.Time{})
	}
	c.mu.Unlock()
	return err
}
