package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// GammuConfig is where a gammu-smsd keeps its files. Zero values mean the documented defaults.
type GammuConfig struct {
	Name   string
	Dir    string          // has inbox, outbox, sent and error, as Debian's /var/spool/gammu, unless they are set singly
	Inbox  string          // Dir/inbox
	Outbox string          // Dir/outbox
	Sent   string          // Dir/sent
	Error  string          // Dir/error
	Number contacts.Number // of the SIM; required, for smsd does not know it

	// Response is how long a Submit may take, 2 min. smsd has half of it to read the file: more than its CommTimeout. It must have sent the
	// file within the rest.
	Response time.Duration
	Wire     *sms.Wire
	Log      zerolog.Logger
}

// How often folders are read, and how long a file must stay as it is to count as written, or as not read.
const (
	poll   = 200 * time.Millisecond
	settle = 500 * time.Millisecond
)

// keep is how long files of ours stay in the sent and error folders: longer than a restart takes.
const keep = time.Hour

// soon is how long after reading a file smsd moves it to the error folder when the modem refused it; later, the modem has not answered (SendTimeout,
// 30 s), and the SMS may have gone out.
const soon = 20 * time.Second

// maxSegments is how many smsd sends of one file (GSM_MAX_MULTI_SMS).
const maxSegments = 50

// A Gammu is a gateway to one gammu-smsd.
type Gammu struct {
	config GammuConfig
	tells  bool // whether the file system tells when a file was read
	noise  rate.Sometimes

	mu   sync.Mutex
	late map[string]time.Time // the names of files that are not settled, and since when nobody waits for them; zero: a Submit does
}

var _ sms.Gateway = (*Gammu)(nil)

// NewGammu checks the folders: they must be there, and be writable.
func NewGammu(config GammuConfig) (*Gammu, error) {
	c := &config
	c.Response = cmp.Or(c.Response, 2*time.Minute)
	g := &Gammu{late: map[string]time.Time{}, noise: rate.Sometimes{First: 3, Interval: 10 * time.Second}}
	for _, f := range []struct {
		key  string
		path *string
	}{{"inbox", &c.Inbox}, {"outbox", &c.Outbox}, {"sent", &c.Sent}, {"error", &c.Error}} {
		if *f.path == "" {
			*f.path = filepath.Join(c.Dir, f.key)
		}
		tells, err := probe(*f.path)
		if err != nil {
			return nil, fmt.Errorf("gateway %s: the %s folder of gammu-smsd: %w", c.Name, f.key, err)
		}
		if f.key == "outbox" {
			g.tells = tells
		}
	}
	if _, err := contacts.ParseNumber(string(c.Number)); err != nil {
		return nil, fmt.Errorf("gateway %s: number, that of the SIM: %w", c.Name, err)
	}
	g.config = config
	if !g.tells {
		c.Log.Warn().Str("gateway", c.Name).Str("folder", c.Outbox).
			Msg("the file system does not tell when gammu-smsd reads a file (noatime): what it does not send in time is unknown, and is not sent again by itself")
	}
	return g, nil
}

// Name implements sms.Gateway.
func (g *Gammu) Name() string { return g.config.Name }

// Abilities implements sms.Gateway.
func (g *Gammu) Abilities() sms.Abilities {
	return sms.Abilities{Window: 1, Whole: true, Number: g.config.Number, Response: g.config.Response}
}

// Submit implements sms.Gateway: it returns when smsd has moved the file, or the time is over.
func (g *Gammu) Submit(ctx context.Context, mt sms.MT) []sms.Outcome {
	id, failure := g.submit(ctx, mt)
	outcomes := make([]sms.Outcome, len(mt.Segments))
	for i, s := range mt.Segments {
		outcomes[i] = sms.Outcome{Segment: s.Number, ID: id}
		if failure != nil {
			outcomes[i] = sms.Outcome{Segment: s.Number, Err: failure}
		}
	}
	g.config.Wire.Logf("<- %s: %s", key(mt.Ref, mt.Attempt), said(failure))
	return outcomes
}

func said(failure *sms.Error) string {
	if failure == nil {
		return "sent"
	}
	return failure.Error()
}

func (g *Gammu) submit(ctx context.Context, mt sms.MT) (id string, failure *sms.Error) {
	octets, err := sms.Encode(mt.Text, sms.UCS2)
	switch {
	case err != nil:
		return "", sms.Fail(sms.Permanent, "", err.Error())
	case len(mt.Segments) != mt.Count:
		return "", sms.Fail(sms.NotSent, "", "a part of a message cannot be sent: this gateway takes messages whole")
	case mt.Count > maxSegments:
		return "", sms.Fail(sms.Permanent, "", fmt.Sprintf("gammu-smsd sends at most %d segments", maxSegments))
	}
	f := file{outbox: g.config.Outbox, name: outName(mt, time.Now()), tells: g.tells}
	if err := f.write(octets); err != nil {
		return "", unwritten(err)
	}
	if ctx.Err() != nil || !mt.Until.IsZero() && !time.Now().Before(mt.Until) {
		f.remove()
		return "", sms.Fail(sms.NotSent, "", "its time ran out before it was written")
	}
	g.hold(f.name)
	defer g.release(f.name)
	if err := f.show(); err != nil {
		f.remove()
		return "", unwritten(err)
	}
	g.config.Wire.Logf("-> %s, MT to %s, %d segments", key(mt.Ref, mt.Attempt), mt.To.Mask(), mt.Count)
	return key(mt.Ref, mt.Attempt), g.await(ctx, &f, mt)
}

// unwritten classes what kept a file from the outbox.
func unwritten(err error) *sms.Error {
	class := sms.NotSent // a full disk passes
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		class = sms.Configuration
	}
	return sms.Fail(class, "", "the outbox of gammu-smsd: "+plain(err))
}

// plain is an error without the path, in which there is a number.
func plain(err error) string {
	if e := (*os.PathError)(nil); errors.As(err, &e) {
		return e.Op + ": " + e.Err.Error()
	}
	if e := (*os.LinkError)(nil); errors.As(err, &e) {
		return e.Op + ": " + e.Err.Error()
	}
	return err.Error()
}

// await watches what becomes of a file in the outbox.
func (g *Gammu) await(ctx context.Context, f *file, mt sms.MT) *sms.Error {
	begun := time.Now()
	unread, end := begun.Add(g.config.Response/2-settle), begun.Add(g.config.Response)
	if !mt.Until.IsZero() && mt.Until.Before(unread) {
		unread = mt.Until
	}
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	var gone time.Time // since when the file is in no folder
	for {
		switch where := g.where(f.name); {
		case where == sent:
			return nil
		case where == failed:
			return g.refused(f, mt, begun)
		case where == outbox && !f.read() && (ctx.Err() != nil || !time.Now().Before(unread)):
			switch took, certain := f.takeBack(); {
			case certain:
				return sms.Fail(sms.NotSent, "", "gammu-smsd has not read it in time: does it run?")
			case took:
				return sms.Fail(sms.Unknown, "", "gammu-smsd read it while it was taken back")
			}
		case where == nowhere && gone.IsZero():
			gone = time.Now()
		case where == nowhere && time.Since(gone) > settle:
			return sms.Fail(sms.Unknown, "", "somebody has removed it from the outbox of gammu-smsd")
		}
		if ctx.Err() != nil || !time.Now().Before(end) {
			g.leave(f.name)
			return sms.Fail(sms.Unknown, "", "gammu-smsd has read it and neither sent nor refused it in time")
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// refused classes what smsd has moved to the error folder. Only of one segment it is certain that nothing went out.
func (g *Gammu) refused(f *file, mt sms.MT, begun time.Time) *sms.Error {
	if at, ok := readAt(filepath.Join(g.config.Error, f.name)); ok && f.tells && at.After(begun.Round(0)) {
		begun = at
	}
	g.tell(f.name)
	return refusal(mt.Count, time.Since(begun))
}

// refusal classes what the modem refused so long after smsd had read it.
func refusal(segments int, took time.Duration) *sms.Error {
	switch {
	case segments > 1:
		return sms.Fail(sms.Unknown, "", "the modem refused it, and may have sent the segments before the one that it refused")
	case took > soon || took < 0: // the clock was set back
		return sms.Fail(sms.Unknown, "", "the modem has not said whether it was sent")
	}
	return sms.Fail(sms.Temporary, "", "the modem refused it: see the log of gammu-smsd")
}

// tell marks a refused file: a later run must not report it, for the message may have been sent by then.
func (g *Gammu) tell(name string) {
	path := filepath.Join(g.config.Error, name)
	_ = os.Rename(path, path+told) // else a message that was sent meanwhile may count as undelivered
}

// hold keeps Run from a file that a Submit waits for.
func (g *Gammu) hold(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.late[name] = time.Time{}
}

// leave hands a file that nobody waits for any more to Run.
func (g *Gammu) leave(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.late[name] = time.Now()
}

// release forgets a file that was settled.
func (g *Gammu) release(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.late[name].IsZero() {
		delete(g.late, name)
	}
}

// A folder of smsd.
type folder int

const (
	nowhere folder = iota
	outbox
	sent
	failed
)

// where finds a file that smsd may be moving: what has left the outbox is looked for after it has.
func (g *Gammu) where(name string) folder {
	for _, f := range []struct {
		folder folder
		path   string
	}{{outbox, g.config.Outbox}, {sent, g.config.Sent}, {failed, g.config.Error}} {
		if _, err := os.Lstat(filepath.Join(f.path, name)); err == nil {
			return f.folder
		}
	}
	return nowhere
}
