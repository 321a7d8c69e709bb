package clienttest

import (
	"bytes"
	"strings"
	"sync"
)

// A journal keeps what a program writes, and tells those that wait for a line.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
	news chan struct{} // closed at the next write; nil: nobody waits
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.news != nil {
		close(j.news)
		j.news = nil
	}
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// lines returns the whole lines from an offset on, the offset behind them, and what is closed when there is more.
func (j *journal) lines(from int) (lines []string, next int, more <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.news == nil {
		j.news = make(chan struct{})
	}
	text := string(j.text.Bytes()[from:])
	end := strings.LastIndexByte(text, '\n') + 1
	for line := range strings.Lines(text[:end]) {
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	return lines, from + end, j.news
}
