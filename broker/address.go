package broker

import (
	"net"
	"net/netip"
	"time"
)

// addresses counts, for each network address, connections that have not logged in and failed logins: behind one carrier's NAT sit thousands of
// phones that have every right to be there.
type addresses map[string]*visitor

type visitor struct {
	waiting int // connections that have not logged in
	failed  int // logins since
	since   time.Time
}

// admit counts a connection, unless its address has too many.
func (a addresses) admit(from string, waiting, failed int, now time.Time) bool {
	v := a[from]
	if v == nil {
		v = &visitor{}
		a[from] = v
	}
	v.forgive(now)
	if v.waiting >= waiting || v.failed >= failed {
		return false
	}
	v.waiting++
	return true
}

// leave uncounts a connection: it has logged in or is gone.
func (a addresses) leave(from string, now time.Time) {
	v := a[from]
	if v == nil {
		return
	}
	v.waiting--
	v.forgive(now)
	if v.waiting <= 0 && v.failed == 0 {
		delete(a, from)
	}
}

func (a addresses) fail(from string, now time.Time) {
	if v := a[from]; v != nil {
		v.forgive(now)
		v.failed++
	}
}

// forgive starts a new second.
func (v *visitor) forgive(now time.Time) {
	if now.Sub(v.since) >= time.Second {
		v.failed, v.since = 0, now
	}
}

// sweep drops who has nothing counted any more.
func (a addresses) sweep(now time.Time) {
	for from, v := range a {
		v.forgive(now)
		if v.waiting <= 0 && v.failed == 0 {
			delete(a, from)
		}
	}
}

// origin is the network that a connection comes from: an IPv4 address, or the /64 that an IPv6 host has to itself.
func origin(addr net.Addr) string {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return addr.String()
	}
	ip := ap.Addr().Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}
