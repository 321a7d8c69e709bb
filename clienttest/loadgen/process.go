package loadgen

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of /proc/<pid>/stat: USER_HZ is 100 on every architecture that Linux shows to user space.
const clockTick = time.Second / 100

// cpuTime returns the user and system time that a process has used.
func cpuTime(pid int) (time.Duration, error) {
	name := fmt.Sprintf("/proc/%d/stat", pid)
	b, err := os.ReadFile(name)
	if err != nil {
		return 0, fmt.Errorf("read the processor time of the broker: %w", err)
	}
	// The command's name stands in parentheses and may hold anything: the fields after it start with the third.
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("%s has %d fields after the command, at least 13 were expected", name, len(fields))
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * clockTick, errors.Join(err1, err2)
}

// memory returns the resident set of a process and its peak, in bytes.
func memory(pid int) (rss, peak int64, err error) {
	name := fmt.Sprintf("/proc/%d/status", pid)
	b, err := os.ReadFile(name)
	if err != nil {
		return 0, 0, fmt.Errorf("read the memory of the broker: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "VmRSS:":
			rss, err = strconv.ParseInt(f[1], 10, 64)
		case "VmHWM:":
			peak, err = strconv.ParseInt(f[1], 10, 64)
		}
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", name, err)
		}
	}
	return rss << 10, peak << 10, nil
}

// resetPeak lets the peak start anew at the present resident set (proc(5), clear_refs).
func resetPeak(pid int) error {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		return fmt.Errorf("reset the broker's peak of memory: %w", err)
	}
	return nil
}

// stolen returns the ticks for which the machine's processors were taken away, and all ticks; zeroes where there is no /proc.
func stolen() (steal, total int64, err error) {
	b, err := os.ReadFile("/proc/stat")
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	for i, f := range strings.Fields(line) {
		if i == 0 || i > 8 { // guest time is counted in user time already
			continue
		}
		v, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("/proc/stat: %w", err)
		}
		total += v
		if i == 8 {
			steal = v
		}
	}
	return steal, total, nil
}

// A reading is what the counters of machine and processes said at one moment.
type reading struct {
	at                 time.Time
	messages           uint64
	broker, self       time.Duration
	steal, total       int64
	brokerRSS, peakRSS int64
}

// readCounters reads the broker's (pid 0: none), our own and the machine's counters.
func readCounters(pid int, messages uint64) (r reading, err error) {
	r.messages = messages
	var errs [4]error
	if pid != 0 {
		r.broker, errs[0] = cpuTime(pid)
		r.brokerRSS, r.peakRSS, errs[1] = memory(pid)
	}
	if r.self, errs[2] = cpuTime(os.Getpid()); errors.Is(errs[2], fs.ErrNotExist) {
		errs[2] = nil
	}
	r.steal, r.total, errs[3] = stolen()
	r.at = time.Now()
	return r, errors.Join(errs[:]...)
}

// Costs are what happened between two readings.
type Costs struct {
	Seconds      float64 `json:"seconds"`
	Messages     uint64  `json:"messages"`
	PerSecond    float64 `json:"per_second"`
	BrokerMicros float64 `json:"broker_us_per_message,omitempty"`
	LoadMicros   float64 `json:"load_us_per_message"`
	StealPercent float64 `json:"steal_percent"`
	BrokerRSS    int64   `json:"broker_rss,omitempty"`
	BrokerPeak   int64   `json:"broker_peak_rss,omitempty"`
}

func costs(from, to reading) Costs {
	c := Costs{Messages: to.messages - from.messages, Seconds: to.at.Sub(from.at).Seconds(), BrokerRSS: to.brokerRSS, BrokerPeak: to.peakRSS}
	if c.Seconds > 0 {
		c.PerSecond = float64(c.Messages) / c.Seconds
	}
	if c.Messages > 0 {
		c.BrokerMicros = (to.broker - from.broker).Seconds() * 1e6 / float64(c.Messages)
		c.LoadMicros = (to.self - from.self).Seconds() * 1e6 / float64(c.Messages)
	}
	if to.total > from.total {
		c.StealPercent = 100 * float64(to.steal-from.steal) / float64(to.total-from.total)
	}
	return c
}
