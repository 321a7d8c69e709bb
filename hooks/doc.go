// Package hooks joins a mochi MQTT server to the delivery engine: it turns packets into the engine's calls, and pushes and acknowledgements
// into packets. It decides nothing about messages.
//
// It guarantees that no publish is acknowledged before the engine says that it is kept, that acknowledgements leave in the order of the
// publishes, that a client acts only as the user it logged in as and only on that user's topics, whatever other hooks allow, and that nothing
// here ever blocks the engine.
//
// Pushes, their packet identifiers and their acknowledgements stay outside mochi's routing and its in-flight map, which lose, reorder and
// deadlock. Every connection writes through one buffer of ours, so frames never interleave, and a client that does not read holds up nobody.
package hooks
