package broker

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// maxSocketPath is what fits sockaddr_un on all systems, with the final NUL.
const maxSocketPath = 103

// listenUnix listens on a socket that only this user can open. What an earlier process left behind is removed, unless it still answers.
func listenUnix(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("listen.admin: the path %s is longer than the %d bytes of a socket's name; set listen.admin to unix: and a shorter one", path, maxSocketPath)
	}
	l, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if err := removeStale(path); err != nil {
			return nil, err
		}
		l, err = net.Listen("unix", path)
	}
	if err != nil {
		return nil, fmt.Errorf("listen.admin: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("listen.admin: %w", err), l.Close())
	}
	return l, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("listen.admin: %w", err)
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("listen.admin: %s is in the way and is not a socket; remove it or choose another path", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		return errors.Join(fmt.Errorf("listen.admin: another broker answers on %s; stop it, or give this one its own data directory", path), c.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("listen.admin: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("listen.admin: %w", err)
	}
	return nil
}
