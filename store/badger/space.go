package badger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/rs/zerolog"
)

// Badger writes through memory maps, where a full disk is a SIGBUS and the end of the process, and it cannot even open on a full disk. So:
//
//	free < watermark    no new messages (ErrDisk); what was accepted goes on
//	free < reserve      the ballast is given up, and delivery goes on with it; without a ballast the store does not open
//	free < reserve / 2  no commit at all
//
// The ballast is made again once there is room for it above the watermark.
const (
	reserve      = 2 * memTable
	ballastFile  = "BALLAST"
	ballastMost  = 64 << 20
	watermark    = 1 << 30
	measureEvery = time.Second
	measureAfter = 8 << 20 // octets written, when they come faster
)

var errNoSpace = errors.New("the disk is full: free some space")

// A volume tells how much of the volume of a directory is free for us, and how large it is.
type volume func(dir string) (free, total uint64, err error)

type space struct {
	dir      string
	volume   volume
	least    uint64 // Options.DiskFree
	ballast  bool
	low      bool // no new messages
	full     bool // nothing at all
	measured time.Time
	written  int64 // since then
}

func openSpace(dir string, opt Options) (*space, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &space{dir: dir, volume: opt.volume, least: uint64(max(opt.DiskFree, 0))}
	if s.volume == nil {
		s.volume = measureVolume
	}
	_, err := os.Stat(s.path())
	s.ballast = err == nil
	free, err := s.measure(opt.Log)
	if err != nil {
		return nil, err
	}
	if free < reserve {
		return nil, fmt.Errorf("%w: %s are free and the store needs %s to open", errNoSpace, humanize.IBytes(free), humanize.IBytes(reserve))
	}
	return s, nil
}

func (s *space) path() string { return filepath.Join(s.dir, ballastFile) }

// wrote counts what commits write.
func (s *space) wrote(n int64) { s.written += n }

// check measures when it is time to, and says when nothing at all may be written.
func (s *space) check(now time.Time, log zerolog.Logger) error {
	since := now.Sub(s.measured)
	if since >= measureEvery || since < 0 || s.written >= measureAfter {
		s.measured, s.written = now, 0
		if _, err := s.measure(log); err != nil {
			return err
		}
	}
	if s.full {
		return errNoSpace
	}
	return nil
}

func (s *space) measure(log zerolog.Logger) (free uint64, err error) {
	free, total, err := s.volume(s.dir)
	if err != nil {
		return 0, fmt.Errorf("measure free space: %w", err)
	}
	if free < reserve && s.ballast {
		log.Warn().Str("free", humanize.IBytes(free)).Msg("store: the disk is nearly full, the ballast is given up")
		if err := os.Remove(s.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, fmt.Errorf("give up the ballast: %w", err)
		}
		s.ballast = false
		if free, total, err = s.volume(s.dir); err != nil {
			return 0, fmt.Errorf("measure free space: %w", err)
		}
	}
	mark := s.mark(total)
	if s.low != (free < mark) {
		s.low = free < mark
		log.Warn().Bool("refused", s.low).Str("free", humanize.IBytes(free)).Str("needed", humanize.IBytes(mark)).Msg("store: new messages and free disk space")
	}
	s.full = free < reserve/2
	if size := ballastSize(total); !s.ballast && free > mark+2*size {
		s.ballast = makeBallast(s.path(), size) == nil // without one the rest still holds
	}
	return free, nil
}

// mark returns the watermark.
func (s *space) mark(total uint64) uint64 {
	if s.least > 0 {
		return max(s.least, reserve)
	}
	return max(min(watermark, total/100*15), reserve)
}

func ballastSize(total uint64) uint64 { return min(ballastMost, total/20) }
