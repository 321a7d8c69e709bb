package contacts

// A Directory knows every user, in memory, over a durable Table.
type Directory struct{}
