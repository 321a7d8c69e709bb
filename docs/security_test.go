package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var namedTest = regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz)[A-Za-z0-9]+)`")

// TestEveryThreatHasItsTest looks whether the tests that security.md names are there.
func TestEveryThreatHasItsTest(t *testing.T) {
	rows := 0
	for _, line := range strings.Split(section(read(t, "security.md"), "## Threats"), "\n") {
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if !strings.HasPrefix(line, "|") || len(cells) != 3 || strings.HasPrefix(line, "|---") || strings.HasPrefix(line, "| threat |") {
			continue
		}
		rows++
		threat := strings.TrimSpace(cells[0])
		named := namedTest.FindAllStringSubmatch(cells[2], -1)
		if len(named) != strings.Count(cells[2], "`")/2 {
			t.Errorf("%s: a name among %s is not `package.TestName`", threat, cells[2])
		}
		if len(named) == 0 && !strings.Contains(cells[1], ": comes with ") {
			t.Errorf("%s: no test shows what stands against it", threat)
		}
		for _, m := range named {
			if !hasTest(t, m[1], m[2]) {
				t.Errorf("%s: %s has no %s", threat, m[1], m[2])
			}
		}
	}
	if rows < 30 {
		t.Errorf("only %d threats were read", rows)
	}
}

// hasTest reports whether a package has a test of a name.
func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
