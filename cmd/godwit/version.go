package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

type version struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
}

func thisVersion() version {
	v := version{Version: "devel", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "(devel)" {
		v.Version = cmp.Or(info.Main.Version, v.Version)
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Commit = s.Value
		}
	}
	return v
}

// String is the version in one line.
func (v version) String() string {
	return strings.Join(slices.DeleteFunc([]string{v.Version, v.Commit, v.Go}, func(s string) bool { return s == "" }), " ")
}

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print which version this is", Args: takes(0, 0), Example: "  godwit version --json",
		RunE: func(*cobra.Command, []string) error {
			v := thisVersion()
			if a.json {
				return a.object(v)
			}
			_, err := fmt.Fprintln(a.stdout, "godwit", v)
			return err
		},
	}
}
