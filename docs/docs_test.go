// Package docs_test holds the documentation to the code: links, reasons, keys of the configuration.
package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/seed-7a41469f/godwit/delivery"
)

// pages returns all Markdown of the project, by its path from here.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pattern := range []string{"../*.md", "*.md"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			found[name] = read(t, name)
		}
	}
	if len(found) < 10 {
		t.Fatalf("only %d pages found; does this test run in docs/?", len(found))
	}
	return found
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	fenced  = regexp.MustCompile("(?ms)^```.*?^```$")
)

func TestLinksResolve(t *testing.T) {
	all := pages(t)
	for name, text := range all {
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target, anchor, _ := strings.Cut(m[1], "#")
			path := name
			if target != "" {
				path = filepath.Join(filepath.Dir(name), target)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s links to %s, which is not there", name, m[1])
			} else if anchor != "" && !anchors(all[path])[anchor] {
				t.Errorf("%s links to %s, but %s has no such heading", name, m[1], path)
			}
		}
	}
}

// anchors are the fragments of a page's headings, as code hosts make them.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1])
		found[anchor] = true
	}
	return found
}

func TestEveryReasonHasItsRow(t *testing.T) {
	text := read(t, "topics.md")
	rows := strings.Count(section(text, "## Reasons"), "\n| `")
	if rows != len(delivery.Reasons) {
		t.Errorf("topics.md has %d reasons, delivery.Reasons %d", rows, len(delivery.Reasons))
	}
	for _, r := range delivery.Reasons {
		if row := "| `" + string(r.Reason) + "` | " + r.English + " | " + r.Chinese + " |"; !strings.Contains(text, row) {
			t.Errorf("topics.md lacks the row\n%s", row)
		}
	}
}

// section returns what stands between a heading and the next one of its level.
func section(text, title string) string {
	_, rest, _ := strings.Cut(text, "\n"+title+"\n")
	level := title[:strings.Index(title, " ")+1]
	before, _, _ := strings.Cut(rest, "\n"+level)
	return before
}

func TestPagesAreOfOnePiece(t *testing.T) {
	for name, text := range pages(t) {
		if strings.Count(text, "\n```")%2 != 0 {
			t.Errorf("%s has a code block that is not closed", name)
		}
		if n := strings.Count("\n"+fenced.ReplaceAllString(text, ""), "\n# "); n != 1 {
			t.Errorf("%s has %d titles, one is wanted", name, n)
		}
		tables(t, name, fenced.ReplaceAllString(text, ""))
	}
}

// tables checks that each row has as many cells as the head of its table.
func tables(t *testing.T, name, text string) {
	t.Helper()
	cells := 0
	for i, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "|") {
			cells = 0
			continue
		}
		n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
		if cells == 0 {
			cells = n
		}
		if n != cells {
			t.Errorf("%s:%d: the row has %d bars, the table's first has %d", name, i+1, n, cells)
		}
	}
}
