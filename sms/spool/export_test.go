package spool

// Incoming reads the name and the octets of an inbox file.
func Incoming(name string, octets []byte) (sender, text string, part int, ok bool) {
	f, ok := parseIn(name)
	return f.sender, decode(octets), f.part, ok
}

// Outgoing reports whether a name is one of ours in the outbox.
func Outgoing(name string) bool {
	_, _, ok := parseOut(name)
	return ok
}
