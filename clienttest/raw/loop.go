package raw

// Loop reads until the connection ends, and calls batch with the first frame of what one read brought; batch takes the rest with Next while
// Ready says so. It returns the error that ended it, never nil.
//
// Waiting as soon as a read did not fill the buffer would spare the read that finds nothing, half of all where one message comes at a time.
// It was tried: an end of the connection that is already there by then raises no second edge (epoll(7)), and is never seen.
func (c *Conn) Loop(batch func(Frame) error) error {
	for {
		f, err := c.Next()
		if err == nil {
			err = batch(f)
		}
		if err != nil {
			return err
		}
	}
}
