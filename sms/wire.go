package sms

import (
	"fmt"
	"sync/atomic"
)

// A Wire is a gateway's log of what goes over its wire, for the operator who looks for a fault. It is off until Set, and a nil one stays
// off. Who writes to it leaves out secrets and texts, and masks numbers.
type Wire struct {
	on    atomic.Bool
	write func(line string)
}

// NewWire returns a Wire that is off, and gives each line to write, which must be safe for concurrent use.
func NewWire(write func(line string)) *Wire { return &Wire{write: write} }

// Set switches the log on or off.
func (w *Wire) Set(on bool) { w.on.Store(on) }

// On reports whether the log is on: then it is worth to make a line.
func (w *Wire) On() bool { return w != nil && w.on.Load() }

// Logf writes a line when the log is on.
func (w *Wire) Logf(format string, args ...any) {
	if w.On() {
		w.write(fmt.Sprintf(format, args...))
	}
}
