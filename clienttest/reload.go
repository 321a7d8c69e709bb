package clienttest

import (
	"strings"
	"syscall"
	"time"

	"github.com/seed-7a41469f/godwit/config"
)

// File returns the path of the configuration file.
func (p *Process) File() string { return p.file }

// Reload changes the configuration file and has the broker read it, as Hangup does.
func (p *Process) Reload(change func(*config.Config)) (line string) {
	p.t.Helper()
	change(&p.cfg)
	if err := p.write(); err != nil {
		p.t.Fatal(err)
	}
	return p.Hangup()
}

// Hangup sends SIGHUP, and returns the line of the log that says what came of it.
func (p *Process) Hangup() (line string) {
	p.t.Helper()
	before := len(p.log.String())
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		p.t.Fatal(err)
	}
	return p.AwaitLog(before, "the configuration was read again", "the configuration cannot be used")
}

// AwaitLog waits for a line of the log, from an offset on, that has one of the texts in it.
func (b *Broker) AwaitLog(from int, texts ...string) (line string) {
	b.t.Helper()
	end := time.After(Patience)
	for {
		lines, next, more := b.log.lines(from)
		from = next
		for _, line := range lines {
			for _, text := range texts {
				if strings.Contains(line, text) {
					return line
				}
			}
		}
		select {
		case <-more:
		case <-end:
			b.t.Fatalf("the log has no line with one of %q:\n%s", texts, b.log.String())
		}
	}
}
