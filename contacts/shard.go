package contacts

import (
	"hash/maphash"
	"slices"
	"sync"
	"time"
)

const shardCount = 64

// A shard holds the users, and the tokens, that hash to it. No two shards are locked at once.
type shard struct {
	mu     sync.RWMutex
	users  map[Address]account
	online map[Address][]string // client ids of the connected devices, remembered or not
	dirty  map[Address]struct{} // changed in memory by Connected and Disconnected, not yet in the Table
	tokens map[tokenID]Address  // whose token it is; "": revoked
}

// An account is a user in memory.
type account struct {
	rev  uint64
	body record
}

// A memory is all users by address, and all tokens by id.
type memory struct {
	seed    maphash.Seed
	changed chan struct{} // a bell: a shard has something dirty
	shards  [shardCount]shard
}

func newMemory() *memory {
	m := &memory{seed: maphash.MakeSeed(), changed: make(chan struct{}, 1)}
	for i := range m.shards {
		s := &m.shards[i]
		s.users, s.online, s.dirty, s.tokens = map[Address]account{}, map[Address][]string{}, map[Address]struct{}{}, map[tokenID]Address{}
	}
	return m
}

func (m *memory) of(a Address) *shard {
	return &m.shards[maphash.String(m.seed, string(a))%shardCount]
}

// get returns the account of a, and whether any of its devices is connected.
func (m *memory) get(a Address) (acc account, online, ok bool) {
	s := m.of(a)
	s.mu.RLock()
	acc, ok = s.users[a]
	if ok {
		_, online = s.online[a]
	}
	s.mu.RUnlock()
	return acc, online, ok
}

// view returns the account of a, and the client ids of its connected devices.
func (m *memory) view(a Address) (acc account, online []string, ok bool) {
	s := m.of(a)
	s.mu.RLock()
	defer s.mu.RUnlock()
	acc, ok = s.users[a]
	return acc, s.online[a], ok
}

func (m *memory) owner(id tokenID) (a Address, ok bool) {
	s := &m.shards[id%shardCount]
	s.mu.RLock()
	a, ok = s.tokens[id]
	s.mu.RUnlock()
	return a, ok
}

func (m *memory) revoked(t Token) bool {
	a, ok := m.owner(idOf(t.Hash))
	return ok && a == ""
}

func (m *memory) setOwner(id tokenID, a Address) {
	s := &m.shards[id%shardCount]
	s.mu.Lock()
	s.tokens[id] = a
	s.mu.Unlock()
}

// apply puts a written row into memory: revoked tokens are refused before the user changes, new ones known after.
func (m *memory) apply(r *row, now time.Time) {
	for i := range r.revoke {
		m.setOwner(idOf(r.revoke[i].Hash), "")
	}
	s := m.of(r.user)
	if r.body == "" {
		s.remove(r.user)
		return
	}
	u := must(r.body)
	if s.put(r, &u, now) {
		ring(m.changed)
	}
	for i := range u.Tokens {
		m.setOwner(idOf(u.Tokens[i].Hash), r.user)
	}
}

func (s *shard) remove(a Address) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.users, a)
	delete(s.online, a)
	delete(s.dirty, a)
}

// put reports whether the user is dirty: not in memory as it was written.
func (s *shard) put(r *row, u *User, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	cur := *u
	if r.fresh {
		delete(s.online, r.user)
	} else if acc, ok := s.users[r.user]; ok {
		cur = must(acc.body)
	}
	settle(u, &cur, s.online[r.user], now)
	body := encode(u)
	s.users[r.user] = account{rev: r.rev, body: body}
	if body == r.body {
		delete(s.dirty, r.user)
		return false
	}
	s.dirty[r.user] = struct{}{}
	return true
}

// settle gives u, as it was written, what Connected and Disconnected have changed in cur meanwhile. A device that the record calls
// connected, and that is not, has gone while the write was under way, or in a crash.
func settle(u, cur *User, online []string, now time.Time) {
	if cur.LastSeen.After(u.LastSeen) {
		u.LastSeen = cur.LastSeen
	}
	for i := range u.Devices {
		d := &u.Devices[i]
		if slices.Contains(online, d.ClientID) {
			d.Away = time.Time{}
			continue
		}
		if c := cur.device(d.ClientID); c != nil && c.Away.After(d.Away) {
			d.Away = c.Away
		}
		if d.Away.IsZero() {
			d.Away = now
		}
	}
}

// touch changes a user in memory only, for the next flush to write. fn reports whether it changed anything.
func (m *memory) touch(a Address, fn func(*shard, *User) bool) {
	s := m.of(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	acc, ok := s.users[a]
	if !ok {
		return
	}
	u := must(acc.body)
	if fn(s, &u) {
		s.users[a] = account{rev: acc.rev, body: encode(&u)}
		s.dirty[a] = struct{}{}
		ring(m.changed)
	}
}

// setOnline notes whether a device is connected, and reports whether that is news. Lists are replaced, never changed, because view hands
// them out.
func (s *shard) setOnline(a Address, clientID string, on bool) bool {
	list := s.online[a]
	i := slices.Index(list, clientID)
	switch {
	case on == (i >= 0):
		return false
	case on:
		s.online[a] = append(slices.Clip(list), clientID)
	case len(list) == 1:
		delete(s.online, a)
	default:
		s.online[a] = slices.Delete(slices.Clone(list), i, i+1)
	}
	return true
}

func (m *memory) takeDirty() (all []Address) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		for a := range s.dirty {
			all = append(all, a)
		}
		clear(s.dirty)
		s.mu.Unlock()
	}
	return all
}

func (m *memory) markDirty(all []Address) {
	for _, a := range all {
		s := m.of(a)
		s.mu.Lock()
		if _, ok := s.users[a]; ok {
			s.dirty[a] = struct{}{}
		}
		s.mu.Unlock()
	}
}

// must decodes a record that is in memory: it was decoded, or encoded, before it got there.
func must(r record) User {
	u, err := decode(r)
	if err != nil {
		panic("contacts: " + err.Error())
	}
	return u
}

// device returns the remembered device with a client id, or nil.
func (u *User) device(clientID string) *Device {
	for i := range u.Devices {
		if u.Devices[i].ClientID == clientID {
			return &u.Devices[i]
		}
	}
	return nil
}
