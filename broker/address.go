package broker

import (
	"cmp"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"
)

const (
	sweepEvery = time.Minute
	stormSize  = 1000 // connections
	tidyAfter  = 500 * time.Millisecond
)

// Visitors are who is connected to a broker, by whichever door. Its fields bound them; all doors share one. Per network address only connections
// that have not logged in and failed logins are counted: behind one carrier's NAT sit thousands of phones that have every right to be there.
type Visitors struct {
	Connections  int // MQTT, at most; 100,000
	PerAddress   int // connections from one network address that have not logged in, at most; 1,000
	FailedLogins int // a second from one network address, above which it is refused; 100

	mu    sync.Mutex
	open  int // MQTT connections
	from  map[string]*visitor
	swept time.Time
	storm int         // MQTT connections since the memory was tidied up
	tidy  *time.Timer // does it, once the storm is over
}

// A visitor is one network address.
type visitor struct {
	waiting int // connections that have not logged in
	failed  int // logins since
	since   time.Time
}

// A refusal says why a connection is not admitted; the zero value that it is.
type refusal byte

const (
	refusedFull    refusal = 1 // because of Connections
	refusedAddress refusal = 2 // because of PerAddress or FailedLogins
)

// admit counts an MQTT connection, unless there are too many. Who is admitted must leave. Whose network only a PROXY header will tell comes from "",
// and enters once it is known.
func (v *Visitors) admit(from string) refusal {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.open >= v.connections() {
		return refusedFull
	}
	if from != "" && !v.count(from) {
		return refusedAddress
	}
	v.open++
	v.tidyUp()
	return 0
}

// enter counts a connection that was admitted from "" for its network.
func (v *Visitors) enter(from string) refusal {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.count(from) {
		return refusedAddress
	}
	return 0
}

// count is called with mu held.
func (v *Visitors) count(from string) bool {
	a := v.of(from)
	if a.failed >= v.failedLogins() || a.waiting >= v.perAddress() {
		return false
	}
	a.waiting++
	return true
}

// leave uncounts an MQTT connection that is gone. It was told by loggedIn before.
func (v *Visitors) leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.open--
}

// wait counts a connection that is not MQTT's and waits for its first answer, unless its address has too many. Who waits must be loggedIn.
func (v *Visitors) wait(from string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	a := v.of(from)
	if a.waiting >= v.perAddress() {
		return false
	}
	a.waiting++
	return true
}

// waitAgain counts one that was answered and asks once more.
func (v *Visitors) waitAgain(from string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.of(from).waiting++
}

// loggedIn uncounts a connection that waited: it has logged in, was answered, or is gone.
func (v *Visitors) loggedIn(from string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	a := v.of(from)
	a.waiting--
	if a.idle() {
		delete(v.from, from)
	}
}

// Failed counts a failed login of a network address, an IP address with or without a port.
func (v *Visitors) Failed(addr string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.of(origin(addr)).failed++
}

// Refused reports whether a network address has failed to log in too often within this second, so that no further login of it is looked at.
func (v *Visitors) Refused(addr string) bool {
	var b [48]byte // room for every prefix, so that asking costs no memory
	from := appendOrigin(b[:0], addr)
	v.mu.Lock()
	defer v.mu.Unlock()
	a := v.from[string(from)]
	if a == nil || a.failed == 0 {
		return false
	}
	a.forgive(time.Now())
	return a.failed >= v.failedLogins()
}

// full reports whether no further MQTT connection is admitted.
func (v *Visitors) full() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.open >= v.connections()
}

func (v *Visitors) connections() int  { return cmp.Or(v.Connections, 100_000) }
func (v *Visitors) perAddress() int   { return cmp.Or(v.PerAddress, 1000) }
func (v *Visitors) failedLogins() int { return cmp.Or(v.FailedLogins, 100) }

// of returns what is counted of an address. Now and then it drops those of whom nothing is. Called with mu held.
func (v *Visitors) of(from string) *visitor {
	now := time.Now()
	if v.from == nil {
		v.from = map[string]*visitor{}
	}
	if now.Sub(v.swept) >= sweepEvery {
		v.swept = now
		for from, a := range v.from {
			a.forgive(now)
			if a.idle() {
				delete(v.from, from)
			}
		}
	}
	a := v.from[from]
	if a == nil {
		a = &visitor{since: now}
		v.from[from] = a
	}
	a.forgive(now)
	return a
}

// forgive starts a new second.
func (a *visitor) forgive(now time.Time) {
	if now.Sub(a.since) >= time.Second {
		a.failed, a.since = 0, now
	}
}

func (a *visitor) idle() bool { return a.waiting <= 0 && a.failed == 0 }

// tidyUp gives back, a moment after many clients have connected at once, the memory that only their coming took: large stacks and garbage.
// Called with mu held.
func (v *Visitors) tidyUp() {
	if v.storm++; v.storm < stormSize {
		return
	}
	v.storm = stormSize
	if v.tidy == nil {
		v.tidy = time.AfterFunc(tidyAfter, v.tidied)
		return
	}
	v.tidy.Reset(tidyAfter)
}

func (v *Visitors) tidied() {
	v.mu.Lock()
	v.storm = 0
	gone := v.open == 0 // at a stop there is nothing to tidy up
	v.mu.Unlock()
	if !gone {
		debug.FreeOSMemory()
	}
}

// origin is the network that a connection comes from: an IPv4 address, or the /64 that an IPv6 host has to itself. What is no IP address, with or
// without a port, is taken as it is.
func origin(addr string) string { return string(appendOrigin(nil, addr)) }

func appendOrigin(b []byte, addr string) []byte {
	ap, err := netip.ParseAddrPort(addr)
	ip := ap.Addr()
	if err != nil {
		if ip, err = netip.ParseAddr(addr); err != nil {
			return append(b, addr...)
		}
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.AppendTo(b)
		}
	}
	return ip.AppendTo(b)
}
