//go:build unix

package hooks

import "syscall"

// writeNow writes what the kernel takes at once.
func (c *conn) writeNow(b []byte) (int, error) {
	if c.raw == nil {
		return 0, nil
	}
	c.chunk, c.wrote, c.wErr = b, 0, nil
	err := c.raw.Write(c.attempt)
	c.chunk = nil
	if err == nil {
		err = c.wErr
	}
	return c.wrote, err
}

// tryWrite always says that it is done: what is left is written by a goroutine that may wait.
func (c *conn) tryWrite(fd uintptr) bool {
	for len(c.chunk) > 0 {
		n, err := syscall.Write(int(fd), c.chunk)
		switch {
		case n > 0:
			c.wrote += n
			c.chunk = c.chunk[n:]
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return true
		default:
			c.wErr = err
			return true
		}
	}
	return true
}
