package badger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// sequenceFile lies beside badger's files. It says up to which group everything was durable, and up to which in tables rather than in the log.
// It is written with each commit and synced seldom: a power cut may leave an older statement, which is still true.
const (
	sequenceFile = "SEQUENCE"
	tabledEvery  = 10 * time.Second
)

type sequence struct {
	file   *os.File
	known  bool      // the file said something at Open
	last   uint64    // what it said
	tabled uint64    // older versions than this may be compacted away
	at     time.Time // when tabled was looked at
	every  time.Duration
}

func openSequence(dir string, every time.Duration) (*sequence, error) {
	f, err := os.OpenFile(filepath.Join(dir, sequenceFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	q := &sequence{file: f, every: every}
	var b [20]byte
	switch n, err := f.ReadAt(b[:], 0); {
	case n == 0 && errors.Is(err, io.EOF): // new, or created and never written before a power cut
		return q, nil
	case n < len(b) || binary.BigEndian.Uint32(b[16:]) != crc32.ChecksumIEEE(b[:16]):
		return q, nil
	}
	q.known, q.last, q.tabled = true, binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])
	return q, nil
}

func (q *sequence) write(last uint64) error {
	var b [20]byte
	binary.BigEndian.PutUint64(b[:], last)
	binary.BigEndian.PutUint64(b[8:], q.tabled)
	binary.BigEndian.PutUint32(b[16:], crc32.ChecksumIEEE(b[:16]))
	_, err := q.file.WriteAt(b[:], 0)
	if err != nil {
		return fmt.Errorf("remember the last group: %w", err)
	}
	return nil
}

// committed remembers that a group is durable. Now and then it looks which groups have left the log, and only then lets their older versions go:
// until it is synced that they are in tables, check must find each of them.
func (q *sequence) committed(version uint64, now time.Time, s *Store) error {
	if since := now.Sub(q.at); since >= 0 && since < q.every {
		return q.write(version)
	}
	q.at = now
	for _, t := range s.db.Tables() {
		q.tabled = max(q.tabled, t.MaxVersion)
	}
	if err := q.write(version); err != nil {
		return err
	}
	if err := q.file.Sync(); err != nil {
		return fmt.Errorf("remember the last group: %w", err)
	}
	s.db.SetDiscardTs(min(q.tabled, s.reads.oldest()))
	return nil
}

// behind returns what is wrong when the store ends before the last group that was durable.
func (q *sequence) behind(last uint64) error {
	if !q.known || last >= q.last {
		return nil
	}
	return fmt.Errorf("the store ends at group %d, but group %d was durable: its log is damaged or it was put back from a copy, and %d groups are lost", last, q.last, q.last-last)
}

// gap returns what is wrong when a group is missing among those that stood in the log.
func (q *sequence) gap(found []uint64, last uint64) error {
	at, _ := slices.BinarySearch(found, q.tabled+1)
	want := q.tabled + 1
	for _, version := range found[at:] {
		if version != want {
			return fmt.Errorf("groups %d to %d of the store are missing: its log is damaged, and what they held is lost", want, version-1)
		}
		want++
	}
	if want <= last {
		return fmt.Errorf("groups %d to %d of the store are missing: its log is damaged, and what they held is lost", want, last)
	}
	return nil
}

func (q *sequence) close() error { return q.file.Close() }
