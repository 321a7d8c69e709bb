package badger

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func measureVolume(dir string) (free, total uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	size := uint64(st.Bsize)
	return st.Bavail * size, st.Blocks * size, nil
}

// makeBallast makes a file whose blocks are really taken.
func makeBallast(path string, size uint64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, int64(size)), f.Close())
	if err != nil {
		os.Remove(path)
	}
	return err
}
