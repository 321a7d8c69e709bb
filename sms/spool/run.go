package spool

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// retry is how long an MO or a report waits that the sink did not take.
const retry = 2 * time.Second

// other is the folder in the inbox for what is no text, or has no sender.
const other = "other"

// Run gives MOs to sink, and reports of messages whose Submit has ended without knowing, in this process or an earlier one. When ctx is done it returns nil.
func (g *Gammu) Run(ctx context.Context, sink sms.Sink) error {
	g.sweep()
	g.takeUp()
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	seen, swept, pause := map[string]look{}, time.Now(), time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if time.Now().Before(pause) {
			continue
		}
		err := g.settleLate(ctx, sink)
		if err == nil {
			err = g.readInbox(ctx, sink, seen)
		}
		if err != nil && ctx.Err() == nil {
			pause = time.Now().Add(retry)
			g.noise.Do(func() {
				g.config.Log.Error().Str("gateway", g.config.Name).Err(err).Msg("an SMS of the modem could not be stored: it stays with gammu-smsd")
			})
		}
		if time.Since(swept) > keep/10 {
			swept = time.Now()
			g.sweep()
		}
	}
}

// takeUp finds the files of an earlier process.
func (g *Gammu) takeUp() {
	for _, dir := range []string{g.config.Outbox, g.config.Sent, g.config.Error} {
		for _, name := range names(dir) {
			if _, _, ours := parseOut(name); ours {
				g.mu.Lock()
				if _, known := g.late[name]; !known {
					g.late[name] = time.Now()
				}
				g.mu.Unlock()
			}
		}
	}
}

// names returns the files of a folder, sorted. A folder that cannot be read now is empty now: NewGammu has seen that it can be.
func names(dir string) (files []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, e.Name())
		}
	}
	return files
}

// settleLate reports what became of the files that nobody waits for. One that stays in the outbox is taken out after the response time-out: an SMS
// that was given up must not go out hours later.
func (g *Gammu) settleLate(ctx context.Context, sink sms.Sink) error {
	for name, since := range g.lateOnes() {
		id, ref, _ := parseOut(name)
		state, detail := sms.Enroute, "sent by the modem"
		switch g.where(name) {
		case outbox:
			if time.Since(since) < g.config.Response {
				continue
			}
			_ = os.Remove(filepath.Join(g.config.Outbox, name)) // gone: smsd was faster, and the next look sees where it is
			state = 0
		case nowhere:
			state = 0
		case failed:
			state, detail = sms.Undelivered, "refused by the modem"
		}
		if state != 0 {
			g.config.Wire.Logf("<- %s: %s, late", id, detail)
			if err := sink.DLR(ctx, sms.DLR{Gateway: g.config.Name, ID: id, Ref: &ref, State: state, At: time.Now(), Detail: detail}); err != nil {
				return err
			}
			if state == sms.Undelivered {
				g.tell(name)
			}
		} else if g.where(name) != nowhere {
			continue
		}
		g.mu.Lock()
		delete(g.late, name)
		g.mu.Unlock()
	}
	return nil
}

func (g *Gammu) lateOnes() map[string]time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make(map[string]time.Time, len(g.late))
	for name, since := range g.late {
		if !since.IsZero() {
			all[name] = since
		}
	}
	return all
}

// sweep removes files of ours that are of no use any more.
func (g *Gammu) sweep() {
	for _, pattern := range []string{filepath.Join(g.config.Outbox, ".OUT*"), filepath.Join(g.config.Sent, "OUT*"), filepath.Join(g.config.Error, "OUT*")} {
		paths, _ := filepath.Glob(pattern) // the pattern is one
		for _, path := range paths {
			name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), "."), told)
			if _, _, ours := parseOut(name); !ours {
				continue
			}
			if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > keep {
				_ = os.Remove(path)
			}
		}
	}
}

// A look is what an inbox file was like when it was seen, and since when it has been so.
type look struct {
	size     int64
	modified time.Time
	since    time.Time
}

// readInbox gives the MOs that are complete to sink, and removes those that it took.
func (g *Gammu) readInbox(ctx context.Context, sink sms.Sink, seen map[string]look) error {
	messages := map[string][]string{}
	var order []string
	files := names(g.config.Inbox)
	for _, name := range files {
		f, ok := parseIn(name)
		if !ok {
			f.message = name
		}
		if messages[f.message] == nil {
			order = append(order, f.message)
		}
		messages[f.message] = append(messages[f.message], name)
	}
	for name := range seen {
		if !slices.Contains(files, name) {
			delete(seen, name)
		}
	}
	for _, m := range order {
		if !g.settled(messages[m], seen) {
			continue
		}
		if err := g.receive(ctx, sink, messages[m]); err != nil {
			return err
		}
	}
	return nil
}

// settled reports whether none of the files has changed for a while. smsd writes the parts of a message together.
func (g *Gammu) settled(files []string, seen map[string]look) bool {
	now, whole := time.Now(), true
	for _, name := range files {
		info, err := os.Lstat(filepath.Join(g.config.Inbox, name))
		if err != nil {
			return false
		}
		l, ok := seen[name]
		if !ok || l.size != info.Size() || !l.modified.Equal(info.ModTime()) {
			l = look{info.Size(), info.ModTime(), now}
			seen[name] = l
		}
		whole = whole && now.Sub(l.since) >= settle
	}
	return whole
}

// receive gives one MO to sink and removes its files. What is no text, or has no sender, is put aside.
func (g *Gammu) receive(ctx context.Context, sink sms.Sink, files []string) error {
	first, ok := parseIn(files[0])
	from := sender(first.sender)
	if !ok || from == "" || first.ext != "txt" || first.part > 0 { // smsd counts from 0: the rest was removed when the sink had taken it
		return g.stuck(g.putAside(files))
	}
	var text strings.Builder
	at := time.Now()
	for i, name := range files {
		path := filepath.Join(g.config.Inbox, name)
		octets, err := os.ReadFile(path)
		if err != nil {
			return g.stuck(err)
		}
		if info, err := os.Lstat(path); err == nil && i == 0 {
			at = info.ModTime()
		}
		text.WriteString(decode(octets))
	}
	// The name is no id: smsd gives it again when a second SMS comes in the same second after the first was removed, and gives another one to
	// an SMS that it reads twice because it was killed before it had deleted it from the modem.
	sum := sha256.Sum256([]byte(first.sent + first.sender + "\x00" + text.String()))
	m := sms.MO{Gateway: g.config.Name, ID: hex.EncodeToString(sum[:16]), From: from, To: g.config.Number, Text: text.String(), At: at}
	g.config.Wire.Logf("<- MO %s from %s, %d parts", m.ID, m.From.Mask(), len(files))
	if err := sink.MO(ctx, m); err != nil {
		return err
	}
	for _, name := range files {
		if err := os.Remove(filepath.Join(g.config.Inbox, name)); err != nil {
			return err // given again, under the same id
		}
	}
	syncDir(g.config.Inbox)
	return nil
}

// stuck tells of a file with which nothing can be done. It stays, and keeps no other from its turn.
func (g *Gammu) stuck(err error) error {
	if err != nil {
		g.noise.Do(func() {
			g.config.Log.Error().Str("gateway", g.config.Name).Str("error", plain(err)).Msg("a file in the inbox of gammu-smsd can be neither read nor put aside")
		})
	}
	return nil
}

func (g *Gammu) putAside(files []string) error {
	dir := filepath.Join(g.config.Inbox, other)
	if err := os.MkdirAll(dir, 0o770); err != nil {
		return err
	}
	for _, name := range files {
		if err := os.Rename(filepath.Join(g.config.Inbox, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	g.config.Log.Info().Str("gateway", g.config.Name).Str("folder", dir).Msg("put an SMS aside that is no text, has no sender, or is what was left of one that was taken")
	return nil
}

// sender reads where an SMS comes from, as sms.MO.From has it: a number with + or 00, which many modems leave out; empty: nothing is there.
func sender(s string) contacts.Number {
	bare := s
	if rest, ok := strings.CutPrefix(s, "+"); ok {
		bare = rest
	} else if rest, ok := strings.CutPrefix(s, "00"); ok {
		bare = rest
	}
	if n, err := contacts.ParseNumber(bare); err == nil {
		return n
	}
	return sms.Sender(s)
}

// decode reads the text of an inbox file: UTF-16 with a byte order mark (InboxFormat unicode), else UTF-8, else Latin 1. smsd 1.42 writes octets beyond the
// end of a text that is not ASCII; they begin with NUL.
func decode(octets []byte) string {
	var text string
	switch {
	case bytes.HasPrefix(octets, []byte{0xFE, 0xFF}):
		text = sms.Decode(upToNUL(octets[2:]), sms.UCS2)
	case bytes.HasPrefix(octets, []byte{0xFF, 0xFE}):
		big := slices.Clone(octets[2:])
		for i := 0; i+1 < len(big); i += 2 {
			big[i], big[i+1] = big[i+1], big[i]
		}
		text = sms.Decode(upToNUL(big), sms.UCS2)
	case utf8.Valid(octets):
		text = string(octets)
	default:
		runes := make([]rune, len(octets))
		for i, o := range octets {
			runes[i] = rune(o)
		}
		text = string(runes)
	}
	text, _, _ = strings.Cut(text, "\x00")
	return text
}

// upToNUL cuts big-endian UTF-16 at its first NUL.
func upToNUL(octets []byte) []byte {
	for i := 0; i+1 < len(octets); i += 2 {
		if octets[i] == 0 && octets[i+1] == 0 {
			return octets[:i]
		}
	}
	return octets
}
