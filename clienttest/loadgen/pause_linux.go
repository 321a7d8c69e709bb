package loadgen

import (
	"syscall"
	"time"
)

// pause sleeps in the kernel: Go's timers are only as fine as epoll's millisecond, which an open loop at thousands a second would show.
func pause(d time.Duration) {
	if d <= 0 {
		return
	}
	left := syscall.NsecToTimespec(int64(d))
	for {
		ts := left
		if err := syscall.Nanosleep(&ts, &left); err != syscall.EINTR {
			return
		}
	}
}
