package clienttest

// Log writes a line into the broker's log, as the broker would.
func (b *Broker) Log(line string) error {
	_, err := b.log.Write([]byte(line + "\n"))
	return err
}

// ArrivalOf reads a topic and payload as phones do.
func ArrivalOf(topic string, payload []byte) Arrival { return arrivalOf(topic, payload) }
