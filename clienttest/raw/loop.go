package raw

// Loop reads until the connection ends, and calls batch with the first frame of what one read brought; batch takes the rest with Next while
// Ready says so. It returns the error that ended it, never nil.
func (c *Conn) Loop(batch func(Frame) error) error {
	if started, err := c.loopRaw(batch); started {
		return err
	}
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
