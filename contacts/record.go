package contacts

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// A record is a User as it stands in the Table and in memory. Times are kept to the second, LastSeen to the hour:
//
//	version, flags, Registered (4 bytes, s), LastSeen (4 bytes, h)
//	count of devices, each: length, Away, Expiry, Version, ClientID, count of filters, each: Topic, options, Identifier
//	count of tokens, each: Hash (32 bytes), Created, Device
//
// Numbers are uvarints and strings have their length before them where nothing else is said. The fixed part comes first, and a device
// has its length, so that the hot path and ExpireDevices read what they need in place.
type record string

const (
	recordVersion = 1
	headLen       = 10
	flagInbox     = 1 << 0

	// maxRecord bounds what one user can make the Directory hold.
	maxRecord = 64 << 10
)

var errRecord = errors.New("damaged record")

func (r record) registered() int64 { return int64(be32(r[2:])) }
func (r record) inbox() bool       { return r[1]&flagInbox != 0 }

// since is when the decay of the registration began, in seconds.
func (r record) since() int64 { return max(r.registered(), int64(be32(r[6:]))*3600) }

func be32(r record) uint32 {
	return uint32(r[0])<<24 | uint32(r[1])<<16 | uint32(r[2])<<8 | uint32(r[3])
}

func encode(u *User) record {
	b := make([]byte, headLen, 160)
	b[0] = recordVersion
	if u.Inbox {
		b[1] |= flagInbox
	}
	binary.BigEndian.PutUint32(b[2:], uint32(unix(u.Registered)))
	binary.BigEndian.PutUint32(b[6:], uint32(clamp(u.LastSeen.Unix()/3600)))
	b = binary.AppendUvarint(b, uint64(len(u.Devices)))
	var one []byte
	for i := range u.Devices {
		one = appendDevice(one[:0], &u.Devices[i])
		b = append(binary.AppendUvarint(b, uint64(len(one))), one...)
	}
	b = binary.AppendUvarint(b, uint64(len(u.Tokens)))
	for i := range u.Tokens {
		b = append(b, u.Tokens[i].Hash[:]...)
		b = binary.AppendUvarint(b, unix(u.Tokens[i].Created))
		b = appendString(b, u.Tokens[i].Device)
	}
	return record(b)
}

func appendDevice(b []byte, d *Device) []byte {
	b = binary.AppendUvarint(b, unix(d.Away))
	b = binary.AppendUvarint(b, uint64(max(d.Expiry, 0)/time.Second))
	b = append(b, d.Version)
	b = appendString(b, d.ClientID)
	b = binary.AppendUvarint(b, uint64(len(d.Filters)))
	for _, f := range d.Filters {
		b = appendString(b, f.Topic)
		b = append(b, options(f))
		b = binary.AppendUvarint(b, uint64(f.Identifier))
	}
	return b
}

// options are laid out as in MQTT 5 §3.8.3.1.
func options(f Filter) byte {
	o := f.QoS&3 | f.RetainHandling&3<<4
	if f.NoLocal {
		o |= 1 << 2
	}
	if f.RetainAsPublished {
		o |= 1 << 3
	}
	return o
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// unix is what a record holds of a time; 0: none.
func unix(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return clamp(t.Unix())
}

func clamp(v int64) uint64 { return uint64(min(max(v, 0), 1<<32-1)) }

func fromUnix(s uint64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}

// decode reads what encode wrote, all of it. The strings share the record's memory.
func decode(r record) (u User, err error) {
	if len(r) < headLen || r[0] != recordVersion {
		return u, fmt.Errorf("%w: it is %d bytes and not of version %d", errRecord, len(r), recordVersion)
	}
	u.Inbox = r.inbox()
	u.Registered = fromUnix(uint64(be32(r[2:])))
	u.LastSeen = fromUnix(uint64(be32(r[6:])) * 3600)
	p := reader{rest: r[headLen:]}
	if n := p.count(); n > 0 {
		u.Devices = make([]Device, n)
		for i := range u.Devices {
			q := reader{rest: p.next(p.uint())}
			u.Devices[i] = q.device()
			p.bad = p.bad || q.bad || q.rest != ""
		}
	}
	if n := p.count(); n > 0 {
		u.Tokens = make([]Token, n)
		for i := range u.Tokens {
			u.Tokens[i] = p.token()
		}
	}
	if p.bad || p.rest != "" {
		return User{}, fmt.Errorf("%w: its %d bytes do not add up", errRecord, len(r))
	}
	return u, nil
}

// holds reports whether one of the tokens has a hash.
func (r record) holds(hash [32]byte) bool {
	p := reader{rest: r[headLen:]}
	for range p.count() {
		p.next(p.uint()) // a device
	}
	for range p.count() {
		if p.next(uint64(len(hash))) == record(hash[:]) {
			return true
		}
		p.uint()
		p.string()
	}
	return false
}

// A reader takes a record apart. After the first mistake it is bad and returns zeros.
type reader struct {
	rest record
	bad  bool
}

func (p *reader) next(n uint64) record {
	if n > uint64(len(p.rest)) {
		p.bad, p.rest = true, ""
		return ""
	}
	r := p.rest[:n]
	p.rest = p.rest[n:]
	return r
}

func (p *reader) byte() byte {
	if r := p.next(1); r != "" {
		return r[0]
	}
	return 0
}

func (p *reader) uint() (v uint64) {
	for shift := 0; shift < 64; shift += 7 {
		c := p.byte()
		if p.bad {
			return 0
		}
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
	p.bad = true
	return 0
}

func (p *reader) string() string { return string(p.next(p.uint())) }

// count is a number of things of at least one byte each, so that a damaged record cannot ask for more memory than it has.
func (p *reader) count() int {
	n := p.uint()
	if n > uint64(len(p.rest)) {
		p.bad = true
		return 0
	}
	return int(n)
}

func (p *reader) device() (d Device) {
	d.Away, d.Expiry = p.stay()
	d.Version = p.byte()
	d.ClientID = p.string()
	if n := p.count(); n > 0 {
		d.Filters = make([]Filter, n)
		for i := range d.Filters {
			d.Filters[i] = p.filter()
		}
	}
	return d
}

// stay is what a device begins with: since when it is away, and for how long it is remembered then.
func (p *reader) stay() (away time.Time, expiry time.Duration) {
	away = fromUnix(min(p.uint(), 1<<32-1))
	return away, time.Duration(min(p.uint(), 1<<32-1)) * time.Second
}

func (p *reader) filter() Filter {
	f := Filter{Topic: p.string()}
	o := p.byte()
	f.QoS, f.RetainHandling = o&3, o>>4&3
	f.NoLocal, f.RetainAsPublished = o&(1<<2) != 0, o&(1<<3) != 0
	f.Identifier = uint32(p.uint())
	return f
}

func (p *reader) token() (t Token) {
	copy(t.Hash[:], p.next(uint64(len(t.Hash))))
	t.Created = fromUnix(min(p.uint(), 1<<32-1))
	t.Device = p.string()
	t.ID = idOf(t.Hash).String()
	return t
}

// A tokenID is the beginning of a token's hash: it finds the token and is what people call it by.
type tokenID uint64

func idOf(hash [32]byte) tokenID { return tokenID(binary.BigEndian.Uint64(hash[:])) }

func (id tokenID) String() string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(id))
	return hex.EncodeToString(b[:])
}

func parseTokenID(s string) (tokenID, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 8 {
		return 0, fmt.Errorf("%q is not the id of a token, which has 16 hexadecimal digits", s)
	}
	return tokenID(binary.BigEndian.Uint64(b)), nil
}
