package badger

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	bdg "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/rs/zerolog"
)

const (
	memTable    = 16 << 20
	maxKey      = 60_000
	maxValue    = 1 << 20 // no value is larger, so that none goes to the value log, whose collection was seen to bring a stale one back
	valueLog    = 4 << 20 // stays empty
	blockCache  = 32 << 20
	indexCache  = 32 << 20 // 0 would be unbounded
	memTables   = 3
	compactors  = 2
	sstableSize = 2 << 20
	baseLevel   = 64 << 20 // one level fewer to write everything through than with badger's 10 MiB
)

func settings(dir string, log zerolog.Logger) bdg.Options {
	return bdg.DefaultOptions(dir).
		WithSyncWrites(true). // without, acknowledged commits were lost
		WithValueThreshold(maxValue).
		WithValueLogFileSize(valueLog).
		WithMemTableSize(memTable).
		WithNumMemtables(memTables).
		WithBaseTableSize(sstableSize).
		WithBaseLevelSize(baseLevel).
		WithBlockCacheSize(blockCache).
		WithIndexCacheSize(indexCache).
		WithNumVersionsToKeep(1).
		WithVerifyValueChecksum(true).
		WithNumCompactors(compactors).
		WithCompression(options.Snappy).
		WithDetectConflicts(false). // one writer
		WithMetricsEnabled(false).
		WithLogger(logger{log})
}

// openDB opens badger, twice when it must: after a crash an empty .vlog or .mem file makes the first attempt fail and the second one succeed.
func openDB(dir string, log zerolog.Logger) (*bdg.DB, error) {
	db, err := bdg.OpenManaged(settings(dir, log))
	if err == nil {
		return db, nil
	}
	if strings.Contains(err.Error(), "Another process is using") { // badger has no error value for it
		return nil, fmt.Errorf("%w%s: stop it first, or use another directory", ErrLocked, holder(dir))
	}
	log.Warn().Err(err).Msg("store: opening failed, trying once more")
	return bdg.OpenManaged(settings(dir, log))
}

// holder names the process in badger's LOCK file.
func holder(dir string) string {
	pid, err := os.ReadFile(filepath.Join(dir, "LOCK"))
	if err != nil {
		return ""
	}
	return " (pid " + strings.TrimSpace(string(pid)) + ")"
}

// A logger gives badger's log to zerolog. What badger calls info is of interest to us only when debugging.
type logger struct{ zerolog.Logger }

func (l logger) Errorf(format string, args ...any)   { l.print(l.Error(), format, args) }
func (l logger) Warningf(format string, args ...any) { l.print(l.Warn(), format, args) }
func (l logger) Infof(format string, args ...any)    { l.print(l.Debug(), format, args) }
func (l logger) Debugf(format string, args ...any)   { l.print(l.Trace(), format, args) }

func (l logger) print(e *zerolog.Event, format string, args []any) {
	if e.Enabled() {
		e.Msg("badger: " + strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}
