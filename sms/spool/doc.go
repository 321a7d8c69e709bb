// Package spool is the gateway to a modem by way of gammu-smsd, whose FILES service takes and gives each SMS as a file (gammu-smsd-files(7)).
//
// A message is written under a hidden name and renamed into the outbox, which is atomic. It was taken when smsd has moved it to the sent folder,
// which it does once the modem has sent all of it. A file that smsd has not even read in time is taken back, and that is certain; one that it has
// read and not moved is unknown. What happens to it later, or while this process was away, is told as a report of our own reference.
//
// An MO is removed from the inbox only after the sink took it, so it may be given again, under the same id. smsd waits for the parts of a long one
// and writes them together; here they are joined.
//
// smsd needs Service = files, InboxFormat = unicode, TransmitFormat = auto, and better CommTimeout = 1 and ReceiveFrequency = 1 than the defaults of
// 30 and 15 seconds.
package spool
