// Package api is Godwit over HTTP: sending and looking after one's own messages, the operator's API below /v1/admin, and the OpenAPI 3.1
// description of both, made from the same structs.
//
// What is wrong is answered as a Problem (RFC 9457), whose type is a page of the documentation and whose code is one stable word. A send is
// answered 202 only once the message is durable. Bodies are bounded before they are read. Nothing here knows a driver or a listener: package
// broker mounts it.
package api
