package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/seed-7a41469f/godwit/sms"
)

// key is the id of an MT: it is in the file's name, which so tells after a restart whose file it is.
func key(ref sms.Ref, attempt int) string { return fmt.Sprintf("%x-%d", ref, attempt) }

// outName names an MT: OUT<priority><date>_<time>_<serial>_<recipient>_<note>.txt; smsd sends in the order of names, and takes those below 100 octets.
func outName(mt sms.MT, at time.Time) string {
	return fmt.Sprintf("OUTC%s_00_+%s_%s.txt", at.UTC().Format("20060102_150405"), mt.To, key(mt.Ref, mt.Attempt))
}

var outPattern = regexp.MustCompile(`^OUTC\d{8}_\d{6}_00_\+\d+_(([0-9a-f]{32})-\d{1,9})\.txt$`)

// parseOut reads what outName writes; false: it is no file of ours.
func parseOut(name string) (id string, ref sms.Ref, ok bool) {
	found := outPattern.FindStringSubmatch(name)
	if found == nil || ref.UnmarshalText([]byte(found[2])) != nil {
		return "", ref, false
	}
	return found[1], ref, true
}

// told is added to the name of a refused file once it was said what that means, so that it is not said again.
const told = ".told"

// An inFile is the name of a part of an MO: IN<date>_<time>_<serial>_<sender>_<sequence>.<ext>.
type inFile struct {
	message string // the name but for the sequence and the extension: all parts of an MO share it
	sent    string // date and time, by the SMSC
	sender  string
	part    int
	ext     string
}

func parseIn(name string) (f inFile, ok bool) {
	rest, ok := strings.CutPrefix(name, "IN")
	dot := strings.LastIndexByte(rest, '.')
	if !ok || dot < 0 {
		return f, false
	}
	f.ext = rest[dot+1:]
	fields := strings.Split(rest[:dot], "_")
	last := len(fields) - 1
	if last < 4 || !digits(fields[0], 8) || !digits(fields[1], 6) || !digits(fields[2], 2) || !digits(fields[last], 2) {
		return f, false
	}
	f.part, _ = strconv.Atoi(fields[last]) // two digits
	f.sent = fields[0] + fields[1]
	f.sender = strings.Join(fields[3:last], "_")
	f.message = "IN" + strings.Join(fields[:last], "_")
	return f, true
}

func digits(s string, n int) bool { return len(s) == n && strings.Trim(s, "0123456789") == "" }

// A file is an MT on its way into the outbox. Before it is shown, smsd passes over it, for its name begins with a dot.
type file struct {
	outbox, name string
	tells        bool
}

// unreadAt is what a file's access time is set to: any other says that it was read, even with relatime (mount(8)).
func unreadAt(modified time.Time) time.Time { return modified.Add(-time.Hour).Truncate(time.Second) }

func (f *file) hidden() string { return filepath.Join(f.outbox, "."+f.name) }
func (f *file) shown() string  { return filepath.Join(f.outbox, f.name) }

// write writes the file, durably, under its hidden name.
func (f *file) write(octets []byte) error {
	w, err := os.OpenFile(f.hidden(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o660)
	if err != nil {
		return err
	}
	_, err = w.Write(append([]byte{0xFE, 0xFF}, octets...))
	shareWith(w, f.outbox)
	now := time.Now()
	if err := errors.Join(err, w.Sync(), w.Close(), os.Chtimes(f.hidden(), unreadAt(now), now)); err != nil {
		f.remove()
		return err
	}
	return nil
}

// show renames the file to where smsd finds it.
func (f *file) show() error {
	if err := os.Rename(f.hidden(), f.shown()); err != nil {
		return err
	}
	syncDir(f.outbox)
	return nil
}

// remove removes the file while it is hidden.
func (f *file) remove() { _ = os.Remove(f.hidden()) } // smsd passes over what stays

// read reports whether smsd may have read the file.
func (f *file) read() bool { return f.tells && wasRead(f.shown()) || !f.tells }

func wasRead(path string) bool {
	info, err := os.Lstat(path)
	at, ok := readAt(path)
	return err != nil || !ok || !at.Equal(unreadAt(info.ModTime()))
}

// takeBack takes the file out of the outbox again. certain: smsd has not read it. Not took: smsd was faster. What it has read is not put back, or it
// would be sent twice.
func (f *file) takeBack() (took, certain bool) {
	if os.Rename(f.shown(), f.hidden()) != nil {
		return false, false
	}
	time.Sleep(settle) // smsd may have opened it just before, and reads it now
	certain = f.tells && !wasRead(f.hidden())
	f.remove()
	syncDir(f.outbox)
	return true, certain
}

// syncDir makes the names in a folder durable. A file system that cannot do it does it by itself.
func syncDir(path string) {
	if d, err := os.Open(path); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}

// probe checks that files can be made in a folder, and whether the file system tells when they are read (it does not when mounted with noatime).
func probe(dir string) (tells bool, err error) {
	f := file{outbox: dir, name: fmt.Sprintf("godwit-probe-%d", os.Getpid())}
	if err := f.write(nil); err != nil {
		return false, fmt.Errorf("a file cannot be written in %s: %s", dir, plain(err))
	}
	defer f.remove()
	before := wasRead(f.hidden())
	if _, err := os.ReadFile(f.hidden()); err != nil {
		return false, fmt.Errorf("a file cannot be read in %s: %s", dir, plain(err))
	}
	return !before && wasRead(f.hidden()), nil
}
