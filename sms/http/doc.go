// Package smshttp has the gateways that speak HTTP: a form or a query out for each MT, callbacks in for DLRs and MOs.
//
// What they share: a request is written once, on one connection, never after mt.Until, and not again when its connection breaks; what
// certainly was not written is NotSent, what was written and not answered is Unknown. A callback is answered 2xx only once the sink has
// made it durable, with 503 when it could not, so that the carrier calls again, and with 403 without the secret or signature.
package smshttp
