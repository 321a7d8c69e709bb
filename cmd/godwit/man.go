package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func (a *app) manCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "man [DIR]", Short: "Write the manual pages", Args: takes(0, 1),
		Long: "Write a manual page for each command into DIR, which is made when it is not there, and print their names. Without DIR the page of\n" +
			"godwit itself is printed. The pages of one build are always the same; SOURCE_DATE_EPOCH, where it is set, is their date.",
		Example: "  godwit man | man -l -\n  godwit man /usr/local/share/man/man1",
		RunE: func(cmd *cobra.Command, args []string) error {
			page, err := pageHeader()
			if err != nil {
				return err
			}
			root := cmd.Root()
			plain(root)
			if len(args) == 0 {
				return doc.GenMan(root, page, a.stdout)
			}
			return a.pages(root, page, args[0])
		},
	}
	offerArgs(cmd, func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveFilterDirs
	})
	return cmd
}

// plain leaves out of all pages who made them and when.
func plain(cmd *cobra.Command) {
	cmd.DisableAutoGenTag = true
	for _, c := range cmd.Commands() {
		plain(c)
	}
}

func (a *app) pages(root *cobra.Command, page *doc.GenManHeader, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return failed("output", "%w", err)
	}
	if err := doc.GenManTreeFromOpts(root, doc.GenManTreeOptions{Header: page, Path: dir, CommandSeparator: "-"}); err != nil {
		return failed("output", "%w", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "godwit*.1"))
	if err != nil {
		return failed("output", "%w", err)
	}
	slices.Sort(files)
	type file struct {
		File string `json:"file"`
	}
	all := make([]file, len(files))
	for i, name := range files {
		all[i].File = name
	}
	return list(a, []string{"file"}, all, func(f file) []string { return []string{f.File} })
}

// pageHeader dates the pages by the commit of this build, so that they can be made again.
func pageHeader() (*doc.GenManHeader, error) {
	date := time.Unix(0, 0).UTC()
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return nil, usage("SOURCE_DATE_EPOCH %q is no number of seconds", epoch)
		}
		date = time.Unix(seconds, 0).UTC()
	} else if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if t, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil {
				date = t.UTC()
			}
		}
	}
	return &doc.GenManHeader{Section: "1", Date: &date, Source: "godwit " + thisVersion().Version, Manual: "Godwit"}, nil
}
