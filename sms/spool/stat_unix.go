//go:build unix

package spool

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// readAt returns when a file was last read, as far as the file system tells.
func readAt(path string) (time.Time, bool) {
	var s unix.Stat_t
	if unix.Lstat(path, &s) != nil {
		return time.Time{}, false
	}
	return time.Unix(s.Atim.Unix()), true
}

// shareWith lets the group of a folder, which smsd belongs to, read and write a file.
func shareWith(f *os.File, dir string) {
	_ = f.Chmod(0o660)
	if info, err := os.Stat(dir); err == nil {
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			_ = f.Chown(-1, int(s.Gid)) // we may not belong to that group: then the folder's owner has seen to it
		}
	}
}
