package docs_test

import (
	"encoding/json"
	"maps"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/hooks"
)

// source returns the Go files of a package, without its tests, as one text.
func source(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range names {
		if !strings.HasSuffix(name, "_test.go") {
			all.WriteString(read(t, name))
		}
	}
	if all.Len() == 0 {
		t.Fatalf("no Go files in %s", dir)
	}
	return all.String()
}

// found returns what a pattern's first group matches in a text; a code that matches nothing was moved, and the test with it.
func found(t *testing.T, pattern, text string) map[string]bool {
	t.Helper()
	set := map[string]bool{}
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		set[m[1]] = true
	}
	if len(set) == 0 {
		t.Fatalf("nothing matches %s", pattern)
	}
	return set
}

func same(t *testing.T, what, page string, documented, real map[string]bool) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(real)) {
		if !documented[name] {
			t.Errorf("%s lacks the %s %s", page, what, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		if !real[name] {
			t.Errorf("%s has the %s %s, which is not there", page, what, name)
		}
	}
}

func TestEveryMetricHasItsRow(t *testing.T) {
	real := map[string]bool{}
	for name := range found(t, `desc\("([a-z_]+)"`, source(t, "broker")) {
		real["godwit_"+name] = true
	}
	documented := found(t, "(?m)^\\| `(godwit_[a-z_]+)` \\|", read(t, "metrics.md"))
	same(t, "metric", "metrics.md", documented, real)
	later := notYet(read(t, "metrics.md"))
	for page, text := range pages(t) {
		for name := range regexpSet("godwit_[a-z_]+", text) {
			if !real[strings.TrimSuffix(name, "_bucket")] && !strings.Contains(later, name) {
				t.Errorf("%s mentions %s, which is no metric", page, name)
			}
		}
	}
}

func TestEveryRefusalHasItsRow(t *testing.T) {
	real := map[string]bool{broker.RefusedCallback: true, broker.RefusedConnections: true, broker.RefusedAddress: true}
	for _, r := range slices.Concat(hooks.Refusals[:], api.Refusals[:]) {
		real[r] = true
	}
	_, table, _ := strings.Cut(read(t, "metrics.md"), "| `reason` of `godwit_refused_total`")
	table, _, _ = strings.Cut(table, "\n\n")
	same(t, "refusal", "metrics.md", found(t, "(?m)^\\| `([a-z_]+)` \\|", table), real)
}

// The routes are those of the OpenAPI description, which is made from what answers.
func TestEveryRouteHasItsRow(t *testing.T) {
	a, err := api.New(t.Context(), api.Config{PublicURL: "http://localhost"})
	if err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	a.Operator(true).ServeHTTP(answer, httptest.NewRequest("GET", "/openapi.json", nil))
	var spec struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &spec); err != nil {
		t.Fatal(err)
	}
	real := map[string]bool{"GET /openapi.json": true, "GET /docs/": true}
	for path, methods := range spec.Paths {
		for method := range methods {
			real[strings.ToUpper(method)+" "+path] = true
		}
	}
	same(t, "route", "http.md", found(t, "(?m)^\\| `((?:GET|POST|PUT|PATCH|DELETE) /[a-z][^`]*)`", read(t, "http.md")), real)
}

// A reason that nothing gives stands in the code where it is declared and in the table of reasons, and nowhere else.
func TestReasonsThatNothingGives(t *testing.T) {
	code := source(t, "delivery")
	unused := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\t(\w+) +Reason = "([a-z_]+)"`).FindAllStringSubmatch(code, -1) {
		if len(regexp.MustCompile(`\b`+m[1]+`\b`).FindAllString(code, -1)) == 2 {
			unused[m[2]] = true
		}
	}
	_, reasons, _ := strings.Cut(read(t, "topics.md"), "\n## Reasons\n")
	reasons, _, _ = strings.Cut(reasons, "\n## ")
	same(t, "reason that nothing gives", "topics.md", found(t, "`([a-z_]+)`", notYet(reasons)), unused)
}

func TestEveryCodeHasItsSection(t *testing.T) {
	real := map[string]bool{}
	for _, code := range api.Codes {
		real[code] = true
	}
	same(t, "code", "errors.md", found(t, "(?m)^## (.+)$", read(t, "errors.md")), real)
}

func TestEveryCommandIsThere(t *testing.T) {
	code := source(t, "cmd/godwit")
	real := found(t, `Use: +"([a-z]+)`, code)
	for _, builtIn := range []string{"help", "completion"} {
		real[builtIn] = true
	}
	cli := read(t, "cli.md")
	for name := range real {
		if name != "godwit" && !strings.Contains(cli, name) {
			t.Errorf("cli.md lacks the command %s", name)
		}
	}
	for page, text := range pages(t) {
		for name := range regexpSet("(?:^|[`$;&|] ?)(?:go run \\./cmd/)?godwit ([a-z]+)", text) {
			if !real[name] {
				t.Errorf("%s calls godwit %s, which is no command", page, name)
			}
		}
	}
	for flag := range regexpSet("--([a-z-]+)", cli) {
		if !strings.Contains(code, `"`+flag+`"`) {
			t.Errorf("cli.md has the flag --%s, which is not there", flag)
		}
	}
}

// A package imports only what its row of the layer table names, and every package that others import has a row.
func TestEveryImportIsInTheLayerTable(t *testing.T) {
	table := section(read(t, "../ARCHITECTURE.md"), "## Layers")
	quoted := regexp.MustCompile("`([a-z/]+)`")
	var above []string
	for _, row := range regexp.MustCompile(`(?m)^\| (`+"`"+`.*)\|(.*)\|(.*)\|$`).FindAllStringSubmatch(table, -1) {
		named := quoted.FindAllStringSubmatch(row[3], -1)
		may := func(path string) bool {
			inRow := slices.ContainsFunc(named, func(m []string) bool { return m[1] == path })
			return inRow || strings.Contains(row[3], "everything above") && slices.Contains(above, path)
		}
		for _, m := range quoted.FindAllStringSubmatch(row[1], -1) {
			for path := range found(t, `(?m)^(?:import )?\t?"([^"]+)"`, source(t, m[1])) {
				path, ours := strings.CutPrefix(path, "github.com/seed-7a41469f/godwit/")
				if ours && !may(path) {
					t.Errorf("%s imports %s, which its row in ARCHITECTURE.md does not name", m[1], path)
				}
			}
		}
		for _, m := range quoted.FindAllStringSubmatch(row[1], -1) {
			above = append(above, m[1])
		}
	}
	if len(above) < 15 {
		t.Errorf("only %d packages were read", len(above))
	}
}

// notYet returns the paragraphs of a page that say what is to come.
func notYet(text string) string {
	var later strings.Builder
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		if strings.HasPrefix(paragraph, "**Not yet:**") {
			later.WriteString(paragraph)
		}
	}
	return later.String()
}

// regexpSet returns what a pattern, or its first group, matches in a text.
func regexpSet(pattern, text string) map[string]bool {
	set := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)"+pattern).FindAllStringSubmatch(text, -1) {
		set[m[len(m)-1]] = true
	}
	return set
}
