package clienttest

// Log writes a line into the broker's log, as the broker would.
func (b *Broker) Log(line string) error {
	_, err := b.log.Write([]byte(line + "\n"))
	return err
}
