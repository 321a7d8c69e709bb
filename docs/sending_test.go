package docs_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/clienttest"
)

var shownID = regexp.MustCompile(`"id":"[0-9A-Z]{26}"`)

// Every curl in sending.md answers what stands below it.
func TestExamplesOfSendingWork(t *testing.T) {
	for _, program := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("GODWIT_TEST_NO_SKIP") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	b := clienttest.NewServer(t, nil)
	token := b.Token("alerts")
	b.Token("4917604069001")
	ran := 0
	for _, block := range fenced.FindAllString(read(t, "sending.md"), -1) {
		lines := strings.Split(block, "\n")
		for i, line := range lines {
			command, ok := strings.CutPrefix(line, "$ ")
			if !ok {
				continue
			}
			ran++
			cmd := exec.CommandContext(t.Context(), "bash", "-c", strings.ReplaceAll(command, "127.0.0.1:8080", b.Addresses().HTTP))
			cmd.Env = append(os.Environ(), "TOKEN="+token)
			out, err := cmd.Output()
			got, want := strings.TrimSpace(string(out)), lines[i+1]
			const any = `"id":"…"`
			if shownID.ReplaceAllString(got, any) != shownID.ReplaceAllString(want, any) || err != nil {
				t.Errorf("%s\nanswers %s (%v)\nand not %s", command, got, err, want)
			}
		}
	}
	if ran < 7 {
		t.Errorf("%d examples ran", ran)
	}
}
