package contacts

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	maxGroup   = 512 // operations, or lazily changed users, in one Table.Write
	flushEvery = 5 * time.Second
)

// change makes one durable change of a user.
func (d *Directory) change(ctx context.Context, a Address, edit func(*draft) error) error {
	o := newOp(ctx, a, edit)
	if err := d.ops.put(o); err != nil {
		return err
	}
	return o.wait()
}

// run is the committer: what came in while it wrote is its next group. It sleeps while nothing is to be written.
func (d *Directory) run(ctx context.Context) {
	defer close(d.stopped)
	var due <-chan time.Time
	for {
		ops, closed := d.ops.take(maxGroup)
		d.commit(ctx, ops)
		if closed && len(ops) == 0 {
			d.lastErr = d.flush(ctx)
			return
		}
		if due == nil && len(d.doubt) > 0 {
			due = time.After(flushEvery)
		}
		select {
		case <-d.ops.wake:
		case <-d.mem.changed:
			if due == nil {
				due = time.After(flushEvery)
			}
		case <-due:
			if due = nil; d.flush(ctx) != nil { // Close tells when it does not get better
				due = time.After(flushEvery)
			}
		}
	}
}

// commit makes a group of ops durable in one Write, then true in memory, and answers them.
func (d *Directory) commit(ctx context.Context, ops []*op) {
	g := d.newGroup()
	for _, o := range ops {
		g.do(ctx, o)
	}
	err := d.write(ctx, g)
	for _, o := range ops {
		if o.err = g.result(o, err); o.err == nil {
			d.events.tell(o.events...)
		}
		close(o.done)
	}
}

// flush writes what changed lazily, and what a failed Write has left in doubt.
func (d *Directory) flush(ctx context.Context) (err error) {
	all := d.mem.takeDirty()
	for a := range d.doubt {
		all = append(all, a)
	}
	for len(all) > 0 {
		n := min(len(all), maxGroup)
		if one := d.writeAsIs(ctx, all[:n]); errors.Is(one, ErrConflict) {
			d.mem.markDirty(all[:n])
			err = one
		} else if one != nil {
			d.mem.markDirty(all)
			return one
		}
		all = all[n:]
	}
	return err
}

func (d *Directory) writeAsIs(ctx context.Context, all []Address) error {
	g := d.newGroup()
	for _, a := range all {
		r, err := g.row(ctx, a)
		if err != nil {
			return err
		}
		r.write = r.write || r.body != ""
	}
	if err := d.write(ctx, g); err != nil {
		return fmt.Errorf("contacts: write when devices were connected: %w", err)
	}
	for _, r := range g.list {
		if r.err != nil {
			return r.err
		}
	}
	return nil
}

// A group is the rows of one Write, at most one a user.
type group struct {
	*Directory
	rows map[Address]*row
	list []*row
}

// A row is what a group is about to write of one user.
type row struct {
	user   Address
	rev    uint64 // in the Table, before and then after the write
	body   record // "": no such user
	revoke []Token
	fresh  bool // the user that was in memory is gone, whoever is in body
	write  bool
	err    error
}

func (d *Directory) newGroup() *group { return &group{Directory: d, rows: map[Address]*row{}} }

// row returns the row of a user. One in doubt gets the Table's revision, and is written in any case.
func (g *group) row(ctx context.Context, a Address) (*row, error) {
	if r := g.rows[a]; r != nil {
		return r, nil
	}
	acc, _, _ := g.mem.get(a)
	r := &row{user: a, rev: acc.rev, body: acc.body}
	if _, ok := g.doubt[a]; ok {
		rev, _, err := get(ctx, g.table, userKey(a))
		if err != nil {
			return nil, fmt.Errorf("contacts: user %s: read again after a failed write: %w", a.Mask(), err)
		}
		r.rev, r.write = rev, rev != 0 || r.body != ""
		if !r.write {
			delete(g.doubt, a)
		}
	}
	g.rows[a], g.list = r, append(g.list, r)
	return r, nil
}

// do applies one op to what the group has of its user.
func (g *group) do(ctx context.Context, o *op) {
	if o.err = o.ctx.Err(); o.err != nil {
		return
	}
	r, err := g.row(ctx, o.user)
	if err != nil {
		o.err = err
		return
	}
	dr := draft{exists: r.body != ""}
	if dr.exists {
		dr.User = must(r.body)
	}
	dr.Address = o.user
	_, dr.online, _ = g.mem.view(o.user)
	if o.err = o.edit(&dr); o.err != nil {
		return
	}
	body, err := dr.record()
	if err != nil {
		o.err = err
		return
	}
	r.write = r.write || body != r.body
	r.fresh = r.fresh || body == ""
	r.body, r.revoke, o.events = body, append(r.revoke, dr.revoke...), dr.events
}

// record is the user as the edit leaves it; "" when it is gone.
func (dr *draft) record() (record, error) {
	if !dr.exists {
		return "", nil
	}
	r := encode(&dr.User)
	if len(r) > maxRecord {
		return "", fmt.Errorf("user %s: %w: %d bytes of at most %d; remove tokens, devices or filters", dr.Address.Mask(), ErrTooLarge, len(r), maxRecord)
	}
	return r, nil
}

// result is what the caller of an op learns. What kept its user from being written comes first: the op's own answer rests on it.
func (g *group) result(o *op, err error) error {
	r := g.rows[o.user]
	switch {
	case r == nil:
		return o.err
	case r.write && err != nil:
		return fmt.Errorf("contacts: user %s: %w", o.user.Mask(), err)
	case r.err != nil:
		return r.err
	}
	return o.err
}

// write makes the group's rows durable, then true in memory. An error of the Table leaves open what was written.
func (d *Directory) write(ctx context.Context, g *group) error {
	writes, rows := g.writes()
	if len(writes) > 0 {
		revs, errs, err := d.table.Write(ctx, writes)
		if err == nil && len(revs) != len(writes) {
			err = fmt.Errorf("the table answered %d of %d writes", len(revs), len(writes))
		}
		if err != nil {
			g.inDoubt()
			return err
		}
		for i, r := range rows {
			if r == nil {
				continue // a mark; a conflict says that it is there already
			}
			r.rev = revs[i]
			if len(errs) > i && errs[i] != nil {
				r.err = fmt.Errorf("contacts: user %s: %w; a directory must be the only writer of its table", r.user.Mask(), errs[i])
			}
		}
	}
	g.apply()
	return nil
}

// writes returns what is to be written, and for each write its row; nil for a mark. Marks come first: should only a part be written, a
// revoked token is revoked. A user that is in neither place, because it came and went within the group or its removal was written when that
// was in doubt, needs no write.
func (g *group) writes() (writes []Write, rows []*row) {
	for _, r := range g.list {
		if !r.write {
			continue
		}
		for i := range r.revoke {
			writes, rows = append(writes, Write{Key: revokedPrefix + r.revoke[i].ID, Val: []byte{recordVersion}}), append(rows, nil)
		}
		w := Write{Key: userKey(r.user), Rev: r.rev}
		if r.body != "" {
			w.Val = []byte(r.body)
		} else if r.rev == 0 {
			continue
		}
		writes, rows = append(writes, w), append(rows, r)
	}
	return writes, rows
}

func (g *group) inDoubt() {
	for _, r := range g.list {
		if r.write {
			g.doubt[r.user] = struct{}{}
		}
	}
}

func (g *group) apply() {
	now := g.cfg.Now()
	for _, r := range g.list {
		if r.write && r.err == nil {
			delete(g.doubt, r.user)
			g.mem.apply(r, now)
		}
	}
}
