package sms

import "time"

// Fail returns the error of a class, with the carrier's code when it gave one.
func Fail(class Class, code, text string) *Error {
	return &Error{Class: class, Code: code, Text: text}
}

// FailAfter is Fail for a gateway that said how long to wait before anything else is submitted.
func FailAfter(class Class, code, text string, after time.Duration) *Error {
	return &Error{Class: class, Code: code, Text: text, After: after}
}

// Temporary reports whether the segment was certainly not taken and may be submitted again, at once or later.
func (e *Error) Temporary() bool {
	switch e.Class {
	case NotSent, Throttled, Temporary, Configuration:
		return true
	}
	return false
}

// String is the word of a report in metrics and trails.
func (s DLRState) String() string {
	switch s {
	case Enroute:
		return "enroute"
	case Undelivered:
		return "undelivered"
	case DeliveredSMS:
		return "delivered"
	}
	return "unknown"
}
