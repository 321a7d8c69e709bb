//go:build !unix

package raw

func (c *Conn) loopRaw(func(Frame) error) (bool, error) { return false, nil }
