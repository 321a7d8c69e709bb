package contacts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// settleAfter is how long after a crash a device that was connected then may take to come back before its absence is written down.
const settleAfter = 5 * time.Minute

// Remember creates the device of a user, or replaces the one with its client id. A device without Away is connected, as if Connected were
// called. When all places are taken it forgets the device that is longest away, and when all are connected it returns ErrDevices. It
// does no I/O when nothing but Away is new.
func (d *Directory) Remember(ctx context.Context, a Address, dev Device) error {
	dev.Filters = slices.Clone(dev.Filters)
	dev.Expiry = min(max(dev.Expiry, 0), (1<<32-1)*time.Second).Truncate(time.Second)
	news, same := d.arrive(a, &dev)
	if same {
		return nil
	}
	err := d.change(ctx, a, existing(func(dr *draft) error { return d.remember(dr, dev) }))
	if err != nil && news {
		d.mem.touch(a, func(s *shard, _ *User) bool { s.setOnline(a, dev.ClientID, false); return false })
	}
	return err
}

// arrive takes note of a device that is to be remembered. news: it was not connected before; same: nothing but Away is new.
func (d *Directory) arrive(a Address, dev *Device) (news, same bool) {
	d.mem.touch(a, func(s *shard, u *User) bool {
		here := dev.Away.IsZero()
		news = s.setOnline(a, dev.ClientID, here) && here
		old := u.device(dev.ClientID)
		if old == nil || old.Version != dev.Version || old.Expiry != dev.Expiry || !slices.Equal(old.Filters, dev.Filters) {
			return false
		}
		same = true
		changed := unix(old.Away) != unix(dev.Away)
		old.Away = dev.Away
		return changed
	})
	return news, same
}

func (d *Directory) remember(dr *draft, dev Device) error {
	if old := dr.device(dev.ClientID); old != nil {
		*old = dev
		return nil
	}
	for len(dr.Devices) >= d.cfg.Devices {
		i := d.longestAway(dr)
		if i < 0 {
			return fmt.Errorf("user %s: %w: %d of %d", dr.Address.Mask(), ErrDevices, len(dr.Devices), d.cfg.Devices)
		}
		dr.forget(i)
	}
	dr.Devices = append(dr.Devices, dev)
	return nil
}

// longestAway returns the index of a device, -1 when all are connected.
func (d *Directory) longestAway(dr *draft) int {
	d.date(&dr.User, dr.online)
	longest := -1
	for i := range dr.Devices {
		away := dr.Devices[i].Away
		if !away.IsZero() && (longest < 0 || away.Before(dr.Devices[longest].Away)) {
			longest = i
		}
	}
	return longest
}

func (dr *draft) forget(i int) {
	dr.tell(DeviceForgotten, "", dr.Devices[i].ClientID)
	dr.Devices = slices.Delete(dr.Devices, i, i+1)
}

// ForgetDevice ends the session of a device. One that is not remembered is nothing to do.
func (d *Directory) ForgetDevice(ctx context.Context, a Address, clientID string) error {
	return d.change(ctx, a, existing(func(dr *draft) error {
		if i := slices.IndexFunc(dr.Devices, func(dev Device) bool { return dev.ClientID == clientID }); i >= 0 {
			dr.forget(i)
		}
		return nil
	}))
}

// Connected tells that a device, remembered or not, is connected. It does no I/O; what it changes is written within 5 s.
func (d *Directory) Connected(a Address, clientID string) {
	d.mem.touch(a, func(s *shard, u *User) bool {
		was := d.registered(s.users[a].body, len(s.online[a]) > 0)
		s.setOnline(a, clientID, true)
		if !was && !u.Registered.IsZero() {
			d.events.tell(Event{Kind: UserChanged, User: a})
		}
		changed := d.see(u)
		if dev := u.device(clientID); dev != nil && !dev.Away.IsZero() {
			dev.Away, changed = time.Time{}, true
		}
		return changed
	})
}

// Disconnected tells that a device is no longer connected. It does no I/O; what it changes is written within 5 s. A connection that was
// taken over by another of the same device is not to be told.
func (d *Directory) Disconnected(a Address, clientID string) {
	d.mem.touch(a, func(s *shard, u *User) bool {
		if !s.setOnline(a, clientID, false) {
			return false
		}
		changed := d.see(u)
		if dev := u.device(clientID); dev != nil {
			dev.Away, changed = d.cfg.Now(), true
		}
		return changed
	})
}

// see keeps LastSeen, to the hour: a reconnect in the same hour is nothing to write.
func (d *Directory) see(u *User) bool {
	hour := d.cfg.Now().UTC().Truncate(time.Hour)
	if !hour.After(u.LastSeen) {
		return false
	}
	u.LastSeen = hour
	return true
}

// ExpireDevices forgets the devices that have been away for longer than their Expiry, and returns the events that watchers are told as well.
// With an error it returns those that were forgotten all the same.
func (d *Directory) ExpireDevices(ctx context.Context, now time.Time) ([]Event, error) {
	ops := d.expiring(ctx, now)
	if len(ops) == 0 {
		return nil, ctx.Err()
	}
	if err := d.ops.put(ops...); err != nil {
		return nil, err
	}
	var events []Event
	var failed error
	for _, o := range ops {
		if err := o.wait(); err == nil {
			events = append(events, o.events...)
		} else if failed == nil && !errors.Is(err, ErrNoUser) {
			failed = err
		}
	}
	return events, failed
}

// expiring returns an op for each user with a device whose session has run out.
func (d *Directory) expiring(ctx context.Context, now time.Time) (ops []*op) {
	edit := existing(func(dr *draft) error {
		d.date(&dr.User, dr.online)
		for i := len(dr.Devices) - 1; i >= 0; i-- {
			if expired(dr.Devices[i].Away, dr.Devices[i].Expiry, now) {
				dr.forget(i)
			}
		}
		return nil
	})
	left := now.Sub(d.opened) > settleAfter
	var gone []Address
	for i := range d.mem.shards {
		s := &d.mem.shards[i]
		s.mu.RLock()
		for a, acc := range s.users {
			due, open := d.stays(s, a, acc.body, now)
			if due {
				ops = append(ops, newOp(ctx, a, edit))
			} else if open && left {
				gone = append(gone, a)
			}
		}
		s.mu.RUnlock()
	}
	for _, a := range gone {
		d.mem.touch(a, func(s *shard, u *User) bool { d.date(u, s.online[a]); return true })
	}
	return ops
}

// stays reports whether the session of any device has run out, and whether the record calls one connected that is not. It runs over all
// users, so it reads the record in place.
func (d *Directory) stays(s *shard, a Address, r record, now time.Time) (due, open bool) {
	p := reader{rest: r[headLen:]}
	for range p.uint() {
		q := reader{rest: p.next(p.uint())}
		away, expiry := q.stay()
		if away.IsZero() {
			q.byte()
			if slices.Contains(s.online[a], q.string()) {
				continue
			}
			away, open = d.opened, true
		}
		due = due || expired(away, expiry, now)
	}
	return due, open
}

func expired(away time.Time, expiry time.Duration, now time.Time) bool {
	return !away.IsZero() && now.Sub(away) >= expiry
}
