//go:build unix

package raw

import (
	"io"
	"syscall"
)

// loopRaw is Loop for a plain socket. A read of net.Conn costs two system calls where one message comes at a time, since it is tried once
// more before it waits; here a read that did not fill the buffer has drained the socket (epoll(7)), and we wait at once.
func (c *Conn) loopRaw(batch func(Frame) error) (started bool, err error) {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false, nil
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return true, err
	}
	if err := c.drain(batch); err != nil {
		return true, err
	}
	var failed error
	err = rc.Read(func(fd uintptr) (over bool) {
		var again bool
		for again = true; again && failed == nil; {
			if again, failed = c.fillFrom(int(fd)); failed == nil {
				failed = c.drain(batch)
			}
		}
		return failed != nil
	})
	if failed != nil {
		return true, failed
	}
	return true, err
}

// fillFrom reads once without waiting, and reports whether there may be more.
func (c *Conn) fillFrom(fd int) (more bool, err error) {
	r := c.Reader
	if err := r.makeRoom(); err != nil {
		return false, err
	}
	n, err := syscall.Read(fd, r.buf[r.end:])
	switch {
	case err == syscall.EAGAIN:
		return false, nil
	case err == syscall.EINTR:
		return true, nil
	case err != nil:
		return false, err
	case n == 0:
		return false, io.EOF
	}
	r.end += n
	return r.end == len(r.buf), nil
}

func (c *Conn) drain(batch func(Frame) error) error {
	for c.Ready() {
		f, err := c.Next()
		if err == nil {
			err = batch(f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
