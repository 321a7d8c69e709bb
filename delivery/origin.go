package delivery

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/seed-7a41469f/godwit/contacts"
)

// Origins remember which PUBLISH of a device became which message, so that one sent again (DUP) on the device's next connection is acknowledged
// again and not delivered again. Only the latest originsKept of a device are known, which is more than a client may have unacknowledged.
type origins struct {
	mu      sync.Mutex
	devices map[uint64]*ring
	fresh   []*origin // of the group that is being written
}

const (
	originsKept  = 1024
	originsFew   = 32        // are kept whatever their age
	originsFresh = time.Hour // beyond those, younger ones
	originAge    = 24 * time.Hour
)

// A ring holds the latest publishes of one device, oldest first.
type ring struct {
	connection uint32 // counts the device's connections; 0: before the restart
	entries    []*origin
	before     []origin // of the time before the restart, in no order until recovery is done
}

type origin struct {
	digest     uint64
	connection uint32
	packetID   uint16
	at         int64 // Unix seconds
	id         ID
	message    *Message // until its group is written
}

// A sender is the connection that a publish came by.
type sender struct {
	device     uint64 // hash of user and client id; 0: not to be compared
	connection uint32
	dup        bool
}

func deviceKey(user contacts.Address, clientID string) uint64 {
	var d xxhash.Digest
	d.Reset()
	d.WriteString(string(user))
	d.WriteString("\x00")
	d.WriteString(clientID)
	return d.Sum64() | 1
}

func newOrigins() *origins { return &origins{devices: map[uint64]*ring{}} }

// connected counts a connection of a device and returns its number.
func (o *origins) connected(device uint64) uint32 {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.devices[device]
	if r == nil {
		return 1
	}
	r.connection++
	return r.connection
}

// seen looks for the message that the PUBLISH of p became on this or the previous connection: its id, or the message itself when it is in the same
// group. A publish that is not known is noted.
func (o *origins) seen(p *proposal, now time.Time) (ID, *Message) {
	if p.from.device == 0 {
		return ID{}, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	m := p.change.Message
	r := o.devices[p.from.device]
	if r == nil {
		r = &ring{connection: p.from.connection}
		o.devices[p.from.device] = r
	}
	note := &origin{digest: m.Origin.Digest, connection: p.from.connection, packetID: m.Origin.PacketID, at: now.Unix(), message: m}
	if p.from.dup {
		if old := r.find(m.Origin, p.from.connection, now); old != nil {
			note.id, note.message = old.id, old.message
			r.add(note)
			return old.id, old.message
		}
	}
	r.add(note)
	o.fresh = append(o.fresh, note)
	return ID{}, nil
}

// find returns the latest publish under a packet identifier, when it is the same one.
func (r *ring) find(og Origin, connection uint32, now time.Time) *origin {
	e := r.latest(og.PacketID)
	if e == nil || e.digest != og.Digest || e.connection+1 < connection || now.Unix()-e.at > int64(originAge/time.Second) {
		return nil
	}
	return e
}

func (r *ring) latest(packetID uint16) *origin {
	for i := len(r.entries) - 1; i >= 0; i-- {
		if e := r.entries[i]; e.packetID == packetID {
			return e
		}
	}
	for i := len(r.before) - 1; i >= 0; i-- {
		if r.before[i].packetID == packetID {
			return &r.before[i]
		}
	}
	return nil
}

// add notes a publish, and drops what is too much: a device that publishes now and then has had its acknowledgements of an hour ago.
func (r *ring) add(e *origin) {
	r.entries = append(r.entries, e)
	n := 0
	for left := len(r.entries); left > originsKept || left > originsFew && e.at-r.entries[n].at > int64(originsFresh/time.Second); left-- {
		n++
	}
	clear(r.entries[:n])
	r.entries = r.entries[n:]
}

// settle notes the ids of the group that was written; what was refused is not known.
func (o *origins) settle() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, e := range o.fresh {
		if m := e.message; m != nil && m.Rev != 0 {
			e.id = m.ID
		} else {
			e.packetID = 0 // no PUBLISH has it
		}
		e.message = nil
		o.fresh[i] = nil
	}
	o.fresh = o.fresh[:0]
}

// recovered notes a message that was accepted before the broker started.
func (o *origins) recovered(m *Message) {
	if m.Origin.Device == "" {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	device := deviceKey(m.From, m.Origin.Device)
	r := o.devices[device]
	if r == nil {
		r = &ring{}
		o.devices[device] = r
	}
	r.before = append(r.before, origin{digest: m.Origin.Digest, packetID: m.Origin.PacketID, at: m.Accepted.Unix(), id: m.ID})
	if len(r.before) >= 2*originsKept {
		r.order()
	}
}

// order sorts what was recovered and keeps the latest.
func (r *ring) order() {
	slices.SortFunc(r.before, func(a, b origin) int { return cmp.Compare(a.id.Position(), b.id.Position()) })
	if n := len(r.before) - originsKept; n > 0 {
		r.before = slices.Delete(r.before, 0, n)
	}
}

// complete ends the recovery: from now on publishes can be compared.
func (o *origins) complete() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.devices {
		r.order()
		r.before = slices.Clip(r.before)
	}
}

// sweep drops devices of which nothing is young enough to be compared.
func (o *origins) sweep(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for d, r := range o.devices {
		if now.Unix()-r.newest() > int64(originAge/time.Second) {
			delete(o.devices, d)
		}
	}
}

// newest is when the latest publish of the device came, in Unix seconds.
func (r *ring) newest() (at int64) {
	if n := len(r.entries); n > 0 {
		return r.entries[n-1].at
	}
	if n := len(r.before); n > 0 {
		return r.before[n-1].at
	}
	return 0
}
