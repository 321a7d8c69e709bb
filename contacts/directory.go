package contacts

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Config is how a Directory treats its users. Zero values mean the documented defaults.
type Config struct {
	Decay    time.Duration    // a registration counts no more after so long without a connection; 90 days
	Devices  int              // remembered devices a user, 8
	Open     bool             // auth.mode open: a login registers its address, any password will do
	Verifier *Verifier        // accepts JWTs as passwords; nil: none is. SetVerifier replaces it
	JWTOnly  bool             // auth.mode jwt: tokens of ours are not accepted
	Now      func() time.Time // time.Now
}

const (
	day          = 24 * time.Hour
	defaultDecay = 90 * day
)

func (c Config) withDefaults() (Config, error) {
	if c.Decay < 0 {
		return c, fmt.Errorf("contacts: Config.Decay is %v: it cannot be negative", c.Decay)
	}
	if c.Devices < 0 {
		return c, fmt.Errorf("contacts: Config.Devices is %d: it cannot be negative", c.Devices)
	}
	if c.JWTOnly && (c.Verifier == nil || c.Open) {
		return c, errors.New("contacts: Config.JWTOnly goes with a Verifier and without Open")
	}
	if c.Decay == 0 {
		c.Decay = defaultDecay
	}
	if c.Devices == 0 {
		c.Devices = 8
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, nil
}

// A Directory knows every user, in memory, over a durable Table.
type Directory struct {
	cfg    Config
	decay  atomic.Int64 // Config.Decay
	table  Table
	opened time.Time
	mem    *memory
	hash   *hasher

	verifier atomic.Pointer[Verifier]

	events *announcer
	ops    *queue[*op]

	doubt map[Address]struct{} // whose revision in the Table is not known since a Write failed; the committer's own

	closing sync.Once
	stopped chan struct{} // closed when the committer is gone
	lastErr error         // of the last flush; to be read once stopped is closed
}

// Errors of a Directory.
var (
	ErrNoUser   = errors.New("no such user")
	ErrExists   = errors.New("the user exists already")
	ErrNoToken  = errors.New("the user has no such token")
	ErrDevices  = errors.New("every place for a remembered device is taken by a connected one")
	ErrTooLarge = errors.New("the user's record is too large")
	ErrClosed   = errors.New("the directory is closed")
)

// Open loads all users of a table, of which the Directory is the only writer until Close.
func Open(ctx context.Context, t Table, cfg Config) (*Directory, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	d := &Directory{
		cfg: cfg, table: t, opened: cfg.Now(), mem: newMemory(), events: newAnnouncer(),
		ops: newQueue[*op](), doubt: map[Address]struct{}{}, stopped: make(chan struct{}),
	}
	d.verifier.Store(cfg.Verifier)
	d.SetDecay(cfg.Decay)
	if d.hash, err = openHasher(ctx, t); err != nil {
		return nil, fmt.Errorf("contacts: the key of the token hashes: %w", err)
	}
	if err := d.load(ctx); err != nil {
		return nil, fmt.Errorf("contacts: load the users: %w", err)
	}
	go d.events.run()
	go d.run(context.Background())
	return d, nil
}

// Close writes what is left to be written, tells watchers what is left to be told, and stops. It comes after the last Disconnected;
// changes that come later get ErrClosed. Watchers must not call it.
func (d *Directory) Close() error {
	d.closing.Do(func() {
		d.ops.close()
		<-d.stopped
		d.events.queue.close()
	})
	<-d.events.done
	return d.lastErr
}

// User returns a copy of the user with an address.
func (d *Directory) User(a Address) (User, bool) {
	acc, online, ok := d.mem.view(a)
	if !ok {
		return User{}, false
	}
	u := must(acc.body)
	u.Address, u.Rev = a, acc.rev
	d.date(&u, online)
	return u, true
}

// date says of devices that were connected when the broker crashed, and have not come back, that they are away since the restart.
func (d *Directory) date(u *User, online []string) {
	for i := range u.Devices {
		if dev := &u.Devices[i]; dev.Away.IsZero() && !slices.Contains(online, dev.ClientID) {
			dev.Away = d.opened
		}
	}
}

// Registered reports whether the owner of an address has proved itself, and has been connected within Config.Decay.
func (d *Directory) Registered(a Address) bool {
	acc, online, ok := d.mem.get(a)
	return ok && d.registered(acc.body, online)
}

func (d *Directory) registered(r record, online bool) bool {
	return r.registered() != 0 && (online || d.cfg.Now().Unix()-r.since() < d.decay.Load()/int64(time.Second))
}

// Exists reports whether somebody added the user, registered or not.
func (d *Directory) Exists(a Address) bool {
	_, _, ok := d.mem.get(a)
	return ok
}

// Inbox reports whether the user has ever subscribed to an inbox: User.Inbox without a copy.
func (d *Directory) Inbox(a Address) bool {
	acc, _, ok := d.mem.get(a)
	return ok && acc.body.inbox()
}

// Users yields all users in the order of their addresses; one that is removed meanwhile is left out.
func (d *Directory) Users() iter.Seq[User] {
	return func(yield func(User) bool) {
		var all []Address
		for i := range d.mem.shards {
			s := &d.mem.shards[i]
			s.mu.RLock()
			for a := range s.users {
				all = append(all, a)
			}
			s.mu.RUnlock()
		}
		slices.Sort(all)
		for _, a := range all {
			if u, ok := d.User(a); ok && !yield(u) {
				return
			}
		}
	}
}
