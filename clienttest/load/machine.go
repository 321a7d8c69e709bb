package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// machine describes what the figures were measured on.
func machine() string {
	s := fmt.Sprintf("%d processors", runtime.NumCPU())
	if model := cpuModel(); model != "" {
		s = fmt.Sprintf("%s (%s)", s, model)
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		return fmt.Sprintf("%s, %s %s", s, runtime.GOOS, strings.TrimSpace(string(b)))
	}
	return fmt.Sprintf("%s, %s", s, runtime.GOOS)
}

// cpuModel is the processor's name where the system tells it; the report does without it elsewhere.
func cpuModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
