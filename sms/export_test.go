package sms

import "github.com/seed-7a41469f/godwit/contacts"

// Gateways returns the names of the gateways that may take what goes to a number, in the order in which they are tried; none when no route takes it.
func (d *Dispatcher) Gateways(to contacts.Number) (names []string) {
	for _, g := range d.routes.paths[d.routes.to(to)].use {
		names = append(names, d.lanes[g].name)
	}
	return names
}
