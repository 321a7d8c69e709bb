// Package contacts knows who can be reached: addresses, users, their tokens and the devices that are remembered for them.
//
// A Directory holds every user in memory, as the bytes that also stand in its Table, so that a look-up costs no I/O and a user about
// 300 bytes. It is the only writer of its Table. It guarantees:
//
//   - What Add, Remove, IssueToken, RevokeToken, Remember, ForgetDevice, HasInbox and ExpireDevices did is durable when they return nil.
//     When they return an error of the Table, memory is as it was, and the next write puts the Table right.
//   - Calls that are under way at the same time share one Table.Write.
//   - When a device was last connected is written at most every 5 s and tried again until it succeeds; a crash may lose that much.
//   - A token that was revoked, or whose user was removed, is refused with ErrRevoked for ever. A JWT or a certificate that still holds may
//     register its address again.
package contacts
