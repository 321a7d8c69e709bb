package spool

// Refusal is refusal, for its table.
var Refusal = refusal

// Blind lets the gateway believe that the file system does not tell when a file was read.
func (g *Gammu) Blind() { g.tells = false }

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
