package clienttest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
)

// built is the program of this test run, and the directory that it is in.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// Binary returns the path of the godwit program, which is built once a test run, with -race when the test is. A package that uses it, StartProcess
// included, calls RemoveBinary at the end of its TestMain.
func Binary(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "godwit-binary-"); built.err == nil {
			built.err = build(binaryIn(built.dir))
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return binaryIn(built.dir)
}

func binaryIn(dir string) string { return filepath.Join(dir, "godwit") }

func build(path string) error {
	args := []string{"build", "-o", path}
	if withRace() {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "github.com/seed-7a41469f/godwit/cmd/godwit")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build godwit: %w: %s", err, out)
	}
	return nil
}

func withRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// RemoveBinary removes what Binary has built.
func RemoveBinary() error {
	if built.dir == "" {
		return nil
	}
	return os.RemoveAll(built.dir)
}
